//! `sealock audit …`

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use sealock_control::command::{AuditPage, Command, Reply};
use sealock_core::audit::{Fact, Record};
use serde_json::Value;

use super::files::PendingFile;
use super::session::{Session, unexpected};
use crate::args::AuditCommand;
use crate::printer::{Failure, Printer};

/// How many records one page of an export has.
const PAGE: usize = 2000;

/// Runs one of the `audit` commands.
pub(crate) fn run(
    command: AuditCommand,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    match command {
        AuditCommand::Tail { lines, follow } => tail(lines, follow, session, printer),
        AuditCommand::Verify => verify(session, printer),
        AuditCommand::Export { from, out } => export(from, out.as_deref(), session, printer),
    }
}

fn tail(lines: usize, follow: bool, session: &Session, printer: Printer) -> Result<(), Failure> {
    let show = |line: &str| -> Result<(), Failure> {
        printer.line(if printer.json() { line.to_owned() } else { readable(line) })
    };
    let page = page(session, Command::AuditTail { after: None, limit: lines })?;
    let mut last = None;
    for line in &page.lines {
        show(line)?;
        last = serde_json::from_str::<Record>(line).ok().map(|record| record.seq).or(last);
    }
    if follow { session.follow(last.unwrap_or(0), show) } else { Ok(()) }
}

fn verify(session: &Session, printer: Printer) -> Result<(), Failure> {
    let report = match session.call(Command::AuditVerify)? {
        Reply::AuditVerified(report) => report,
        other => return Err(unexpected(&other)),
    };
    if let Some(problem) = report.problem.clone().filter(|_| !report.intact) {
        if printer.json() {
            printer.value(&report)?;
        }
        return Err(Failure::refused("the audit log is not what was written").with_causes([problem])
            .hint("keep a copy of the state folder; compare it with an earlier `sealock audit export`"));
    }
    printer.either(&report, |report| {
        format!(
            "{} records, unbroken; {} signed checkpoints, the last covers record {}",
            report.records, report.checkpoints, report.covered
        )
    })
}

fn export(
    mut from: u64,
    out: Option<&Path>,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let mut pending = out.map(|path| PendingFile::create(path, 0o600)).transpose()?;
    loop {
        let page = page(session, Command::AuditExport { from, limit: PAGE })?;
        for line in &page.lines {
            match &mut pending {
                Some(file) => writeln!(file, "{line}").map_err(|error| {
                    Failure::refused("cannot write the export").caused_by(&error)
                })?,
                None => printer.line(line)?,
            }
        }
        match page.next {
            Some(next) if next > from => from = next,
            _ => break,
        }
    }
    pending.map_or(Ok(()), PendingFile::keep)
}

fn page(session: &Session, command: Command) -> Result<AuditPage, Failure> {
    match session.call(command)? {
        Reply::Audit(page) => Ok(page),
        other => Err(unexpected(&other)),
    }
}

/// A record on one line: number, time, event, who, what.
fn readable(line: &str) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(line) else {
        return line.to_owned();
    };
    let Ok(record) = serde_json::from_str::<Record>(line) else {
        return line.to_owned();
    };
    let field = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut text = format!(
        "{:>6}  {}  {:<17} {}",
        record.seq,
        record.event.at,
        field("event"),
        record.event.who
    );
    let shown = ["seq", "previous", "at", "who", "request", "decision", "event"];
    for (name, value) in fields.iter().filter(|(name, _)| !shown.contains(&name.as_str())) {
        match value {
            Value::String(value) => drop(write!(text, "  {name}={value}")),
            other => drop(write!(text, "  {name}={other}")),
        }
    }
    if let Some(decision) = record.event.decision.filter(|decision| !decision.allowed) {
        // In the modes `audit` and `learn` it was done all the same.
        let outcome = match record.event.fact {
            Fact::Denied { .. } => "denied",
            _ => "no rule permits",
        };
        let _ = write!(text, "  {outcome} {} on {}", decision.action, decision.resource);
    }
    let _ = write!(text, "  ({})", record.event.request);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
