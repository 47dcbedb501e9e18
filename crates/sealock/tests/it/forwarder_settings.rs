//! A Forwarder that is told by a file: several sites at once, and tunnels that end at it.

use std::fs;
use std::process::{Command, Stdio};

use sealock_testkit::wait::until;

use crate::chain::free;
use crate::gatekeeper::{Service, rules, skip};
use crate::gateway::permit;
use crate::support::{Daemon, Home, PATIENCE, text};
use crate::tokens::api;

/// A site of its own, with a service there.
struct Place {
    home: Home,
    daemon: Daemon,
    service: Service,
}

impl Place {
    fn start(domain: &str) -> Self {
        let home = Home::new();
        home.ok(&["init", "--trust-domain", domain]);
        let daemon = home.up();
        let service = Service::start_of(&home, domain);
        permit(&home, &rules(&service.name));
        let uri = format!("spiffe://{domain}/service/shop");
        home.ok(&["cert", "issue", "shop", "--usage", "client", "--uri", &uri, "--out", "shop"]);
        Self { home, daemon, service }
    }

    /// In the settings, where the service is called by this name.
    fn settings(&self, name: &str) -> String {
        let port = api(&self.home).rsplit_once(':').unwrap().1.to_owned();
        format!(
            "[[sites]]\nbroker = \"https://localhost:{port}\"\nidentity = \"{}\"\n\
             [[sites.services]]\nname = \"{name}\"\nservice = \"{}\"\ninstances = [\"{}\"]\n",
            self.home.path("shop").display(),
            self.service.name,
            self.service.address
        )
    }
}

fn curl(arguments: &[&str]) -> (u32, String) {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "20", "--noproxy", "", "--write-out", "\n%{http_code}"]);
    let output = curl.args(arguments).output().unwrap();
    let said = text(&output.stdout);
    let (body, status) = said.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

#[test]
fn a_laptop_works_with_two_sites_and_each_gets_its_own_token() {
    if skip() {
        return;
    }
    let (a, b) = (Place::start("a.sealock"), Place::start("b.sealock"));
    let (proxy, port) = (free(), free());
    let file = a.home.write(
        "forwarder.toml",
        &format!(
            "listen = \"127.0.0.1:{proxy}\"\nroutes = {{ \"127.0.0.1:{port}\" = \"b-orders\" }}\n\
             [intercept]\nca_out = \"tunnels.pem\"\nhosts = {{ \"orders.internal\" = \"orders\" }}\n{}{}",
            a.settings("orders"),
            b.settings("b-orders")
        ),
    );
    let log = fs::File::create(a.home.path("forwarder.log")).unwrap();
    let mut command = a.home.command();
    command.args(["forwarder", "--config", &file]).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let forwarder = Daemon::of(command.spawn().unwrap());
    let through = format!("http://127.0.0.1:{proxy}");
    for (arguments, domain) in [
        (&["--proxy", &through, "http://orders/v1/a"][..], "a.sealock"),
        (&["--proxy", &through, "http://b-orders/v1/a"], "b.sealock"),
        (&[&format!("http://127.0.0.1:{port}/v1/a")], "b.sealock"),
    ] {
        let seen = until("the Gatekeeper to know", PATIENCE, || {
            let (status, body) = curl(arguments);
            (status == 200).then_some(body)
        });
        let caller = format!("x-sealock-identity: spiffe://{domain}/service/shop");
        assert!(seen.to_ascii_lowercase().contains(&caller), "{seen}");
    }
    // curl trusts what was written, for the host that was named: an https URL goes to the service like a plain one.
    let trust = a.home.path("tunnels.pem").display().to_string();
    let tunnel = ["--proxy", &through, "--cacert", &trust];
    let (status, seen) = curl(&[&tunnel[..], &["https://orders.internal/v1/a"]].concat());
    assert!(status == 200 && seen.contains("spiffe://a.sealock/service/shop"), "{status} {seen}");
    assert_eq!(curl(&[&tunnel[..], &["https://orders.internal/admin"]].concat()).0, 403);
    // curl says 000 where the proxy opens no tunnel.
    for url in ["https://billing.internal/v1/a", "https://a.orders.internal/v1/a"] {
        assert_eq!(curl(&[&tunnel[..], &[url]].concat()).0, 0, "{url}");
    }
    let openssl =
        Command::new("openssl").args(["x509", "-noout", "-text", "-in", &trust]).output().unwrap();
    let shown = text(&openssl.stdout);
    for said in ["X509v3 Name Constraints: critical", "DNS:orders.internal", "pathlen:0"] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    assert!(!fs::read_to_string(&trust).unwrap().contains("PRIVATE"));
    // The broker of one goes away, and nothing of the other does.
    a.daemon.kill();
    assert_eq!(curl(&["--proxy", &through, "http://b-orders/v1/a"]).0, 200);
    assert_eq!(curl(&["--proxy", &through, "http://orders/v1/a"]).0, 200, "its token lives");
    assert_eq!(forwarder.stop(), Some(0));
    assert_eq!(b.daemon.stop(), Some(0));
}

#[test]
fn settings_that_cannot_be_meant_are_one_clear_error() {
    let home = Home::new();
    let service = "[[sites]]\n[[sites.services]]\nname = \"a\"\ninstances = [\"10.0.0.1:1\"]\n";
    for (text, more, expected) in [
        ("lisen = 1".to_owned(), &[][..], "unknown field `lisen`"),
        (service.to_owned(), &[], "listen nowhere"),
        (service.replace("\"a\"", "\"A\""), &["--listen", "127.0.0.1:0"], "name"),
        (format!("{service}{service}"), &["--listen", "127.0.0.1:0"], "listed twice"),
        (service.to_owned(), &["--service", "b=10.0.0.1:1"], "are in the file, or are flags"),
        (service.to_owned(), &["--listen", "127.0.0.1:0", "--connect", "x"], "is not HOST:PORT"),
        (
            format!("[intercept]\nhosts = {{ \"x.internal\" = \"b\" }}\nca_out = \"x\"\n{service}"),
            &["--listen", "127.0.0.1:0"],
            "which is not listed",
        ),
        (
            format!("[intercept]\nhosts = {{ \"x.internal\" = \"a\" }}\n{service}"),
            &["--listen", "127.0.0.1:0"],
            "nobody could trust us",
        ),
    ] {
        let file = home.write("forwarder.toml", &text);
        let said = home.fails(64, &[&["forwarder", "--config", &file], more].concat());
        assert!(said.contains(expected), "{text}: {said}");
    }
    let said = home.fails(64, &["forwarder", "--config", "nowhere.toml"]);
    assert!(said.contains("cannot read the settings"), "{said}");
}
