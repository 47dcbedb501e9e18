//! Us, and pebble.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::client::{NAME, Server};
use crate::Settings;
use crate::gateway::{anonymous, free_port, identity};
use crate::http::{Connection, Endpoint, with_json};
use crate::measure::command;
use crate::process::{Process, until};

const RULE: &str = "permit (principal == Sealock::Service::\"bench\", \
    action in [Sealock::Action::\"Cert::Issue\", Sealock::Action::\"Cert::Unproved\"], \
    resource in Sealock::Domain::\"bench.example\");\n";

/// A daemon, and an account that somebody vouches for.
pub(super) struct Sealock {
    pub(super) process: Process,
    pub(super) server: Server,
    _folder: tempfile::TempDir,
}

impl Sealock {
    pub(super) async fn start(settings: &Settings) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let state = folder.path().join("state");
        command(crate::sealock(settings, "init").arg("--state").arg(&state))?;
        fs::write(state.join("policy/bench.cedar"), RULE)?;
        let mut up = crate::sealock(settings, "up");
        up.arg("--state").arg(&state).args(["--api", "127.0.0.1:0", "--gateway", "off"]);
        up.env("SEALOCK_WATCH_ENABLED", "false").env("SEALOCK_WORKLOAD_SOCKET", "off");
        up.arg(format!("--docker=unix://{}", folder.path().join("no-engine").display()));
        let log = fs::File::create(folder.path().join("daemon.log"))?;
        up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = Process::new(up.spawn().context("cannot start `sealock up`")?);
        let api = until("the API to listen", || {
            let mut status = crate::sealock(settings, "status");
            let output = status.args(["--json", "--state"]).arg(&state).output().ok()?;
            let status: Value = serde_json::from_slice(&output.stdout).ok()?;
            Some(status.get("api")?.as_str()?.to_owned())
        })?;
        let admin = state.join("identities/admin");
        let bind = r#"{"command":"acme-bind","with":{"name":"bench"}}"#;
        let mut connection =
            Connection::open(&Endpoint::Tls(api.clone(), identity(&admin)?)).await?;
        connection.keep_all();
        let answer = connection.ask(&with_json("POST", "/v1/call", bind)).await?;
        let reply: Value = serde_json::from_slice(&answer.body)?;
        let mac = reply.pointer("/is/key").and_then(Value::as_str);
        let mac = BASE64URL_NOPAD.decode(mac.context("no key")?.as_bytes())?;
        let endpoint = Endpoint::Tls(api.clone(), anonymous(&fs::read(admin.join("ca.crt"))?)?);
        let base = format!("https://localhost:{}", api.rsplit(':').next().unwrap_or_default());
        let vouched = Some(("bench", mac.as_slice()));
        let server = Server::enter(endpoint, base, "/acme/directory", vouched).await?;
        Ok(Self { process, server, _folder: folder })
    }
}

/// The test server of Let's Encrypt, with everything left out that makes it a hostile one.
pub(super) struct Pebble {
    _process: Process,
    pub(super) server: Server,
    _folder: tempfile::TempDir,
}

impl Pebble {
    /// Nothing where it is not installed.
    pub(super) async fn start() -> Result<Option<Self>> {
        if Command::new("pebble").arg("-help").output().is_err() {
            eprintln!("bench: there is no pebble here");
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        let (port, management) = (free_port()?, free_port()?);
        let key = rcgen::KeyPair::generate()?;
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?;
        let certificate = params.self_signed(&key)?.pem();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("cert.pem"), &certificate)?;
        fs::write(at("key.pem"), key.serialize_pem())?;
        let config = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": at("cert.pem"),
            "privateKey": at("key.pem"),
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        fs::write(at("config.json"), config.to_string())?;
        let mut pebble = Command::new("pebble");
        pebble.arg("-config").arg(at("config.json"));
        for (name, value) in [
            ("PEBBLE_VA_ALWAYS_VALID", "1"),
            ("PEBBLE_VA_NOSLEEP", "1"),
            ("PEBBLE_WFE_NONCEREJECT", "0"),
            ("PEBBLE_AUTHZREUSE", "100"),
        ] {
            pebble.env(name, value);
        }
        pebble.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::new(pebble.spawn().context("cannot start pebble")?);
        let address = format!("127.0.0.1:{port}");
        until("pebble to listen", || std::net::TcpStream::connect(&address).ok())?;
        let endpoint = Endpoint::Tls(address, anonymous(certificate.as_bytes())?);
        let base = format!("https://localhost:{port}");
        let server = Server::enter(endpoint, base, "/dir", None)
            .await
            .with_context(|| format!("pebble, with an order for {NAME}"))?;
        Ok(Some(Self { _process: process, server, _folder: folder }))
    }
}
