//! lego's order, and `up` killed in the middle of it (SIGKILL): at the n-th record that lego sends, before it arrives, or after,
//! so that nobody hears the answer. lego is run again as a person or a timer would, and no order has two certificates.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sealock_testkit::clients::skip_without;
use sealock_testkit::wait::until;

use super::Scene;
use crate::support::{PATIENCE, signal, text};
use crate::tokens::api;

/// Of a TLS record with what an application says.
const APPLICATION_DATA: u8 = 23;
/// How often lego is run for one certificate: it is killed at most once.
const RUNS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// What lego says does not arrive.
    Lost,
    /// It does, and is answered; nobody hears the answer.
    Unheard,
}

/// What stands between lego and the daemon, and knows when to kill that.
#[derive(Default)]
struct Between {
    /// Where the daemon is.
    port: AtomicU16,
    process: AtomicU32,
    /// Records of lego until the kill; below 0 nothing is to be killed.
    left: AtomicI64,
    unheard: AtomicBool,
    /// The next answer is not to be heard.
    armed: AtomicBool,
}

impl Between {
    fn start(self: &Arc<Self>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let this = Arc::clone(self);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let this = Arc::clone(&this);
                thread::spawn(move || this.carry(client));
            }
        });
        port
    }

    fn arm(&self, record: i64, moment: Moment) {
        self.unheard.store(moment == Moment::Unheard, Ordering::SeqCst);
        self.left.store(record, Ordering::SeqCst);
    }

    /// Nothing is killed from here on.
    fn disarm(&self) {
        self.left.store(-1, Ordering::SeqCst);
        self.armed.store(false, Ordering::SeqCst);
    }

    fn kill(&self) {
        signal(self.process.load(Ordering::SeqCst), "KILL");
    }

    fn carry(&self, client: TcpStream) {
        // While there is none, lego is told so.
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.port.load(Ordering::SeqCst))) else {
            return;
        };
        let both = [&client, &server].map(|stream| stream.try_clone().unwrap());
        thread::scope(|scope| {
            scope.spawn(|| {
                self.asks(&client, &server);
                both.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
            });
            self.answers(&server, &client);
            both.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        });
    }

    /// Record by record, from lego to the daemon.
    fn asks(&self, mut from: &TcpStream, mut to: &TcpStream) -> Option<()> {
        loop {
            let mut head = [0; 5];
            from.read_exact(&mut head).ok()?;
            let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
            from.read_exact(&mut body).ok()?;
            let is_last =
                head[0] == APPLICATION_DATA && self.left.fetch_sub(1, Ordering::SeqCst) == 1;
            if is_last && !self.unheard.load(Ordering::SeqCst) {
                self.kill();
                return None;
            }
            self.armed.fetch_or(is_last, Ordering::SeqCst);
            to.write_all(&[&head[..], &body].concat()).ok()?;
        }
    }

    fn answers(&self, mut from: &TcpStream, mut to: &TcpStream) -> Option<()> {
        let mut bytes = vec![0; 1 << 14];
        loop {
            let length = from.read(&mut bytes).ok().filter(|length| *length > 0)?;
            if self.armed.swap(false, Ordering::SeqCst) {
                self.kill();
                return None;
            }
            to.write_all(&bytes[..length]).ok()?;
        }
    }
}

/// A daemon that is killed and started again, behind [`Between`].
pub(super) struct Stage {
    pub(super) scene: Scene,
    between: Arc<Between>,
    server: String,
    kills: usize,
}

impl Stage {
    pub(super) fn new(scene: Scene) -> Self {
        let between = Arc::new(Between::default());
        between.disarm();
        let port = between.start();
        let mut this = Self {
            scene,
            between,
            server: format!("https://localhost:{port}/acme/directory"),
            kills: 0,
        };
        this.found();
        this
    }

    /// Where the daemon is now.
    fn found(&mut self) {
        let port = api(&self.scene.home).rsplit_once(':').unwrap().1.parse().unwrap();
        self.between.process.store(self.scene.daemon.id(), Ordering::SeqCst);
        self.between.port.store(port, Ordering::SeqCst);
    }

