//! python-h2 as a client of a Gatekeeper, over TLS and in clear text: what is good passes whole, and what means nothing
//! is refused in words of the protocol, and the app sees nothing of it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod early;
mod forwarder_support;
mod python;

use std::sync::Arc;

use bytes::Bytes;
use forwarder_support::{Authority, Broker, Gate, NOW, until};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use parking_lot::Mutex;
use python::Script;
use sealock_core::{ManualClock, Timestamp};
use sealock_net::Incoming;
use sealock_net::proxy::{
    Address, Answer, Terms, Upstream, UpstreamSettings, Versions, serve_either,
};
use sealock_testkit::clients::skip_without;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

const PYTHON: &str = "python-with-h2";

type Reply = UnsyncBoxBody<Bytes, std::io::Error>;

/// The paths of requests, by how far each has come.
#[derive(Default)]
struct Seen {
    begun: Mutex<Vec<String>>,
    whole: Mutex<Vec<String>>,
    broken: Mutex<Vec<String>>,
}

/// A request that nobody has seen the end of is one that broke off.
struct Watched {
    seen: Arc<Seen>,
    path: Option<String>,
}

impl Watched {
    fn begin(seen: &Arc<Seen>, path: &str) -> Self {
        seen.begun.lock().push(path.to_owned());
        Self { seen: Arc::clone(seen), path: Some(path.to_owned()) }
    }

    fn whole(mut self) {
        self.seen.whole.lock().extend(self.path.take());
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.seen.broken.lock().extend(self.path.take());
    }
}

fn full(bytes: impl Into<Bytes>) -> Reply {
    Full::new(bytes.into()).map_err(std::io::Error::other).boxed_unsync()
}

/// The same as the client makes, word for word.
fn noise(length: usize) -> Vec<u8> {
    let words = (0..u32::MAX).map(|number| number.wrapping_mul(2_654_435_761));
    words.flat_map(u32::to_le_bytes).take(length).collect()
}

/// Whether this app answers such a request without a look at its body.
fn is_early(path: &str) -> bool {
    early::WAYS.iter().any(|way| path.strip_prefix("/v1/") == Some(way))
}

async fn behave(request: Request<Incoming>, seen: Arc<Seen>, go_on: Arc<Semaphore>) -> Reply {
    let path = request.uri().path().to_owned();
    let watched = Watched::begin(&seen, &path);
    match path.as_str() {
        "/v1/echo" => {
            watched.whole();
            return request.into_body().map_err(std::io::Error::other).boxed_unsync();
        }
        "/v1/names" => {
            let name = |name: &hyper::header::HeaderName| name.to_string();
            let names: Vec<String> = request.headers().keys().map(name).collect();
            let who = request.headers()["x-sealock-identity"].to_str().unwrap();
            return full(json!({"names": names, "identity": who}).to_string());
        }
        "/v1/big" => return full(noise(1 << 20)),
        path if is_early(path) => return full("too much"),
        "/v1/wait" => go_on.acquire().await.unwrap().forget(),
        _ => {}
    }
    match request.into_body().collect().await {
        Ok(body) => {
            watched.whole();
            full(format!("{} bytes", body.to_bytes().len()))
        }
        Err(_) => full("it broke off"),
    }
}

/// An app that speaks both versions.
async fn app(seen: Arc<Seen>, go_on: Arc<Semaphore>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (seen, go_on) = (Arc::clone(&seen), Arc::clone(&go_on));
            tokio::spawn(serve_either(stream, Terms::default(), move |request| {
                let answer = behave(request, Arc::clone(&seen), Arc::clone(&go_on));
                async move { Answer::Response(Response::new(answer.await)) }
            }));
        }
    });
    address
}

/// That app, and a Gatekeeper before it.
struct Scene {
    broker: Arc<Broker>,
    authority: Option<Authority>,
    gate: Gate,
    seen: Arc<Seen>,
    go_on: Arc<Semaphore>,
}

impl Scene {
    async fn start(tls: bool) -> Self {
        let (seen, go_on) = (Arc::new(Seen::default()), Arc::new(Semaphore::new(0)));
        let app = app(Arc::clone(&seen), Arc::clone(&go_on)).await;
        let settings = UpstreamSettings { versions: Versions::Http2, ..Default::default() };
        let scene = Self::before(Upstream::new(Address::Tcp(app), settings), tls).await;
        Self { seen, go_on, ..scene }
    }

    /// Before some other app.
    async fn before(upstream: Upstream, tls: bool) -> Self {
        let broker = Broker::new(&Arc::new(ManualClock::new(Timestamp::from_secs(NOW))));
        let authority = tls.then(Authority::new);
        let server = authority.as_ref().map(|authority| authority.server_of_both("orders"));
        let gate = Gate::before("orders", upstream, &broker, server).await;
        let go_on = Arc::new(Semaphore::new(0));
        Self { broker, authority, gate, seen: Arc::default(), go_on }
    }

