//! Putting what was made in its place: whole, with the permissions that it needs, and only when it is another.

use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use zeroize::Zeroizing;

use crate::commands::files;
use crate::printer::Failure;

/// The most files that another program may make for one certificate.
const MOST_FILES: usize = 100;
/// The largest of them.
const LARGEST: u64 = 64 << 20;

/// Writes a file, unless it is there already. Whether it was written.
pub(super) fn file(path: &Path, bytes: &[u8], mode: u32) -> Result<bool, Failure> {
    if is_same(path, bytes) {
        permit(path, mode)?;
        return Ok(false);
    }
    files::write(path, bytes, mode)?;
    Ok(true)
}

fn is_same(path: &Path, bytes: &[u8]) -> bool {
    let plain = fs::symlink_metadata(path);
    if !plain.is_ok_and(|there| there.is_file() && there.len() == bytes.len() as u64) {
        return false;
    }
    let mut old = Zeroizing::new(Vec::with_capacity(bytes.len() + 1));
    let limit = bytes.len() as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut old));
    read.is_ok() && *old == bytes
}

fn permit(path: &Path, mode: u32) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| cannot(path, error);
    let now = fs::metadata(path).map_err(|error| failed(&error))?.permissions().mode();
    if now & 0o7777 != mode {
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|error| failed(&error))?;
    }
    Ok(())
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::refused(format!("cannot write {}", path.display())).caused_by(error)
}

/// Moves what another program has made, a file or a folder of files, to its place. Whether it is another than what was
/// there. What it leaves behind lies at `made` then, and goes with the folder that it is in.
pub(super) fn moved(made: &Path, place: &Path) -> Result<bool, Failure> {
    let kind = fs::symlink_metadata(made).map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let failure = Failure::refused("the program has ended well, and has not written {out}");
        if missing { failure } else { failure.caused_by(&error) }
    })?;
    let there = fs::symlink_metadata(place).ok();
    if kind.is_file() {
        if there.is_some_and(|there| !there.is_file()) {
            return Err(in_the_way(place));
        }
        let bytes = content(made)?;
        if is_same(place, &bytes) {
            permit(place, super::WITH_KEY)?;
            return Ok(false);
        }
        seal(made, super::WITH_KEY)?;
        fs::rename(made, place).map_err(|error| cannot(place, &error))?;
        return Ok(true);
    }
    if !kind.is_dir() {
        return Err(strange(made));
    }
    let names = names(made)?;
    for name in &names {
        let path = made.join(name);
        if !fs::symlink_metadata(&path).is_ok_and(|kind| kind.is_file()) {
            return Err(strange(&path));
        }
        seal(&path, 0o600)?;
    }
    seal(made, 0o700)?;
    match there {
        None => renameat_with(CWD, made, CWD, place, RenameFlags::NOREPLACE),
        Some(there) if there.is_dir() => {
            // What is replaced is removed, so it must be what such an export has written.
            let foreign = self::names(place)?.into_iter().any(|name| {
                let plain = fs::symlink_metadata(place.join(&name));
                !names.contains(&name) || !plain.is_ok_and(|kind| kind.is_file())
            });
            if foreign {
                return Err(in_the_way(place));
            }
            renameat_with(CWD, made, CWD, place, RenameFlags::EXCHANGE)
        }
        Some(_) => return Err(in_the_way(place)),
    }
    .map_err(|errno| cannot(place, &errno.into()))?;
    Ok(true)
}

fn in_the_way(place: &Path) -> Failure {
    Failure::refused(format!("{} is there, and is not what would replace it", place.display()))
        .hint("remove it first, or name another place with --out")
}

fn strange(path: &Path) -> Failure {
    Failure::refused(format!("the program has made something that is no file: {}", path.display()))
        .hint("{out} must be a file, or a folder of files")
}

fn names(folder: &Path) -> Result<Vec<std::ffi::OsString>, Failure> {
    let unreadable = |error: &std::io::Error| {
        Failure::refused(format!("cannot read {}", folder.display())).caused_by(error)
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(&error))? {
        names.push(entry.map_err(|error| unreadable(&error))?.file_name());
        if names.len() > MOST_FILES {
            let folder = folder.display();
            return Err(Failure::refused(format!("more than {MOST_FILES} files are in {folder}")));
        }
    }
    Ok(names)
}

fn content(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: &std::io::Error| {
        Failure::refused(format!("cannot read {}", path.display())).caused_by(error)
    };
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| failed(&error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Failure::refused("the program has written more than 64 MiB"));
    }
    Ok(bytes)
}

/// Gives it its permissions, and makes it durable.
fn seal(path: &Path, mode: u32) -> Result<(), Failure> {
    File::open(path)
        .and_then(|file| {
            file.set_permissions(Permissions::from_mode(mode))?;
            file.sync_all()
        })
        .map_err(|error| cannot(path, &error))
}
