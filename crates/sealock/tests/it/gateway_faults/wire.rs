//! Both ends of the gateway by hand: a client that sends what it likes over mutual TLS, and an engine that
//! hangs, dies and tells what it saw.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sealock_testkit::wait::until;

use crate::support::{Daemon, Home, PATIENCE};

/// Descriptors that are opened when many come at once, and kept: readers of the state, connections to the engine.
/// Fewer than there are clients in each test here, so that one left behind by each is noticed.
const KEPT: usize = 20;

/// An installation before an engine of ours.
pub(crate) struct Stage {
    pub(crate) home: Home,
    pub(crate) daemon: Daemon,
    pub(crate) engine: Engine,
    address: String,
    client: Arc<ClientConfig>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::within("")
    }

    /// `limit` is a line for the shell that starts the daemon.
    pub(crate) fn within(limit: &str) -> Self {
        let home = Home::initialised();
        let engine = Engine::start(&home.path("engine.sock"));
        let up = home.command();
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("{limit}\nexec \"$@\""), "sh"]).arg(up.get_program());
        command.args(up.get_args()).arg(format!("--docker=unix://{}", engine.socket.display()));
        command.args(["up", "--api", "off", "--gateway", "127.0.0.1:0"]);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", home.path("")).env("SEALOCK_WATCH_ENABLED", "false");
        // All that comes here comes from one identity.
        command.env("SEALOCK_GATEWAY_RATE", "off");
        let log = std::fs::File::create(home.path("daemon.log")).unwrap();
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let daemon = Daemon::of(child);
        let address = until("the gateway to listen", PATIENCE, || {
            let status = home.run(&["--json", "status"]);
            let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
            status["gateway"].as_str().map(str::to_owned)
        });
        let client = identity(&home.state().join("identities/admin"));
        let stage = Self { home, daemon, engine, address, client };
        stage.ping();
        stage
    }

    /// A connection of the administrator's.
    pub(crate) fn connect(&self) -> Client {
        self.try_connect().unwrap()
    }

    pub(crate) fn try_connect(&self) -> std::io::Result<Client> {
        let stream = TcpStream::connect(&self.address)?;
        // No test waits that long; it is there so that a hang is a failure.
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Client(stream))
    }

    /// A connection on which nothing was said.
    pub(crate) fn silent(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    /// Somebody else's request, which is answered whatever happens meanwhile.
    pub(crate) fn ping(&self) {
        let mut client = self.connect();
        client.send(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n");
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }

    /// Open descriptors of the daemon.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.daemon.id())).unwrap().count()
    }

    /// Waits until the daemon has given back what it had for clients; `before` is what it had without them.
    pub(crate) fn await_descriptors(&self, before: usize) {
        let most = before + KEPT;
        until(&format!("no more than {most} descriptors"), PATIENCE, || {
            (self.descriptors() <= most).then_some(())
        });
    }
}

fn identity(folder: &Path) -> Arc<ClientConfig> {
    let certificates = |name: &str| {
        let found = CertificateDer::pem_file_iter(folder.join(name)).unwrap();
        found.map(Result::unwrap).collect::<Vec<_>>()
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates("ca.crt"));
    let key = PrivateKeyDer::from_pem_file(folder.join("tls.key")).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates("tls.crt"), key)
        .unwrap();
    Arc::new(config)
}

/// A TLS connection, by hand.
pub(crate) struct Client(StreamOwned<ClientConnection, TcpStream>);

impl Client {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    /// Everything until the end, whatever end that is.
    pub(crate) fn rest(&mut self) -> String {
        self.end().0
    }

    /// Everything until the end, and whether TLS said that it is one.
    pub(crate) fn end(&mut self) -> (String, bool) {
        let mut bytes = Vec::new();
        let end = self.0.read_to_end(&mut bytes);
        let waited = end.as_ref().is_err_and(|error| {
            matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
        });
        assert!(!waited, "the gateway neither answers nor hangs up");
        (String::from_utf8_lossy(&bytes).into_owned(), end.is_ok())
    }

