//! `sealock status`

use std::fmt::Write as _;
use std::process::ExitCode;

use sealock_control::command::{
    Command, ContainerStatus, DeliveredSecretStatus, DeliveredStatus, DeliveredTrustStatus, Reply,
    SidecarStatus, StatusReport,
};
use sealock_core::Timestamp;
use sealock_core::span::format_span;

use super::cert::certificates;
use super::session::{Session, unexpected};
use crate::args::StatusArgs;
use crate::printer::{Failure, Printer, Table, exit};

/// Shows the status; with `--check` the exit code tells.
pub(crate) fn run(
    arguments: &StatusArgs,
    session: &Session,
    printer: Printer,
) -> Result<ExitCode, Failure> {
    let report = match session.call(Command::Status)? {
        Reply::Status(report) => report,
        other => return Err(unexpected(&other)),
    };
    printer.either(&*report, text)?;
    // A daemon that needs no engine has none.
    let engine = report.engine.as_ref().is_none_or(|engine| engine.up);
    let well = report.daemon && engine && report.alarms.is_empty();
    Ok(if arguments.check && !well { ExitCode::from(exit::REFUSED) } else { ExitCode::SUCCESS })
}

fn text(report: &StatusReport) -> String {
    let mut text = String::new();
    let mut field = |heading: &str, value: String| {
        let _ = writeln!(text, "{heading:<11} {value}");
    };
    field("Sealock", daemon(report));
    field("Authority", authority(report));
    field("Engine", engine(report));
    field("Policy", policy(report));
    field("Audit", format!("{} records", report.audit_seq));
    if let Some(table) = deliveries(&report.containers, report.now) {
        let _ = write!(text, "\n{table}");
    }
    if let Some(table) = secrets(&report.containers) {
        let _ = write!(text, "\n{table}");
    }
    if let Some(table) = trusts(&report.containers) {
        let _ = write!(text, "\n{table}");
    }
    if let Some(table) = sidecars(&report.containers) {
        let _ = write!(text, "\n{table}");
    }
    for (container, certificate) in all(&report.containers) {
        let what = format!("{}/{}", container.name, certificate.name);
        explain(&mut text, &what, certificate.reason.as_deref(), certificate.hint.as_deref());
    }
    for (container, secret) in all_secrets(&report.containers) {
        let what = format!("{}/secret:{}", container.name, secret.name);
        explain(&mut text, &what, secret.reason.as_deref(), secret.hint.as_deref());
    }
    for (container, trust) in all_trusts(&report.containers) {
        let what = format!("{}/trust:{}", container.name, trust.name);
        explain(&mut text, &what, trust.reason.as_deref(), trust.hint.as_deref());
    }
    for (container, sidecar) in all_sidecars(&report.containers) {
        let what = format!("{}/{}", container.name, sidecar.role);
        explain(&mut text, &what, sidecar.reason.as_deref(), sidecar.hint.as_deref());
    }
    if let Some(table) = certificates(&report.expiring) {
        let _ = write!(text, "\nExpire within a week, and were not renewed:\n{table}");
    }
    if !report.todo.is_empty() {
        let _ = writeln!(text, "\nTo do:");
    }
    for todo in &report.todo {
        let since = format_span(report.now.since(todo.since));
        let _ = writeln!(text, "  {}: {} (since {since})\n    {}", todo.name, todo.text, todo.hint);
    }
    for alarm in &report.alarms {
        let _ = writeln!(
            text,
            "\nALARM {} {}: {} (since {})",
            alarm.alarm, alarm.subject, alarm.reason, alarm.since
        );
        if let Some(hint) = &alarm.hint {
            let _ = writeln!(text, "  hint: {hint}");
        }
    }
    clean(&text)
}

fn daemon(report: &StatusReport) -> String {
    if !report.daemon {
        return "not running (sealock up)".to_owned();
    }
    let since = report
        .since
        .map_or_else(String::new, |since| format!(", up {}", format_span(report.now.since(since))));
    let api = report.api.as_ref().map_or_else(String::new, |api| format!(", https://{api}"));
    let gateway =
        report.gateway.as_ref().map_or_else(String::new, |gateway| format!(", tcp://{gateway}"));
    let revocation = report.revocation.as_ref();
    let revocation = revocation.map_or_else(String::new, |address| format!(", http://{address}"));
    let process = report.pid;
    format!("{} running as process {process}{since}{api}{gateway}{revocation}", report.version)
}

