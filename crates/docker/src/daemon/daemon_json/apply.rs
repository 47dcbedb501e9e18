//! The merge, done to a file: validated by dockerd itself where it can, backed up, replaced at once.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sealock_core::Timestamp;
use thiserror::Error;
use tokio::process::Command;

use super::{MergeError, Settings, merge};
use crate::daemon::atomic::{Unnamed, sync_folder};

/// How long dockerd may take to validate.
const DEADLINE: Duration = Duration::from_secs(20);
/// How much of what dockerd says is repeated.
const SAID: usize = 2000;

/// Why a file was not changed.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The settings cannot be merged into it.
    #[error("cannot merge into {}", path.display())]
    Merge {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: MergeError,
    },
    /// It cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// `read`, `back up` or `write`.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else changed it meanwhile.
    #[error("{} was changed by somebody else meanwhile", .0.display())]
    Changed(PathBuf),
    /// dockerd would not start with it.
    #[error("dockerd refuses the merged settings: {said}")]
    Refused {
        /// Its own words.
        said: String,
    },
    /// dockerd cannot be asked.
    #[error("cannot have dockerd validate the merged settings")]
    Validate(#[source] io::Error),
}

/// Whether dockerd has looked at the new settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// Nothing was to be changed.
    NotNeeded,
    /// It takes them.
    Passed,
    /// There is no dockerd here.
    NoDockerd,
    /// This dockerd cannot validate (older than 23.0).
    NotOffered,
}

/// What was done to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Whether it was changed.
    pub changed: bool,
    /// The old one, where there was one and it was changed.
    pub backup: Option<PathBuf>,
    /// Whether dockerd has looked at it.
    pub validation: Validation,
    /// What the administrator should know, a sentence each.
    pub notes: Vec<String>,
}

/// Merges the settings into the file at `path`, which need not be there. `dockerd` is the program that
/// validates, by path or by its name in `PATH`. On any error the file is as it was.
pub async fn apply(
    path: &Path,
    settings: &Settings,
    now: Timestamp,
    dockerd: &OsStr,
) -> Result<Applied, ApplyError> {
    let failed = |doing| move |source| ApplyError::File { doing, path: path.to_owned(), source };
    // Through a link, so that the link stays one.
    let target = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        found => found.map_err(failed("read"))?,
    };
    let old = read(&target).map_err(failed("read"))?;
    let merged = merge(old.as_deref().unwrap_or_default(), settings)
        .map_err(|source| ApplyError::Merge { path: path.to_owned(), source })?;
    if !merged.changed {
        let validation = Validation::NotNeeded;
        return Ok(Applied { changed: false, backup: None, validation, notes: merged.notes });
    }
    let folder = target.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(failed("write"))?;
    let (mode, owner) = match fs::metadata(&target) {
        Ok(there) => (there.permissions().mode() & 0o7777, Some((there.uid(), there.gid()))),
        Err(_) => (0o644, None),
    };
    let new = Unnamed::write(&target, merged.text.as_bytes(), mode, owner);
    let new = new.map_err(failed("write"))?;
    let validation = validate(new.path(), dockerd).await?;
    if read(&target).map_err(failed("read"))? != old {
        return Err(ApplyError::Changed(path.to_owned()));
    }
    let backup = match &old {
        Some(old) => Some(back_up(&target, old, mode, owner, now).map_err(failed("back up"))?),
        None => None,
    };
    new.rename(&target).and_then(|()| sync_folder(folder)).map_err(failed("write"))?;
    Ok(Applied { changed: true, backup, validation, notes: merged.notes })
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        content => content.map(Some),
    }
}

/// Beside it, `daemon.json.sealock-20250131T235959Z`; never over another one.
fn back_up(
    path: &Path,
    content: &str,
    mode: u32,
    owner: Option<(u32, u32)>,
    now: Timestamp,
) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let stamp: String = Timestamp::from_secs(now.as_secs())
        .to_rfc3339()
        .chars()
        .filter(|c| !matches!(c, '-' | ':'))
        .collect();
    let unnamed = Unnamed::write(path, content.as_bytes(), mode, owner)?;
    for number in 1..100 {
        let more = if number == 1 { String::new() } else { format!("-{number}") };
        let backup = path.with_file_name(format!("{name}.sealock-{stamp}{more}"));
        match fs::hard_link(unnamed.path(), &backup) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok(backup),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

async fn validate(file: &Path, dockerd: &OsStr) -> Result<Validation, ApplyError> {
    let mut command = Command::new(dockerd);
    command.arg("--validate").arg("--config-file").arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = match tokio::time::timeout(DEADLINE, command.output()).await {
        Err(_) => return Err(ApplyError::Validate(io::ErrorKind::TimedOut.into())),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Validation::NoDockerd);
        }
        Ok(output) => output.map_err(ApplyError::Validate)?,
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(Validation::Passed)
    } else if said.contains("unknown flag: --validate") {
        Ok(Validation::NotOffered)
    } else {
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        let said = said.trim().chars().map(shown).take(SAID).collect();
        Err(ApplyError::Refused { said })
    }
}
