//! `sealock forwarder`

use sealock_control::client::site::Site;
use sealock_control::forward::{Asker, ForwardOptions, IdentityFolder, Link, ServiceAt, forward};
use sealock_control::guard::identity_is_there;

use super::up::log_to_stderr;
use crate::args::{Broker, ForwarderArgs, Global};
use crate::printer::{Failure, Printer};

/// Starts the Forwarder, says where it is, and serves until it is told to stop.
pub(crate) fn run(
    arguments: ForwarderArgs,
    global: &Global,
    printer: Printer,
) -> Result<(), Failure> {
    log_to_stderr(global)?;
    let awaits = arguments.await_identity;
    let login = arguments.identity.clone().map(Site).filter(|site| site.address().is_some());
    let options = options(arguments)?;
    let awaited = options.identity.clone().filter(|_| awaits);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::fault("cannot start the runtime").caused_by(&error))?;
    runtime.block_on(async {
        if let Some(identity) = awaited {
            identity_is_there(&identity).await?;
        }
        let forwarding = forward(options).await?;
        if let Some(login) = login {
            tokio::spawn(super::login::keep(login));
        }
        if let Some(address) = forwarding.proxy {
            printer.note(format!("HTTP proxy at http://{address}"));
        }
        for (address, service) in &forwarding.routes {
            printer.note(format!("{service} at http://{address}"));
        }
        forwarding.run().await.map_err(Failure::from)
    })
}

fn options(arguments: ForwarderArgs) -> Result<ForwardOptions, Failure> {
    let identity = arguments.identity.map(IdentityFolder);
    let broker = match (&identity, arguments.broker) {
        // The folder of a login says where its server is.
        (Some(folder), broker) if broker == Broker::default() => {
            Site(folder.0.clone()).address().map_or(broker, Broker::Https)
        }
        (_, broker) => broker,
    };
    let asker = match (arguments.client, broker) {
        (None, Broker::Socket(path)) => Asker::Link(Link::Socket(path)),
        (None, Broker::Https(address)) => match &identity {
            Some(identity) => Asker::Link(Link::Https(address, identity.clone())),
            None => {
                return Err(Failure::usage("a broker over HTTPS asks who you are")
                    .hint("--identity DIR, or --client NAME --secret-file FILE --ca FILE"));
            }
        },
        (Some(_), Broker::Socket(_)) => {
            return Err(Failure::usage("a client's secret is shown to a broker over HTTPS")
                .hint("name it with --broker https://HOST:8443"));
        }
        (Some(client), Broker::Https(address)) => {
            let missing = |what: &str| Failure::usage(format!("--client goes with {what}"));
            Asker::Secret {
                address,
                client,
                secret: arguments.secret_file.ok_or_else(|| missing("--secret-file FILE"))?,
                ca: arguments.ca.ok_or_else(|| missing("--ca FILE"))?,
                trust_domain: arguments
                    .trust_domain
                    .ok_or_else(|| missing("--trust-domain NAME"))?,
            }
        }
    };
    let mut services: Vec<ServiceAt> = Vec::new();
    let all = arguments.service.into_iter().map(|at| (at, false));
    for ((name, instance), plain) in all.chain(arguments.plain.into_iter().map(|at| (at, true))) {
        match services.iter_mut().find(|service| service.name == name && service.plain == plain) {
            Some(service) => service.instances.push(instance),
            None => services.push(ServiceAt { name, instances: vec![instance], plain }),
        }
    }
    Ok(ForwardOptions {
        proxy: arguments.listen,
        routes: arguments.route,
        services,
        pass: arguments.pass,
        connect: arguments.connect,
        asker,
        identity,
        access_log: !arguments.no_access_log,
        learn: !arguments.no_directory,
    })
}
