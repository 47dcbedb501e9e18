//! The engine: found by settings and environment, asked now and then, and followed by the watcher.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sealock_delivery::watcher::{EngineSite, Watcher, WatcherParts, WatcherSettings};
use sealock_engine::{Engine, EngineError, EngineUrl, TlsFiles};
use sealock_net::Shutdown;
use tokio::task::JoinSet;

use super::watched::WatchedContainers;
use crate::command::EngineStatus;
use crate::error::{ErrorCode, ServiceError};
use crate::service::{Opening, PolicySource, Service};
use crate::sidecar::Sidecars;

/// How long the start waits for the engine's first answer.
const FIRST_ANSWER: Duration = Duration::from_millis(150);
/// For its name to be found.
const FIND_NAME: Duration = Duration::from_secs(2);
/// How often it is asked while it answers, and while it does not.
const EVERY: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_secs(1);

/// The engine's address: of the settings, else what docker's own client would use.
pub fn engine_url(opening: &Opening) -> Result<EngineUrl, ServiceError> {
    let settings = &opening.config.settings.engine;
    let variable = |name: &str| opening.environment.get(name);
    let Some(url) = settings.url.as_deref().or_else(|| variable("DOCKER_HOST")) else {
        return Ok(EngineUrl::standard());
    };
    let home = || variable("HOME").map(|home| Path::new(home).join(".docker"));
    let by_environment = || {
        variable("DOCKER_TLS_VERIFY")?;
        variable("DOCKER_CERT_PATH").map(PathBuf::from).or_else(home)
    };
    let tls = settings.tls.clone().or_else(by_environment);
    EngineUrl::parse(url, tls.as_deref().map(TlsFiles::in_folder))
        .map_err(|error| engine_error(ErrorCode::Usage, &error))
}

pub(super) fn engine_error(code: ErrorCode, error: &EngineError) -> ServiceError {
    ServiceError::of(code, error).maybe_hint(error.hint())
}

/// Whether the engine's address is the one at which we listen ourselves, as it is where `DOCKER_HOST` is set
/// for the gateway's clients. A name that cannot be found is another's.
pub(super) async fn is_ourselves(url: &EngineUrl, own: SocketAddr) -> bool {
    let (EngineUrl::Tcp(host) | EngineUrl::Tls(host, _)) = url else { return false };
    let found = tokio::time::timeout(FIND_NAME, tokio::net::lookup_host(host)).await;
    let Ok(Ok(mut addresses)) = found else { return false };
    // Only addresses of this host can be bound.
    let of_this_host = |ip: IpAddr| UdpSocket::bind((ip, 0)).is_ok();
    addresses.any(|address| {
        let any = own.ip().is_unspecified() && of_this_host(address.ip());
        address.port() == own.port() && (address.ip() == own.ip() || any)
    })
}

/// What the daemon has of the engine.
pub(super) struct Parts {
    pub(super) status: Arc<ArcSwap<EngineStatus>>,
    pub(super) watched: Option<Arc<WatchedContainers>>,
}

impl Parts {
    /// Nothing needs it.
    pub(super) fn unneeded(url: &EngineUrl) -> Self {
        let status = away(url, "it is not asked: nothing here needs it");
        Self { status: Arc::new(ArcSwap::from_pointee(status)), watched: None }
    }
}

/// Starts following the engine. One that does not answer, or whose socket is not there yet, is waited for;
/// what is wrong with its address or TLS files is an error.
pub(super) async fn start(
    service: &Arc<Service>,
    url: &EngineUrl,
    workload: Option<PathBuf>,
    shutdown: &Shutdown,
    tasks: &mut JoinSet<()>,
) -> Result<Parts, ServiceError> {
    let first = match Engine::without_connecting(url) {
        Ok(engine) => {
            let answer = tokio::time::timeout(FIRST_ANSWER, probe(&engine)).await;
            (Some(engine), answer.unwrap_or_else(|_| away(url, "it has not answered yet")))
        }
        Err(error) if error.is_away() => (None, down(url, &error)),
        Err(error) => return Err(engine_error(ErrorCode::Usage, &error)),
    };
    let (engine, answer) = first;
    let status = Arc::new(ArcSwap::from_pointee(answer));
    let enabled = service.config().settings.watch.enabled;
    let since = service.journal().clock().now();
    let watched = enabled.then(|| Arc::new(WatchedContainers::new(Arc::clone(&status), since)));
    let follow = Follow {
        service: Arc::clone(service),
        url: url.clone(),
        workload,
        status: Arc::clone(&status),
        watched: watched.clone(),
        shutdown: shutdown.clone(),
    };
    tasks.spawn(follow.run(engine));
    Ok(Parts { status, watched })
}

