//! A Gatekeeper and a Forwarder with a state of their own, as on another host: they hear of a CA that is revoked, and of a single
//! certificate, by the broker's signed feed.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use sealock_testkit::clients::{skip_without, skip_without_engine};
use sealock_testkit::wait::until;

use crate::chain::{
    App, Forwarder, broker, drops_within_a_second, free, identity, may_call, started,
};
use crate::gateway::{home, permit};
use crate::support::{Daemon, Home, PATIENCE, text};
use crate::tokens::{answer, curl};

const ORDERS: &str = "spiffe://test.sealock/service/orders";

fn skip() -> bool {
    skip_without_engine() || skip_without(&["curl"])
}

/// The broker's host, and another one.
struct Scene {
    home: Home,
    daemon: Option<Daemon>,
    away: Home,
    broker: String,
    app: App,
    port: u16,
    /// The serial of `shop`'s certificate.
    serial: String,
}

impl Scene {
    fn start() -> Self {
        let (home, away) = (home(), Home::new());
        let daemon = Some(home.up());
        permit(&home, &may_call("Service::\"shop\""));
        identity(&home, "orders", "orders");
        let (_, serial) = identity(&home, "shop", "shop");
        home.ok(&["client", "add", "shop", "--secret-out", "shop.secret"]);
        let (broker, app, port) = (broker(&home), App::start(), free());
        let scene = Self { home, daemon, away, broker, app, port, serial };
        scene.carry("orders");
        scene.carry("shop");
        scene
    }

    /// Takes an identity's files to the other host.
    fn carry(&self, name: &str) {
        self.copied(name, name);
    }

    fn copied(&self, name: &str, to: &str) {
        let to = self.away.path(to);
        fs::create_dir_all(&to).unwrap();
        for file in ["tls.crt", "tls.key", "ca.crt"] {
            let aside = to.join(format!("{file}.new"));
            fs::copy(self.home.path(name).join(file), &aside).unwrap();
            fs::rename(aside, to.join(file)).unwrap();
        }
    }

    fn there(&self, name: &str) -> String {
        self.away.path(name).display().to_string()
    }

    fn gatekeeper(&self) -> Daemon {
        let mut command = self.away.command();
        command.args(["gatekeeper", "--service", ORDERS, "--broker", &self.broker]);
        command.args(["--identity", &self.there("orders")]);
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        command.args(["--upstream", &format!("http://127.0.0.1:{}", self.app.port)]);
        started(&self.away, command, "gatekeeper.log", self.port)
    }

    fn forwarder(&self) -> Forwarder {
        let (shop, at) = (self.there("shop"), format!("orders=127.0.0.1:{}", self.port));
        let way = ["--identity", &shop, "--broker", &self.broker, "--service", &at];
        Forwarder::start(&self.away, &way)
    }

    fn asked(&self, shown: &[&str]) -> String {
        let data = ["--data", "grant_type=client_credentials", "--data", "audience=orders"];
        let given = answer(&curl(&self.home, "/oauth/token", &[shown, &data].concat()));
        given["access_token"].as_str().unwrap().to_owned()
    }

    /// A token that is bound to the certificate in this folder.
    fn bound(&self, folder: &str) -> String {
        let file = |name: &str| format!("{}/{name}", self.there(folder));
        self.asked(&["--cert", &file("tls.crt"), "--key", &file("tls.key")])
    }

    /// One that is bound to none.
    fn unbound(&self) -> String {
        let secret = fs::read_to_string(self.home.path("shop.secret")).unwrap();
        let config = self.home.write("curlrc", &format!("user = \"shop:{secret}\"\n"));
        self.asked(&["--config", &config])
    }

    fn command(&self, folder: Option<&str>, token: &str, path: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--insecure", "--noproxy", "*", "--http1.1"]);
        if let Some(folder) = folder {
            let file = |name: &str| format!("{}/{name}", self.there(folder));
            curl.args(["--cert", &file("tls.crt"), "--key", &file("tls.key")]);
        }
        curl.args(["--header", &format!("Authorization: Bearer {token}")]);
        curl.arg(format!("https://127.0.0.1:{}{path}", self.port)).stdin(Stdio::null());
        curl
    }

    /// The status that the Gatekeeper answers, and the whole answer.
    fn call(&self, folder: Option<&str>, token: &str) -> (u16, String) {
        let mut curl = self.command(folder, token, "/v1/a");
        curl.args(["--max-time", "20", "--write-out", "\n%{http_code}"]);
        let said = text(&curl.output().unwrap().stdout);
        let (said, status) = said.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), said.to_owned())
    }

    /// A stream that goes on until somebody ends it.
    fn stream(&self, folder: &str, token: &str) -> Stream {
        let before = self.app.calls();
        let mut curl = self.command(Some(folder), token, "/v1/live");
        for field in [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ] {
            curl.args(["--header", field]);
        }
        let child = curl.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("the stream", PATIENCE, || (self.app.calls() > before).then_some(()));
        Stream(child)
    }

    fn until_known(&self, token: &str) {
        until("the Gatekeeper to know", PATIENCE, || {
            (self.call(None, token).0 == 200).then_some(())
        });
    }
}

