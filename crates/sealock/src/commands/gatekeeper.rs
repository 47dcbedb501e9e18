//! `sealock gatekeeper`

use std::net::Ipv4Addr;

use sealock_control::guard::{
    Advertise, GuardOptions, IdentityFolder, Link, guard, identity_is_there,
};

use super::up::{allow_many_connections, log_to_stderr};
use crate::args::{Broker, GatekeeperArgs, Global, Listen};
use crate::printer::{Failure, Printer};

/// Starts the Gatekeeper, says where it is, and serves until it is told to stop.
pub(crate) fn run(
    arguments: GatekeeperArgs,
    global: &Global,
    printer: Printer,
) -> Result<(), Failure> {
    log_to_stderr(global)?;
    let identity = arguments.identity.map(IdentityFolder);
    let broker = match arguments.broker {
        Broker::Socket(path) => Link::Socket(path),
        Broker::Https(address) => match &identity {
            Some(identity) => Link::Https(address, identity.clone()),
            None => {
                return Err(Failure::usage("a broker over HTTPS asks for a certificate")
                    .hint("name the folder with --identity DIR"));
            }
        },
    };
    let tuning = arguments.tuning.tuning()?;
    let (listen, activation) = match arguments.listen {
        Listen::At(address) => (address, None),
        Listen::Systemd => ((Ipv4Addr::LOCALHOST, 0).into(), Some(arguments.tuning.activation())),
    };
    let options = GuardOptions {
        service: arguments.service,
        listen,
        activation,
        tuning,
        introspect: arguments.tuning.introspect(),
        metrics: arguments.tuning.metrics,
        handover: arguments.tuning.handover,
        sign_identity: arguments.tuning.sign_identity,
        identity_keys: arguments.tuning.identity_jwks_out,
        upstream: arguments.upstream,
        broker,
        identity: identity.filter(|_| !arguments.plain),
        staleness: arguments.stale,
        access_log: !arguments.no_access_log,
        advertise: match arguments.advertise.as_deref() {
            None => Advertise::Listening(listen),
            Some("off") => Advertise::No,
            Some(at) => Advertise::At(at.to_owned()),
        },
    };
    let awaited = options.identity.clone().filter(|_| arguments.await_identity);
    let scheme = if options.identity.is_some() { "https" } else { "http" };
    allow_many_connections();
    // For what is beside the calls, which have runtimes of their own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::fault("cannot start the runtime").caused_by(&error))?;
    runtime.block_on(async {
        if let Some(identity) = awaited {
            identity_is_there(&identity).await?;
        }
        let guard = guard(options).await?;
        printer.note(format!("{} is guarded at {scheme}://{}", guard.service, guard.address));
        if let Some(address) = guard.metrics {
            printer.note(format!("figures are at http://{address}/metrics"));
        }
        guard.run().await.map_err(Failure::from)
    })
}
