//! pebble, the small ACME server of Let's Encrypt's own tests, and the DNS that it asks.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use sealock_testkit::clients::skip_without;
use sealock_testkit::wait::until;

use super::server_certificate;
use crate::chain::free;
use crate::support::{Home, PATIENCE, tool};

pub(super) const KID: &str = "kid-1";
pub(super) const MAC: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

pub(super) struct Pebble {
    children: Vec<Child>,
    pub(super) port: u16,
    management: u16,
    /// Where records of the DNS are set.
    pub(super) dns: u16,
}

/// How hostile it is.
#[derive(Clone, Copy)]
pub(super) struct Mood {
    /// Of a hundred nonces, so many are refused.
    pub(super) refused_nonces: u8,
    /// Whether it needs somebody who vouches for an account.
    pub(super) bound: bool,
    /// Seconds that its certificates live.
    pub(super) life: u32,
}

pub(super) const KIND: Mood = Mood { refused_nonces: 0, bound: false, life: 86_400 };

pub(super) fn missing() -> bool {
    skip_without(&["pebble", "pebble-challtestsrv", "openssl", "curl"])
}

/// Ports that are agreed on before anything listens.
pub(super) struct Ports {
    pub(super) acme: u16,
    pub(super) http: u16,
}

impl Ports {
    pub(super) fn free() -> Self {
        Self { acme: free(), http: free() }
    }
}

impl Pebble {
    pub(super) fn start(home: &Home, ports: &Ports, mood: Mood) -> Self {
        server_certificate(home, "pebble");
        let (management, dns_port, dns) = (free(), free(), free());
        let corp = home.path("corp");
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", ports.acme),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": corp.join("pebble.pem"),
            "privateKey": corp.join("pebble.key"),
            "httpPort": ports.http,
            "tlsPort": free(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": mood.bound,
            "externalAccountMACKeys": { KID: MAC },
            "certificateValidityPeriod": mood.life,
        }});
        let config = home.write("pebble.json", &config.to_string());
        let log =
            || File::options().create(true).append(true).open(home.path("pebble.log")).unwrap();
        let start = |command: &mut Command| {
            command.stdin(Stdio::null()).stdout(log()).stderr(log()).spawn().unwrap()
        };
        let address = |port: u16| format!("127.0.0.1:{port}");
        let names = start(Command::new("pebble-challtestsrv").args([
            "-dns01",
            &address(dns_port),
            "-management",
            &address(dns),
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-defaultIPv6",
            "",
        ]));
        let pebble = start(
            Command::new("pebble")
                .args(["-config", &config, "-dnsserver", &address(dns_port)])
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_AUTHZREUSE", "0")
                .env("PEBBLE_WFE_NONCEREJECT", mood.refused_nonces.to_string()),
        );
        let this = Self { children: vec![names, pebble], port: ports.acme, management, dns };
        until("pebble to answer", PATIENCE, || {
            std::net::TcpStream::connect(("127.0.0.1", this.port)).ok()?;
            std::net::TcpStream::connect(("127.0.0.1", this.dns)).ok().map(drop)
        });
        this
    }

    /// The root that it has made for this run, known from now on.
    pub(super) fn trust(&self, home: &Home) {
        let url = format!("https://127.0.0.1:{}/roots/0", self.management);
        let root = tool("curl", &["-sSk", "--noproxy", "*", "--max-time", "20", &url]);
        let root = home.write("pebble-root.pem", &root);
        home.ok(&["trust", "add", &root, "--name", "pebble"]);
    }

    /// Ends it; what it knew is gone.
    pub(super) fn end(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.end();
    }
}

/// The settings of an upstream at such ports.
pub(super) fn settings(home: &Home, ports: &Ports, more: &str) -> String {
    format!(
        "[upstream.corp]\nkind = \"acme\"\nurl = \"https://localhost:{}/dir\"\nca_file = \"{}\"\n\
         contact = [\"mailto:pki@corp.example\"]\nterms_agreed = true\n{more}\n",
        ports.acme,
        home.path("corp/root.pem").display()
    )
}

/// With a listener for http-01.
pub(super) fn by_http(home: &Home, ports: &Ports) -> String {
    settings(home, ports, &format!("http01 = \"127.0.0.1:{}\"", ports.http))
}
