//! `up`, and `gateway` or `broker` alone: makes what is missing, opens the doors, follows the engine, and keeps everything fresh.
//!
//! Everything that it does can be stopped at any moment, by SIGKILL too, and is done again by the next
//! start; started again, it changes nothing. What cannot be had at the start and may come (the engine) is
//! waited for; what is wrong (the port is taken, the state is damaged) is one clear error.

mod acme;
mod chores;
mod drop_folder;
mod engine;
mod engine_tls;
mod enrolment;
mod gateway;
mod notify;
mod planes;
mod publisher;
mod revocation;
mod tls;
mod watched;
mod workload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealock_core::audit::{Actor, Fact};
use sealock_net::Shutdown;
use sealock_store::Change;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

pub use engine::engine_url;
pub(crate) use gateway::Sessions;
pub use planes::Planes;
pub(crate) use publisher::Publications;

use crate::api::{ApiListener, bind_api, bind_socket, serve_api, serve_socket};
use crate::client::state_error;
use crate::command::{EngineStatus, Init, InitReport, PolicyStatus};
use crate::config::{Listen, Settings};
use crate::error::{ErrorCode, ServiceError};
use crate::service::{DaemonView, Opening, Service, Watched};
use crate::state::{COMMAND_WAIT, Purpose};

/// Between two attempts to get the passphrase of locked keys.
const LOCKED: Duration = Duration::from_secs(2);
/// For what is under way when the daemon is told to stop.
const DRAIN: Duration = Duration::from_secs(15);

/// What was made and where it listens, for whoever started it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// What `init` made or found.
    pub init: InitReport,
    /// The admin socket.
    pub socket: PathBuf,
    /// The HTTPS address, with the port that was taken.
    pub api: Option<String>,
    /// The gateway's address, with the port that was taken.
    #[serde(default)]
    pub gateway: Option<String>,
    /// The gateway's socket for containers.
    #[serde(default)]
    pub gateway_socket: Option<PathBuf>,
    /// Where there is ACME and nothing else.
    #[serde(default)]
    pub acme: Option<String>,
    /// Where revocation lists and OCSP are served.
    #[serde(default)]
    pub revocation: Option<String>,
    /// The API's socket for containers.
    #[serde(default)]
    pub workload: Option<PathBuf>,
    /// The engine, as far as it has answered yet.
    pub engine: EngineStatus,
    /// The policy in force.
    pub policy: PolicyStatus,
    /// The settings file that was read.
    pub config: Option<PathBuf>,
    /// How long the start took, in milliseconds.
    pub milliseconds: u64,
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    service: Arc<Service>,
    shutdown: Shutdown,
    tasks: JoinSet<()>,
    socket: PathBuf,
    started: Started,
}

/// Starts the daemon on the current runtime. It serves when this returns.
pub async fn up(opening: Opening) -> Result<Daemon, ServiceError> {
    start(opening, Planes::All, Purpose::Up).await
}

/// The same with nothing but the gateway and the admin socket, and the API where its address is set: labels
/// are not watched, whatever the settings say.
pub async fn gateway(opening: Opening) -> Result<Daemon, ServiceError> {
    start(opening, Planes::Gateway, Purpose::Gateway).await
}

/// The same with nothing but the Token Broker: its endpoints, feeds and the directory of services, over HTTPS and for
/// containers, and the admin socket. Nobody is served anything else by the network: no certificates, no secrets.
pub async fn broker(opening: Opening) -> Result<Daemon, ServiceError> {
    start(opening, Planes::Broker, Purpose::Broker).await
}

