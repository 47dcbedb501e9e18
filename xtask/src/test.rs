//! `cargo xtask test`: the whole suite, and the counts as its last line.

use std::fs;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::counts::{self, Counts};
use crate::{clients, run, tools};

/// The file in which tests note why they were skipped; see `sealock_testkit::clients`.
const SKIPS: &str = "SEALOCK_TEST_SKIPS";
/// The value of the label `sealock-test` on all that tests make in the engine.
const RUN: &str = "SEALOCK_TEST_RUN";

/// Runs everything, or what `arguments` select.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let ready = clients::ensure()?;
    if run::in_ci() && !ready.missing.is_empty() {
        bail!("clients are missing, and in CI a skip is a failure: {}", ready.missing.join(", "));
    }
    let suite = Suite::new(&ready.path)?;
    let mut counts = Counts::default();
    let mut faults = Vec::new();
    for step in [Suite::tests, Suite::doctests] {
        let (step_counts, fault) = step(&suite, arguments)?;
        counts += step_counts;
        faults.extend(fault);
    }
    let skips = suite.skips();
    for missing in &ready.missing {
        eprintln!("MISSING: {missing}");
    }
    for skip in &skips {
        eprintln!("SKIPPED: {skip}");
    }
    for fault in &faults {
        eprintln!("error: {fault}");
    }
    if run::in_ci() && !skips.is_empty() {
        eprintln!("error: in CI a skip is a failure");
        faults.push("skips".into());
    }
    if counts.flaky > 0 {
        println!("{} of them passed only when they were tried again", counts.flaky);
    }
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if !faults.is_empty() || counts.failed > 0 {
        // The counts stay the last line: no further message.
        std::process::exit(1);
    }
    Ok(())
}

/// What all runners of this run share.
struct Suite {
    environment: Vec<(&'static str, std::ffi::OsString)>,
    skips: PathBuf,
}

/// Counts of one runner, and what was wrong with the run as a whole.
type Outcome = (Counts, Option<String>);

impl Suite {
    fn new(path: &[PathBuf]) -> Result<Self> {
        let skips = std::env::temp_dir().join(format!("sealock-skips-{}", std::process::id()));
        fs::write(&skips, "").with_context(|| format!("cannot write {}", skips.display()))?;
        let old = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(path.iter().cloned().chain(std::env::split_paths(&old)))?;
        let run = std::env::var_os(RUN).unwrap_or_else(|| format!("{}", std::process::id()).into());
        let environment = vec![("PATH", path), (SKIPS, skips.clone().into_os_string()), (RUN, run)];
        Ok(Self { environment, skips })
    }

    fn skips(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.skips).unwrap_or_default();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines.dedup();
        lines
    }

    fn tests(&self, arguments: &[String]) -> Result<Outcome> {
        let Some(nextest) = nextest()? else {
            eprintln!("cargo-nextest is not installed: falling back to cargo test");
            let mut command = run::cargo_command();
            command.args(["test", "--workspace", "--all-targets", "--no-fail-fast"]);
            command.args(arguments);
            return self.watch(command, Stream::Output, counts::from_harness);
        };
        let mut command = Command::new(nextest);
        command.args(["nextest", "run", "--workspace", "--no-fail-fast"]).args(arguments);
        if std::io::stderr().is_terminal() {
            command.args(["--color", "always"]);
        }
        self.watch(command, Stream::Error, counts::from_nextest)
    }

    /// Examples in the documentation; only in a run of everything.
    fn doctests(&self, arguments: &[String]) -> Result<Outcome> {
        if !arguments.is_empty() {
            return Ok((Counts::default(), None));
        }
        let mut command = run::cargo_command();
        command.args(["test", "--workspace", "--doc", "--no-fail-fast"]);
        self.watch(command, Stream::Output, counts::from_harness)
    }

    /// Runs a command, hands its lines on, and adds up the counts that are found in them.
    fn watch(
        &self,
        mut command: Command,
        stream: Stream,
        parse: fn(&str) -> Option<Counts>,
    ) -> Result<Outcome> {
        let shown = run::show(&command);
        eprintln!("+ {shown}");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        match stream {
            Stream::Output => command.stdout(Stdio::piped()),
            Stream::Error => command.stderr(Stdio::piped()),
        };
        let mut child = command.spawn().with_context(|| format!("cannot start {shown}"))?;
        let pipe: Box<dyn std::io::Read> = match stream {
            Stream::Output => Box::new(child.stdout.take().context("its output")?),
            Stream::Error => Box::new(child.stderr.take().context("its error stream")?),
        };
        let mut counts = Counts::default();
        let mut seen = false;
        for line in BufReader::new(pipe).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            eprintln!("{line}");
            if let Some(found) = parse(&counts::without_colours(&line)) {
                counts += found;
                seen = true;
            }
        }
        let status = child.wait()?;
        let fault = match (status.success(), seen) {
            (false, _) => Some(format!("{shown}: {status}")),
            (true, false) => Some(format!("{shown}: printed no counts")),
            (true, true) => None,
        };
        Ok((counts, fault))
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        // Only a note of this run; a leftover in the temporary folder would do no harm.
        let _ = fs::remove_file(&self.skips);
    }
}

/// Where a runner prints its counts.
#[derive(Clone, Copy)]
enum Stream {
    Output,
    Error,
}

/// The runner from `PATH`, else, in CI, the pinned one.
fn nextest() -> Result<Option<PathBuf>> {
    if let Some(found) = run::find("cargo-nextest") {
        return Ok(Some(found));
    }
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let in_home = home.map(|home| Path::new(&home).join("bin/cargo-nextest"));
    if let Some(found) = in_home.filter(|file| file.is_file()) {
        return Ok(Some(found));
    }
    if run::in_ci() { tools::NEXTEST.ensure().map(Some) } else { Ok(None) }
}
