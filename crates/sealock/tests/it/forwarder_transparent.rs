//! Transparent mode, in a container's own network namespace, with the kernel's own rules: an app that knows nothing of a
//! Forwarder calls a service, and nothing else that it dials is led anywhere by surprise.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

use sealock_testkit::clients::{skip_without, skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Container, Image, Network, docker};
use sealock_testkit::wait::until;

use crate::gatekeeper::{Service, rules};
use crate::gateway::{home, permit};
use crate::support::{Daemon, Home, PATIENCE, text};
use crate::tokens::api;

const MARK: &str = "mark:0x5ea1";
const PORT: u16 = 15001;

/// Says who it is, whatever it is sent.
const OTHER: &str = "
import http.server, sys
class Other(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass
    def do_GET(self):
        body = ('other ' + str(self.headers)).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Other).serve_forever()
";

/// Greets, as SMTP and SSH servers do, and then echoes.
const GREETER: &str = "
import socketserver, sys
class Greeter(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b'hello\\n')
        while data := self.request.recv(4096):
            self.request.sendall(data)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer((sys.argv[1], int(sys.argv[2])), Greeter).serve_forever()
";

pub(crate) fn skip() -> bool {
    skip_without_engine()
        || skip_without_root()
        || skip_without(&["curl", "python3", "nsenter", "nft", "ip", "setpriv"])
}

/// A process that is killed when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An app's container `caller` and one `other`, in the network of a service.
pub(crate) struct Scene {
    home: Home,
    _daemon: Daemon,
    pub(crate) broker: String,
    // Before the service: it is in its network too.
    caller: Container,
    pub(crate) service: Service,
    pub(crate) other: String,
    _greeter: Running,
    _server: Running,
    _other: Container,
    _image: Image,
    _network: Network,
}

