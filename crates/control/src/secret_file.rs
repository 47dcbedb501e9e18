//! Files with a secret: a PIN, a passphrase, a password, a key.
//!
//! Who else may read or change such a file knows the secret, or chooses it; so it is not taken from one. What systemd
//! hands to a service ([`systemd.exec(5)`], credentials) is root's or the service's, and may have an access list, which
//! shows as the group's permission to read: there, only others count.
//!
//! [`systemd.exec(5)`]: https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#Credentials

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use sealock_core::SecretBytes;
use zeroize::Zeroizing;

/// No such secret is longer.
const LONGEST_SECRET: usize = 4096;

/// Reads a secret, without the end of its line. The error says why there is none, with the path.
pub fn read_secret(path: &Path, is_credential: bool) -> Result<SecretBytes, String> {
    let shown = path.display();
    let bytes = read_private(path, is_credential, LONGEST_SECRET)?;
    let secret = SecretBytes::from(bytes).trim_line_end();
    match secret.is_empty() {
        true => Err(format!("{shown} is empty")),
        false => Ok(secret),
    }
}

/// All of such a file, that has a key in it and may have more than a line.
pub(crate) fn read_private(
    path: &Path,
    is_credential: bool,
    longest: usize,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let shown = path.display();
    let failed = |error: std::io::Error| format!("{shown} cannot be read: {error}");
    if !path.is_absolute() {
        return Err(format!("{shown} is no absolute path"));
    }
    // Never waits for whoever writes to a pipe.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(format!("{shown} is no file"));
    }
    let us = rustix::process::geteuid().as_raw();
    if found.uid() != us && found.uid() != 0 {
        return Err(format!("{shown} belongs to uid {}", found.uid()));
    }
    let others = if is_credential { 0o027 } else { 0o077 };
    if found.mode() & others != 0 {
        return Err(format!("{shown} can be read or written by others: chmod 600"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(longest.saturating_add(1)));
    let most = u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > longest {
        return Err(format!("{shown} is over {} KiB", longest / 1024));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_what_is_ours_alone_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        let chmod = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        fs::write(&path, "1234\r\n").unwrap();
        chmod(0o600);
        assert_eq!(read_secret(&path, false).unwrap().expose(), b"1234");
        for (mode, file, credential) in [
            (0o400, true, true),
            (0o440, false, true),
            (0o420, false, false),
            (0o404, false, false),
            (0o602, false, false),
        ] {
            chmod(mode);
            assert_eq!(read_secret(&path, false).is_ok(), file, "{mode:o}");
            assert_eq!(read_secret(&path, true).is_ok(), credential, "{mode:o}");
        }
        chmod(0o600);
        fs::write(&path, "\n").unwrap();
        assert!(read_secret(&path, false).unwrap_err().contains("empty"));
        fs::write(&path, "x".repeat(LONGEST_SECRET + 1)).unwrap();
        assert!(read_secret(&path, false).unwrap_err().contains("4 KiB"));
        assert!(read_secret(folder.path(), false).unwrap_err().contains("no file"));
        assert!(read_secret(Path::new("pin"), false).unwrap_err().contains("absolute"));
        let missing = read_secret(&folder.path().join("no"), false).unwrap_err();
        assert!(missing.contains("cannot be read"), "{missing}");
    }
}
