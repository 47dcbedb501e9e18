//! `sealock forwarder`: a Forwarder in a process of its own, beside the apps whose calls it takes, or on a laptop.
//!
//! It has no state. Tokens come from the broker: by attestation where the host gives a socket, by certificate, or by a
//! client's secret.

mod learn;
mod source;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealock_core::{Clock, Identity, IdentityKind, SystemClock, TrustDomain};
use sealock_net::Shutdown;
use sealock_traffic::forwarder::{
    Access, Directory, Entry, Forwarder, Hop, Report, Service, Settings, TokenSettings, Trust,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::client::link::{ClientSecret, IdentityFiles, roots_in};
pub use crate::client::link::{IdentityFolder, Link};
use crate::daemon::blocking;
use crate::error::{ErrorCode, ServiceError};
use crate::guard::{AccessLog, drained, own_trust_domain};
use source::Broker;

/// Tokens are fetched anew at this part of their life, in percent: what is left, over four minutes, is how long the
/// broker may be away at the worst moment before a call fails.
const RENEW_PERCENT: u8 = 15;
/// Between two looks at the files of the identity.
const LOOK: Duration = Duration::from_secs(2);

/// How tokens are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// As whoever the daemon finds at the other end: by attestation, or by certificate.
    Link(Link),
    /// With a client's secret, over HTTPS.
    Secret {
        /// `host:port` of the API.
        address: String,
        /// The client's name.
        client: String,
        /// The file with its secret, read anew each time: it is rotated.
        secret: PathBuf,
        /// The roots to trust, PEM.
        ca: PathBuf,
        /// The trust domain of the services that are named.
        trust_domain: TrustDomain,
    },
}

/// A service that may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAt {
    /// Its name, by which it is called.
    pub name: String,
    /// Its Gatekeepers, `HOST:PORT`.
    pub instances: Vec<String>,
    /// Whether they speak plain HTTP; on this host's loopback only.
    pub plain: bool,
}

/// How a Forwarder is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardOptions {
    /// Where it is an HTTP proxy.
    pub proxy: Option<SocketAddr>,
    /// Local ports, each for the service of this name.
    pub routes: Vec<(SocketAddr, String)>,
    /// Who may be called.
    pub services: Vec<ServiceAt>,
    /// Destinations that are passed on to without a token.
    pub pass: Vec<String>,
    /// Destinations that a tunnel (CONNECT) may lead to.
    pub connect: Vec<String>,
    /// How tokens are asked for.
    pub asker: Asker,
    /// Our certificate at Gatekeepers, and the roots to trust.
    pub identity: Option<IdentityFolder>,
    /// Whether each call is written to stdout, as a line of JSON.
    pub access_log: bool,
    /// Whether services are called too that the broker knows, and that are not among those above.
    pub learn: bool,
}

/// A Forwarder that serves.
#[derive(Debug)]
pub struct Forwarding {
    /// Where it is a proxy, with the port that was taken.
    pub proxy: Option<SocketAddr>,
    /// Its local ports.
    pub routes: Vec<(SocketAddr, String)>,
    shutdown: Shutdown,
    tasks: JoinSet<()>,
}

struct Log(AccessLog);

impl Report for Log {
    fn access(&self, access: &Access) {
        self.0.line(|| access.to_json());
    }
}

