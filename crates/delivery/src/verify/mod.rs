//! Seeing which certificate a service in a container really serves (ADR 0008).
//!
//! On a local engine a thread of its own enters the container's network namespace and connects to
//! loopback, then to the container's addresses, so any network mode and loopback-only listeners work.
//! That thread ends with the look and never goes back to a pool. Elsewhere the container's address is
//! connected to from here.
//!
//! The namespace is the container's and no other process's: the process is held by a pidfd, its control
//! group must name the container, and only then the engine is asked again whether it is the container's
//! first process.

mod error;
mod handshake;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use sealock_engine::{Container, Engine};

use crate::carriers::direct;
pub use error::VerifyError;
pub(crate) use handshake::serial_of;

/// What is to be seen.
#[derive(Debug, Clone)]
pub struct Question {
    /// The TCP port of the service inside the container.
    pub port: u16,
    /// The name to ask for; a DNS name is sent as SNI.
    pub server_name: ServerName<'static>,
    /// The roots that the served chain should lead to.
    pub anchors: Vec<CertificateDer<'static>>,
    /// The time to check the chain at.
    pub now: UnixTime,
    /// How long the look may take in all.
    pub deadline: Duration,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The serial of the leaf, whose key the service has proven to hold: lower-case hex without
    /// leading zero bytes.
    pub serial: String,
    /// Whether the served chain leads to the anchors, for the name and the time; or why not.
    pub chain: Result<(), String>,
    /// Where.
    pub address: SocketAddr,
}

/// Looks at the service of a running container.
///
/// # Errors
/// [`VerifyError`]: the container or the engine is gone, nothing listens, no TLS, too late.
pub async fn look(
    engine: &Engine,
    container: &Container,
    question: Question,
) -> Result<Seen, VerifyError> {
    let addresses: Vec<IpAddr> = container.networks.iter().filter_map(|net| net.ip).collect();
    let namespace = if engine.is_local() { first_process(engine, container).await? } else { None };
    if let Some(process) = namespace {
        match on_own_thread(Some(process), question.clone(), addresses.clone()).await {
            // Without the privilege: as for a remote engine.
            Err(VerifyError::Namespace(_)) if !addresses.is_empty() => {}
            result => return result,
        }
    }
    on_own_thread(None, question, addresses).await
}

/// Looks at `addresses` from this host.
///
/// # Errors
/// As [`look`].
pub async fn look_at(addresses: Vec<IpAddr>, question: Question) -> Result<Seen, VerifyError> {
    on_own_thread(None, question, addresses).await
}

/// A handle on the container's first process; `None` when it is no process of this machine.
async fn first_process(
    engine: &Engine,
    container: &Container,
) -> Result<Option<OwnedFd>, VerifyError> {
    let Ok(process) = direct::pin(container) else { return Ok(None) };
    // Held first, asked second: had its number been given to another process before it was held, the
    // engine would name another one now.
    let again = engine.inspect_running(&container.id).await?;
    let same = again.pid == container.pid && again.started_at == container.started_at;
    Ok(same.then_some(process))
}

async fn on_own_thread(
    namespace: Option<OwnedFd>,
    question: Question,
    addresses: Vec<IpAddr>,
) -> Result<Seen, VerifyError> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    let run = move || {
        let inside = namespace.is_some();
        let entered = namespace.map_or(Ok(()), |process| {
            move_into_thread_name_spaces(process.as_fd(), ThreadNameSpaceType::NETWORK)
        });
        let result = match entered {
            Ok(()) => handshake::look(&question, inside, &addresses),
            Err(error) => Err(VerifyError::Namespace(error.into())),
        };
        // Nobody waits any more when the watcher stops.
        let _ = reply.send(result);
    };
    std::thread::Builder::new()
        .name("sealock-verify".to_owned())
        .spawn(run)
        .map_err(VerifyError::Thread)?;
    let ended = || VerifyError::Thread(std::io::Error::other("it ended without an answer"));
    answer.await.unwrap_or_else(|_| Err(ended()))
}
