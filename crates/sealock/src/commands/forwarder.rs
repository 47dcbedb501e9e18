//! `sealock forwarder`

mod file;

use std::path::PathBuf;

use sealock_control::client::site::Site as Login;
use sealock_control::config::Environment;
use sealock_control::forward::{
    Asker, ForwardOptions, IdentityFolder, Intercept, Link, ServiceAt, Site, Transparent, forward,
    rules,
};
use sealock_control::guard::identity_is_there;

use super::up::{allow_many_connections, log_to_stderr};
use crate::args::{Broker, ForwarderArgs, Global};
use crate::printer::{Failure, Printer};

/// The path of the client's secret: how `sealock run` hands a value over as a file.
const SECRET_FILE: &str = "SEALOCK_SECRET_FILE";

/// Starts the Forwarder, says where it is, and serves until it is told to stop.
pub(crate) fn run(
    arguments: ForwarderArgs,
    global: &Global,
    printer: Printer,
) -> Result<(), Failure> {
    log_to_stderr(global)?;
    let (only_print, awaits) = (arguments.print_rules, arguments.await_identity);
    let options = options(arguments, global)?;
    if only_print {
        let transparent = options.transparent.unwrap_or_default();
        let rules = rules(&transparent, transparent.listen.port())?;
        return printer.data(rules.to_string().as_bytes());
    }
    let folders: Vec<IdentityFolder> =
        options.sites.iter().filter_map(|site| site.identity.clone()).collect();
    allow_many_connections();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::fault("cannot start the runtime").caused_by(&error))?;
    runtime.block_on(async {
        for folder in folders.iter().filter(|_| awaits) {
            identity_is_there(folder).await?;
        }
        let forwarding = forward(options).await?;
        let logins = folders.into_iter().map(|folder| Login(folder.0));
        for login in logins.filter(|login| login.address().is_some()) {
            tokio::spawn(super::login::keep(login));
        }
        if let Some(address) = forwarding.proxy {
            printer.note(format!("HTTP proxy at http://{address}"));
        }
        for (address, service) in &forwarding.routes {
            printer.note(format!("{service} at http://{address}"));
        }
        if let Some(address) = forwarding.metrics {
            printer.note(format!("figures are at http://{address}/metrics"));
        }
        for address in &forwarding.transparent {
            printer.note(format!("Connections are taken at {address}"));
        }
        forwarding.run().await.map_err(Failure::from)
    })
}

/// What the file says, and then the flags: lists are added to, the rest is replaced.
fn options(arguments: ForwarderArgs, global: &Global) -> Result<ForwardOptions, Failure> {
    // By its name only: the settings of `up` are not a Forwarder's.
    let mut options = match &global.config {
        Some(path) => {
            if says_a_site(&arguments) {
                return Err(Failure::usage("brokers and services are in the file, or are flags")
                    .hint("write them as [[sites]] into the file of --config"));
            }
            file::read(path)?
        }
        None => ForwardOptions {
            sites: vec![site(&arguments)?],
            access_log: true,
            ..ForwardOptions::default()
        },
    };
    let ForwarderArgs {
        listen,
        route,
        pass,
        connect,
        intercept,
        intercept_ca_out,
        no_access_log,
        no_directory,
        metrics,
        ..
    } = &arguments;
    options.proxy = listen.or(options.proxy);
    options.metrics = metrics.or(options.metrics);
    options.routes.extend(route.iter().cloned());
    options.pass.extend(pass.iter().cloned());
    options.connect.extend(connect.iter().cloned());
    options.access_log &= !no_access_log;
    for site in options.sites.iter_mut().filter(|_| *no_directory) {
        site.learn = false;
    }
    let Intercept { hosts, authority } = &mut options.intercept;
    hosts.extend(intercept.iter().cloned());
    *authority = intercept_ca_out.clone().or(authority.take());
    options.transparent = transparent(options.transparent, arguments)?;
    Ok(options)
}

