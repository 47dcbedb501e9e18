//! `sealock gatekeeper`: a Gatekeeper in a process of its own, beside the app that it guards.
//!
//! It has no state. Who it is, its certificate or the workload socket says; what it decides by, the broker's feed. While
//! the broker is away, what is known decides.

mod access_log;
mod advertised;
mod awaited;
mod cores;
mod doors;
mod figures;
mod follow;
mod handover;
mod inherit;
mod introspect;
mod keys;
pub(crate) mod observe;
mod report;
mod room;
mod tls;
mod tuning;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealock_core::{Clock, Identity, IdentityKind, SystemClock, TrustDomain};
use sealock_net::Shutdown;
use sealock_net::proxy::{Address, Upstream, UpstreamSettings, Versions};
pub use sealock_traffic::gatekeeper::{
    BreakerSettings, HealthSettings, IdentityPattern, IntrospectSettings, Rate, Retries,
    StaleRouteError, StaleRoutes, Staleness,
};
use sealock_traffic::gatekeeper::{Extras, Gatekeeper, Introspection, Signer};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

pub use crate::client::link::{Advertise, IdentityFolder, Link};
use crate::command::{Command, Reply};
use crate::error::{ErrorCode, ServiceError};
pub(crate) use access_log::AccessLog;
pub use awaited::identity_is_there;
use doors::{Doors, until_known};
pub use figures::GuardMetrics;
pub(crate) use follow::spread;
pub use inherit::Activation;
pub use introspect::IntrospectOptions;
pub(crate) use room::Room;
pub use tuning::Tuning;

/// Between two tries to learn who we are.
const PAUSE: Duration = Duration::from_secs(1);
/// For what is under way at the end.
const DRAIN: Duration = Duration::from_secs(10);

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
    /// All that is seldom otherwise than usual.
    pub tuning: Tuning,
    /// Where figures are shown.
    pub metrics: Option<SocketAddr>,
    /// Take the socket for calls from systemd, in place of [`GuardOptions::listen`].
    pub activation: Option<Activation>,
    /// Where the sockets are handed over from one process to the next.
    pub handover: Option<PathBuf>,
    /// Whether the app is told in a signed form who calls.
    pub sign_identity: bool,
    /// The file for the key set by which the app checks that.
    pub identity_keys: Option<PathBuf>,
    /// The server that knows tokens which are not ours.
    pub introspect: Option<IntrospectOptions>,
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
    Unix(PathBuf),
}

/// A Gatekeeper that serves.
#[derive(Debug)]
pub struct Guard {
    /// Where it listens, with the port that was taken.
    pub address: SocketAddr,
    /// Where its figures are shown.
    pub metrics: Option<SocketAddr>,
    /// Whom it guards.
    pub service: Identity,
    shutdown: Shutdown,
    /// Given when nothing more is shown.
    unseen: Shutdown,
    drain: Duration,
    tasks: JoinSet<()>,
}