struct Stream(Child);

impl Stream {
    fn is_open(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_intermediate_that_is_revoked_is_revoked_elsewhere_within_a_second() {
    if skip() {
        return;
    }
    let mut scene = Scene::start();
    let gate = scene.gatekeeper();
    let (bound, unbound) = (scene.bound("shop"), scene.unbound());
    scene.until_known(&unbound);
    let forwarder = scene.forwarder();
    forwarder.until_served();
    assert_eq!(scene.call(Some("shop"), &bound).0, 200);
    scene.copied("shop", "before");
    let mut through = forwarder.websocket();
    let mut direct = scene.stream("shop", &bound);
    assert!(direct.is_open());

    let shown = scene.home.json(&["ca", "show"]);
    let id = shown["intermediates"][0]["id"].as_str().unwrap();
    scene.home.ok(&["ca", "revoke", id, "--reason", "key-compromise"]);
    let since = Instant::now();
    drops_within_a_second(&mut through, since);
    until("the stream's end", PATIENCE, || (!direct.is_open()).then_some(()));
    for token in [&bound, &unbound] {
        let (status, said) = scene.call(Some("before"), token);
        assert!(status == 401 && said.contains("certificate_revoked"), "{status} {said}");
    }
    // Who shows no certificate is who the token says.
    assert_eq!(scene.call(None, &unbound).0, 200);
    // The Gatekeeper itself has a certificate below it, so the Forwarder sends nothing there.
    let calls = scene.app.calls();
    let (status, said) = forwarder.call("GET", "/v1/a");
    assert!(status >= 500, "{status} {said}");
    assert_eq!(scene.app.calls(), calls);

    // With what the successor has signed all of it goes on.
    for name in ["orders", "shop"] {
        scene.home.ok(&["cert", "renew", name]);
        scene.carry(name);
    }
    forwarder.until_served();
    assert_eq!(scene.call(Some("shop"), &scene.bound("shop")).0, 200);
    assert_eq!(scene.call(Some("before"), &unbound).0, 401);

    // Without the broker it is as it was; and whoever begins then knows nothing, and lets nobody in.
    assert_eq!(scene.daemon.take().unwrap().stop(), Some(0));
    assert_eq!(scene.call(Some("before"), &unbound).0, 401);
    assert_eq!(scene.call(None, &unbound).0, 200);
    gate.kill();
    let _gate = scene.gatekeeper();
    for folder in [Some("before"), Some("shop"), None] {
        assert_eq!(scene.call(folder, &unbound).0, 503);
    }
}

#[test]
fn a_client_certificate_that_is_revoked_ends_what_is_bound_to_it_elsewhere() {
    if skip() {
        return;
    }
    let mut scene = Scene::start();
    let _gate = scene.gatekeeper();
    let (bound, unbound) = (scene.bound("shop"), scene.unbound());
    scene.until_known(&unbound);
    identity(&scene.home, "shop", "other");
    scene.carry("other");
    let of_other = scene.bound("other");
    for (folder, token) in [("shop", &bound), ("other", &of_other)] {
        assert_eq!(scene.call(Some(folder), token).0, 200);
    }
    let mut gone = scene.stream("shop", &bound);
    let mut stays = scene.stream("other", &of_other);
    scene.home.ok(&["cert", "revoke", &scene.serial]);
    until("the stream's end", PATIENCE, || (!gone.is_open()).then_some(()));
    let (status, said) = scene.call(Some("shop"), &bound);
    assert!(status == 401 && said.contains("token_revoked"), "{status} {said}");
    assert!(stays.is_open());
    assert_eq!(scene.call(Some("other"), &of_other).0, 200);
    assert_eq!(scene.call(None, &unbound).0, 200);
    let log = scene.home.ok(&["--json", "audit", "export"]);
    let recorded = |line: &&str| line.contains("token-revoked") && line.contains("\"certificate\"");
    assert_eq!(log.lines().filter(recorded).count(), 1, "{log}");
    // Revoked again it is what it was.
    scene.home.ok(&["cert", "revoke", &scene.serial]);
    let log = scene.home.ok(&["--json", "audit", "export"]);
    assert_eq!(log.lines().filter(recorded).count(), 1);
    assert_eq!(scene.daemon.take().unwrap().stop(), Some(0));
}