fn transparent(
    from_file: Option<Transparent>,
    arguments: ForwarderArgs,
) -> Result<Option<Transparent>, Failure> {
    let ForwarderArgs {
        transparent, redirect_port, exempt, direct, print_rules, set_rules, ..
    } = arguments;
    let is_about_it = print_rules
        || set_rules
        || exempt.is_some()
        || !redirect_port.is_empty()
        || !direct.is_empty();
    if from_file.is_none() && transparent.is_none() {
        return match is_about_it {
            true => Err(Failure::usage("this is about connections that the kernel brings here")
                .hint("--transparent goes with it")),
            false => Ok(None),
        };
    }
    let mut all = from_file.unwrap_or_default();
    all.listen = transparent.unwrap_or(all.listen);
    if !redirect_port.is_empty() {
        all.ports = redirect_port;
    }
    all.exempt = exempt.or(all.exempt);
    all.direct.extend(direct);
    all.set_rules |= set_rules;
    Ok(Some(all))
}

fn says_a_site(arguments: &ForwarderArgs) -> bool {
    let ForwarderArgs { service, plain, broker, identity, client, ca, trust_domain, .. } =
        arguments;
    let lists = service.len() + plain.len();
    let files = identity.is_some() || ca.is_some();
    lists > 0 || files || broker.is_some() || client.is_some() || trust_domain.is_some()
}

/// The one site of the flags.
fn site(arguments: &ForwarderArgs) -> Result<Site, Failure> {
    let identity = arguments.identity.clone().map(IdentityFolder);
    let broker = broker_of(arguments.broker.clone(), identity.as_ref());
    let asker = match (&arguments.client, broker) {
        (None, broker) => as_ourselves(broker, identity.as_ref()).ok_or_else(|| {
            Failure::usage("a broker over HTTPS asks who you are")
                .hint("--identity DIR, or --client NAME --secret-file FILE --ca FILE")
        })?,
        (Some(_), Broker::Socket(_)) => {
            return Err(Failure::usage("a client's secret is shown to a broker over HTTPS")
                .hint("name it with --broker https://HOST:8443"));
        }
        (Some(client), Broker::Https(address)) => {
            let missing = |what: &str| Failure::usage(format!("--client goes with {what}"));
            let ForwarderArgs { secret_file, ca, trust_domain, .. } = arguments.clone();
            let secret = secret_file
                .or_else(|| Environment::of_process().get(SECRET_FILE).map(PathBuf::from));
            Asker::Secret {
                address,
                client: client.clone(),
                secret: secret.ok_or_else(|| {
                    missing("--secret-file FILE").hint(format!("or its path in {SECRET_FILE}"))
                })?,
                ca: ca.ok_or_else(|| missing("--ca FILE"))?,
                trust_domain: trust_domain.ok_or_else(|| missing("--trust-domain NAME"))?,
            }
        }
    };
    let mut services: Vec<ServiceAt> = Vec::new();
    let all = arguments.service.iter().map(|at| (at, false));
    for ((name, instance), plain) in all.chain(arguments.plain.iter().map(|at| (at, true))) {
        match services.iter_mut().find(|it| it.name == *name && it.plain == plain) {
            Some(service) => service.instances.push(instance.clone()),
            None => services.push(ServiceAt {
                name: name.clone(),
                instances: vec![instance.clone()],
                plain,
                ..ServiceAt::default()
            }),
        }
    }
    Ok(Site { asker, identity, services, learn: true })
}

/// Where nothing is said, the folder of a login says where its server is; else it is the workload socket.
fn broker_of(said: Option<Broker>, identity: Option<&IdentityFolder>) -> Broker {
    let by_login = || Login(identity?.0.clone()).address().map(Broker::Https);
    said.or_else(by_login).unwrap_or_default()
}

/// By attestation, or by our certificate, which there must be over HTTPS.
fn as_ourselves(broker: Broker, identity: Option<&IdentityFolder>) -> Option<Asker> {
    match broker {
        Broker::Socket(path) => Some(Asker::Link(Link::Socket(path))),
        Broker::Https(address) => Some(Asker::Link(Link::Https(address, identity?.clone()))),
    }
}
