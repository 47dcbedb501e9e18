//! Who is asked: a daemon of ours with an account that somebody vouches for, and pebble.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use data_encoding::BASE64URL_NOPAD;
use sealock_testkit::softhsm::SoftHsm;
use serde_json::{Value, json};

use super::client::{Account, Binding};
use crate::Settings;
use crate::gateway::{anonymous, identity};
use crate::http::{Connection, Endpoint, with_json};
use crate::measure::command;
use crate::process::{Process, until};

const RULE: &str = "permit (principal == Sealock::Service::\"bench\", \
    action in [Sealock::Action::\"Cert::Issue\", Sealock::Action::\"Cert::Unproved\"], \
    resource in Sealock::Domain::\"bench.example\");\n";

/// A server, and an account at it whose name is proved.
pub(super) struct Server {
    pub(super) process: Process,
    _folder: tempfile::TempDir,
    pub(super) account: Account,
}

impl Server {
    pub(super) async fn ours(settings: &Settings) -> Result<Self> {
        Self::with(settings, None).await
    }

    /// The CA's keys are in a token.
    pub(super) async fn with_keys_in(settings: &Settings, token: &SoftHsm) -> Result<Self> {
        Self::with(settings, Some(token)).await
    }

    async fn with(settings: &Settings, token: Option<&SoftHsm>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let state = folder.path().join("state");
        let file = folder.path().join("sealock.toml");
        fs::write(&file, token.map_or_else(String::new, names))?;
        let mut init = crate::sealock(settings, "init");
        init.arg("--state").arg(&state).arg("--config").arg(&file);
        if token.is_some() {
            init.args(["--root-key", "hsm", "--intermediate-key", "hsm"]);
        }
        command(&mut init)?;
        fs::write(state.join("policy/bench.cedar"), RULE)?;
        let mut up = crate::sealock(settings, "up");
        up.arg("--state").arg(&state).arg("--config").arg(&file);
        up.args(["--api", "127.0.0.1:0", "--gateway", "off"]);
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
        let key = BASE64URL_NOPAD.decode(mac.context("no key")?.as_bytes())?;
        let port = api.rsplit(':').next().unwrap_or_default().to_owned();
        let endpoint = Endpoint::Tls(api, anonymous(&fs::read(admin.join("ca.crt"))?)?);
        let binding = Some(Binding { kid: "bench", key: &key });
        let base = format!("https://localhost:{port}");
        let account = Account::new(endpoint, base, "/acme/directory", binding).await?;
        Ok(Self { process, _folder: folder, account })
    }

    /// Let's Encrypt's server for tests, told to do as little as it can: it validates nothing, does not wait, takes every
    /// nonce, and lets an account use again what it has proved. It keeps everything in memory.
    pub(super) async fn pebble() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        fs::write(&certificate, own.cert.pem())?;
        fs::write(&key, own.signing_key.serialize_pem())?;
        let (port, other) = (free_port()?, free_port()?);
        let config = folder.path().join("config.json");
        let settings = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{other}"),
            "certificate": certificate,
            "privateKey": key,
            "httpPort": 5002,
            "tlsPort": 5001,
        }});
        fs::write(&config, settings.to_string())?;
        let process = start_pebble(&config)?;
        let address = format!("127.0.0.1:{port}");
        until("pebble to listen", || std::net::TcpStream::connect(&address).ok())?;
        let endpoint = Endpoint::Tls(address, anonymous(own.cert.pem().as_bytes())?);
        let base = format!("https://localhost:{port}");
        let account = Account::new(endpoint, base, "/dir", None).await?;
        account.prove().await?;
        Ok(Self { process, _folder: folder, account })
    }
}

/// Settings that name a token.
fn names(token: &SoftHsm) -> String {
    format!(
        "[hsm]\nmodule = \"{}\"\ntoken = \"{}\"\npin_file = \"{}\"\n\
         environment = [\"SOFTHSM2_CONF={}\"]\n",
        token.module().display(),
        SoftHsm::LABEL,
        token.pin_file().display(),
        token.configuration().display(),
    )
}

fn start_pebble(config: &Path) -> Result<Process> {
    let mut pebble = Command::new("pebble");
    pebble.arg("-config").arg(config);
    pebble.env("PEBBLE_VA_ALWAYS_VALID", "1").env("PEBBLE_VA_NOSLEEP", "1");
    pebble.env("PEBBLE_WFE_NONCEREJECT", "0").env("PEBBLE_AUTHZREUSE", "100");
    pebble.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(Process::new(pebble.spawn().context("cannot start pebble")?))
}

/// A port that nobody has; somebody may take it in between.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
