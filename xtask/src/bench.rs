//! `cargo xtask bench`: builds the release program and the bench, and runs them against our peers.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{clients, run};

/// What each group came to when it was last run, on which machine.
const RESULTS: &str = "bench/results";

/// `--quick` and names of groups go to the bench. What is quick is not kept.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let ready = clients::ensure()?;
    for missing in &ready.missing {
        eprintln!("MISSING: {missing}");
    }
    run::cargo(&["build", "--release", "--package", "sealock", "--package", "sealock-bench"])?;
    let programs = release_folder()?;
    let mut command = Command::new(programs.join("sealock-bench"));
    command.arg("--sealock").arg(programs.join("sealock")).args(arguments);
    if !arguments.iter().any(|argument| argument == "--quick") {
        fs::create_dir_all(RESULTS)?;
        command.args(["--json", RESULTS]);
    }
    run::to_end(&mut command)
}

/// Where cargo puts release programs; `.cargo/config.toml` names a target, so there is a folder more.
fn release_folder() -> Result<PathBuf> {
    Ok(run::target_folder()?.join(run::host()?).join("release"))
}
