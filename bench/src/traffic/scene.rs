//! A daemon, a Gatekeeper and nginx: one app, called through both.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio_rustls::rustls::ClientConfig;

use super::load;
use crate::Settings;
use crate::gateway::{free_port, identity};
use crate::http::{Connection, Endpoint, with_json};
use crate::measure::command;
use crate::process::{Process, until};

pub(super) struct Scene {
    folder: tempfile::TempDir,
    callers: usize,
    domain: String,
    api: String,
    admin: Arc<ClientConfig>,
    gatekeeper: u16,
    app: u16,
    proxy: u16,
    processes: Vec<Process>,
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
        let processes = vec![daemon];
        let mut scene =
            Self { folder, callers, domain, api, admin, gatekeeper, app, proxy, processes };
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
        self.processes.push(Process::new(nginx));
        for port in [self.app, self.proxy] {
            until("nginx to listen", || std::net::TcpStream::connect(("127.0.0.1", port)).ok())?;
        }
        Ok(())
    }

    /// A token for each caller, and how many of them are issued in a second.
    pub(super) async fn tokens(&self, settings: &Settings) -> Result<(Vec<String>, f64)> {
        let mut admin = Connection::open(&self.broker()).await?;
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
            let round = load::round_of(&broker, &requests, long, 200).await?;
            rates.push(round.rate);
        }
        rates.sort_by(f64::total_cmp);
        Ok((tokens, rates.get(1).copied().unwrap_or(f64::NAN)))
    }

    /// Starts the Gatekeeper and waits until it lets calls through.
    pub(super) async fn guard(&mut self, settings: &Settings) -> Result<()> {
        let out = self.file("orders");
        let mut issue = crate::sealock(settings, "cert");
        issue.args(["issue", "orders", "--usage", "client", "--state"]).arg(self.state());
        issue.args(["--uri", &format!("spiffe://{}/service/orders", self.domain)]);
        command(issue.arg("--out").arg(&out))?;
        let mut guard = self.gatekeeper_at(settings, self.gatekeeper)?;
        let log = fs::File::create(self.folder.path().join("guard.log"))?;
        guard.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.processes.push(Process::new(guard.spawn().context("cannot start the Gatekeeper")?));
        let endpoint = self.gatekeeper();
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(mut connection) = Connection::open(&endpoint).await
                && connection
                    .ask(&load::request(None))
                    .await
                    .is_ok_and(|answer| answer.status == 401)
            {
                return Ok(());
            }
            if Instant::now() > end {
                let said = fs::read_to_string(self.folder.path().join("guard.log"))?;
                bail!("the Gatekeeper does not serve: {said}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A Gatekeeper of the service, with the certificate that [`Scene::guard`] has made.
    pub(super) fn gatekeeper_at(&self, settings: &Settings, at: u16) -> Result<Command> {
        let port = self.api.rsplit_once(':').context("no port")?.1;
        let mut guard = crate::sealock(settings, "gatekeeper");
        guard.args(["--service", "orders", "--plain", "--no-access-log"]);
        guard.args(["--listen", &format!("127.0.0.1:{at}")]);
        guard.args(["--upstream", &format!("http://127.0.0.1:{}", self.app)]);
        guard.args(["--broker", &format!("https://localhost:{port}")]);
        guard.arg("--identity").arg(self.file("orders"));
        Ok(guard)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As the administrator.
    pub(super) fn broker(&self) -> Endpoint {
        Endpoint::Tls(self.api.clone(), Arc::clone(&self.admin))
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
}

/// A rule for each caller; all may have tokens.
fn rules(callers: usize) -> String {
    let mut rules = String::from(
        "permit (principal, action == Sealock::Action::\"Token::Issue\", resource == Sealock::Service::\"orders\");\n",
    );
    for caller in 0..callers {
        let _ = writeln!(
            rules,
            "permit (principal == Sealock::Service::\"s{caller}\", action == Sealock::Action::\"Http::Call\", resource == Sealock::Service::\"orders\") when {{ context.path like \"/v1/*\" }};"
        );
    }
    rules
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
