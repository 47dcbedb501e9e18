//! How long a revocation takes until the last of many Gatekeepers refuses.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::future::try_join_all;

use super::load;
use super::scene::Scene;
use crate::Settings;
use crate::gateway::free_port;
use crate::http::{Connection, Endpoint, with_json};
use crate::process::Process;

/// Between two calls at each of them: the figure is no finer than this.
const PAUSE: Duration = Duration::from_millis(10);
/// Until all serve, or all refuse.
const PATIENCE: Duration = Duration::from_secs(120);

/// Gatekeepers of one service, each a process with a feed of its own.
pub(super) struct Crowd {
    _processes: Vec<Process>,
    endpoints: Vec<Endpoint>,
}

impl Crowd {
    pub(super) async fn start(scene: &Scene, settings: &Settings, count: usize) -> Result<Self> {
        let (mut processes, mut endpoints) = (Vec::new(), Vec::new());
        for number in 0..count {
            let port = free_port()?;
            let mut guard = scene.gatekeeper_at(settings, port)?;
            let log = fs::File::create(scene.file(&format!("guard-{number}.log")))?;
            guard.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            processes.push(Process::new(guard.spawn().context("cannot start a Gatekeeper")?));
            endpoints.push(Endpoint::Tcp(format!("127.0.0.1:{port}")));
        }
        for endpoint in &endpoints {
            let end = Instant::now() + PATIENCE;
            while status(endpoint, &load::request(None)).await.is_none_or(|status| status != 401) {
                if Instant::now() > end {
                    bail!("a Gatekeeper does not serve");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(Self { _processes: processes, endpoints })
    }

    /// Revokes the token, and calls at all of them until the last one refuses it.
    pub(super) async fn revoke(&self, scene: &Scene, token: &str) -> Result<Duration> {
        let request = Arc::new(load::request(Some(token)));
        let mut connections = Vec::new();
        for endpoint in &self.endpoints {
            let mut connection = Connection::open(endpoint).await?;
            let answer = connection.ask(&request).await?;
            if answer.status != 200 {
                bail!("answered {} before it was revoked", answer.status);
            }
            connections.push(connection);
        }
        let mut admin = Connection::open(&scene.broker()).await?;
        let body =
            format!(r#"{{"command":"token-revoke","with":{{"what":"token","of":"{token}"}}}}"#);
        let began = Instant::now();
        let told = async {
            let answer = admin.ask(&with_json("POST", "/v1/call", &body)).await?;
            if answer.status != 200 {
                bail!("not revoked: {}", String::from_utf8_lossy(&answer.body));
            }
            Ok(Duration::ZERO)
        };
        let refused = connections.into_iter().zip(&self.endpoints).map(|(connection, endpoint)| {
            let request = Arc::clone(&request);
            async move { until_refused(connection, endpoint, &request, began).await }
        });
        let (_, refused) = tokio::try_join!(told, try_join_all(refused))?;
        refused.into_iter().max().context("no Gatekeeper")
    }
}

async fn until_refused(
    mut connection: Connection,
    endpoint: &Endpoint,
    request: &[u8],
    began: Instant,
) -> Result<Duration> {
    loop {
        let answer = connection.ask(request).await?;
        match answer.status {
            401 => return Ok(began.elapsed()),
            200 if began.elapsed() < PATIENCE => {}
            other => bail!("answered {other} after it was revoked"),
        }
        if answer.last {
            connection = Connection::open(endpoint).await?;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn status(endpoint: &Endpoint, request: &[u8]) -> Option<u16> {
    let mut connection = Connection::open(endpoint).await.ok()?;
    connection.ask(request).await.ok().map(|answer| answer.status)
}
