//! A provider's process: started with nothing but its three streams, watched, and ended with all that belongs
//! to it.
//!
//! The process leads a group of its own, so that its children can be ended with it. Its number is not given
//! back to the system (it is not reaped) before the last signal was sent to the group, so that no signal
//! reaches a stranger. Where the provider may ask at the terminal it has to stay in our group, or the terminal
//! would stop it; then its descendants are looked up in /proc instead.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

use super::cancel::Cancel;
use super::tree::Tree;

/// How long a provider may take to end when it is asked to, before it is made to.
const GRACE: Duration = Duration::from_millis(300);
/// How long the kernel may take to end what it was told to kill.
const KILLED: Duration = Duration::from_secs(2);
/// How often to look for the end of a process where the kernel does not tell.
const GLANCE: Duration = Duration::from_millis(5);
/// A file that is being written cannot be executed; whoever installs a provider has finished by then.
const BUSY: Duration = Duration::from_millis(500);

/// A process that has been started and not been reaped.
pub(super) struct Running {
    child: Child,
    pid: Pid,
    /// Readable once it has ended; not there on old kernels.
    end: Option<OwnedFd>,
    /// Whether its end has been seen.
    ended: bool,
    own_group: bool,
    reaped: bool,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
}

/// What there is to do.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Ready {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) ended: bool,
}

/// Why a wait came to its end.
#[derive(Debug)]
pub(super) enum Woken {
    Ready(Ready),
    Cancelled,
    Late,
}

/// What a read came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Some,
    Nothing,
    End,
}

impl Running {
    /// Starts it. `asked`: we write to its standard input, which is empty otherwise. `at_terminal`: it stays in
    /// our process group.
    pub(super) fn start(mut command: Command, asked: bool, at_terminal: bool) -> io::Result<Self> {
        keep_exit_codes()?;
        let input = if asked { Stdio::piped() } else { Stdio::null() };
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        if !at_terminal {
            command.process_group(0);
        }
        let mut child = spawn(&mut command)?;
        let pid = Pid::from_child(&child);
        let mut running = Self {
            stdin: child.stdin.take().map(OwnedFd::from),
            stdout: child.stdout.take().map(OwnedFd::from),
            stderr: child.stderr.take().map(OwnedFd::from),
            child,
            pid,
            end: None,
            ended: false,
            own_group: !at_terminal,
            reaped: false,
        };
        running.end = pidfd_open(pid, PidfdFlags::empty()).ok();
        for stream in [&running.stdin, &running.stdout, &running.stderr].into_iter().flatten() {
            // Ours only: the other end of a pipe has flags of its own.
            rustix::io::ioctl_fionbio(stream, true)?;
        }
        Ok(running)
    }

