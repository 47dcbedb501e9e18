//! A Gatekeeper over HTTP/2, before an app that speaks it too.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod support;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Version};
use parking_lot::Mutex;
use sealock_net::Incoming;
use sealock_net::proxy::{
    Address, Answer, RequestBody, Terms, Upstream, UpstreamBody, UpstreamSettings, Versions,
    serve_either,
};
use sealock_traffic::gatekeeper::Protocol;
use support::{App, POLICY, Scene, soon, status, websocket};
use tokio::net::TcpListener;

fn http2(address: String) -> Upstream {
    let settings = UpstreamSettings { versions: Versions::Http2, ..UpstreamSettings::default() };
    Upstream::new(Address::Tcp(address), settings)
}

/// The trailers of each request that an app has got.
type Trailers = Arc<Mutex<Vec<HeaderMap>>>;

async fn app() -> (String, Trailers) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Trailers::default();
    let all = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let all = Arc::clone(&all);
            tokio::spawn(async move {
                serve_either(stream, Terms::default(), |request: Request<Incoming>| {
                    let all = Arc::clone(&all);
                    async move {
                        let body = request.into_body().collect().await.unwrap();
                        all.lock().extend(body.trailers().cloned());
                        Answer::Response(Response::new(Full::new(Bytes::from_static(b"ok"))))
                    }
                })
                .await;
            });
        }
    });
    (address, seen)
}

async fn scene() -> (Scene, Upstream, Trailers) {
    let (address, seen) = app().await;
    let scene = Scene::before_app(App::start().await, http2(address), |_| {}, None).await;
    scene.gatekeeper.know(scene.known(POLICY, 1));
    let client = http2(scene.address.to_string());
    (scene, client, seen)
}

async fn ask(client: &Upstream, request: Request<RequestBody>) -> Response<UpstreamBody> {
    soon(client.forward(request)).await.unwrap()
}

fn post(scene: &Scene, trailers: HeaderMap) -> Request<RequestBody> {
    let body = Full::new(Bytes::from_static(b"body"));
    let body = body.with_trailers(async { Some(Ok::<_, Infallible>(trailers)) });
    Request::builder()
        .method(Method::POST)
        .uri("/v1/a")
        .header("host", "orders")
        .header("content-type", "application/grpc")
        .header("authorization", format!("Bearer {}", scene.token("shop")))
        .body(RequestBody::new(body.map_err(Into::into)))
        .unwrap()
}

#[tokio::test]
async fn nobody_tells_the_app_who_they_are_in_trailers() {
    let (mut scene, client, seen) = scene().await;
    let mut trailers = HeaderMap::new();
    for name in [
        "x-sealock-identity",
        "x_sealock_identity",
        "x-forwarded-for",
        "authorization",
        "x-http-method-override",
        "host",
        "content_length",
        "x-own",
    ] {
        trailers.insert(HeaderName::from_static(name), HeaderValue::from_static("admin"));
    }
    let response = ask(&client, post(&scene, trailers)).await;
    assert_eq!(response.status(), 200);
    let body = soon(response.into_body().collect()).await.unwrap();
    assert_eq!(body.to_bytes(), "ok");
    let seen = seen.lock().pop().unwrap();
    assert_eq!(seen.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-own"]);
    let access = soon(scene.lines.recv()).await.unwrap();
    let call = access.call.as_ref().unwrap();
    assert_eq!((access.version, call.protocol), (Version::HTTP_2, Protocol::Grpc));
    let line = access.to_json();
    assert!(line.contains("\"protocol\":\"grpc\",\"version\":\"HTTP/2\",\"status\":200"), "{line}");
}

#[tokio::test]
async fn the_same_rules_hold_over_both_versions() {
    let (scene, client, seen) = scene().await;
    let ask = async |method: Method, path: &str, host: &str, token: Option<String>| {
        let mut request = Request::builder().method(method).uri(path).header("host", host);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(RequestBody::empty()).unwrap();
        self::ask(&client, request).await.status().as_u16()
    };
    let (shop, web) = (scene.token("shop"), scene.token("web"));
    let good = |token: &String| Some(token.clone());
    assert_eq!(ask(Method::GET, "/v1/a", "orders", good(&shop)).await, 200);
    assert_eq!(ask(Method::GET, "/v1/a", "orders", None).await, 401);
    assert_eq!(ask(Method::POST, "/v1/a", "orders", good(&web)).await, 403);
    assert_eq!(ask(Method::GET, "/admin", "orders", good(&shop)).await, 403);
    for path in ["/v1//a", "/v1/%2e%2e/admin", "/v1/a;b", "/v1/a%2fb", "/../v1/a"] {
        let status = ask(Method::GET, path, "orders", good(&shop)).await;
        assert!([400, 403].contains(&status), "{path}: {status}");
    }
    assert_eq!(ask(Method::GET, "/v1/a", "user@orders", good(&shop)).await, 400);
    assert_eq!(ask(Method::from_bytes(b"get").unwrap(), "/v1/a", "orders", good(&shop)).await, 400);
    assert!(seen.lock().is_empty());
    // A WebSocket cannot be had of an app that speaks HTTP/2 only.
    let asked = websocket("/v1/ws", &shop).replace("keep-alive, Upgrade", "close, Upgrade");
    let answer = scene.exchange(asked.as_bytes()).await;
    assert_eq!(status(&answer), 501, "{answer}");
    assert!(answer.contains("no_upgrade"), "{answer}");
}
