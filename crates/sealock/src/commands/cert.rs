//! `sealock cert …`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sealock_control::command::{self, CertificateReport, Command, Files, Reply, RevocationReason};
use sealock_core::clock::{Clock, SystemClock};
use sealock_core::span::format_span;

use super::init::key_type;
use super::inventory;
use super::publish;
use super::session::{Session, unexpected};
use super::{files, imported};
use crate::args::{CertCommand, CsrSign, IssueArgs, NamesArgs, ReasonArg, UsageArg};
use crate::printer::{Failure, Printer, Table};

/// Runs one of the `cert` commands.
pub(crate) fn run(
    command: CertCommand,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    match command {
        CertCommand::Issue(arguments) => issue(arguments, session, printer),
        CertCommand::Sign(arguments) => sign(arguments, session, printer),
        CertCommand::Request(arguments) => imported::request(&arguments, session, printer),
        CertCommand::Requests => imported::list(session, printer),
        CertCommand::Import(arguments) => imported::import(&arguments, session, printer),
        CertCommand::Files { name, out } => imported::hand_out(name, out, session, printer),
        CertCommand::List(arguments) => inventory::list(arguments, session, printer),
        CertCommand::Report(arguments) => inventory::report(&arguments, session, printer),
        CertCommand::Show { certificate, pem } => {
            match session.call(Command::CertShow { certificate })? {
                Reply::Certificate(report) => {
                    printer.either(&*report, |report| detail(report, pem))
                }
                other => Err(unexpected(&other)),
            }
        }
        CertCommand::Renew { certificate, out, ttl } => {
            if let Some(out) = &out {
                refuse_others_key(out)?;
            }
            let ttl = ttl.map(|span| span.as_secs());
            let answer = session.call(Command::CertRenew { certificate, ttl })?;
            hand_over(answer, out, session, printer)
        }
        CertCommand::Export(arguments) => super::export::run(&arguments, printer),
        CertCommand::Revoke { serial, reason } => revoke(serial, reason, session, printer),
        CertCommand::Publish(arguments) => publish::run(*arguments, session, printer),
    }
}

fn issue(arguments: IssueArgs, session: &Session, printer: Printer) -> Result<(), Failure> {
    let folder = arguments.out.clone().unwrap_or_else(|| PathBuf::from(&arguments.name));
    refuse_others_key(&folder)?;
    // It is there before anything is issued, and only then.
    let made = match &arguments.out {
        Some(out) if !out.exists() => files::private_folder(out).map(|()| Some(out.clone()))?,
        _ => None,
    };
    let wanted = command::Issue {
        name: arguments.name,
        names: names(&arguments.names),
        usages: usages(&arguments.names),
        profile: arguments.names.profile.clone(),
        ttl: arguments.names.ttl.map(|span| span.as_secs()),
        key_type: key_type(arguments.key_type),
        issuer: arguments.issuer,
    };
    let answer = session.call(Command::CertIssue(wanted)).inspect_err(|_| {
        // Only when it is empty.
        if let Some(folder) = &made {
            let _ = std::fs::remove_dir(folder);
        }
    })?;
    hand_over(answer, arguments.out, session, printer)
}

/// A key that is not beside a `bundle.pem` was not put there by Sealock: it may be the only one of its kind.
pub(super) fn refuse_others_key(folder: &Path) -> Result<(), Failure> {
    let key = folder.join("tls.key");
    if key.exists() && !folder.join("bundle.pem").exists() {
        return Err(Failure::refused(format!(
            "{} is there already, and not by Sealock",
            key.display()
        ))
        .hint("name another folder with --out, or move the key away"));
    }
    Ok(())
}

fn sign(arguments: CsrSign, session: &Session, printer: Printer) -> Result<(), Failure> {
    let wanted = command::Sign {
        name: arguments.name,
        csr: files::read_pem_or_der(&arguments.csr, "CERTIFICATE REQUEST")?,
        names: names(&arguments.names),
        usages: usages(&arguments.names),
        profile: arguments.names.profile.clone(),
        ttl: arguments.names.ttl.map(|span| span.as_secs()),
        issuer: arguments.issuer,
    };
    match session.call(Command::CertSign(wanted))? {
        Reply::Files(made) => match arguments.out {
            Some(folder) => write_files(&made, &folder, printer),
            None => printer.either(&*made, |made| made.tls_crt.clone()),
        },
        other => Err(unexpected(&other)),
    }
}

fn names(asked: &NamesArgs) -> command::Names {
    command::Names {
        dns: asked.dns.clone(),
        ip: asked.ip.iter().map(ToString::to_string).collect(),
        uri: asked.uri.clone(),
        email: asked.email.clone(),
    }
}

fn usages(asked: &NamesArgs) -> Option<command::Usages> {
    (!asked.usage.is_empty()).then(|| usages_of(&asked.usage))
}

pub(super) fn usages_of(asked: &[UsageArg]) -> command::Usages {
    command::Usages {
        server: asked.contains(&UsageArg::Server),
        client: asked.contains(&UsageArg::Client),
        code: asked.contains(&UsageArg::Code),
        email: asked.contains(&UsageArg::Email),
    }
}

fn hand_over(
    answer: Reply,
    out: Option<PathBuf>,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let made = match answer {
        Reply::Files(made) => made,
        other => return Err(unexpected(&other)),
    };
    let folder = out.unwrap_or_else(|| PathBuf::from(&made.name));
    let written = write_files(&made, &folder, printer);
    if written.is_err() {
        // Its key exists nowhere now, so nobody can use it: take it out of the list of valid ones.
        let reason = RevocationReason::CessationOfOperation;
        let _ = session.call(Command::CertRevoke { serial: made.serial.clone(), reason });
    }
    written
}

