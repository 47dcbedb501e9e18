//! A provider's processes: with nothing but their three streams, watched many at a time, and ended with all that
//! belongs to them.
//!
//! The process leads a group of its own, so that its children can be ended with it. Its number is not given
//! back to the system (it is not reaped) before the last signal was sent to the group, so that no signal
//! reaches a stranger. Where the provider may ask at the terminal it has to stay in our group, or the terminal
//! would stop it; then its descendants are looked up in /proc instead.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, pidfd_open,
    waitid, waitpid,
};

use super::cancel::Cancel;
use super::launch::Streams;
use super::tree::Tree;

/// How long a provider may take to end when it is asked to, before it is made to.
const GRACE: Duration = Duration::from_millis(300);
/// How long the kernel may take to end what it was told to kill.
const KILLED: Duration = Duration::from_secs(2);
/// How often to look for the end of a process where the kernel does not tell.
const GLANCE: Duration = Duration::from_millis(5);

/// A process that has been started and not been reaped.
pub(super) struct Running {
    pid: Pid,
    /// Readable once it has ended; not there on old kernels.
    end: Option<OwnedFd>,
    /// Whether its end has been seen.
    ended: bool,
    own_group: bool,
    /// That it was asked to end.
    asked: Option<Asked>,
    reaped: bool,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
}

/// A request to end.
struct Asked {
    /// Its descendants, where no group holds them together.
    tree: Option<Tree>,
    /// When patience is over.
    until: Instant,
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
    /// A process that has just been started.
    pub(super) fn new(pid: Pid, streams: Streams, own_group: bool) -> Self {
        Self {
            pid,
            end: pidfd_open(pid, PidfdFlags::empty()).ok(),
            ended: false,
            own_group,
            asked: None,
            reaped: false,
            stdin: streams.stdin,
            stdout: Some(streams.stdout),
            stderr: Some(streams.stderr),
        }
    }

    /// Waits until there is something to do, or until `until`. That it has ended is said each time.
    pub(super) fn wait(
        &mut self,
        until: Instant,
        write: bool,
        cancel: Option<&Cancel>,
    ) -> io::Result<Woken> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() && !cancel.is_some_and(Cancel::is_cancelled) {
            return Ok(Woken::Late);
        }
        let ready = look_at(&mut [self], write, left, cancel)?;
        let first = ready.and_then(|ready| ready.into_iter().next());
        Ok(first.map_or(Woken::Cancelled, Woken::Ready))
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

    /// Asks it to end, and listens to it no more. It is made to when it is dropped; to drop it before patience is
    /// over waits for that.
    pub(super) fn ask_to_end(&mut self) {
        if self.asked.is_some() {
            return;
        }
        let tree = if self.own_group { None } else { Some(Tree::of(self.pid)) };
        self.signal(Signal::TERM, tree.as_ref());
        self.asked = Some(Asked { tree, until: Instant::now() + GRACE });
        (self.stdin, self.stdout, self.stderr) = (None, None, None);
    }

    /// When the patience with one that was asked to end is over.
    pub(super) fn patience(&self) -> Option<Instant> {
        self.asked.as_ref().map(|asked| asked.until)
    }

    fn end_all(&mut self) {
        self.ask_to_end();
        let Some(mut asked) = self.asked.take() else { return };
        self.wait_for_end(asked.until);
        if let Some(tree) = &mut asked.tree {
            tree.grow();
        }
        self.signal(Signal::KILL, asked.tree.as_ref());
        if self.wait_for_end(Instant::now() + KILLED) {
            // It has ended, so this does not wait.
            let _ = self.exit_status();
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
        self.exit_status()
    }

    fn exit_status(&self) -> io::Result<ExitStatus> {
        loop {
            match waitpid(Some(self.pid), WaitOptions::empty()) {
                Err(Errno::INTR) | Ok(None) => {}
                Ok(Some((_, status))) => return Ok(ExitStatus::from_raw(status.as_raw())),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn signal(&self, signal: Signal, tree: Option<&Tree>) {
        match tree {
            Some(tree) => tree.signal(signal),
            // There is nobody left, or it is not ours to signal: both cannot be helped.
            None => drop(kill_process_group(self.pid, signal)),
        }
    }

    fn wait_for_end(&self, until: Instant) -> bool {
        while !self.has_ended() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let left = if self.end.is_none() { left.min(GLANCE) } else { left };
            let mut ended = false;
            let mut watched = Watched::with_capacity(1);
            watched.add(self.end.as_ref(), PollFlags::IN, &mut ended);
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

/// What each of these has for us, as soon as one of them has something, or after `span`; nothing when it was cancelled.
/// `write`: there is something to be written, too.
pub(super) fn look_at(
    all: &mut [&mut Running],
    write: bool,
    span: Duration,
    cancel: Option<&Cancel>,
) -> io::Result<Option<Vec<Ready>>> {
    if cancel.is_some_and(Cancel::is_cancelled) {
        return Ok(None);
    }
    let blind = all.iter().any(|one| one.end.is_none());
    let span = if blind { span.min(GLANCE) } else { span };
    let mut ready = vec![Ready::default(); all.len()];
    let mut cancelled = false;
    let mut watched = Watched::with_capacity(4 * all.len() + 1);
    for (one, ready) in all.iter().zip(&mut ready) {
        watched.add(one.stdin.as_ref().filter(|_| write), PollFlags::OUT, &mut ready.stdin);
        watched.add(one.stdout.as_ref(), PollFlags::IN, &mut ready.stdout);
        watched.add(one.stderr.as_ref(), PollFlags::IN, &mut ready.stderr);
        // Once it has ended, its descriptor would wake us for ever.
        watched.add(one.end.as_ref().filter(|_| !one.ended), PollFlags::IN, &mut ready.ended);
    }
    if let Some(cancel) = cancel {
        watched.add(Some(cancel), PollFlags::IN, &mut cancelled);
    }
    watched.wait(span)?;
    if cancelled {
        return Ok(None);
    }
    for (one, ready) in all.iter_mut().zip(&mut ready) {
        one.ended |= ready.ended || (one.end.is_none() && one.has_ended());
        ready.ended = one.ended;
    }
    Ok(Some(ready))
}

/// Descriptors to wait for, and what to set when there is something.
struct Watched<'a> {
    streams: Vec<PollFd<'a>>,
    flags: Vec<&'a mut bool>,
}

impl<'a> Watched<'a> {
    fn with_capacity(capacity: usize) -> Self {
        Self { streams: Vec::with_capacity(capacity), flags: Vec::with_capacity(capacity) }
    }

    fn add(&mut self, stream: Option<&'a impl AsFd>, events: PollFlags, flag: &'a mut bool) {
        if let Some(stream) = stream {
            self.streams.push(PollFd::new(stream, events));
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