    /// Reads until this was said.
    pub(crate) fn read_until(&mut self, end: &str) -> String {
        let (mut text, mut byte) = (Vec::new(), [0; 1]);
        while !text.ends_with(end.as_bytes()) {
            assert_eq!(self.0.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&text));
            text.push(byte[0]);
        }
        String::from_utf8(text).unwrap()
    }

    /// A request and its answer, both without anything after; the connection goes on.
    pub(crate) fn ask(&mut self, target: &str) -> String {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: docker\r\n\r\n").as_bytes());
        let head = self.read_until("\r\n\r\n").to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        head
    }

    /// Ends the sending half of TCP, without TLS's own word for it.
    pub(crate) fn half_close(&self) {
        self.0.sock.shutdown(Shutdown::Write).unwrap();
    }

    /// What the server's certificate is.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().unwrap()[0].to_vec()
    }
}

/// What an engine saw, and whether it is still there.
#[derive(Default)]
struct Shared {
    heard: Mutex<Vec<String>>,
    open: Mutex<Vec<UnixStream>>,
    dead: AtomicBool,
}

/// An engine. `GET /system/df` it never answers; in the middle of `GET /info` it hangs up; `GET /events` has one
/// event and then none; what is loaded is counted; everything else is done.
pub(crate) struct Engine {
    pub(crate) socket: PathBuf,
    shared: Arc<Shared>,
}

impl Engine {
    pub(crate) fn start(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let shared = Arc::<Shared>::default();
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), shared) = (stream, Arc::clone(&own)) else { return };
                if shared.dead.load(Ordering::SeqCst) {
                    return;
                }
                shared.open.lock().unwrap().push(stream.try_clone().unwrap());
                thread::spawn(move || {
                    // Whoever hangs up is noted where it matters.
                    let _ = shared.serve(stream);
                });
            }
        });
        Self { socket: socket.to_owned(), shared }
    }

    /// Nobody listens any more, and all connections break.
    pub(crate) fn die(&self) {
        self.shared.dead.store(true, Ordering::SeqCst);
        // Wakes the one that accepts, which sees that it is dead.
        let _ = UnixStream::connect(&self.socket);
        std::fs::remove_file(&self.socket).unwrap();
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// What was heard that has this in it.
    pub(crate) fn heard(&self, part: &str) -> Vec<String> {
        let heard = self.shared.heard.lock().unwrap();
        heard.iter().filter(|line| line.contains(part)).cloned().collect()
    }

    /// Waits until this was heard so many times.
    pub(crate) fn await_heard(&self, part: &str, times: usize) {
        until(&format!("{part} to be heard {times} times"), PATIENCE, || {
            (self.heard(part).len() >= times).then_some(())
        });
    }
}

impl Shared {
    fn note(&self, what: String) {
        self.heard.lock().unwrap().push(what);
    }

    fn serve(&self, stream: UnixStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut writer = stream;
        loop {
            let (mut first, mut line, mut chunked) = (String::new(), String::new(), false);
            while line != "\r\n" {
                line.clear();
                if reader.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                if first.is_empty() {
                    first = line.trim_end().to_owned();
                }
                chunked |= line.to_ascii_lowercase().starts_with("transfer-encoding: chunked");
            }
            self.note(first.clone());
            if first.contains("/system/df") {
                let end = reader.read(&mut [0; 1]);
                self.note(format!("df left: {end:?}"));
                return Ok(());
            }
            if first.contains("/info") && first.contains("/v1.") {
                writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"ID\":")?;
                return writer.shutdown(Shutdown::Both);
            }
            if first.contains("/events") {
                writer.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                writer.write_all(b"3\r\n{}\n\r\n")?;
                let end = reader.read(&mut [0; 1]);
                self.note(format!("events left: {end:?}"));
                return Ok(());
            }
            if chunked {
                let whole = Self::take_chunks(&mut reader)?;
                self.note(format!("load {}", if whole { "whole" } else { "broken off" }));
                if !whole {
                    return Ok(());
                }
            }
            writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")?;
        }
    }

    /// Whether the body came to its end.
    fn take_chunks(reader: &mut impl BufRead) -> std::io::Result<bool> {
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(false);
            }
            let size = u64::from_str_radix(line.trim_end(), 16).unwrap();
            let taken = std::io::copy(&mut reader.take(size + 2), &mut std::io::sink())?;
            if taken < size + 2 || size == 0 {
                return Ok(size == 0 && taken == 2);
            }
        }
    }
}

/// Long enough for a thing to go wrong that should not happen at all.
pub(crate) const A_WHILE: Duration = Duration::from_millis(300);
