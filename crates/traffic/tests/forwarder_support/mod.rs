//! The whole way: an app's raw socket, a Forwarder, Gatekeepers behind TLS, and a service that says what it was sent.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_core::policy::PolicySet;
use sealock_core::{Clock, Identity, ManualClock, Timestamp};
use sealock_net::Shutdown;
use sealock_net::proxy::{Address, Upstream, UpstreamSettings};
use sealock_net::tls::{ClientAuth, LiveCertificate, LiveServer, server_config, with_http2};
use sealock_traffic::forwarder::{
    Access, Directory, Entry, Forwarder, Fresh, Hop, Report, Service, Settings, SourceError,
    TokenSource, Trust,
};
use sealock_traffic::gatekeeper::{self, Denied, Gatekeeper, Groups, Known};
use sealock_traffic::token::{Algorithm, Claims, KeySet, Profile, SigningKey, issue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

pub(crate) const ISSUER: &str = "https://broker.test";
pub(crate) const NOW: i64 = 1_700_000_000;
/// No test needs that long; it is there so that a hang is a failure.
pub(crate) const LONG: Duration = Duration::from_secs(20);

const POLICY: &str = r#"
permit(principal == Sealock::Service::"shop", action == Sealock::Action::"Http::Call", resource)
when { context.path like "/v1/*" };
"#;

/// The future's outcome, or a failure.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(LONG, what).await.expect("it hangs")
}

/// Waits until it is so.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    soon(async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(crate) fn identity(name: &str) -> Identity {
    format!("spiffe://t.sealock/service/{name}").parse().unwrap()
}

/// Signs tokens for `shop`, as the broker does.
pub(crate) struct Broker {
    pub(crate) key: SigningKey,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) is_down: Mutex<bool>,
    /// Whether tokens are bound to the certificate that they are asked for with.
    pub(crate) binds: Mutex<bool>,
    /// To which they were, one after another.
    pub(crate) bound: Mutex<Vec<Option<[u8; 32]>>>,
}

impl Broker {
    pub(crate) fn new(clock: &Arc<ManualClock>) -> Arc<Self> {
        Arc::new(Self {
            key: SigningKey::generate(Algorithm::Es256).unwrap(),
            clock: Arc::clone(clock),
            asked: Mutex::default(),
            is_down: Mutex::new(false),
            binds: Mutex::default(),
            bound: Mutex::default(),
        })
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().len()
    }
}

impl Broker {
    /// A token for a service, for who has no certificate.
    pub(crate) async fn unbound(&self, service: &str) -> String {
        let nobody = Trust::default();
        self.token(&identity(service), &nobody).await.unwrap().token.to_string()
    }
}

impl TokenSource for Broker {
    fn token<'a>(
        &'a self,
        audience: &'a Identity,
        trust: &'a Trust,
    ) -> Pin<Box<dyn Future<Output = Result<Fresh, SourceError>> + Send + 'a>> {
        self.asked.lock().push(audience.to_string());
        Box::pin(async move {
            if *self.is_down.lock() {
                return Err(SourceError::Unavailable("it is down".into()));
            }
            if audience.name() == "forbidden" {
                return Err(SourceError::Refused { audience: audience.clone() });
            }
            let now = u64::try_from(self.clock.now().as_secs()).unwrap();
            let binding = trust.thumbprint().filter(|_| *self.binds.lock());
            self.bound.lock().push(binding);
            let claims = Claims {
                issuer: ISSUER.to_owned(),
                subject: identity("shop"),
                audience: audience.to_string(),
                issued_at: now,
                not_before: now,
                expires_at: now + 300,
                id: format!("token-{}", self.asked()),
                client: None,
                binding,
            };
            let token = issue(&self.key, Profile::AccessToken, &claims).unwrap();
            let expires_at = Timestamp::from_secs(claims.expires_at as i64);
            Ok(Fresh { token: token.to_string().into(), expires_at })
        })
    }
}

/// A scratch authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

