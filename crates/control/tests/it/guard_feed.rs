//! A Gatekeeper whose broker is slow, silent, comes and goes, or has an expired certificate: it goes on by what it knows,
//! refuses when that is too old, and is back when the broker is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_control::guard::{
    Advertise, AppPlace, Guard, GuardOptions, GuardedApp, IdentityFolder, Link, Staleness, Tuning,
    guard,
};
use sealock_core::policy::Mode;
use sealock_core::{Clock, SystemClock};
use sealock_net::tls::{ClientAuth, LiveCertificate, LiveServer, server_config};
use sealock_traffic::broker::{EntryHash, Head};
use sealock_traffic::feed::{Message, Policy, Snapshot};
use sealock_traffic::token::{Algorithm, Claims, KeySet, Profile, SigningKey, issue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::services::app;

const ISSUER: &str = "https://broker.test";
/// No CA is revoked.
const NO_CAS: &str = "[]";
const ORDERS: &str = "spiffe://t.sealock/service/orders";
/// For how long what is known decides without a word from the broker.
const STALE_AFTER: Duration = Duration::from_secs(3);
/// Longer than it takes to give up a broker that says nothing.
const PATIENCE: Duration = Duration::from_secs(40);

/// What a broker does with who asks for the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Good,
    /// It takes a while for all that it says.
    Slow,
    /// After the handshake it says nothing.
    Silent,
    /// It begins to answer, and says no line.
    Tongueless,
    /// It says all of it, and hangs up.
    Flapping,
    /// It hangs up before the handshake.
    Away,
}

