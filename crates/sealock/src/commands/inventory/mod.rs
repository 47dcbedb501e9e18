//! `sealock cert list` and `sealock cert report`

mod html;
mod text;

use sealock_control::command::{
    self, CertificateList, CertificateState, Command, InventoryReport, Reply,
};

use super::cert::certificates;
use super::files;
use super::session::{Session, unexpected};
use crate::args::{ListArgs, ReportArgs, ReportFormat, StateArg};
use crate::printer::{Failure, Printer};

/// `cert list`
pub(super) fn list(
    arguments: ListArgs,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let state = arguments.only.map(|state| match state {
        StateArg::Valid => CertificateState::Valid,
        StateArg::Replaced => CertificateState::Replaced,
        StateArg::Revoked => CertificateState::Revoked,
        StateArg::Expired => CertificateState::Expired,
    });
    let wanted = command::List {
        expiring: arguments.expiring.map(|span| span.as_secs()),
        name: arguments.name,
        container: arguments.container,
        issuer: arguments.issuer,
        state,
        all: arguments.all,
        limit: Some(arguments.limit),
    };
    match session.call(Command::CertList(wanted))? {
        Reply::Certificates(found) => {
            printer.either(&found, table)?;
            if found.stopped {
                printer.note(
                    "The search ended after passing over many others, and there may be more; ask for fewer things at once.",
                );
            } else if found.more {
                printer.note("There are more; raise --limit.");
            }
            Ok(())
        }
        other => Err(unexpected(&other)),
    }
}

fn table(found: &CertificateList) -> String {
    certificates(&found.certificates).unwrap_or_else(|| "No certificates.".to_owned())
}

/// `cert report`
pub(super) fn report(
    arguments: &ReportArgs,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let format = match arguments.format {
        Some(format) => format,
        None if printer.json() => ReportFormat::Json,
        None => ReportFormat::Text,
    };
    let limit = Some(arguments.limit);
    let report = match session.call(Command::CertReport { limit })? {
        Reply::Inventory(report) => report,
        other => return Err(unexpected(&other)),
    };
    let made = written(&report, format)?;
    match &arguments.out {
        Some(path) => {
            files::write(path, made.as_bytes(), 0o600)?;
            printer.note(summary(&report));
        }
        None => printer.data(made.as_bytes())?,
    }
    if report.left_out > 0 {
        printer.note(format!("{} certificates are left out; raise --limit.", report.left_out));
    }
    Ok(())
}

fn written(report: &InventoryReport, format: ReportFormat) -> Result<String, Failure> {
    match format {
        ReportFormat::Text => Ok(text::page(report)),
        ReportFormat::Html => Ok(html::page(report)),
        ReportFormat::Json => serde_json::to_string_pretty(report)
            .map(|text| text + "\n")
            .map_err(|error| Failure::fault("cannot write the report as JSON").caused_by(&error)),
    }
}

/// The one line about it.
fn summary(report: &InventoryReport) -> String {
    let totals = &report.totals;
    let imported = match totals.imported {
        0 => String::new(),
        imported => format!(" ({imported} of them imported)"),
    };
    format!(
        "{} certificates: {} valid, {} replaced, {} revoked, {} expired{imported}; {} to do.",
        totals.all,
        totals.valid,
        totals.replaced,
        totals.revoked,
        totals.expired,
        report.to_do.len()
    )
}

/// Who has signed it: the id of a CA certificate of ours, or what another authority calls itself.
fn issuer(one: &command::ReportedCertificate) -> String {
    let imported = one.certificate.imported.as_ref();
    imported.map_or_else(|| one.certificate.issuer.clone(), |it| it.issuer.clone())
}

/// Its subject, as far as the report has it.
fn subject(one: &command::ReportedCertificate) -> Option<String> {
    let imported = one.certificate.imported.as_ref().map(|it| it.subject.clone());
    let common_name = one.certificate.common_name.as_ref();
    imported.or_else(|| common_name.map(|name| format!("CN={name}")))
}

/// The containers that have it by label.
fn containers(one: &command::ReportedCertificate) -> String {
    match &one.certificate.imported {
        Some(imported) => imported.containers.join(" "),
        None => one.container.clone().unwrap_or_default(),
    }
}

/// A moment to the minute.
fn minute(moment: sealock_core::Timestamp) -> String {
    let text = moment.to_string();
    text.get(..16).map_or_else(|| text.clone(), |text| text.replace('T', " "))
}

/// How long something has, or since when it has ended.
fn left(seconds: i64) -> String {
    let span =
        sealock_core::span::format_span(std::time::Duration::from_secs(seconds.unsigned_abs()));
    if seconds < 0 { format!("ended {span} ago") } else { span }
}

/// Names, as one text.
fn names(one: &command::ReportedCertificate) -> String {
    let names: Vec<String> = one.certificate.names.iter().map(ToString::to_string).collect();
    names.join(" ")
}
