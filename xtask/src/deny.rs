//! `cargo xtask deny`: licences, bans and sources; advisories where their database can be reached.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::{run, tools};

const ADVISORIES: &str = "https://github.com/rustsec/advisory-db";

pub(crate) fn run() -> Result<()> {
    let deny = tools::DENY.ensure()?;
    run::to_end(Command::new(&deny).args([
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))?;
    if reachable(ADVISORIES) {
        return run::to_end(Command::new(&deny).args(["check", "advisories"]));
    }
    eprintln!("NOT CHECKED: advisories; {ADVISORIES} cannot be reached from here");
    Ok(())
}

fn reachable(repository: &str) -> bool {
    Command::new("git")
        .args(["-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=10"])
        .args(["ls-remote", "--exit-code", repository, "HEAD"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
