//! `sealock workload …`

use std::fmt::Write as _;

use sealock_control::command::{Command, Reply, Whoami};

use super::session::{Session, unexpected};
use crate::args::WorkloadCommand;
use crate::printer::{Failure, Printer};

/// Runs one of the `workload` commands.
pub(crate) fn run(
    command: &WorkloadCommand,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    match command {
        WorkloadCommand::Whoami => match session.call(Command::Whoami)? {
            Reply::Whoami(found) => printer.either(&*found, text),
            other => Err(unexpected(&other)),
        },
    }
}

fn text(found: &Whoami) -> String {
    let mut text = String::new();
    let mut field = |heading: &str, value: &str| {
        let _ = writeln!(text, "{heading:<10} {value}");
    };
    field("Identity", &found.identity);
    if !found.groups.is_empty() {
        field("Groups", &found.groups.join(", "));
    }
    if let Some(container) = &found.container {
        let short: String = container.id.chars().take(12).collect();
        field(
            "Container",
            &format!("{} ({short}), of the image {}", container.name, container.image),
        );
    }
    field("Door", &found.via);
    field("Proof", &found.proof);
    text
}
