//! What it costs to start a program with secrets, against Summon, and what the vault gives.
//!
//! A figure of a start is what is added to starting the program without us: both are taken in turn, from the start of
//! the process to its end. Summon is not ours to bring along: `--summon PATH` or `SEALOCK_BENCH_SUMMON` says where it is.

mod scene;
mod starts;
mod vault;

use anyhow::Result;

use crate::Settings;
use crate::table::Table;
use scene::Scene;

pub(crate) fn run(settings: &Settings, table: &mut Table) -> Result<()> {
    if settings.summon.is_none() {
        eprintln!("  no Summon to compare with: name one with --summon or SEALOCK_BENCH_SUMMON");
    }
    let mut scene = Scene::start(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(vault::fill(&scene))?;
    starts::run(&scene, table)?;
    vault::list(&scene, table, "daemon")?;
    runtime.block_on(vault::reads(&scene, table))?;
    scene.stop_daemon();
    vault::list(&scene, table, "no daemon")
}
