//! A service `orders` behind its Gatekeeper and a Forwarder before its callers, all as processes on this host's loopback.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sealock_testkit::wait::until;

use crate::support::{Daemon, Home, PATIENCE, text};
use crate::tokens::api;

pub(crate) fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A head with its empty line.
pub(crate) fn read_head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// An app that answers with the head that it got, and echoes what comes on a WebSocket.
pub(crate) struct App {
    pub(crate) port: u16,
    calls: Arc<AtomicUsize>,
}

impl App {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, calls) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&calls);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || serve(stream.unwrap(), &counted));
            }
        });
        Self { port, calls }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: TcpStream, calls: &AtomicUsize) -> Option<()> {
    while let Some(head) = read_head(&mut stream) {
        calls.fetch_add(1, Ordering::SeqCst);
        let low = head.to_ascii_lowercase();
        if low.contains("\r\nupgrade: websocket") {
            let switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            stream.write_all(switched).ok()?;
            let mut reader = stream.try_clone().ok()?;
            std::io::copy(&mut reader, &mut stream).ok()?;
            return None;
        }
        let length = low.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).ok()?;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
        stream.write_all(answer.as_bytes()).ok()?;
    }
    None
}

/// What `who` (`Service::"shop"`) has to be granted to call `orders`.
pub(crate) fn may_call(who: &str) -> String {
    format!(
        "permit (principal == Sealock::{who}, action == Sealock::Action::\"Token::Issue\", \
         resource == Sealock::Service::\"orders\");\n\
         permit (principal == Sealock::{who}, action == Sealock::Action::\"Http::Call\", \
         resource == Sealock::Service::\"orders\") when {{ context.path like \"/v1/*\" }};\n"
    )
}

/// The broker of a daemon that runs.
pub(crate) fn broker(home: &Home) -> String {
    format!("https://localhost:{}", api(home).rsplit_once(':').unwrap().1)
}

/// A folder with a certificate of this service; gives the serial too.
pub(crate) fn identity(home: &Home, service: &str, folder: &str) -> (String, String) {
    let uri = format!("spiffe://test.sealock/service/{service}");
    let issued = home.json(&["cert", "issue", service, "--uri", &uri, "--out", folder]);
    let serial = issued["serial"].as_str().unwrap().replace(':', "").to_ascii_lowercase();
    (home.path(folder).display().to_string(), serial)
}

/// Starts a program that listens at this port, with its log in this file.
pub(crate) fn started(home: &Home, mut command: Command, log: &str, port: u16) -> Daemon {
    let log = fs::File::create(home.path(log)).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let daemon = Daemon::of(command.spawn().unwrap());
    until("it to listen", PATIENCE, || TcpStream::connect(("127.0.0.1", port)).ok().map(drop));
    daemon
}

/// A Gatekeeper of `orders` at this port, before this app.
pub(crate) fn gatekeeper(home: &Home, broker: &str, port: u16, app: &App, more: &[&str]) -> Daemon {
    let mut command = home.command();
    command.args(["gatekeeper", "--service", "orders", "--broker", broker]);
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    command.args(["--upstream", &format!("http://127.0.0.1:{}", app.port)]).args(more);
    started(home, command, &format!("gatekeeper-{port}.log"), port)
}

/// A Forwarder, as a proxy and with a port for `orders`.
pub(crate) struct Forwarder {
    pub(crate) proxy: u16,
    pub(crate) port: u16,
    pub(crate) process: Daemon,
}

impl Forwarder {
    pub(crate) fn start(home: &Home, more: &[&str]) -> Self {
        Self::of(home, home.command(), more)
    }

    /// By this command, which is the program with what comes before its words.
    pub(crate) fn of(home: &Home, mut command: Command, more: &[&str]) -> Self {
        let (proxy, port) = (free(), free());
        command.args(["forwarder", "--listen", &format!("127.0.0.1:{proxy}")]);
        command.args(["--route", &format!("127.0.0.1:{port}=orders")]).args(more);
        let process = started(home, command, "forwarder.log", proxy);
        Self { proxy, port, process }
    }

    pub(crate) fn call(&self, method: &str, path: &str) -> (u16, String) {
        call(self.port, method, &format!("localhost:{}", self.port), path)
    }

    /// Waits for the first call that is let through; its answer.
    pub(crate) fn until_served(&self) -> String {
        until("the Gatekeeper to know", PATIENCE, || {
            let (status, answer) = self.call("GET", "/v1/a");
            (status == 200).then_some(answer)
        })
    }

    /// Opens a WebSocket, and says something there.
    pub(crate) fn websocket(&self) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "GET /v1/live HTTP/1.1\r\nHost: localhost:{}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.port
        );
        stream.write_all(head.as_bytes()).unwrap();
        let head = read_head(&mut stream).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        echoes(&mut stream);
        stream
    }
}

/// What is said there comes back.
pub(crate) fn echoes(stream: &mut TcpStream) {
    stream.write_all(b"ping").unwrap();
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"ping");
}

/// Waits until the other end hangs up, but no longer than a second from then on.
pub(crate) fn drops_within_a_second(stream: &mut TcpStream, since: Instant) {
    let left = Duration::from_secs(1).saturating_sub(since.elapsed());
    stream.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
    let read = stream.read(&mut [0; 64]);
    let gone = match &read {
        Ok(count) => *count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    };
    assert!(gone, "the stream is still open after {:?}: {read:?}", since.elapsed());
}

/// One request on a connection of its own, a POST with a body: status, and all that came.
pub(crate) fn call(port: u16, method: &str, host: &str, target: &str) -> (u16, String) {
    let (length, body) = match method {
        "POST" => ("content-length: 4\r\n", "body"),
        _ => ("", ""),
    };
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{length}\r\n{body}"
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = text(&answer);
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    (status.unwrap_or(0), answer)
}
