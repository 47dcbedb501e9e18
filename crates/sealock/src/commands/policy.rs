//! `sealock policy …`

mod learn;
mod presets;
mod test;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use sealock_control::command::{Command, PolicyCheck, PolicyExplained, Reply};
use sealock_core::policy::{AttributeValue, Explanation};

use super::session::{Session, unexpected};
use crate::args::PolicyCommand;
use crate::printer::{Failure, Printer};

/// Runs one of the `policy` commands.
pub(crate) fn run(
    command: PolicyCommand,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    match command {
        PolicyCommand::Check { paths } => {
            let files = read(paths)?;
            match session.call(Command::PolicyCheck { files })? {
                Reply::PolicyChecked(report) => checked(&report, printer),
                other => Err(unexpected(&other)),
            }
        }
        PolicyCommand::Schema => match session.call(Command::PolicySchema)? {
            Reply::Schema(text) => printer.line(text.trim_end()),
            other => Err(unexpected(&other)),
        },
        PolicyCommand::Explain { request } => {
            match session.call(Command::PolicyExplain { request })? {
                Reply::Explained(report) => printer.either(&*report, explained),
                other => Err(unexpected(&other)),
            }
        }
        PolicyCommand::Reload => match session.call(Command::PolicyReload)? {
            Reply::PolicyLoaded(status) => printer.either(&status, |status| {
                format!(
                    "Policy {}: {} rules from {}",
                    status.epoch,
                    status.rules,
                    status.folder.display()
                )
            }),
            other => Err(unexpected(&other)),
        },
        PolicyCommand::Presets { name } => presets::show(name.as_deref(), printer),
        PolicyCommand::Use { preset, grantee, force } => {
            presets::put(preset, &grantee, force, session, printer)
        }
        PolicyCommand::Test { files, policy } => test::run(&files, policy, session, printer),
        PolicyCommand::Learn { from, identity, out } => {
            learn::run(&from, &identity, out.as_deref(), session, printer)
        }
    }
}

/// Files, and the `.cedar` files of folders, by name.
fn read(paths: Vec<PathBuf>) -> Result<BTreeMap<String, String>, Failure> {
    let mut files = BTreeMap::new();
    for path in paths {
        let failed = |error: &std::io::Error| {
            Failure::refused(format!("cannot read {}", path.display())).caused_by(error)
        };
        let metadata = fs::metadata(&path).map_err(|error| failed(&error))?;
        let found = if metadata.is_dir() {
            let entries = fs::read_dir(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let paths =
                entries.map_err(|error| failed(&error))?.into_iter().map(|entry| entry.path());
            paths.filter(|path| path.extension().is_some_and(|ending| ending == "cedar")).collect()
        } else {
            vec![path.clone()]
        };
        for file in found {
            let text = fs::read_to_string(&file).map_err(|error| failed(&error))?;
            files.insert(file.display().to_string(), text);
        }
        if files.is_empty() {
            return Err(Failure::usage(format!("there is no .cedar file in {}", path.display())));
        }
    }
    Ok(files)
}

fn checked(report: &PolicyCheck, printer: Printer) -> Result<(), Failure> {
    if printer.json() {
        printer.value(report)?;
    }
    for warning in &report.warnings {
        printer.note(format!("warning: {warning}"));
    }
    if !report.valid {
        let problems = report.problems.iter().map(ToString::to_string);
        return Err(Failure::refused("the policy cannot be loaded")
            .with_causes(problems)
            .hint("`sealock policy schema` prints what rules can speak about"));
    }
    if printer.json() { Ok(()) } else { printer.line(format!("{} rules, valid", report.rules)) }
}

fn explained(report: &PolicyExplained) -> String {
    let verdict = |allowed| if allowed { "allowed" } else { "denied" };
    let mut text = format!(
        "{} asked for {} on {}, at {}\n",
        report.who, report.action, report.resource, report.at
    );
    let _ = writeln!(text, "then: {} (policy {})", verdict(report.allowed_then), report.epoch_then);
    for rule in &report.rules_then {
        let _ = writeln!(text, "  by {rule}");
    }
    text.push_str(&explanation(&report.now));
    text
}

fn explanation(now: &Explanation) -> String {
    let mut text = format!("now:  {} (policy {})\n", now.summary, now.epoch);
    let values = |values: &[AttributeValue]| {
        let each = values.iter().map(|value| format!("      {} = {}\n", value.path, value.value));
        each.collect::<String>()
    };
    for rule in &now.rules {
        let broken = if rule.broken { ", which cannot be evaluated" } else { "" };
        let _ = writeln!(text, "  {} {} at {}{broken}", rule.effect, rule.rule, rule.position);
        text.push_str(&values(&rule.attributes));
    }
    for near in &now.near {
        let _ = writeln!(
            text,
            "  almost: {} at {}: does not hold: {}",
            near.rule, near.position, near.condition
        );
        text.push_str(&values(&near.attributes));
    }
    if let Some(suggestion) = &now.suggestion {
        let _ = writeln!(text, "The smallest rule that would allow it:\n{suggestion}");
    }
    text
}
