//! gRPC, with the real thing at both ends: through a Gatekeeper, and through a Forwarder and a Gatekeeper.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod forwarder_support;
mod python;

use std::process::Command;
use std::sync::Arc;

use forwarder_support::{
    Authority, Broker, Door, Gate, ISSUER, NOW, directory, exchange, identity, listed, until,
};
use python::Script;
use sealock_core::policy::PolicySet;
use sealock_core::{ManualClock, Timestamp};
use sealock_net::proxy::{Address, Upstream, UpstreamSettings, Versions};
use sealock_testkit::clients::skip_without;
use sealock_traffic::broker::{Revocation, Revoked};
use sealock_traffic::forwarder::{Hop, Settings, Trust};
use sealock_traffic::token::{Claims, Profile, issue};
use serde_json::{Value, json};

const PYTHON: &str = "python-with-grpc";

/// The same for both callers, and only for gRPC.
const POLICY: &str = r#"
permit(principal, action == Sealock::Action::"Http::Call", resource)
when { context.path like "/v1/*" && context has protocol && context.protocol == "grpc" };
"#;

/// An app of gRPC, and a Gatekeeper before it.
struct Scene {
    broker: Arc<Broker>,
    clock: Arc<ManualClock>,
    authority: Authority,
    gate: Gate,
    app: Script,
}

impl Scene {
    async fn start(tls: bool) -> Self {
        let (app, port) = tokio::task::spawn_blocking(|| {
            let mut app = Script::start(PYTHON, include_str!("grpc/server.py"));
            let port = app.read();
            (app, port)
        })
        .await
        .unwrap();
        let settings = UpstreamSettings { versions: Versions::Http2, ..Default::default() };
        let upstream = Upstream::new(Address::Tcp(format!("127.0.0.1:{port}")), settings);
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
        let (broker, authority) = (Broker::new(&clock), Authority::new());
        let server = tls.then(|| authority.server_of_both("orders"));
        let gate = Gate::before("orders", upstream, &broker, server).await;
        let policy = PolicySet::load(&[("test.cedar".to_owned(), POLICY.to_owned())], 2).unwrap();
        assert!(gate.gatekeeper.change(|known| known.policy = Arc::new(policy)));
        Self { broker, clock, authority, gate, app }
    }

    fn token(&self, caller: &str) -> String {
        let now = u64::try_from(NOW).unwrap();
        let claims = Claims {
            issuer: ISSUER.to_owned(),
            subject: identity(caller),
            audience: identity("orders").to_string(),
            issued_at: now,
            not_before: now,
            expires_at: now + 300,
            id: format!("token-of-{caller}"),
            client: None,
            binding: None,
        };
        issue(&self.broker.key, Profile::AccessToken, &claims).unwrap().to_string()
    }

    fn tokens(&self) -> Value {
        json!({"shop": self.token("shop"), "bank": self.token("bank")})
    }

    /// A Forwarder to it, with a port of its own for it.
    async fn door(&self, hop: Hop) -> (Door, String) {
        let services = directory(vec![listed("orders", &[self.gate.address], hop)]);
        let trust = Trust { roots: vec![self.authority.root()], ..Trust::default() };
        let door = Door::start(Settings::default(), services, trust, &self.broker).await;
        let port = door.port("orders").await.to_string();
        (door, port)
    }

    fn revoke_shop(&self) {
        let issued_until = u64::try_from(NOW).unwrap();
        let revoked = Revoked::Identity(identity("shop"));
        assert!(self.gate.gatekeeper.revoke(&Revocation { number: 1, issued_until, revoked }));
    }
}

/// What comes of what a client is asked to do.
async fn ask(asked: Value) -> Value {
    tokio::task::spawn_blocking(move || {
        let mut client = Script::start(PYTHON, include_str!("grpc/client.py"));
        client.write(&asked.to_string());
        serde_json::from_str(&client.read()).expect("it says nothing")
    })
    .await
    .unwrap()
}

