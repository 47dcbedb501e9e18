//! A daemon, a Gatekeeper and nginx: one app, called through both.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use data_encoding::BASE64URL_NOPAD;
use tokio_rustls::rustls::ClientConfig;

use super::load;
use super::peers::{self, Known, Peer};
use crate::Settings;
use crate::gateway::{free_port, identity};
use crate::http::{Connection, Endpoint, request, with_json};
use crate::measure::command;
use crate::process::{Process, until};

/// What the broker has given.
pub(super) struct Issued {
    /// One for each caller.
    pub(super) tokens: Vec<String>,
    /// How many in a second.
    pub(super) rate: f64,
    /// Of the first client.
    secret: String,
}

pub(super) struct Scene {
    folder: tempfile::TempDir,
    callers: usize,
    domain: String,
    api: String,
    admin: Arc<ClientConfig>,
    gatekeeper: u16,
    app: u16,
    proxy: u16,
    /// The Forwarder's port, once there is one.
    forwarder: u16,
    processes: Vec<Process>,
    nginx: Option<Process>,
    guard: Option<Process>,
}

impl Scene {
    pub(super) async fn start(settings: &Settings, callers: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let state = folder.path().join("state");
        command(crate::sealock(settings, "init").arg("--state").arg(&state))?;
        fs::write(state.join("policy/bench.cedar"), rules(callers))?;
        let mut up = crate::sealock(settings, "up");
        up.arg("--state").arg(&state).args(["--api", "127.0.0.1:0", "--gateway", "off"]);
        up.env("SEALOCK_WATCH_ENABLED", "false").env("SEALOCK_WORKLOAD_SOCKET", "off");
        up.arg(format!("--docker=unix://{}", folder.path().join("no-engine").display()));
        let log = fs::File::create(folder.path().join("daemon.log"))?;
        up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let daemon = Process::new(up.spawn().context("cannot start `sealock up`")?);
        let status = until("the API to listen", || {
            let mut status = crate::sealock(settings, "status");
            let output = status.args(["--json", "--state"]).arg(&state).output().ok()?;
            let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
            status.get("api")?.as_str()?;
            Some(status)
        })?;
        let text = |path: &str| status.pointer(path).and_then(|found| found.as_str());
        let api = text("/api").context("no API")?.to_owned();
        let domain = text("/ca/trust_domain").context("no trust domain")?.to_owned();
        let admin = identity(&state.join("identities/admin"))?;
        let (app, proxy, gatekeeper) = (free_port()?, free_port()?, free_port()?);
        let mut scene = Self {
            folder,
            callers,
            domain,
            api,
            admin,
            gatekeeper,
            app,
            proxy,
            forwarder: 0,
            processes: vec![daemon],
            nginx: None,
            guard: None,
        };
        scene.start_nginx()?;
        Ok(scene)
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn start_nginx(&mut self) -> Result<()> {
        if sealock_testkit::clients::find("nginx").is_none() {
            bail!("nginx is not installed (Debian: apt-get install nginx-light)");
        }
        let prefix = self.folder.path().join("proxy");
        fs::create_dir(&prefix)?;
        let text = include_str!("../../peers/proxy.conf")
            .replace("@PREFIX@", &prefix.display().to_string())
            .replace("@APP@", &self.app.to_string())
            .replace("@PROXY@", &self.proxy.to_string());
        let file = prefix.join("nginx.conf");
        fs::write(&file, text)?;
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(&prefix).arg("-c").arg(&file).arg("-e").arg(prefix.join("error.log"));
        let nginx = nginx.stdin(Stdio::null()).spawn().context("cannot start nginx")?;
        self.nginx = Some(Process::new(nginx));
        for port in [self.app, self.proxy] {
            until("nginx to listen", || std::net::TcpStream::connect(("127.0.0.1", port)).ok())?;
        }
        Ok(())
    }

    /// A token for each caller, and how many of them are issued in a second.
    pub(super) async fn tokens(&self, settings: &Settings) -> Result<Issued> {
        let broker = Endpoint::Tls(self.api.clone(), Arc::clone(&self.admin));
        let mut admin = Connection::open(&broker).await?;
        admin.keep_all();
        let mut secrets = Vec::new();
        for caller in 0..self.callers {
            let body = format!(r#"{{"command":"client-add","with":{{"name":"s{caller}"}}}}"#);
            let answer = admin.ask(&with_json("POST", "/v1/call", &body)).await?;
            let reply: serde_json::Value = serde_json::from_slice(&answer.body)?;
            let secret = reply.pointer("/is/secret").and_then(|secret| secret.as_str());
            secrets.push(secret.with_context(|| format!("no secret in {reply}"))?.to_owned());
        }
        // Without a certificate, so that the tokens are not bound to one.
        let roots = fs::read(self.state().join("identities/admin/ca.crt"))?;
        let broker = Endpoint::Tls(self.api.clone(), crate::gateway::anonymous(&roots)?);
        let requests: Vec<Vec<u8>> = secrets
            .iter()
            .enumerate()
            .map(|(caller, secret)| token_request(caller, secret))
            .collect();
        let mut tokens = Vec::new();
        let mut connection = Connection::open(&broker).await?;
        connection.keep_all();
        for request in &requests {
            let answer = connection.ask(request).await?;
            let given: serde_json::Value = serde_json::from_slice(&answer.body)?;
            let token = given.get("access_token").and_then(|token| token.as_str());
            tokens.push(token.with_context(|| format!("no token in {given}"))?.to_owned());
        }
        let long = Duration::from_millis(if settings.quick { 300 } else { 3000 });
        let mut rates = Vec::new();
        for _ in 0..3 {
            let round = load::round_of(&broker, &requests, load::CLIENTS, long, 200).await?;
            rates.push(round.rate);
        }
        rates.sort_by(f64::total_cmp);
        let rate = rates.get(1).copied().unwrap_or(f64::NAN);
        let secret = secrets.into_iter().next().context("no client")?;
        Ok(Issued { tokens, rate, secret })
    }

    /// Starts the Gatekeeper and waits until it lets calls through.
    pub(super) async fn guard(&mut self, settings: &Settings) -> Result<()> {
        let identity = self.issue(settings, "orders", &["--usage", "client"])?;
        let mut guard = self.gatekeeper_at(settings, self.gatekeeper, &identity)?;
        guard.arg("--plain");
        self.guard = Some(self.start_process(&mut guard, "guard.log")?);
        self.answers(&self.gatekeeper(), 401, "guard.log").await
    }

    /// Starts a Gatekeeper that speaks TLS, and a Forwarder that calls through it.
    pub(super) async fn forward(&mut self, settings: &Settings) -> Result<()> {
        let port = free_port()?;
        let identity = self.issue(settings, "orders-tls", &[])?;
        let mut guard = self.gatekeeper_at(settings, port, &identity)?;
        let guard = self.start_process(&mut guard, "guard-tls.log")?;
        self.processes.push(guard);
        self.forwarder = free_port()?;
        let identity = self.issue(settings, "s0", &["--usage", "client"])?;
        let mut forwarder = crate::sealock(settings, "forwarder");
        forwarder.args(["--no-access-log", "--listen", &format!("127.0.0.1:{}", free_port()?)]);
        forwarder.args(["--route", &format!("127.0.0.1:{}=orders", self.forwarder)]);
        forwarder.args(["--service", &format!("orders=127.0.0.1:{port}")]);
        forwarder.args(["--broker", &self.broker()?]).arg("--identity").arg(&identity);
        let forwarder = self.start_process(&mut forwarder, "forwarder.log")?;
        self.processes.push(forwarder);
        self.answers(&self.forwarder(), 200, "forwarder.log").await
    }

    pub(super) fn gatekeeper_at(
        &self,
        settings: &Settings,
        port: u16,
        identity: &Path,
    ) -> Result<Command> {
        let mut guard = crate::sealock(settings, "gatekeeper");
        guard.args(["--service", "orders", "--no-access-log"]);
        guard.args(["--listen", &format!("127.0.0.1:{port}")]);
        guard.args(["--upstream", &format!("http://127.0.0.1:{}", self.app)]);
        guard.args(["--broker", &self.broker()?]).arg("--identity").arg(identity);
        Ok(guard)
    }

    pub(super) fn start_process(&self, command: &mut Command, log: &str) -> Result<Process> {
        let log = fs::File::create(self.folder.path().join(log))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Process::new(process))
    }

    /// A certificate of `orders`, or of who the name says.
    fn issue(&self, settings: &Settings, name: &str, more: &[&str]) -> Result<PathBuf> {
        let out = self.folder.path().join(name);
        let service = name.strip_suffix("-tls").unwrap_or(name);
        let mut issue = crate::sealock(settings, "cert");
        issue.args(["issue", service, "--state"]).arg(self.state()).args(more);
        issue.args(["--uri", &format!("spiffe://{}/service/{service}", self.domain)]);
        command(issue.arg("--out").arg(&out))?;
        Ok(out)
    }

    fn broker(&self) -> Result<String> {
        let port = self.api.rsplit_once(':').context("no port")?.1;
        Ok(format!("https://localhost:{port}"))
    }

    /// Waits until something answers as it should.
    pub(super) async fn answers(&self, endpoint: &Endpoint, status: u16, log: &str) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(mut connection) = Connection::open(endpoint).await
                && let Ok(answer) = connection.ask(&load::request(None)).await
                && answer.status == status
            {
                return Ok(());
            }
            if Instant::now() > end {
                let said = fs::read_to_string(self.folder.path().join(log))?;
                bail!("it does not serve: {said}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The certificate that [`Scene::guard`] has made.
    pub(super) fn identity_of_orders(&self) -> PathBuf {
        self.folder.path().join("orders")
    }

    /// The broker, asked by the administrator.
    pub(super) fn administrator(&self) -> Endpoint {
        Endpoint::Tls(self.api.clone(), Arc::clone(&self.admin))
    }

    /// The peers that check.
    pub(super) async fn peers(&self, issued: &Issued) -> Result<Vec<Peer>> {
        let broker = Endpoint::Tls(self.api.clone(), Arc::clone(&self.admin));
        let mut broker = Connection::open(&broker).await?;
        broker.keep_all();
        let keys = broker.ask(&request("GET", "/oauth/jwks")).await?;
        let keys = serde_json::from_slice(&keys.body)?;
        let claims: Vec<serde_json::Value> =
            issued.tokens.iter().map(|token| claims(token)).collect::<Result<_>>()?;
        let text = |claims: &serde_json::Value, name: &str| {
            let found = claims.get(name).and_then(|found| found.as_str());
            found.map(str::to_owned).with_context(|| format!("no {name} in a token"))
        };
        let first = claims.first().context("no token")?;
        let (issuer, audience) = (text(first, "iss")?, text(first, "aud")?);
        let callers: Vec<String> =
            claims.iter().map(|claims| text(claims, "sub")).collect::<Result<_>>()?;
        peers::checking(&Known {
            folder: self.folder.path(),
            app: self.app,
            broker: &self.api,
            issuer: &issuer,
            audience: &audience,
            keys: &keys,
            callers: &callers,
            asker: ("s0", &issued.secret),
        })
    }

    pub(super) fn calls(&self, tokens: &[String]) -> Vec<Vec<u8>> {
        tokens.iter().map(|token| load::request(Some(token))).collect()
    }

    pub(super) fn gatekeeper(&self) -> Endpoint {
        Endpoint::Tcp(format!("127.0.0.1:{}", self.gatekeeper))
    }

    pub(super) fn nginx(&self) -> Endpoint {
        Endpoint::Tcp(format!("127.0.0.1:{}", self.proxy))
    }

    pub(super) fn app(&self) -> Endpoint {
        Endpoint::Tcp(format!("127.0.0.1:{}", self.app))
    }

    pub(super) fn forwarder(&self) -> Endpoint {
        Endpoint::Tcp(format!("127.0.0.1:{}", self.forwarder))
    }

    pub(super) fn gatekeeper_id(&self) -> Result<u32> {
        Ok(self.guard.as_ref().context("no Gatekeeper")?.id())
    }

    pub(super) fn nginx_id(&self) -> Result<u32> {
        Ok(self.nginx.as_ref().context("no nginx")?.id())
    }
}

/// A rule for each caller; all may have tokens.
pub(super) fn rules(callers: usize) -> String {
    let mut rules = String::from(
        "permit (principal, action in [Sealock::Action::\"Token::Issue\", Sealock::Action::\"Token::Introspect\"], resource == Sealock::Service::\"orders\");\n",
    );
    for caller in 0..callers {
        let _ = writeln!(
            rules,
            "permit (principal == Sealock::Service::\"s{caller}\", action == Sealock::Action::\"Http::Call\", resource == Sealock::Service::\"orders\") when {{ context.path like \"/v1/*\" }};"
        );
    }
    rules
}

/// What a token says.
fn claims(token: &str) -> Result<serde_json::Value> {
    let payload = token.split('.').nth(1).context("no payload")?;
    Ok(serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes())?)?)
}

fn token_request(caller: usize, secret: &str) -> Vec<u8> {
    let body = format!(
        "grant_type=client_credentials&audience=orders&client_id=s{caller}&client_secret={secret}"
    );
    format!(
        "POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
