//! Which file a command's name stands for, by the rules of a shell (POSIX, 2.9.1.1): a name with a slash is a
//! path, another is looked for in the folders of `PATH`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use thiserror::Error;

/// Why no file was found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SearchError {
    /// No such file in any folder of `PATH`.
    #[error("`{}` is not in any folder of PATH", .0.to_string_lossy())]
    NotInPath(OsString),
    /// No file at this path.
    #[error("there is no file {}", .0.display())]
    Missing(PathBuf),
    /// There is one, but not to be run.
    #[error("{} cannot be run: it is a folder, or not executable", .0.display())]
    NotExecutable(PathBuf),
}

/// Finds the program. An empty `PATH` has no folders; an empty folder in it is the working directory, as shells
/// have it, and is passed over: what is run with secrets is not to depend on where one stands.
///
/// # Errors
/// [`SearchError`].
pub fn find_program(name: &OsStr, search: Option<&OsStr>) -> Result<PathBuf, SearchError> {
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        return match () {
            () if is_program(&path) => Ok(path),
            () if path.exists() => Err(SearchError::NotExecutable(path)),
            () => Err(SearchError::Missing(path)),
        };
    }
    let mut refused = None;
    for folder in std::env::split_paths(search.unwrap_or_default()) {
        if !folder.is_absolute() || name.is_empty() {
            continue;
        }
        let path = folder.join(name);
        if is_program(&path) {
            return Ok(path);
        }
        if path.is_file() {
            refused.get_or_insert(path);
        }
    }
    Err(refused.map_or_else(|| SearchError::NotInPath(name.to_owned()), SearchError::NotExecutable))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn as_a_shell_finds_it() {
        let scratch = tempfile::tempdir().unwrap();
        let (one, two) = (scratch.path().join("one"), scratch.path().join("two"));
        for (folder, mode) in [(&one, 0o644), (&two, 0o755)] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("tool"), "#!/bin/sh\n").unwrap();
            fs::set_permissions(folder.join("tool"), fs::Permissions::from_mode(mode)).unwrap();
            fs::create_dir(folder.join("dir")).unwrap();
        }
        let find = |name: &str, folders: &[&Path]| {
            let search = std::env::join_paths(folders).unwrap();
            find_program(OsStr::new(name), Some(&search))
        };
        assert_eq!(find("tool", &[&one, &two]), Ok(two.join("tool")));
        assert_eq!(find("tool", &[&one]), Err(SearchError::NotExecutable(one.join("tool"))));
        assert_eq!(find("dir", &[&one]), Err(SearchError::NotInPath("dir".into())));
        assert_eq!(find("", &[&one]), Err(SearchError::NotInPath("".into())));
        assert_eq!(find("tool", &[Path::new("")]), Err(SearchError::NotInPath("tool".into())));
        let absolute = two.join("tool");
        assert_eq!(find(absolute.to_str().unwrap(), &[]), Ok(absolute));
        let missing = two.join("none");
        assert_eq!(find(missing.to_str().unwrap(), &[]), Err(SearchError::Missing(missing)));
        let folder = two.join("dir");
        assert_eq!(find(folder.to_str().unwrap(), &[]), Err(SearchError::NotExecutable(folder)));
        assert_eq!(find_program(OsStr::new("sh"), None), Err(SearchError::NotInPath("sh".into())));
    }
}
