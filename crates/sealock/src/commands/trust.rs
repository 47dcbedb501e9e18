//! `sealock trust …`: roots of other authorities, and where programs look for roots.

mod install;

use data_encoding::BASE64;
use sealock_control::command::{AnchorReport, Command, Reply, TrustAdd};
use sealock_core::clock::{Clock, SystemClock};
use sealock_core::span::format_span;

use super::imported::read_public;
use super::session::{Session, unexpected};
use crate::args::TrustCommand;
use crate::printer::{Failure, Printer, Table};

/// Runs one of the `trust` commands.
pub(crate) fn run(
    command: TrustCommand,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    match command {
        TrustCommand::Add { file, name, intermediate } => {
            let contents = read_public(&file)?;
            let [der] = contents.certificates.as_slice() else {
                let count = contents.certificates.len();
                let text = format!("there are {count} certificates in {}", file.display());
                return Err(Failure::usage(text).hint("give a file with the root alone"));
            };
            let certificate = BASE64.encode(der);
            let anchors = anchors(session.call(Command::TrustAdd(TrustAdd {
                certificate,
                name,
                intermediate,
            }))?)?;
            printer.either(&anchors, |anchors| {
                let added = anchors.iter().map(|anchor| {
                    format!(
                        "{}  {}\n  SHA-256 {}\n  Compare it with what your CA publishes.",
                        anchor.name, anchor.subject, anchor.fingerprint
                    )
                });
                added.collect::<Vec<_>>().join("\n")
            })
        }
        TrustCommand::List { pem } => {
            let anchors = anchors(session.call(Command::TrustList)?)?;
            printer.either(&anchors, |anchors| list(anchors, pem))
        }
        TrustCommand::Install(arguments) => install::run(&arguments, session, printer),
        TrustCommand::Uninstall(arguments) => install::undo(&arguments, session, printer),
        TrustCommand::Remove { root, force } => {
            session.call(Command::TrustRemove { root: root.clone(), force })?;
            printer.either(&serde_json::json!({ "root": root, "state": "removed" }), |_| {
                format!("{root} is removed; containers get bundles without it.")
            })
        }
    }
}

fn anchors(reply: Reply) -> Result<Vec<AnchorReport>, Failure> {
    match reply {
        Reply::Anchors(anchors) => Ok(anchors),
        other => Err(unexpected(&other)),
    }
}

fn list(anchors: &[AnchorReport], pem: bool) -> String {
    let now = SystemClock.now();
    let mut table = Table::new(&["NAME", "EXPIRES IN", "SHA-256", "SUBJECT"]);
    for anchor in anchors {
        table.row([
            anchor.name.clone(),
            format_span(anchor.not_after.since(now)),
            anchor.fingerprint.clone(),
            anchor.subject.clone(),
        ]);
    }
    if table.is_empty() {
        return "No roots of others.".to_owned();
    }
    let mut text = table.render();
    if pem {
        anchors.iter().for_each(|anchor| text.push_str(&anchor.pem));
    }
    text
}