    /// The client, with its task.
    async fn client(&self, what: &str) -> Script {
        let token = self.broker.unbound("orders").await;
        let mut asked = json!({
            "do": what, "target": self.gate.address.to_string(), "token": token.as_str(),
            "ways": early::WAYS,
        });
        if let Some(authority) = &self.authority {
            asked["root"] = authority.pem().into();
        }
        let mut client = Script::start(PYTHON, include_str!("python_h2/client.py"));
        client.write(&asked.to_string());
        client
    }

    /// What comes of a task that needs nobody else.
    async fn ask(&self, what: &str) -> Value {
        json(self.client(what).await).await.1
    }

    /// How often the app has seen this begin, and come to its end.
    fn count(&self, path: &str) -> (usize, usize) {
        let count = |list: &Mutex<Vec<String>>| list.lock().iter().filter(|it| *it == path).count();
        (count(&self.seen.begun), count(&self.seen.whole))
    }
}

/// The client's next line.
async fn line(mut client: Script) -> (Script, String) {
    let read = move || {
        let line = client.read();
        (client, line)
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

async fn json(client: Script) -> (Script, Value) {
    let (client, line) = line(client).await;
    let json = serde_json::from_str(&line).unwrap_or_else(|_| panic!("it says {line:?}"));
    (client, json)
}

/// Over TLS, and in clear text.
async fn both() -> Option<[Scene; 2]> {
    if skip_without(&[PYTHON]) {
        return None;
    }
    Some([Scene::start(true).await, Scene::start(false).await])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_python_h2_pass_with_bodies_and_trailers() {
    for scene in both().await.into_iter().flatten() {
        let said = scene.ask("ordinary").await;
        assert_eq!(said["echo"], json!(["200", "body", {"x-sum": "7"}]), "{said}");
        assert_eq!(said["names"]["identity"], "spiffe://t.sealock/service/shop");
        let names = said["names"]["names"].as_array().unwrap();
        assert!(names.contains(&"x-own".into()) && !names.contains(&"authorization".into()));
        assert_eq!(said["unknown"][0], "401");
        assert!(said["unknown"][1].as_str().unwrap().starts_with("Bearer"), "{said}");
        assert_eq!(said["unknown"][2], "token_missing");
        assert_eq!(said["head"], json!([["200", 0, null], ["403", 0, null]]), "{said}");
        assert_eq!((&said["admin"], &said["delete"]), (&403.into(), &200.into()));
        assert_eq!(scene.count("/admin"), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_streams_as_may_be_share_a_connection_and_none_gets_anothers_bytes() {
    for scene in both().await.into_iter().flatten() {
        let said = scene.ask("many").await;
        let most = said["most"].as_u64().unwrap();
        assert!((50..=1000).contains(&most), "{said}");
        assert_eq!(said["right"], 4 * most, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_pass_both_ways_at_once_through_small_windows_that_change() {
    for scene in both().await.into_iter().flatten() {
        let said = scene.ask("flow").await;
        for what in ["both", "window", "down", "changed"] {
            assert_eq!(said[what], true, "{what}: {said}");
        }
        assert!(said["pieces"].as_u64().unwrap() >= 10, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_reset_breaks_off_at_the_app_and_others_go_on() {
    for scene in both().await.into_iter().flatten() {
        let (mut client, begun) = line(scene.client("reset").await).await;
        assert_eq!(begun, "begun");
        until(|| scene.count("/v1/broken").0 + scene.count("/v1/other").0 == 2).await;
        client.write("reset it");
        let (mut client, reset) = line(client).await;
        assert_eq!(reset, "reset");
        until(|| *scene.seen.broken.lock() == ["/v1/broken"]).await;
        client.write("go on");
        assert_eq!(json(client).await.1["other"], "40000 bytes");
        assert_eq!((scene.count("/v1/broken"), scene.count("/v1/other")), ((1, 0), (1, 1)));
        until(|| scene.gate.gatekeeper.figures().running == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_before_the_end_of_an_upload_comes_over_http2_too() {
    if skip_without(&[PYTHON]) {
        return;
    }
    for tls in [false, true] {
        let (app, heads) = early::app().await;
        let upstream = Upstream::new(Address::Tcp(app.to_string()), UpstreamSettings::default());
        let scene = Scene::before(upstream, tls).await;
        let said = scene.ask("early").await;
        for way in early::WAYS {
            let may_break = ["hangs-up", "resets"].contains(&way);
            let answer = &said[way];
            assert!(
                answer[0] == 413 && answer[1] == "too much" || may_break && answer[0] == 502,
                "{said}"
            );
            assert_eq!(answer[2], 200, "{said}");
        }
        let uploads = heads.lock().iter().filter(|head| head.starts_with("PUT ")).count();
        assert_eq!((heads.lock().len(), uploads), (2 * early::WAYS.len(), early::WAYS.len()));
        until(|| scene.gate.gatekeeper.figures().running == 0).await;
        // And an app that speaks HTTP/2 itself.
        let scene = Scene::start(tls).await;
        let said = scene.ask("early").await;
        for way in early::WAYS {
            assert_eq!(said[way], json!([200, "too much", 200]), "{said}");
        }
        until(|| scene.gate.gatekeeper.figures().running == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_and_settings_are_acknowledged() {
    for scene in both().await.into_iter().flatten() {
        assert_eq!(scene.ask("small_talk").await["status"], 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_says_goodbye_what_was_begun_is_answered() {
    for scene in both().await.into_iter().flatten() {
        let (client, _) = line(scene.client("goodbye").await).await;
        until(|| scene.count("/v1/wait").0 == 1).await;
        scene.go_on.add_permits(1);
        let (client, _) = line(client).await;
        until(|| scene.count("/v1/wait").0 == 2).await;
        // Its end begins.
        let Scene { gate, go_on, .. } = scene;
        drop(gate);
        let (client, told) = line(client).await;
        assert_eq!(told, "goodbye");
        go_on.add_permits(1);
        let said = json(client).await.1;
        let wanted = json!({
            "ours": ["status", 200], "told": 0, "covers": true, "status": "200", "closed": true,
        });
        assert_eq!(said, wanted);
    }
}

/// A refusal that both sides can tell from success: of the request, its stream, or the connection.
fn is_refused(verdict: &Value) -> bool {
    let code = verdict[1].as_u64().unwrap();
    match verdict[0].as_str().unwrap() {
        "status" => (400..500).contains(&code),
        "reset" | "goaway" => code != 0,
        word => word == "closed",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_means_nothing_over_http2_is_refused_and_the_app_sees_nothing_of_it() {
    for scene in both().await.into_iter().flatten() {
        let said = scene.ask("hostile").await;
        let verdicts = said["said"].as_object().unwrap();
        let wrong: Vec<_> = verdicts.iter().filter(|(_, verdict)| !is_refused(verdict)).collect();
        assert!(wrong.is_empty() && verdicts.len() > 70, "{wrong:?}");
        // A request that is refused alone leaves the connection to the others.
        let alone: Vec<_> = verdicts.iter().filter(|(_, it)| !it[2].is_null()).collect();
        // Of a head that depends on itself nobody unpacks the fields, to which later ones refer.
        let breaks = |name: &String| name == "a head that depends on itself";
        let gone: Vec<_> =
            alone.iter().filter(|(name, it)| it[2] != 200 && !breaks(name)).collect();
        assert!(gone.is_empty() && alone.len() > 20, "{gone:?}");
        // Of a body that is not what was said the app may see the beginning, and never the end.
        let (begun, whole) = scene.count("/v1/hostile");
        assert!(begun <= said["bodies"].as_array().unwrap().len(), "{begun}");
        assert_eq!(whole, 0);
        let odd =
            |path: &&String| !["/v1/hostile", "/v1/after", "/v1/first"].contains(&path.as_str());
        assert_eq!(scene.seen.begun.lock().iter().filter(odd).count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_more_is_said_on_a_stream_that_has_ended() {
    for scene in both().await.into_iter().flatten() {
        let said = scene.ask("closed").await;
        let verdicts = said["said"].as_array().unwrap();
        assert!(verdicts.iter().all(is_refused), "{said}");
        assert_eq!((scene.count("/v1/first"), scene.count("/v1/hostile")), ((2, 2), (0, 0)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_without_end_is_not_read_for_ever() {
    for scene in both().await.into_iter().flatten() {
        let said = scene.ask("floods").await;
        for (name, flood) in said.as_object().unwrap() {
            // What a socket holds of it is taken by nobody.
            assert!(flood[0].as_u64().unwrap() < 16 << 10, "{name}: {said}");
            assert!(["goaway", "closed"].contains(&flood[1].as_str().unwrap()), "{name}: {said}");
        }
        assert_eq!(scene.seen.begun.lock().len(), 0);
        assert_eq!(scene.ask("small_talk").await["status"], 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_begin_as_http2_does_is_none() {
    for scene in both().await.into_iter().flatten() {
        assert_eq!(scene.ask("preface").await["said"], json!([true, true]));
        assert_eq!(scene.seen.begun.lock().len(), 0);
    }
}
