//! Who is asked for which secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use sealock_control::config::Environment as Variables;
use sealock_injector::provider::{
    self, Cancel, Disk, Isolation, Lookup, Options as FetchOptions, Safety,
};
use sealock_injector::resolve::{Provider, Providers};
use sealock_injector::{FileContent, Manifest, Source, Spec};

use super::external::External;
use super::options::{Options, VAULT};
use super::vault::Vault;
use crate::args::Global;
use crate::printer::Failure;

/// The vault, and the programs that tags or flags name.
pub(super) struct Sources<'a> {
    vault: Vault<'a>,
    external: BTreeMap<String, External<'a>>,
    default: String,
    wanted: BTreeSet<Option<String>>,
    manifest: &'a Manifest,
}

impl<'a> Sources<'a> {
    /// Finds the programs; nobody is asked yet.
    pub(super) fn open(
        options: &'a Options,
        manifest: &'a Manifest,
        variables: &Variables,
        global: &'a Global,
        cancel: &'a Cancel,
    ) -> Result<Self, Failure> {
        let wanted: BTreeSet<Option<String>> = providers_of(manifest).cloned().collect();
        let names: BTreeSet<&str> = wanted
            .iter()
            .map(|name| name.as_deref().unwrap_or(&options.provider))
            .filter(|name| *name != VAULT)
            .collect();
        let fetching = FetchOptions {
            deadline: options.timeout,
            isolation: Isolation::Clean { keep: &options.provider_env },
            safety: Safety::Strict,
            at_terminal: !names.is_empty() && provider::at_terminal(),
            cancel: Some(cancel),
            ..FetchOptions::default()
        };
        let binary = if names.is_empty() { None } else { std::env::current_exe().ok() };
        let mut external = BTreeMap::new();
        for name in names {
            let lookup = Lookup {
                named: Some(OsStr::new(name)),
                environment: None,
                folder: variables.get("SUMMON_PROVIDER_PATH").map(OsStr::new),
                binary: binary.as_deref(),
            };
            let program = lookup.provider(&Disk).map_err(|error| {
                let failure = Failure::from_error(&error).code(crate::printer::exit::USAGE);
                error.hint().into_iter().fold(failure, Failure::hint)
            })?;
            external.insert(name.to_owned(), External::new(program, fetching));
        }
        let default = options.provider.clone();
        Ok(Self { vault: Vault::new(global), external, default, wanted, manifest })
    }

    /// Everybody who may be asked, by the names in tags.
    pub(super) fn providers(&self) -> Providers<'_> {
        let one = |name: &Option<String>| -> Option<(Option<String>, &dyn Provider)> {
            let known = name.as_deref().unwrap_or(&self.default);
            let provider: &dyn Provider = match known {
                VAULT => &self.vault,
                known => self.external.get(known)?,
            };
            Some((name.clone(), provider))
        };
        self.wanted.iter().filter_map(one).collect()
    }

    pub(super) fn vault(&self) -> &Vault<'a> {
        &self.vault
    }

    /// Whether somebody else than the vault is asked.
    pub(super) fn has_external(&self) -> bool {
        !self.external.is_empty()
    }

    /// The secrets of the vault that are wanted by name, and the paths below which all are.
    pub(super) fn of_vault(&self) -> (Vec<String>, Vec<String>) {
        let is_vault = |name: &Option<String>| name.as_deref().unwrap_or(&self.default) == VAULT;
        let named = specs(self.manifest).filter_map(|spec| match &spec.source {
            Source::Secret { provider, path } if is_vault(provider) => Some(path.clone()),
            _ => None,
        });
        let below = self.manifest.files.iter().filter_map(|file| match &file.content {
            FileContent::Folder { provider, prefix } if is_vault(provider) => Some(prefix.clone()),
            _ => None,
        });
        (named.collect(), below.collect())
    }
}

/// Whether somebody else than the vault is to be asked.
pub(super) fn asks_programs(options: &Options, manifest: &Manifest) -> bool {
    providers_of(manifest).any(|name| name.as_deref().unwrap_or(&options.provider) != VAULT)
}

fn specs(manifest: &Manifest) -> impl Iterator<Item = &Spec> {
    let of_files = manifest.files.iter().flat_map(|file| match &file.content {
        FileContent::Rendered { secrets, .. } => secrets.as_slice(),
        FileContent::Folder { .. } => &[],
    });
    manifest.variables.iter().map(|variable| &variable.spec).chain(of_files.map(|(_, spec)| spec))
}

fn providers_of(manifest: &Manifest) -> impl Iterator<Item = &Option<String>> {
    let of_folders = manifest.files.iter().filter_map(|file| match &file.content {
        FileContent::Folder { provider, .. } => Some(provider),
        FileContent::Rendered { .. } => None,
    });
    let of_specs = specs(manifest).filter_map(|spec| match &spec.source {
        Source::Secret { provider, .. } => Some(provider),
        Source::Literal(_) => None,
    });
    of_specs.chain(of_folders)
}
