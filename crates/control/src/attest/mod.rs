//! Which container is at the other end of a unix socket, as kernel and engine say, never as the caller does.
//!
//! ```text
//! connect → the kernel's handle on the process that called it (SO_PEERPIDFD)
//!   → its control group: a claim which container it is in
//!   → the engine: that container's first process, pinned → is its mount namespace the caller's?
//!   → the engine again: is it still that process, by that name? → attested
//! ```
//!
//! **What an attacker controls:** when they connect, fork, die, and hand the connection on; the names of
//! control groups, where they may make any; the names and mounts of containers that they may make.
//!
//! - *A number used again.* The kernel keeps the process of the `connect`, not its number, so a connection
//!   that waited in the queue until its number was another's is nobody's.
//! - *Another container's control group.* It is a claim only. Each container has a mount namespace of its own,
//!   and to enter another's takes rights over the host; so the namespace is the proof.
//! - *Connections that are handed on* are still of the container that made them.
//! - *The end, and a new name, of the container* cut its connections: the pidfd of its first process tells the
//!   one, the engine's events the other. A connection takes its seat before the engine is asked, so what
//!   happens meanwhile is not missed.

mod error;
mod process;
mod seats;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use nix::sys::socket::{getsockopt, sockopt::PeerPidfd};
use rustix::process::Pid;
use sealock_engine::{Container, Engine, EngineError, EventKind};
use sealock_net::Shutdown;
use sealock_net::proxy::Cut;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::task::AbortHandle;

pub(crate) use error::AttestError;
use process::{Process, named_containers};
pub(crate) use seats::Socket;
use seats::{Seat, Seats};

/// Control groups inside control groups that are looked at: an engine in a container has one more.
const NESTED: usize = 4;
/// Until the engine's events are asked for again.
const AGAIN: Duration = Duration::from_secs(1);
/// Events that came this long before they were asked for are looked at too.
const MARGIN: Duration = Duration::from_secs(2);

/// Finds containers out, and keeps their connections.
#[derive(Debug)]
pub(crate) struct Attester {
    engine: Engine,
    /// The folders of the sockets, which containers may not write to.
    folders: Vec<PathBuf>,
    seats: Arc<Seats>,
}

/// A container with a connection.
#[derive(Debug)]
pub(crate) struct Attested {
    /// Which.
    pub(crate) container: Container,
    seat: Seat,
    end: AbortHandle,
}

impl Attested {
    /// Ends the connection: when the container stops, is removed, or has another name.
    pub(crate) fn cut(&self) -> Cut {
        self.seat.cut()
    }
}

impl Drop for Attested {
    fn drop(&mut self) {
        self.end.abort();
    }
}

/// Whether this kernel says which process is at the other end.
pub(crate) fn is_supported() -> bool {
    let pair = std::os::unix::net::UnixStream::pair();
    pair.is_ok_and(|(one, _)| getsockopt(&one, PeerPidfd).is_ok())
}

impl Attester {
    /// For connections to sockets in these folders.
    pub(crate) fn new(engine: Engine, folders: &[&Path]) -> Self {
        let real =
            |folder: &&Path| std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
        Self { engine, folders: folders.iter().map(real).collect(), seats: Arc::default() }
    }

    /// Which container connected.
    pub(crate) async fn attest(
        &self,
        stream: &UnixStream,
        socket: Socket,
    ) -> Result<Attested, AttestError> {
        let peer = peer(stream)?;
        let groups = peer.control_groups().map_err(AttestError::Process)?;
        let mut outcome = AttestError::NoContainer;
        for id in named_containers(&groups).into_iter().take(NESTED) {
            match self.is_in(&peer, id, socket).await {
                Ok(attested) => return Ok(attested),
                // Perhaps one further in is of this engine.
                Err(AttestError::NoContainer) => {}
                Err(AttestError::Elsewhere) => outcome = AttestError::Elsewhere,
                Err(error) => return Err(error),
            }
        }
        Err(outcome)
    }

