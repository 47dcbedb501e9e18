//! Which providers there are, and what each calls its version.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use sealock_core::SecretBytes;

use super::error::FetchError;
use super::{Context, Options, Question, crew, text};

/// A provider and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderVersion {
    /// Its name in the folder.
    pub name: String,
    /// What it printed when it was run with `--version`; nothing where that failed.
    pub version: Option<String>,
}

/// Runs each of `names` in `folder` with `--version`.
pub fn versions(folder: &Path, names: &[OsString], options: &Options<'_>) -> Vec<ProviderVersion> {
    let contexts: Vec<_> =
        names.iter().map(|name| Context::new(&folder.join(name), options)).collect();
    let argument = OsStr::new("--version");
    let questions: Vec<_> = contexts.iter().map(|context| Question { context, argument }).collect();
    let printed = crew::ask_each(&questions, options, &|_| {});
    let version = |(name, printed): (&OsString, Result<SecretBytes, FetchError>)| ProviderVersion {
        name: name.to_string_lossy().into_owned(),
        version: printed.ok().map(|printed| text::printable(printed.expose())),
    };
    names.iter().zip(printed).map(version).collect()
}

/// The list as Summon prints it, with the last line's end.
pub fn version_list(folder: &Path, versions: &[ProviderVersion]) -> String {
    let line = |one: &ProviderVersion| match &one.version {
        Some(version) => format!("{} version {version}\n", one.name),
        None => format!("{}: unknown version\n", one.name),
    };
    let lines: String = versions.iter().map(line).collect();
    format!("Provider versions in {}:\n{lines}", folder.display())
}
