//! A Gatekeeper as a container beside its app: from a clean engine to a call that arrives, and one that does not.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sealock_testkit::clients::{skip_without, skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Container, Image, Network, try_docker};
use sealock_testkit::unique_name;
use sealock_testkit::wait::until;
use serde_json::Value;

use crate::chain::drops_within_a_second;
use crate::gateway::{home, permit};
use crate::support::{Home, PATIENCE, text};
use crate::tokens::{answer, curl, gets};

/// An app that tells what it was sent. A WebSocket echoes and stays open.
const APP: &str = "
import http.server
class App(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *_):
        pass
    def do_GET(self):
        if self.headers.get('Upgrade') == 'websocket':
            self.send_response(101)
            self.send_header('Connection', 'Upgrade')
            self.send_header('Upgrade', 'websocket')
            self.end_headers()
            while data := self.connection.recv(4096):
                self.connection.sendall(data)
            self.close_connection = True
            return
        body = (self.requestline + '\\n' + str(self.headers)).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(('127.0.0.1', 8080), App).serve_forever()
";

/// A program in a container's network, killed when dropped.
pub(crate) struct InNetwork(Child);

impl InNetwork {
    fn start(container: &Container, program: &str) -> Self {
        Self::start_with("python3", container, &[program])
    }

    /// With a Python of this name, and an input that stays open.
    pub(crate) fn start_with(python: &str, container: &Container, arguments: &[&str]) -> Self {
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--net=/proc/{}/ns/net", container.pid()));
        nsenter.args([python, "-c"]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
        Self(nsenter.spawn().unwrap())
    }
}

impl Drop for InNetwork {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A service `name` with its app and its Gatekeeper, which share a network namespace.
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) address: String,
    app: Container,
    pub(crate) guard: Container,
    _program: InNetwork,
    _image: Image,
    _network: Network,
}

impl Service {
    /// In plain HTTP.
    pub(crate) fn start(home: &Home) -> Self {
        Self::start_as(home, &unique_name(), false)
    }

    /// Over TLS, with a certificate of its own.
    pub(crate) fn start_tls(home: &Home) -> Self {
        Self::start_of(home, "test.sealock")
    }

    /// The same in another trust domain.
    pub(crate) fn start_of(home: &Home, domain: &str) -> Self {
        let name = unique_name();
        let uri = format!("spiffe://{domain}/service/{name}");
        home.ok(&["cert", "issue", &name, "--uri", &uri, "--out", "guard"]);
        Self::start_as(home, &name, true)
    }

    fn start_as(home: &Home, name: &str, tls: bool) -> Self {
        let image = Image::busybox();
        let network = Network::create(&[]);
        let app = image.start(&[&format!("--network={}", network.name())]);
        let program = InNetwork::start(&app, APP);
        let guard = guard(home, &image, &app, name, tls, "http://127.0.0.1:8080");
        let address = app.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
        Self {
            name: name.to_owned(),
            address: format!("{address}:8000"),
            app,
            guard,
            _program: program,
            _image: image,
            _network: network,
        }
    }

    /// curl at the service: status, body.
    fn call(&self, arguments: &[&str], path: &str) -> (u32, String) {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "20", "--write-out", "\n%{http_code}"]);
        let output = curl.args(arguments).arg(format!("http://{}{path}", self.address)).output();
        let said = text(&output.unwrap().stdout);
        let (body, status) = said.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    fn call_with(&self, token: &str, arguments: &[&str], path: &str) -> (u32, String) {
        let header = format!("Authorization: Bearer {token}");
        self.call(&[&["--header", &header], arguments].concat(), path)
    }
}

