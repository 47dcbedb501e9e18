//! Telling a service that its files have changed: a signal, or a command inside the container.
//!
//! The command comes from a label, so whoever created the container chose it; it runs inside that
//! container, with its rights and without a shell. Its output is hostile text: only the end of it is
//! kept, without control characters, and only to explain a failure.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt;
use sealock_engine::{Engine, EngineError, Exec, ExecRequest, Output};
use thiserror::Error;

use crate::labels::Reload;

/// How much of a failed command's output is kept.
const TAIL: usize = 1024;

/// A reload that did not work.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The engine could not do it.
    #[error("the engine could not pass on the reload")]
    Engine(#[from] EngineError),
    /// The command ended with a failure.
    #[error("the reload command ended with code {code}{}", told(output))]
    Failed {
        /// Its exit code.
        code: i64,
        /// The end of its output, printable.
        output: String,
    },
    /// The command did not end in time. It is left running: an engine cannot end an exec.
    #[error("the reload command did not end within {}s{}", after.as_secs(), told(output))]
    Deadline {
        /// The deadline.
        after: Duration,
        /// The end of its output so far, printable.
        output: String,
    },
}

fn told(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!(": {output}") }
}

/// Tells the first process, or runs the command, of a running container.
///
/// # Errors
/// [`ReloadError`]; a signal that was delivered counts as done whatever the process does with it.
pub async fn reload(
    engine: &Engine,
    container: &str,
    how: &Reload,
    deadline: Duration,
) -> Result<(), ReloadError> {
    match how {
        Reload::Signal(signal) => {
            engine.kill(container, &signal.number().to_string()).await?;
            Ok(())
        }
        Reload::Exec(argv) => run(engine, container, argv, deadline).await,
    }
}

async fn run(
    engine: &Engine,
    container: &str,
    argv: &[String],
    deadline: Duration,
) -> Result<(), ReloadError> {
    let request = ExecRequest { argv: argv.to_vec(), user: None, stdin: false };
    let mut tail = Tail::default();
    let ended = tokio::time::timeout(deadline, async {
        let Exec { input, mut output, handle } = engine.exec(container, &request).await?;
        while let Some(piece) = output.next().await {
            match piece? {
                Output::Stdout(bytes) | Output::Stderr(bytes) => tail.push(&bytes),
            }
        }
        drop(input);
        handle.exit_code().await
    })
    .await;
    match ended {
        Ok(Ok(0)) => Ok(()),
        Ok(Ok(code)) => Err(ReloadError::Failed { code, output: tail.printable() }),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(ReloadError::Deadline { after: deadline, output: tail.printable() }),
    }
}

/// The last bytes of a stream.
#[derive(Debug, Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        let kept = bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or_default();
        self.0.extend(kept);
        let surplus = self.0.len().saturating_sub(TAIL);
        self.0.drain(..surplus);
    }

    /// One line, without control characters or what could turn a terminal's writing direction.
    fn printable(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let shown = |c: char| c.is_ascii_graphic() || c.is_alphanumeric();
        let text: String = text.chars().map(|c| if shown(c) { c } else { ' ' }).collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_output_is_kept_and_made_harmless() {
        let mut tail = Tail::default();
        tail.push(&[b'x'; 5000]);
        tail.push(b"\r\n\x1b[31mcannot load\x00 key\xff\n");
        let text = tail.printable();
        assert!(text.len() <= TAIL + 2);
        assert!(text.starts_with("xxx") && text.ends_with("x [31mcannot load key"), "{text}");
    }

    #[test]
    fn failures_say_what_the_command_said() {
        let failed = ReloadError::Failed { code: 1, output: "no such file".to_owned() };
        assert_eq!(failed.to_string(), "the reload command ended with code 1: no such file");
        let silent = ReloadError::Failed { code: 1, output: String::new() };
        assert_eq!(silent.to_string(), "the reload command ended with code 1");
    }
}
