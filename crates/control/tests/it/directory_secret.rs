//! The directory of services to a client that has a secret and no certificate.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use sealock_control::api::error_of;
use sealock_control::daemon::Daemon;
use sealock_control::forward::{Asker, ForwardOptions, Forwarding, Site, forward};
use sealock_control::{Command, ErrorCode, Reply};
use sealock_core::audit::Fact;
use sealock_traffic::registry::{Line, Listing};
use tokio::net::UnixStream;

use crate::api::{Sender, end, roots};
use crate::scratch::{call, records};
use crate::services;
use crate::tokens::{World, basic};

const DIRECTORY: &str = "/v1/traffic/services";
const PATIENCE: Duration = Duration::from_secs(30);

/// Status and headers of what is asked with these `Authorization` headers, and what comes of it.
async fn ask(sender: &mut Sender, path: &str, shown: &[&str]) -> (StatusCode, HeaderMap, Incoming) {
    let mut request = Request::get(path).header("host", "localhost");
    for value in shown {
        request = request.header("authorization", *value);
    }
    sender.ready().await.unwrap();
    let answer = sender.send_request(request.body(Full::new(Bytes::new())).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    (head.status, head.headers, body)
}

/// A stream of the directory that is open.
struct Stream {
    body: Incoming,
    opened: Instant,
    _sender: Sender,
}

impl Stream {
    async fn open(world: &World, shown: &str) -> Self {
        let mut sender = world.anybody().await;
        let (status, _, body) = ask(&mut sender, DIRECTORY, &[shown]).await;
        assert_eq!(status, StatusCode::OK);
        Self { body, opened: Instant::now(), _sender: sender }
    }

    /// It ends before its first beat is due.
    async fn ends_at_once(&mut self) {
        assert_eq!(self.beats().await, 0);
        assert!(self.opened.elapsed() < Duration::from_secs(5), "nobody was woken");
    }

    /// The next line; none at the end.
    async fn next(&mut self) -> Option<Line> {
        let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("no line");
        let data = frame?.unwrap().into_data().unwrap();
        Some(Line::read(std::str::from_utf8(&data).unwrap().trim_end()).unwrap())
    }

    /// The next listing, by the names of what is in it.
    async fn names(&mut self) -> Vec<String> {
        loop {
            match self.next().await.expect("it has ended") {
                Line::Services(Listing { services, .. }) => {
                    return services.iter().map(|it| it.service.name().to_owned()).collect();
                }
                Line::Beat(_) => {}
            }
        }
    }

    /// Until the end; the beats until then.
    async fn beats(&mut self) -> usize {
        let mut beats = 0;
        while let Some(line) = self.next().await {
            beats += usize::from(matches!(line, Line::Beat(_)));
            assert!(beats < 4, "it goes on and on");
        }
        beats
    }
}

/// Gatekeepers of these services, by their feeds.
async fn joined(world: &World, services: &[&str]) -> Vec<(Sender, Incoming)> {
    let mut all = Vec::new();
    for service in services {
        let mut sender = world.service(service).await;
        let path = format!("/v1/traffic/feed?service={service}&advertise=10.0.0.5:8443");
        let (status, _, body) = ask(&mut sender, &path, &[]).await;
        assert_eq!(status, StatusCode::OK);
        all.push((sender, body));
    }
    all
}

async fn rotate(world: &World, overlap: Option<u64>) -> String {
    world.secret(Command::ClientRotate { name: "shop".into(), overlap }).await
}

#[tokio::test]
async fn a_client_with_a_secret_is_told_of_what_it_may_have_tokens_for() {
    let world = World::new().await;
    let _joined = joined(&world, &["orders", "billing", "till", "vault"]).await;
    let (shop, till) =
        (basic("shop", &world.client("shop").await), basic("till", &world.client("till").await));
    let mut stream = Stream::open(&world, &shop).await;
    assert_eq!(stream.names().await, ["billing", "orders"]);
    // What it could have with a certificate only is not for it.
    assert!(Stream::open(&world, &till).await.names().await.is_empty());
    // By the name of the client, as when it asks for a token, and as soon as there is a rule.
    let rule = "permit(principal == Sealock::Service::\"shop\", action == Sealock::Action::\"Token::Issue\",\n\
                resource == Sealock::Service::\"till\") when { context has client && context.client == \"shop\" };\n";
    world.permit("till.cedar", rule).await;
    while stream.names().await != ["billing", "orders", "till"] {}
    let service = world.daemon.service();
    let denied = records(service).into_iter();
    let denied = denied.filter(|it| matches!(it.event.fact, Fact::Denied { .. })).count();
    assert_eq!(denied, 0, "nobody has asked for a token");
    end(world.daemon).await;
}

#[tokio::test]
async fn a_secret_that_is_not_good_is_one_clear_error() {
    let world = World::new().await;
    let secret = world.client("shop").await;
    let (mut sender, mut said) = (world.anybody().await, Vec::new());
    let wrong = basic("shop", &format!("{secret}x"));
    for shown in [wrong.as_str(), &basic("nobody", &secret), &basic("shop", ""), &basic("", "")] {
        let (status, headers, body) = ask(&mut sender, DIRECTORY, &[shown]).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(headers["www-authenticate"].to_str().unwrap().starts_with("Basic "));
        let body = body.collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains(&secret));
        said.push(error_of(401, &body));
    }
    assert_eq!(said[0].code, ErrorCode::Unauthenticated);
    assert!(said[0].message.contains("no such client with this secret") && said[0].hint.is_some());
    assert!(said.iter().all(|other| *other == said[0]), "who is a client, nobody learns: {said:?}");
    // It is read as at the token endpoint.
    let good = basic("shop", &secret);
    for (shown, wanted) in [
        (&["Basic !"][..], StatusCode::UNAUTHORIZED),
        (&["Bearer x"], StatusCode::UNAUTHORIZED),
        (&[&*good, &*good], StatusCode::BAD_REQUEST),
        (&[&*basic("sh%6fp", &secret)], StatusCode::OK),
    ] {
        assert_eq!(ask(&mut world.anybody().await, DIRECTORY, shown).await.0, wanted, "{shown:?}");
    }
    let log = serde_json::to_string(&records(world.daemon.service())).unwrap();
    assert!(!log.contains(&secret));
    end(world.daemon).await;
}

