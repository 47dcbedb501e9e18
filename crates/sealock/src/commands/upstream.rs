//! `sealock upstream …`: CAs of others that are asked by protocol.

use std::fmt::Write as _;

use sealock_control::command::{Command, Reply, UpstreamAnswer, UpstreamReport};

use super::session::{Session, unexpected};
use crate::args::UpstreamCommand;
use crate::printer::{Failure, Printer, Table};

/// Runs one of the `upstream` commands.
pub(crate) fn run(
    command: UpstreamCommand,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let (name, ask) = match command {
        UpstreamCommand::List => (None, false),
        UpstreamCommand::Try { name } => (Some(name), true),
    };
    match session.call(Command::Upstreams { name, ask })? {
        Reply::Upstreams(all) if ask => {
            printer.either(&all, |all| all.iter().map(answered).collect::<Vec<_>>().join("\n"))
        }
        Reply::Upstreams(all) => printer.either(&all, |all| list(all)),
        other => Err(unexpected(&other)),
    }
}

fn list(all: &[UpstreamReport]) -> String {
    let mut table = Table::new(&["NAME", "KIND", "URL", "ACCOUNT", "CERTIFICATES"]);
    for one in all {
        table.row([
            one.name.clone(),
            one.kind.clone(),
            one.url.clone(),
            one.account.clone().unwrap_or_else(|| "-".to_owned()),
            one.certificates.join(" "),
        ]);
    }
    match table.is_empty() {
        true => "No upstreams: `[upstream.NAME]` in the settings makes one.".to_owned(),
        false => table.render(),
    }
}

fn answered(report: &UpstreamReport) -> String {
    let mut text = format!(
        "{}  {} at {}\n  answers, and has proved who it is",
        report.name, report.kind, report.url
    );
    let UpstreamAnswer { terms, binding_required, renewal_information, profiles, authorities } =
        &report.answer.clone().unwrap_or_default();
    if let Some(account) = &report.account {
        let _ = write!(text, "\n  our account: {account}");
    }
    if let Some(terms) = terms {
        let _ = write!(text, "\n  its terms: {terms} (terms_agreed = true says that you agree)");
    }
    if *binding_required {
        let _ = write!(text, "\n  accounts need a binding (eab_kid, eab_key_file)");
    }
    if *renewal_information {
        let _ = write!(text, "\n  says when to renew");
    }
    if !profiles.is_empty() {
        let _ = write!(text, "\n  profiles: {}", profiles.join(", "));
    }
    for one in authorities {
        let known = if one.known { "known" } else { "not known here" };
        let _ = write!(text, "\n  {} ({known})\n    SHA-256 {}", one.subject, one.fingerprint);
    }
    text
}
