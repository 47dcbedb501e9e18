//! Stopping together with the child: after it, so that a shell does not take the terminal back from a program that is
//! still to stop, which would then read what is typed for the shell.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use rustix::process::Pid;
use signal_hook::consts::signal::SIGCONT;
use signal_hook::low_level::emulate_default_handler;

use super::latest::Latest;

/// How long a child may tidy up the terminal before it stops. One that does not stop at all is not waited for longer.
const LIMIT: Duration = Duration::from_millis(500);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Knows which came last: a signal that stops, or the one that lets go on.
#[derive(Debug)]
pub(super) struct Stopping(Latest);

impl Stopping {
    /// Looks out for the signals from here on.
    pub(super) fn watch(signals: impl Iterator<Item = i32>) -> io::Result<Self> {
        Latest::of(signals).map(Self)
    }

    /// Stops this process as the signal would, once the child has stopped; not if it is to go on already.
    pub(super) fn stop(&self, signal: i32, child: Option<Pid>) {
        let end = Instant::now() + LIMIT;
        while !self.goes_on() && child.is_some_and(runs) && Instant::now() < end {
            std::thread::sleep(PAUSE);
        }
        if !self.goes_on() {
            let _ = emulate_default_handler(signal);
        }
    }

    fn goes_on(&self) -> bool {
        self.0.get() == Some(SIGCONT)
    }
}

/// Whether the child has neither stopped nor ended. That it has stopped stays to be seen until it goes on.
fn runs(child: Pid) -> bool {
    let child = nix::unistd::Pid::from_raw(child.as_raw_nonzero().get());
    let look =
        WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    matches!(waitid(Id::Pid(child), look), Ok(WaitStatus::StillAlive))
}
