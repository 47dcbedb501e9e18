//! The texts that people and scripts know.

use std::error::Error;
use std::ffi::OsStr;
use std::io;

use sealock_injector::Manifest;
use sealock_injector::child::{ChildError, SearchError};
use sealock_injector::inject::InjectError;
use sealock_injector::provider::ProviderError;
use sealock_injector::scratch::ScratchError;

/// The version whose contract this is, and ours.
pub(super) const VERSION: &str = concat!("0.11.0-sealock-", env!("CARGO_PKG_VERSION"));

/// What `-h` shows.
pub(super) const USAGE: &str = "\
NAME:
   summon - Parse secrets.yml and export environment variables

USAGE:
   summon [global options] command [command options] [arguments...]

GLOBAL OPTIONS:
   -p value, --provider value     Path or name of the provider of secrets (SUMMON_PROVIDER)
   -e value, --environment value  Section of secrets.yml
   -f value                       Path of secrets.yml (default: \"secrets.yml\")
   --up                           Look for secrets.yml in the folders above too
   -D value                       name=value: what $name stands for
   --yaml value                   secrets.yml as text
   --ignore value, -i value       Leave this variable out when its secret cannot be had
   --ignore-all, -I               Leave all such variables out
   --all-provider-versions, -V    List the providers and their versions
   --debug, -d                    Say on stderr what is done
   --help, -h                     show help
   --version, -v                  print the version
";

pub(super) fn unparsable(place: &str, reason: &str) -> String {
    format!("Unable to parse configuration from {place}: {reason}")
}

/// An error and its causes on one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        text.push_str(": ");
        text.push_str(&current.to_string());
        cause = current.source();
    }
    text
}

pub(super) fn inject_error(error: &InjectError, manifest: &Manifest) -> String {
    match error {
        InjectError::Format { path, source } => in_file(path, &chain(source)),
        InjectError::Scratch(ScratchError::Exists { path } | ScratchError::Twice { path }) => {
            let shown = path.display().to_string();
            let there = format!("file already exists at {shown:?} and overwrite is not enabled");
            // As it stands in secrets.yml.
            let names_it = |name: &&str| std::path::absolute(name).is_ok_and(|one| one == *path);
            let mut names = manifest.files.iter().map(|file| file.path.as_str());
            in_file(names.find(names_it).unwrap_or(&shown), &there)
        }
        other => chain(other),
    }
}

fn in_file(path: &str, reason: &str) -> String {
    format!("error writing secret file for path {path}: {reason}")
}

/// Why there is no provider.
pub(super) fn provider_error(error: &ProviderError) -> String {
    match error {
        ProviderError::Stat { source, .. }
        | ProviderError::List { source, .. }
        | ProviderError::WorkingDirectory { source } => format!("{error}: {}", reason(source)),
        other => other.to_string(),
    }
}

/// What the system says, in the words of C's library and of Go's.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => error.to_string(),
    }
}

/// Why the command was not started.
pub(super) fn exec_error(name: &OsStr, error: &ChildError) -> String {
    let shown = name.to_string_lossy();
    match error {
        ChildError::Search(SearchError::NotInPath(_)) => {
            format!("exec: {shown:?}: executable file not found in $PATH")
        }
        ChildError::Search(SearchError::Missing(path)) => {
            format!("exec: {shown:?}: stat {}: no such file or directory", path.display())
        }
        ChildError::Search(SearchError::NotExecutable(path)) if path.is_dir() => {
            format!("exec: {shown:?}: is a directory")
        }
        ChildError::Search(SearchError::NotExecutable(_)) if !shown.contains('/') => {
            format!("exec: {shown:?}: executable file not found in $PATH")
        }
        ChildError::Search(SearchError::NotExecutable(_)) => {
            format!("exec: {shown:?}: permission denied")
        }
        ChildError::Start { program, source } => {
            let reason = match source.raw_os_error() {
                Some(8) => "exec format error".to_owned(),
                Some(7) => "argument list too long".to_owned(),
                _ => reason(source),
            };
            format!("fork/exec {program}: {reason}")
        }
        other => chain(other),
    }
}