#[tokio::test]
async fn who_has_a_certificate_is_who_it_says_whatever_secret_is_shown() {
    let world = World::new().await;
    let _joined = joined(&world, &["orders"]).await;
    let shop = basic("shop", &world.client("shop").await);
    for shown in [shop.as_str(), &basic("shop", "wrong")] {
        let mut stranger = world.service("stranger").await;
        let (status, _, body) = ask(&mut stranger, DIRECTORY, &[shown]).await;
        assert_eq!(status, StatusCode::OK);
        let mut stream = Stream { body, opened: Instant::now(), _sender: stranger };
        assert!(stream.names().await.is_empty());
    }
    // At the host's own door nobody looks at it either.
    let stream = UnixStream::connect(&world.daemon.started().socket).await.unwrap();
    let (mut local, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(ask(&mut local, DIRECTORY, &[&*basic("shop", "wrong")]).await.0, StatusCode::OK);
    end(world.daemon).await;
}

#[tokio::test]
async fn a_client_that_is_removed_or_has_another_secret_is_told_nothing_more() {
    let world = World::stopped().await;
    let _joined = joined(&world, &["orders"]).await;
    let open = async |secret: &str| {
        let mut stream = Stream::open(&world, &basic("shop", secret)).await;
        assert_eq!(stream.names().await, ["orders"]);
        stream
    };
    // At once, and not at the next beat.
    let (first, remove) =
        (world.client("shop").await, Command::ClientRemove { name: "shop".into() });
    let mut stream = open(&first).await;
    call(world.daemon.service(), remove).await.unwrap();
    stream.ends_at_once().await;
    // Another one of the same name has another secret.
    let second = world.client("shop").await;
    let shown = [&*basic("shop", &first)];
    assert_eq!(ask(&mut world.anybody().await, DIRECTORY, &shown).await.0, 401);
    let mut stream = open(&second).await;
    let third = rotate(&world, Some(0)).await;
    stream.ends_at_once().await;
    // An old one that goes on for a while ends with that, although nothing changes then.
    let (mut old, mut stream) = (open(&third).await, open(&third).await);
    let fourth = rotate(&world, Some(60)).await;
    let mut new = open(&fourth).await;
    assert!(matches!(old.next().await, Some(Line::Beat(1))), "it is good still");
    drop(old);
    world.clock().advance(Duration::from_secs(61));
    assert!(stream.beats().await <= 1, "no beat after its end");
    assert!(matches!(new.next().await, Some(Line::Beat(_))));
    end(world.daemon).await;
}

#[tokio::test]
async fn a_client_has_so_many_streams_and_no_more() {
    let world = World::new().await;
    let add = Command::ClientAdd { name: "jo".into(), identity: Some("human/jo".into()) };
    let jo = basic("jo", &world.secret(add).await);
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(Stream::open(&world, &jo).await);
    }
    let (status, ..) = ask(&mut world.anybody().await, DIRECTORY, &[&jo]).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    drop(open);
    end(world.daemon).await;
}

