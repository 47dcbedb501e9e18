//! An engine that has only what a file names: it answers what the gateway asks to find out what a request is about,
//! and says yes to everything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sealock_net::proxy::Address;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::suite::Objects;

/// What the request of a case says of its client; the gateway's own questions do not.
pub(super) const USER_AGENT: &str = "sealock-rehearsal";

/// Runs until it is dropped.
pub(super) struct Engine {
    address: Address,
    heard: Arc<Heard>,
    accepting: AbortHandle,
}

#[derive(Debug, Default)]
struct Heard {
    asked: AtomicBool,
    reached: AtomicBool,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Engine {
    /// On a loopback port of its own: nobody learns more of it than the file has.
    pub(super) async fn start(objects: &Objects) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = Address::Tcp(listener.local_addr()?.to_string());
        let heard = Arc::<Heard>::default();
        let (objects, notes) = (Arc::new(objects.clone()), Arc::clone(&heard));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (objects, notes) = (Arc::clone(&objects), Arc::clone(&notes));
                tokio::spawn(async move {
                    let service = service_fn(|request: Request<Incoming>| {
                        let objects = Arc::clone(&objects);
                        let notes = Arc::clone(&notes);
                        async move { answer(&objects, &notes, request).await }
                    });
                    let connection = hyper::server::conn::http1::Builder::new();
                    // Ends with the gateway's end of it.
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { address, heard, accepting: accepting.abort_handle() })
    }

    pub(super) fn address(&self) -> Address {
        self.address.clone()
    }

    /// Whether the gateway got so far that it asked something.
    pub(super) fn was_asked(&self) -> bool {
        self.heard.asked.load(Ordering::Relaxed)
    }

    /// Whether the request itself was forwarded.
    pub(super) fn was_reached(&self) -> bool {
        self.heard.reached.load(Ordering::Relaxed)
    }
}

async fn answer(
    objects: &Objects,
    heard: &Heard,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    heard.asked.store(true, Ordering::Relaxed);
    let agent = request.headers().get(hyper::header::USER_AGENT);
    let is_clients = agent.is_some_and(|agent| agent.as_bytes() == USER_AGENT.as_bytes());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = request.into_body().collect().await?.to_bytes();
    // An engine does nothing before it has the whole of a request: what breaks off has not reached it.
    if is_clients {
        heard.reached.store(true, Ordering::Relaxed);
    }
    let (status, body) = match looked_up(objects, &method, &path) {
        Some(Some(found)) => (StatusCode::OK, found),
        Some(None) => (StatusCode::NOT_FOUND, json!({ "message": "not in the file" })),
        None if method == Method::POST && path.ends_with("/create") => {
            (StatusCode::CREATED, made(&body))
        }
        None => (StatusCode::OK, objects.list(&path)),
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    Ok(response)
}

/// What was made, as it was ordered.
fn made(body: &[u8]) -> Value {
    let mut made = serde_json::from_slice(body).unwrap_or_default();
    if !matches!(made, Value::Object(_)) {
        made = json!({});
    }
    if let Value::Object(made) = &mut made {
        made.insert("Id".to_owned(), "0".repeat(64).into());
        made.entry("Name").or_insert_with(|| "made".into());
    }
    made
}

/// What an inspection finds; `None` where the request is none.
fn looked_up(objects: &Objects, method: &Method, path: &str) -> Option<Option<Value>> {
    if *method != Method::GET {
        return None;
    }
    let path = path.strip_prefix('/')?;
    // The gateway asks without a version; what is forwarded may have one.
    let path = match path.split_once('/') {
        Some((version, rest)) if version.starts_with("v1.") => rest,
        _ => path,
    };
    let (kind, name) = path.split_once('/')?;
    let name = match kind {
        "containers" | "images" | "exec" => name.strip_suffix("/json")?,
        "networks" | "volumes" => name,
        _ => return None,
    };
    Some(match kind {
        "containers" => objects.container(name),
        "images" => objects.image(name),
        "exec" => objects.exec(name),
        "networks" => objects.network(name),
        _ => objects.volume(name),
    })
}