/// Starts a Gatekeeper on the current runtime. It serves when this returns, by 503 until the broker's first word; where it
/// takes another process's place, it waits for that word first.
///
/// # Errors
/// The address is taken, the certificate cannot be read, or the service's name is none. In another process's place: the
/// broker was not heard; then that one goes on.
pub async fn guard(options: GuardOptions) -> Result<Guard, ServiceError> {
    let began = Instant::now();
    let doors = Doors::open(&options).await?;
    let offer = options.handover.as_deref().map(handover::Offer::prepare).transpose()?;
    let local = |listener: &TcpListener| listener.local_addr();
    let wrong = |error: &io::Error| ServiceError::of(ErrorCode::Fault, error);
    let address = local(&doors.calls).map_err(|error| wrong(&error))?;
    let metrics = doors.metrics.as_ref().map(local).transpose().map_err(|error| wrong(&error))?;
    let tls = match &options.identity {
        Some(identity) => Some(tls::ServiceTls::new(identity.clone()).await?),
        None => None,
    };
    let advertise = advertised::advertised(&options, address)?;
    let service = service(&options).await?;
    let address_of_app = match &options.upstream.place {
        AppPlace::Tcp(address) => Address::Tcp(address.clone()),
        AppPlace::Unix(path) => Address::Unix(path.clone()),
    };
    let versions = if options.upstream.http2 { Versions::Http2 } else { Versions::Http1 };
    let mut settings = options.tuning.settings(service.clone(), options.staleness);
    let room = Room::here(settings.limits.connections, cores::count());
    settings.limits.connections = room.connections;
    settings.running = room.running;
    let how = UpstreamSettings { versions, idle: room.idle, ..UpstreamSettings::default() };
    let watched = Upstream::new(address_of_app.clone(), UpstreamSettings { idle: 0, ..how });
    let app = move || Upstream::new(address_of_app.clone(), how);
    let (shutdown, unseen) = (Shutdown::default(), Shutdown::default());
    let mut tasks = JoinSet::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let extras = extras(&options, &service, &clock).await?;
    let keys = extras.signer.as_ref().map(|signer| signer.keys().to_json());
    let (reporter, reports) = report::channel(options.access_log);
    let unreported = Arc::clone(&reports.unreported);
    let gatekeeper = Gatekeeper::with(settings, app(), Arc::new(reporter), clock, extras);
    tasks.spawn(report::send(reports, options.broker.clone(), service.clone(), shutdown.clone()));
    tasks.spawn(follow::follow(
        Arc::clone(&gatekeeper),
        options.broker,
        service.clone(),
        advertise,
        shutdown.clone(),
    ));
    tasks.spawn(Arc::clone(&gatekeeper).watch_app(watched, shutdown.clone()));
    let server = tls.as_ref().map(tls::ServiceTls::server);
    if let Some(tls) = tls {
        tasks.spawn(tls.keep_fresh(shutdown.clone()));
    }
    let Doors { calls, metrics: shown_at, before } = doors;
    let calls = calls.into_std().map_err(|error| wrong(&error))?;
    let shown_at =
        shown_at.map(TcpListener::into_std).transpose().map_err(|error| wrong(&error))?;
    if before.is_some() {
        until_known(&gatekeeper).await?;
    }
    let mut sockets = Vec::new();
    for socket in [Some(&calls), shown_at.as_ref()].into_iter().flatten() {
        sockets.push(socket.try_clone().map_err(|error| wrong(&error))?.into());
    }
    let calls = TcpListener::from_std(calls).map_err(|error| wrong(&error))?;
    cores::serve(&gatekeeper, &app, calls, server.as_ref(), &shutdown, &mut tasks)
        .map_err(|error| wrong(&error))?;
    if let Some(listener) = shown_at {
        let listener = TcpListener::from_std(listener).map_err(|error| wrong(&error))?;
        let shown = shown(Arc::clone(&gatekeeper), began, unreported, keys, shutdown.clone());
        // Not one of the tasks that the end waits for: it shows that, too.
        tokio::spawn(observe::serve(listener, Arc::new(shown), unseen.clone()));
    }
    if let Some(offer) = offer {
        offer.put_in_place()?;
        tokio::spawn(hand_over(offer, sockets, shutdown.clone(), unseen.clone()));
    }
    if let Some(before) = before {
        before.ready().await;
    }
    Ok(Guard { address, metrics, service, shutdown, unseen, drain: options.tuning.drain, tasks })
}

/// What not every Gatekeeper has.
async fn extras(
    options: &GuardOptions,
    service: &Identity,
    clock: &Arc<dyn Clock>,
) -> Result<Extras, ServiceError> {
    let mut extras = Extras::default();
    if options.sign_identity {
        let signer = Signer::new(service);
        let signer = signer.map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        if let Some(path) = options.identity_keys.clone() {
            keys::publish(path, signer.keys()).await?;
        }
        extras.signer = Some(signer);
    }
    if let Some(introspect) = options.introspect.clone() {
        let settings = introspect.settings.clone();
        let server =
            Box::new(introspect::Questions(Arc::new(introspect::Server::new(introspect).await?)));
        let introspection = Introspection::new(settings, service, server, Arc::clone(clock));
        let none = || ServiceError::new(ErrorCode::Fault, "the system has no randomness");
        extras.introspection = Some(introspection.ok_or_else(none)?);
    }
    Ok(extras)
}

/// Waits for whoever takes our place, and ends us then; whoever was told to stop before hands nothing over any more.
async fn hand_over(
    offer: handover::Offer,
    sockets: Vec<OwnedFd>,
    shutdown: Shutdown,
    unseen: Shutdown,
) {
    tokio::select! {
        () = offer.wait(sockets) => {}
        () = shutdown.triggered() => return,
    }
    unseen.trigger();
    shutdown.trigger();
}

fn shown(
    gatekeeper: Arc<Gatekeeper>,
    began: Instant,
    unreported: Arc<report::Unreported>,
    keys: Option<String>,
    shutdown: Shutdown,
) -> observe::Shown {
    let (metrics, watched) = (GuardMetrics::new(), Arc::clone(&gatekeeper));
    observe::Shown {
        figures: Box::new(move || metrics.render(&watched, began.elapsed(), unreported.count())),
        unready: Box::new(move || {
            if shutdown.is_triggered() { Some("draining") } else { gatekeeper.unready() }
        }),
        keys,
    }
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
pub(crate) async fn drained(shutdown: Shutdown, tasks: JoinSet<()>) -> Result<(), ServiceError> {
    drained_within(shutdown, tasks, DRAIN).await
}

async fn drained_within(
    shutdown: Shutdown,
    mut tasks: JoinSet<()>,
    drain: Duration,
) -> Result<(), ServiceError> {
    let mut stops = Stops::listen()?;
    tokio::select! {
        () = stops.told() => {}
        () = shutdown.triggered() => {}
    }
    shutdown.trigger();
    let end = async { while tasks.join_next().await.is_some() {} };
    // The listeners have cut what is over the time by then.
    let ended = tokio::time::timeout(drain.saturating_add(Duration::from_secs(1)), end);
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
        let ended = drained_within(self.shutdown, self.tasks, self.drain).await;
        self.unseen.trigger();
        ended
    }
}
