//! The gateway, and nginx twice, before one engine: all with certificates of the same authority.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_net::tls::client_config;
use tokio_rustls::rustls::ClientConfig;

use crate::Settings;
use crate::http::Endpoint;
use crate::measure::command;
use crate::process::{Process, resident, until};

/// An installation with a running daemon.
pub(super) struct Scene {
    folder: tempfile::TempDir,
    daemon: Process,
    address: String,
    client: Arc<ClientConfig>,
}

/// nginx before the same engine.
pub(super) struct Nginx {
    _process: Process,
    /// As people copy it.
    pub(super) copied: Endpoint,
    /// As somebody sets it up who has read nginx's manual.
    pub(super) tuned: Endpoint,
}

impl Scene {
    /// `rules` are added to the policy.
    pub(super) fn start(settings: &Settings, engine: &Path, rules: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let state = folder.path().join("state");
        command(crate::sealock(settings, "init").arg("--state").arg(&state))?;
        fs::write(state.join("policy/bench.cedar"), rules)?;
        let mut up = crate::sealock(settings, "up");
        up.arg("--state").arg(&state).arg(format!("--docker=unix://{}", engine.display()));
        up.args(["--api", "off", "--gateway", "127.0.0.1:0"]);
        // Labelled containers of others are not our business.
        up.env("SEALOCK_WATCH_ENABLED", "false");
        // The load comes from one identity, which would be told to slow down.
        for limit in ["RATE", "CONCURRENT", "CONNECTIONS"] {
            up.env(format!("SEALOCK_GATEWAY_{limit}"), "off");
        }
        let log = fs::File::create(folder.path().join("daemon.log"))?;
        up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let daemon = Process::new(up.spawn().context("cannot start `sealock up`")?);
        let address = until("the gateway to listen", || {
            let mut status = crate::sealock(settings, "status");
            let output = status.args(["--json", "--state"]).arg(&state).output().ok()?;
            let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
            status.get("gateway")?.as_str().map(str::to_owned)
        })?;
        let client = identity(&state.join("identities/admin"))?;
        Ok(Self { folder, daemon, address, client })
    }

    /// The gateway for the administrator.
    pub(super) fn gateway(&self) -> Endpoint {
        self.endpoint(&self.address)
    }

    /// The gateway for somebody else.
    pub(super) fn gateway_for(&self, settings: &Settings, name: &str) -> Result<Endpoint> {
        let folder = self.issue(settings, name, "client")?;
        Ok(Endpoint::Tls(self.address.clone(), identity(&folder)?))
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Memory of the daemon that is in use now.
    pub(super) fn resident(&self) -> Result<u64> {
        resident(self.daemon.id())
    }

    fn endpoint(&self, address: &str) -> Endpoint {
        Endpoint::Tls(address.to_owned(), Arc::clone(&self.client))
    }

    fn issue(&self, settings: &Settings, name: &str, usage: &str) -> Result<PathBuf> {
        let out = self.folder.path().join(name);
        let mut issue = crate::sealock(settings, "cert");
        issue.args(["issue", name, "--usage", usage, "--state"]).arg(self.state());
        match usage {
            "client" => issue
                .args(["--uri", &format!("spiffe://{}/service/{name}", self.domain(settings)?)]),
            _ => issue.args(["--dns", "localhost"]),
        };
        command(issue.arg("--out").arg(&out))?;
        Ok(out)
    }

    fn domain(&self, settings: &Settings) -> Result<String> {
        let mut status = crate::sealock(settings, "status");
        let output = status.args(["--json", "--state"]).arg(self.state()).output()?;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let domain = status.pointer("/ca/trust_domain").or_else(|| status.get("trust_domain"));
        Ok(domain.and_then(|domain| domain.as_str()).context("no trust domain")?.to_owned())
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Starts nginx before the engine; it asks for client certificates of the same authority.
    pub(super) fn nginx(&self, settings: &Settings, engine: &Path) -> Result<Nginx> {
        if sealock_testkit::clients::find("nginx").is_none() {
            bail!("nginx is not installed (Debian: apt-get install nginx-light)");
        }
        let server = self.issue(settings, "nginx", "server")?;
        let prefix = self.folder.path().join("proxy");
        fs::create_dir(&prefix)?;
        let (copied, tuned) = (free_port()?, free_port()?);
        let text = include_str!("../../peers/nginx.conf");
        let text = text
            .replace("@PREFIX@", &prefix.display().to_string())
            .replace("@ENGINE@", &engine.display().to_string())
            .replace("@CERTIFICATE@", &server.display().to_string())
            .replace(
                "@CLIENTS@",
                &self.state().join("identities/admin/ca.crt").display().to_string(),
            )
            .replace("@COPIED@", &copied.to_string())
            .replace("@TUNED@", &tuned.to_string());
        let file = prefix.join("nginx.conf");
        fs::write(&file, text)?;
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(&prefix).arg("-c").arg(&file).arg("-e").arg(prefix.join("error.log"));
        let process =
            Process::new(nginx.stdin(Stdio::null()).spawn().context("cannot start nginx")?);
        for port in [copied, tuned] {
            until("nginx to listen", || std::net::TcpStream::connect(("127.0.0.1", port)).ok())?;
        }
        let endpoint = |port: u16| self.endpoint(&format!("127.0.0.1:{port}"));
        Ok(Nginx { _process: process, copied: endpoint(copied), tuned: endpoint(tuned) })
    }
}

/// What a client needs to come with this certificate.
pub(crate) fn identity(folder: &Path) -> Result<Arc<ClientConfig>> {
    let certificates = |name: &str| {
        CertificateDer::pem_file_iter(folder.join(name))?.collect::<Result<Vec<_>, _>>()
    };
    let (roots, chain) = (certificates("ca.crt")?, certificates("tls.crt")?);
    let key = PrivateKeyDer::from_pem_file(folder.join("tls.key"))?;
    Ok(Arc::new(client_config(&roots, Some((chain, key)))?))
}

/// What a client needs that comes without a certificate.
pub(crate) fn anonymous(roots: &[u8]) -> Result<Arc<ClientConfig>> {
    let roots = CertificateDer::pem_slice_iter(roots).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(client_config(&roots, None)?))
}

/// nginx wants to be told a port.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
