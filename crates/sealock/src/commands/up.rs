//! `sealock up`

use std::fmt::Write as _;
use std::num::NonZero;

use rustix::process::{Resource, getrlimit, setrlimit};
use sealock_control::ServiceError;
use sealock_control::command::EngineStatus;
use sealock_control::config::Flags;
use sealock_control::daemon::{Daemon, Started, up};
use tracing_subscriber::EnvFilter;

use super::session::opening;
use crate::args::{Global, UpArgs};
use crate::printer::{Failure, Printer};

/// Starts the daemon, says what it made, and guards the host until it is told to stop.
pub(crate) fn run(arguments: UpArgs, global: &Global, printer: Printer) -> Result<(), Failure> {
    log_to_stderr(global)?;
    let given = [
        ("api.listen", arguments.api),
        ("gateway.listen", arguments.gateway),
        ("revocation.listen", arguments.revocation),
    ];
    let flags: Flags = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let opening = opening(global, &flags)?;
    serve(up(opening), |started| text(started, global), printer)
}

/// Waits for the daemon's start, says what `text` makes of it, and serves until it is told to stop.
pub(super) fn serve(
    start: impl Future<Output = Result<Daemon, ServiceError>>,
    text: impl FnOnce(&Started) -> String,
    printer: Printer,
) -> Result<(), Failure> {
    allow_many_connections();
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.max(FEWEST_WORKERS))
        .enable_all()
        .build()
        .map_err(|error| Failure::fault("cannot start the runtime").caused_by(&error))?;
    runtime.block_on(async {
        let daemon = start.await?;
        printer.either(daemon.started(), text)?;
        daemon.run().await?;
        printer.note("Stopped.");
        Ok(())
    })
}

/// With one for each of two processors, a tenth of both stays idle under load: a worker that has just gone to sleep is
/// not awake yet when there is work again (`cargo xtask bench gateway`).
const FEWEST_WORKERS: usize = 4;

/// Each connection takes a descriptor, and what it leads to another. The usual soft limit of 1024 is there for programs that
/// use `select`; what the administrator means is the hard one.
pub(super) fn allow_many_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
}

fn text(started: &Started, global: &Global) -> String {
    let ca = &started.init.ca;
    let made = if started.init.created { "made now" } else { "already there" };
    let mut text = format!("Sealock is up ({} ms).\n\n", started.milliseconds);
    let mut field = |heading: &str, value: String| {
        let _ = writeln!(text, "  {heading:<10} {value}");
    };
    field("Authority", format!("{}, {made}; keys protected by {}", ca.trust_domain, ca.protection));
    field("State", started.init.state.display().to_string());
    field("Admin", format!("{} in {}", started.init.admin_identity, started.init.admin.display()));
    field(
        "Policy",
        format!("{} rules in {}", started.policy.rules, started.policy.folder.display()),
    );
    field("Engine", engine(&started.engine));
    field("Listening", started.socket.display().to_string());
    if let Some(api) = &started.api {
        field("", format!("https://{api} (mutual TLS)"));
    }
    if let Some(gateway) = &started.gateway {
        field("", format!("tcp://{gateway} (the Docker API, mutual TLS)"));
    }
    if let Some(acme) = &started.acme {
        field("", format!("https://{acme}/acme/directory (ACME)"));
    }
    if let Some(revocation) = &started.revocation {
        field("", format!("http://{revocation} (revocation lists and OCSP, for everybody)"));
    }
    if let Some(socket) = &started.gateway_socket {
        field("", format!("{} (the Docker API, for containers)", socket.display()));
    }
    if let Some(socket) = &started.workload {
        field("", format!("{} (secrets and more, for containers)", socket.display()));
    }
    let state = global
        .state
        .as_ref()
        .map_or_else(String::new, |state| format!(" --state {}", state.display()));
    let _ = write!(
        text,
        "\nNext, in another terminal:\n  \
         sealock{state} status\n  \
         docker run -d --name shop --tmpfs /run --label sealock.cert.web.ttl=24h IMAGE\n  \
         sealock{state} send FILE shop:/run/FILE\n"
    );
    text
}

/// The engine, as far as it has answered yet.
pub(super) fn engine(engine: &EngineStatus) -> String {
    match (&engine.version, &engine.error) {
        (Some(version), _) if engine.up => format!("{version} at {}", engine.url),
        (_, Some(error)) => format!("{}: {error}; it is tried again", engine.url),
        _ => format!("{}: no answer yet; it is tried again", engine.url),
    }
}

/// Logs go to stderr: warnings, and more with each `-v`; nothing but errors with `-q`.
pub(super) fn log_to_stderr(global: &Global) -> Result<(), Failure> {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "warn,sealock=info,sealock_control=info,sealock_delivery=info",
        (false, 1) => "info,sealock=debug,sealock_control=debug,sealock_delivery=debug",
        (false, _) => "debug",
    };
    let filter = EnvFilter::try_new(level)
        .map_err(|error| Failure::fault("the log filter is wrong").caused_by(&error))?;
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .try_init()
        .map_err(|error| Failure::fault("cannot start logging").caused_by(error.as_ref()))
}
