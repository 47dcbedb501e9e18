//! Connections on which nothing happens: what they cost a Gatekeeper.

use anyhow::{Result, bail};

use super::load;
use super::scene::Scene;
use crate::Settings;
use crate::http::Connection;
use crate::process::{descriptors, resident};
use crate::table::{Figure, Table};

const CONNECTIONS: u64 = 10_000;
/// Bytes, for all of them.
const BUDGET: u64 = 200_000_000;
/// Descriptors that a process has for other things.
const OTHERS: u64 = 200;

/// Each has made a call.
pub(super) async fn run(
    settings: &Settings,
    scene: &Scene,
    tokens: &[String],
    table: &mut Table,
) -> Result<()> {
    let wanted = if settings.quick { 200 } else { CONNECTIONS };
    let count = wanted.min(descriptors()?.saturating_sub(OTHERS));
    let gatekeeper = scene.gatekeeper();
    let calls = scene.calls(tokens);
    let before = resident(scene.gatekeeper_id()?)?;
    let mut open = Vec::new();
    for call in calls.iter().cycle().take(usize::try_from(count)?) {
        let mut connection = Connection::open(&gatekeeper).await?;
        let answer = connection.ask(call).await?;
        if answer.status != 200 {
            bail!("with {} connections open, a call is answered {}", open.len(), answer.status);
        }
        connection.rest();
        open.push(connection);
    }
    let after = resident(scene.gatekeeper_id()?)?;
    let mut other = Connection::open(&gatekeeper).await?;
    let status = other.ask(&load::request(None)).await?.status;
    if status != 401 {
        bail!("with {count} connections open, a call without a token is answered {status}");
    }
    let megabytes = |bytes: u64| Figure::Megabytes(bytes as f64 / 1e6);
    let what = format!(
        "a Gatekeeper's memory with {count} idle connections ({:.0} MB without)",
        before as f64 / 1e6
    );
    table.budget(what, megabytes(after), megabytes(BUDGET * count / CONNECTIONS));
    Ok(())
}
