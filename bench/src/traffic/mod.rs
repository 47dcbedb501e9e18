//! Tokens, and calls through a Gatekeeper that checks them: beside nginx before the same app, which checks nothing.

mod load;
mod revoke;
mod scene;

use std::time::Duration;

use anyhow::Result;

use crate::Settings;
use crate::table::{Figure, Table};
use revoke::Crowd;
use scene::Scene;

/// Gatekeepers that all hear of a revocation.
const GATEKEEPERS: usize = 100;
/// Callers, each with a token of its own, and a rule.
const CALLERS: usize = 1000;

pub(crate) fn run(settings: &Settings, table: &mut Table) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let callers = if settings.quick { 50 } else { CALLERS };
        let mut scene = Scene::start(settings, callers).await?;
        let (tokens, rate) = scene.tokens(settings).await?;
        let issued = "tokens issued, by a client's secret over TLS, recorded";
        table.budget(issued, Figure::PerSecond(rate), Figure::PerSecond(10_000.0));
        scene.guard(settings).await?;
        let calls = scene.calls(&tokens);
        let plain = [load::request(None)];
        let (rounds, long) = if settings.quick { (1, 300) } else { (7, 1500) };
        let peers = [(scene.gatekeeper(), &calls[..]), (scene.nginx(), &plain[..])];
        let [ours, nginx] = load::in_turn(peers, rounds, long).await?;
        let what = format!("calls through a Gatekeeper, {callers} callers and rules");
        let name = "nginx, no check";
        let per_second = |round: &load::Round| Figure::PerSecond(round.rate);
        table.against(what.clone(), per_second(&ours), (name, per_second(&nginx)), 1.0);
        let p99 = |round: &load::Round| Figure::time(round.p99);
        table.against(format!("{what}, p99"), p99(&ours), (name, p99(&nginx)), 1.0);
        let p50 = |round: &load::Round| Figure::time(round.p50);
        table.beside(format!("{what}, p50"), p50(&ours), (name, p50(&nginx)));
        let many = if settings.quick { 10 } else { GATEKEEPERS };
        let crowd = Crowd::start(&scene, settings, many).await?;
        let mut times = Vec::new();
        for token in tokens.iter().take(if settings.quick { 1 } else { 5 }) {
            times.push(crowd.revoke(&scene, token).await?);
        }
        let worst = times.into_iter().max().unwrap_or(Duration::MAX);
        table.budget(
            format!("a token is revoked until the last of {many} Gatekeepers refuses it, the worst of all rounds"),
            Figure::time(worst),
            Figure::time(Duration::from_secs(1)),
        );
        Ok(())
    })
}
