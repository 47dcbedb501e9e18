//! Programs by others at both ends: Envoy verifies our tokens, WebSockets and a browser go through a Forwarder and a
//! Gatekeeper.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use sealock_testkit::clients::skip_without;
use sealock_testkit::wait::until;
use serde_json::json;

use crate::chain::free;
use crate::gatekeeper::rules;
use crate::gateway::{home, permit};
use crate::secrets::fed;
use crate::support::{Daemon, Home, PATIENCE, text};
use crate::tokens::api;

/// An app at a port that the system chooses, which is its first line. It is ended with this.
struct App {
    child: Child,
    port: u16,
}

impl App {
    fn start(program: &str, script: &str) -> Self {
        let mut command = Command::new(program);
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn started(home: &Home, mut command: Command, log: &str, port: u16) -> Daemon {
    let log = fs::File::create(home.path(log)).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let daemon = Daemon::of(command.spawn().unwrap());
    until("it to listen", PATIENCE, || TcpStream::connect(("127.0.0.1", port)).ok().map(drop));
    daemon
}

/// `orders` behind its Gatekeeper, and a Forwarder of `shop`, all on loopback.
struct Chain {
    proxy: u16,
    port: u16,
    gatekeeper: Daemon,
    forwarder: Daemon,
}

impl Chain {
    fn start(home: &Home, app: u16) -> Self {
        let broker = format!("https://localhost:{}", api(home).rsplit_once(':').unwrap().1);
        let identity = |name: &str| {
            let uri = format!("spiffe://test.sealock/service/{name}");
            home.ok(&["cert", "issue", name, "--uri", &uri, "--out", name]);
            home.path(name).display().to_string()
        };
        let (guarded, proxy, port) = (free(), free(), free());
        let mut gatekeeper = home.command();
        gatekeeper.args(["gatekeeper", "--service", "orders", "--broker", &broker]);
        gatekeeper.args(["--listen", &format!("127.0.0.1:{guarded}")]);
        gatekeeper.args(["--upstream", &format!("http://127.0.0.1:{app}")]);
        gatekeeper.args(["--identity", &identity("orders")]);
        let gatekeeper = started(home, gatekeeper, "gatekeeper.log", guarded);
        let mut forwarder = home.command();
        forwarder.args(["forwarder", "--broker", &broker, "--identity", &identity("shop")]);
        forwarder.args(["--listen", &format!("127.0.0.1:{proxy}")]);
        forwarder.args(["--route", &format!("127.0.0.1:{port}=orders")]);
        forwarder.args(["--service", &format!("orders=127.0.0.1:{guarded}")]);
        let forwarder = started(home, forwarder, "forwarder.log", port);
        until("the Gatekeeper to know", PATIENCE, || {
            (status(&[&format!("http://127.0.0.1:{port}/v1/")]) == "200").then_some(())
        });
        Self { proxy, port, gatekeeper, forwarder }
    }

    fn stop(self) {
        assert_eq!(self.forwarder.stop(), Some(0));
        assert_eq!(self.gatekeeper.stop(), Some(0));
    }
}

/// curl's status for a call.
fn status(arguments: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "20", "--noproxy", "*", "--output", "/dev/null"]);
    text(&curl.args(["--write-out", "%{http_code}"]).args(arguments).output().unwrap().stdout)
}

/// Answers everything with its path.
const HTTP: &str = "
import http.server
class App(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *_):
        pass
    def do_GET(self):
        body = self.path.encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), App)
print(server.server_port, flush=True)
server.serve_forever()
";

