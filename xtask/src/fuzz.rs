//! `cargo xtask fuzz`: a few seconds of every fuzz target, on the stable compiler.
//!
//! Seeds are in `fuzz/corpus/<target>`. What a run finds beyond them goes to the target folder, so
//! that a smoke run leaves the checkout as it was; an input that breaks a target is kept in
//! `fuzz/artifacts` and belongs into the corpus once the bug is mended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{run, tools};

/// No parser of ours has a reason to need more for one input of a fuzzer's size.
const MEMORY_MIB: u32 = 1024;
/// Seconds after which one input counts as a hang.
const HANG: u32 = 10;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (seconds, mut targets) = parse(arguments)?;
    let fuzz = Fuzz { program: tools::FUZZ.ensure()?, target: run::target_folder()?.join("fuzz") };
    if targets.is_empty() {
        let output = fuzz.command("list").output().context("cannot start cargo fuzz list")?;
        targets = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
    }
    if targets.is_empty() {
        bail!("fuzz/ has no targets");
    }
    for target in &targets {
        fuzz.smoke(target, seconds)?;
    }
    println!("fuzz: {} targets, {seconds} s each, no finding", targets.len());
    Ok(())
}

struct Fuzz {
    program: PathBuf,
    /// Beside the run's own artifacts: builds for fuzzing have other flags.
    target: PathBuf,
}

impl Fuzz {
    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["fuzz", verb]).env("RUST_BACKTRACE", "0");
        command
    }

    fn smoke(&self, target: &str, seconds: u32) -> Result<()> {
        let seeds = Path::new("fuzz/corpus").join(target);
        if !seeds.is_dir() {
            bail!("the target {target} has no seeds in {}", seeds.display());
        }
        let found = self.target.join("corpus").join(target);
        fs::create_dir_all(&found)?;
        let mut command = self.command("run");
        // Without a sanitizer: our code has no `unsafe`, so panics, hangs and memory use are what
        // there is to be found, and the stable compiler can build it.
        command.args(["--dev", "--sanitizer", "none", "--target-dir"]).arg(&self.target);
        command.arg(target).arg(&found).arg(&seeds).arg("--").args([
            format!("-max_total_time={seconds}"),
            format!("-rss_limit_mb={MEMORY_MIB}"),
            format!("-timeout={HANG}"),
            "-verbosity=0".into(),
        ]);
        run::to_end(&mut command).with_context(|| format!("fuzz target {target}"))
    }
}

fn parse(arguments: &[String]) -> Result<(u32, Vec<String>)> {
    let mut seconds = 5;
    let mut targets = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--seconds" => {
                let value = rest.next().context("--seconds needs a number")?;
                seconds = value.parse().with_context(|| format!("{value:?} is not a number"))?;
            }
            option if option.starts_with('-') => bail!("there is no option {option:?}"),
            target => targets.push(target.to_owned()),
        }
    }
    Ok((seconds, targets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<(u32, Vec<String>)> {
        parse(&arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn arguments() {
        assert_eq!(parsed(&[]).unwrap(), (5, Vec::new()));
        let (seconds, targets) = parsed(&["--seconds", "60", "core_names"]).unwrap();
        assert_eq!((seconds, targets), (60, vec!["core_names".to_owned()]));
        assert!(parsed(&["--seconds"]).is_err());
        assert!(parsed(&["--seconds", "x"]).is_err());
        assert!(parsed(&["--second", "1"]).is_err());
    }
}
