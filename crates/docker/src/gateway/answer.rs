//! Answers of the gateway's own: a status and the JSON that docker prints.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{Either, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use sealock_net::proxy::{Answer, UpstreamBody, UpstreamError};

use super::Refused;

/// Of the engine, or of ours, or of the engine with something left out.
pub(super) type Body = Either<UpstreamBody, Either<Full<Bytes>, StreamBody<Narrowed>>>;

/// A stream of the engine's of which some pieces are left out or changed.
pub(super) type Narrowed = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, UpstreamError>> + Send>>;

/// A body that is whole.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Either::Right(Either::Left(Full::new(bytes.into())))
}

/// Why a request is not forwarded, or has no answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown(message) => Self::new(StatusCode::UNAUTHORIZED, message),
            Refused::Denied(message) => Self::new(StatusCode::FORBIDDEN, message),
            Refused::Busy(message) => Self::new(StatusCode::TOO_MANY_REQUESTS, message),
            Refused::Unavailable(message) => Self::new(StatusCode::SERVICE_UNAVAILABLE, message),
        }
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        // The causes are for the log: they name sockets of this host.
        tracing::warn!(error = &error as &dyn std::error::Error, "no answer of the engine");
        match error {
            UpstreamError::Unreachable { .. } | UpstreamError::Deadline { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the Docker engine cannot be reached; is it running?",
            ),
            UpstreamError::Broken { .. } | UpstreamError::NoUpgrade { .. } => {
                Self::new(StatusCode::BAD_GATEWAY, "the Docker engine broke the connection off")
            }
            UpstreamError::Request(_) => Self::bad("the body of the request broke off"),
        }
    }
}

impl From<Failure> for Answer<Body> {
    fn from(failure: Failure) -> Self {
        let text = serde_json::json!({ "message": failure.message }).to_string();
        let mut response = Response::new(whole(text));
        *response.status_mut() = failure.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self::Response(response)
    }
}
