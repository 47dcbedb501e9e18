//! `sealock gateway`

use std::fmt::Write as _;

use sealock_control::config::Flags;
use sealock_control::daemon::{Started, gateway};

use super::session::opening;
use super::up::{engine, log_to_stderr, serve};
use crate::args::{GatewayArgs, Global};
use crate::printer::{Failure, Printer};

/// Starts the gateway alone, says where it is, and serves until it is told to stop.
pub(crate) fn run(
    arguments: GatewayArgs,
    global: &Global,
    printer: Printer,
) -> Result<(), Failure> {
    log_to_stderr(global)?;
    let mut flags: Flags = vec![("api.listen", arguments.api.unwrap_or_else(|| "off".to_owned()))];
    flags.extend(arguments.listen.map(|listen| ("gateway.listen", listen)));
    if let Some(folder) = arguments.docker_tls {
        let folder = folder.into_os_string().into_string();
        let not_text = |_| Failure::usage("the path of --docker-tls is not UTF-8");
        flags.push(("docker.tls", folder.map_err(not_text)?));
    }
    let opening = opening(global, &flags)?;
    serve(gateway(opening), text, printer)
}

fn text(started: &Started) -> String {
    let ca = &started.init.ca;
    let mut text = format!("The gateway is up ({} ms).\n\n", started.milliseconds);
    let mut field = |heading: &str, value: String| {
        let _ = writeln!(text, "  {heading:<10} {value}");
    };
    let address = started.gateway.as_deref().unwrap_or_default();
    field("Gateway", format!("tcp://{address} (the Docker API, mutual TLS)"));
    field("Engine", engine(&started.engine));
    field("Authority", ca.trust_domain.clone());
    field("State", started.init.state.display().to_string());
    field("Admin", format!("{} in {}", started.init.admin_identity, started.init.admin.display()));
    field(
        "Policy",
        format!("{} rules in {}", started.policy.rules, started.policy.folder.display()),
    );
    if let Some(api) = &started.api {
        field("API", format!("https://{api} (mutual TLS)"));
    }
    text
}
