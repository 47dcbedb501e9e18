//! Why there is no answer, and what the app is told of it. The causes are for the log: they name addresses.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use sealock_net::proxy::UpstreamError;
use sealock_net::tls::TlsError;
use tokio::time::timeout;

use super::destination::Destination;
use super::dial;
use crate::http::problem::Problem;

/// When to try again where nobody could be reached.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Why there is no answer.
pub(super) enum Failure {
    Upstream(UpstreamError),
    /// Connected, and silent.
    Silent,
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Upstream(error) => problem(&error),
            Failure::Silent => {
                let detail = "the service did not begin to answer in time";
                Self::new(StatusCode::GATEWAY_TIMEOUT, "service_silent", detail)
            }
        }
    }
}

/// Waits for an answer as long as allowed, from the last piece of the request on.
pub(super) async fn within<T>(
    deadline: Duration,
    pieces: &AtomicU64,
    work: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    loop {
        let before = pieces.load(Ordering::Relaxed);
        match timeout(deadline, work.as_mut()).await {
            Ok(outcome) => return outcome.map_err(Failure::Upstream),
            Err(_) if pieces.load(Ordering::Relaxed) != before => {}
            Err(_) => return Err(Failure::Silent),
        }
    }
}

/// No instance is left to try.
pub(super) fn no_instance() -> Problem {
    Problem::unavailable("service_unreachable", "the service cannot be reached", TRY_AGAIN)
}

/// A certificate that could be used can be no more.
pub(super) fn no_lane(error: &TlsError) -> Problem {
    tracing::error!(error = error as &dyn std::error::Error, "no connections can be made");
    no_instance()
}

pub(super) fn problem(error: &UpstreamError) -> Problem {
    tracing::warn!(error = error as &dyn std::error::Error, "no answer");
    match error {
        UpstreamError::Unreachable { source, .. } => of_connecting(source),
        UpstreamError::Deadline { .. } => no_instance(),
        UpstreamError::NoUpgrade { .. } => other_protocol(),
        UpstreamError::Broken { .. } => {
            let detail = "the service broke the connection off";
            Problem::new(StatusCode::BAD_GATEWAY, "service_broke", detail)
        }
        UpstreamError::Request(_) => {
            let detail = "the body of the request broke off";
            Problem::new(StatusCode::BAD_REQUEST, "body_broke_off", detail)
        }
    }
}

/// The destination of a tunnel.
pub(super) fn unreached(to: &Destination, error: &io::Error) -> Problem {
    tracing::warn!(%to, error = error as &dyn std::error::Error, "no tunnel");
    of_connecting(error)
}

fn of_connecting(error: &io::Error) -> Problem {
    if let Some(why) = dial::forbidden(error) {
        return Problem::new(StatusCode::FORBIDDEN, "address_forbidden", why.to_string());
    }
    if error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>()) {
        let detail = "the TLS handshake failed: who answers must have the service's certificate";
        return Problem::new(StatusCode::BAD_GATEWAY, "handshake_failed", detail);
    }
    no_instance()
}

/// It switched to something that nobody has asked for.
pub(super) fn other_protocol() -> Problem {
    let detail = "the service switched to another protocol than was asked for";
    Problem::new(StatusCode::BAD_GATEWAY, "service_broke", detail)
}