/// Starts a Forwarder on the current runtime. It serves when this returns.
///
/// # Errors
/// An address is taken, a certificate cannot be read, or a service cannot be called so.
pub async fn forward(options: ForwardOptions) -> Result<Forwarding, ServiceError> {
    let mut listeners = Vec::new();
    for (address, service) in &options.routes {
        if options.learning().is_none()
            && !options.services.iter().any(|known| known.name == *service)
        {
            let text = format!("the route at {address} leads to {service}, which is not listed");
            return Err(ServiceError::new(ErrorCode::Usage, text)
                .hint(format!("list it with --service {service}=HOST:PORT")));
        }
        listeners.push((bound(*address).await?, Entry::Service(service.clone())));
    }
    if let Some(address) = options.proxy {
        listeners.push((bound(address).await?, Entry::Proxy));
    }
    if listeners.is_empty() {
        return Err(ServiceError::new(ErrorCode::Usage, "the Forwarder is to listen nowhere")
            .hint("--listen ADDRESS:PORT as a proxy, or --route ADDRESS:PORT=SERVICE"));
    }
    // What is wrong with it is said now, and not when the broker has answered; that is waited for.
    directory(&options, &TrustDomain::for_host("checked"))?;
    let domain = match &options.asker {
        Asker::Link(link) => own_trust_domain(link).await?,
        Asker::Secret { trust_domain, .. } => trust_domain.clone(),
    };
    let directory = directory(&options, &domain)?;
    let (own, learning) = (directory.clone(), options.learning());
    let (trust, seen) = trust(options.identity.clone(), ca(&options.asker)).await?;
    let broker = Arc::new(Broker::new(&options)?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let log = Arc::new(Log(AccessLog::start(options.access_log)));
    let tokens = TokenSettings { renew_percent: RENEW_PERCENT, ..TokenSettings::default() };
    let settings = Settings { tokens, ..Settings::default() };
    let forwarder = Forwarder::new(settings, directory, trust, broker, log, clock)
        .map_err(|error| ServiceError::of(ErrorCode::Failed, &error))?;
    let shutdown = Shutdown::default();
    let mut tasks = JoinSet::new();
    let (mut proxy, mut routes) = (None, Vec::new());
    for (listener, entry) in listeners {
        let address = listener.local_addr();
        let address = address.map_err(|error| ServiceError::of(ErrorCode::Failed, &error))?;
        match &entry {
            Entry::Proxy => proxy = Some(address),
            Entry::Service(name) => routes.push((address, name.clone())),
        }
        let (forwarder, end) = (Arc::clone(&forwarder), shutdown.clone());
        tasks.spawn(async move {
            if let Err(error) = forwarder.serve(listener, entry, end).await {
                tracing::error!(%error, "a listener ends");
            }
        });
    }
    if let Some(broker) = learning {
        let learner = learn::Learner { forwarder: Arc::clone(&forwarder), broker, own, domain };
        tasks.spawn(learner.run(shutdown.clone()));
    }
    if let Some(identity) = options.identity {
        let ca = ca(&options.asker);
        tasks.spawn(keep_fresh(forwarder, identity, ca, seen, shutdown.clone()));
    }
    Ok(Forwarding { proxy, routes, shutdown, tasks })
}

async fn bound(address: SocketAddr) -> Result<TcpListener, ServiceError> {
    TcpListener::bind(address).await.map_err(|error| {
        ServiceError::new(ErrorCode::Failed, format!("cannot listen on {address}"))
            .caused_by(&error)
            .hint("name another address")
    })
}

fn directory(options: &ForwardOptions, domain: &TrustDomain) -> Result<Directory, ServiceError> {
    let wrong =
        |error: &(dyn std::error::Error + 'static)| ServiceError::of(ErrorCode::Usage, error);
    let mut services = Vec::new();
    for service in &options.services {
        let audience = Identity::new(domain, IdentityKind::Service, &service.name)
            .map_err(|error| wrong(&error))?;
        services.push(Service {
            name: service.name.clone(),
            audience,
            aliases: Vec::new(),
            instances: service.instances.clone(),
            hop: if service.plain { Hop::Plain } else { Hop::Tls },
        });
    }
    Directory::new(services, &options.pass, &options.connect).map_err(|error| wrong(&error))
}

fn ca(asker: &Asker) -> Option<PathBuf> {
    match asker {
        Asker::Secret { ca, .. } => Some(ca.clone()),
        Asker::Link(_) => None,
    }
}

/// What the files say, and by what it is known that they have changed: public halves only.
async fn trust(
    identity: Option<IdentityFolder>,
    ca: Option<PathBuf>,
) -> Result<(Trust, Vec<Vec<u8>>), ServiceError> {
    blocking(move || {
        let mut trust = Trust::default();
        if let Some(identity) = identity {
            let IdentityFiles { chain, key, roots } = identity.read()?;
            trust = Trust { roots, own: Some((chain, key)) };
        } else if let Some(ca) = ca {
            trust.roots = roots_in(&ca)?;
        }
        let own = trust.own.iter().flat_map(|(chain, _)| chain);
        let seen = own.chain(&trust.roots).map(|der| der.to_vec()).collect();
        Ok((trust, seen))
    })
    .await
}

/// Looks until the end. Files that cannot be used leave everything as it is.
async fn keep_fresh(
    forwarder: Arc<Forwarder>,
    identity: IdentityFolder,
    ca: Option<PathBuf>,
    mut seen: Vec<Vec<u8>>,
    shutdown: Shutdown,
) {
    loop {
        tokio::select! {
            () = shutdown.triggered() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        match trust(Some(identity.clone()), ca.clone()).await {
            Ok((_, now)) if now == seen => {}
            Ok((trust, now)) => match forwarder.renew(trust) {
                Ok(()) => {
                    seen = now;
                    tracing::info!("another certificate is shown");
                }
                Err(error) => tracing::warn!(%error, "the certificate stays as it was"),
            },
            Err(error) => tracing::debug!(%error, "the certificate stays as it was"),
        }
    }
}

impl Forwarding {
    /// Makes [`Forwarding::run`] end.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Runs until SIGTERM, SIGINT or [`Forwarding::shutdown`], then drains.
    ///
    /// # Errors
    /// Signals cannot be received.
    pub async fn run(self) -> Result<(), ServiceError> {
        drained(self.shutdown, self.tasks).await
    }
}

impl ForwardOptions {
    /// From whom it is learnt which services there are.
    fn learning(&self) -> Option<Link> {
        match &self.asker {
            Asker::Link(link) if self.learn => Some(link.clone()),
            _ => None,
        }
    }

    /// The client's secret, where tokens are asked for with one.
    fn secret(&self) -> Option<ClientSecret> {
        match &self.asker {
            Asker::Link(_) => None,
            Asker::Secret { address, client, secret, ca, .. } => Some(ClientSecret {
                address: address.clone(),
                client: client.clone(),
                secret: secret.clone(),
                ca: ca.clone(),
            }),
        }
    }
}
