//! A Gatekeeper before an app that follows a script, tokens of a broker's key, and raw sockets to both.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sealock_core::policy::{Mode, Modes, Plane, PolicySet};
use sealock_core::{Identity, ManualClock, Timestamp};
use sealock_net::Shutdown;
use sealock_net::proxy::{Address, Upstream, UpstreamSettings};
use sealock_net::tls::LiveServer;
use sealock_traffic::broker::{Revocation, Revoked};
use sealock_traffic::gatekeeper::{
    Access, Denied, Extras, Gatekeeper, Groups, Known, Report, Settings,
};
use sealock_traffic::token::{Algorithm, Claims, KeySet, Profile, SigningKey, issue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

pub(crate) const ISSUER: &str = "https://broker.test";
pub(crate) const NOW: u64 = 1_700_000_000;

/// No test needs that long; it is there so that a hang is a failure.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// `shop` may read everything below `/v1/`, open a WebSocket and so on; `web` may read `/v1/` by its group.
pub(crate) const POLICY: &str = r#"
permit(principal == Sealock::Service::"shop", action == Sealock::Action::"Http::Call",
       resource == Sealock::Service::"orders")
when { context.path like "/v1/*" && context.method != "DELETE" };
permit(principal in Sealock::Group::"front", action == Sealock::Action::"Http::Call",
       resource in Sealock::Group::"backends")
when { context.path like "/v1/*" && context.method == "GET" };
"#;

/// The future's outcome, or a failure.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(LONG, what).await.expect("it hangs")
}

pub(crate) fn identity(name: &str) -> Identity {
    format!("spiffe://t.sealock/service/{name}").parse().unwrap()
}

/// What is reported, for the test to look at.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) denied: Mutex<Vec<Denied>>,
    lines: Mutex<Option<UnboundedSender<Access>>>,
}

impl Report for Recorder {
    fn denied(&self, denied: &Denied) {
        self.denied.lock().push(denied.clone());
    }

    fn access(&self, access: &Access) {
        if let Some(lines) = &*self.lines.lock() {
            let _ = lines.send(access.clone());
        }
    }
}

/// Heads and bodies.
pub(crate) type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// The service behind the Gatekeeper, with what it has seen.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Seen,
    /// A permit lets the second piece of one stream go.
    pub(crate) go_on: Arc<Semaphore>,
}

impl App {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let go_on = Arc::new(Semaphore::new(0));
        let (heads, piece) = (Arc::clone(&seen), Arc::clone(&go_on));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(behave(stream, Arc::clone(&heads), Arc::clone(&piece)));
            }
        });
        Self { address, seen, go_on }
    }

    /// The same app, on a unix socket too.
    pub(crate) fn listen_at(&self, path: &std::path::Path) {
        let listener = UnixListener::bind(path).unwrap();
        let (heads, piece) = (Arc::clone(&self.seen), Arc::clone(&self.go_on));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(behave(stream, Arc::clone(&heads), Arc::clone(&piece)));
            }
        });
    }

    pub(crate) fn calls(&self) -> usize {
        self.seen.lock().len()
    }

    pub(crate) fn last(&self) -> (String, Vec<u8>) {
        self.seen.lock().last().cloned().expect("the app was not called")
    }
}

