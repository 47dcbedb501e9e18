//! A process beside the run that clears away when the run is killed.
//!
//! It is this program again, started with a pipe as its standard input of which the run has the other end.
//! It reads the ledger's path, and then waits. When the pipe ends without a farewell, the run was killed:
//! the child is asked to end, and the ledger undone. It has a process group of its own, so that what the terminal
//! sends does not reach it, and it outlives the signals that a service manager sends to all that the service has.
//! It never sees a secret: it closes whatever else it was left.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::ledger::{Ledger, undo_killed};
use crate::harden;
use crate::provider::inheritable;

/// How long a child has to end by itself.
const GRACE: Duration = Duration::from_secs(10);
/// The last word of a run that has cleared away itself.
const FAREWELL: &[u8] = b"done";

/// How the guardian is started: a program whose main calls [`be`].
#[derive(Debug, Clone)]
pub struct GuardianProgram {
    /// The file.
    pub path: PathBuf,
    /// What it is called as, and its arguments.
    pub arguments: Vec<OsString>,
}

/// A guardian that runs.
#[derive(Debug)]
pub(super) struct Guardian {
    process: std::process::Child,
    pipe: Option<std::process::ChildStdin>,
}

impl Guardian {
    pub(super) fn start(program: &GuardianProgram, ledger: &Ledger) -> io::Result<Self> {
        let mut command = Command::new(&program.path);
        let mut arguments = program.arguments.iter();
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments).env_clear().current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn()?;
        let pipe = process.stdin.take();
        let mut guardian = Self { process, pipe };
        guardian.say(ledger.path().as_os_str().as_bytes());
        Ok(guardian)
    }

    pub(super) fn child_started(&mut self, child: Pid) {
        if let Some(start) = start_of(child) {
            self.say(format!("{} {start}", child.as_raw_nonzero()).as_bytes());
        }
    }

    /// Nothing is left to do.
    pub(super) fn dismiss(mut self) {
        self.say(FAREWELL);
        self.pipe = None;
        let _ = self.process.wait();
    }

    #[cfg(test)]
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// As when the run is killed; waits for the guardian's work.
    #[cfg(test)]
    pub(super) fn abandon(mut self) {
        self.pipe = None;
        self.process.wait().unwrap();
    }

    fn say(&mut self, record: &[u8]) {
        // One that is gone cannot be told; the next run clears away then.
        if let Some(pipe) = &mut self.pipe {
            let _ = pipe.write_all(&[record, b"\0"].concat());
        }
    }
}

/// The guardian's whole life, in a process of its own.
pub fn be() {
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
        // What is only noted does not end a process.
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
    harden::own_memory();
    // What is open here and not closed by an exec is what our caller left open in us.
    for number in inheritable() {
        let _ = nix::unistd::close(number);
    }
    serve(io::stdin().lock());
}

/// `input` is the guardian's end of the pipe.
pub(super) fn serve(input: impl io::Read) {
    let mut records = BufReader::new(input).split(0).map_while(Result::ok);
    let Some(ledger) = records.next() else { return };
    let ledger = PathBuf::from(OsString::from_vec(ledger));
    let mut child = None;
    for record in records {
        if record == FAREWELL {
            return;
        }
        child = child_of(&record).or(child);
    }
    if let Some(child) = child {
        end(&child);
    }
    undo_killed(&ledger);
}

/// The child by its number and the moment it started, so that it is no other with that number.
fn child_of(record: &[u8]) -> Option<rustix::fd::OwnedFd> {
    let (number, start) = std::str::from_utf8(record).ok()?.split_once(' ')?;
    let child = Pid::from_raw(number.parse().ok()?)?;
    let handle = pidfd_open(child, PidfdFlags::empty()).ok()?;
    (start_of(child)? == start).then_some(handle)
}

/// The child's end is waited for, so that it can still read its files while it shuts down.
fn end(child: &rustix::fd::OwnedFd) {
    let _ = pidfd_send_signal(child, Signal::TERM);
    let until = Instant::now() + GRACE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or_default();
        match poll(&mut [PollFd::new(child, PollFlags::IN)], Some(&left)) {
            Ok(1) => return,
            Err(Errno::INTR) => {}
            _ => break,
        }
    }
    let _ = pidfd_send_signal(child, Signal::KILL);
}

/// The moment a process started, in ticks since boot (proc_pid_stat(5), field 22).
fn start_of(process: Pid) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_known_by_its_start() {
        let own = rustix::process::getpid();
        let start = start_of(own).unwrap();
        assert!(start.bytes().all(|byte| byte.is_ascii_digit()));
        let number = own.as_raw_nonzero();
        assert!(child_of(format!("{number} {start}").as_bytes()).is_some());
        assert!(child_of(format!("{number} 1").as_bytes()).is_none());
        assert!(child_of(b"x").is_none());
    }
}
