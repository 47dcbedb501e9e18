//! dns-01 (RFC 8555 §8.4) by a program of the administrator's, which changes the zone: `PROGRAM … present|cleanup NAME
//! VALUE`. It gets no secret and no environment but `PATH`; what it has made is written down before it runs, so that it
//! is cleaned up after a kill as well.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::error::UpstreamError;
use crate::text::said;

/// For the program, and for the zone to be where the server asks.
const DEADLINE: Duration = Duration::from_secs(180);
/// Of what it says, so much is read.
const SAYS: u64 = 4096;

/// A record that was made, or is about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxtRecord {
    /// `_acme-challenge.NAME`
    pub name: String,
    /// What it says.
    pub value: String,
}

/// The program with its first arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook(Vec<String>);

impl Hook {
    /// An absolute path, and arguments.
    pub fn new(command: Vec<String>) -> Option<Self> {
        let absolute = command.first().is_some_and(|program| Path::new(program).is_absolute());
        absolute.then_some(Self(command))
    }

    pub(super) async fn present(&self, record: &TxtRecord) -> Result<(), UpstreamError> {
        self.run("present", record).await
    }

    /// Takes a record out again; one that is not there is no fault of the program's.
    ///
    /// # Errors
    /// The program has failed.
    pub async fn cleanup(&self, record: &TxtRecord) -> Result<(), UpstreamError> {
        self.run("cleanup", record).await
    }

    async fn run(&self, verb: &'static str, record: &TxtRecord) -> Result<(), UpstreamError> {
        let failed = |why: String| UpstreamError::Hook { verb, name: record.name.clone(), why };
        let Some((program, first)) = self.0.split_first() else { return Ok(()) };
        let mut child = Command::new(program)
            .args(first)
            .args([verb, &record.name, &record.value])
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(format!("it cannot be started: {error}")))?;
        let mut says = Vec::new();
        let stderr = child.stderr.take();
        let run = async {
            if let Some(stderr) = stderr {
                let mut limited = stderr.take(SAYS);
                let _ = limited.read_to_end(&mut says).await;
                // Whatever else it says: it must not wait for a reader.
                let _ = tokio::io::copy(&mut limited.into_inner(), &mut tokio::io::sink()).await;
            }
            child.wait().await
        };
        match timeout(DEADLINE, run).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => {
                let text = said(&String::from_utf8_lossy(&says));
                let colon = if text.is_empty() { "" } else { ": " };
                Err(failed(format!("{status}{colon}{text}")))
            }
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("it runs for more than {} s", DEADLINE.as_secs()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_gets_three_arguments_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out").display().to_string();
        let script = format!(
            "printf '%s\\n' \"$@\" > {out}; env | grep -v '^PWD\\|^_\\|^SHLVL' >> {out}; echo no way >&2; exit $((1 - $#/4))"
        );
        let hook =
            Hook::new(vec!["/bin/sh".into(), "-c".into(), script, "sh".into(), "extra".into()])
                .unwrap();
        let record =
            TxtRecord { name: "_acme-challenge.a.test".into(), value: "v; rm -rf $HOME".into() };
        hook.present(&record).await.unwrap();
        let said = std::fs::read_to_string(&out).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[..4], ["extra", "present", "_acme-challenge.a.test", "v; rm -rf $HOME"]);
        assert!(lines.len() == 5 && lines[4].starts_with("PATH="), "{said}");
        let bad = Hook::new(vec!["/bin/sh".into(), "-c".into(), "echo no way >&2; exit 3".into()])
            .unwrap();
        let error = bad.cleanup(&record).await.unwrap_err().to_string();
        assert!(
            error.contains("cleanup _acme-challenge.a.test") && error.contains("no way"),
            "{error}"
        );
        assert!(Hook::new(vec!["hook".into()]).is_none() && Hook::new(vec![]).is_none());
    }
}
