//! Whether a module may be loaded.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a module is not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModuleError {
    /// Relative to what?
    #[error("{} is no absolute path", .0.display())]
    Relative(PathBuf),
    /// It is not there.
    #[error("{} cannot be read: {why}", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A folder, a device.
    #[error("{} is no file", .0.display())]
    NoFile(PathBuf),
    /// Somebody else's.
    #[error("{} belongs to uid {owner}", path.display())]
    Owner {
        /// The file, or a folder above it.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others could change it.
    #[error("others can write to {}", .0.display())]
    Writable(PathBuf),
    /// No path of ours is not text.
    #[error("{} is not text", .0.display())]
    Text(PathBuf),
}

/// Whether nobody but root, and the user that we run as, can have written the module: the file is theirs and closed to
/// others, and so is every folder on the way to it (but for those like `/tmp`, where nobody removes what is another's).
/// Gives the file's real path.
pub fn check_module(path: &Path) -> Result<PathBuf, ModuleError> {
    check_for(path, rustix::process::geteuid().as_raw())
}

fn check_for(path: &Path, us: u32) -> Result<PathBuf, ModuleError> {
    if !path.is_absolute() {
        return Err(ModuleError::Relative(path.to_owned()));
    }
    let missing = |path: &Path, error: std::io::Error| ModuleError::Missing {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let real = fs::canonicalize(path).map_err(|error| missing(path, error))?;
    if real.to_str().is_none() {
        return Err(ModuleError::Text(real));
    }
    for part in real.ancestors() {
        let found = fs::symlink_metadata(part).map_err(|error| missing(part, error))?;
        if part == real && !found.is_file() {
            return Err(ModuleError::NoFile(real));
        }
        let owner = found.uid();
        if owner != 0 && owner != us {
            return Err(ModuleError::Owner { path: part.to_owned(), owner });
        }
        let kept = found.is_dir() && found.mode() & 0o1000 != 0;
        if found.mode() & 0o022 != 0 && !kept {
            return Err(ModuleError::Writable(part.to_owned()));
        }
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn who_else_could_have_written_it() {
        let us = rustix::process::geteuid().as_raw();
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("lib");
        fs::create_dir(&inner).unwrap();
        chmod(&inner, 0o755);
        let module = inner.join("m.so");
        fs::write(&module, "x").unwrap();
        chmod(&module, 0o644);
        let real = fs::canonicalize(&module).unwrap();
        assert_eq!(check_for(&module, us), Ok(real.clone()));
        // A link is followed, and what is looked at is where it leads.
        let link = folder.path().join("link.so");
        symlink(&module, &link).unwrap();
        assert_eq!(check_for(&link, us), Ok(real.clone()));

        chmod(&module, 0o664);
        assert_eq!(check_for(&link, us), Err(ModuleError::Writable(real.clone())));
        chmod(&module, 0o646);
        assert_eq!(check_for(&module, us), Err(ModuleError::Writable(real.clone())));
        chmod(&module, 0o644);
        chmod(&inner, 0o777);
        let parent = real.parent().unwrap().to_owned();
        assert_eq!(check_for(&module, us), Err(ModuleError::Writable(parent)));
        chmod(&inner, 0o1777);
        assert_eq!(check_for(&module, us), Ok(real));

        assert!(matches!(check_for(Path::new("m.so"), us), Err(ModuleError::Relative(_))));
        assert!(matches!(check_for(&inner, us), Err(ModuleError::NoFile(_))));
        assert!(matches!(check_for(&inner.join("no.so"), us), Err(ModuleError::Missing { .. })));
        if us == 0 {
            std::os::unix::fs::chown(&module, Some(12), None).unwrap();
            assert!(matches!(check_for(&module, 0), Err(ModuleError::Owner { owner: 12, .. })));
            assert!(check_for(&module, 12).is_ok());
        }
    }
}
