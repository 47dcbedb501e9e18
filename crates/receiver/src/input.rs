//! Standard input with a deadline, that can be told to stop.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How long nothing may come.
pub const IDLE: Duration = Duration::from_secs(60);
/// How often is looked whether it should stop.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// What a pipe may hold without privilege. The larger it is, the fewer switches between the writer and
/// this process.
const PIPE: usize = 1024 * 1024;

/// Set by a signal: whoever waits gives up.
pub type Stop = Arc<AtomicBool>;

/// The two streams of the process.
#[derive(Debug)]
pub struct Standard {
    stop: Stop,
}

impl Standard {
    /// The process's own streams.
    pub fn new(stop: Stop) -> Self {
        // Only a matter of speed, and not every input is a pipe.
        let _ = rustix::pipe::fcntl_setpipe_size(io::stdin(), PIPE);
        Self { stop }
    }
}

impl Read for Standard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stdin = io::stdin();
        let stdin = stdin.as_fd();
        let until = Instant::now() + IDLE;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::other("stopped by a signal"));
            }
            let mut ready = [PollFd::from_borrowed_fd(stdin, PollFlags::IN)];
            match poll(&mut ready, Some(&LOOK)) {
                Ok(0) if Instant::now() >= until => return Err(io::ErrorKind::TimedOut.into()),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => match rustix::io::read(stdin, &mut *buffer) {
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    other => return Ok(other?),
                },
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Write for Standard {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        io::stdout().write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
