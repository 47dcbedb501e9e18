//! Writing what a command makes: whole or not at all, with the permissions it needs from the start.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sealock_control::command::SecretText;
use sealock_core::SecretBytes;
use zeroize::Zeroizing;

use crate::printer::Failure;

/// A file that becomes visible under its name when it is complete, and not before. What is no file, such as
/// `/dev/stdout` or a pipe, is written to and stays.
#[derive(Debug)]
pub(crate) struct PendingFile {
    file: File,
    pending: Option<PathBuf>,
    path: PathBuf,
}

impl PendingFile {
    /// Starts a file beside `path` with these permissions.
    pub(crate) fn create(path: &Path, mode: u32) -> Result<Self, Failure> {
        if is_device(path) {
            let file = OpenOptions::new().write(true).open(path);
            let file = file.map_err(|error| failed(path, &error))?;
            return Ok(Self { file, pending: None, path: path.to_owned() });
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let pending = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let _ = fs::remove_file(&pending);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&pending)
            .map_err(|error| failed(path, &error))?;
        file.set_permissions(fs::Permissions::from_mode(mode))
            .map_err(|error| failed(path, &error))?;
        Ok(Self { file, pending: Some(pending), path: path.to_owned() })
    }

    /// Makes it durable and puts it in its place.
    pub(crate) fn keep(mut self) -> Result<(), Failure> {
        if let Some(pending) = &self.pending {
            self.file
                .sync_all()
                .and_then(|()| fs::rename(pending, &self.path))
                .map_err(|error| failed(&self.path, &error))?;
        }
        self.pending = None;
        Ok(())
    }
}

/// Whether a file must not be put in its place. A link is replaced, but for the system's own: who has set it is not to
/// choose what is written over.
pub(crate) fn is_device(path: &Path) -> bool {
    let Ok(there) = fs::symlink_metadata(path) else { return false };
    let kind = there.file_type();
    if kind.is_symlink() {
        let parent = path.parent().unwrap_or(path);
        return ["/dev", "/dev/fd"].map(Path::new).contains(&parent) || parent.starts_with("/proc");
    }
    !kind.is_file() && !kind.is_dir()
}

impl Write for PendingFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if let Some(pending) = &self.pending {
            // It holds an incomplete result that nobody asked for.
            let _ = fs::remove_file(pending);
        }
    }
}

/// Writes a whole file with these permissions, in the place of an older one.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let mut pending = PendingFile::create(path, mode)?;
    pending.write_all(bytes).map_err(|error| failed(path, &error))?;
    pending.keep()
}

/// Writes a file that must not exist yet.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|error| failed(path, &error))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| {
        let _ = fs::remove_file(path);
        failed(path, &error)
    })
}

/// Makes a folder that only its owner can enter, when it is not there.
pub(crate) fn private_folder(path: &Path) -> Result<(), Failure> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| failed(path, &error))
}

/// No key or request is larger.
const LARGEST_INPUT: u64 = 1 << 20;

pub(crate) fn read_limited(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: &std::io::Error| unreadable(path, error);
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if path == Path::new("-") {
        std::io::stdin().take(LARGEST_INPUT + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(LARGEST_INPUT + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| failed(&error))?;
    if bytes.len() as u64 > LARGEST_INPUT {
        return Err(Failure::usage(format!("{} is larger than 1 MiB", path.display())));
    }
    Ok(bytes)
}

/// A file that was to be read.
pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::refused(format!("cannot read {}", path.display())).caused_by(error);
    match error.kind() {
        std::io::ErrorKind::NotFound => failure.hint("there is no such file: check its path"),
        std::io::ErrorKind::PermissionDenied => {
            failure.hint("this user may not read it: run as one who may, or change its permissions")
        }
        std::io::ErrorKind::IsADirectory => failure.hint("that is a folder: name a file in it"),
        _ => failure,
    }
}

/// Reads a text that is secret.
pub(crate) fn read_secret_text(path: &Path) -> Result<SecretText, Failure> {
    SecretText::new(SecretBytes::from(read_limited(path)?))
        .ok_or_else(|| Failure::usage(format!("{} is not text", path.display())))
}

/// Reads PEM as it is, and DER as PEM with this label.
pub(crate) fn read_pem_or_der(path: &Path, label: &str) -> Result<String, Failure> {
    let bytes = read_limited(path)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains("-----BEGIN ") => Ok(text.to_owned()),
        _ => {
            let text = data_encoding::BASE64.encode(&bytes);
            Ok(format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n"))
        }
    }
}

/// The DER of every PEM block with this label.
pub(crate) fn der_blocks(pem: &str, label: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let broken = || Failure::fault("the answer is not the PEM that it should be");
    let blocks = pem.split(begin.as_str()).skip(1);
    blocks
        .map(|block| {
            let text: String =
                block.split_once(end.as_str()).ok_or_else(broken)?.0.split_whitespace().collect();
            data_encoding::BASE64.decode(text.as_bytes()).map_err(|_| broken())
        })
        .collect()
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::refused(format!("cannot write {}", path.display())).caused_by(error);
    match error.kind() {
        std::io::ErrorKind::AlreadyExists => failure.hint("remove it first, or name another file"),
        std::io::ErrorKind::NotFound => failure.hint("make the folder first"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_file_leaves_nothing_and_the_old_one_stands() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        write(&path, b"old", 0o444).unwrap();
        let mut pending = PendingFile::create(&path, 0o400).unwrap();
        pending.write_all(b"half").unwrap();
        drop(pending);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_is_written_to_and_stays() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, rustix::fs::Mode::RWXU, 0).unwrap();
        let from = path.clone();
        let reader = std::thread::spawn(move || fs::read(from).unwrap());
        write(&path, b"through", 0o600).unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
        assert!(is_device(Path::new("/dev/stdout")) && is_device(Path::new("/dev/null")));
        assert!(!is_device(Path::new("/dev/shm/not-there")) && !is_device(folder.path()));
    }

    #[test]
    fn permissions_are_as_asked_and_new_means_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_new(&path, b"secret", 0o400).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
        assert!(write_new(&path, b"other", 0o400).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"secret");
    }
}