fn authority(report: &StatusReport) -> String {
    let Some(ca) = &report.ca else {
        if report.locked {
            return "locked: its keys are under a passphrase, which `sealock up` is given"
                .to_owned();
        }
        return "not made yet (sealock up, or sealock init)".to_owned();
    };
    let left = |until: Timestamp| format_span(until.since(report.now));
    let root = ca.roots.first().map_or_else(String::new, |root| left(root.not_after));
    let issuing =
        ca.intermediates.first().map_or_else(String::new, |issuing| left(issuing.not_after));
    format!("{}: root {root}, intermediate {issuing} left", ca.trust_domain)
}

fn engine(report: &StatusReport) -> String {
    match &report.engine {
        None => "not asked".to_owned(),
        Some(engine) if engine.up => {
            format!("{} at {}", engine.version.as_deref().unwrap_or("answers"), engine.url)
        }
        Some(engine) => {
            format!("away ({}): {}", engine.url, engine.error.as_deref().unwrap_or("no answer"))
        }
    }
}

fn policy(report: &StatusReport) -> String {
    let policy = &report.policy;
    let mut text =
        format!("{} rules (epoch {}) from {}", policy.rules, policy.epoch, policy.folder.display());
    if let Some(rejected) = &policy.rejected {
        let _ = write!(text, "\n            NOT in force: {rejected}");
    }
    text
}

fn all(
    containers: &[ContainerStatus],
) -> impl Iterator<Item = (&ContainerStatus, &DeliveredStatus)> {
    containers.iter().flat_map(|container| {
        container.certificates.iter().map(move |certificate| (container, certificate))
    })
}

fn all_secrets(
    containers: &[ContainerStatus],
) -> impl Iterator<Item = (&ContainerStatus, &DeliveredSecretStatus)> {
    containers
        .iter()
        .flat_map(|container| container.secrets.iter().map(move |secret| (container, secret)))
}

fn all_trusts(
    containers: &[ContainerStatus],
) -> impl Iterator<Item = (&ContainerStatus, &DeliveredTrustStatus)> {
    containers
        .iter()
        .flat_map(|container| container.trusts.iter().map(move |trust| (container, trust)))
}

fn all_sidecars(
    containers: &[ContainerStatus],
) -> impl Iterator<Item = (&ContainerStatus, &SidecarStatus)> {
    containers
        .iter()
        .flat_map(|container| container.sidecars.iter().map(move |sidecar| (container, sidecar)))
}

fn explain(text: &mut String, what: &str, reason: Option<&str>, hint: Option<&str>) {
    let Some(reason) = reason else { return };
    let _ = writeln!(text, "\n{what}: {reason}");
    if let Some(hint) = hint {
        let _ = writeln!(text, "  hint: {}", hint.replace('\n', "\n        "));
    }
}

fn secrets(containers: &[ContainerStatus]) -> Option<String> {
    let mut table =
        Table::new(&["CONTAINER", "SECRET", "STATE", "IN THE VAULT", "VERSION", "PATH"]);
    for (container, secret) in all_secrets(containers) {
        table.row([
            container.name.clone(),
            secret.name.clone(),
            secret.state.clone(),
            secret.secret.clone().unwrap_or_else(|| "-".to_owned()),
            secret.version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
            secret.path.clone(),
        ]);
    }
    (!table.is_empty()).then(|| table.render())
}

fn trusts(containers: &[ContainerStatus]) -> Option<String> {
    let mut table = Table::new(&["CONTAINER", "TRUST", "STATE", "BUNDLE", "PATH"]);
    for (container, trust) in all_trusts(containers) {
        let bundle = trust.bundle.as_deref();
        table.row([
            container.name.clone(),
            trust.name.clone(),
            trust.state.clone(),
            bundle.map_or("-", |digest| digest.get(..12).unwrap_or(digest)).to_owned(),
            trust.path.clone(),
        ]);
    }
    (!table.is_empty()).then(|| table.render())
}

