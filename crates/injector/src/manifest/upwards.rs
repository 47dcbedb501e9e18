//! `--up`: the file in this folder, or in the nearest one above that has it.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::error::ManifestError;

/// The path of the nearest `file`, beginning in the folder `start` (absolute) and ending at the root, over the
/// borders of file systems. A folder that cannot be looked into ends the search with an error, so that no other
/// file is taken for the one meant.
pub fn find_upwards(start: &Path, file: &Path) -> Result<PathBuf, ManifestError> {
    let name = || file.display().to_string();
    if file.is_absolute() {
        return Err(ManifestError::AbsolutePath { file: name() });
    }
    for folder in start.ancestors() {
        let path = cleaned(&folder.join(file));
        match fs::metadata(&path) {
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ManifestError::Locate { file: name(), source }),
        }
    }
    Err(ManifestError::NotFoundUpwards { file: name() })
}

/// Without `.` and `..`, by the text alone.
fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}
