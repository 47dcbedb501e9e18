//! How long a revocation takes until the last of many Gatekeepers refuses.

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
use crate::table::{Figure, Table};

/// Between two calls at each of them: the figure is no finer than this.
const PAUSE: Duration = Duration::from_millis(10);
/// Until all refuse.
const PATIENCE: Duration = Duration::from_secs(120);

/// As many Gatekeepers, and the worst of so many rounds.
const GATEKEEPERS: usize = 100;
const ROUNDS: usize = 5;

/// A token is revoked, and all of them are called until the last one refuses it.
pub(super) async fn run(
    settings: &Settings,
    scene: &Scene,
    tokens: &[String],
    table: &mut Table,
) -> Result<()> {
    let (many, rounds) = if settings.quick { (10, 1) } else { (GATEKEEPERS, ROUNDS) };
    let crowd = Crowd::start(scene, settings, many).await?;
    let mut worst = Duration::ZERO;
    // From the end: those that others call with first are still good.
    for token in tokens.iter().rev().take(rounds) {
        worst = worst.max(crowd.revoke(scene, token).await?);
    }
    let what = format!(
        "from a revocation until the last of {many} Gatekeepers refuses, the worst of {rounds} rounds"
    );
    table.budget(what, Figure::time(worst), Figure::time(Duration::from_secs(1)));
    Ok(())
}

/// Gatekeepers of one service, each a process with a feed of its own.
struct Crowd {
    _processes: Vec<Process>,
    endpoints: Vec<Endpoint>,
}

impl Crowd {
    async fn start(scene: &Scene, settings: &Settings, count: usize) -> Result<Self> {
        let identity = scene.identity_of_orders();
        let (mut processes, mut endpoints) = (Vec::new(), Vec::new());
        // One after another: all at once would wait for one another longer than anybody has patience.
        for number in 0..count {
            let port = free_port()?;
            let mut guard = scene.gatekeeper_at(settings, port, &identity)?;
            let log = format!("guard-{number}.log");
            processes.push(scene.start_process(guard.arg("--plain"), &log)?);
            let endpoint = Endpoint::Tcp(format!("127.0.0.1:{port}"));
            scene.answers(&endpoint, 401, &log).await?;
            endpoints.push(endpoint);
        }
        Ok(Self { _processes: processes, endpoints })
    }

    /// Revokes the token, and calls at all of them until the last one refuses it.
    async fn revoke(&self, scene: &Scene, token: &str) -> Result<Duration> {
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
        let mut admin = Connection::open(&scene.administrator()).await?;
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
        // A call that runs when its token is revoked is cut. Only a refusal counts: the next one is asked for it.
        let Ok(answer) = connection.ask(request).await else {
            if began.elapsed() > PATIENCE {
                bail!("calls are cut and not refused");
            }
            connection = Connection::open(endpoint).await?;
            continue;
        };
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
