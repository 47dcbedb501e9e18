//! The gateway before the engine, against nginx as TLS client-certificate proxy to the same socket: once as
//! people copy it and once tuned (`bench/peers/nginx.conf`). Clients, certificates and requests are the same
//! for all; each round asks them in turn.

mod bulk;
mod create;
mod idle;
mod load;
mod scene;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::Settings;
use crate::table::Table;
use scene::Scene;

pub(crate) use idle::stand_in;
pub(crate) use scene::{anonymous, free_port, identity};

/// What policy says to the runner whose creates are measured: the preset, for one service.
const RUNNER: &str = include_str!("../../../policies/docker/ci-runner.cedar");

pub(crate) fn run(settings: &Settings, table: &mut Table) -> Result<()> {
    let engine = engine()?;
    let rules = RUNNER.replace(
        "principal in Sealock::Group::\"docker-ci\"",
        "principal == Sealock::Service::\"runner\"",
    );
    let scene = Scene::start(settings, &engine, &rules)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    {
        let nginx = scene.nginx(settings, &engine)?;
        runtime.block_on(load::run(settings, table, &scene, &nginx, &engine))?;
        runtime.block_on(bulk::run(settings, table, &scene, &nginx))?;
    }
    runtime.block_on(create::run(settings, table, &scene, &engine))?;
    drop(scene);
    runtime.block_on(idle::run(settings, table))
}

/// The socket of the engine here.
fn engine() -> Result<PathBuf> {
    let path = Path::new("/var/run/docker.sock");
    if !path.exists() {
        bail!("there is no {}", path.display());
    }
    Ok(path.to_owned())
}
