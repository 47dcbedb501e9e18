//! A Gatekeeper as a process on this host: what it shows, how it is replaced, and a socket that systemd hands over.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sealock_testkit::clients::skip_without;
use sealock_testkit::wait::until;
use serde_json::Value;

use crate::chain::{broker, free, read_head};
use crate::gatekeeper::rules;
use crate::gateway::{home, permit};
use crate::support::{Daemon, Home, PATIENCE};

/// An app that answers with the head that it got; at `/v1/slow`, when it may.
pub(crate) struct App {
    port: u16,
    go_on: Arc<AtomicBool>,
}

impl App {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let go_on = Arc::new(AtomicBool::new(false));
        let may = Arc::clone(&go_on);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, may) = (stream.unwrap(), Arc::clone(&may));
                std::thread::spawn(move || {
                    while let Some(head) = read_head(&mut stream) {
                        while head.contains("/v1/slow") && !may.load(Ordering::SeqCst) {
                            std::thread::sleep(Duration::from_millis(5));
                        }
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}",
                            head.len()
                        );
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, go_on }
    }
}

/// A service `orders`, which `shop` may call, and all that its Gatekeeper needs.
pub(crate) struct World {
    pub(crate) home: Home,
    pub(crate) daemon: Daemon,
    app: App,
    identity: String,
    broker: String,
    pub(crate) token: String,
}

impl World {
    pub(crate) fn start() -> Self {
        Self::of(home(), &rules("orders"))
    }

    /// In this installation, by these rules.
    pub(crate) fn of(home: Home, rules: &str) -> Self {
        let daemon = home.up();
        permit(&home, rules);
        let uri = "spiffe://test.sealock/service/orders";
        home.ok(&["cert", "issue", "orders", "--usage", "client", "--uri", uri, "--out", "orders"]);
        home.ok(&["client", "add", "shop", "--secret-out", "shop.secret"]);
        let secret = fs::read_to_string(home.path("shop.secret")).unwrap();
        let config = home.write("shop.curlrc", &format!("user = \"shop:{secret}\"\n"));
        let data = ["--data", "grant_type=client_credentials", "--data", "audience=orders"];
        let arguments = [&["--config", &config][..], &data].concat();
        let given = crate::tokens::answer(&crate::tokens::curl(&home, "/oauth/token", &arguments));
        Self {
            identity: home.path("orders").display().to_string(),
            broker: broker(&home),
            token: given["access_token"].as_str().unwrap().to_owned(),
            app: App::start(),
            daemon,
            home,
        }
    }

    /// With these settings, and another daemon.
    pub(crate) fn restarted(self, settings: &[(&'static str, &'static str)]) -> Self {
        let Self { mut home, daemon, app, identity, token, .. } = self;
        assert_eq!(daemon.stop(), Some(0));
        home.set(settings);
        let (daemon, broker) = (home.up(), broker(&home));
        Self { home, daemon, app, identity, broker, token }
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let upstream = format!("http://127.0.0.1:{}", self.app.port);
        let all = ["gatekeeper", "--service", "orders", "--upstream", &upstream, "--plain"];
        let way = ["--identity", &self.identity, "--broker", &self.broker];
        all.iter().chain(&way).chain(more).map(|word| (*word).to_owned()).collect()
    }

    pub(crate) fn gatekeeper(&self, log: &str, more: &[&str]) -> Daemon {
        let log = fs::File::create(self.home.path(log)).unwrap();
        let mut command = self.home.command();
        command.args(self.arguments(more));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Daemon::of(command.spawn().unwrap())
    }

    /// A GET on a connection of its own: the whole answer, or how it failed.
    pub(crate) fn call(&self, port: u16, path: &str) -> Result<String, String> {
        call(port, path, &self.token)
    }

    pub(crate) fn until_served(&self, port: u16) {
        until("the Gatekeeper", PATIENCE, || {
            self.call(port, "/v1/a").ok().filter(|answer| answer.starts_with("HTTP/1.1 200 "))
        });
    }
}

