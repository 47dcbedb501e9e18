//! What the gateway adds to a create: the handshake is paid for, so it is reading the body, asking the engine
//! about the image, policy, the record on the disk, and the way there and back.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sealock_testkit::docker::Image;

use super::scene::Scene;
use crate::Settings;
use crate::http::{Connection, Endpoint, request, with_json};
use crate::measure::median;
use crate::table::{Figure, Table};

pub(super) async fn run(
    settings: &Settings,
    table: &mut Table,
    scene: &Scene,
    engine: &Path,
) -> Result<()> {
    let image = Image::busybox();
    let runner = scene.gateway_for(settings, "runner")?;
    let mut raw = Connection::open(&Endpoint::Socket(engine.to_owned())).await?;
    let mut guarded = Connection::open(&runner).await?;
    let mut engine = Connection::open(&Endpoint::Socket(engine.to_owned())).await?;
    let rounds = if settings.quick { 5 } else { 300 };
    let mut times = [const { Vec::new() }; 2];
    for round in 0..rounds + 5 {
        for (number, connection) in [&mut raw, &mut guarded].into_iter().enumerate() {
            let taken = create(connection, &mut engine, image.name()).await?;
            if round >= 5
                && let Some(times) = times.get_mut(number)
            {
                times.push(taken);
            }
        }
    }
    let [raw, guarded] = times.map(median);
    let added = guarded.saturating_sub(raw);
    let what = format!(
        "p50 of a container create, added to the socket's {:.1} ms",
        raw.as_secs_f64() * 1000.0
    );
    table.budget(what, Figure::time(added), Figure::Milliseconds(0.5));
    Ok(())
}

/// Creates a container, and removes it again without being timed.
async fn create(
    connection: &mut Connection,
    engine: &mut Connection,
    image: &str,
) -> Result<Duration> {
    let body = format!(
        r#"{{"Image":"{image}","Cmd":["true"],"Env":["A=b"],"HostConfig":{{"Memory":67108864}}}}"#
    );
    let name = sealock_testkit::unique_name();
    let create = with_json("POST", &format!("/v1.41/containers/create?name={name}"), &body);
    let started = Instant::now();
    let answer = connection.ask(&create).await?;
    let taken = started.elapsed();
    if answer.status != 201 {
        bail!("answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    let made: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let id = made.get("Id").and_then(|id| id.as_str()).context("no id")?;
    let removed =
        engine.ask(&request("DELETE", &format!("/v1.41/containers/{id}?force=1"))).await?;
    if removed.status != 204 {
        bail!("cannot remove {id}: {}", String::from_utf8_lossy(&removed.body));
    }
    Ok(taken)
}