#[test]
fn envoy_verifies_our_tokens_by_the_keys_that_we_publish() {
    if skip_without(&["curl", "envoy", "python3"]) {
        return;
    }
    let home = home();
    let daemon = home.up();
    permit(
        &home,
        "permit (principal, action == Sealock::Action::\"Token::Issue\", resource is Sealock::Service);\n",
    );
    let token = |audience: &str| home.ok(&["token", "--audience", audience]).trim().to_owned();
    let app = App::start("python3", HTTP);
    let port = free();
    let shown = fed(&home, &["--json", "token", "show"], token("orders").as_bytes());
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let issuer = shown["claims"]["iss"].as_str().unwrap();
    fs::write(home.path("ca.pem"), home.ok(&["ca", "bundle"])).unwrap();
    let broker = api(&home).rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    let settings = envoy(&home, issuer, broker, app.port, port);
    let file = home.write("envoy.json", &settings.to_string());
    let mut envoy = Command::new("envoy");
    envoy.args(["-c", &file, "--log-level", "warn", "--concurrency", "1", "--disable-hot-restart"]);
    let envoy = started(&home, envoy, "envoy.log", port);
    let url = format!("http://127.0.0.1:{port}/v1/a");
    let with = |token: &str| {
        let header = home.write("header", &format!("Authorization: Bearer {token}\n"));
        status(&["--header", &format!("@{header}"), &url])
    };
    until("Envoy to have the keys", PATIENCE, || (with(&token("orders")) == "200").then_some(()));
    assert_eq!(status(&[&url]), "401");
    assert_eq!(with(&token("billing")), "403", "of another audience");
    let good = token("orders");
    let (head, signature) = good.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    assert_eq!(with(&format!("{head}.{other}{}", &signature[1..])), "401");
    // A new key is published before it signs: whoever keeps keys for a minute meets no unknown one.
    home.ok(&["token", "rotate-key"]);
    assert_eq!(with(&token("orders")), "200");
    assert_eq!(with(&good), "200");
    drop(envoy);
    assert_eq!(daemon.stop(), Some(0));
}

/// Envoy before an app, which gets the broker's keys over TLS.
fn envoy(home: &Home, issuer: &str, broker: u16, app: u16, port: u16) -> serde_json::Value {
    const TYPES: &str = "type.googleapis.com/envoy.extensions";
    let at = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let cluster = |name: &str, port: u16| {
        json!({"name": name, "type": "STATIC", "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(port)}}]}],
        }})
    };
    let mut keys = cluster("broker", broker);
    keys["transport_socket"] = json!({"name": "tls", "typed_config": {
        "@type": format!("{TYPES}.transport_sockets.tls.v3.UpstreamTlsContext"),
        "sni": "localhost",
        "common_tls_context": {"validation_context": {
            "trusted_ca": {"filename": home.path("ca.pem")},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "localhost"}}],
        }},
    }});
    let tokens = json!({
        "@type": format!("{TYPES}.filters.http.jwt_authn.v3.JwtAuthentication"),
        "providers": {"sealock": {
            "issuer": issuer,
            "audiences": ["spiffe://test.sealock/service/orders"],
            "remote_jwks": {
                "http_uri": {
                    "uri": format!("https://localhost:{broker}/oauth/jwks"),
                    "cluster": "broker",
                    "timeout": "5s",
                },
                "cache_duration": "60s",
            },
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "sealock"}}],
    });
    let routes = json!({"virtual_hosts": [{
        "name": "all",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}],
    }]});
    let manager = json!({
        "@type": format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "in",
        "route_config": routes,
        "http_filters": [
            {"name": "envoy.filters.http.jwt_authn", "typed_config": tokens},
            {"name": "envoy.filters.http.router", "typed_config": {
                "@type": format!("{TYPES}.filters.http.router.v3.Router"),
            }},
        ],
    });
    let chain = json!({"filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": manager,
    }]});
    json!({"static_resources": {
        "listeners": [{"name": "in", "address": at(port), "filter_chains": [chain]}],
        "clusters": [cluster("app", app), keys],
    }})
}

/// A WebSocket's other end: what comes goes back. Anything else is answered.
const ECHO: &str = "
import asyncio, http, websockets
from websockets.asyncio.server import serve
def plain(connection, request):
    if request.headers.get('Upgrade') is None:
        return connection.respond(http.HTTPStatus.OK, 'plain')
async def echo(socket):
    async for message in socket:
        await socket.send(message)
    await socket.wait_closed()
async def main():
    async with serve(echo, '127.0.0.1', 0, process_request=plain, max_size=1 << 24) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()
