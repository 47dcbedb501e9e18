//! A Forwarder while people, certificates and Gatekeepers come and go.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sealock_testkit::clients::skip_without;
use sealock_testkit::wait::until;

use crate::chain::{
    App, Forwarder, broker, call, drops_within_a_second, echoes, free, gatekeeper, identity,
    may_call, started,
};
use crate::gateway::{home, permit, skip};
use crate::login::{Laptop, url};
use crate::support::{Home, PATIENCE, text};
use crate::tokens::gets;

#[test]
fn a_person_who_is_revoked_is_refused_within_a_second_and_what_they_had_open_drops() {
    if skip() {
        return;
    }
    let (home, laptop, app) = (home(), Laptop::new(), App::start());
    let daemon = home.up();
    permit(&home, &may_call("Human::\"alice\""));
    let (orders, _) = identity(&home, "orders", "orders");
    let guarded = free();
    let guard = gatekeeper(&home, &broker(&home), guarded, &app, &["--identity", &orders]);
    let code = home.ok(&["login", "invite", "alice"]);
    let login =
        laptop.fed(&["--json", "login", "--server", &url(&home), "--code-file", "-"], &code);
    assert!(login.status.success(), "{}", text(&login.stderr));
    let site = laptop.site(&home).display().to_string();
    let at = format!("orders=127.0.0.1:{guarded}");
    let more = ["--service", &at, "--identity", &site];
    let forwarder = Forwarder::of(&home, laptop.command(&[]), &more);
    let seen = forwarder.until_served();
    assert!(seen.contains("spiffe://test.sealock/human/alice"), "{seen}");

    let mut live = forwarder.websocket();
    home.ok(&["token", "revoke", "--identity", "human/alice"]);
    let since = Instant::now();
    drops_within_a_second(&mut live, since);
    assert_eq!(forwarder.call("POST", "/v1/a").0, 401, "what she has is worth nothing any more");
    // She is not locked out by that, and has another token as soon as time has gone on.
    until("another token", PATIENCE, || (forwarder.call("GET", "/v1/a").0 == 200).then_some(()));

    // With the certificate it is for good.
    let mut live = forwarder.websocket();
    let crt = fs::read_to_string(laptop.site(&home).join("tls.crt")).unwrap();
    home.ok(&["cert", "revoke", &serial_of(&crt)]);
    home.ok(&["token", "revoke", "--identity", "human/alice"]);
    let since = Instant::now();
    drops_within_a_second(&mut live, since);
    while since.elapsed() < Duration::from_secs(3) {
        let (status, answer) = forwarder.call("GET", "/v1/a");
        assert!([401, 403, 503].contains(&status), "{:?}: {answer}", since.elapsed());
    }
    assert_eq!(forwarder.process.stop(), Some(0));
    assert_eq!(guard.stop(), Some(0));
    assert_eq!(daemon.stop(), Some(0));
}

fn serial_of(pem: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-noout", "-serial"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = openssl.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), pem.as_bytes()).unwrap();
    let said = text(&child.wait_with_output().unwrap().stdout);
    said.trim().strip_prefix("serial=").unwrap().to_ascii_lowercase()
}

/// Of the certificate that is shown at this port.
fn served(port: u16) -> Option<String> {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &format!("127.0.0.1:{port}")]).stdin(Stdio::null());
    let said = text(&openssl.output().unwrap().stdout);
    said.contains("BEGIN CERTIFICATE").then(|| serial_of(&said))
}

/// The files of an identity, which are replaced in one step.
struct Replaced<'a> {
    home: &'a Home,
    service: &'static str,
    path: String,
    serial: String,
    times: u32,
}

impl<'a> Replaced<'a> {
    fn new(home: &'a Home, service: &'static str) -> Self {
        let path = home.path(&format!("of-{service}")).display().to_string();
        let mut new = Self { home, service, path, serial: String::new(), times: 0 };
        new.renew();
        new
    }

    fn renew(&mut self) {
        self.times += 1;
        let folder = format!("{}-{}", self.service, self.times);
        self.serial = identity(self.home, self.service, &folder).1;
        let next = self.home.path(&format!("next-{}", self.service));
        symlink(&folder, &next).unwrap();
        fs::rename(&next, &self.path).unwrap();
    }
}

/// Makes calls of all kinds, one after another, until it is told to stop.
struct Calling {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<Vec<String>>,
}

impl Calling {
    fn start(port: u16) -> Self {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (told, counted) = (Arc::clone(&stop), Arc::clone(&made));
        let thread = std::thread::spawn(move || {
            let mut failed = Vec::new();
            while !told.load(Ordering::SeqCst) {
                for method in ["POST", "GET"] {
                    let (status, answer) =
                        call(port, method, &format!("localhost:{port}"), "/v1/a");
                    counted.fetch_add(1, Ordering::SeqCst);
                    if status != 200 {
                        failed.push(format!("{method}: {answer}"));
                    }
                }
            }
            failed
        });
        Self { stop, made, thread }
    }

    /// Some more are made from now on.
    fn go_on(&self) {
        let so_far = self.made.load(Ordering::SeqCst);
        until("calls", PATIENCE, || (self.made.load(Ordering::SeqCst) > so_far + 10).then_some(()));
    }

