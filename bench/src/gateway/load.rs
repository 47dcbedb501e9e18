//! Small requests, many at once: how many a second, and how long the slowest wait.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::scene::{Nginx, Scene};
use crate::Settings;
use crate::http::{Connection, Endpoint, request};
use crate::table::{Figure, Table};

/// Clients at once, each on a connection that it keeps.
const CLIENTS: usize = 32;

/// What a round of requests came to.
#[derive(Clone, Copy)]
struct Round {
    rate: f64,
    p99: Duration,
}

pub(super) async fn run(
    settings: &Settings,
    table: &mut Table,
    scene: &Scene,
    nginx: &Nginx,
    engine: &Path,
) -> Result<()> {
    let socket = Endpoint::Socket(engine.to_owned());
    let peers = [scene.gateway(), nginx.copied.clone(), nginx.tuned.clone(), socket];
    let (rounds, long) = if settings.quick { (1, 300) } else { (7, 1500) };
    for target in ["/_ping", "/containers/json"] {
        let mut taken: [Vec<Round>; 4] = Default::default();
        for round in 0..=rounds {
            for (peer, taken) in peers.iter().zip(&mut taken) {
                let one = round_of(peer, target, Duration::from_millis(long)).await?;
                if round > 0 {
                    taken.push(one);
                }
            }
        }
        let [ours, copied, tuned, raw] = taken.map(middle);
        for (name, peer, least) in [("nginx, as copied", copied, 3.0), ("nginx, tuned", tuned, 1.0)]
        {
            let rate = |round: Round| Figure::PerSecond(round.rate);
            table.against(format!("`GET {target}`"), rate(ours), (name, rate(peer)), least);
        }
        // All of it shares the processors: what the engine takes, nothing before it can give.
        let rates = (Figure::PerSecond(ours.rate), Figure::PerSecond(raw.rate));
        table.beside(format!("`GET {target}`"), rates.0, ("the bare socket", rates.1));
        for (name, peer) in [("nginx, as copied", copied), ("nginx, tuned", tuned)] {
            let p99 = |round: Round| Figure::time(round.p99);
            table.against(format!("`GET {target}`, p99"), p99(ours), (name, p99(peer)), 1.0);
        }
    }
    Ok(())
}

async fn round_of(peer: &Endpoint, target: &str, long: Duration) -> Result<Round> {
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        connections.push(Connection::open(peer).await?);
    }
    let request = request("GET", target);
    let started = Instant::now();
    let end = started + long;
    let clients = connections.into_iter().map(|connection| client(connection, peer, &request, end));
    let mut waits = Vec::new();
    for taken in futures_util::future::join_all(clients).await {
        waits.extend(taken?);
    }
    let rate = waits.len() as f64 / started.elapsed().as_secs_f64();
    waits.sort_unstable();
    let p99 = waits.get(waits.len() * 99 / 100).copied().context("no answer")?;
    Ok(Round { rate, p99 })
}

/// One request after another until the end.
async fn client(
    mut connection: Connection,
    peer: &Endpoint,
    request: &[u8],
    end: Instant,
) -> Result<Vec<Duration>> {
    let mut waits = Vec::new();
    while Instant::now() < end {
        let asked = Instant::now();
        let answer = connection.ask(request).await?;
        waits.push(asked.elapsed());
        if answer.status != 200 {
            bail!("answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        if answer.last {
            connection = Connection::open(peer).await?;
        }
    }
    Ok(waits)
}

/// The medians of both.
fn middle(mut rounds: Vec<Round>) -> Round {
    let middle = rounds.len() / 2;
    rounds.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let rate = rounds.get(middle).map_or(f64::NAN, |round| round.rate);
    rounds.sort_by_key(|round| round.p99);
    Round { rate, p99: rounds.get(middle).map_or(Duration::MAX, |round| round.p99) }
}