impl Scene {
    pub(crate) fn start() -> Self {
        let home = home();
        // The broker is at the address of a bridge of ours: containers get to that, and nobody else.
        let network = Network::create(&[]);
        let bridge = docker(&[
            "network",
            "inspect",
            "--format",
            "{{range .IPAM.Config}}{{.Gateway}}{{end}}",
            network.name(),
        ]);
        let log = fs::File::create(home.path("daemon.log")).unwrap();
        let mut command = home.command();
        command.args(["up", "--api", &format!("{bridge}:0"), "--gateway", "off"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let daemon = Daemon::of(command.spawn().unwrap());
        until("the daemon to answer", PATIENCE, || {
            let status = home.run(&["--json", "status"]);
            let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
            (status["daemon"] == true && status["engine"]["up"] == true).then_some(())
        });
        let service = Service::start_tls(&home);
        permit(&home, &rules(&service.name));
        let uri = "spiffe://test.sealock/service/shop";
        home.ok(&["cert", "issue", "shop", "--usage", "client", "--uri", uri, "--out", "shop"]);
        let image = Image::busybox();
        let theirs = service.guard.inspect("{{.HostConfig.NetworkMode}}");
        let theirs = docker(&[
            "inspect",
            "--format",
            "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}",
            theirs.strip_prefix("container:").unwrap(),
        ]);
        let ip = service.address.rsplit_once(':').unwrap().0;
        let (with, host) =
            (format!("--network={}", network.name()), format!("{}:{ip}", service.name));
        let caller = image.start(&[&with, "--add-host", &host]);
        let _ = docker(&["network", "connect", &theirs, caller.id()]);
        let other = image.start(&[&with]);
        let at = other.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
        let server = inside(&other, &["python3", "-c", OTHER, "0.0.0.0", "80"]);
        let greeter = inside(&other, &["python3", "-c", GREETER, "0.0.0.0", "81"]);
        inside(&caller, &["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0"]).0.wait().unwrap();
        Self {
            broker: format!("https://{}", api(&home)),
            home,
            _daemon: daemon,
            service,
            caller,
            other: at,
            _greeter: greeter,
            _server: server,
            _other: other,
            _image: image,
            _network: network,
        }
    }

    /// A Forwarder in the network of `caller`, that serves.
    pub(crate) fn forwarder(&self, more: &[&str]) -> Daemon {
        let log = fs::File::create(self.home.path("forwarder.log")).unwrap();
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.caller.pid()));
        command.arg(env!("CARGO_BIN_EXE_sealock")).args(["forwarder", "--transparent"]);
        let service = format!("{}={}", self.service.name, self.service.address);
        let shop = self.home.path("shop").display().to_string();
        command.args(["--service", &service, "--identity", &shop, "--broker", &self.broker]);
        command.args(more).current_dir(self.home.path("."));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = Daemon::of(command.spawn().unwrap());
        until("the Forwarder to listen", PATIENCE, || {
            self.log().contains("Connections are taken at").then_some(())
        });
        process
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.path("forwarder.log")).unwrap_or_default()
    }

    fn in_network(&self, program: &[&str]) -> Output {
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--net=/proc/{}/ns/net", self.caller.pid())).args(program);
        nsenter.stdin(Stdio::null()).output().unwrap()
    }

    /// The rules as the kernel has them, if there are any.
    fn table(&self) -> Option<String> {
        let output = self.in_network(&["nft", "list", "table", "inet", "sealock_forwarder"]);
        output.status.success().then(|| text(&output.stdout))
    }

    /// curl as the app: status, body. Status 0 is none.
    pub(crate) fn curl(&self, arguments: &[&str]) -> (u32, String) {
        self.curl_as("root", arguments)
    }

    fn curl_as(&self, user: &str, arguments: &[&str]) -> (u32, String) {
        let mut line = vec!["setpriv", "--reuid", user, "curl", "--silent", "--max-time", "20"];
        line.extend(["--noproxy", "*", "--write-out", "\n%{http_code}"]);
        line.extend(arguments);
        let said = text(&self.in_network(&line).stdout);
        let (body, status) = said.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// A call of the service's name, at the address that is dialled for it.
    fn call(&self, at: &str, path: &str) -> (u32, String) {
        let name = &self.service.name;
        self.curl(&["--resolve", &format!("{name}:80:{at}"), &format!("http://{name}{path}")])
    }

    fn ip(&self) -> &str {
        self.service.address.rsplit_once(':').unwrap().0
    }

    /// What the other side says to these bytes.
    pub(crate) fn bytes(&self, to: &str, port: u16, bytes: &str) -> String {
        let program = "import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 20) as it:
    said = b''
    try:
        it.sendall(sys.argv[3].encode().decode('unicode_escape').encode('latin1'))
        it.shutdown(socket.SHUT_WR)
        while data := it.recv(4096): said += data
    except OSError: pass
    sys.stdout.buffer.write(said)";
        let output = self.in_network(&["python3", "-c", program, to, &port.to_string(), bytes]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }
}

fn inside(container: &Container, program: &[&str]) -> Running {
    let mut nsenter = Command::new("nsenter");
    nsenter.arg(format!("--net=/proc/{}/ns/net", container.pid())).args(program);
    Running(nsenter.stdin(Stdio::null()).spawn().unwrap())
}

pub(crate) fn served(scene: &Scene) {
    let seen = until("the Gatekeeper to know", PATIENCE, || {
        let (status, body) = scene.call(scene.ip(), "/v1/a?q=1");
        (status == 200).then_some(body)
    });
    assert!(seen.starts_with("GET /v1/a?q=1 HTTP/1.1"), "{seen}");
    let head = seen.to_ascii_lowercase();
    assert!(head.contains("x-sealock-identity: spiffe://test.sealock/service/shop"), "{seen}");
}

#[test]
fn an_apps_plain_call_is_taken_and_nothing_else_is_led_anywhere() {
    if skip() {
        return;
    }
    let scene = Scene::start();
    let direct = format!("{}:80", scene.other);
    let forwarder = scene.forwarder(&["--set-rules", "--exempt", MARK, "--redirect-port", "80"]);
    until("the rules", PATIENCE, || scene.table());
    served(&scene);
    assert_eq!(scene.call(scene.ip(), "/admin").0, 403);
    // A program of the container that shares the network, by the name that it was given.
    let name = &scene.service.name;
    let said = scene.caller.output(&["wget", "-q", "-O-", &format!("http://{name}/v1/b")]);
    assert!(said.contains("GET /v1/b HTTP/1.1"), "{said}");

    // The name with another address, and the address with another name (DNS rebinding): neither is the service.
    let (status, body) = scene.call(&scene.other, "/v1/a");
    assert!(status == 403 && body.contains("other_address"), "{status} {body}");
    for host in ["evil.example", "169.254.169.254", "orders", "localhost"] {
        let (status, body) =
            scene.curl(&["-H", &format!("Host: {host}"), &format!("http://{}/v1/a", scene.ip())]);
        assert!(status == 403 && body.contains("not_listed"), "{host}: {status} {body}");
    }
    let port = format!("Host: {name}:8000");
    let (status, body) = scene.curl(&["-H", &port, &format!("http://{}/v1/a", scene.ip())]);
    assert!(status == 400 && body.contains("two_destinations"), "{status} {body}");
    for url in ["http://169.254.169.254/latest/meta-data", &format!("http://{}/", scene.other)] {
        let (status, body) = scene.curl(&[url]);
        assert!(status == 403 && body.contains("not_listed"), "{url}: {status} {body}");
    }
    // The address in IPv6 is taken as well.
    let ip = ["ip", "-6", "address", "add", "fd00:5ea1::1/64", "dev", "eth0", "nodad"];
    assert!(scene.in_network(&ip).status.success());
    let (status, body) = scene.call("[fd00:5ea1::2]", "/v1/a");
    assert!(status == 403 && body.contains("other_address"), "{status} {body}");

    // What is not HTTP is closed, with a line in the log.
    assert_eq!(scene.bytes(&scene.other, 80, "\\x16\\x03\\x01 a handshake"), "");
    assert!(scene.log().contains("it is not HTTP"), "{}", scene.log());
    // Ports that are not taken, and this host's own addresses, are as without us.
    assert!(scene.bytes(&scene.other, 81, "x").starts_with("hello\n"));
    let own = inside(&scene.caller, &["python3", "-c", OTHER, "0.0.0.0", "80"]);
    let own_ip = scene.caller.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}");
    for address in own_ip.split_whitespace().chain(["127.0.0.1"]) {
        let seen = until("the app's own server", PATIENCE, || {
            let (status, body) = scene.curl(&[&format!("http://{address}/")]);
            (status == 200).then_some(body)
        });
        assert!(seen.starts_with("other "), "{address}: {seen}");
    }
    drop(own);
    // Our port by itself leads nowhere.
    for address in ["127.0.0.1", "::1"] {
        let text = format!("GET /v1/a HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n");
        assert_eq!(scene.bytes(address, PORT, &text), "", "{address}");
    }
    assert!(scene.log().contains("leads nowhere"), "{}", scene.log());

    // Killed, it leaves the rules, and nobody gets past; the next start heals; an orderly end removes them.
    forwarder.kill();
    assert!(scene.table().is_some());
    assert_eq!(scene.call(scene.ip(), "/v1/a").0, 0);
    assert_eq!(scene.curl(&[&format!("http://{}/", scene.other)]).0, 0);
    let more = ["--set-rules", "--exempt", MARK, "--direct", &direct];
    let forwarder = scene.forwarder(&more);
    served(&scene);
    assert_eq!(scene.table().unwrap().matches("redirect").count(), 1, "{:?}", scene.table());
    // To an address that is allowed everything goes on as it is, without a token.
    let (status, seen) = scene.curl(&[&format!("http://{}/", scene.other)]);
    assert!(status == 200 && seen.starts_with("other "), "{status} {seen}");
    assert!(!seen.to_ascii_lowercase().contains("authorization"), "{seen}");
    let (status, seen) = scene.call(&scene.other, "/v1/a");
    assert!(status == 200 && seen.starts_with("other ") && !seen.contains("Bearer"), "{seen}");
    assert!(scene.bytes(&scene.other, 80, "NONSENSE\\r\\n\\r\\n").contains("400"));
    assert_eq!(forwarder.stop(), Some(0));
    assert_eq!(scene.table(), None);
    let (status, seen) = scene.curl(&[&format!("http://{}/", scene.other)]);
    assert!(status == 200 && seen.starts_with("other "), "{status} {seen}");
    let log = scene.log();
    assert!(
        log.contains("\"path\":\"/v1/a\"") && !log.contains("q=1") && !log.contains("Bearer"),
        "{log}"
    );
}

