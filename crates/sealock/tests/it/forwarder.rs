//! A Forwarder on a laptop: curl calls a service through it, by what the person or program is.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use sealock_testkit::docker::try_docker;
use sealock_testkit::wait::until;

use crate::chain::free;
use crate::gatekeeper::{Service, rules, skip};
use crate::gateway::{home, permit};
use crate::support::{Daemon, Home, PATIENCE, text};
use crate::tokens::{api, gets};

struct Forwarder {
    proxy: u16,
    port: u16,
    process: Daemon,
}

impl Forwarder {
    fn start(home: &Home, service: &Service, more: &[&str]) -> Self {
        let (proxy, port) = (free(), free());
        let log = fs::File::create(home.path("forwarder.log")).unwrap();
        let mut command = home.command();
        command.arg("forwarder").args(["--listen", &format!("127.0.0.1:{proxy}")]);
        command.args(["--route", &format!("127.0.0.1:{port}={}", service.name)]);
        command.args(["--service", &format!("{}={}", service.name, service.address)]).args(more);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = Daemon::of(command.spawn().unwrap());
        until("the Forwarder", PATIENCE, || {
            std::net::TcpStream::connect(("127.0.0.1", proxy)).ok().map(drop)
        });
        Self { proxy, port, process }
    }

    /// curl through the proxy: status, body.
    fn through(&self, url: &str) -> (u32, String) {
        call(&["--proxy", &format!("http://127.0.0.1:{}", self.proxy), url])
    }

    /// curl at the local port.
    fn at_port(&self, path: &str) -> (u32, String) {
        call(&[&format!("http://127.0.0.1:{}{path}", self.port)])
    }
}

fn call(arguments: &[&str]) -> (u32, String) {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "20", "--noproxy", "", "--write-out", "\n%{http_code}"]);
    let output = curl.args(arguments).output().unwrap();
    let said = text(&output.stdout);
    let (body, status) = said.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

fn identity(home: &Home, name: &str) -> String {
    let uri = format!("spiffe://test.sealock/service/{name}");
    home.ok(&["cert", "issue", name, "--usage", "client", "--uri", &uri, "--out", name]);
    home.path(name).display().to_string()
}

#[test]
fn curl_calls_through_a_forwarder_and_the_broker_may_be_away() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let service = Service::start_tls(&home);
    permit(&home, &rules(&service.name));
    let port = api(&home).rsplit_once(':').unwrap().1.to_owned();
    let (shop, broker) = (identity(&home, "shop"), format!("https://localhost:{port}"));
    let metrics = free();
    let more = ["--identity", &shop, "--broker", &broker, "--metrics", &metrics.to_string()];
    let forwarder = Forwarder::start(&home, &service, &more);
    let url = |path: &str| format!("http://{}{path}", service.name);
    let seen = until("the Gatekeeper to know", PATIENCE, || {
        let (status, body) = forwarder.through(&url("/v1/a?q=1"));
        (status == 200).then_some(body)
    });
    assert!(seen.starts_with("GET /v1/a?q=1 HTTP/1.1"), "{seen}");
    let head = seen.to_ascii_lowercase();
    assert!(head.contains("x-sealock-identity: spiffe://test.sealock/service/shop"), "{seen}");
    assert!(!head.contains("authorization") && !head.contains("proxy-"), "{seen}");
    assert_eq!(forwarder.at_port("/v1/b").0, 200);
    assert_eq!(forwarder.at_port("/admin").0, 403);
    assert_eq!(forwarder.through(&url("/admin")).0, 403);
    // Nobody else is called, whatever a name leads to.
    for target in [
        "http://example.invalid/",
        "http://169.254.169.254/latest/meta-data",
        &format!("http://127.0.0.1:{}/", forwarder.proxy),
    ] {
        let (status, body) = forwarder.through(target);
        assert!([403, 502].contains(&status), "{target}: {status} {body}");
    }
    let shown = |path: &str| call(&[&format!("http://127.0.0.1:{metrics}{path}")]);
    assert_eq!((shown("/live").0, shown("/ready").0, shown("/").0), (200, 200, 404));
    let figures = shown("/metrics").1;
    for figure in [
        "sealock_forwarder_requests_total{outcome=\"denied\"} 3",
        "sealock_forwarder_token_fetches_total{outcome=\"came\"} 1",
        "sealock_forwarder_running 0",
    ] {
        assert!(figures.lines().any(|line| line == figure), "{figure} is not in\n{figures}");
    }
    // The token is bound to the certificate of ours: taken from the wire it is worth nothing.
    let stolen =
        home.ok(&["token", "--audience", &service.name, "--bind", &format!("{shop}/tls.crt")]);
    let direct = call(&[
        "--insecure",
        "--header",
        &format!("Authorization: Bearer {stolen}"),
        &format!("https://{}/v1/a", service.address),
    ]);
    assert_eq!(direct.0, 401, "{}", direct.1);

    // Nothing that was allowed stops when the broker does.
    daemon.kill();
    for _ in 0..10 {
        assert_eq!(forwarder.at_port("/v1/c").0, 200);
        std::thread::sleep(Duration::from_millis(100));
    }
    let daemon = home.up();
    assert_eq!(forwarder.at_port("/v1/d").0, 200);
    assert_eq!(forwarder.process.stop(), Some(0));
    let log = fs::read_to_string(home.path("forwarder.log")).unwrap();
    assert!(log.contains("\"path\":\"/v1/b\"") && !log.contains("q=1") && !log.contains("Bearer"));
    assert_eq!(daemon.stop(), Some(0));
    let _ = try_docker(&["logs", service.guard.id()]);
}

#[test]
fn with_a_clients_secret_too() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let service = Service::start_tls(&home);
    permit(&home, &(rules(&service.name) + &gets("bank", &service.name)));
    home.ok(&["client", "add", "shop", "--secret-out", "secret"]);
    let ca = home.write("ca.pem", &home.ok(&["ca", "bundle"]));
    let secret = home.path("secret").display().to_string();
    let port = api(&home).rsplit_once(':').unwrap().1.to_owned();
    let broker = format!("https://localhost:{port}");
    let more = ["--broker", &broker, "--ca", &ca, "--client", "shop", "--secret-file", &secret];
    let forwarder = Forwarder::start(
        &home,
        &service,
        &[&more[..], &["--trust-domain", "test.sealock"]].concat(),
    );
    let seen = until("the Gatekeeper to know", PATIENCE, || {
        let (status, body) = forwarder.at_port("/v1/a");
        (status == 200).then_some(body)
    });
    assert!(seen.contains("spiffe://test.sealock/service/shop"), "{seen}");
    assert_eq!(forwarder.process.stop(), Some(0));
    // Settings that contradict each other are one clear error.
    for (arguments, hint) in [
        (&["forwarder"][..], "--listen ADDRESS:PORT"),
        (
            &["forwarder", "--no-directory", "--route", "127.0.0.1:0=orders"],
            "--service orders=HOST:PORT",
        ),
        (&["forwarder", "--listen", "127.0.0.1:0", "--broker", "https://x:1"], "--identity DIR"),
        (&["forwarder", "--listen", "127.0.0.1:0", "--plain", "orders=10.0.0.1:80"], "clear text"),
        (
            &["gatekeeper", "--service", "x", "--listen", "127.0.0.1:0", "--upstream", "ftp://x"],
            "http://HOST:PORT",
        ),
    ] {
        let said = home.fails(64, arguments);
        assert!(said.contains(hint), "{arguments:?}: {said}");
    }
    assert_eq!(daemon.stop(), Some(0));
}
