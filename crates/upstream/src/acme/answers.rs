//! Answers to http-01 (RFC 8555 §8.3): listeners that are there only while something is to be proved, and know exact
//! paths only.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use sealock_net::{Incoming, Limits, Shutdown, accept_loop, serve_http};
use tokio::net::{TcpListener, TcpStream};

use crate::error::UpstreamError;

const PATH: &str = "/.well-known/acme-challenge/";
/// For the listener of the one before to be gone.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Key authorizations by their tokens.
type Known = Arc<Mutex<BTreeMap<String, String>>>;

struct Open {
    known: Known,
    shutdown: Shutdown,
    /// Where it really is, when any free port was asked for.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests ask for any free port"))]
    address: SocketAddr,
}

/// The listeners that are open, by the addresses that were asked for. Clones share them.
#[derive(Clone, Default)]
pub struct Responders {
    open: Arc<Mutex<BTreeMap<SocketAddr, Open>>>,
    /// Who opens one does it alone.
    opening: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for Responders {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.open.lock().keys()).finish()
    }
}

/// A token that is answered for, as long as this is there.
#[derive(Debug)]
pub struct Answering {
    responders: Responders,
    at: SocketAddr,
    token: String,
}

impl Responders {
    /// Answers for a token from now on; the first one opens the listener.
    ///
    /// # Errors
    /// Nobody can listen there.
    pub async fn answer(
        &self,
        at: SocketAddr,
        token: &str,
        key_authorization: &str,
    ) -> Result<Answering, UpstreamError> {
        let _alone = self.opening.lock().await;
        let (token, answer) = (token.to_owned(), key_authorization.to_owned());
        let answering = Answering { responders: self.clone(), at, token: token.clone() };
        if self.added(at, &token, &answer) {
            return Ok(answering);
        }
        let failed = |source| UpstreamError::Listen { address: at, source };
        let listener = bind(at).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let known: Known = Arc::new(Mutex::new(BTreeMap::from([(token, answer)])));
        let shutdown = Shutdown::default();
        tokio::spawn(serve(listener, Arc::clone(&known), shutdown.clone()));
        self.open.lock().insert(at, Open { known, shutdown, address });
        Ok(answering)
    }

    /// Whether the listener is there, and answers for this one too; it is not closed in between.
    fn added(&self, at: SocketAddr, token: &str, answer: &str) -> bool {
        let open = self.open.lock();
        let Some(there) = open.get(&at) else { return false };
        there.known.lock().insert(token.to_owned(), answer.to_owned());
        true
    }

    /// Whether anything is open.
    pub fn is_open(&self) -> bool {
        !self.open.lock().is_empty()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut open = self.responders.open.lock();
        let Some(there) = open.get(&self.at) else { return };
        let mut known = there.known.lock();
        known.remove(&self.token);
        if known.is_empty() {
            there.shutdown.trigger();
            drop(known);
            open.remove(&self.at);
        }
    }
}

async fn bind(at: SocketAddr) -> io::Result<TcpListener> {
    let mut tries = 0;
    loop {
        match TcpListener::bind(at).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            bound => return bound,
        }
    }
}

async fn serve(listener: TcpListener, known: Known, shutdown: Shutdown) {
    let limits = Limits {
        connections: 64,
        head: Duration::from_secs(5),
        head_bytes: 16 << 10,
        write: Duration::from_secs(5),
        drain: Duration::from_secs(2),
        ..Limits::default()
    };
    let ending = shutdown.clone();
    accept_loop("http-01", listener, limits, shutdown, move |connection: TcpStream, _| {
        let (known, ending) = (Arc::clone(&known), ending.clone());
        async move {
            let answer = |request: Request<Incoming>| {
                let answer = respond(&known, request.method(), request.uri().path());
                async move { answer }
            };
            serve_http(connection, limits, ending, answer).await;
        }
    })
    .await;
}

fn respond(known: &Known, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let asked = matches!(*method, Method::GET | Method::HEAD);
    let token = path.strip_prefix(PATH).filter(|_| asked);
    let answer = token.and_then(|token| known.lock().get(token).cloned());
    let status = if answer.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut response = Response::new(Full::new(Bytes::from(answer.unwrap_or_default())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn asked(at: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        text
    }

    #[tokio::test]
    async fn only_what_is_to_be_proved_is_answered_and_only_meanwhile() {
        let responders = Responders::default();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = responders.answer(any, "token-one", "token-one.thumb").await.unwrap();
        let second = responders.answer(any, "token-two", "token-two.thumb").await.unwrap();
        let at = responders.open.lock()[&any].address;
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        let one = asked(at, &get("/.well-known/acme-challenge/token-one")).await;
        assert!(
            one.starts_with("HTTP/1.1 200") && one.ends_with("\r\n\r\ntoken-one.thumb"),
            "{one}"
        );
        for path in [
            "/",
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/token",
            "/.well-known/acme-challenge/token-one/",
            "/.well-known/acme-challenge/../acme-challenge/token-one",
            "/.well-known/acme-challenge/token%2done",
            "/.well-known//acme-challenge/token-one",
        ] {
            let said = asked(at, &get(path)).await;
            assert!(said.starts_with("HTTP/1.1 404") && !said.contains("thumb"), "{path}: {said}");
        }
        let said = asked(at, "POST /.well-known/acme-challenge/token-one HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await;
        assert!(said.starts_with("HTTP/1.1 404"), "{said}");
        drop(first);
        let said = asked(at, &get("/.well-known/acme-challenge/token-one")).await;
        assert!(said.starts_with("HTTP/1.1 404"), "{said}");
        assert!(responders.is_open());
        drop(second);
        assert!(!responders.is_open());
        // The port is free again, and can be taken at once.
        let again = responders.answer(at, "token-three", "x").await.unwrap();
        assert!(asked(at, &get("/.well-known/acme-challenge/token-three")).await.contains("200"));
        drop(again);
    }
}
