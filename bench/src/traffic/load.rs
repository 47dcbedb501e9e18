//! Small calls, many at once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::http::{Connection, Endpoint};

/// Clients at once, each on a connection that it keeps.
const CLIENTS: usize = 64;

/// What a round came to.
#[derive(Clone, Copy)]
pub(super) struct Round {
    pub(super) rate: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

/// A call, with a token or without.
pub(super) fn request(token: Option<&str>) -> Vec<u8> {
    let authorization =
        token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("GET /v1/hello HTTP/1.1\r\nHost: orders\r\n{authorization}\r\n").into_bytes()
}

/// Rounds of both in turn; their medians. The first of each does not count.
pub(super) async fn in_turn<const N: usize>(
    peers: [(Endpoint, &[Vec<u8>]); N],
    rounds: usize,
    milliseconds: u64,
) -> Result<[Round; N]> {
    let mut taken: [Vec<Round>; N] = std::array::from_fn(|_| Vec::new());
    for round in 0..=rounds {
        for ((peer, requests), taken) in peers.iter().zip(&mut taken) {
            let one = round_of(peer, requests, Duration::from_millis(milliseconds), 200).await?;
            if round > 0 {
                taken.push(one);
            }
        }
    }
    Ok(taken.map(middle))
}

/// One round: each client goes through the requests, from another place on.
pub(super) async fn round_of(
    peer: &Endpoint,
    requests: &[Vec<u8>],
    long: Duration,
    status: u16,
) -> Result<Round> {
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        connections.push(Connection::open(peer).await?);
    }
    let started = Instant::now();
    let end = started + long;
    let clients = connections.into_iter().enumerate().map(|(number, connection)| {
        let from = number * requests.len() / CLIENTS;
        client(connection, peer, requests, from, end, status)
    });
    let mut waits = Vec::new();
    for taken in futures_util::future::join_all(clients).await {
        waits.extend(taken?);
    }
    let rate = waits.len() as f64 / started.elapsed().as_secs_f64();
    waits.sort_unstable();
    let at = |percent: usize| waits.get(waits.len() * percent / 100).copied().context("no answer");
    Ok(Round { rate, p50: at(50)?, p99: at(99)? })
}

async fn client(
    mut connection: Connection,
    peer: &Endpoint,
    requests: &[Vec<u8>],
    from: usize,
    end: Instant,
    status: u16,
) -> Result<Vec<Duration>> {
    let mut waits = Vec::new();
    for request in requests.iter().cycle().skip(from) {
        if Instant::now() >= end {
            break;
        }
        let asked = Instant::now();
        let answer = connection.ask(request).await?;
        waits.push(asked.elapsed());
        if answer.status != status {
            bail!("answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        if answer.last {
            connection = Connection::open(peer).await?;
        }
    }
    Ok(waits)
}

/// The medians of all.
fn middle(mut rounds: Vec<Round>) -> Round {
    let middle = rounds.len() / 2;
    rounds.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let rate = rounds.get(middle).map_or(f64::NAN, |round| round.rate);
    rounds.sort_by_key(|round| round.p50);
    let p50 = rounds.get(middle).map_or(Duration::MAX, |round| round.p50);
    rounds.sort_by_key(|round| round.p99);
    Round { rate, p50, p99: rounds.get(middle).map_or(Duration::MAX, |round| round.p99) }
}
