//! Mutual TLS between the Docker daemon and its clients: everything but the authority itself, which hands
//! its certificates in as values.
//!
//! - [`files`]: the three files of each side, written so that a kill leaves a working set;
//! - [`daemon_json`]: the daemon's settings, merged into what is there;
//! - [`unit`]: flags of a systemd unit that would contradict them;
//! - [`context`]: a context of Docker's command line client.
//!
//! **What an attacker controls:** nothing, where folders belong to the administrator alone. Folders that
//! others may write to are refused, and no symbolic link at the place of a file is followed.

mod atomic;
pub(crate) mod certificate;
pub mod context;
pub mod daemon_json;
pub mod files;
mod host;
#[cfg(test)]
pub(crate) mod scratch;
pub mod unit;

use std::path::Path;

use thiserror::Error;

pub use host::{HostError, TcpHost};

/// The certificates' folder cannot stand in a line for a shell.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the folder `{0}` cannot be written for a shell")]
pub struct EnvError(String);

/// The lines that make a shell's `docker` use `host` with the client files in `folder`.
pub fn env_lines(host: &TcpHost, folder: &Path) -> Result<String, EnvError> {
    let refused = || EnvError(folder.display().to_string());
    let text = folder.to_str().filter(|text| !text.chars().any(char::is_control));
    let folder = quoted(text.ok_or_else(refused)?);
    let host = quoted(&host.to_string());
    Ok(format!(
        "export DOCKER_HOST={host}\nexport DOCKER_TLS_VERIFY=1\nexport DOCKER_CERT_PATH={folder}\n"
    ))
}

/// One word for a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_the_lines_as_they_were_meant() {
        for folder in ["/etc/docker/tls", "/home/o'neil/my $HOME `id`", "/a\"b\\c", "/ü"] {
            let host: TcpHost = "tcp://[::1]:2376".parse().unwrap();
            let lines = env_lines(&host, Path::new(folder)).unwrap();
            let script = format!(
                "{lines}printf '%s|%s|%s' \"$DOCKER_HOST\" \"$DOCKER_TLS_VERIFY\" \"$DOCKER_CERT_PATH\""
            );
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            assert_eq!(said, format!("tcp://[::1]:2376|1|{folder}"));
        }
    }

    #[test]
    fn a_folder_with_a_line_break_is_refused() {
        let host: TcpHost = "tcp://h:1".parse().unwrap();
        assert!(env_lines(&host, Path::new("/a\nb")).is_err());
    }
}
