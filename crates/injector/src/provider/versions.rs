//! Which providers there are, and what each calls its version.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::error::FetchError;
use super::{Context, Options, call, crew, text};

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
    crew::in_parallel(names.len(), options.concurrency, |index, started| {
        let name = names.get(index).map(OsString::as_os_str).unwrap_or_default();
        ProviderVersion {
            name: name.to_string_lossy().into_owned(),
            version: version(folder, name, options, started).ok(),
        }
    })
}

fn version(
    folder: &Path,
    name: &OsStr,
    options: &Options<'_>,
    started: &dyn Fn(),
) -> Result<String, FetchError> {
    let printed =
        call::call(&Context::new(&folder.join(name), options), OsStr::new("--version"), started)?;
    Ok(text::printable(printed.expose()))
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