/// By the last part of the path; without a name for something else it says `ok`.
async fn behave<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    seen: Seen,
    go_on: Arc<Semaphore>,
) {
    while let Some(head) = read_head(&mut stream).await {
        let target = head.split(' ').nth(1).unwrap().to_owned();
        if target.ends_with("/early") {
            seen.lock().push((head, Vec::new()));
            send(&mut stream, b"HTTP/1.1 413 Large\r\ncontent-length: 4\r\n\r\nmuch").await;
            return;
        }
        let Some(body) = read_body(&mut stream, &head).await else { return };
        let asked = header(&head, "upgrade").is_some();
        seen.lock().push((head, body));
        let path = target.split('?').next().unwrap_or_default();
        match path.rsplit('/').next().unwrap_or_default() {
            "ws" if asked => {
                send(&mut stream, b"HTTP/1.1 101 Switching\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n").await;
                let (mut reader, mut writer) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                return;
            }
            "other-switch" => {
                send(
                    &mut stream,
                    b"HTTP/1.1 101 Switching\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\n",
                )
                .await;
                return;
            }
            "stream" => {
                send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata1\r\n").await;
                go_on.acquire().await.unwrap().forget();
                send(&mut stream, b"5\r\ndata2\r\n0\r\n\r\n").await;
            }
            "hang" => std::future::pending().await,
            "close" => return,
            "half" => {
                send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
                return;
            }
            "big" => {
                let length = 4 << 20;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                send(&mut stream, head.as_bytes()).await;
                if stream.write_all(&noise(length)).await.is_err() {
                    return;
                }
            }
            _ => send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await,
        }
    }
}

/// A Gatekeeper for `orders`, on a loopback port.
pub(crate) struct Scene {
    pub(crate) app: App,
    pub(crate) gatekeeper: Arc<Gatekeeper>,
    pub(crate) address: SocketAddr,
    pub(crate) key: SigningKey,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) report: Arc<Recorder>,
    pub(crate) lines: UnboundedReceiver<Access>,
    pub(crate) shutdown: Shutdown,
    pub(crate) ended: UnboundedReceiver<()>,
}