pub(super) fn write_files(made: &Files, folder: &Path, printer: Printer) -> Result<(), Failure> {
    if made.tls_key.is_some() {
        refuse_others_key(folder)?;
    }
    files::private_folder(folder)?;
    if let Some(key) = &made.tls_key {
        files::write(&folder.join("tls.key"), key.bytes().expose(), 0o400)?;
    }
    if let Some(bundle) = &made.bundle_pem {
        files::write(&folder.join("bundle.pem"), bundle.bytes().expose(), 0o400)?;
    }
    files::write(&folder.join("ca.crt"), made.ca_crt.as_bytes(), 0o444)?;
    files::write(&folder.join("tls.crt"), made.tls_crt.as_bytes(), 0o444)?;
    let report = serde_json::json!({
        "serial": made.serial, "name": made.name, "names": made.names, "folder": folder,
        "not_before": made.not_before, "not_after": made.not_after, "replaces": made.replaces,
    });
    let left = made.not_after.since(SystemClock.now());
    printer.either(&report, |_| {
        let mut text = format!(
            "{}  serial {}  valid {} (until {})\n",
            made.name,
            made.serial,
            format_span(left),
            made.not_after
        );
        for name in &made.names {
            let _ = writeln!(text, "  {}:{name}", name.kind());
        }
        let _ = write!(text, "  in {}", folder.display());
        text
    })
}

/// Certificates as a table; `None` when there are none. Where some are imported, it says from whom they are, and which
/// containers have them.
pub(crate) fn certificates(found: &[CertificateReport]) -> Option<String> {
    let now = SystemClock.now();
    let has_imported = found.iter().any(|one| one.imported.is_some());
    let mut headings = vec!["NAME", "STATE", "LEFT", "PROFILE"];
    headings.extend(["FROM", "CONTAINERS"].into_iter().filter(|_| has_imported));
    headings.extend(["SERIAL", "NAMES"]);
    let mut table = Table::new(&headings);
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    for certificate in found {
        let names: Vec<String> = certificate.names.iter().map(ToString::to_string).collect();
        let mut row = vec![
            certificate.name.clone(),
            certificate.state.clone(),
            format_span(certificate.not_after.since(now)),
            or_dash(certificate.profile.clone()),
        ];
        if has_imported {
            let from = certificate.imported.as_ref();
            let containers = from.map(|from| from.containers.join(" "));
            row.push(from.map_or_else(|| "-".to_owned(), |from| from.issuer.clone()));
            row.push(or_dash(containers.unwrap_or_default()));
        }
        row.extend([certificate.serial.clone(), names.join(" ")]);
        table.row(row);
    }
    (!table.is_empty()).then(|| table.render())
}

fn detail(report: &CertificateReport, pem: bool) -> String {
    let mut text = format!("Name         {}\nState        {}\n", report.name, report.state);
    let mut field = |heading: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{heading:<12} {value}");
        }
    };
    field("Serial", Some(report.serial.clone()));
    field("Identity", report.identity.clone());
    for name in &report.names {
        field("Subject name", Some(format!("{}:{name}", name.kind())));
    }
    field("Usage", Some(report.usages.join(", ")));
    field("Profile", Some(report.profile.clone()).filter(|profile| !profile.is_empty()));
    field("Key", Some(report.key.clone()));
    field("Issuer", Some(report.issuer.clone()).filter(|id| !id.is_empty()));
    field("Valid", Some(format!("{} to {}", report.not_before, report.not_after)));
    field("Issued by", Some(report.by.clone()));
    field("Replaces", report.replaces.clone());
    field("Replaced by", report.replaced_by.clone());
    field("Revoked", report.revoked_at.map(|at| at.to_string()));
    field("Reason", report.reason.clone());
    field("SHA-256", report.fingerprint.clone());
    if let (true, Some(certificates)) = (pem, &report.pem) {
        text.push_str(certificates);
    }
    text
}

pub(super) const fn revocation_reason(reason: ReasonArg) -> RevocationReason {
    match reason {
        ReasonArg::Unspecified => RevocationReason::Unspecified,
        ReasonArg::KeyCompromise => RevocationReason::KeyCompromise,
        ReasonArg::AffiliationChanged => RevocationReason::AffiliationChanged,
        ReasonArg::Superseded => RevocationReason::Superseded,
        ReasonArg::CessationOfOperation => RevocationReason::CessationOfOperation,
        ReasonArg::PrivilegeWithdrawn => RevocationReason::PrivilegeWithdrawn,
    }
}

fn revoke(
    serial: String,
    reason: ReasonArg,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let reason = revocation_reason(reason);
    let revoked = match session.call(Command::CertRevoke { serial: serial.clone(), reason })? {
        Reply::Certificate(revoked) => revoked,
        other => return Err(unexpected(&other)),
    };
    let report = match revoked.published.as_slice() {
        [] => serde_json::json!({ "serial": serial, "state": "revoked" }),
        at => serde_json::json!({ "serial": serial, "state": "revoked", "published": at }),
    };
    printer.either(&report, |_| {
        let mut text =
            format!("{serial} is revoked; the revocation list (sealock ca crl) says so.");
        for at in &revoked.published {
            text.push_str(&publish::still_there(&revoked.name, at));
        }
        text
    })
}
