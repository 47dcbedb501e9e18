//! What those may see who watch a helper: its figures, whether it lives and is ready, and the key by which it signs.
//!
//! Nothing of it is a secret, and nobody is asked who they are: it listens on loopback unless another address is named.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use sealock_net::{Incoming, Limits, Shutdown, accept_loop, serve_http};
use tokio::net::{TcpListener, TcpStream};

/// Where the public key is.
pub(super) const KEYS: &str = "/.well-known/jwks.json";

/// What is shown.
pub(crate) struct Shown {
    /// OpenMetrics text.
    pub(crate) figures: Box<dyn Fn() -> String + Send + Sync>,
    /// Why it is not to be called now.
    pub(crate) unready: Box<dyn Fn() -> Option<&'static str> + Send + Sync>,
    /// A key set, where there is one.
    pub(crate) keys: Option<String>,
}

/// Shows it until the signal.
pub(crate) async fn serve(listener: TcpListener, shown: Arc<Shown>, end: Shutdown) {
    let limits = Limits { connections: 64, ..Limits::default() };
    let served = end.clone();
    accept_loop("metrics", listener, limits, end, move |stream: TcpStream, _: SocketAddr| {
        let (shown, end) = (Arc::clone(&shown), served.clone());
        async move {
            let answer = |request: Request<Incoming>| {
                let answer = shown.answer(&request);
                async move { answer }
            };
            serve_http(stream, limits, end, answer).await;
        }
    })
    .await;
}

impl Shown {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let plain = "text/plain; charset=utf-8";
        let (status, kind, text) = match (request.uri().path(), &self.keys) {
            (_, _) if !matches!(*request.method(), Method::GET | Method::HEAD) => {
                (StatusCode::METHOD_NOT_ALLOWED, plain, "GET only\n".to_owned())
            }
            ("/metrics", _) => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                (StatusCode::OK, kind, (self.figures)())
            }
            ("/live", _) => (StatusCode::OK, plain, "live\n".to_owned()),
            ("/ready", _) => match (self.unready)() {
                None => (StatusCode::OK, plain, "ready\n".to_owned()),
                Some(why) => (StatusCode::SERVICE_UNAVAILABLE, plain, format!("{why}\n")),
            },
            (KEYS, Some(keys)) => (StatusCode::OK, "application/jwk-set+json", keys.clone()),
            _ => (StatusCode::NOT_FOUND, plain, "not found\n".to_owned()),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}