pub(crate) fn call(port: u16, path: &str, token: &str) -> Result<String, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(text)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: orders\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).map_err(text)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(text)?;
    if answer.is_empty() { Err("it hung up".to_owned()) } else { Ok(answer) }
}

pub(crate) fn skip() -> bool {
    skip_without(&["curl", "python3"])
}

#[test]
fn what_a_gatekeeper_counts_is_shown_and_whether_it_is_ready() {
    if skip() {
        return;
    }
    let world = World::start();
    let (port, metrics) = (free(), free());
    let (listen, shown) = (format!("127.0.0.1:{port}"), metrics.to_string());
    let keys = world.home.path("keys.json").display().to_string();
    let guard = world.gatekeeper(
        "guard.log",
        &[
            "--listen",
            &listen,
            "--metrics",
            &shown,
            "--rate",
            "100",
            "--burst",
            "12",
            "--health-path",
            "/up",
            "--stale-route",
            "/v1/health=go-on",
            "--sign-identity",
            "--identity-jwks-out",
            &keys,
        ],
    );
    until("the Gatekeeper to be ready", PATIENCE, || {
        call(metrics, "/ready", "").ok().filter(|answer| answer.starts_with("HTTP/1.1 200 "))
    });
    let answer = world.call(port, "/v1/a").unwrap();
    let token = answer.lines().find_map(|line| line.strip_prefix("x-sealock-identity-token: "));
    // What is shown is what is in the file, and the token names it.
    let published = call(metrics, "/.well-known/jwks.json", "").unwrap();
    let published: Value =
        serde_json::from_str(published.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let written: Value = serde_json::from_slice(&fs::read(&keys).unwrap()).unwrap();
    assert_eq!(published, written);
    let header = data_encoding_of(token.unwrap().split('.').next().unwrap());
    assert!(header.contains(published["keys"][0]["kid"].as_str().unwrap()), "{header}");

    assert!(world.call(port, "/admin").unwrap().starts_with("HTTP/1.1 403 "));
    assert!(call(port, "/v1/a", "abc").unwrap().starts_with("HTTP/1.1 401 "));
    let limited =
        (0..30).filter(|_| world.call(port, "/v1/a").unwrap().starts_with("HTTP/1.1 429 "));
    assert!(limited.count() > 0);
    let figures = call(metrics, "/metrics", "").unwrap();
    let value = |name: &str| -> f64 {
        let line = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{figures}")).parse().unwrap()
    };
    for (name, count) in [
        ("sealock_gatekeeper_requests_total{outcome=\"denied\"}", 1.0),
        ("sealock_gatekeeper_requests_total{outcome=\"unauthenticated\"}", 1.0),
        ("sealock_gatekeeper_refusals_total{code=\"token_malformed\"}", 1.0),
        ("sealock_gatekeeper_ready", 1.0),
        ("sealock_gatekeeper_app_unwell", 0.0),
        ("sealock_gatekeeper_running", 0.0),
    ] {
        assert_eq!(value(name).to_string(), count.to_string(), "{name}");
    }
    assert!(value("sealock_gatekeeper_feed_silence_seconds") < 60.0);
    assert!(value("sealock_gatekeeper_tokens_total{from=\"cache\"}") > 1.0);
    assert!(value("sealock_gatekeeper_policy_epoch") >= 1.0);
    assert!(call(metrics, "/live", "").unwrap().starts_with("HTTP/1.1 200 "));
    assert!(call(metrics, "/admin", "").unwrap().starts_with("HTTP/1.1 404 "));
    assert!(!figures.contains("shop"), "who calls is nobody's business here");
    assert_eq!(guard.stop(), Some(0));
    for (arguments, hint) in [
        (&["--stale-route", "/a/../b=go-on"][..], "`/b` is"),
        (&["--stale-route", "/a=soon"], "--stale-route"),
        (&["--health-path", "up"], "--health-path /healthz"),
        (&["--burst", "3"], "--rate"),
        (&["--metrics", "x"], "ADDRESS:PORT"),
        (&["--identity-jwks-out", "x"], "--sign-identity"),
    ] {
        let all = world.arguments(&[&["--listen", "127.0.0.1:0"][..], arguments].concat());
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let said = world.home.fails(64, &all);
        assert!(said.contains(hint), "{arguments:?}: {said}");
    }
    assert_eq!(world.daemon.stop(), Some(0));
}

fn data_encoding_of(part: &str) -> String {
    let decoded = Command::new("python3")
        .args([
            "-c",
            "import base64,sys;print(base64.urlsafe_b64decode(sys.argv[1]+'==').decode())",
            part,
        ])
        .output()
        .unwrap();
    String::from_utf8(decoded.stdout).unwrap()
}

fn inode(path: &str) -> Option<u64> {
    fs::metadata(path).ok().map(|found| found.ino())
}

/// Calls on connections of their own, one after another.
fn load(
    port: u16,
    token: String,
    end: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut failures = Vec::new();
        while !end.load(Ordering::SeqCst) {
            match call(port, "/v1/a", &token) {
                Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => {
                    done.fetch_add(1, Ordering::SeqCst);
                }
                Ok(answer) => failures.push(answer),
                Err(error) => failures.push(error),
            }
        }
        failures
    })
}