impl Scene {
    /// One that knows [`POLICY`].
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let scene = Self::ignorant(change, None).await;
        scene.gatekeeper.know(scene.known(POLICY, 1));
        scene
    }

    /// One that knows nothing.
    pub(crate) async fn ignorant(
        change: impl FnOnce(&mut Settings),
        tls: Option<Arc<LiveServer>>,
    ) -> Self {
        let app = App::start().await;
        let address = Address::Tcp(app.address.to_string());
        Self::before(app, address, change, tls).await
    }

    /// One that knows nothing, with what not every Gatekeeper has.
    pub(crate) async fn with_extras(change: impl FnOnce(&mut Settings), extras: Extras) -> Self {
        let app = App::start().await;
        let address = Address::Tcp(app.address.to_string());
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW as i64)));
        let upstream = Upstream::new(address, UpstreamSettings::default());
        Self::built(app, upstream, change, None, extras, clock).await
    }

    /// The same, with a clock that something else goes by too.
    pub(crate) async fn with_clock(
        change: impl FnOnce(&mut Settings),
        extras: Extras,
        clock: Arc<ManualClock>,
    ) -> Self {
        let app = App::start().await;
        let address = Address::Tcp(app.address.to_string());
        let upstream = Upstream::new(address, UpstreamSettings::default());
        Self::built(app, upstream, change, None, extras, clock).await
    }

    /// One before an app at this address.
    pub(crate) async fn before(
        app: App,
        upstream: Address,
        change: impl FnOnce(&mut Settings),
        tls: Option<Arc<LiveServer>>,
    ) -> Self {
        let upstream = Upstream::new(upstream, UpstreamSettings::default());
        Self::before_app(app, upstream, change, tls).await
    }

    /// One before an app that is spoken to in this way.
    pub(crate) async fn before_app(
        app: App,
        upstream: Upstream,
        change: impl FnOnce(&mut Settings),
        tls: Option<Arc<LiveServer>>,
    ) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW as i64)));
        Self::built(app, upstream, change, tls, Extras::default(), clock).await
    }

    async fn built(
        app: App,
        upstream: Upstream,
        change: impl FnOnce(&mut Settings),
        tls: Option<Arc<LiveServer>>,
        extras: Extras,
        clock: Arc<ManualClock>,
    ) -> Self {
        let report = Arc::new(Recorder::default());
        let (sender, lines) = unbounded_channel();
        *report.lines.lock() = Some(sender);
        let mut settings = Settings::new(identity("orders"));
        change(&mut settings);
        let gatekeeper =
            Gatekeeper::with(settings, upstream, report.clone(), clock.clone(), extras);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, (tell, ended)) = (Shutdown::default(), unbounded_channel());
        let serving = Arc::clone(&gatekeeper).serve(listener, tls, shutdown.clone());
        tokio::spawn(async move {
            serving.await;
            let _ = tell.send(());
        });
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        Self { app, gatekeeper, address, key, clock, report, lines, shutdown, ended }
    }

    pub(crate) fn known(&self, policy: &str, epoch: u64) -> Known {
        let groups = [
            (identity("web"), vec!["front".to_owned()]),
            (identity("orders"), vec!["backends".to_owned()]),
        ];
        Known {
            issuer: ISSUER.to_owned(),
            keys: Arc::new(KeySet::from_iter([self.key.public()])),
            policy: Arc::new(set(policy, epoch)),
            groups: Arc::new(Groups::from_iter(groups)),
            revocations: Arc::default(),
            cas: Arc::default(),
        }
    }

    pub(crate) fn claims(&self, caller: &str) -> Claims {
        Claims {
            issuer: ISSUER.to_owned(),
            subject: identity(caller),
            audience: identity("orders").to_string(),
            issued_at: NOW,
            not_before: NOW,
            expires_at: NOW + 300,
            id: format!("token-of-{caller}"),
            client: None,
            binding: None,
        }
    }

    pub(crate) fn token(&self, caller: &str) -> String {
        self.sealed(&self.claims(caller))
    }

    pub(crate) fn sealed(&self, claims: &Claims) -> String {
        issue(&self.key, Profile::AccessToken, claims).unwrap().to_string()
    }

    pub(crate) fn revoke(&self, number: u64, revoked: Revoked) {
        let revocation = Revocation { number, issued_until: NOW, revoked };
        assert!(self.gatekeeper.revoke(&revocation));
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends these bytes and reads until the Gatekeeper hangs up.
    pub(crate) async fn exchange(&self, sent: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(sent).await.unwrap();
        rest(&mut stream).await
    }

    /// One request on a connection of its own, with these lines after those that are needed.
    pub(crate) async fn call(&self, line: &str, caller: &str, fields: &str) -> String {
        let token = self.token(caller);
        self.exchange(request(line, Some(&token), fields).as_bytes()).await
    }

    /// The status of a GET.
    pub(crate) async fn status(&self, path: &str, caller: &str) -> u16 {
        status(&self.call(&format!("GET {path}"), caller, "").await)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

pub(crate) fn set(policy: &str, epoch: u64) -> PolicySet {
    PolicySet::load(&[("test.cedar".to_owned(), policy.to_owned())], epoch).unwrap()
}

pub(crate) fn in_mode(policy: &str, epoch: u64, mode: Mode) -> PolicySet {
    set(policy, epoch).with_modes(Modes::default().with(Plane::Traffic, mode))
}

/// A head that ends the connection with its answer.
pub(crate) fn request(line: &str, token: Option<&str>, fields: &str) -> String {
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let token = token.unwrap_or_default();
    format!("{line} HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n{token}{fields}\r\n")
}

/// A head that asks for a WebSocket.
pub(crate) fn websocket(path: &str, token: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: orders\r\nauthorization: Bearer {token}\r\n\
         connection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-key: eA==\r\n\
         sec-websocket-version: 13\r\n\r\n"
    )
}

pub(crate) fn status(answer: &str) -> u16 {
    let code = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// The JSON of an answer's body.
pub(crate) fn problem(answer: &str) -> serde_json::Value {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(header(head, "content-type"), Some("application/problem+json"), "{answer}");
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"))
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

async fn read_body<R: AsyncRead + Unpin>(stream: &mut R, head: &str) -> Option<Vec<u8>> {
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

/// A chunk, the last being none; nothing at all if it breaks off.
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

/// Bytes that are nowhere the same for long.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let words = (0..length as u32).map(|number| number.wrapping_mul(2_654_435_761));
    words.flat_map(u32::to_le_bytes).take(length).collect()
}
