//! Taking a process's place without a moment in which nobody listens.
//!
//! ```text
//! new: connects to the path                     old: who is it? only our own user
//! new: has the listening sockets            ←   old: hands them over (SCM_RIGHTS), and goes on
//! new: hears the broker, begins to serve
//! new: "ready", and waits at the path itself  →  old: takes nothing more, and finishes what it has
//! ```
//!
//! It is the same socket in both, so a connection that waits to be taken is taken by one of them. Should the new one die
//! before it is ready, the old one has never stopped.
//!
//! **What an attacker controls:** nothing, unless they are the same user. Both sides ask the kernel who is at the other
//! end: whoever gets the socket serves in our name, and whoever hands one over decides where callers arrive.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use sealock_net::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::inherit::listening;
use crate::error::{ErrorCode, ServiceError};

/// What comes with the sockets.
const GREETING: &[u8] = b"sealock-handover 1\n";
const READY: &[u8] = b"ready\n";
/// More are never handed over.
const MOST: usize = 4;
/// For the other process to say what it has to say at once.
const AT_ONCE: Duration = Duration::from_secs(5);
/// For the new one to hear the broker.
pub(super) const GET_READY: Duration = Duration::from_secs(60);

/// What the process before us has handed over.
pub(super) struct Taken {
    pub(super) sockets: Vec<TcpListener>,
    before: UnixStream,
}

/// Asks for the sockets of the process before us; none if there is none.
pub(super) async fn take(path: &Path) -> Result<Option<Taken>, ServiceError> {
    let failed = |error: &io::Error| {
        let text = format!("the sockets are not handed over at {}", path.display());
        ServiceError::new(ErrorCode::Failed, text)
            .caused_by(error)
            .hint("does a process of the same user run there? remove the file if none does")
    };
    let before = match UnixStream::connect(path).await {
        Ok(before) => before,
        // Nobody was there, or nobody is any more.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(&error)),
    };
    let taking = async {
        is_ours(&before)?;
        before.async_io(Interest::READABLE, || receive(&before)).await
    };
    let sockets =
        timeout(AT_ONCE, taking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let sockets = sockets.map_err(|error| failed(&error))?;
    Ok(Some(Taken { sockets: sockets.into_iter().filter_map(listening).collect(), before }))
}

impl Taken {
    /// Tells the one before us that we serve.
    pub(super) async fn ready(mut self) {
        if let Err(error) = self.before.write_all(READY).await {
            tracing::warn!(%error, "the process before us is gone already");
        }
    }
}

/// Where whoever comes after us asks.
pub(super) struct Offer {
    listener: UnixListener,
    /// It is put in place when we serve: until then it is the place of the one before us.
    bound: PathBuf,
    path: PathBuf,
}

impl Offer {
    pub(super) fn prepare(path: &Path) -> Result<Self, ServiceError> {
        let mut bound = path.as_os_str().to_owned();
        bound.push(format!(".{}", std::process::id()));
        let bound = PathBuf::from(bound);
        let bind = || {
            let listener = UnixListener::bind(&bound)?;
            std::fs::set_permissions(&bound, std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        let listener = bind().map_err(|error: io::Error| {
            let text = format!("cannot make a socket beside {}", path.display());
            ServiceError::new(ErrorCode::Failed, text).caused_by(&error)
        })?;
        Ok(Self { listener, bound, path: path.to_owned() })
    }

    pub(super) fn put_in_place(&self) -> Result<(), ServiceError> {
        std::fs::rename(&self.bound, &self.path).map_err(|error| {
            let text = format!("cannot put a socket at {}", self.path.display());
            ServiceError::new(ErrorCode::Failed, text).caused_by(&error)
        })
    }

    /// Hands the sockets over to whoever comes, one after another, until one of them is ready; then the signal is given.
    pub(super) async fn wait(self, sockets: Vec<OwnedFd>, handed_over: Shutdown) {
        loop {
            let mut next = match self.listener.accept().await {
                Ok((next, _)) => next,
                Err(error) => {
                    tracing::warn!(%error, "nobody can take our place");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let handing = async {
                is_ours(&next)?;
                next.async_io(Interest::WRITABLE, || send(&next, &sockets)).await
            };
            let handed = timeout(AT_ONCE, handing).await;
            if let Err(error) = handed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                tracing::warn!(%error, "the sockets are not handed over");
                continue;
            }
            let mut word = [0; READY.len()];
            // For as long as it lives: were it left alone sooner, both would serve, and nobody would end us.
            let heard = next.read_exact(&mut word).await;
            if heard.is_ok() && word == *READY {
                tracing::info!("another process serves in our place");
                return handed_over.trigger();
            }
            tracing::warn!("the process that was to take our place is gone; we go on");
        }
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        // Only if it is not in place: what is there then may be another's already.
        let _ = std::fs::remove_file(&self.bound);
    }
}

fn is_ours(stream: &UnixStream) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if uid == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("uid {uid} is another user")))
}

fn send(stream: &UnixStream, sockets: &[OwnedFd]) -> io::Result<()> {
    let borrowed: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let sent = sendmsg(stream, &[IoSlice::new(GREETING)], &mut control, SendFlags::NOSIGNAL)?;
    // So few bytes go at once or not at all.
    if sent == GREETING.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

fn receive(stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut bytes = [0; GREETING.len()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            sockets.extend(fds);
        }
    }
    let is_whole = got.bytes == GREETING.len() && !got.flags.contains(ReturnFlags::CTRUNC);
    if is_whole && bytes == *GREETING && !sockets.is_empty() {
        Ok(sockets)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "it speaks another language"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> (OwnedFd, std::net::SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener.into(), address)
    }

    #[tokio::test]
    async fn the_same_socket_is_handed_over_and_who_is_not_ready_takes_no_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handover");
        assert!(take(&path).await.unwrap().is_none());
        let offer = Offer::prepare(&path).unwrap();
        assert!(!path.exists());
        offer.put_in_place().unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let ((socket, address), over) = (socket(), Shutdown::default());
        let waiting = tokio::spawn(offer.wait(vec![socket], over.clone()));
        // One that takes it and dies.
        let taken = take(&path).await.unwrap().unwrap();
        assert_eq!(taken.sockets[0].local_addr().unwrap(), address);
        drop(taken);
        assert!(!over.is_triggered());
        let taken = take(&path).await.unwrap().unwrap();
        let next = Offer::prepare(&path).unwrap();
        next.put_in_place().unwrap();
        taken.ready().await;
        timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
        assert!(over.is_triggered());
        // The one before us has left its successor's socket where it is.
        assert!(UnixStream::connect(&path).await.is_ok());
        drop(next);
        // What a process leaves behind is no hindrance.
        assert!(take(&path).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn whoever_speaks_otherwise_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        for (number, said) in [&b"sealock-handover 2\n"[..], GREETING, b""].into_iter().enumerate()
        {
            let path = folder.path().join(number.to_string());
            let listener = UnixListener::bind(&path).unwrap();
            let speaking = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(said).await.unwrap();
            };
            let (taken, ()) = tokio::join!(take(&path), speaking);
            assert_eq!(taken.err().unwrap().code, ErrorCode::Failed, "{said:?}");
        }
    }
}
