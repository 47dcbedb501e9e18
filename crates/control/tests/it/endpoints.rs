//! Every path of the doors, asked by nobody in particular, by somebody who may not, and by a client that shows its
//! secret. The table is the router's own: a path that is new there and not here fails.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use sealock_control::api::{ENDPOINTS, Endpoint, Who};
use sealock_control::daemon::up;

use crate::api::{Sender, client_of, connect, end, pair, roots};
use crate::scratch::Scratch;
use crate::tokens::{World, basic};

/// What is asked at an endpoint (more of the path, and a body), and what is to come of it.
struct Row {
    more: &'static str,
    body: &'static str,
    /// For whoever shows nothing.
    anybody: u16,
    /// For whoever is known, and has no right.
    weak: u16,
    /// For a client that has no right either, and shows its secret and no certificate.
    client: u16,
    /// What the answer to the known one must say.
    says: &'static str,
}

const fn row(
    more: &'static str,
    body: &'static str,
    anybody: u16,
    weak: u16,
    client: u16,
    says: &'static str,
) -> Row {
    Row { more, body, anybody, weak, client, says }
}

const TOKEN: &str = "grant_type=client_credentials&audience=orders";

fn asked(path: &str) -> Row {
    match path {
        "/v1/call" => row("", "{\"command\":\"status\"}", 401, 403, 401, "Status::Read"),
        "/v1/audit/follow" => row("?after=0", "", 401, 403, 401, "Audit::Read"),
        "/v1/traffic/feed" => row("?service=orders", "", 401, 403, 401, "Gatekeeper::Serve"),
        // The list of what they may call is empty.
        "/v1/traffic/services" => row("", "", 401, 200, 200, "\"services\":[]"),
        "/metrics" => row("", "", 401, 403, 401, "Status::Read"),
        "/healthz" => row("", "", 200, 200, 200, "ok"),
        "/ca.crt" => row("", "", 200, 200, 200, "BEGIN CERTIFICATE"),
        "/crl/" => row("none.crl", "", 404, 404, 404, "no such list"),
        // Nothing is looked at but what is signed with an account's key.
        "/acme/" => row("new-order", "{}", 415, 415, 415, "application/jose+json"),
        "/oauth/token" => row("", TOKEN, 401, 403, 403, "access_denied"),
        // Of a token that is not theirs they learn what they would of one that is none.
        "/oauth/introspect" => row("", "token=x", 401, 200, 200, "{\"active\":false}"),
        "/oauth/revoke" => row("", "token=x", 401, 200, 200, ""),
        "/oauth/jwks" => row("", "", 200, 200, 200, "\"keys\""),
        "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration" => {
            row("", "", 200, 200, 200, "\"issuer\"")
        }
        // Whoever begins a login says which program it is, and a code is taken as bearer only.
        "/oauth/device_authorization" => row("", "", 400, 400, 200, "invalid_request"),
        "/oauth/enroll" => row("", "csr=x", 400, 400, 401, "invalid_request"),
        "/login" => row("", "", 200, 200, 200, "Log in"),
        other => panic!("{other} has no row here: who is refused there, and how?"),
    }
}

/// The status, and the beginning of the answer: a stream has no end.
async fn ask(sender: &mut Sender, method: &Method, path: &str, body: &str) -> (u16, String) {
    ask_with(sender, None, method, path, body).await
}

async fn ask_with(
    sender: &mut Sender,
    shown: Option<&str>,
    method: &Method,
    path: &str,
    body: &str,
) -> (u16, String) {
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    if let Some(shown) = shown {
        request = request.header("authorization", shown);
    }
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    sender.ready().await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (status, mut body) = (response.status(), response.into_body());
    let first = match body.frame().await {
        Some(frame) => frame.unwrap().into_data().unwrap_or_default(),
        None => Bytes::new(),
    };
    (status.as_u16(), String::from_utf8_lossy(&first).into_owned())
}

#[tokio::test]
async fn every_endpoint_is_asked_by_who_may_not() {
    let scratch = Scratch::new();
    let daemon = up(scratch.opening()).await.unwrap();
    let roots = roots(&daemon).await;
    let files = client_of(&daemon, "spiffe://test.sealock/service/shop").await;
    for Endpoint { method, path, who, .. } in &ENDPOINTS {
        let row = asked(path);
        let at = format!("{path}{}", row.more);
        let mut anybody = connect(&daemon, &roots, None).await.unwrap();
        let (status, said) = ask(&mut anybody, method, &at, row.body).await;
        assert_eq!(status, row.anybody, "anybody at {at}: {said}");
        let mut weak = connect(&daemon, &roots, Some(pair(&files))).await.unwrap();
        let (status, said) = ask(&mut weak, method, &at, row.body).await;
        assert_eq!(status, row.weak, "{at}: {said}");
        assert!(said.contains(row.says), "{at}: {said}");
        match who {
            Who::Policy => assert_eq!((row.anybody, row.weak), (401, 403), "{at}"),
            Who::Known => assert_eq!((row.anybody, row.weak), (401, 200), "{at}"),
            // Whatever they show, it is looked at: none of them is let in without.
            Who::Proof => assert!(row.anybody >= 400, "{at}"),
            Who::Everybody => assert_eq!(row.anybody, row.weak, "{at}"),
        }
        // Nothing else is done there, whoever asks.
        for other in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            if other == *method {
                continue;
            }
            let mut weak = connect(&daemon, &roots, Some(pair(&files))).await.unwrap();
            let (status, said) = ask(&mut weak, &other, &at, row.body).await;
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED.as_u16(), "{other} {at}: {said}");
        }
    }
    end(daemon).await;
}

#[tokio::test]
async fn a_clients_secret_opens_the_directory_and_no_other_endpoint_of_ours() {
    let world = World::new().await;
    let secret = basic("weak", &world.client("weak").await);
    for Endpoint { method, path, .. } in &ENDPOINTS {
        let row = asked(path);
        let at = format!("{path}{}", row.more);
        let mut client = world.anybody().await;
        let shown = Some(secret.as_str());
        let (status, said) = ask_with(&mut client, shown, method, &at, row.body).await;
        assert_eq!(status, row.client, "{at}: {said}");
        // Where clients are not asked for their secret, it makes no difference.
        let is_for_clients = path.starts_with("/oauth/") || *path == "/v1/traffic/services";
        if !is_for_clients {
            assert_eq!(row.client, row.anybody, "{at}");
            let (_, to_anybody) = ask(&mut world.anybody().await, method, &at, row.body).await;
            assert_eq!(said, to_anybody, "{at}");
        }
    }
    end(world.daemon).await;
}