    pub(super) fn lego(&self, name: &str) -> Child {
        let mut command = self.scene.client("lego");
        command.args(["--server", &self.server, "--accept-tos", "--email", "jo@corp.example"]);
        command.arg("--path").arg(self.scene.path("lego")).args(["--domains", name]);
        command.args(["--http", "--http.port", &format!("127.0.0.1:{}", self.scene.http), "run"]);
        command.env("LEGO_CA_CERTIFICATES", &self.scene.root);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs lego to its end; a daemon that was killed meanwhile is started again at once, should lego try again by itself.
    pub(super) fn run(&mut self, name: &str) -> Result<(), String> {
        let lego = self.lego(name);
        self.wait_for(lego)
    }

    /// The same with one that runs.
    pub(super) fn wait_for(&mut self, mut lego: Child) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if !self.scene.daemon.runs() {
                self.kills += 1;
                self.scene.start_again();
                self.found();
            }
            if lego.try_wait().unwrap().is_some() {
                break;
            }
            if Instant::now() > deadline {
                lego.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(10));
        }
        let output = lego.wait_with_output().unwrap();
        output.status.success().then_some(()).ok_or_else(|| text(&output.stderr))
    }

    /// The certificates of a name, and the keys that they are for.
    pub(super) fn issued(&self, name: &str) -> (usize, BTreeSet<String>) {
        let found = self.scene.home.json(&["cert", "list", "--name", name, "--all"]);
        let serials = found["certificates"].as_array().unwrap().iter();
        let serials: Vec<&str> = serials.map(|one| one["serial"].as_str().unwrap()).collect();
        let key = |serial: &&str| {
            let shown = self.scene.home.json(&["cert", "show", serial, "--pem"]);
            let file = self.scene.home.write("shown.pem", shown["pem"].as_str().unwrap());
            crate::support::tool("openssl", &["x509", "-in", &file, "-noout", "-pubkey"])
        };
        (serials.len(), serials.iter().map(key).collect())
    }
}

#[test]
fn lego_comes_to_its_certificate_wherever_the_daemon_is_killed() {
    if skip_without(&["lego", "openssl"]) {
        return;
    }
    let mut stage = Stage::new(Scene::start());
    let moments = (2..=13).map(|record| (record, Moment::Unheard));
    let moments = moments.chain([4, 7, 10].map(|record| (record, Moment::Lost)));
    let (mut second_orders, mut asked) = (0, 0);
    for (number, (record, moment)) in moments.enumerate() {
        asked += 1;
        let name = format!("n{number}.acme.test");
        let before = stage.kills;
        stage.between.arm(record, moment);
        let mut runs = 0;
        let mut said = String::new();
        let done = (0..RUNS).any(|_| {
            runs += 1;
            match stage.run(&name) {
                Ok(()) => true,
                Err(text) => {
                    said = text;
                    false
                }
            }
        });
        stage.between.disarm();
        assert!(done, "{record} {moment:?}: {said}");
        assert!(stage.kills <= before + 1);
        // Each run that failed may have had its order's certificate made; a second one for an order has its key, too.
        let (certificates, keys) = stage.issued(&name);
        assert_eq!(certificates, keys.len(), "two for one order at {record} {moment:?}");
        assert!(
            (1..=runs).contains(&certificates),
            "{certificates} by {runs} orders at {record} {moment:?}"
        );
        // Where the killed daemon had not been asked for it, there is one.
        second_orders += usize::from(certificates > 1);
        let chain = stage.scene.path(&format!("lego/certificates/{name}.crt"));
        stage.scene.verifies(&chain, &name);
        let text = std::fs::read_to_string(&chain).unwrap();
        let file = stage.scene.home.write("newest.pem", &text);
        let serial = crate::support::tool("openssl", &["x509", "-in", &file, "-noout", "-serial"]);
        let plain = |serial: &str| serial.trim().trim_start_matches('0').to_ascii_lowercase();
        let serial = plain(serial.trim().trim_start_matches("serial="));
        assert_eq!(serial, plain(&stage.scene.serial(&name)), "lego has the newest one");
    }
    assert!(stage.kills >= asked / 2, "only {} of {asked} were killed in the middle", stage.kills);
    assert!(second_orders <= 6, "{second_orders} orders were not gone on with");
    let log = stage.scene.home.ok(&["audit", "verify"]);
    assert!(log.contains("unbroken"), "{log}");
    until("the daemon", PATIENCE, || stage.scene.daemon.runs().then_some(()));
}
