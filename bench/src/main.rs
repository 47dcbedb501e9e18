//! Us against our peers, in one run on one machine: `cargo xtask bench`.
//!
//! Every figure of ours has the peer's beside it, taken in turn with it (ours, peer, ours, peer, …),
//! so that what else the machine does hits both. The median is what counts. There are no thresholds
//! here: a person reads the table, and the budgets are in it.
//!
//! Delivery, `seal` and cold start are measured as a person runs them, by the command, from its start
//! to its end. Issuing is measured from the library, as an ACME server or the watcher uses it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod acme;
mod deliver;
mod gateway;
mod http;
mod issue;
mod measure;
mod noise;
mod process;
mod revocation;
mod seal;
mod secrets;
mod start;
mod table;
mod traffic;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use table::Table;

/// What one run is told.
pub(crate) struct Settings {
    /// The program under test.
    sealock: PathBuf,
    /// Only these groups; all when empty.
    only: Vec<String>,
    /// Less of everything: to see whether the bench works, not how fast we are.
    quick: bool,
    /// The folder for what each group has come to.
    json: Option<PathBuf>,
    /// The peer of `run` and `summon`, where there is one.
    summon: Option<PathBuf>,
}

/// Fills the table with what belongs together.
type Group = fn(&Settings, &mut Table) -> Result<()>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The bench starts itself once more for this.
    if let [option, socket] = arguments.as_slice()
        && option == "--engine-at"
    {
        return gateway::stand_in(Path::new(socket));
    }
    let settings = parse(arguments.into_iter())?;
    let groups: [(&str, Group); 11] = [
        ("start", start::run),
        ("deliver", deliver::run),
        ("seal", seal::run),
        ("issue", issue::run),
        ("revocation", revocation::run),
        ("acme", acme::run),
        ("hsm", acme::with_token),
        ("orders", acme::memory),
        ("gateway", gateway::run),
        ("secrets", secrets::run),
        ("traffic", traffic::run),
    ];
    for name in &settings.only {
        if !groups.iter().any(|(group, _)| group == name) {
            bail!("there is no group {name:?}");
        }
    }
    let mut all = Table::new(settings.quick);
    for (name, run) in groups {
        if settings.only.is_empty() || settings.only.iter().any(|only| only == name) {
            eprintln!("bench: {name}");
            let mut table = Table::new(settings.quick);
            run(&settings, &mut table).with_context(|| format!("in the group {name}"))?;
            if let Some(folder) = &settings.json {
                let path = folder.join(format!("{name}.json"));
                std::fs::write(&path, table.to_json()?)
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            all.extend(table);
        }
    }
    print!("{}", all.to_markdown());
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Settings> {
    let mut settings = Settings {
        sealock: "sealock".into(),
        only: Vec::new(),
        quick: false,
        json: None,
        summon: std::env::var_os("SEALOCK_BENCH_SUMMON").map(PathBuf::from),
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--sealock" => settings.sealock = value()?.into(),
            "--summon" => settings.summon = Some(value()?.into()),
            "--json" => settings.json = Some(value()?.into()),
            "--quick" => settings.quick = true,
            option if option.starts_with('-') => bail!("there is no option {option:?}"),
            group => settings.only.push(group.to_owned()),
        }
    }
    Ok(settings)
}

/// A command of ours.
fn sealock(settings: &Settings, verb: &str) -> Command {
    let mut command = Command::new(&settings.sealock);
    command.arg(verb);
    command
}
