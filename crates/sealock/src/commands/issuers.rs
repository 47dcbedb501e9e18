//! `sealock ca request`, `import`, `list`, `disable` and `enable`: issuing CAs, and those under roots of others.

use std::fmt::Write as _;
use std::path::PathBuf;

use data_encoding::BASE64;
use sealock_control::command::{
    CaImport, CaRequest, Command, IssuerChange, IssuerImportReport, IssuingReport, KeyHome, Reply,
};
use sealock_core::clock::{Clock, SystemClock};
use sealock_core::span::format_span;

use super::init::{key_home, key_type};
use super::session::{Session, unexpected};
use super::{files, imported};
use crate::args::CaRequestArgs;
use crate::printer::{Failure, Printer, Table};

/// `sealock ca request`
pub(super) fn request(
    arguments: &CaRequestArgs,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let name = arguments.name.clone();
    if arguments.cancel {
        return change(name, IssuerChange::Cancel, session, printer);
    }
    let report = match arguments.show {
        true => found(&name, session)?,
        false => {
            let wanted = CaRequest {
                name: name.clone(),
                subject: arguments.subject.clone(),
                key_type: arguments.key_type.map(key_type),
                key: arguments.key.map(key_home),
                replace: arguments.replace,
            };
            match session.call(Command::CaRequest(wanted))? {
                Reply::Issuer(report) => *report,
                other => return Err(unexpected(&other)),
            }
        }
    };
    let waiting = report.waiting.as_ref().or(report.anew.as_ref()).ok_or_else(|| {
        Failure::refused(format!("`{name}` waits for no signature"))
            .hint(format!("`sealock ca request {name}` makes the next key and CSR"))
    })?;
    if let Some(path) = &arguments.csr {
        files::write(path, waiting.csr.as_bytes(), 0o644)?;
    }
    if arguments.show {
        return printer.either(&report, |_| waiting.csr.trim_end().to_owned());
    }
    printer.either(&report, |report| {
        let mut text = waiting.text.clone();
        match &arguments.csr {
            Some(path) => {
                let _ = writeln!(text, "CSR           {}", path.display());
            }
            None => text.push_str(&waiting.csr),
        }
        let _ = write!(
            text,
            "Have it signed by your CA, then: sealock ca import {} FILE…",
            report.name
        );
        text
    })
}

/// What is said when the key of an issuing CA is at its new place.
pub(super) fn moved(issuer: &str, to: KeyHome) -> String {
    let place = match to {
        KeyHome::Hsm => "in the HSM",
        KeyHome::Store => "on this host",
    };
    format!("The key of the issuer {issuer} is {place}; its certificate is the same.")
}

fn found(name: &str, session: &Session) -> Result<IssuingReport, Failure> {
    let all = asked(session)?;
    all.into_iter().find(|report| report.name == name).ok_or_else(|| {
        Failure::refused(format!("there is no issuer `{name}`")).hint("see `sealock ca list`")
    })
}

fn asked(session: &Session) -> Result<Vec<IssuingReport>, Failure> {
    match session.call(Command::CaIssuers)? {
        Reply::Issuers(all) => Ok(all),
        other => Err(unexpected(&other)),
    }
}

/// `sealock ca import`
pub(super) fn import(
    name: String,
    paths: &[PathBuf],
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let mut certificates = Vec::new();
    for path in paths {
        let contents = imported::read_public(path)?;
        if !contents.keys.is_empty() {
            return Err(Failure::refused(format!("there is a private key in {}", path.display()))
                .hint("the key of an issuing CA is made here, and does not come from elsewhere"));
        }
        certificates.extend(contents.certificates.iter().map(|der| BASE64.encode(der)));
    }
    match session.call(Command::CaImport(CaImport { name, certificates }))? {
        Reply::IssuerImported(report) => printer.either(&*report, taken),
        other => Err(unexpected(&other)),
    }
}

fn taken(report: &IssuerImportReport) -> String {
    let mut text = match (&report.issuer.held, report.new) {
        (Some(held), true) => format!(
            "{}  serial {}  valid {} (until {})",
            report.issuer.name,
            held.serial,
            format_span(held.not_after.since(SystemClock.now())),
            held.not_after
        ),
        _ => format!("{}  was imported before", report.issuer.name),
    };
    for (depth, subject) in report.chain.iter().enumerate() {
        let _ = write!(text, "\n{}{subject}", "  ".repeat(depth + 1));
    }
    if let Some(asked) = &report.asked {
        let _ = write!(
            text,
            "\nIts subject is another than asked for ({asked}): it stands as issuer in what is signed."
        );
    }
    for constraint in report.issuer.held.iter().flat_map(|held| &held.constraints) {
        let _ = write!(text, "\nConstraint: {constraint}");
    }
    text
}

/// `sealock ca list`
pub(super) fn list(session: &Session, printer: Printer) -> Result<(), Failure> {
    let all = asked(session)?;
    printer.either(&all, |all| {
        let now = SystemClock.now();
        let mut table =
            Table::new(&["NAME", "STATE", "ID", "SUBJECT", "ROOT", "EXPIRES IN", "PERMITS"]);
        for report in all {
            let held = report.held.as_ref();
            let left = held.map(|held| match held.not_after < now {
                true => "expired".to_owned(),
                false => format_span(held.not_after.since(now)),
            });
            table.row([
                report.name.clone(),
                report.state.clone(),
                held.map_or("-", |held| held.id.as_str()).to_owned(),
                report.subject.clone(),
                held.map_or("-", |held| held.root.as_str()).to_owned(),
                left.unwrap_or_else(|| "-".to_owned()),
                held.map_or_else(|| "-".to_owned(), |held| held.permits.join(" ")),
            ]);
        }
        let mut text = table.render();
        for report in all {
            for constraint in report.held.iter().flat_map(|held| &held.constraints) {
                let _ = write!(text, "\n{}: {constraint}", report.name);
            }
            if let Some(length) = report.held.as_ref().and_then(|held| held.path_length) {
                let _ = write!(text, "\n{}: path length {length}", report.name);
            }
            if let Some(todo) = &report.todo {
                let _ = write!(text, "\n{}: {todo}", report.name);
            }
        }
        text
    })
}

/// `sealock ca disable`, `enable`, and `request --cancel`
pub(super) fn change(
    name: String,
    change: IssuerChange,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    match session.call(Command::CaIssuerChange { name, change })? {
        Reply::Issuer(report) => printer.either(&*report, |report| match change {
            IssuerChange::Cancel => format!("{} waits for nothing; that key is gone.", report.name),
            IssuerChange::Disable | IssuerChange::Enable => {
                format!("{}  {}", report.name, report.state)
            }
        }),
        other => Err(unexpected(&other)),
    }
}
