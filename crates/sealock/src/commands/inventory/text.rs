//! The report for a terminal.

use std::fmt::Write as _;

use sealock_control::command::InventoryReport;

use super::{containers, issuer, left, minute, names, subject, summary};
use crate::printer::Table;

/// The whole report. Tables replace control characters, so no name reaches the terminal as a command.
pub(super) fn page(report: &InventoryReport) -> String {
    let mut text = format!(
        "Certificates of {}, {} UTC\n\n{}\n",
        report.trust_domain,
        minute(report.made),
        summary(report)
    );
    section(&mut text, "Issuers", &issuers(report));
    section(&mut text, "Keys of the certificates below", &keys(report));
    section(&mut text, "Certificates", &certificates(report));
    if report.left_out > 0 {
        let _ = writeln!(text, "and {} more, which are left out", report.left_out);
    }
    section(&mut text, "To do", &to_do(report));
    for note in &report.notes {
        let _ = writeln!(text, "\nNote: {note}");
    }
    text
}

fn section(text: &mut String, title: &str, table: &Table) {
    let content = if table.is_empty() { "nothing\n".to_owned() } else { table.render() };
    let _ = write!(text, "\n{title}\n\n{content}");
}

fn issuers(report: &InventoryReport) -> Table {
    let mut table = Table::new(&["ID", "SUBJECT", "KEY", "ENDS", "LEFT", "USED", "IN FORCE"]);
    for one in &report.issuers {
        let seconds = (one.not_after.as_millis() - report.made.as_millis()).div_euclid(1000);
        table.row([
            one.id.clone(),
            one.subject.clone(),
            one.key.clone(),
            minute(one.not_after),
            left(seconds),
            one.state(),
            one.in_force.to_string(),
        ]);
    }
    table
}

fn keys(report: &InventoryReport) -> Table {
    let mut table = Table::new(&["ALGORITHM", "BITS", "CERTIFICATES"]);
    for one in &report.keys {
        table.row([one.algorithm.clone(), one.bits.to_string(), one.certificates.to_string()]);
    }
    table
}

fn certificates(report: &InventoryReport) -> Table {
    let mut table = Table::new(&[
        "NAME",
        "STATE",
        "ENDS",
        "LEFT",
        "PROFILE",
        "KEY",
        "ISSUER",
        "SERIAL",
        "SUBJECT",
        "CONTAINERS",
        "NAMES",
    ]);
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    for one in &report.certificates {
        let it = &one.certificate;
        let reason = it.reason.as_ref().filter(|_| it.revoked_at.is_some());
        table.row([
            it.name.clone(),
            reason.map_or_else(|| it.state.clone(), |reason| format!("{} ({reason})", it.state)),
            minute(it.not_after),
            left(one.seconds_left),
            or_dash(it.profile.clone()),
            it.key.clone(),
            issuer(one),
            it.serial.clone(),
            subject(one).unwrap_or_else(|| "-".to_owned()),
            or_dash(containers(one)),
            names(one),
        ]);
    }
    table
}

fn to_do(report: &InventoryReport) -> Table {
    let mut table = Table::new(&["WHAT", "OF", "WHY", "HINT"]);
    for one in &report.to_do {
        let hint = one.hint.clone().unwrap_or_default();
        table.row([one.kind.clone(), one.subject.clone(), one.reason.clone(), hint]);
    }
    table
}
