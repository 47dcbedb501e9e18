//! One process at a time in a state folder, by `flock`: the kernel gives the lock back when its holder
//! dies, however it dies. The file names the holder for the message only.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use sealock_core::policy::plain;

use super::StateError;

/// Between two attempts to get a lock that another process has.
const PAUSE: Duration = Duration::from_millis(20);

/// What the lock is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The daemon: until it ends.
    Up,
    /// The gateway alone: until it ends.
    Gateway,
    /// The Token Broker alone: until it ends.
    Broker,
    /// One command.
    Command,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Gateway => "gateway",
            Self::Broker => "broker",
            Self::Command => "command",
        }
    }
}

/// The lock; gone when this is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock, waiting at most `wait`.
pub(super) fn take(path: &Path, purpose: Purpose, wait: Duration) -> Result<Lock, StateError> {
    let unusable = |source| StateError::Unusable { path: path.to_owned(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(unusable)?;
    let began = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(unusable(error.into())),
        }
        let (pid, held_for) = holder(&mut file);
        // A daemon does not go away by itself. The line may be one that a dead daemon left, while a new
        // holder has not yet written its own.
        let daemons = [Purpose::Up, Purpose::Gateway, Purpose::Broker].map(Purpose::as_str);
        let lasting =
            daemons.contains(&held_for.as_str()) && Path::new("/proc").join(&pid).exists();
        if lasting || began.elapsed() >= wait {
            let folder = path.parent().unwrap_or(path).to_owned();
            return Err(StateError::InUse { path: folder, pid, purpose: held_for });
        }
        std::thread::sleep(PAUSE);
    }
    let line = format!("{} {}\n", std::process::id(), purpose.as_str());
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(line.as_bytes()))
        .map_err(unusable)?;
    Ok(Lock { _file: file })
}

/// Who has it, as the file says: it may be from before the present holder wrote its own line.
fn holder(file: &mut File) -> (String, String) {
    let mut text = String::new();
    let read: io::Result<usize> =
        file.rewind().and_then(|()| file.take(64).read_to_string(&mut text));
    let words: Vec<&str> =
        if read.is_ok() { text.split_whitespace().collect() } else { Vec::new() };
    match words.as_slice() {
        [pid, purpose] => (plain(pid), plain(purpose)),
        _ => ("unknown".to_owned(), "unknown".to_owned()),
    }
}
