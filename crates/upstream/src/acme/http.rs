//! instant-acme's HTTP, by our own client: what that refuses, nobody gets to see.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use parking_lot::Mutex;

use super::register::refused;
use super::wire::Problem;
use crate::client::Client;
use crate::error::UpstreamError;

/// For how long a server may want to be left alone. instant-acme adds what it is told to the time, whatever it comes to.
const LONGEST_REST: Duration = Duration::from_secs(30 * 86_400);

/// Our client, as instant-acme wants it; it remembers when the server last said that it wants to be asked again.
#[derive(Clone)]
pub(super) struct Http {
    client: Arc<Client>,
    after: Arc<Mutex<Option<Duration>>>,
}

impl Http {
    pub(super) fn new(client: &Arc<Client>) -> Self {
        Self { client: Arc::clone(client), after: Arc::default() }
    }

    /// What an error of instant-acme is.
    pub(super) fn error(&self, error: Error) -> UpstreamError {
        match error {
            Error::Api(problem) => {
                let Problem { kind, detail } =
                    Problem::of(problem.r#type.as_deref(), problem.detail.as_deref());
                if kind == "accountDoesNotExist" {
                    return UpstreamError::AccountGone;
                }
                let subs: String =
                    problem.subproblems.iter().take(4).map(|sub| format!("; {sub}")).collect();
                let detail = format!("{detail}{}", crate::said(&subs));
                UpstreamError::Problem { kind, detail, after: *self.after.lock() }
            }
            Error::Timeout(next) => {
                let now = std::time::Instant::now();
                UpstreamError::Processing(next.map(|next| next.saturating_duration_since(now)))
            }
            Error::Crypto | Error::KeyRejected => UpstreamError::Key,
            Error::Other(inner) => match inner.downcast::<UpstreamError>() {
                Ok(ours) => *ours,
                Err(other) => UpstreamError::Nonsense(crate::said(&other.to_string())),
            },
            other => UpstreamError::Nonsense(crate::said(&other.to_string())),
        }
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let content = parts.headers.get(CONTENT_TYPE).cloned();
            let headers: Vec<(HeaderName, HeaderValue)> =
                content.into_iter().map(|value| (CONTENT_TYPE, value)).collect();
            let url = parts.uri.to_string();
            let sent = this.client.send(parts.method, &url, &headers, body).await;
            let answer = sent.map_err(|error| Error::Other(Box::new(error)))?;
            *this.after.lock() = answer.after();
            let failed = answer.status.is_client_error() || answer.status.is_server_error();
            // A page for people is no problem that anybody could read.
            if failed && Problem::read(&answer.body).detail.is_empty() {
                return Err(Error::Other(Box::new(refused(&this.client, &answer))));
            }
            let (mut head, ()) = Response::new(()).into_parts();
            head.status = answer.status;
            head.headers = answer.headers;
            head.headers.remove(RETRY_AFTER);
            if let Some(after) = *this.after.lock() {
                let seconds = after.min(LONGEST_REST).as_secs();
                head.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            Ok(BytesResponse { parts: head, body: Box::new(answer.body) })
        })
    }
}
