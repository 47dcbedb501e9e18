//! A socket in a folder of its own, which everybody may connect to and nobody may replace.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use tokio::net::UnixListener;

/// Binds the socket in its folder, which is made where it is missing. A socket that nobody listens at was
/// left by a daemon that is gone; anything else that is there, a link too, is left alone. Through the
/// folder's descriptor, so that nothing on the way is exchanged meanwhile, and its path may be long.
pub(super) fn bind(path: &Path) -> io::Result<(UnixListener, OwnedFd)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("it is no path of a file"));
    };
    match std::fs::DirBuilder::new().mode(0o755).create(parent) {
        Ok(()) => std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o755))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(parent, flags, Mode::empty())?;
    let found = rustix::fs::fstat(&folder)?;
    if found.st_uid != rustix::process::geteuid().as_raw() || found.st_mode & 0o022 != 0 {
        return Err(io::Error::other(format!(
            "others may write to {}; the socket needs a folder of its own",
            parent.display()
        )));
    }
    let own = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
        Ok(there) if FileType::from_raw_mode(there.st_mode) != FileType::Socket => {
            return Err(io::Error::other("something that is no socket is there"));
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(&own) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                rustix::fs::unlinkat(&folder, name, AtFlags::empty())?;
            }
            Err(error) => return Err(error),
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
        },
    }
    let listener = UnixListener::bind(&own)?;
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o666))?;
    Ok((listener, folder))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn everybody_may_connect_and_nobody_may_replace() {
        let scratch = tempfile::tempdir().unwrap();
        // Longer than a socket's path has room for.
        let deep = scratch.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let path = deep.join("docker/docker.sock");
        let (listener, _folder) = bind(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o666, 0o755));
        let taken = bind(&path).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse, "{taken}");
        drop(listener);
        // What a killed daemon leaves is healed.
        assert!(fs::symlink_metadata(&path).is_ok());
        bind(&path).unwrap();
    }

    #[tokio::test]
    async fn what_is_not_ours_is_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("docker");
        fs::create_dir(&folder).unwrap();
        let path = folder.join("docker.sock");
        let elsewhere = scratch.path().join("elsewhere");
        fs::write(&elsewhere, "kept").unwrap();
        for there in ["file", "link", "dangling"] {
            match there {
                "file" => fs::write(&path, "kept").unwrap(),
                "link" => symlink(&elsewhere, &path).unwrap(),
                _ => symlink("/nowhere/at/all", &path).unwrap(),
            }
            assert!(bind(&path).unwrap_err().to_string().contains("no socket"), "{there}");
            assert!(fs::symlink_metadata(&path).is_ok(), "{there}");
            fs::remove_file(&path).unwrap();
        }
        assert_eq!(fs::read(&elsewhere).unwrap(), b"kept");
        // A folder that others may write to, and one that is a link.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(bind(&path).unwrap_err().to_string().contains("others may write"));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let link = scratch.path().join("link");
        symlink(&folder, &link).unwrap();
        assert!(bind(&link.join("docker.sock")).is_err());
        assert!(bind(&path).is_ok());
    }
}