asyncio.run(main())
";

/// The near end: messages of all kinds and sizes, in pieces, with and without compression; pings; a close with a reason.
const TALK: &str = "
import asyncio, os, sys
from websockets.asyncio.client import connect
async def talk(compression):
    url = f'ws://127.0.0.1:{sys.argv[1]}/v1/live'
    async with connect(url, compression=compression, max_size=1 << 24, proxy=None) as socket:
        for size in [0, 1, 125, 126, 65535, 65536, 1 << 20, 9 << 20]:
            data = os.urandom(size)
            await socket.send(data)
            assert await socket.recv() == data, size
        for text in ['', 'hello', '\\u00fc\\u20ac\\U0001f512' * 1000]:
            await socket.send(text)
            assert await socket.recv() == text
        pieces = [os.urandom(1000) for _ in range(50)]
        await socket.send(pieces)
        assert await socket.recv() == b''.join(pieces)
        for _ in range(20):
            await (await socket.ping(os.urandom(125)))
        many = [os.urandom(300) for _ in range(2000)]
        async def send():
            for data in many:
                await socket.send(data)
        sending = asyncio.create_task(send())
        for data in many:
            assert await socket.recv() == data
        await sending
        await socket.close(4001, 'enough')
        assert (socket.close_code, socket.close_reason) == (4001, 'enough')
async def main():
    async with asyncio.timeout(60):
        await asyncio.gather(*(talk(how) for how in [None, 'deflate'] * 4))
asyncio.run(main())
print('done')
";

#[test]
fn websockets_go_through_with_messages_of_all_kinds() {
    if skip_without(&["curl", "python-with-websockets"]) {
        return;
    }
    let home = home();
    let daemon = home.up();
    permit(&home, &rules("orders"));
    let app = App::start("python-with-websockets", ECHO);
    let chain = Chain::start(&home, app.port);
    let mut talk = Command::new("python-with-websockets");
    let said = talk.args(["-c", TALK, &chain.port.to_string()]).output().unwrap();
    assert_eq!(text(&said.stdout).trim(), "done", "{}", text(&said.stderr));
    chain.stop();
    assert_eq!(daemon.stop(), Some(0));
}

/// A page that asks for more, by script.
const PAGE: &str = "
import http.server
PAGE = b'''<!doctype html><p id=said>nothing yet</p><script>
Promise.all([...Array(12).keys()].map(n => fetch('/v1/more?' + n).then(r => r.text()))).then(all =>
  fetch('/admin').then(r => { document.getElementById('said').textContent = all.join() + ' and ' + r.status }))
</script>'''
class App(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *_):
        pass
    def do_GET(self):
        page = self.path in ('/v1/', '/v1/page')
        body = PAGE if page else (self.path[9:] + self.headers['X-Sealock-Identity'][-4:]).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'text/html' if page else 'text/plain')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), App)
print(server.server_port, flush=True)
server.serve_forever()
";

#[test]
fn a_browser_with_a_proxy_setting_just_works() {
    if skip_without(&["curl", "python3", "chromium-headless-shell"]) {
        return;
    }
    let home = home();
    let daemon = home.up();
    permit(&home, &rules("orders"));
    let app = App::start("python3", PAGE);
    let chain = Chain::start(&home, app.port);
    let mut browser = Command::new("chromium-headless-shell");
    browser.args([
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--virtual-time-budget=20000",
    ]);
    browser.arg(format!("--user-data-dir={}", home.path("browser").display()));
    browser.arg(format!("--proxy-server=http://127.0.0.1:{}", chain.proxy));
    browser.args(["--timeout=30000", "--dump-dom", "http://orders/v1/page"]);
    let said = browser.stdin(Stdio::null()).output().unwrap();
    let page = text(&said.stdout);
    let all: Vec<String> = (0..12).map(|number| format!("{number}shop")).collect();
    let wanted = format!("{} and 403", all.join(","));
    assert!(page.contains(&wanted), "{page}\n{}", text(&said.stderr));
    chain.stop();
    assert_eq!(daemon.stop(), Some(0));
}
