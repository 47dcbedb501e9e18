//! A process beside the run that clears away when the run is killed.
//!
//! It is this program again, started with a pipe as its standard input of which the run has the other end.
//! It reads the ledger's path, and then waits. When the pipe ends without a farewell, the run was killed:
//! the child is asked to end, and the ledger undone. It has a process group of its own, so that what the terminal
//! sends does not reach it, and it never sees a secret.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::ledger::{Ledger, undo_killed};

/// How long a child has to end by itself.
const GRACE: Duration = Duration::from_secs(10);
/// The last word of a run that has cleared away itself.
const FAREWELL: &[u8] = b"done";

/// How the guardian is started: a program whose main calls [`serve`].
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

    fn say(&mut self, record: &[u8]) {
        // One that is gone cannot be told; the next run clears away then.
        if let Some(pipe) = &mut self.pipe {
            let _ = pipe.write_all(&[record, b"\0"].concat());
        }
    }
}

/// The guardian's whole life. `input` is its end of the pipe.
pub fn serve(input: impl io::Read) {
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
    let grace = Timespec { tv_sec: i64::try_from(GRACE.as_secs()).unwrap_or(10), tv_nsec: 0 };
    let mut ended = [PollFd::new(child, PollFlags::IN)];
    if !matches!(poll(&mut ended, Some(&grace)), Ok(1)) {
        let _ = pidfd_send_signal(child, Signal::KILL);
    }
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