pub(crate) type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// An intermediate. Its own certificate is what it calls its root.
    pub(crate) fn below(&self, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    /// A certificate of this service, for hosts too.
    pub(crate) fn leaf(&self, service: &str, hosts: &[&str]) -> Own {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        // OpenSSL takes a certificate for its own issuer's if both have one name.
        params.distinguished_name.push(DnType::CommonName, service);
        let uri = Ia5String::try_from(identity(service).to_string()).unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let chain = vec![params.signed_by(&key, &self.0).unwrap().der().clone()];
        (chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// One that speaks both versions of HTTP.
    pub(crate) fn server_of_both(&self, service: &str) -> Arc<LiveServer> {
        let (chain, key) = self.leaf(service, &["gate.test"]);
        let certificate = LiveCertificate::new(chain, key).unwrap();
        LiveServer::new(with_http2(server_config(certificate, &ClientAuth::None).unwrap()))
    }

    pub(crate) fn server(&self, service: &str, clients: bool) -> Arc<LiveServer> {
        let (chain, key) = self.leaf(service, &["gate.test"]);
        let certificate = LiveCertificate::new(chain, key).unwrap();
        let clients =
            if clients { ClientAuth::Required(vec![self.root()]) } else { ClientAuth::None };
        LiveServer::new(server_config(certificate, &clients).unwrap())
    }
}

/// Takes the lines of both.
pub(crate) struct Lines(UnboundedSender<Access>);

impl Report for Lines {
    fn access(&self, access: &Access) {
        let _ = self.0.send(access.clone());
    }
}

struct Silent;

impl gatekeeper::Report for Silent {
    fn denied(&self, _: &Denied) {}
    fn access(&self, _: &gatekeeper::Access) {}
}

/// What the service has been sent.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// The service behind the Gatekeepers, with what it has seen.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    /// A permit lets the second piece of one stream go.
    pub(crate) go_on: Arc<Semaphore>,
}

impl App {
    pub(crate) async fn start() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let go_on = Arc::new(Semaphore::new(0));
        let (heads, piece) = (Arc::clone(&seen), Arc::clone(&go_on));
        let address =
            server(move |stream| behave(stream, Arc::clone(&heads), Arc::clone(&piece))).await;
        Self { address, seen, go_on }
    }

    pub(crate) fn calls(&self) -> usize {
        self.seen.lock().len()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen.lock().last().cloned().expect("the app was not called")
    }
}

/// Runs the script on each connection to a loopback port.
pub(crate) async fn server<F, S>(script: F) -> SocketAddr
where
    F: Fn(TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(script(stream));
        }
    });
    address
}

/// A port at which nobody listens.
pub(crate) async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// By the last part of the path; without a name for something else it says `ok`.
async fn behave(mut stream: TcpStream, seen: Arc<Mutex<Vec<Seen>>>, go_on: Arc<Semaphore>) {
    while let Some(head) = read_head(&mut stream).await {
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let Some(body) = read_body(&mut stream, &head).await else { return };
        let asked = header(&head, "upgrade").is_some();
        seen.lock().push(Seen { head, body });
        let path = target.split('?').next().unwrap_or_default();
        match path.rsplit('/').next().unwrap_or_default() {
            "ws" if asked => {
                send(&mut stream, b"HTTP/1.1 101 Switching\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n").await;
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                return;
            }
            "stream" => {
                send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata1\r\n").await;
                go_on.acquire().await.unwrap().forget();
                send(&mut stream, b"5\r\ndata2\r\n0\r\nx-sum: 1\r\n\r\n").await;
            }
            "wait" => {
                go_on.acquire().await.unwrap().forget();
                send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await;
            }
            "close" => return,
            _ => send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await,
        }
    }
}

/// A Gatekeeper of `orders`, which knows the broker's key.
pub(crate) struct Gate {
    pub(crate) gatekeeper: Arc<Gatekeeper>,
    pub(crate) address: SocketAddr,
    shutdown: Shutdown,
}