#[test]
fn a_gatekeeper_is_replaced_and_no_call_fails() {
    if skip() {
        return;
    }
    let world = World::start();
    let (port, metrics) = (free(), free());
    let (listen, shown) = (format!("127.0.0.1:{port}"), metrics.to_string());
    let place = world.home.path("handover").display().to_string();
    let more = ["--listen", &listen, "--metrics", &shown, "--handover", &place, "--drain", "30s"];
    let mut guard = world.gatekeeper("guard-0.log", &more);
    world.until_served(port);
    let (end, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| load(port, world.token.clone(), Arc::clone(&end), Arc::clone(&done)))
        .collect();
    let more_than = |count: u64| {
        until("calls", PATIENCE, || (done.load(Ordering::SeqCst) > count).then_some(()));
    };
    more_than(50);
    // One that is under way all the time.
    let token = world.token.clone();
    let slow = std::thread::spawn(move || call(port, "/v1/slow", &token));
    let mut waiting = inode(&place).unwrap();
    for number in 1..=3 {
        let before = done.load(Ordering::SeqCst);
        let next = world.gatekeeper(&format!("guard-{number}.log"), &more);
        until("the next one to be in its place", PATIENCE, || {
            (inode(&place) != Some(waiting)).then_some(())
        });
        waiting = inode(&place).unwrap();
        more_than(before + 50);
        if number == 1 {
            world.app.go_on.store(true, Ordering::SeqCst);
        }
        assert_eq!(guard.ends(), Some(0));
        guard = next;
    }
    let slow = slow.join().unwrap().unwrap();
    assert!(slow.starts_with("HTTP/1.1 200 "), "{slow}");
    end.store(true, Ordering::SeqCst);
    for caller in callers {
        let failures = caller.join().unwrap();
        assert!(failures.is_empty(), "{failures:?}");
    }
    assert!(call(metrics, "/ready", "").unwrap().starts_with("HTTP/1.1 200 "));
    // Killed, it leaves its socket; the next one begins anew.
    guard.kill();
    let guard = world.gatekeeper("guard-4.log", &more);
    world.until_served(port);
    assert_eq!(guard.stop(), Some(0));
    assert_eq!(world.daemon.stop(), Some(0));
}

/// Listens, and becomes the program with the socket, as systemd does it.
const SYSTEMD: &str = "
import os, socket, sys
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
if listener.fileno() != 3:
    os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')
os.execv(sys.argv[2], sys.argv[2:])
";

#[test]
fn a_socket_that_systemd_hands_over_is_served() {
    if skip() {
        return;
    }
    let world = World::start();
    let port = free();
    let mut command = Command::new("python3");
    let program = world.home.command().get_program().to_owned();
    command.args(["-c", SYSTEMD, &port.to_string()]).arg(program);
    command.args(world.arguments(&["--listen", "systemd", "--no-access-log"]));
    let settings = world.home.command();
    for (name, value) in settings.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let guard = Daemon::of(command.stdin(Stdio::null()).spawn().unwrap());
    world.until_served(port);
    assert_eq!(guard.stop(), Some(0));
    let all = world.arguments(&["--listen", "systemd"]);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let said = world.home.fails(64, &all);
    assert!(said.contains("no socket was handed over"), "{said}");
    assert_eq!(world.daemon.stop(), Some(0));
}

