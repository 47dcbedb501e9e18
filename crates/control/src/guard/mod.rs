//! `sealock gatekeeper`: a Gatekeeper in a process of its own, beside the app that it guards.
//!
//! It has no state. Who it is, its certificate or the workload socket says; what it decides by, the broker's feed. While
//! the broker is away, what is known decides.

mod access_log;
mod awaited;
mod cores;
mod follow;
mod report;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sealock_core::{Clock, Identity, IdentityKind, SystemClock, TrustDomain};
use sealock_net::Shutdown;
use sealock_net::proxy::{Address, Upstream, UpstreamSettings, Versions};
pub use sealock_traffic::gatekeeper::Staleness;
use sealock_traffic::gatekeeper::{Gatekeeper, Settings};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

pub use crate::client::link::{Advertise, IdentityFolder, Link};
use crate::command::{Command, Reply};
use crate::error::{ErrorCode, ServiceError};
pub(crate) use access_log::AccessLog;
pub use awaited::identity_is_there;
pub(crate) use follow::spread;

/// Between two tries to learn who we are.
const PAUSE: Duration = Duration::from_secs(1);
/// For what is under way at the end.
const DRAIN: Duration = Duration::from_secs(15);

/// How a Gatekeeper is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardOptions {
    /// The service that is guarded: its name or SPIFFE ID.
    pub service: String,
    /// Where calls arrive.
    pub listen: SocketAddr,
    /// Where the app is.
    pub upstream: GuardedApp,
    /// The way to the broker.
    pub broker: Link,
    /// The certificate to serve TLS with; without, plain HTTP is spoken.
    pub identity: Option<IdentityFolder>,
    /// What is done when the feed is silent.
    pub staleness: Staleness,
    /// Whether each call is written to stdout, as a line of JSON.
    pub access_log: bool,
    /// Where Forwarders are told that it is, with the port that was taken if it is none.
    pub advertise: Advertise,
}

/// Where the app is, and what it speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardedApp {
    /// Where it is.
    pub place: AppPlace,
    /// Whether HTTP/2 is spoken to it, as apps of gRPC want; HTTP/1.1 otherwise.
    pub http2: bool,
}

/// Where an app is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppPlace {
    /// `host:port`.
    Tcp(String),
    /// A socket.
    Unix(std::path::PathBuf),
}

/// A Gatekeeper that serves.
#[derive(Debug)]
pub struct Guard {
    /// Where it listens, with the port that was taken.
    pub address: SocketAddr,
    /// Whom it guards.
    pub service: Identity,
    shutdown: Shutdown,
    tasks: JoinSet<()>,
}

/// Starts a Gatekeeper on the current runtime. It serves when this returns, by 503 until the broker's first word.
///
/// # Errors
/// The address is taken, the certificate cannot be read, or the service's name is none.
pub async fn guard(options: GuardOptions) -> Result<Guard, ServiceError> {
    let listener = TcpListener::bind(options.listen).await.map_err(|error| {
        let text = format!("cannot listen on {}", options.listen);
        ServiceError::new(ErrorCode::Failed, text)
            .caused_by(&error)
            .hint("name another address with --listen ADDRESS:PORT")
    })?;
    let address = listener.local_addr().unwrap_or(options.listen);
    let tls = match &options.identity {
        Some(identity) => Some(tls::ServiceTls::new(identity.clone()).await?),
        None => None,
    };
    let advertise = match &options.advertise {
        // A Forwarder that is told of somebody speaks TLS with them.
        Advertise::At(_) if tls.is_none() => {
            return Err(ServiceError::new(
                ErrorCode::Usage,
                "a Gatekeeper over plain HTTP is told to nobody",
            )
            .hint("name it at the Forwarder: --plain NAME=ADDRESS:PORT"));
        }
        // Whether loopback is the same for both, the broker knows.
        Advertise::At(at) => Advertise::At(
            sealock_traffic::registry::Address::read(at, true)
                .map_err(|error| {
                    ServiceError::of(ErrorCode::Usage, &error)
                        .hint("--advertise HOST:PORT, at which Forwarders reach it, or off")
                })?
                .to_string(),
        ),
        Advertise::Listening(_) if tls.is_none() => Advertise::No,
        Advertise::Listening(_) => Advertise::Listening(address),
        other => other.clone(),
    };
    let service = service(&options).await?;
    let address_of_app = match options.upstream.place {
        AppPlace::Tcp(address) => Address::Tcp(address),
        AppPlace::Unix(path) => Address::Unix(path),
    };
    let versions = if options.upstream.http2 { Versions::Http2 } else { Versions::Http1 };
    let how = UpstreamSettings { versions, ..UpstreamSettings::default() };
    let app = move || Upstream::new(address_of_app.clone(), how);
    let shutdown = Shutdown::default();
    let mut tasks = JoinSet::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = Settings { staleness: options.staleness, ..Settings::new(service.clone()) };
    let (reporter, reports) = report::channel(options.access_log);
    let gatekeeper = Gatekeeper::new(settings, app(), Arc::new(reporter), clock);
    tasks.spawn(report::send(reports, options.broker.clone(), service.clone(), shutdown.clone()));
    tasks.spawn(follow::follow(
        Arc::clone(&gatekeeper),
        options.broker,
        service.clone(),
        advertise,
        shutdown.clone(),
    ));
    let server = tls.as_ref().map(tls::ServiceTls::server);
    if let Some(tls) = tls {
        tasks.spawn(tls.keep_fresh(shutdown.clone()));
    }
    cores::serve(&gatekeeper, &app, listener, server.as_ref(), &shutdown, &mut tasks)
        .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
    Ok(Guard { address, service, shutdown, tasks })
}