async fn start(
    mut opening: Opening,
    planes: Planes,
    purpose: Purpose,
) -> Result<Daemon, ServiceError> {
    planes.choose(&mut opening.config.settings)?;
    opening.planes = planes;
    let began = Instant::now();
    let engine_url = engine_url(&opening)?;
    let shutdown = Shutdown::default();
    let (service, socket) = blocking(move || open(opening, purpose)).await?;
    let settings = service.config().settings.clone();
    let mut tasks = JoinSet::new();
    // Before the keys: who checks certificates does not wait for whoever types the passphrase.
    let revocation = revocation::open(&service, &shutdown, &mut tasks).await?;
    let init = unlocked(&service, revocation.is_some()).await?;
    let api = api_listener(&settings).await?;
    let listener = bound(&socket)?;
    record_start(&service).await?;
    let (alarms, dropped) = (Arc::default(), Arc::default());
    let address = api.as_ref().map(|api| api.address.to_string());
    let tls = api_tls(&service, api.as_ref()).await?;
    let acme = acme::Door::open(&service).await?;
    let gateways = Gateways::open(&service, &engine_url).await?;
    let (gateway_address, gateway_socket, workload) = gateways.places();
    let parts = match planes.need_engine(&settings) {
        true => {
            engine::start(&service, &engine_url, workload.clone(), &shutdown, &mut tasks).await?
        }
        false => engine::Parts::unneeded(&engine_url),
    };
    service.became_daemon(DaemonView {
        since: service.journal().clock().now(),
        api: address.clone(),
        acme: acme.as_ref().map(acme::Door::address),
        gateway: gateway_address.clone(),
        gateway_socket: gateway_socket.clone(),
        workload: workload.clone(),
        revocation: revocation.clone(),
        engine: planes.need_engine(&settings).then(|| Arc::clone(&parts.status)),
        watched: parts.watched.clone().map(|watched| watched as Arc<dyn Watched>),
        alarms: Arc::clone(&alarms),
        dropped: Arc::clone(&dropped),
    });
    tasks.spawn(serve_socket(listener, Arc::clone(&service), shutdown.clone()));
    serve_tls(api, tls.as_ref(), &service, &shutdown, &mut tasks);
    let acme_address = acme.as_ref().map(acme::Door::address);
    let acme_tls = acme.map(|door| door.serve(&service, &shutdown, &mut tasks));
    let doors = tls
        .into_iter()
        .chain(acme_tls)
        .chain(gateways.door.as_ref().map(|door| door.tls.clone()))
        .collect();
    gateways.serve(&service, &shutdown, &mut tasks);
    let watches = parts.watched.is_some();
    outward(&service, (planes, watches), &shutdown, &mut tasks);
    chores::start(
        chores::Chores {
            service: Arc::clone(&service),
            doors,
            watcher: parts.watched,
            alarms,
            dropped,
        },
        &shutdown,
        &mut tasks,
    );
    let started = Started {
        init,
        socket: socket.clone(),
        api: address,
        gateway: gateway_address,
        gateway_socket,
        workload,
        acme: acme_address,
        revocation,
        engine: EngineStatus::clone(&parts.status.load()),
        policy: service.policy().status(),
        config: service.config().file.clone(),
        milliseconds: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    notify::tell(&service, "READY=1\nSTATUS=serving");
    Ok(Daemon { service, shutdown, tasks, socket, started })
}

/// What goes on with servers of others: certificates are published there, and asked for.
fn outward(
    service: &Arc<Service>,
    (planes, watches): (Planes, bool),
    shutdown: &Shutdown,
    tasks: &mut JoinSet<()>,
) {
    let settings = &service.config().settings;
    if !settings.directories.is_empty() || watches {
        tasks.spawn(publisher::run(Arc::clone(service), shutdown.clone()));
    }
    if planes == Planes::All && !settings.upstreams.is_empty() {
        tasks.spawn(enrolment::run(Arc::clone(service), shutdown.clone()));
    }
}

async fn record_start(service: &Arc<Service>) -> Result<(), ServiceError> {
    let own = Arc::clone(service);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    blocking(move || record(&own, Fact::DaemonStarted { version })).await
}

async fn api_listener(settings: &Settings) -> Result<Option<ApiListener>, ServiceError> {
    match settings.api.listen {
        Listen::Off => Ok(None),
        Listen::At(address) => bind_api(address).await.map(Some),
    }
}

async fn api_tls(
    service: &Arc<Service>,
    api: Option<&ApiListener>,
) -> Result<Option<tls::ApiTls>, ServiceError> {
    let Some(api) = api else { return Ok(None) };
    let names = &service.config().settings.api.names;
    tls::ApiTls::new(Arc::clone(service), "api", api.address, names).await.map(Some)
}

/// The gateway with its doors.
#[derive(Default)]
struct Gateways {
    front: Option<gateway::Front>,
    /// Over TLS.
    door: Option<gateway::Door>,
    /// For containers; the API's is among them.
    containers: workload::Doors,
}

impl Gateways {
    async fn open(
        service: &Arc<Service>,
        engine: &sealock_engine::EngineUrl,
    ) -> Result<Self, ServiceError> {
        let listen = service.config().settings.gateway.listen;
        let wanted = workload::wanted(service, engine)?;
        if listen == Listen::Off && wanted.gateway.is_none() {
            let containers = workload::Doors::open(service, wanted, engine, None)?;
            return Ok(Self { containers, ..Self::default() });
        }
        let front = gateway::Front::new(service, engine).await?;
        let gateway = || Arc::clone(&front.gateway);
        let door = match listen {
            Listen::Off => None,
            Listen::At(address) => {
                Some(gateway::Door::open(service, address, engine, gateway()).await?)
            }
        };
        let containers = workload::Doors::open(service, wanted, engine, Some(gateway()))?;
        Ok(Self { front: Some(front), door, containers })
    }

    /// The gateway's address and socket, and the API's socket for containers.
    fn places(&self) -> (Option<String>, Option<PathBuf>, Option<PathBuf>) {
        let owned = |path: &std::path::Path| path.to_owned();
        let address = self.door.as_ref().map(|door| door.address().to_string());
        (address, self.containers.gateway().map(owned), self.containers.api().map(owned))
    }

    fn serve(self, service: &Arc<Service>, shutdown: &Shutdown, tasks: &mut JoinSet<()>) {
        if let Some(front) = self.front {
            front.follow(shutdown, tasks);
        }
        if let Some(door) = self.door {
            door.serve(shutdown, tasks);
        }
        self.containers.serve(service, shutdown, tasks);
    }
}

/// The state folder; blocking.
fn open(opening: Opening, purpose: Purpose) -> Result<(Arc<Service>, PathBuf), ServiceError> {
    let lock = opening.state.open(purpose, COMMAND_WAIT).map_err(|error| state_error(&error))?;
    let socket = opening.state.prepare_run().map_err(|error| state_error(&error))?;
    Ok((Service::open(opening, lock)?, socket))
}

/// Authority, policy, identities. Where the keys' passphrase cannot be had and lists and answers are served
/// meanwhile, it is asked for again and again: they are what others cannot do without.
async fn unlocked(service: &Arc<Service>, waits: bool) -> Result<InitReport, ServiceError> {
    let mut stop = None;
    loop {
        let own = Arc::clone(service);
        let error = match blocking(move || prepare(&own)).await {
            Err(error) if waits && error.code == ErrorCode::Unavailable => error,
            outcome => return outcome,
        };
        // Not before: while somebody is asked for the passphrase, a signal just ends us.
        if stop.is_none() {
            let listen = |kind| signal(kind).map_err(|error| unheard(&error));
            stop = Some((listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?));
            tracing::warn!(
                %error, causes = ?error.causes,
                "the keys are locked: revocation lists and OCSP are served, the rest waits for passphrase or HSM"
            );
            notify::tell(service, "STATUS=locked: waiting for passphrase or HSM");
        }
        let Some((terminate, interrupt)) = &mut stop else { continue };
        tokio::select! {
            () = tokio::time::sleep(LOCKED) => {}
            _ = terminate.recv() => return Err(stopped()),
            _ = interrupt.recv() => return Err(stopped()),
        }
    }
}

fn stopped() -> ServiceError {
    ServiceError::new(ErrorCode::Unavailable, "stopped before the keys were unlocked")
}

fn unheard(error: &std::io::Error) -> ServiceError {
    ServiceError::new(ErrorCode::Fault, "signals cannot be received").caused_by(error)
}

/// What a start makes where it is missing; blocking.
fn prepare(service: &Arc<Service>) -> Result<InitReport, ServiceError> {
    let actor = Actor::daemon("start");
    let key_type = service.config().settings.authority.key_type;
    let key_protection = service.present_protection()?;
    let init = service.initialise(&Init { key_type, key_protection, ..Init::default() }, &actor)?;
    // This does not keep the rest from working: who needs the vault is told what is wrong with it.
    if let Err(error) = service.heal_vault() {
        tracing::error!(%error, causes = ?error.causes, "the vault cannot be looked after");
    }
    // What needs no key of the HSM's goes on without it; a PIN that is wrong is told at once.
    match service.try_hsm() {
        Err(error) if error.code == ErrorCode::Unavailable => {
            tracing::warn!(%error, causes = ?error.causes, "the HSM does not answer: nothing is issued until it does");
        }
        outcome => outcome?,
    }
    // Makes the first key of tokens, so that a second start changes nothing.
    if let Err(error) = service.keep_token_keys() {
        tracing::error!(%error, causes = ?error.causes, "the keys of tokens cannot be looked after");
    }
    Ok(init)
}

fn record(service: &Service, fact: Fact) -> Result<(), ServiceError> {
    let event = Actor::daemon("daemon").event(service.journal().clock().now(), fact);
    let committed = service.journal().commit_blocking(Change::event(event));
    committed.map(|_| ()).map_err(|error| ServiceError::of(ErrorCode::State, &error))
}

fn bound(socket: &std::path::Path) -> Result<UnixListener, ServiceError> {
    bind_socket(socket).map_err(|error| {
        let text = format!("cannot listen at {}", socket.display());
        ServiceError::new(ErrorCode::State, text).caused_by(&error)
    })
}

fn serve_tls(
    api: Option<ApiListener>,
    tls: Option<&tls::ApiTls>,
    service: &Arc<Service>,
    shutdown: &Shutdown,
    tasks: &mut JoinSet<()>,
) {
    if let (Some(api), Some(tls)) = (api, tls) {
        tasks.spawn(serve_api(api, tls.server(), Arc::clone(service), shutdown.clone()));
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, ServiceError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(ServiceError::new(ErrorCode::Fault, format!("work ended unexpectedly: {error}")))
    })
}

impl Daemon {
    /// What was made and where it listens.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// The service, for calls in this process.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Makes [`Daemon::run`] end.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Runs until SIGTERM, SIGINT or [`Daemon::shutdown`], then drains: what is under way is finished, new
    /// requests are not taken. SIGHUP reads the policy folder again.
    pub async fn run(mut self) -> Result<(), ServiceError> {
        let failed = |error: std::io::Error| unheard(&error);
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                () = self.shutdown.triggered() => break,
                _ = hangup.recv() => chores::reload_policy(&self.service).await,
            }
        }
        notify::tell(&self.service, "STOPPING=1");
        self.shutdown.trigger();
        let drained =
            tokio::time::timeout(DRAIN, async { while self.tasks.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::warn!("some work was cut at the deadline");
        }
        self.tasks.shutdown().await;
        let (service, socket) = (self.service, self.socket);
        service.was_daemon();
        blocking(move || {
            service.catch_up_lists();
            let recorded = record(&service, Fact::DaemonStopped {});
            // The lock is still held, so the socket is ours.
            let _ = std::fs::remove_file(&socket);
            recorded
        })
        .await
    }
}
