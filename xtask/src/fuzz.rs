//! `cargo xtask fuzz`: a few seconds of every fuzz target, on the stable compiler.
//!
//! Seeds are in `fuzz/corpus/<target>`. What a run finds beyond them goes to the target folder, so
//! that a smoke run leaves the checkout as it was; an input that breaks a target is kept in
//! `fuzz/artifacts` and belongs into the corpus once the bug is mended.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::{run, tools};

/// No parser of ours has a reason to need more for one input of a fuzzer's size.
const MEMORY_MIB: u32 = 1024;
/// Seconds after which one input counts as a hang.
const HANG: u32 = 10;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (seconds, mut targets) = parse(arguments)?;
    let fuzz = Fuzz {
        program: tools::FUZZ.ensure()?,
        target: run::target_folder()?.join("fuzz"),
        host: run::host()?,
    };
    fuzz.build(&targets)?;
    if targets.is_empty() {
        let output = fuzz.command("list").output().context("cannot start cargo fuzz list")?;
        targets = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
    }
    if targets.is_empty() {
        bail!("fuzz/ has no targets");
    }
    let faults = fuzz.smoke_all(&targets, seconds);
    if !faults.is_empty() {
        bail!("{} of {} targets: {}", faults.len(), targets.len(), faults.join("; "));
    }
    println!("fuzz: {} targets, {seconds} s each, no finding", targets.len());
    Ok(())
}

struct Fuzz {
    program: PathBuf,
    /// Beside the run's own artifacts: builds for fuzzing have other flags.
    target: PathBuf,
    /// What is built for.
    host: String,
}

impl Fuzz {
    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["fuzz", verb]).env("RUST_BACKTRACE", "0");
        command
    }

    /// All of them in one build, or the ones that are named.
    fn build(&self, targets: &[String]) -> Result<()> {
        let build = |target: Option<&String>| {
            let mut command = self.command("build");
            // Without a sanitizer: our code has no `unsafe`, so panics, hangs and memory use are what
            // there is to be found, and the stable compiler can build it.
            command.args(["--dev", "--sanitizer", "none", "--target", &self.host, "--target-dir"]);
            command.arg(&self.target).args(target);
            run::to_end(&mut command)
        };
        match targets {
            [] => build(None),
            some => some.iter().try_for_each(|target| build(Some(target))),
        }
    }

    /// As many at a time as there are processors; what went wrong, each in a line.
    fn smoke_all(&self, targets: &[String], seconds: u32) -> Vec<String> {
        let next = AtomicUsize::new(0);
        let faults = Mutex::new(Vec::new());
        let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
        std::thread::scope(|scope| {
            for _ in 0..workers.min(targets.len()) {
                scope.spawn(|| {
                    while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(error) = self.smoke(target, seconds) {
                            let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
                            faults.push(format!("{target}: {error:#}"));
                        }
                    }
                });
            }
        });
        faults.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn smoke(&self, target: &str, seconds: u32) -> Result<()> {
        let seeds = Path::new("fuzz/corpus").join(target);
        if !seeds.is_dir() {
            bail!("it has no seeds in {}", seeds.display());
        }
        let found = self.target.join("corpus").join(target);
        let artifacts = Path::new("fuzz/artifacts").join(target);
        fs::create_dir_all(&found)?;
        fs::create_dir_all(&artifacts)?;
        let mut command = Command::new(self.target.join(&self.host).join("debug").join(target));
        command.env("RUST_BACKTRACE", "0").args([&found, &seeds]).args([
            format!("-artifact_prefix={}/", artifacts.display()),
            format!("-max_total_time={seconds}"),
            format!("-rss_limit_mb={MEMORY_MIB}"),
            format!("-timeout={HANG}"),
            "-verbosity=0".into(),
        ]);
        eprintln!("+ {}", run::show(&command));
        let output = command.output().context("cannot be started")?;
        if !output.status.success() {
            eprintln!("{target}:\n{}", String::from_utf8_lossy(&output.stderr));
            bail!("{}; what broke it is in {}", output.status, artifacts.display());
        }
        Ok(())
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