/// The service's identity: what is named whole is taken as it is, otherwise the broker says in which trust domain.
async fn service(options: &GuardOptions) -> Result<Identity, ServiceError> {
    let wrong = |error: &(dyn std::error::Error + 'static)| {
        ServiceError::of(ErrorCode::Usage, error).hint("--service NAME, or its SPIFFE ID")
    };
    if options.service.contains("://") {
        return options.service.parse().map_err(|error| wrong(&error));
    }
    let domain = own_trust_domain(&options.broker).await?;
    Identity::new(&domain, IdentityKind::Service, &options.service).map_err(|error| wrong(&error))
}

/// The trust domain that we are in, as the broker says; it is waited for, until we are told to stop. The first process of a
/// container has no default action for that.
pub(crate) async fn own_trust_domain(broker: &Link) -> Result<TrustDomain, ServiceError> {
    let mut stops = Stops::listen()?;
    tokio::select! {
        found = asked_trust_domain(broker) => found,
        () = stops.told() => {
            let text = "told to stop, while the broker had not answered yet";
            Err(ServiceError::new(ErrorCode::Unavailable, text))
        }
    }
}

async fn asked_trust_domain(broker: &Link) -> Result<TrustDomain, ServiceError> {
    loop {
        match broker.call(&Command::Whoami).await {
            Ok(Reply::Whoami(found)) => {
                let own: Identity = found
                    .identity
                    .parse()
                    .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
                return Ok(own.trust_domain().clone());
            }
            Ok(_) => {
                return Err(ServiceError::new(
                    ErrorCode::Fault,
                    "the broker answered something else",
                ));
            }
            Err(error) if error.code == ErrorCode::Unavailable => {
                tracing::warn!(%error, causes = ?error.causes, "waiting for the broker");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The signals that end us.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn listen() -> Result<Self, ServiceError> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                ServiceError::new(ErrorCode::Fault, "signals cannot be received").caused_by(&error)
            })
        };
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: listen(terminate)?, interrupt: listen(interrupt)? })
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs until SIGTERM, SIGINT or the shutdown signal, then drains.
pub(crate) async fn drained(
    shutdown: Shutdown,
    mut tasks: JoinSet<()>,
) -> Result<(), ServiceError> {
    let mut stops = Stops::listen()?;
    tokio::select! {
        () = stops.told() => {}
        () = shutdown.triggered() => {}
    }
    shutdown.trigger();
    let ended = tokio::time::timeout(DRAIN, async { while tasks.join_next().await.is_some() {} });
    if ended.await.is_err() {
        tracing::warn!("some calls were cut at the deadline");
    }
    tasks.shutdown().await;
    Ok(())
}

impl Guard {
    /// Makes [`Guard::run`] end.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Runs until SIGTERM, SIGINT or [`Guard::shutdown`], then drains.
    ///
    /// # Errors
    /// Signals cannot be received.
    pub async fn run(self) -> Result<(), ServiceError> {
        drained(self.shutdown, self.tasks).await
    }
}