/// Another authorization server, which knows one token; it gives what it was sent.
fn idp() -> (u16, std::sync::mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(head) = read_head(&mut stream) else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.unwrap().parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            let body = String::from_utf8(body).unwrap();
            let said = if body.starts_with("token=corporate-1&") {
                r#"{"active":true,"username":"shop","aud":"orders"}"#
            } else {
                r#"{"active":false}"#
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{said}",
                said.len()
            );
            stream.write_all(answer.as_bytes()).unwrap();
            if tell.send((head, body)).is_err() {
                return;
            }
        }
    });
    (port, told)
}

#[test]
fn a_token_of_another_server_is_asked_about_with_our_secret_and_never_one_of_ours() {
    if skip() {
        return;
    }
    let world = World::start();
    let (idp, told) = idp();
    let port = free();
    let (listen, url) =
        (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{idp}/introspect?x=1"));
    let secret = world.home.write("idp.secret", "p:w\n");
    let more = [
        "--listen",
        &listen,
        "--introspect",
        &url,
        "--introspect-client",
        "gate",
        "--introspect-secret-file",
        &secret,
        "--introspect-audience",
        "orders",
        "--introspect-identity",
        "service/{username}",
    ];
    let guard = world.gatekeeper("guard.log", &more);
    world.until_served(port);
    assert!(told.try_recv().is_err(), "a token of ours was shown to another server");
    for _ in 0..3 {
        let answer = call(port, "/v1/a", "corporate-1").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(
            answer.contains("x-sealock-identity: spiffe://test.sealock/service/shop"),
            "{answer}"
        );
    }
    let answer = call(port, "/v1/a", "made-up").unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("token_inactive"), "{answer}");
    let (head, body) = told.recv().unwrap();
    assert!(head.starts_with("POST /introspect?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Basic Z2F0ZTpwJTNBdw==\r\n"), "{head}");
    assert_eq!(body, "token=corporate-1&token_type_hint=access_token");
    assert!(told.recv().unwrap().1.starts_with("token=made-up&"));
    assert!(told.try_recv().is_err());
    assert_eq!(guard.stop(), Some(0));
    let log = fs::read_to_string(world.home.path("guard.log")).unwrap();
    assert!(
        !log.contains("corporate") && !log.contains("p:w") && !log.contains("made-up"),
        "{log}"
    );
    assert_eq!(world.daemon.stop(), Some(0));
}

#[test]
fn another_server_is_named_with_all_that_makes_it_safe() {
    if skip() {
        return;
    }
    let world = World::start();
    for (arguments, hint) in [
        (
            &[
                "--introspect",
                "http://10.0.0.1/",
                "--introspect-identity",
                "human/{sub}",
                "--introspect-audience",
                "a",
            ][..],
            "clear text",
        ),
        (
            &[
                "--introspect",
                "https://idp.example/",
                "--introspect-identity",
                "human/{sub}",
                "--introspect-audience",
                "a",
            ],
            "--introspect-ca",
        ),
        (
            &["--introspect", "https://idp.example/", "--introspect-identity", "human/{sub}"],
            "any-audience",
        ),
        (
            &["--introspect", "https://idp.example/", "--introspect-audience", "a"],
            "--introspect-identity",
        ),
        (
            &[
                "--introspect",
                "https://idp.example/",
                "--introspect-identity",
                "admin/{sub}",
                "--introspect-audience",
                "a",
            ],
            "pattern",
        ),
    ] {
        let all = world.arguments(&[&["--listen", "127.0.0.1:0"][..], arguments].concat());
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let said = world.home.fails(64, &all);
        assert!(said.contains(hint), "{arguments:?}: {said}");
    }
    assert_eq!(world.daemon.stop(), Some(0));
}
