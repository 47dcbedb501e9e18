//! Small calls, many at once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::http::{Connection, Endpoint};
use crate::measure::median;
use crate::process::processor_time;

/// Clients at once, each on a connection that it keeps.
pub(super) const CLIENTS: usize = 64;

/// What a round came to.
#[derive(Clone, Copy)]
pub(super) struct Round {
    pub(super) calls: usize,
    pub(super) rate: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// The processor's time for a call; zero where nobody's was taken.
    pub(super) processor: Duration,
}

/// Who is called, and how.
pub(super) struct Target<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) requests: &'a [Vec<u8>],
    /// Whose processor time is taken, its children's included.
    pub(super) process: u32,
}

/// A call, with a token or without.
pub(super) fn request(token: Option<&str>) -> Vec<u8> {
    let authorization =
        token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("GET /v1/hello HTTP/1.1\r\nHost: orders\r\n{authorization}\r\n").into_bytes()
}

/// Rounds of all in turn; their medians. The first of each does not count.
pub(super) async fn in_turn(
    targets: &[Target<'_>],
    rounds: usize,
    milliseconds: u64,
) -> Result<Vec<Round>> {
    let mut taken: Vec<Vec<Round>> = targets.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (target, taken) in targets.iter().zip(&mut taken) {
            let before = processor_time(target.process)?;
            let long = Duration::from_millis(milliseconds);
            let mut one = round_of(&target.endpoint, target.requests, CLIENTS, long, 200).await?;
            let spent = processor_time(target.process)?.saturating_sub(before);
            one.processor = spent.div_f64(one.calls.max(1) as f64);
            if round > 0 {
                taken.push(one);
            }
        }
    }
    Ok(taken.into_iter().map(middle).collect())
}

/// One round: each client goes through the requests, from another place on.
pub(super) async fn round_of(
    peer: &Endpoint,
    requests: &[Vec<u8>],
    clients: usize,
    long: Duration,
    status: u16,
) -> Result<Round> {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Connection::open(peer).await?);
    }
    let started = Instant::now();
    let end = started + long;
    let calls = connections.into_iter().enumerate().map(|(number, connection)| {
        let from = number * requests.len() / clients;
        client(connection, peer, requests, from, end, status)
    });
    let mut waits = Vec::new();
    for taken in futures_util::future::join_all(calls).await {
        waits.extend(taken?);
    }
    let rate = waits.len() as f64 / started.elapsed().as_secs_f64();
    waits.sort_unstable();
    let at = |percent: usize| waits.get(waits.len() * percent / 100).copied().context("no answer");
    Ok(Round { calls: waits.len(), rate, p50: at(50)?, p99: at(99)?, processor: Duration::ZERO })
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
fn middle(rounds: Vec<Round>) -> Round {
    let of = |what: fn(&Round) -> Duration| median(rounds.iter().map(what).collect());
    let mut rates: Vec<f64> = rounds.iter().map(|round| round.rate).collect();
    rates.sort_by(f64::total_cmp);
    Round {
        calls: rounds.iter().map(|round| round.calls).sum(),
        rate: rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN),
        p50: of(|round| round.p50),
        p99: of(|round| round.p99),
        processor: of(|round| round.processor),
    }
}