    /// The container of this id, if the process is in it.
    async fn is_in(
        &self,
        peer: &Process,
        id: &str,
        socket: Socket,
    ) -> Result<Attested, AttestError> {
        let limit = socket.most();
        let seat = self.seats.take(id, socket).ok_or(AttestError::TooMany { limit })?;
        let claimed = self.inspect(id).await?;
        let first = claimed.pid.ok_or(AttestError::Stopped)?;
        let init = Process::numbered(first).map_err(|_| AttestError::Stopped)?;
        let groups = init.control_groups().map_err(|_| AttestError::Stopped)?;
        if !named_containers(&groups).contains(&id) {
            return Err(AttestError::Stopped);
        }
        let (own, of_init) = (peer.mount_namespace(), init.mount_namespace());
        let same = own.map_err(AttestError::Process)? == of_init.map_err(AttestError::Process)?;
        peer.expect_alive().map_err(AttestError::Process)?;
        if !same {
            return Err(AttestError::Elsewhere);
        }
        seat.named(&claimed.name);
        let container = self.inspect(id).await?;
        let unchanged = container.pid == claimed.pid
            && container.started_at == claimed.started_at
            && container.name == claimed.name;
        if !unchanged || init.expect_alive().is_err() {
            return Err(AttestError::Stopped);
        }
        if self.is_writable_in(&container) {
            return Err(AttestError::Writable { container: container.name });
        }
        let end = cut_at_end(init.into_pidfd(), seat.cut()).map_err(AttestError::Process)?;
        Ok(Attested { container, seat, end })
    }

    /// Cuts what a container has open: it is somebody else from now on.
    pub(crate) fn cut(&self, id: &str) {
        self.seats.cut(id);
    }

    async fn inspect(&self, id: &str) -> Result<Container, AttestError> {
        match self.engine.inspect(id).await {
            Ok(container) if container.id == id => Ok(container),
            Ok(_) | Err(EngineError::NoSuchContainer { .. }) => Err(AttestError::NoContainer),
            Err(error) => Err(AttestError::Engine(error)),
        }
    }

    /// What the engine says of a container now, as long as it runs.
    pub(crate) async fn running(&self, id: &str) -> Result<Option<Container>, AttestError> {
        match self.inspect(id).await {
            Ok(container) => Ok(Some(container).filter(|it| it.running && it.pid.is_some())),
            Err(AttestError::NoContainer) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the folder of a socket, or one above it, is mounted so that the container may write there.
    fn is_writable_in(&self, container: &Container) -> bool {
        let writable =
            container.mounts.iter().filter(|mount| mount.writable && mount.kind == "bind");
        let real = |source: &str| std::fs::canonicalize(source).unwrap_or_else(|_| source.into());
        writable.into_iter().any(|mount| {
            let source = real(&mount.source);
            self.folders.iter().any(|folder| folder.starts_with(&source))
        })
    }

    /// Cuts the connections of containers that get another name, until the shutdown signal.
    pub(crate) async fn follow(self: Arc<Self>, shutdown: Shutdown) {
        loop {
            let mut events = self.engine.events(since(SystemTime::now()));
            tokio::select! {
                () = shutdown.triggered() => return,
                () = async {
                    // What happened while nobody listened; what happens from here on is an event.
                    self.look_again().await;
                    while let Some(Ok(event)) = events.next().await {
                        if event.kind == EventKind::Renamed {
                            self.seats.cut(&event.container);
                        }
                    }
                } => {}
            }
            tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Cuts the connections of containers that cannot be seen to have the name that let them in.
    async fn look_again(&self) {
        for (id, name) in self.seats.names() {
            if self.inspect(&id).await.is_ok_and(|container| container.name == name) {
                continue;
            }
            self.seats.cut(&id);
        }
    }
}

/// Nanoseconds, as the engine's events are asked for.
fn since(now: SystemTime) -> Option<i64> {
    let from = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.saturating_sub(MARGIN);
    i64::try_from(from.as_nanos()).ok()
}

/// The process that connected.
fn peer(stream: &UnixStream) -> Result<Process, AttestError> {
    let number = stream.peer_cred().map_err(AttestError::NoPeer)?.pid();
    let pidfd = getsockopt(stream, PeerPidfd).map_err(|error| match error {
        nix::errno::Errno::ENOPROTOOPT => AttestError::NoPeer(error.into()),
        gone => AttestError::Process(gone.into()),
    })?;
    // Zero is a process that this one cannot see: of another pid namespace than ours and those below.
    let number = number.and_then(Pid::from_raw).ok_or(AttestError::NoContainer)?;
    Process::behind(pidfd, number).map_err(AttestError::Process)
}

/// Gives the signal when the process behind the pidfd ends.
fn cut_at_end(pidfd: OwnedFd, cut: Cut) -> io::Result<AbortHandle> {
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for those who do not own the descriptor"
    )]
    let end = AsyncFd::with_interest(pidfd, Interest::READABLE)?;
    let watch = tokio::spawn(async move {
        let _ = end.readable().await;
        cut.now();
    });
    Ok(watch.abort_handle())
}

#[cfg(test)]
mod tests;