    fn none_failed(self) {
        self.stop.store(true, Ordering::SeqCst);
        let failed = self.thread.join().unwrap();
        assert!(failed.is_empty(), "{} failed: {}", failed.len(), failed[0]);
    }
}

#[test]
fn certificates_are_renewed_at_both_ends_while_calls_are_made() {
    if skip() || skip_without(&["openssl"]) {
        return;
    }
    let (home, app) = (home(), App::start());
    let daemon = home.up();
    permit(&home, &(may_call("Service::\"shop\"") + &gets("shop", "watched")));
    let (mut orders, mut shop) = (Replaced::new(&home, "orders"), Replaced::new(&home, "shop"));
    let guarded = free();
    let identity_of_orders = ["--identity", &orders.path.clone()];
    let guard = gatekeeper(&home, &broker(&home), guarded, &app, &identity_of_orders);
    // A service that says which certificate it is shown.
    let watched = free();
    let (folder, _) = identity(&home, "watched", "watched");
    let mut server = Command::new("openssl");
    server.args(["s_server", "-www", "-accept", &format!("127.0.0.1:{watched}"), "-Verify", "2"]);
    server.args(["-cert", &format!("{folder}/tls.crt"), "-cert_chain"]);
    server.args([&format!("{folder}/tls.crt"), "-key", &format!("{folder}/tls.key")]);
    server.args(["-CAfile", &format!("{folder}/ca.crt")]);
    let _server = started(&home, server, "watched.log", watched);
    let (at, watched_at) =
        (format!("orders=127.0.0.1:{guarded}"), format!("watched=127.0.0.1:{watched}"));
    let to = broker(&home);
    let own = shop.path.clone();
    let more = ["--service", &at, "--service", &watched_at, "--broker", &to, "--identity", &own];
    let forwarder = Forwarder::start(&home, &more);
    forwarder.until_served();
    let shown = || {
        let (status, page) = call(forwarder.proxy, "GET", "watched", "http://watched/");
        assert_eq!(status, 200, "{page}");
        page.replace([':', ' ', '\n'], "").to_ascii_lowercase()
    };
    assert!(shown().contains(&shop.serial));
    assert_eq!(served(guarded).as_ref(), Some(&orders.serial));

    let mut live = forwarder.websocket();
    let calling = Calling::start(forwarder.port);
    calling.go_on();
    orders.renew();
    until("the Gatekeeper's new certificate", PATIENCE, || {
        (served(guarded).as_ref() == Some(&orders.serial)).then_some(())
    });
    calling.go_on();
    let before = shop.serial.clone();
    shop.renew();
    assert_ne!(before, shop.serial);
    until("the Forwarder's new certificate", PATIENCE, || {
        shown().contains(&shop.serial).then_some(())
    });
    calling.go_on();
    // And while the broker is away: the old one is shown until there is a token for the next.
    daemon.kill();
    let before = shop.serial.clone();
    shop.renew();
    let renewals = || fs::read_to_string(home.path("forwarder.log")).unwrap_or_default();
    until("the second renewal", PATIENCE, || {
        (renewals().matches("another certificate is shown").count() == 2).then_some(())
    });
    calling.go_on();
    assert!(shown().contains(&before));
    echoes(&mut live);
    calling.none_failed();
    assert_eq!(forwarder.process.stop(), Some(0));
    assert_eq!(guard.stop(), Some(0));
}

#[test]
fn a_gatekeeper_that_is_killed_ends_its_streams_and_the_next_one_takes_the_next_call() {
    if skip() {
        return;
    }
    let (home, app) = (home(), App::start());
    let daemon = home.up();
    permit(&home, &may_call("Service::\"shop\""));
    let ((orders, _), (shop, _)) =
        (identity(&home, "orders", "orders"), identity(&home, "shop", "shop"));
    let (guarded, to) = (free(), broker(&home));
    let guard = || gatekeeper(&home, &to, guarded, &app, &["--identity", &orders]);
    let first = guard();
    let at = format!("orders=127.0.0.1:{guarded}");
    let more = ["--service", &at, "--broker", &to, "--identity", &shop];
    let forwarder = Forwarder::start(&home, &more);
    forwarder.until_served();
    let mut live = forwarder.websocket();
    first.kill();
    let mut rest = Vec::new();
    // Ended, in whichever way: PATIENCE is the timeout of the socket.
    let ended = live.read_to_end(&mut rest);
    let reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
    assert!(ended.is_ok() || ended.is_err_and(|error| reset(&error)));
    assert_eq!(rest, b"");
    let second = guard();
    // Its 503 is over when it has heard the broker. No call of the Forwarder's was made meanwhile.
    let mut curl = Command::new("curl");
    let url = format!("https://127.0.0.1:{guarded}/");
    curl.args(["--silent", "--insecure", "--output", "/dev/null", "--write-out", "%{http_code}"]);
    curl.arg(url);
    until("the next Gatekeeper", PATIENCE, || {
        (text(&curl.output().unwrap().stdout) == "401").then_some(())
    });
    let (status, answer) = forwarder.call("POST", "/v1/a");
    assert_eq!(status, 200, "{answer}");
    echoes(&mut forwarder.websocket());
    assert_eq!(forwarder.process.stop(), Some(0));
    assert_eq!(second.stop(), Some(0));
    assert_eq!(daemon.stop(), Some(0));
}