    /// Waits until there is something to do, or until `until`. That it has ended is said each time.
    pub(super) fn wait(
        &mut self,
        until: Instant,
        write: bool,
        cancel: Option<&Cancel>,
    ) -> io::Result<Woken> {
        if cancel.is_some_and(Cancel::is_cancelled) {
            return Ok(Woken::Cancelled);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Woken::Late);
        }
        let left = if self.end.is_none() { left.min(GLANCE) } else { left };
        let stdin = self.stdin.as_ref().filter(|_| write).map(AsFd::as_fd);
        // Once it has ended, its descriptor would wake us for ever.
        let end = self.end.as_ref().filter(|_| !self.ended).map(AsFd::as_fd);
        let mut ready = Ready::default();
        let mut cancelled = false;
        let mut watched = Watched::default();
        watched.add(stdin, PollFlags::OUT, &mut ready.stdin);
        watched.add(self.stdout.as_ref().map(AsFd::as_fd), PollFlags::IN, &mut ready.stdout);
        watched.add(self.stderr.as_ref().map(AsFd::as_fd), PollFlags::IN, &mut ready.stderr);
        watched.add(end, PollFlags::IN, &mut ready.ended);
        watched.add(cancel.map(Cancel::as_fd), PollFlags::IN, &mut cancelled);
        watched.wait(left)?;
        if cancelled {
            return Ok(Woken::Cancelled);
        }
        self.ended |= ready.ended || (self.end.is_none() && self.has_ended());
        ready.ended = self.ended;
        Ok(Woken::Ready(ready))
    }

    /// Whether the process itself has ended; its children may go on.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::Pid(self.pid), options) {
                Err(Errno::INTR) => {}
                Ok(None) => return false,
                // An error says that it is no child of ours any more.
                Ok(Some(_)) | Err(_) => return true,
            }
        }
    }

    /// Ends it and what belongs to it: asked first, then made to.
    pub(super) fn end(mut self) {
        self.end_all();
    }

    fn end_all(&mut self) {
        let mut tree = if self.own_group { None } else { Some(Tree::of(self.pid)) };
        self.signal(Signal::TERM, tree.as_ref());
        self.stdin = None;
        self.wait_for_end(GRACE);
        if let Some(tree) = &mut tree {
            tree.grow();
        }
        self.signal(Signal::KILL, tree.as_ref());
        if self.wait_for_end(KILLED) {
            // It has ended, so this does not wait.
            let _ = self.child.wait();
        }
        self.reaped = true;
    }

    /// Takes the exit code of a process that has ended. With `leftovers`, what it has left in its group is
    /// ended, too.
    pub(super) fn reap(mut self, leftovers: bool) -> io::Result<ExitStatus> {
        if leftovers && self.own_group {
            self.signal(Signal::KILL, None);
        }
        self.reaped = true;
        self.child.wait()
    }

    fn signal(&self, signal: Signal, tree: Option<&Tree>) {
        match tree {
            Some(tree) => tree.signal(signal),
            // There is nobody left, or it is not ours to signal: both cannot be helped.
            None => drop(kill_process_group(self.pid, signal)),
        }
    }

    fn wait_for_end(&self, span: Duration) -> bool {
        let until = Instant::now() + span;
        while !self.has_ended() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let left = if self.end.is_none() { left.min(GLANCE) } else { left };
            let mut ended = false;
            let mut watched = Watched::default();
            watched.add(self.end.as_ref().map(AsFd::as_fd), PollFlags::IN, &mut ended);
            if watched.wait(left).is_err() {
                return false;
            }
        }
        true
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            self.end_all();
        }
    }
}

/// Descriptors to wait for, and what to set when there is something.
#[derive(Default)]
struct Watched<'a> {
    streams: Vec<PollFd<'a>>,
    flags: Vec<&'a mut bool>,
}

impl<'a> Watched<'a> {
    fn add(&mut self, stream: Option<BorrowedFd<'a>>, events: PollFlags, flag: &'a mut bool) {
        if let Some(stream) = stream {
            self.streams.push(PollFd::from_borrowed_fd(stream, events));
            self.flags.push(flag);
        }
    }

    fn wait(mut self, span: Duration) -> io::Result<()> {
        let span = Timespec {
            tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: span.subsec_nanos().into(),
        };
        match poll(&mut self.streams, Some(&span)) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        for (stream, flag) in self.streams.iter().zip(self.flags) {
            // Hang-ups and errors too: reading or writing tells what they are.
            *flag = !stream.revents().is_empty();
        }
        Ok(())
    }
}

/// Reads once. At the end of the stream it is closed and forgotten.
pub(super) fn read_once<E>(
    stream: &mut Option<OwnedFd>,
    scratch: &mut [u8],
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<Read, E>
where
    E: From<Errno>,
{
    let Some(open) = stream.as_ref() else { return Ok(Read::End) };
    match rustix::io::read(open, &mut *scratch) {
        Ok(0) => {
            *stream = None;
            Ok(Read::End)
        }
        Ok(length) => {
            take(scratch.get(..length).unwrap_or_default())?;
            Ok(Read::Some)
        }
        Err(Errno::AGAIN | Errno::INTR) => Ok(Read::Nothing),
        Err(errno) => Err(errno.into()),
    }
}

fn spawn(command: &mut Command) -> io::Result<Child> {
    let until = Instant::now() + BUSY;
    loop {
        match command.spawn() {
            Err(error)
                if error.raw_os_error() == Some(Errno::TXTBSY.raw_os_error())
                    && Instant::now() < until =>
            {
                thread::sleep(GLANCE);
            }
            other => return other,
        }
    }
}

/// A process that was started with SIGCHLD ignored gets no exit codes of its children. A handler, which does
/// nothing, makes the kernel keep them.
fn keep_exit_codes() -> io::Result<()> {
    static HANDLER: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if HANDLER.get().is_none() {
        let flag = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGCHLD, Arc::clone(&flag))?;
        // A second thread may have been here meanwhile; two handlers do no harm.
        let _ = HANDLER.set(flag);
    }
    Ok(())
}
