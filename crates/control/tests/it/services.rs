//! The directory of services: Gatekeepers that join the broker, Forwarders that learn of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, StatusCode};
use sealock_control::command::{Files, Issue, Names, ServiceReport, TokenWanted, TokensRevoked};
use sealock_control::config::{Config, Environment};
use sealock_control::daemon::{Daemon, broker, up};
use sealock_control::forward::{Asker, ForwardOptions, Forwarding, ServiceAt, Site, forward};
use sealock_control::guard::{
    Advertise, AppPlace, Guard, GuardOptions, GuardedApp, IdentityFolder, Link, Staleness, Tuning,
    guard,
};
use sealock_control::{Command, ErrorCode, Opening, Reply};
use sealock_core::audit::Fact;
use sealock_traffic::registry::{Line, Listing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::api::{Sender, client_of, connect, end, pair, roots, send};
use crate::scratch::{Scratch, call, nobody, person, records};

const RULES: &str = r#"
permit(principal == Sealock::Service::"shop", action == Sealock::Action::"Token::Issue",
       resource == Sealock::Service::"orders") when { context has bound && context.bound };
permit(principal == Sealock::Service::"shop", action == Sealock::Action::"Http::Call",
       resource == Sealock::Service::"orders");
permit(principal == Sealock::Human::"jo", action in [Sealock::Action::"Token::Issue",
       Sealock::Action::"Http::Call"], resource == Sealock::Service::"orders");
"#;

pub(crate) fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A state folder whose daemon comes back at the same address.
pub(crate) struct World {
    pub(crate) scratch: Scratch,
    pub(crate) api: SocketAddr,
    settings: String,
}

impl World {
    pub(crate) fn new(settings: &str) -> Self {
        Self { scratch: Scratch::new(), api: free(), settings: settings.to_owned() }
    }

    fn opening(&self) -> Opening {
        let mut opening = self.scratch.opening();
        let engine = self.scratch.folder.path().join("no-engine.sock");
        let flags = vec![
            ("api.listen", self.api.to_string()),
            ("gateway.listen", "off".to_owned()),
            ("docker.url", format!("unix://{}", engine.display())),
            ("trust_domain", "test.sealock".to_owned()),
        ];
        let file = (PathBuf::from("/etc/sealock.toml"), self.settings.clone());
        opening.config = Config::from_parts(Some(&file), &Environment::default(), &flags).unwrap();
        opening
    }

    pub(crate) async fn up(&self) -> Daemon {
        let daemon = up(self.opening()).await.unwrap();
        std::fs::write(self.scratch.rule_file("services.cedar"), RULES).unwrap();
        call(daemon.service(), Command::PolicyReload).await.unwrap();
        daemon
    }

    /// The folder of an identity.
    pub(crate) async fn identity(&self, daemon: &Daemon, name: &str) -> IdentityFolder {
        let folder = self.scratch.folder.path().join(name);
        let uri = vec![format!("spiffe://test.sealock/service/{name}")];
        let names = Names { uri, dns: vec!["localhost".to_owned()], ..Names::default() };
        let order = Issue { name: name.to_owned(), names, ..Issue::default() };
        let Reply::Files(files) = call(daemon.service(), Command::CertIssue(order)).await.unwrap()
        else {
            panic!("no files")
        };
        write(&folder, &files);
        IdentityFolder(folder)
    }

    fn link(&self, identity: &IdentityFolder) -> Link {
        Link::Https(format!("localhost:{}", self.api.port()), identity.clone())
    }

    pub(crate) async fn guard(&self, identity: &IdentityFolder, listen: SocketAddr) -> Guard {
        let options = GuardOptions {
            service: "orders".to_owned(),
            listen,
            upstream: at(app().await),
            broker: self.link(identity),
            identity: Some(identity.clone()),
            staleness: Staleness::GoOn,
            access_log: false,
            tuning: Tuning::default(),
            metrics: None,
            activation: None,
            handover: None,
            sign_identity: false,
            identity_keys: None,
            introspect: None,
            advertise: Advertise::At(listen.to_string()),
        };
        guard(options).await.unwrap()
    }

    async fn forwarder(&self, identity: &IdentityFolder, more: Vec<ServiceAt>) -> Forwarding {
        let options = ForwardOptions {
            proxy: Some("127.0.0.1:0".parse().unwrap()),
            sites: vec![Site {
                asker: Asker::Link(self.link(identity)),
                identity: Some(identity.clone()),
                services: more,
                learn: true,
            }],
            ..ForwardOptions::default()
        };
        forward(options).await.unwrap()
    }
}

fn write(folder: &std::path::Path, files: &Files) {
    std::fs::create_dir_all(folder).unwrap();
    let (chain, key) = pair(files);
    std::fs::write(folder.join("tls.crt"), chain).unwrap();
    std::fs::write(folder.join("tls.key"), key).unwrap();
    std::fs::write(folder.join("ca.crt"), &files.ca_crt).unwrap();
}

fn at(app: SocketAddr) -> GuardedApp {
    GuardedApp { place: AppPlace::Tcp(app.to_string()), http2: false }
}

/// An app that answers everything.
pub(crate) async fn app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// The status of a call through a Forwarder, and what it answered.
pub(crate) async fn called(forwarder: &Forwarding, host: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(forwarder.proxy.unwrap()).await.unwrap();
    let request =
        format!("GET http://{host}/v1 HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

/// Until a call is answered so.
pub(crate) async fn answers(forwarder: &Forwarding, host: &str, status: u16) {
    let began = Instant::now();
    loop {
        let (now, text) = called(forwarder, host).await;
        if now == status {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{host}: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn list(daemon: &Daemon) -> Vec<ServiceReport> {
    match call(daemon.service(), Command::ServiceList).await.unwrap() {
        Reply::Services(services) => services,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn ended(guard: Guard) {
    guard.shutdown().trigger();
    guard.run().await.unwrap();
}

pub(crate) async fn stopped(forwarder: Forwarding) {
    forwarder.shutdown().trigger();
    forwarder.run().await.unwrap();
}

fn changes(daemon: &Daemon) -> Vec<(&'static str, String, String)> {
    let all = records(daemon.service()).into_iter();
    all.filter_map(|record| match record.event.fact {
        Fact::GatekeeperJoined { address, .. } => Some(("joined", record.event.who, address)),
        Fact::GatekeeperLeft { address, .. } => Some(("left", record.event.who, address)),
        _ => None,
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_serves_is_found_by_who_may_call_and_goes_when_its_feed_does() {
    let world = World::new("services.orders.hosts = [\"orders.internal\"]");
    let daemon = world.up().await;
    let (orders, shop) =
        (world.identity(&daemon, "orders").await, world.identity(&daemon, "shop").await);
    let stranger = world.identity(&daemon, "stranger").await;
    let forwarder = world.forwarder(&shop, Vec::new()).await;
    let other = world.forwarder(&stranger, Vec::new()).await;
    assert_eq!(called(&forwarder, "orders").await.0, 403, "nobody is there yet");
    let (first, second) = (free(), free());
    let guards = (world.guard(&orders, first).await, world.guard(&orders, second).await);
    answers(&forwarder, "orders", 200).await;
    answers(&forwarder, "orders.internal", 200).await;
    // Who may not call it does not learn that it is there.
    let (status, text) = called(&other, "orders").await;
    assert!(status == 403 && text.contains("not_listed"), "{text}");
    let who = "spiffe://test.sealock/service/orders";
    let both = |list: &[ServiceReport]| list.first().is_some_and(|it| it.instances.len() == 2);
    let began = Instant::now();
    let services = loop {
        let services = list(&daemon).await;
        if both(&services) {
            break services;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{services:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let [service] = &services[..] else { panic!("{services:?}") };
    assert_eq!((service.identity.as_str(), service.hosts.len()), (who, 1));
    assert!(
        service.instances.iter().all(|it| it.who.as_deref() == Some(who) && it.since.is_some())
    );

    // One of two goes: no call is lost, and it is forgotten after a while.
    ended(guards.0).await;
    for _ in 0..10 {
        assert_eq!(called(&forwarder, "orders").await.0, 200);
    }
    // The broker comes back, and has not heard of anybody yet: what is known goes on.
    end(daemon).await;
    assert_eq!(called(&forwarder, "orders").await.0, 200);
    let daemon = world.up().await;
    let began = Instant::now();
    while list(&daemon).await.iter().all(|it| it.instances.is_empty()) {
        assert_eq!(called(&forwarder, "orders").await.0, 200);
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    assert_eq!(called(&forwarder, "orders").await.0, 200);
    ended(guards.1).await;
    answers(&forwarder, "orders", 403).await;
    let changes = changes(&daemon);
    let count = |what, at: SocketAddr| {
        changes.iter().filter(|it| **it == (what, who.to_owned(), at.to_string())).count()
    };
    // The first one's end was while the broker was away; the second joined both brokers.
    assert_eq!((count("joined", first), count("joined", second)), (1, 2), "{changes:?}");
    assert_eq!(count("left", second), 1, "{changes:?}");
    stopped(forwarder).await;
    stopped(other).await;
    end(daemon).await;
}

/// The first line of the directory.
async fn told(sender: &mut Sender) -> Listing {
    let mut body = opened(sender, "/v1/traffic/services").await.1;
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    match Line::read(std::str::from_utf8(&frame).unwrap().trim_end()) {
        Some(Line::Services(listing)) => listing,
        other => panic!("{other:?}"),
    }
}

async fn opened(sender: &mut Sender, path: &str) -> (StatusCode, Incoming) {
    let request = Request::builder()
        .uri(path)
        .header("host", "localhost")
        .body(Full::new(Bytes::new()))
        .unwrap();
    sender.ready().await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    (response.status(), response.into_body())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_the_settings_is_told_to_who_may_call_it_and_what_is_written_down_wins() {
    let gone = free();
    let settings = format!(
        "[services.orders]\naddresses = [\"127.0.0.1:{}\"]\n[services.billing]\naddresses = [\"10.0.0.9:1\"]\ntls = \"b.example\"",
        gone.port()
    );
    let world = World::new(&settings);
    let daemon = world.up().await;
    let (orders, shop) =
        (world.identity(&daemon, "orders").await, world.identity(&daemon, "shop").await);
    let ca = roots(&daemon).await;
    let sender = async |name: &str| {
        let files = client_of(&daemon, &format!("spiffe://test.sealock/service/{name}")).await;
        connect(&daemon, &ca, Some(pair(&files))).await.unwrap()
    };
    let listing = told(&mut sender("shop").await).await;
    let [listed] = &listing.services[..] else { panic!("{listing:?}") };
    assert_eq!(listed.service.name(), "orders");
    assert_eq!(listed.addresses, [format!("127.0.0.1:{}", gone.port())]);
    let before = records(daemon.service()).len();
    assert!(told(&mut sender("stranger").await).await.services.is_empty());
    let denied = records(daemon.service()).into_iter().skip(before);
    let denied = denied.filter(|record| matches!(record.event.fact, Fact::Denied { .. })).count();
    assert_eq!(denied, 0, "nobody has asked for a token");

    // At the Forwarder another address is written down for the same name.
    let listen = free();
    let guard = world.guard(&orders, listen).await;
    let own = vec![ServiceAt {
        name: "orders".to_owned(),
        instances: vec![listen.to_string()],
        ..ServiceAt::default()
    }];
    let forwarder = world.forwarder(&shop, own).await;
    answers(&forwarder, "orders", 200).await;
    for _ in 0..4 {
        assert_eq!(called(&forwarder, "orders").await.0, 200, "nobody else is tried");
    }
    // Where the settings name a certificate, who joins has another one, and is not told.
    let files = client_of(&daemon, "spiffe://test.sealock/service/billing").await;
    let mut billing = connect(&daemon, &ca, Some(pair(&files))).await.unwrap();
    let joined =
        opened(&mut billing, "/v1/traffic/feed?service=billing&advertise=10.0.0.8:1").await;
    assert_eq!(joined.0, StatusCode::OK);
    let list = list(&daemon).await;
    let billing = list.iter().find(|it| it.name == "billing").unwrap();
    let told: Vec<bool> = billing.instances.iter().map(|it| it.told).collect();
    assert_eq!((told, billing.tls.as_deref()), (vec![true, false], Some("b.example")));
    stopped(forwarder).await;
    ended(guard).await;
    end(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_services_own_gatekeeper_joins_and_only_where_somebody_would_dial() {
    let world = World::new("");
    let daemon = world.up().await;
    let ca = roots(&daemon).await;
    let feed =
        |service: &str, at: &str| format!("/v1/traffic/feed?service={service}&advertise={at}");
    let mut anybody = connect(&daemon, &ca, None).await.unwrap();
    for path in ["/v1/traffic/services", &feed("orders", "10.0.0.5:8443")] {
        assert_eq!(send(&mut anybody, "GET", path, "").await.0, StatusCode::UNAUTHORIZED);
    }
    let files = client_of(&daemon, "spiffe://test.sealock/service/orders").await;
    let own = async || connect(&daemon, &ca, Some(pair(&files))).await.unwrap();
    let at = |text: &str| feed("orders", text);
    for (path, status) in [
        (feed("billing", "10.0.0.5:8443"), StatusCode::FORBIDDEN),
        (at(""), StatusCode::BAD_REQUEST),
        (at("10.0.0.5"), StatusCode::BAD_REQUEST),
        (at("169.254.169.254:80"), StatusCode::BAD_REQUEST),
        (at("[::ffff:169.254.169.254]:80"), StatusCode::BAD_REQUEST),
        (at("0.0.0.0:8443"), StatusCode::BAD_REQUEST),
        (at("host:1/x"), StatusCode::BAD_REQUEST),
        (at("host%3A1"), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(send(&mut own().await, "GET", &path, "").await.0, status, "{path}");
    }
    assert!(list(&daemon).await.is_empty() && changes(&daemon).is_empty());
    // A name that no URL can have joins nothing.
    let upper = client_of(&daemon, "spiffe://test.sealock/service/Orders").await;
    let mut upper = connect(&daemon, &ca, Some(pair(&upper))).await.unwrap();
    let (status, _) = send(&mut upper, "GET", &feed("Orders", "10.0.0.5:8443"), "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    // A feed that begins anew is no news.
    for _ in 0..3 {
        assert_eq!(opened(&mut own().await, &at("10.0.0.5:8443")).await.0, StatusCode::OK);
    }
    assert_eq!(changes(&daemon).len(), 1);
    let error = daemon.service().handle(&nobody(), Command::ServiceList).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied);
    end(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_identity_has_so_many_streams_and_takes_none_of_others() {
    let world = World::new("");
    let daemon = world.up().await;
    let ca = roots(&daemon).await;
    let (ada, bob) = (
        client_of(&daemon, "spiffe://test.sealock/human/ada").await,
        client_of(&daemon, "spiffe://test.sealock/human/bob").await,
    );
    let path = "/v1/traffic/services";
    let sender = async |who: &Files| connect(&daemon, &ca, Some(pair(who))).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..16 {
        let mut ada = sender(&ada).await;
        let (status, body) = opened(&mut ada, path).await;
        assert_eq!(status, StatusCode::OK);
        open.push((ada, body));
    }
    let mut one_more = sender(&ada).await;
    let request = Request::get(path).header("host", "localhost").body(Full::new(Bytes::new()));
    let refused = one_more.send_request(request.unwrap()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "5");
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    let error = sealock_control::api::error_of(429, &body);
    assert_eq!(error.code, ErrorCode::Busy);
    assert!(error.message.contains("16") && error.hint.is_some(), "{error:?}");
    // It may do all else, and others may stream.
    assert_eq!(send(&mut one_more, "GET", "/healthz", "").await.0, StatusCode::OK);
    assert_eq!(opened(&mut sender(&bob).await, path).await.0, StatusCode::OK);
    // A stream that has ended makes room.
    drop(open.pop());
    let made = async {
        while opened(&mut sender(&ada).await, path).await.0 != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), made).await.unwrap();
    end(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_alone_gives_tokens_and_nothing_else_to_others() {
    let world = World::new("workload.socket = \"off\"");
    let daemon = world.up().await;
    let (orders, shop) =
        (world.identity(&daemon, "orders").await, world.identity(&daemon, "shop").await);
    let ca = roots(&daemon).await;
    let folder = world.scratch.path().join("identities/admin");
    end(daemon).await;
    let daemon = broker(world.opening()).await.unwrap();
    let started = daemon.started();
    assert!(started.api.is_some() && started.gateway.is_none());
    assert!(started.gateway_socket.is_none() && started.workload.is_none());
    let error = up(world.opening()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict, "one writer");
    // What it is there for.
    let (forwarder, listen) = (world.forwarder(&shop, Vec::new()).await, free());
    let guard = world.guard(&orders, listen).await;
    answers(&forwarder, "orders", 200).await;
    // The administrator too has no more than that over the network, and everything on the host.
    let read = |file: &str| std::fs::read(folder.join(file)).unwrap();
    let (chain, key) = (read("tls.crt"), read("tls.key"));
    let mut admin = connect(&daemon, &ca, Some((&chain, &key))).await.unwrap();
    for (command, status) in [
        (crate::scratch::issue("web"), StatusCode::NOT_FOUND),
        (Command::SecretList { path: None, after: None, limit: 1 }, StatusCode::NOT_FOUND),
        (Command::PolicyReload, StatusCode::NOT_FOUND),
        (Command::ServiceList, StatusCode::OK),
        (Command::ClientList, StatusCode::OK),
        (Command::Whoami, StatusCode::OK),
    ] {
        let body = serde_json::to_string(&command).unwrap();
        let answer = send(&mut admin, "POST", "/v1/call", &body).await;
        assert_eq!(answer.0, status, "{}", command.name());
    }
    let follow = send(&mut admin, "GET", "/v1/audit/follow", "").await;
    assert_ne!(follow.0, StatusCode::OK);
    let local = sealock_control::Client::new(world.opening());
    assert!(matches!(local.call(crate::scratch::issue("web")).await.unwrap(), Reply::Files(_)));
    let Reply::Status(status) = local.call(Command::Status).await.unwrap() else {
        panic!("no status")
    };
    assert!(status.daemon && status.engine.is_none() && status.containers.is_empty());
    stopped(forwarder).await;
    ended(guard).await;
    end(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_refused_by_every_gatekeeper() {
    let world = World::new("");
    let daemon = world.up().await;
    let orders = world.identity(&daemon, "orders").await;
    let app = app().await;
    let mut guards = Vec::new();
    for _ in 0..10 {
        let options = GuardOptions {
            service: "orders".to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            upstream: at(app),
            broker: world.link(&orders),
            identity: None,
            staleness: Staleness::GoOn,
            access_log: false,
            tuning: Tuning::default(),
            metrics: None,
            activation: None,
            handover: None,
            sign_identity: false,
            identity_keys: None,
            introspect: None,
            advertise: Advertise::No,
        };
        guards.push(guard(options).await.unwrap());
    }
    let wanted = TokenWanted { audience: "orders".to_owned(), ..TokenWanted::default() };
    let service = daemon.service();
    let mut issued = Vec::new();
    for _ in 0..2 {
        let command = Command::TokenIssue(wanted.clone());
        match service.handle(&person("jo"), command).await.unwrap() {
            Reply::Token(token) => issued.push(*token),
            other => panic!("{other:?}"),
        }
    }
    let [revoked, other] = &issued[..] else { panic!("no tokens") };
    let text = |token: &sealock_control::command::TokenReport| {
        String::from_utf8(token.token.bytes().expose().to_vec()).unwrap()
    };
    let (revoked_text, other_text) = (text(revoked), text(other));
    for guard in &guards {
        until_status(guard.address, &revoked_text, 200).await;
    }
    call(service, Command::TokenRevoke(TokensRevoked::Id(revoked.id.clone()))).await.unwrap();
    for guard in &guards {
        until_status(guard.address, &revoked_text, 401).await;
    }
    for guard in guards {
        assert_eq!(status(guard.address, &other_text).await, 200, "another token is not touched");
        assert_eq!(status(guard.address, &revoked_text).await, 401);
        ended(guard).await;
    }
    end(daemon).await;
}

async fn status(at: SocketAddr, token: &str) -> u16 {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!(
        "GET /v1 HTTP/1.1\r\nhost: orders\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    // A call that is running when its token is revoked is cut, and has no answer.
    answer.split(' ').nth(1).map_or(0, |status| status.parse().unwrap())
}

async fn until_status(at: SocketAddr, token: &str, wanted: u16) {
    let began = Instant::now();
    while status(at, token).await != wanted {
        assert!(began.elapsed() < Duration::from_secs(60), "{wanted} at {at}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
