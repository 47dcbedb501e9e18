//! Bodies: bounded on the way in, whole or streamed on the way out.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Body, Frame};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use crate::error::{ErrorCode, ServiceError};

/// The longest body of a request: the files of a policy check.
pub(super) const LONGEST: usize = 8 << 20;
/// The same for containers: the value of a secret.
pub(super) const LONGEST_OF_CONTAINERS: usize = 2 << 20;
/// The same at the local door, which only administrators come through: a backup of the vault.
pub(super) const LONGEST_LOCAL: usize = 512 << 20;
/// How long a request's body may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) type OutBody = UnsyncBoxBody<Bytes, Infallible>;

/// Reads a request's body within bound and deadline.
pub(super) async fn read<B>(body: B, longest: usize) -> Result<Bytes, ServiceError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match tokio::time::timeout(PATIENCE, Limited::new(body, longest).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) => {
            let cause = std::io::Error::other(error.to_string());
            Err(ServiceError::new(ErrorCode::Usage, "the request's body cannot be read")
                .caused_by(&cause))
        }
        Err(_) => Err(ServiceError::new(ErrorCode::Timeout, "the request's body did not arrive")),
    }
}

/// A whole answer.
pub(super) fn whole(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<OutBody> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // Answers hold keys, and none of them is worth keeping.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// No body, for who asked for the head alone.
pub(super) fn empty() -> OutBody {
    Full::new(Bytes::new()).boxed_unsync()
}

/// An answer that goes on.
pub(super) fn stream(
    kind: &'static str,
    lines: impl Stream<Item = Bytes> + Send + 'static,
) -> Response<OutBody> {
    let frames = lines.map(|line| Ok::<_, Infallible>(Frame::data(line)));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