/// The Gatekeeper's container, which carries the service's name.
pub(crate) fn guard(
    home: &Home,
    image: &Image,
    app: &Container,
    name: &str,
    tls: bool,
    upstream: &str,
) -> Container {
    let mut options = vec![
        format!("--name={name}"),
        format!("--network=container:{}", app.id()),
        format!("--volume={}:/bin/sealock:ro", env!("CARGO_BIN_EXE_sealock")),
        format!(
            "--volume={}:/run/sealock/workload:ro",
            home.state().join("run/workload").display()
        ),
    ];
    if tls {
        options.push(format!("--volume={}:/identity:ro", home.path("guard").display()));
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let command = [
        "sealock",
        "gatekeeper",
        "--service",
        name,
        if tls { "--identity=/identity" } else { "--plain" },
        "--listen",
        "0.0.0.0:8000",
        "--upstream",
        upstream,
    ];
    image.start_command(&options, &command)
}

/// A caller with a client's secret.
pub(crate) struct Caller<'a> {
    home: &'a Home,
    name: &'static str,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(home: &'a Home, name: &'static str) -> Self {
        let secret = home.path(&format!("{name}.secret")).display().to_string();
        home.ok(&["client", "add", name, "--secret-out", &secret]);
        let secret = fs::read_to_string(&secret).unwrap();
        home.write(&format!("{name}.curlrc"), &format!("user = \"{name}:{secret}\"\n"));
        Self { home, name }
    }

    pub(crate) fn token(&self, audience: &str) -> String {
        let config = self.home.path(&format!("{}.curlrc", self.name)).display().to_string();
        let audience = format!("audience={audience}");
        let data = ["--data", "grant_type=client_credentials", "--data"];
        let arguments = [&["--config", &config][..], &data, &[&audience]].concat();
        let given = answer(&curl(self.home, "/oauth/token", &arguments));
        given["access_token"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn rules(service: &str) -> String {
    gets("shop", service)
        + &format!(
            "permit (principal == Sealock::Service::\"shop\", action == Sealock::Action::\"Http::Call\", resource == Sealock::Service::\"{service}\")\nwhen {{ context.method == \"GET\" && context.path like \"/v1/*\" }};\n"
        )
}

/// A WebSocket through the Gatekeeper.
fn websocket(service: &Service, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&service.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "GET /v1/live HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        service.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", text(&seen));
        seen.push(byte[0]);
    }
    assert!(seen.starts_with(b"HTTP/1.1 101 "), "{}", text(&seen));
    stream.write_all(b"ping").unwrap();
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"ping");
    stream
}

pub(crate) fn skip() -> bool {
    skip_without_engine() || skip_without_root() || skip_without(&["curl", "nsenter", "python3"])
}

#[test]
fn who_may_call_arrives_and_who_may_not_is_told_why() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let service = Service::start(&home);
    permit(&home, &rules(&service.name));
    let shop = Caller::new(&home, "shop");
    until("the Gatekeeper to know", PATIENCE, || (service.call(&[], "/").0 == 401).then_some(()));
    let token = shop.token(&service.name);

    let forged = ["--header", "X-Sealock-Identity: admin", "--header", "X_Sealock_Identity: admin"];
    let (status, seen) = service.call_with(&token, &forged, "/v1/./a%7eb?q=1");
    assert_eq!(status, 200, "{seen}\n{}", text(&try_docker(&["logs", service.guard.id()]).stderr));
    let head = seen.to_ascii_lowercase();
    assert!(seen.starts_with("GET /v1/a~b?q=1 HTTP/1.1"), "{seen}");
    assert!(head.contains("x-sealock-identity: spiffe://test.sealock/service/shop"), "{seen}");
    assert!(!head.contains("authorization") && !head.contains("admin") && !seen.contains(&token));

    // A forbidden path: the number in the answer is explained by a rule.
    let (status, body) = service.call_with(&token, &[], "/admin");
    assert_eq!(status, 403, "{body}");
    let problem: Value = serde_json::from_str(&body).unwrap();
    let number = problem["reason"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
    let explained = until("the denial in the log", PATIENCE, || {
        let output = home.run(&["policy", "explain", &number]);
        output.status.success().then(|| text(&output.stdout))
    });
    for part in ["Http::Call", "\"/admin\"", "Sealock::Service::\"shop\"", "permit"] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    // No token, somebody else's, a token for another service.
    assert_eq!(service.call(&[], "/v1/a").0, 401);
    assert_eq!(service.call_with("junk", &[], "/v1/a").0, 401);
    permit(&home, &(rules(&service.name) + &gets("shop", "billing")));
    assert_eq!(service.call_with(&shop.token("billing"), &[], "/v1/a").0, 401);
    // The rule is taken away: with the token that was good.
    let since = Instant::now();
    let live = websocket(&service, &token);
    permit(&home, &gets("shop", &service.name));
    until("the rule to be gone", PATIENCE, || {
        (service.call_with(&token, &[], "/v1/a").0 == 403).then_some(())
    });
    drop((since, live));
    assert_eq!(daemon.stop(), Some(0));
    let log = text(&try_docker(&["logs", service.guard.id()]).stdout);
    let line = log.lines().find(|line| line.contains("/v1/a~b")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["caller"], "spiffe://test.sealock/service/shop");
    assert_eq!((&line["status"], &line["path"]), (&200.into(), &"/v1/a~b".into()));
    assert!(!log.contains(&token) && !log.contains("q=1"), "neither token nor query is logged");
    let _ = &service.app;
}

