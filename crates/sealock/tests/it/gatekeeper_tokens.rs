//! Which tokens a Gatekeeper takes beyond the usual ones: EdDSA, JWT-SVIDs, and those of another server over HTTPS.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use sealock_testkit::clients::skip_without;
use serde_json::{Value, json};

use crate::chain::free;
use crate::gatekeeper::rules;
use crate::gatekeeper_alone::{World, call, skip};
use crate::gateway::{home, permit};
use crate::support::{Home, text};
use crate::tokens::{answer, curl};

const PYTHON: &str = "python-with-jwt";

/// What PyJWT makes of a token by the key set that the broker publishes: header and claims.
pub(crate) fn by_pyjwt(home: &Home, token: &str) -> Value {
    let keys = answer(&curl(home, "/oauth/jwks", &[]));
    let metadata = answer(&curl(home, "/.well-known/oauth-authorization-server", &[]));
    let question = json!({
        "do": "verify", "keys": keys.to_string(), "token": token, "issuer": metadata["issuer"],
        "audience": "spiffe://test.sealock/service/orders",
    });
    let mut python = Command::new(PYTHON);
    python.args(["-c", include_str!("../../../traffic/tests/interop/peer.py")]);
    python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = python.spawn().unwrap();
    serde_json::to_writer(child.stdin.take().unwrap(), &question).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn by_option_tokens_are_signed_with_eddsa_and_taken_by_pyjwt_and_a_gatekeeper() {
    if skip() || skip_without(&[PYTHON]) {
        return;
    }
    let mut home = Home::new();
    home.set(&[("SEALOCK_TRAFFIC_ALGORITHM", "EdDSA")]);
    home.ok(&["init", "--trust-domain", "test.sealock"]);
    let world = World::of(home, &rules("orders"));
    let said = by_pyjwt(&world.home, &world.token);
    assert_eq!(
        (&said["header"]["alg"], &said["header"]["typ"]),
        (&"EdDSA".into(), &"at+jwt".into())
    );
    assert_eq!(said["claims"]["sub"], "spiffe://test.sealock/service/shop");
    let keys = world.home.ok(&["token", "keys"]);
    assert!(keys.contains("EdDSA") && !keys.contains("ES256"), "{keys}");
    let port = free();
    let guard = world.gatekeeper("guard.log", &["--listen", &format!("127.0.0.1:{port}")]);
    world.until_served(port);
    // The last letter of a signature stands for its last bits.
    let (rest, signature) = world.token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let bent = call(port, "/v1/a", &format!("{rest}.{first}{}", &signature[1..])).unwrap();
    assert!(bent.starts_with("HTTP/1.1 401 "), "{bent}");
    assert_eq!(guard.stop(), Some(0));
    assert_eq!(world.daemon.stop(), Some(0));
}

#[test]
fn a_jwt_svid_of_the_broker_is_one_and_is_taken_by_pyjwt_and_a_gatekeeper() {
    if skip() || skip_without(&[PYTHON]) {
        return;
    }
    let world = World::of(home(), &rules("orders"));
    let token = world.home.ok(&["token", "--audience", "orders", "--jwt-svid", "--ttl", "1m"]);
    let said = by_pyjwt(&world.home, token.trim());
    let (header, claims) = (&said["header"], &said["claims"]);
    // JWT-SVID §2 and §3: nothing else in the header, a SPIFFE ID, one audience, an end.
    assert_eq!((&header["alg"], &header["typ"]), (&"ES256".into(), &"JWT".into()), "{said}");
    assert_eq!(header.as_object().unwrap().len(), 3, "{said}");
    assert_eq!(claims["sub"], "spiffe://test.sealock/human/admin");
    assert_eq!(claims["aud"], "spiffe://test.sealock/service/orders");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
    assert_eq!(claims["client_id"], Value::Null, "that is of RFC 9068");
    // Which groups an administrator is in is not told to a Gatekeeper, so there is a rule for the person.
    let admin = "permit (principal == Sealock::Human::\"admin\", \
                 action == Sealock::Action::\"Http::Call\", resource == Sealock::Service::\"orders\");\n";
    permit(&world.home, &(rules("orders") + admin));
    let port = free();
    let guard = world.gatekeeper("guard.log", &["--listen", &format!("127.0.0.1:{port}")]);
    world.until_served(port);
    let taken = call(port, "/v1/a", token.trim()).unwrap();
    assert!(taken.starts_with("HTTP/1.1 200 "), "{taken}");
    assert!(taken.contains("x-sealock-identity: spiffe://test.sealock/human/admin"), "{taken}");
    assert_eq!(guard.stop(), Some(0));
    assert_eq!(world.daemon.stop(), Some(0));
}

/// Another authorization server: Python's TLS, and nobody gets in without a certificate of its authority. It says on
/// stdout where it is, and then of each question who asked.
const IDP: &str = r#"
import http.server, json, ssl, sys, urllib.parse
class Idp(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass
    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers['Content-Length'])).decode())
        names = self.connection.getpeercert()['subjectAltName']
        print(json.dumps({'path': self.path, 'form': form, 'by': names}), flush=True)
        said = {'active': form['token'] == ['corporate-1']}
        if said['active']:
            said.update(username='shop', aud='orders')
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
own, roots = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(own + '/tls.crt', own + '/tls.key')
context.load_verify_locations(roots)
context.verify_mode = ssl.CERT_REQUIRED
class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass
    def get_request(self):
        connection, address = super().get_request()
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address
server = Server(('127.0.0.1', 0), Idp)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

