//! `sealock broker`

use std::fmt::Write as _;

use sealock_control::config::Flags;
use sealock_control::daemon::{Started, broker};

use super::session::opening;
use super::up::{log_to_stderr, serve};
use crate::args::{BrokerArgs, Global};
use crate::printer::{Failure, Printer};

/// Starts the broker alone, says where it is, and serves until it is told to stop.
pub(crate) fn run(arguments: BrokerArgs, global: &Global, printer: Printer) -> Result<(), Failure> {
    log_to_stderr(global)?;
    let flags: Flags = arguments.listen.map(|listen| ("api.listen", listen)).into_iter().collect();
    let opening = opening(global, &flags)?;
    serve(broker(opening), text, printer)
}

fn text(started: &Started) -> String {
    let ca = &started.init.ca;
    let mut text = format!("The Token Broker is up ({} ms).\n\n", started.milliseconds);
    let mut field = |heading: &str, value: String| {
        let _ = writeln!(text, "  {heading:<10} {value}");
    };
    if let Some(api) = &started.api {
        field("Broker", format!("https://{api} (OAuth 2, feeds, services)"));
    }
    if let Some(socket) = &started.workload {
        field("", format!("{} (tokens, for containers)", socket.display()));
    }
    field("Authority", ca.trust_domain.clone());
    field("State", started.init.state.display().to_string());
    field("Admin", format!("{} in {}", started.init.admin_identity, started.init.admin.display()));
    field(
        "Policy",
        format!("{} rules in {}", started.policy.rules, started.policy.folder.display()),
    );
    text
}
