//! What a client is told whose request the engine itself refuses.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::StatusCode;
use hyper::{Response, Version};

use super::Refusal;

type Tell = dyn Fn(Refusal, Version) -> Response<Bytes> + Send + Sync;

/// How it is told, and who else hears of it. By default it is told in the words of Docker's API.
#[derive(Clone, Default)]
pub struct Refused(Option<Arc<Tell>>);

impl Refused {
    /// The answer is made by `tell`, which is called once for each request that is refused. Its body has to be whole, and
    /// the headers are to say nothing of its length or of the connection.
    pub fn by(tell: impl Fn(Refusal, Version) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    pub(super) fn tell(&self, refusal: Refusal, version: Version) -> Response<Bytes> {
        tracing::debug!(%refusal, "request refused");
        match &self.0 {
            Some(tell) => tell(refusal, version),
            None => in_dockers_words(refusal.status(), &refusal.to_string()),
        }
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Refused").finish_non_exhaustive()
    }
}

/// Docker's clients print the message, which goes into JSON as it is.
pub(super) fn in_dockers_words(status: StatusCode, message: &str) -> Response<Bytes> {
    debug_assert!(!message.contains(['"', '\\']), "it would need escapes");
    let mut response = Response::new(format!("{{\"message\":\"{message}\"}}\n").into());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