struct Broker {
    key: SigningKey,
    behaves: watch::Sender<Behaviour>,
    certificate: Arc<LiveCertificate>,
    good: Leaf,
    expired: Leaf,
    /// The rules, and their number.
    policy: Mutex<(u64, &'static str)>,
    connections: AtomicUsize,
    /// Times that somebody said something after the handshake.
    asked: AtomicUsize,
}

type Files = [(&'static str, String); 3];
type Leaf = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

const MAY_CALL: &str = "permit(principal == Sealock::Service::\"shop\", \
    action == Sealock::Action::\"Http::Call\", resource == Sealock::Service::\"orders\");";

fn now() -> u64 {
    u64::try_from(SystemClock.now().as_secs()).unwrap()
}

/// The files of an identity, and of the same authority a certificate that is good and one that has expired.
fn certificates() -> (Files, Leaf, Leaf) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::OrganizationName, "t.sealock");
    params.distinguished_name.push(DnType::CommonName, "Sealock Root CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let leaf = |is_expired: bool| {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let host = Ia5String::try_from("spiffe://t.sealock/host/broker").unwrap();
        params.subject_alt_names.push(SanType::URI(host));
        if is_expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 2, 1);
        }
        let key = KeyPair::generate().unwrap();
        let chain = vec![params.signed_by(&key, &authority).unwrap().der().clone()];
        (chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    };
    let mut params = CertificateParams::new(vec!["orders".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::URI(Ia5String::try_from(ORDERS).unwrap()));
    let key = KeyPair::generate().unwrap();
    let own = params.signed_by(&key, &authority).unwrap().pem();
    let files = [("tls.crt", own), ("tls.key", key.serialize_pem()), ("ca.crt", authority.pem())];
    (files, leaf(false), leaf(true))
}

impl Broker {
    async fn start() -> (Arc<Self>, u16, Files) {
        let (files, good, expired) = certificates();
        let broker = Arc::new(Self {
            key: SigningKey::generate(Algorithm::Es256).unwrap(),
            behaves: watch::Sender::new(Behaviour::Good),
            certificate: LiveCertificate::new(good.0.clone(), good.1.clone_key()).unwrap(),
            good,
            expired,
            policy: Mutex::new((1, MAY_CALL)),
            connections: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(Arc::clone(&broker).serve(listener));
        (broker, port, files)
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        let config = server_config(self.certificate.clone(), &ClientAuth::None).unwrap();
        let server = LiveServer::new(config);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            self.connections.fetch_add(1, Ordering::SeqCst);
            let mut turned = self.behaves.subscribe();
            let behaviour = *turned.borrow_and_update();
            if behaviour == Behaviour::Away {
                continue;
            }
            let (broker, server) = (Arc::clone(&self), Arc::clone(&server));
            tokio::spawn(async move {
                let Ok(stream) = server.accept(stream, PATIENCE).await else { return };
                let speaking = broker.speak(stream, behaviour);
                match behaviour {
                    // That it has become better is not what they are told who wait.
                    Behaviour::Silent | Behaviour::Tongueless => {
                        let _ = speaking.await;
                    }
                    _ => tokio::select! {
                        _ = speaking => {}
                        _ = turned.changed() => {}
                    },
                }
            });
        }
    }

    async fn speak<S>(&self, mut stream: S, behaviour: Behaviour) -> std::io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(head.starts_with(b"GET /v1/traffic/feed?service=orders"), "{head:?}");
        // Until they leave.
        let waits = async |mut stream: S| stream.read_u8().await.map(drop);
        if behaviour == Behaviour::Silent {
            return waits(stream).await;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/jsonl\r\n\r\n").await?;
        stream.flush().await?;
        if behaviour == Behaviour::Tongueless {
            return waits(stream).await;
        }
        let line = self.snapshot().to_line();
        let pieces = if behaviour == Behaviour::Slow { 10 } else { 1 };
        for piece in line.chunks(line.len().div_ceil(pieces)) {
            stream.write_all(piece).await?;
            stream.flush().await?;
            if pieces > 1 {
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
        }
        if behaviour == Behaviour::Flapping {
            return stream.shutdown().await;
        }
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            stream.write_all(&Message::Beat { head: self.head() }.to_line()).await?;
            stream.flush().await?;
        }
    }

    fn head(&self) -> String {
        let (log, hash) = (ISSUER.to_owned(), EntryHash::START);
        let (keys, cas) = (EntryHash::of(&self.keys()), EntryHash::of(NO_CAS));
        Head { log, number: 0, hash, from: 1, at: now(), keys, cas }.sign(&self.key).unwrap()
    }

    fn keys(&self) -> String {
        KeySet::from_iter([self.key.public()]).to_json()
    }

    fn snapshot(&self) -> Message {
        let (epoch, rules) = *self.policy.lock();
        let sources = vec![("test.cedar".to_owned(), rules.to_owned())];
        Message::Snapshot(Box::new(Snapshot {
            issuer: ISSUER.to_owned(),
            keys: self.keys(),
            policy: Policy { epoch, sources, mode: Mode::Enforce },
            groups: Vec::new(),
            revocations: Vec::new(),
            cas: NO_CAS.to_owned(),
            head: self.head(),
        }))
    }

    fn token(&self) -> String {
        let now = now();
        let claims = Claims {
            issuer: ISSUER.to_owned(),
            subject: "spiffe://t.sealock/service/shop".parse().unwrap(),
            audience: ORDERS.to_owned(),
            issued_at: now,
            not_before: now,
            expires_at: now + 300,
            id: "token-1".to_owned(),
            client: None,
            binding: None,
        };
        issue(&self.key, Profile::AccessToken, &claims).unwrap().to_string()
    }

    /// From now on it is so, and those connections end that it speaks on.
    fn turn(&self, behaviour: Behaviour) {
        self.behaves.send_replace(behaviour);
    }

    /// Other rules, on a feed that begins anew.
    fn rule(&self, rules: &'static str) {
        let mut policy = self.policy.lock();
        *policy = (policy.0 + 1, rules);
        drop(policy);
        self.turn(Behaviour::Good);
    }

    fn serve_with(&self, (chain, key): &Leaf) {
        self.certificate.replace(chain.clone(), key.clone_key()).unwrap();
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

struct Scene {
    broker: Arc<Broker>,
    guard: Guard,
    token: String,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn start() -> Self {
        let (broker, port, files) = Broker::start().await;
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let link = Link::Https(format!("localhost:{port}"), IdentityFolder(folder.path().into()));
        let guard = guard(GuardOptions {
            service: ORDERS.to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            upstream: GuardedApp { place: AppPlace::Tcp(app().await.to_string()), http2: false },
            broker: link,
            identity: None,
            staleness: Staleness::RefuseAfter(STALE_AFTER),
            access_log: false,
            tuning: Tuning::default(),
            metrics: None,
            activation: None,
            handover: None,
            sign_identity: false,
            identity_keys: None,
            introspect: None,
            advertise: Advertise::No,
        })
        .await
        .unwrap();
        let token = broker.token();
        let scene = Self { broker, guard, token, _folder: folder };
        scene.until(200).await;
        scene
    }

    /// Status and body of a call.
    async fn call(&self) -> (u16, String) {
        let mut stream = TcpStream::connect(self.guard.address).await.unwrap();
        let text = format!(
            "GET /v1/a HTTP/1.1\r\nhost: orders\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            self.token
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    /// Until a call is answered so; the body.
    async fn until(&self, status: u16) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let (is, body) = self.call().await;
            if is == status {
                return body;
            }
            assert!(Instant::now() < end, "{is} in place of {status}: {body}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The broker is well again: it is heard, and what it says next is in force.
    async fn recovers(self) {
        self.broker.turn(Behaviour::Good);
        self.until(200).await;
        self.broker.rule("");
        self.until(403).await;
        self.guard.shutdown().trigger();
        self.guard.run().await.unwrap();
    }

    /// What is known decides, and for as long as it may: then nobody is let in.
    async fn goes_on_and_goes_stale(&self) {
        let began = Instant::now();
        let body = loop {
            let (status, body) = self.call().await;
            if status != 200 {
                assert_eq!(status, 503, "{body}");
                break body;
            }
            assert!(began.elapsed() < PATIENCE, "what is known decides for ever");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert!(body.contains("\"stale\""), "{body}");
        // The last word was at most a beat earlier.
        assert!(began.elapsed() > STALE_AFTER - Duration::from_secs(1), "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_silent_after_the_handshake_is_given_up() {
    let scene = Scene::start().await;
    scene.broker.turn(Behaviour::Silent);
    scene.goes_on_and_goes_stale().await;
    scene.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_begins_and_says_nothing_is_given_up() {
    let scene = Scene::start().await;
    scene.broker.turn(Behaviour::Tongueless);
    scene.goes_on_and_goes_stale().await;
    scene.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_is_looked_for_and_not_hammered() {
    let scene = Scene::start().await;
    let before = scene.broker.connections();
    scene.broker.turn(Behaviour::Away);
    scene.goes_on_and_goes_stale().await;
    // Each pause is longer than the one before it: some tries in these seconds, and not hundreds.
    let tries = scene.broker.connections() - before;
    assert!((2..30).contains(&tries), "{tries} tries");
    scene.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_slow_or_comes_and_goes_keeps_nobody_out() {
    for behaviour in [Behaviour::Slow, Behaviour::Flapping] {
        let scene = Scene::start().await;
        let before = scene.broker.connections();
        scene.broker.turn(behaviour);
        // For longer than what is known would be good without a word.
        let began = Instant::now();
        while began.elapsed() < STALE_AFTER * 2 {
            assert_eq!(scene.call().await.0, 200, "{behaviour:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let tries = scene.broker.connections() - before;
        assert!((1..300).contains(&tries), "{behaviour:?}: {tries} tries");
        scene.recovers().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_certificate_has_expired_is_told_nothing_and_not_believed() {
    let scene = Scene::start().await;
    let asked = scene.broker.asked.load(Ordering::SeqCst);
    scene.broker.serve_with(&scene.broker.expired);
    // What it says would let nobody in.
    scene.broker.rule("");
    scene.goes_on_and_goes_stale().await;
    assert_eq!(scene.broker.asked.load(Ordering::SeqCst), asked, "it was told something");
    scene.broker.serve_with(&scene.broker.good);
    scene.broker.rule(MAY_CALL);
    scene.recovers().await;
}