#[test]
fn rules_that_are_printed_exempt_a_user_and_a_server_may_speak_first() {
    if skip() {
        return;
    }
    let scene = Scene::start();
    // We run as root here, so apps are who does not.
    let printed = scene.home.ok(&[
        "forwarder",
        "--transparent",
        "--redirect-port",
        "80",
        "--redirect-port",
        "81",
        "--exempt",
        "uid:0",
        "--print-rules",
    ]);
    let file = scene.home.write("rules.nft", &printed);
    for _ in 0..2 {
        let set = scene.in_network(&["nft", "-f", &file]);
        assert!(set.status.success(), "{}", text(&set.stderr));
    }
    let direct = format!("{}:81", scene.other);
    let forwarder = scene.forwarder(&["--direct", &direct]);
    let (url, name) = (format!("http://{}/", scene.other), &scene.service.name);
    let seen = until("the other server", PATIENCE, || {
        let (status, body) = scene.curl_as("root", &[&url]);
        (status == 200).then_some(body)
    });
    assert!(seen.starts_with("other "), "{seen}");
    let (status, body) = scene.curl_as("65534", &[&url]);
    assert!(status == 403 && body.contains("not_listed"), "{status} {body}");
    let resolve = format!("{name}:80:{}", scene.ip());
    until("the Gatekeeper to know", PATIENCE, || {
        let call = ["--resolve", &resolve, &format!("http://{name}/v1/a")];
        (scene.curl_as("65534", &call).0 == 200).then_some(())
    });
    // The server speaks first, and so the app does not say what it speaks.
    let mut line = Command::new("nsenter");
    line.arg(format!("--net=/proc/{}/ns/net", scene.caller.pid()));
    line.args(["setpriv", "--reuid", "65534", "busybox", "nc", &scene.other, "81"]);
    let mut app = Running(line.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let mut said = app.0.stdout.take().unwrap();
    let mut greeting = [0; 6];
    said.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"hello\n");
    app.0.stdin.take().unwrap().write_all(b"and back").unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "and back", "{}", scene.log());
    assert_eq!(forwarder.stop(), Some(0));
    assert!(scene.table().is_some(), "who has set them removes them");
}

