//! A program of others: a clean environment, no input, a deadline, and an end with all that it has started.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};
use sealock_injector::scratch::Scratch;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::words::program;
use crate::printer::Failure;

/// How long it may take to end when it is asked to, before it is made to.
const GRACE: Duration = Duration::from_secs(2);
/// How often to look where the kernel does not tell that a process has ended.
const GLANCE: Duration = Duration::from_millis(20);

/// Signals that ask us to stop, each of which is a byte to read.
pub(super) struct Signals(Vec<(i32, UnixStream)>);

impl Signals {
    pub(super) fn catch() -> Result<Self, Failure> {
        let register = |signal| {
            let (reader, writer) = UnixStream::pair()?;
            signal_hook::low_level::pipe::register(signal, writer)?;
            Ok((signal, reader))
        };
        let caught: io::Result<Vec<_>> =
            [SIGTERM, SIGINT, SIGHUP, SIGQUIT].into_iter().map(register).collect();
        let caught =
            caught.map_err(|error| Failure::fault("cannot listen for signals").caused_by(&error));
        caught.map(Self)
    }
}

/// One that is to run.
pub(super) struct Child<'a> {
    pub(super) words: &'a [String],
    /// Where it stands, and what is its home.
    pub(super) folder: &'a Path,
}

/// Why a wait came to its end.
enum Woken {
    Ended,
    Late,
    Told(i32),
}

impl Child<'_> {
    /// Runs it to its end, which must be a good one.
    pub(super) fn run(
        self,
        signals: &Signals,
        deadline: Instant,
        scratch: &mut Scratch,
    ) -> Result<(), Failure> {
        let name = program(self.words).display().to_string();
        let cannot =
            |error: &io::Error| Failure::refused(format!("cannot run {name}")).caused_by(error);
        let mut child =
            self.command().and_then(|mut command| command.spawn()).map_err(|error| {
                let failure = cannot(&error);
                match error.kind() {
                    io::ErrorKind::NotFound => {
                        failure.hint("name it by its whole path, or install it")
                    }
                    _ => failure,
                }
            })?;
        let pid = Pid::from_child(&child);
        scratch.child_started(pid);
        let woken = wait(pid, signals, deadline);
        if !matches!(woken, Ok(Woken::Ended)) {
            let _ = kill_process_group(pid, Signal::TERM);
            let _ = wait(pid, &Signals(Vec::new()), Instant::now() + GRACE);
        }
        // What it has left behind, too; its number is still its own, because nobody has reaped it.
        let _ = kill_process_group(pid, Signal::KILL);
        let status = child.wait().map_err(|error| cannot(&error))?;
        match woken.map_err(|error| cannot(&error))? {
            Woken::Ended if status.success() => Ok(()),
            Woken::Ended => Err(ended(&name, status)),
            Woken::Late => Err(Failure::refused(format!("{name} has not ended in time"))
                .hint("give it more with --deadline")),
            Woken::Told(signal) => {
                let code = u8::try_from(128 + signal).unwrap_or(1);
                Err(Failure::refused(format!("stopped by signal {signal}")).code(code))
            }
        }
    }

    fn command(&self) -> io::Result<Command> {
        let mut command = Command::new(program(self.words));
        command.args(self.words.iter().skip(1)).current_dir(self.folder).env_clear();
        let path = std::env::var_os("PATH");
        command.env("PATH", path.unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()));
        for name in ["HOME", "TMPDIR"] {
            command.env(name, self.folder);
        }
        command.env("LC_ALL", "C.UTF-8");
        // Our own stdout is for our answer.
        let said: OwnedFd = io::stderr().as_fd().try_clone_to_owned()?;
        command.stdin(Stdio::null()).stdout(said).process_group(0);
        Ok(command)
    }
}

fn ended(name: &str, status: ExitStatus) -> Failure {
    Failure::refused(format!("{name} has failed: {status}"))
        .hint("what it says stands above; nothing was written")
}

/// Waits for the end of a process, which stays to be reaped.
fn wait(pid: Pid, signals: &Signals, deadline: Instant) -> io::Result<Woken> {
    // Not there on kernels before 5.3.
    let end = pidfd_open(pid, PidfdFlags::empty()).ok();
    loop {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if !matches!(waitid(WaitId::Pid(pid), options), Ok(None)) {
            return Ok(Woken::Ended);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Woken::Late);
        }
        let left = if end.is_some() { left } else { left.min(GLANCE) };
        let mut watched: Vec<PollFd<'_>> =
            signals.0.iter().map(|(_, stream)| PollFd::new(stream, PollFlags::IN)).collect();
        watched.extend(end.iter().map(|end| PollFd::new(end, PollFlags::IN)));
        let span = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut watched, Some(&span)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let told = signals.0.iter().zip(&watched).find(|(_, fd)| !fd.revents().is_empty());
        if let Some(((signal, _), _)) = told {
            return Ok(Woken::Told(*signal));
        }
    }
}