struct Idp {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    url: String,
}

impl Idp {
    /// With a certificate of this authority.
    fn start(authority: &Home) -> Self {
        let folder = |name: &str| authority.path(name).display().to_string();
        authority.ok(&["cert", "issue", "localhost", "--usage", "server", "--out", "idp"]);
        let mut python = Command::new("python3");
        python.args(["-c", IDP, &folder("idp"), &folder("idp/ca.crt")]);
        let mut process = python.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap();
        Self { process, lines, url: format!("https://localhost:{port}/introspect") }
    }

    /// The next question that it was asked.
    fn asked(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn another_server_is_asked_over_https_by_its_own_roots_and_with_a_certificate() {
    if skip() {
        return;
    }
    let world = World::of(home(), &rules("orders"));
    let corporate = Home::new();
    corporate.ok(&["init", "--trust-domain", "corp.example"]);
    let uri = "spiffe://corp.example/service/gate";
    corporate.ok(&["cert", "issue", "gate", "--usage", "client", "--uri", uri, "--out", "gate"]);
    let mut idp = Idp::start(&corporate);
    let roots = corporate.path("gate/ca.crt").display().to_string();
    let ours = world.home.write("ours.pem", &world.home.ok(&["ca", "bundle"]));
    let shown = corporate.path("gate").display().to_string();
    let url = idp.url.clone();
    let serving = |log: &str, more: &[&str]| {
        let port = free();
        let listen = format!("127.0.0.1:{port}");
        let all = [
            &["--listen", listen.as_str(), "--introspect", &url, "--introspect-audience", "orders"],
            &["--introspect-identity", "service/{username}"][..],
            more,
        ];
        let guard = world.gatekeeper(log, &all.concat());
        world.until_served(port);
        (guard, port)
    };
    // Whoever answers must be of the authority that was named, and wants to know who asks.
    for (log, more) in [
        ("stranger.log", &["--introspect-ca", ours.as_str(), "--introspect-cert", &shown][..]),
        ("nobody.log", &["--introspect-ca", &roots]),
    ] {
        let (guard, port) = serving(log, more);
        let refused = call(port, "/v1/a", "corporate-1").unwrap();
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
        assert!(refused.contains("introspection_failed"), "{refused}");
        assert_eq!(guard.stop(), Some(0));
    }
    // By the roots that are named, and by those that are in the folder.
    for (log, more) in [
        ("named.log", &["--introspect-ca", roots.as_str(), "--introspect-cert", &shown][..]),
        ("folder.log", &["--introspect-cert", &shown]),
    ] {
        let (guard, port) = serving(log, more);
        let taken = call(port, "/v1/a", "corporate-1").unwrap();
        assert!(taken.starts_with("HTTP/1.1 200 "), "{taken}");
        let told = "x-sealock-identity: spiffe://test.sealock/service/shop";
        assert!(taken.contains(told) && !taken.contains("corporate-1"), "{taken}");
        let refused = call(port, "/v1/a", "made-up").unwrap();
        assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
        // The first question of all is this one: the others never got there.
        for token in ["corporate-1", "made-up"] {
            let asked = idp.asked();
            assert_eq!(
                (&asked["path"], &asked["form"]["token"][0]),
                (&"/introspect".into(), &token.into())
            );
            assert_eq!(asked["by"], json!([["URI", uri]]));
        }
        assert_eq!(guard.stop(), Some(0));
        let log = fs::read_to_string(world.home.path(log)).unwrap();
        assert!(!log.contains("corporate-1") && !log.contains("made-up"), "{log}");
    }
    assert_eq!(world.daemon.stop(), Some(0));
}
