//! HTTPS to one server: a connection for each request, deadlines, bounded answers, no redirects, nobody else.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sealock_net::tls;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::UpstreamError;
use crate::place::{Origin, Place};
use crate::retry_after::RetryAfter;
use crate::text::said;

/// No longer answer is read.
pub const LONGEST_ANSWER: usize = 512 << 10;
/// For the head of an answer.
const HEAD: usize = 32 << 10;
/// Of a name's addresses, so many are tried.
const MOST_ADDRESSES: usize = 4;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// To connect to one address, and again for the handshake.
    pub connect: Duration,
    /// A request with its answer, connection and all.
    pub request: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), request: Duration::from_secs(30) }
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status; no redirect.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// When the server wants to be asked again.
    pub fn after(&self) -> Option<Duration> {
        let value = self.headers.get(RETRY_AFTER)?;
        RetryAfter::read(value.as_bytes(), SystemTime::now()).map(|after| after.0)
    }

    /// A field as text.
    pub fn text(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Speaks with one server.
pub struct Client {
    tls: TlsConnector,
    origin: Origin,
    others: Vec<Origin>,
    deadlines: Deadlines,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Client {
    /// For the server at `origin`, and for `others` that belong to it. They have to prove who they are by `roots`;
    /// `identity` (chain, leaf first, and its key) is shown to whoever asks for a certificate.
    ///
    /// # Errors
    /// Roots or identity cannot be used.
    pub fn new(
        origin: Origin,
        others: Vec<Origin>,
        roots: &[CertificateDer<'static>],
        identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
        deadlines: Deadlines,
    ) -> Result<Self, UpstreamError> {
        if roots.is_empty() {
            return Err(UpstreamError::NoRoots);
        }
        let config = tls::client_config(roots, identity)
            .map_err(|error| UpstreamError::Tls(origin.clone(), error))?;
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), origin, others, deadlines })
    }

    /// Which server.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A URL that the server has named, if it is one of its own.
    ///
    /// # Errors
    /// It leads elsewhere, or is none.
    pub fn own(&self, url: &str) -> Result<Place, UpstreamError> {
        let place: Place =
            url.parse().map_err(|source| UpstreamError::Url { url: said(url), source })?;
        let origin = place.origin();
        if origin != self.origin && !self.others.contains(&origin) {
            let why = "it is another host";
            return Err(UpstreamError::Elsewhere { url: said(url), why });
        }
        Ok(place)
    }

    /// One request. Any status but a redirect is an answer.
    ///
    /// # Errors
    /// There is no answer, or one that is not read.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Answer, UpstreamError> {
        let place = self.own(url)?;
        let origin = place.origin();
        let request = request(method, &place, headers, body)?;
        let exchange = async {
            let stream = self.connect(&origin).await?;
            let response = exchange(stream, request, &origin).await?;
            if response.status.is_redirection() {
                let to = response.text(&hyper::header::LOCATION).unwrap_or_default();
                let why = "redirects are not followed";
                return Err(UpstreamError::Elsewhere { url: said(to), why });
            }
            Ok(response)
        };
        timeout(self.deadlines.request, exchange)
            .await
            .unwrap_or_else(|_| Err(UpstreamError::Late(origin.clone())))
    }

    async fn connect(&self, origin: &Origin) -> Result<TlsStream<TcpStream>, UpstreamError> {
        let failed = |error| UpstreamError::Connect(origin.clone(), error);
        let found = tokio::net::lookup_host((origin.host.as_str(), origin.port)).await;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in found.map_err(failed)?.take(MOST_ADDRESSES) {
            match timeout(self.deadlines.connect, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return self.handshake(origin, stream).await;
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failed(last))
    }

    async fn handshake(
        &self,
        origin: &Origin,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, UpstreamError> {
        let failed = |error| UpstreamError::Handshake(origin.clone(), error);
        let name = ServerName::try_from(origin.host.clone())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        timeout(self.deadlines.connect, self.tls.connect(name, stream))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(failed)
    }
}

fn request(
    method: Method,
    place: &Place,
    headers: &[(HeaderName, HeaderValue)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>, UpstreamError> {
    let mut request = Request::builder()
        .method(method)
        .uri(place.target())
        .header(HOST, place.authority())
        .header(USER_AGENT, concat!("sealock/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Full::new(body)).map_err(|_| UpstreamError::Elsewhere {
        url: said(&place.to_string()),
        why: "it cannot be written in a request",
    })
}

/// Connection and exchange are one task: when nobody waits any more, both are gone.
async fn exchange(
    stream: TlsStream<TcpStream>,
    request: Request<Full<Bytes>>,
    origin: &Origin,
) -> Result<Answer, UpstreamError> {
    // A client certificate that is not wanted is said so only now (RFC 8446 §4.4.2): it is an alert of TLS.
    let broken = |error: hyper::Error| UpstreamError::Broken(origin.clone(), error.into());
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let mut asked = std::pin::pin!(async {
        let response = sender.send_request(request).await.map_err(broken)?;
        answer(response, origin).await
    });
    tokio::select! {
        answer = &mut asked => answer,
        // What has come until then can still be read.
        _ = connection => asked.await,
    }
}

async fn answer(
    response: Response<hyper::body::Incoming>,
    origin: &Origin,
) -> Result<Answer, UpstreamError> {
    let (parts, body) = response.into_parts();
    let body =
        Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|error| match error
            .is::<LengthLimitError>(
        ) {
            true => UpstreamError::TooLong(origin.clone()),
            false => UpstreamError::Broken(origin.clone(), error),
        })?;
    Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
}
