//! Tokens, and calls through a Gatekeeper that checks them: beside nginx before the same app, which checks nothing, and
//! beside others that check.

mod check;
mod idle;
mod load;
mod peers;
mod revoke;
mod scene;

use std::time::Duration;

use anyhow::{Context, Result};

use crate::Settings;
use crate::table::{Figure, Table};
use load::{CLIENTS, Round, Target};
use scene::Scene;

/// Callers, each with a token of its own, and a rule.
const CALLERS: usize = 1000;
/// What a call may wait for a Forwarder and a Gatekeeper on its way.
const ADDED: Duration = Duration::from_micros(150);

pub(crate) fn run(settings: &Settings, table: &mut Table) -> Result<()> {
    check::run(if settings.quick { 50 } else { CALLERS }, table)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let callers = if settings.quick { 50 } else { CALLERS };
        let mut scene = Scene::start(settings, callers).await?;
        let issued = scene.tokens(settings).await?;
        let what = "tokens issued, by a client's secret over TLS, recorded";
        table.budget(what, Figure::PerSecond(issued.rate), Figure::PerSecond(10_000.0));
        scene.guard(settings).await?;
        calls(settings, &scene, &issued, callers, table).await?;
        scene.forward(settings).await?;
        hop(settings, &scene, table).await?;
        idle::run(settings, &scene, &issued.tokens, table).await?;
        // Last, for what is revoked stays so.
        revoke::run(settings, &scene, &issued.tokens, table).await
    })
}

/// Many calls at once, through each of those that stand before the app.
async fn calls(
    settings: &Settings,
    scene: &Scene,
    issued: &scene::Issued,
    callers: usize,
    table: &mut Table,
) -> Result<()> {
    let peers = scene.peers(issued).await?;
    let with_token = scene.calls(&issued.tokens);
    let plain = [load::request(None)];
    let mut targets = vec![
        Target {
            endpoint: scene.gatekeeper(),
            requests: &with_token,
            process: scene.gatekeeper_id()?,
        },
        Target { endpoint: scene.nginx(), requests: &plain, process: scene.nginx_id()? },
    ];
    targets.extend(peers.iter().map(|peer| Target {
        endpoint: peer.endpoint(),
        requests: &with_token,
        process: peer.id(),
    }));
    let (rounds, long) = if settings.quick { (1, 300) } else { (7, 1500) };
    let taken = load::in_turn(&targets, rounds, long).await?;
    let [ours, nginx, others @ ..] = taken.as_slice() else { return Ok(()) };
    let what = format!("calls through a Gatekeeper, {callers} callers and rules");
    let name = "nginx, no check";
    let rate = |round: &Round| Figure::PerSecond(round.rate);
    let processor = |round: &Round| Figure::short(round.processor);
    table.against(what.clone(), rate(ours), (name, rate(nginx)), 1.0);
    for (peer, round) in peers.iter().zip(others) {
        table.against(what.clone(), rate(ours), (peer.name, rate(round)), 2.0);
    }
    let of_each = format!("{what}, processor's time of each");
    table.against(of_each.clone(), processor(ours), (name, processor(nginx)), 1.0);
    for (peer, round) in peers.iter().zip(others) {
        table.against(of_each.clone(), processor(ours), (peer.name, processor(round)), 2.0);
    }
    let p99 = |round: &Round| Figure::time(round.p99);
    table.against(format!("{what}, p99"), p99(ours), (name, p99(nginx)), 1.0);
    for (peer, round) in peers.iter().zip(others) {
        table.beside(format!("{what}, p99"), p99(ours), (peer.name, p99(round)));
    }
    let p50 = |round: &Round| Figure::time(round.p50);
    table.beside(format!("{what}, p50"), p50(ours), (name, p50(nginx)));
    Ok(())
}

/// One call after another: what a Forwarder and a Gatekeeper, with mutual TLS between them, add to it.
async fn hop(settings: &Settings, scene: &Scene, table: &mut Table) -> Result<()> {
    let requests = [load::request(None)];
    let long = Duration::from_millis(if settings.quick { 200 } else { 1000 });
    let (mut added, mut direct) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let through = load::round_of(&scene.forwarder(), &requests, 1, long, 200).await?;
        let app = load::round_of(&scene.app(), &requests, 1, long, 200).await?;
        added.push(through.p50.saturating_sub(app.p50));
        direct.push(app.p50);
    }
    added.sort_unstable();
    direct.sort_unstable();
    let (added, direct) = (added.get(2).context("no round")?, direct.get(2).context("no round")?);
    let what = format!(
        "what Forwarder and Gatekeeper add to a call of {:.0} µs, p50, mutual TLS between them",
        direct.as_secs_f64() * 1e6
    );
    table.budget(what, Figure::short(*added), Figure::short(ADDED));
    // And many at once.
    let long = Duration::from_millis(if settings.quick { 300 } else { 3000 });
    let many = load::round_of(&scene.forwarder(), &requests, CLIENTS, long, 200).await?;
    table.alone("calls through Forwarder and Gatekeeper", Figure::PerSecond(many.rate));
    Ok(())
}