impl Gate {
    pub(crate) async fn start(
        service: &str,
        app: SocketAddr,
        broker: &Broker,
        tls: Option<Arc<LiveServer>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_on(listener, service, app, broker, tls)
    }

    pub(crate) fn start_on(
        listener: TcpListener,
        service: &str,
        app: SocketAddr,
        broker: &Broker,
        tls: Option<Arc<LiveServer>>,
    ) -> Self {
        let upstream = Upstream::new(Address::Tcp(app.to_string()), UpstreamSettings::default());
        Self::on(listener, service, upstream, broker, tls)
    }

    /// One before this app.
    pub(crate) async fn before(
        service: &str,
        upstream: Upstream,
        broker: &Broker,
        tls: Option<Arc<LiveServer>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, service, upstream, broker, tls)
    }

    fn on(
        listener: TcpListener,
        service: &str,
        upstream: Upstream,
        broker: &Broker,
        tls: Option<Arc<LiveServer>>,
    ) -> Self {
        let settings = gatekeeper::Settings::new(identity(service));
        let gatekeeper =
            Gatekeeper::new(settings, upstream, Arc::new(Silent), broker.clock.clone());
        let policy = PolicySet::load(&[("test.cedar".to_owned(), POLICY.to_owned())], 1).unwrap();
        gatekeeper.know(Known {
            issuer: ISSUER.to_owned(),
            keys: Arc::new(KeySet::from_iter([broker.key.public()])),
            policy: Arc::new(policy),
            groups: Arc::new(Groups::default()),
            revocations: Arc::default(),
            cas: Arc::default(),
        });
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::default();
        tokio::spawn(Arc::clone(&gatekeeper).serve(listener, tls, shutdown.clone()));
        Self { gatekeeper, address, shutdown }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// A service in the directory.
pub(crate) fn listed(name: &str, instances: &[SocketAddr], hop: Hop) -> Service {
    Service {
        name: name.to_owned(),
        audience: identity(name),
        aliases: vec![format!("{name}.internal"), format!("{name}.internal:8080")],
        instances: instances.iter().map(ToString::to_string).collect(),
        hop,
    }
}

pub(crate) fn directory(services: Vec<Service>) -> Directory {
    Directory::new(services, &[], &[]).unwrap()
}

/// A Forwarder at work.
pub(crate) struct Door {
    pub(crate) forwarder: Arc<Forwarder>,
    pub(crate) proxy: SocketAddr,
    pub(crate) lines: UnboundedReceiver<Access>,
    pub(crate) shutdown: Shutdown,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
}

impl Door {
    pub(crate) async fn start(
        settings: Settings,
        directory: Directory,
        trust: Trust,
        broker: &Arc<Broker>,
    ) -> Self {
        let (sender, lines) = unbounded_channel();
        let report = Arc::new(Lines(sender));
        let (source, clock) = (broker.clone(), broker.clock.clone());
        let forwarder = Forwarder::new(settings, directory, trust, source, report, clock).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        let shutdown = Shutdown::default();
        let serving =
            tokio::spawn(Arc::clone(&forwarder).serve(listener, Entry::Proxy, shutdown.clone()));
        Self { forwarder, proxy, lines, shutdown, serving }
    }

    /// A local port for a service.
    pub(crate) async fn port(&self, service: &str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let entry = Entry::Service(service.to_owned());
        tokio::spawn(Arc::clone(&self.forwarder).serve(listener, entry, self.shutdown.clone()));
        address
    }

    /// One request through the proxy, as curl makes it, on a connection of its own.
    pub(crate) async fn get(&self, url: &str) -> String {
        self.call("GET", url, "", "").await
    }

    pub(crate) async fn call(&self, method: &str, url: &str, fields: &str, body: &str) -> String {
        exchange(self.proxy, &request(method, url, fields, body)).await
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// A Forwarder with one service, `orders`, at one Gatekeeper over TLS.
pub(crate) struct Scene {
    pub(crate) app: App,
    pub(crate) broker: Arc<Broker>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) authority: Authority,
    pub(crate) gate: Gate,
    pub(crate) door: Door,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
        let (app, broker, authority) = (App::start().await, Broker::new(&clock), Authority::new());
        let tls = Some(authority.server("orders", false));
        let gate = Gate::start("orders", app.address, &broker, tls).await;
        let services = vec![listed("orders", &[gate.address], Hop::Tls)];
        let trust = Trust { roots: vec![authority.root()], ..Trust::default() };
        let door = Door::start(Settings::default(), directory(services), trust, &broker).await;
        Self { app, broker, clock, authority, gate, door }
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust { roots: vec![self.authority.root()], ..Trust::default() }
    }
}

/// A request that ends the connection with its answer, as curl makes it for a proxy.
pub(crate) fn request(method: &str, url: &str, fields: &str, body: &str) -> String {
    let host = url.strip_prefix("http://").unwrap_or(url);
    let host = host.split('/').next().unwrap_or_default();
    let length = match body.len() {
        0 => String::new(),
        length => format!("content-length: {length}\r\n"),
    };
    format!(
        "{method} {url} HTTP/1.1\r\nhost: {host}\r\nuser-agent: curl/8.0\r\naccept: */*\r\n\
         proxy-connection: close\r\nconnection: close\r\n{length}{fields}\r\n{body}"
    )
}

/// Sends these bytes and reads until the other side hangs up.
pub(crate) async fn exchange(to: SocketAddr, sent: &str) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

pub(crate) fn status(answer: &str) -> u16 {
    let code = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// Status and code of an answer that is the Forwarder's or the Gatekeeper's own.
pub(crate) fn refusal(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(header(head, "content-type"), Some("application/problem+json"), "{answer}");
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    (status(answer), json.get("code").and_then(serde_json::Value::as_str).unwrap().to_owned())
}

/// A head with its empty line, read byte by byte so that nothing beyond it is taken; none at the end.
pub(crate) async fn read_head<R: AsyncRead + Unpin>(stream: &mut R) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// The value of a header in a head, whose names are in lower case.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

pub(crate) async fn read_body<R: AsyncRead + Unpin>(stream: &mut R, head: &str) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    if let Some(length) = header(head, "content-length") {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body).await.ok()?;
    } else if header(head, "transfer-encoding").is_some() {
        while let Some(chunk) = read_chunk(stream).await? {
            body.extend_from_slice(&chunk);
        }
    }
    Some(body)
}