#[test]
fn a_revoked_caller_is_refused_within_a_second_and_a_broker_that_is_away_stops_nothing() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let service = Service::start(&home);
    permit(&home, &rules(&service.name));
    let shop = Caller::new(&home, "shop");
    until("the Gatekeeper to know", PATIENCE, || (service.call(&[], "/").0 == 401).then_some(()));
    let token = shop.token(&service.name);
    let mut live = websocket(&service, &token);
    assert_eq!(service.call_with(&token, &[], "/v1/a").0, 200);
    home.ok(&["token", "revoke", "--identity", "service/shop"]);
    let since = Instant::now();
    drops_within_a_second(&mut live, since);
    assert_eq!(service.call_with(&token, &[], "/v1/a").0, 401);
    // A second later a token is good again: what was revoked are those of before.
    std::thread::sleep(Duration::from_millis(1100));
    let token = shop.token(&service.name);
    assert_eq!(service.call_with(&token, &[], "/v1/a").0, 200);

    // The broker is killed: what is known goes on deciding.
    daemon.kill();
    for _ in 0..20 {
        assert_eq!(service.call_with(&token, &[], "/v1/a").0, 200);
        assert_eq!(service.call_with(&token, &[], "/admin").0, 403);
        std::thread::sleep(Duration::from_millis(100));
    }
    // Back again, it is heard again, and what was denied meanwhile is in its log.
    let daemon = home.up();
    until("the denials of meanwhile", PATIENCE, || {
        home.ok(&["--json", "audit", "tail", "-n", "200"]).contains("/admin").then_some(())
    });
    home.ok(&["token", "revoke", "--all"]);
    until("the new revocation", PATIENCE, || {
        (service.call_with(&token, &[], "/v1/a").0 == 401).then_some(())
    });

    // The Gatekeeper is killed and replaced: the next one asks the broker before it lets anybody in.
    service.guard.kill();
    let _ = try_docker(&["rm", "--force", service.guard.id()]);
    let image = Image::busybox();
    let _next = guard(&home, &image, &service.app, &service.name, false, "http://127.0.0.1:8080");
    until("the next Gatekeeper", PATIENCE, || {
        (service.call_with(&token, &[], "/v1/a").0 == 401).then_some(())
    });
    std::thread::sleep(Duration::from_millis(1100));
    let token = shop.token(&service.name);
    assert_eq!(service.call_with(&token, &[], "/v1/a").0, 200);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn another_container_cannot_take_a_gatekeepers_place() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let image = Image::busybox();
    let thief = image.start(&[
        &format!("--volume={}:/bin/sealock:ro", env!("CARGO_BIN_EXE_sealock")),
        &format!(
            "--volume={}:/run/sealock/workload:ro",
            home.state().join("run/workload").display()
        ),
    ]);
    let output = thief.exec(&[
        "timeout",
        "5",
        "sealock",
        "gatekeeper",
        "--service",
        "orders",
        "--plain",
        "--listen",
        "127.0.0.1:8000",
        "--upstream",
        "http://127.0.0.1:8080",
    ]);
    let said = text(&output.stderr);
    assert!(said.contains("Gatekeeper::Serve on service orders is denied"), "{said}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn as_process_1_it_stops_when_told_also_while_it_waits_for_its_broker() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let program = format!("--volume={}:/bin/sealock:ro", env!("CARGO_BIN_EXE_sealock"));
    for command in [
        &["gatekeeper", "--service", "a", "--plain", "--upstream", "http://127.0.0.1:1"][..],
        &["forwarder", "--plain", "a=127.0.0.1:1"],
    ] {
        let words = [&["sealock"], command, &["--listen", "127.0.0.1:8000"]].concat();
        let container = image.start_command(&["--network=none", &program], &words);
        until("it to wait", PATIENCE, || {
            let log = text(&try_docker(&["logs", container.id()]).stderr);
            log.contains("waiting for the broker").then_some(())
        });
        let _ = try_docker(&["stop", "--time", "30", container.id()]);
        assert_eq!(container.inspect("{{.State.ExitCode}}"), "1", "{command:?}: it was killed");
    }
}