/// What follows the engine while the daemon lives.
struct Follow {
    service: Arc<Service>,
    url: EngineUrl,
    /// The socket for containers.
    workload: Option<PathBuf>,
    status: Arc<ArcSwap<EngineStatus>>,
    watched: Option<Arc<WatchedContainers>>,
    shutdown: Shutdown,
}

impl Follow {
    async fn run(self, engine: Option<Engine>) {
        let Some(engine) = self.client(engine).await else { return };
        match &self.watched {
            None => self.ask(&engine).await,
            Some(watched) => match watcher(&self.service, &engine).await {
                Ok(watcher) => {
                    watched.begin(Arc::clone(&watcher), engine.clone());
                    let end = self.shutdown.clone();
                    let running = watcher.run(async move { end.triggered().await });
                    let (shown, workload) = (watched.sidecars(), self.workload.clone());
                    let sidecars = Sidecars::new(&self.service, &engine, workload, shown);
                    let sidecars = sidecars.run(self.shutdown.clone());
                    tokio::join!(running, sidecars, self.ask(&engine));
                }
                Err(error) => {
                    tracing::error!(%error, causes = ?error.causes, "labels are not watched");
                    watched.fail(&error);
                    self.ask(&engine).await;
                }
            },
        }
    }

    /// The engine's client, which cannot be made while its socket is missing.
    async fn client(&self, mut engine: Option<Engine>) -> Option<Engine> {
        loop {
            if engine.is_some() {
                return engine;
            }
            self.pause(AGAIN).await?;
            match Engine::without_connecting(&self.url) {
                Ok(made) => {
                    self.status.store(Arc::new(probe(&made).await));
                    engine = Some(made);
                }
                Err(error) => self.status.store(Arc::new(down(&self.url, &error))),
            }
        }
    }

    /// Asks now and then whether it is there.
    async fn ask(&self, engine: &Engine) {
        loop {
            let pause = if self.status.load().up { EVERY } else { AGAIN };
            if self.pause(pause).await.is_none() {
                return;
            }
            self.status.store(Arc::new(probe(engine).await));
        }
    }

    /// `None` when the daemon ends.
    async fn pause(&self, pause: Duration) -> Option<()> {
        tokio::select! {
            () = self.shutdown.triggered() => None,
            () = tokio::time::sleep(pause) => Some(()),
        }
    }
}

async fn watcher(service: &Arc<Service>, engine: &Engine) -> Result<Arc<Watcher>, ServiceError> {
    let clock = Arc::clone(service.journal().clock());
    let defaults = WatcherSettings::default();
    let site =
        Arc::new(EngineSite::new(engine.clone(), Arc::clone(&clock), defaults.reload_deadline));
    let parts = WatcherParts {
        source: Arc::new(PolicySource(Arc::clone(service))),
        secrets: Arc::new(PolicySource(Arc::clone(service))),
        publisher: Arc::new(PolicySource(Arc::clone(service))),
        host: Arc::clone(&site) as _,
        site,
        journal: Arc::clone(service.journal()),
        clock,
    };
    let watch = &service.config().settings.watch;
    let (grace, scope) = (watch.grace, watch.scope.clone());
    let seed = u64::from(std::process::id());
    let settings = WatcherSettings { grace, scope, seed, ..defaults };
    super::blocking(move || {
        Watcher::new(parts, settings).map_err(|error| ServiceError::of(ErrorCode::State, &error))
    })
    .await
    .map(Arc::new)
}

async fn probe(engine: &Engine) -> EngineStatus {
    match engine.version().await {
        Ok(version) => EngineStatus {
            url: engine.url().to_string(),
            up: true,
            version: Some(version.version),
            error: None,
        },
        Err(error) => down(engine.url(), &error),
    }
}

fn down(url: &EngineUrl, error: &EngineError) -> EngineStatus {
    let shown = ServiceError::of(ErrorCode::Unavailable, error);
    let text =
        shown.causes.iter().fold(shown.message.clone(), |text, cause| format!("{text}: {cause}"));
    away(url, &text)
}

fn away(url: &EngineUrl, why: &str) -> EngineStatus {
    EngineStatus { url: url.to_string(), up: false, version: None, error: Some(why.to_owned()) }
}