/// A chunk, the last being none; nothing at all if it breaks off. Trailers are read over.
pub(crate) async fn read_chunk<R: AsyncRead + Unpin>(stream: &mut R) -> Option<Option<Vec<u8>>> {
    let mut size = Vec::new();
    while !size.ends_with(b"\r\n") {
        size.push(stream.read_u8().await.ok()?);
    }
    let size = usize::from_str_radix(std::str::from_utf8(&size).unwrap().trim_end(), 16).unwrap();
    let mut chunk = vec![0; size + 2];
    stream.read_exact(&mut chunk).await.ok()?;
    chunk.truncate(size);
    Some((size > 0).then_some(chunk))
}

/// Everything until the end, also if that is not an orderly one.
pub(crate) async fn rest<R: AsyncRead + Unpin>(stream: &mut R) -> String {
    let mut text = Vec::new();
    let _ = soon(stream.read_to_end(&mut text)).await;
    String::from_utf8_lossy(&text).into_owned()
}

pub(crate) async fn expect<R: AsyncRead + Unpin>(stream: &mut R, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    soon(stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(expected));
}

pub(crate) async fn expect_head<R: AsyncRead + Unpin>(stream: &mut R, code: u16) -> String {
    let head = soon(read_head(stream)).await.expect("it hung up");
    assert_eq!(status(&head), code, "{head}");
    head
}

pub(crate) async fn send<W: AsyncWrite + Unpin>(stream: &mut W, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
}