#[test]
fn what_transparent_mode_cannot_do_is_one_clear_error() {
    if skip_without(&["curl"]) {
        return;
    }
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    for (arguments, hint) in [
        (&["--print-rules"][..], "--transparent goes with it"),
        (&["--transparent", "--print-rules", "--set-rules"], "cannot be used with"),
        (&["--transparent", "--exempt", "me"], "must be uid:N or mark:N"),
        (&["--transparent", "--exempt", "mark:0", "--print-rules"], "the mark 0"),
        (&["--transparent", "10.0.0.1:15001"], "is not on it"),
        (&["--transparent", "0.0.0.0:15001"], "is not on it"),
        (&["--transparent", "--redirect-port", "0"], "0"),
        (&["--transparent", "--direct", "10.0.0.1/8:80"], "no bits set beyond"),
        (&["--transparent", "--direct", "orders:80"], "no bits set beyond"),
        (&["--listen", "127.0.0.1:0", "--intercept", "a.internal=orders"], "--intercept-ca-out"),
    ] {
        let said = home.fails(64, &[&["forwarder"], arguments].concat());
        assert!(said.contains(hint), "{arguments:?}: {said}");
    }
    let said = home.fails(1, &["forwarder", "--transparent", &at]);
    assert!(said.contains("cannot listen on"), "{said}");
    assert!(TcpStream::connect(taken.local_addr().unwrap()).is_ok());
}
