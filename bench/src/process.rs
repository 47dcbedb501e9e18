//! Processes that do not outlive the bench.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// For anything that has to start or end.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// A child that is ended with this. Asked to end before it is made to: it may have children of its own.
pub(crate) struct Process(Child);

impl Process {
    /// Takes care of a child.
    pub(crate) fn new(child: Child) -> Self {
        Self(child)
    }

    /// Starts this program once more, as something else, and waits for its first line.
    pub(crate) fn of_ourselves(arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Self(command.spawn()?);
        let stdout = process.0.stdout.take().context("no stdout")?;
        BufReader::new(stdout).read_line(&mut String::new())?;
        Ok(process)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What fails here has ended already.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let ended = until("a child to end", || self.0.try_wait().ok().flatten());
        if ended.is_err() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Looks until there is something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > end {
            bail!("waited in vain for {what}");
        }
        thread::sleep(PAUSE);
    }
}
