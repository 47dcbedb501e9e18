//! `sealock policy test`

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sealock_control::command::{Command, Reply};
use sealock_control::rehearsal::{self, Outcome, Suite};
use sealock_core::policy::plain;
use serde_json::json;

use super::read;
use crate::commands::session::{Session, unexpected};
use crate::printer::{Failure, Printer};

/// Tries every case of every file.
pub(super) fn run(
    files: &[PathBuf],
    policy: Vec<PathBuf>,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let given = if policy.is_empty() { None } else { Some(read(policy)?.into_iter().collect()) };
    let (mut all, mut failed) = (Vec::new(), 0);
    for file in files {
        let suite = suite(file)?;
        let sources: Vec<(String, String)> = match &given {
            Some(given) => Vec::clone(given),
            None => sources(&suite, file, session)?,
        };
        let outcomes = session.wait(rehearsal::run(&suite, &sources)).map_err(|error| {
            Failure::from_error(&error).with_causes([format!("in {}", file.display())])
        })?;
        for outcome in outcomes {
            failed += usize::from(!outcome.passed);
            if !printer.json() {
                printer.line(shown(file, &outcome))?;
            }
            all.push(json!({ "file": file, "outcome": outcome }));
        }
    }
    if printer.json() {
        printer.value(&all)?;
    }
    if failed > 0 {
        return Err(Failure::refused(format!(
            "{failed} of {} cases are not as expected",
            all.len()
        )));
    }
    printer.note(format!("{} cases, all as expected", all.len()));
    Ok(())
}

fn suite(file: &Path) -> Result<Suite, Failure> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Failure::refused(format!("cannot read {}", file.display())).caused_by(error)
    };
    let text = fs::read_to_string(file).map_err(|error| failed(&error))?;
    let beside = |name: &str| fs::read(file.with_file_name(name));
    Suite::parse(&text, beside).map_err(|error| failed(&error))
}

/// The rules that a file names, or those in force.
fn sources(
    suite: &Suite,
    file: &Path,
    session: &Session,
) -> Result<Vec<(String, String)>, Failure> {
    if suite.policy().is_empty() {
        return match session.call(Command::PolicyShow)? {
            Reply::PolicyFiles(files) => Ok(files.into_iter().collect()),
            other => Err(unexpected(&other)),
        };
    }
    let beside = file.parent().unwrap_or(Path::new(""));
    let paths = suite.policy().iter().map(|path| beside.join(path)).collect();
    Ok(read(paths)?.into_iter().collect())
}

fn shown(file: &Path, outcome: &Outcome) -> String {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let (name, case) = (plain(&name), &outcome.case);
    if outcome.passed {
        return format!("ok    {name}: {case} ({})", outcome.got);
    }
    let mut text = format!("FAIL  {name}: {case}");
    let by =
        |rule: &Option<String>| rule.iter().map(|rule| format!(" by {rule}")).collect::<String>();
    let _ = write!(text, "\n      - {}{}", outcome.expected, by(&outcome.expected_rule));
    let _ = write!(text, "\n      + {}", outcome.got);
    if let Some(answer) = &outcome.answer {
        let _ = write!(text, ": {answer}");
    }
    for decided in &outcome.decided {
        let verdict = if decided.allowed { "allowed" } else { "denied" };
        let rules = match decided.rules.as_slice() {
            [] => "no rule".to_owned(),
            rules => rules.join(", "),
        };
        let _ = write!(
            text,
            "\n        {} on {}: {verdict}, by {rules}",
            decided.action, decided.resource
        );
        if let Some(fault) = &decided.fault {
            let _ = write!(text, " ({fault})");
        }
    }
    text
}