fn check_kinds(said: &Value) {
    assert_eq!(said["say"], "spiffe://t.sealock/service/shop says hi", "{said}");
    let names: Vec<&str> =
        said["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(names.contains(&"x-own") && names.contains(&"x-sealock-identity"), "{names:?}");
    assert!(!names.contains(&"authorization"), "{names:?}");
    assert_eq!(said["count"], 40 * 2000 + 10 * 1000, "{said}");
    let chat: Vec<String> = (0..5).map(|number| format!("you said {number}")).collect();
    assert_eq!(said["chat"], json!(chat));
    assert_eq!(said["collect"], "a+b+c");
    assert!(said["large"].as_u64().unwrap() > 3_000_000);
    let failed = json!({"code": "FAILED_PRECONDITION", "details": "not today: 100% \u{e9}"});
    assert_eq!(said["fail"], failed, "the app's own outcome passes");
    assert_eq!(said["admin"]["code"], "PERMISSION_DENIED", "{said}");
    let details = said["admin"]["details"].as_str().unwrap();
    assert!(details.starts_with("denied: ") && details.contains("; reason="), "{details}");
    assert_eq!(said["unknown"]["code"], "UNIMPLEMENTED", "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_call_goes_through_a_gatekeeper() {
    if skip_without(&[PYTHON]) {
        return;
    }
    for tls in [false, true] {
        let scene = Scene::start(tls).await;
        let mut asked = json!({
            "do": "kinds", "target": scene.gate.address.to_string(), "authority": "orders",
            "tokens": scene.tokens(),
        });
        if tls {
            asked["root"] = scene.authority.pem().into();
        }
        check_kinds(&ask(asked).await);
        let _ = &scene.app;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_call_goes_through_a_forwarder_too() {
    if skip_without(&[PYTHON]) {
        return;
    }
    for (tls, hop) in [(true, Hop::Tls), (false, Hop::Plain)] {
        let scene = Scene::start(tls).await;
        let (_door, port) = scene.door(hop).await;
        let asked = json!({"do": "kinds", "target": port, "authority": port, "tokens": {}});
        check_kinds(&ask(asked).await);
        // What the Forwarder itself refuses is told in the same way.
        let asked = json!({"do": "one", "target": port, "authority": "evil", "tokens": {}});
        let said = ask(asked).await;
        assert_eq!(said["code"], "PERMISSION_DENIED", "{said}");
        assert!(said["details"].as_str().unwrap().starts_with("foreign_host: "), "{said}");
        assert_eq!(scene.broker.asked(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_told_why_in_its_own_words() {
    if skip_without(&[PYTHON]) {
        return;
    }
    let scene = Scene::start(false).await;
    let ask = |tokens: Value| {
        let target = scene.gate.address.to_string();
        ask(json!({"do": "one", "target": target, "authority": "orders", "tokens": tokens}))
    };
    assert_eq!(ask(scene.tokens()).await["say"], "spiffe://t.sealock/service/shop says hi");
    let said = ask(json!({})).await;
    assert_eq!(said["code"], "UNAUTHENTICATED", "{said}");
    assert!(said["details"].as_str().unwrap().starts_with("token_missing: "), "{said}");
    let said = ask(json!({"shop": "junk"})).await;
    assert_eq!(said["code"], "UNAUTHENTICATED", "{said}");
    // The broker is not heard.
    scene.clock.advance(std::time::Duration::from_secs(3600));
    let said = ask(scene.tokens()).await;
    assert_eq!(said["code"], "UNAVAILABLE", "{said}");
    assert!(said["details"].as_str().unwrap().starts_with("stale: "), "{said}");
    // The same over HTTP/1.1 is a problem as ever.
    let text = "POST /v1/Say HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\
                content-type: application/grpc\r\ncontent-length: 0\r\n\r\n";
    let answer = exchange(scene.gate.address, text).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_callers_stream_is_cut_and_anothers_on_the_same_connection_goes_on() {
    if skip_without(&[PYTHON]) {
        return;
    }
    let scene = Scene::start(true).await;
    let asked = json!({
        "do": "cut", "target": scene.gate.address.to_string(), "authority": "orders",
        "tokens": scene.tokens(), "root": scene.authority.pem(),
    });
    let (client, live) = tokio::task::spawn_blocking(move || {
        let mut client = Script::start(PYTHON, include_str!("grpc/client.py"));
        client.write(&asked.to_string());
        let live = client.read();
        (client, live)
    })
    .await
    .unwrap();
    assert_eq!(live, "live");
    assert_eq!(scene.gate.gatekeeper.figures().running, 2);
    scene.revoke_shop();
    let said = tokio::task::spawn_blocking(move || {
        let mut client = client;
        client.write("revoked");
        client.read()
    });
    let said: Value = serde_json::from_str(&said.await.unwrap()).unwrap();
    assert_eq!(said["code"], "CANCELLED", "{said}");
    assert!(said["took"].as_f64().unwrap() < 1.0, "{said}");
    assert_eq!(said["more"], json!(vec!["still"; 10]));
    until(|| scene.gate.gatekeeper.figures().running == 0).await;
}

/// How many of the requests of a load succeeded: 2,000, on 10 connections, 10 at a time on each.
fn load(target: &str, fields: &[&str]) -> String {
    let mut h2load = Command::new("h2load");
    h2load.args(["-n", "2000", "-c", "10", "-m", "10", "-t", "1"]);
    for field in fields {
        h2load.args(["-H", field]);
    }
    let output = h2load.arg(format!("http://{target}/v1/a")).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_passes_whole() {
    if skip_without(&["h2load"]) {
        return;
    }
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
    let (broker, authority) = (Broker::new(&clock), Authority::new());
    let app = forwarder_support::App::start().await;
    let tls = Some(authority.server_of_both("orders"));
    let gate = Gate::start("orders", app.address, &broker, tls).await;
    let services = directory(vec![listed("orders", &[gate.address], Hop::Tls)]);
    let trust = Trust { roots: vec![authority.root()], ..Trust::default() };
    let door = Door::start(Settings::default(), services, trust, &broker).await;
    let port = door.port("orders").await.to_string();
    let authority = format!(":authority: {port}");
    let said = tokio::task::spawn_blocking(move || load(&port, &[&authority])).await.unwrap();
    assert!(said.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
    assert!(said.contains("status codes: 2000 2xx"), "{said}");
    assert_eq!(app.calls(), 2000);
}
