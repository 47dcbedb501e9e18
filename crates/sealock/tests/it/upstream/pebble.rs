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
    /// Whether it takes nothing but what RFC 8555 has.
    pub(super) strict: bool,
    /// Up to so many seconds pass before it looks whether a name is proved.
    pub(super) late: u8,
    /// Of a hundred names that were proved before, so many need no proof again.
    pub(super) remembered: u8,
    /// How many CAs are between a certificate and its root.
    pub(super) chain: u8,
    /// Other roots above them, with chains of their own.
    pub(super) alternates: u8,
}

pub(super) const KIND: Mood = Mood {
    refused_nonces: 0,
    bound: false,
    life: 86_400,
    strict: false,
    late: 0,
    remembered: 0,
    chain: 1,
    alternates: 0,
};
/// As bad as it can be while it does what it should.
pub(super) const HOSTILE: Mood =
    Mood { refused_nonces: 60, strict: true, late: 3, chain: 3, alternates: 2, ..KIND };

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
        let mut pebble = Command::new("pebble");
        pebble.args(["-config", &config, "-dnsserver", &address(dns_port)]);
        if mood.strict {
            pebble.arg("-strict");
        }
        match mood.late {
            0 => pebble.env("PEBBLE_VA_NOSLEEP", "1"),
            seconds => pebble.env("PEBBLE_VA_SLEEPTIME", seconds.to_string()),
        };
        pebble.env("PEBBLE_AUTHZREUSE", mood.remembered.to_string());
        pebble.env("PEBBLE_WFE_NONCEREJECT", mood.refused_nonces.to_string());
        pebble.env("PEBBLE_CHAIN_LENGTH", mood.chain.to_string());
        pebble.env("PEBBLE_ALTERNATE_ROOTS", mood.alternates.to_string());
        let pebble = start(&mut pebble);
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

    /// All that it has said.
    pub(super) fn log(home: &Home) -> String {
        std::fs::read_to_string(home.path("pebble.log")).unwrap_or_default()
    }

    /// How often it has said this.
    pub(super) fn said(home: &Home, what: &str) -> usize {
        Self::log(home).matches(what).count()
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
