//! The sockets that a Gatekeeper listens at: its own, or those that were handed over.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sealock_traffic::gatekeeper::Gatekeeper;
use tokio::net::TcpListener;

use super::{GuardOptions, handover, inherit};
use crate::error::{ErrorCode, ServiceError};

/// The sockets that it listens at.
pub(super) struct Doors {
    pub(super) calls: TcpListener,
    pub(super) metrics: Option<TcpListener>,
    pub(super) before: Option<handover::Taken>,
}

impl Doors {
    pub(super) async fn open(options: &GuardOptions) -> Result<Self, ServiceError> {
        let mut before = match &options.handover {
            Some(path) => handover::take(path).await?,
            None => None,
        };
        let handed = before.as_mut().map(|taken| &mut taken.sockets);
        let mut handed = handed.map(std::mem::take).unwrap_or_default();
        let calls = match &options.activation {
            Some(activation) => {
                let failed = |error: &io::Error| ServiceError::of(ErrorCode::Failed, error);
                TcpListener::from_std(activation.socket()?).map_err(|error| failed(&error))?
            }
            None => bound(&mut handed, options.listen, "--listen").await?,
        };
        let metrics = match options.metrics {
            Some(address) => Some(bound(&mut handed, address, "--metrics").await?),
            None => None,
        };
        Ok(Self { calls, metrics, before })
    }
}

/// The socket that was handed over for an address, or a new one.
async fn bound(
    handed: &mut Vec<std::net::TcpListener>,
    address: SocketAddr,
    flag: &'static str,
) -> Result<TcpListener, ServiceError> {
    let made = match inherit::at(handed, address) {
        Some(listener) => TcpListener::from_std(listener),
        None => TcpListener::bind(address).await,
    };
    made.map_err(|error| {
        ServiceError::new(ErrorCode::Failed, format!("cannot listen on {address}"))
            .caused_by(&error)
            .hint(format!("name another address with {flag} ADDRESS:PORT"))
    })
}

/// Waits until the broker was heard: before that, callers are better off with the process before us.
pub(super) async fn until_known(gatekeeper: &Gatekeeper) -> Result<(), ServiceError> {
    const PAUSE: Duration = Duration::from_millis(20);
    let hearing = async {
        while gatekeeper.known().is_none_or(|known| known.keys.is_empty()) {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(handover::GET_READY, hearing).await.map_err(|_| {
        let text = "the broker was not heard, so the process before this one goes on";
        ServiceError::new(ErrorCode::Unavailable, text)
    })
}
