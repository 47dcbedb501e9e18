//! The helper's process: started from memory, asked with a deadline, killed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, OFlags, SealFlags};
use rustix::process::{Pid, Signal};
use sealock_hsm_wire::{Reply, Request, WireError, length};
use thiserror::Error;
use zeroize::Zeroizing;

/// So many lines of what a module says are kept in the log.
const MOST_LINES: usize = 200;
/// And so much of each.
const LONGEST_LINE: u64 = 500;

/// Why there was no answer.
#[derive(Debug, Error)]
pub(crate) enum ProcessError {
    #[error("it has ended")]
    Ended,
    #[error("too late")]
    Late,
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Io(io::Error),
}

/// A running helper.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    last_words: Arc<Mutex<String>>,
}

impl Process {
    /// Starts a helper. It dies with the thread that called this.
    pub(crate) fn start(program: &[u8], environment: &[(String, String)]) -> io::Result<Self> {
        let program = in_memory(program)?;
        let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
        command.arg0("sealock-hsm-helper").arg(std::process::id().to_string());
        command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
        command.current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        drop(program);
        let taken = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = taken else {
            return Err(io::Error::other("no pipes"));
        };
        let last_words = Arc::new(Mutex::new(String::new()));
        let process = Self { child, input, output, last_words };
        rustix::fs::fcntl_setfl(&process.input, OFlags::NONBLOCK)?;
        rustix::fs::fcntl_setfl(&process.output, OFlags::NONBLOCK)?;
        let heard = Arc::clone(&process.last_words);
        std::thread::Builder::new().name("hsm-log".into()).spawn(move || listen(errors, &heard))?;
        Ok(process)
    }

    /// What it has said last on standard error.
    pub(crate) fn last_words(&self) -> String {
        // What was written before its end may still be on its way.
        for _ in 0..20 {
            let words = self.last_words.lock().clone();
            if !words.is_empty() {
                return words;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        String::new()
    }

    /// Whether it is there, and has said nothing unasked.
    pub(crate) fn is_idle(&self) -> bool {
        let mut state = [PollFd::new(&self.output, PollFlags::IN | PollFlags::HUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut state, Some(&now)).is_ok_and(|ready| ready == 0)
    }

    /// Asks, and waits for the answer until then.
    pub(crate) fn ask(&mut self, request: &Request, until: Instant) -> Result<Reply, ProcessError> {
        let frame = request.frame()?;
        self.write(&frame, until)?;
        let mut head = [0; 4];
        self.read(&mut head, until)?;
        let mut content = Zeroizing::new(vec![0; length(head)?]);
        self.read(&mut content, until)?;
        Ok(Reply::read(&content)?)
    }

    fn write(&mut self, mut bytes: &[u8], until: Instant) -> Result<(), ProcessError> {
        while !bytes.is_empty() {
            wait(&self.input, PollFlags::OUT, until)?;
            match self.input.write(bytes) {
                Ok(0) => return Err(ProcessError::Ended),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) => passing(error)?,
            }
        }
        Ok(())
    }

    fn read(&mut self, mut bytes: &mut [u8], until: Instant) -> Result<(), ProcessError> {
        while !bytes.is_empty() {
            wait(&self.output, PollFlags::IN, until)?;
            match self.output.read(bytes) {
                Ok(0) => return Err(ProcessError::Ended),
                Ok(count) => bytes = bytes.get_mut(count..).unwrap_or_default(),
                Err(error) => passing(error)?,
            }
        }
        Ok(())
    }
}

impl Drop for Process {
    /// Killed with all that it has started, and waited for.
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program as a file that has no name and cannot be changed.
fn in_memory(program: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let name = "sealock-hsm-helper";
    let made = match rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC) {
        // Before Linux 6.3 all of them can be executed.
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create(name, flags),
        outcome => outcome,
    }?;
    let mut file = File::from(made);
    file.write_all(program)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

fn passing(error: io::Error) -> Result<(), ProcessError> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
        io::ErrorKind::BrokenPipe => Err(ProcessError::Ended),
        _ => Err(ProcessError::Io(error)),
    }
}

fn wait(pipe: &impl AsFd, what: PollFlags, until: Instant) -> Result<(), ProcessError> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ProcessError::Late);
        }
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(pipe, what)], Some(&left)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(ProcessError::Io(error.into())),
        }
    }
}

/// Puts what a module says into the log, up to a limit, and reads on for as long as it speaks: it must not be held up.
fn listen(errors: ChildStderr, last_words: &Mutex<String>) {
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    for count in 0.. {
        line.clear();
        match errors.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if count < MOST_LINES => {
                let text = sealock_core::policy::plain(String::from_utf8_lossy(&line).trim());
                if text.is_empty() {
                    continue;
                }
                tracing::info!(module = %text, "the HSM's module");
                *last_words.lock() = text;
            }
            Ok(_) => {}
        }
    }
}