/// The rules of `services` are about tokens that are bound.
const UNBOUND: &str = "permit(principal == Sealock::Service::\"shop\", action == Sealock::Action::\"Token::Issue\",\n\
                       resource == Sealock::Service::\"orders\");\n";

async fn forwarder(world: &services::World, daemon: &Daemon, secret: &Path) -> Forwarding {
    let ca = world.scratch.folder.path().join("ca.pem");
    fs::write(&ca, roots(daemon).await).unwrap();
    let asker = Asker::Secret {
        address: format!("localhost:{}", world.api.port()),
        client: "shop".to_owned(),
        secret: secret.to_owned(),
        ca,
        trust_domain: "test.sealock".parse().unwrap(),
    };
    let options = ForwardOptions {
        proxy: Some("127.0.0.1:0".parse().unwrap()),
        sites: vec![Site { asker, identity: None, services: Vec::new(), learn: true }],
        ..ForwardOptions::default()
    };
    forward(options).await.unwrap()
}

async fn secret(daemon: &Daemon, command: Command) -> Vec<u8> {
    match call(daemon.service(), command).await.unwrap() {
        Reply::ClientSecret(made) => made.secret.bytes().expose().to_vec(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarder_with_a_secret_finds_services_and_reads_the_secret_anew() {
    let world = services::World::new("");
    let daemon = world.up().await;
    fs::write(world.scratch.rule_file("unbound.cedar"), UNBOUND).unwrap();
    call(daemon.service(), Command::PolicyReload).await.unwrap();
    let orders = world.identity(&daemon, "orders").await;
    let (first, second) = (services::free(), services::free());
    let file = world.scratch.folder.path().join("secret");
    let add = Command::ClientAdd { name: "shop".into(), identity: None };
    let made = secret(&daemon, add).await;
    fs::write(&file, "not this one").unwrap();
    let forwarder = forwarder(&world, &daemon, &file).await;
    let guard = world.guard(&orders, first).await;
    assert_eq!(services::called(&forwarder, "orders").await.0, 403, "nothing is known");
    fs::write(&file, made).unwrap();
    services::answers(&forwarder, "orders", 200).await;
    // Its stream ends with the rotation, and the next one is opened by the new secret: the next instance is found.
    let rotate = Command::ClientRotate { name: "shop".into(), overlap: Some(0) };
    fs::write(&file, secret(&daemon, rotate).await).unwrap();
    let other = world.guard(&orders, second).await;
    services::ended(guard).await;
    services::answers(&forwarder, "orders", 200).await;
    services::ended(other).await;
    services::answers(&forwarder, "orders", 403).await;
    services::stopped(forwarder).await;
    end(daemon).await;
}