fn sidecars(containers: &[ContainerStatus]) -> Option<String> {
    let mut table = Table::new(&["CONTAINER", "GUARD", "SERVICE", "STATE", "SIDECAR"]);
    for (container, sidecar) in all_sidecars(containers) {
        table.row([
            container.name.clone(),
            sidecar.role.clone(),
            sidecar.service.clone(),
            sidecar.state.clone(),
            sidecar.name.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    (!table.is_empty()).then(|| table.render())
}

fn deliveries(containers: &[ContainerStatus], now: Timestamp) -> Option<String> {
    let left = |until: Option<Timestamp>| {
        until.map_or_else(|| "-".to_owned(), |until| format_span(until.since(now)))
    };
    let mut table = Table::new(&[
        "CONTAINER",
        "CERTIFICATE",
        "STATE",
        "EXPIRES IN",
        "RENEWS IN",
        "SERIAL",
        "PATH",
    ]);
    for (container, certificate) in all(containers) {
        table.row([
            container.name.clone(),
            certificate.name.clone(),
            certificate.state.clone(),
            left(certificate.not_after),
            left(certificate.next_renewal),
            certificate
                .serial
                .as_deref()
                .map_or("-", |serial| serial.get(..12).unwrap_or(serial))
                .to_owned(),
            certificate.path.clone(),
        ]);
    }
    (!table.is_empty()).then(|| table.render())
}

/// Container names, labels and reasons come from others.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, state: &str, version: Option<u64>) -> DeliveredSecretStatus {
        DeliveredSecretStatus {
            name: name.to_owned(),
            secret: Some(format!("prod/{name}")),
            path: format!("/run/sealock/secrets/{name}"),
            state: state.to_owned(),
            version,
            delivered_at: None,
            reason: None,
            hint: None,
        }
    }

    fn nothing(id: String, name: String) -> ContainerStatus {
        let (certificates, secrets) = (Vec::new(), Vec::new());
        let (sidecars, trusts) = (Vec::new(), Vec::new());
        ContainerStatus { id, name, certificates, secrets, sidecars, trusts }
    }

    #[test]
    fn labelled_trust_bundles_have_a_table() {
        let trust = DeliveredTrustStatus {
            name: "company".to_owned(),
            path: "/etc/ssl/certs/company.pem".to_owned(),
            state: "delivered".to_owned(),
            bundle: Some("ab".repeat(32)),
            delivered_at: None,
            reason: None,
            hint: None,
        };
        let container =
            ContainerStatus { trusts: vec![trust], ..nothing("0".repeat(64), "shop".to_owned()) };
        let table = super::trusts(std::slice::from_ref(&container)).unwrap();
        let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(
            row,
            ["shop", "company", "delivered", "abababababab", "/etc/ssl/certs/company.pem"]
        );
        assert_eq!(super::trusts(&[]), None);
    }

    #[test]
    fn labelled_secrets_have_a_table_and_their_reasons_below_it() {
        let secrets = vec![secret("db", "delivered", Some(3)), secret("api", "refused", None)];
        let (id, name) = ("0".repeat(64), "shop".to_owned());
        let container = ContainerStatus { secrets, ..nothing(id, name) };
        let table = super::secrets(std::slice::from_ref(&container)).unwrap();
        let lines: Vec<Vec<&str>> =
            table.lines().map(|line| line.split_whitespace().collect()).collect();
        let db = ["shop", "db", "delivered", "prod/db", "3", "/run/sealock/secrets/db"];
        let api = ["shop", "api", "refused", "prod/api", "-", "/run/sealock/secrets/api"];
        assert_eq!(lines[1..], [db, api]);
        assert_eq!(super::secrets(&[]), None);

        let mut text = String::new();
        explain(&mut text, "shop/secret:api", Some("no rule"), Some("permit (\n);"));
        explain(&mut text, "shop/secret:db", None, None);
        assert_eq!(text, "\nshop/secret:api: no rule\n  hint: permit (\n        );\n");
    }
}
