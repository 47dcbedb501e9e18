//! The vault by its door: ten thousand secrets listed, and how many a second are decided on, recorded and given out.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::scene::{Scene, secret};
use crate::http::{Connection, Endpoint, with_json};
use crate::measure::{command, in_turn};
use crate::table::{Figure, Table};

/// Connections at once, each with one request at a time.
const CLIENTS: usize = 64;
/// What a request asks for.
const AT_ONCE: [usize; 2] = [1, 100];

/// How many secrets there are.
fn count(scene: &Scene<'_>) -> usize {
    if scene.settings.quick { 300 } else { 10_000 }
}

/// Sets all secrets.
pub(super) async fn fill(scene: &Scene<'_>) -> Result<()> {
    let client = async |first: usize| {
        let mut connection = Connection::open(&door(scene)).await?;
        for number in (first..count(scene)).step_by(CLIENTS) {
            let name = secret(number);
            // "value", in base64.
            let with = format!(r#"{{"name":"{name}","value":{{"given":"dmFsdWU="}},"ttl":null}}"#);
            call(&mut connection, "secret-set", &with).await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    futures_util::future::try_join_all((0..CLIENTS).map(client)).await?;
    Ok(())
}

/// `secret list` as a person runs it, with a daemon or without.
pub(super) fn list(scene: &Scene<'_>, table: &mut Table, with: &str) -> Result<()> {
    let list = || {
        let mut list = crate::sealock(scene.settings, "secret");
        list.arg("list").arg("--state").arg(scene.state());
        list
    };
    let output = list().stdin(Stdio::null()).output().context("cannot list")?;
    let lines = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    if lines != count(scene) + 1 {
        bail!("{lines} lines: {}", String::from_utf8_lossy(&output.stderr));
    }
    let rounds = if scene.settings.quick { 1 } else { 15 };
    let [taken] = in_turn(rounds, [&mut || command(&mut list())])?;
    let what = format!("`secret list`, {} secrets, {with}", count(scene));
    table.budget(what, Figure::time(taken), Figure::Milliseconds(100.0));
    Ok(())
}

/// Single secrets a second, by requests for one and for a hundred.
pub(super) async fn reads(scene: &Scene<'_>, table: &mut Table) -> Result<()> {
    let (rounds, long) = if scene.settings.quick { (1, 300) } else { (5, 2000) };
    for at_once in AT_ONCE {
        let mut rates = Vec::new();
        for round in 0..=rounds {
            let rate = round_of(scene, at_once, Duration::from_millis(long)).await?;
            if round > 0 {
                rates.push(rate);
            }
        }
        rates.sort_by(f64::total_cmp);
        let rate = rates.get(rates.len() / 2).copied().context("no rounds")?;
        let what = format!("secrets read, decided and audited: {at_once} a request");
        table.budget(what, Figure::PerSecond(rate), Figure::PerSecond(10_000.0));
    }
    Ok(())
}

async fn round_of(scene: &Scene<'_>, at_once: usize, long: Duration) -> Result<f64> {
    let before = audited(scene)?;
    let started = Instant::now();
    let end = started + long;
    let clients = (0..CLIENTS).map(|number| client(scene, (number, at_once), end));
    let read: Vec<u64> = futures_util::future::try_join_all(clients).await?;
    let taken = started.elapsed();
    let read: u64 = read.into_iter().sum();
    let audited = audited(scene)? - before;
    if audited < read {
        bail!("{read} secrets were read, and {audited} records written");
    }
    Ok(read as f64 / taken.as_secs_f64())
}

/// One request after another until the end; says how many secrets were read.
async fn client(scene: &Scene<'_>, (number, at_once): (usize, usize), end: Instant) -> Result<u64> {
    let mut connection = Connection::open(&door(scene)).await?;
    let all = count(scene);
    let (mut next, mut read) = (number * 31 + 7, 0);
    while Instant::now() < end {
        let mut names = Vec::with_capacity(at_once);
        for _ in 0..at_once {
            // Prime to any count of ours, so that every secret has its turn, in no order.
            next = (next + 7919) % all;
            names.push(format!(r#"{{"name":"{}"}}"#, secret(next)));
        }
        let with = format!(r#"{{"secrets":[{}]}}"#, names.join(","));
        let answer = call(&mut connection, "secret-read", &with).await?;
        let given = answer.windows(7).filter(|part| *part == br#""read":"#).count();
        if given != at_once {
            bail!("{given} of {at_once} were given: {}", String::from_utf8_lossy(&answer));
        }
        read += at_once as u64;
    }
    Ok(read)
}

/// The number of the last audit record.
fn audited(scene: &Scene<'_>) -> Result<u64> {
    let mut status = crate::sealock(scene.settings, "status");
    let output = status.args(["--json", "--state"]).arg(scene.state()).output()?;
    let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    status.get("audit_seq").and_then(serde_json::Value::as_u64).context("no audit_seq")
}

fn door(scene: &Scene<'_>) -> Endpoint {
    Endpoint::Socket(scene.socket())
}

async fn call(connection: &mut Connection, command: &str, with: &str) -> Result<Vec<u8>> {
    let body = format!(r#"{{"command":"{command}","with":{with}}}"#);
    let answer = connection.ask(&with_json("POST", "/v1/call", &body)).await?;
    if answer.status != 200 || answer.last {
        bail!("{command} is answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    Ok(answer.body)
}
