//! The wrapping key's file: written whole or not at all, readable by its owner only.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::KeyringError;

const NAME: &str = "wrapping.key";
const TEMPORARY: &str = ".wrapping.key.";
/// No wrapping key is longer.
const LONGEST: u64 = 4096;

pub(super) fn path(keys_dir: &Path) -> PathBuf {
    keys_dir.join(NAME)
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> KeyringError {
    let path = path.to_owned();
    move |source| KeyringError::Disk { what, path: path.clone(), source }
}

/// Makes the folder, for its owner only, and its name durable. One that is there stays as it is.
pub(super) fn make_folder(keys_dir: &Path) -> Result<(), KeyringError> {
    match DirBuilder::new().mode(0o700).create(keys_dir) {
        Ok(()) => sync_folder(keys_dir.parent().unwrap_or(keys_dir)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed("make the folder", keys_dir)(error)),
    }
}

/// The file's text, or `None` when there is no file.
pub(super) fn read(keys_dir: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, KeyringError> {
    let path = path(keys_dir);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", &path)(error)),
    };
    refuse_others(&path, &file)?;
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 1));
    file.take(LONGEST + 1).read_to_end(&mut text).map_err(failed("read", &path))?;
    if text.len() as u64 > LONGEST {
        return Err(KeyringError::Unreadable { path, detail: "it is too long" });
    }
    Ok(Some(text))
}

fn refuse_others(path: &Path, file: &File) -> Result<(), KeyringError> {
    let metadata = file.metadata().map_err(failed("look at", path))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyringError::OpenToOthers { path: path.to_owned(), mode });
    }
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(KeyringError::OtherOwner { path: path.to_owned(), owner });
    }
    Ok(())
}

/// Writes the file durably unless one is there by then: the first of several writers wins, and a kill
/// leaves either no file or a whole one.
pub(super) fn write_new(keys_dir: &Path, text: &[u8]) -> Result<(), KeyringError> {
    let temporary = temporary(keys_dir)?;
    let written = write_private(&temporary, text);
    // A link, and not a rename, because a rename would replace another writer's key.
    let linked = written.and_then(|()| fs::hard_link(&temporary, path(keys_dir)));
    let _ = fs::remove_file(&temporary);
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        // Another writer was done and has tidied up.
        Err(_) if path(keys_dir).exists() => {}
        Err(error) => return Err(failed("write", &path(keys_dir))(error)),
    }
    sync_folder(keys_dir)
}

fn temporary(keys_dir: &Path) -> Result<PathBuf, KeyringError> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| KeyringError::Random)?;
    Ok(keys_dir.join(format!("{TEMPORARY}{}", HEXLOWER.encode(&random))))
}

/// What is to be in the file's place, durable beside it.
#[derive(Debug)]
pub(super) struct Replacement {
    temporary: PathBuf,
    path: PathBuf,
    before: File,
}

impl Replacement {
    /// Writes `text` beside the file. One that has other names is refused: what is replaced would stay under them.
    pub(super) fn write(keys_dir: &Path, text: &[u8]) -> Result<Self, KeyringError> {
        let path = path(keys_dir);
        let found = fs::symlink_metadata(&path).map_err(failed("look at", &path))?;
        if !found.is_file() || found.nlink() != 1 {
            return Err(KeyringError::OtherNames { path });
        }
        let before = OpenOptions::new().write(true).open(&path).map_err(failed("open", &path))?;
        let temporary = temporary(keys_dir)?;
        let this = Self { temporary, path, before };
        write_private(&this.temporary, text).map_err(failed("write", &this.temporary))?;
        Ok(this)
    }

    /// Puts it in the file's place: a kill leaves the one or the other, whole. What the old file held is overwritten, as
    /// far as the file system does that in place.
    pub(super) fn put(self) -> Result<(), KeyringError> {
        fs::rename(&self.temporary, &self.path).map_err(failed("replace", &self.path))?;
        sync_folder(self.path.parent().unwrap_or(Path::new(".")))?;
        scrub(&self.before);
        Ok(())
    }
}

/// One that was not put in place leaves nothing.
impl Drop for Replacement {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Overwrites a file that has no name any more. What cannot be overwritten is gone by name all the same.
fn scrub(mut file: &File) {
    let Ok(found) = file.metadata() else { return };
    if found.nlink() == 0 {
        let length = usize::try_from(found.len().min(LONGEST)).unwrap_or_default();
        let _ = file.write_all(&vec![0; length]).and_then(|()| file.sync_all());
    }
}

fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> Result<(), KeyringError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))
}

/// Removes what a killed writer left behind. Nobody needs it: the key is in its own file, too, or was
/// never used.
pub(super) fn remove_leftovers(keys_dir: &Path) {
    let Ok(entries) = fs::read_dir(keys_dir) else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
            let file = OpenOptions::new().write(true).open(entry.path());
            let _ = fs::remove_file(entry.path());
            if let Ok(file) = file {
                scrub(&file);
            }
        }
    }
}
