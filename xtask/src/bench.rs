//! `cargo xtask bench`: builds the release program and the bench, and runs them against our peers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{clients, run};

const RESULTS: &str = "bench/results/latest.json";

/// `--quick` and names of groups go to the bench. Only a whole run is kept.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let ready = clients::ensure()?;
    for missing in &ready.missing {
        eprintln!("MISSING: {missing}");
    }
    run::cargo(&["build", "--release", "--package", "sealock", "--package", "sealock-bench"])?;
    let programs = release_folder()?;
    let mut command = Command::new(programs.join("sealock-bench"));
    command.arg("--sealock").arg(programs.join("sealock")).args(arguments);
    if arguments.is_empty() {
        fs::create_dir_all(Path::new(RESULTS).parent().context("the folder of results")?)?;
        command.args(["--json", RESULTS]);
    }
    run::to_end(&mut command)
}

/// Where cargo puts release programs; `.cargo/config.toml` names a target, so there is a folder more.
fn release_folder() -> Result<PathBuf> {
    Ok(run::target_folder()?.join(run::host()?).join("release"))
}
