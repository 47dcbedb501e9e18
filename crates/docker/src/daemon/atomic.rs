//! One file, whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// In the names of files that are not finished. Whoever holds the folder's lock may remove them.
const UNFINISHED: &str = ".sealock-unfinished-";

/// A file that is complete and on the disk, but does not have its name yet. Removed when it is dropped.
#[derive(Debug)]
pub(super) struct Unnamed {
    path: PathBuf,
    named: bool,
}

impl Unnamed {
    /// Writes beside `beside`, readable for nobody beyond `mode` at any moment.
    pub(super) fn write(
        beside: &Path,
        content: &[u8],
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = beside.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{UNFINISHED}{}-{number}-{name}", std::process::id());
        let path = beside.with_file_name(name);
        // `create_new` follows no link that somebody may have put there; the umask can only take away.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        let unnamed = Self { path, named: false };
        if let Some((user, group)) = owner {
            fchown(&file, Some(user), Some(group))?;
        }
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        Ok(unnamed)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the place of `target`. The folder is to be synced after.
    pub(super) fn rename(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.named = true;
        Ok(())
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if !self.named {
            // What stays is removed by the next run.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes renames in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes what runs that were killed have left. Only for who holds the folder's lock.
pub(super) fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
