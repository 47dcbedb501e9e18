//! Processes that do not outlive the bench.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, getrlimit, setrlimit};

/// For anything that has to start or end.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
/// Of the processor's time, in a second: USER_HZ of Linux.
const TICKS: f64 = 100.0;

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

/// Memory of a process that is in use now, in bytes.
pub(crate) fn resident(id: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmRSS")?;
    Ok(kib.trim().parse::<u64>()? << 10)
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

/// The processor's time that a process and its children have taken until now.
pub(crate) fn processor_time(id: u32) -> Result<Duration> {
    let mut ticks = 0_u32;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(other) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // It may be gone by now.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // What is before may have blanks in it: the program's name.
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<u32> = fields.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
        let field = |number: usize| fields.get(number).copied().unwrap_or(0);
        if other == id || field(1) == id {
            ticks += field(11) + field(12);
        }
    }
    Ok(Duration::from_secs_f64(f64::from(ticks) / TICKS))
}

/// How many this process and its children may have, which is made as many as can be.
pub(crate) fn descriptors() -> Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.current.unwrap_or(u64::MAX))
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
