//! The doors for containers: sockets in folders that they mount, and who is at their other end.
//!
//! There are two: `docker/docker.sock` speaks the engine's API through the gateway, `workload/workload.sock` our own.
//! Everybody may connect (0666): who they are, [`crate::attest`] says, and what they may do, policy. The folders
//! are 0755 and written to by this process only, because whoever could put another socket there would be
//! given the requests of others.

mod api;
mod bind;
mod session;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::AtFlags;
use sealock_docker::gateway::{Gateway, serve_local};
use sealock_engine::{Engine, EngineUrl};
use sealock_net::Shutdown;
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::gateway::ServiceGuard;
use crate::attest::{Attester, is_supported};
use crate::config::{Listen, Workload};
use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;
use bind::bind;
pub(super) use session::session;

/// Where the sockets are to be, if there are to be any.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// The gateway's.
    pub(super) gateway: Option<PathBuf>,
    /// The API's.
    pub(super) api: Option<PathBuf>,
}

/// Where the sockets are to be by the settings.
pub(super) fn wanted(service: &Service, engine: &EngineUrl) -> Result<Wanted, ServiceError> {
    let settings = &service.config().settings;
    let listens = settings.gateway.listen != Listen::Off;
    let standard = service.state().gateway_socket();
    let gateway = one("gateway.socket", &settings.gateway.socket, standard, listens, engine)?;
    let standard = service.state().workload_socket();
    let api = one("workload.socket", &settings.workload, standard, true, engine)?;
    Ok(Wanted { gateway, api })
}

fn one(
    setting: &str,
    asked: &Workload,
    standard: PathBuf,
    by_default: bool,
    engine: &EngineUrl,
) -> Result<Option<PathBuf>, ServiceError> {
    match asked {
        Workload::Off => Ok(None),
        Workload::At(_) if !is_supported() => Err(ServiceError::new(
            ErrorCode::Usage,
            "this kernel does not say which process is at the other end of a socket",
        )
        .hint(format!("{setting} needs Linux 6.5; containers can use certificates instead"))),
        Workload::At(path) => match std::path::absolute(path) {
            Ok(path) => Ok(Some(path)),
            Err(error) => Err(ServiceError::of(ErrorCode::Usage, &error)),
        },
        Workload::Standard if !by_default => Ok(None),
        // The containers of an engine elsewhere are not this kernel's to tell apart.
        Workload::Standard if !matches!(engine, EngineUrl::Unix(_)) => Ok(None),
        Workload::Standard if !is_supported() => {
            tracing::warn!(setting, "no socket for containers: it needs Linux 6.5");
            Ok(None)
        }
        Workload::Standard => Ok(Some(standard)),
    }
}

/// A socket that is bound.
struct Bound {
    listener: UnixListener,
    folder: OwnedFd,
    path: PathBuf,
}

impl Bound {
    fn at(path: PathBuf, setting: &str) -> Result<Self, ServiceError> {
        let (listener, folder) = bind(&path).map_err(|error| {
            ServiceError::new(ErrorCode::Failed, format!("cannot listen at {}", path.display()))
                .caused_by(&error)
                .hint(format!("name another path with the setting {setting}, or off"))
        })?;
        Ok(Self { listener, folder, path })
    }

    /// Serves until its end; then the socket is removed.
    fn serve<F: Future<Output = ()> + Send + 'static>(
        self,
        tasks: &mut JoinSet<()>,
        serving: impl FnOnce(UnixListener) -> F,
    ) {
        let Self { listener, folder, path } = self;
        let serving = serving(listener);
        tasks.spawn(async move {
            serving.await;
            if let Some(name) = path.file_name() {
                let _ = rustix::fs::unlinkat(&folder, name, AtFlags::empty());
            }
        });
    }
}

/// The sockets, bound, and who tells their callers apart.
#[derive(Default)]
pub(super) struct Doors {
    gateway: Option<(Bound, Arc<Gateway<ServiceGuard>>)>,
    api: Option<Bound>,
    attester: Option<Arc<Attester>>,
}

impl Doors {
    /// Binds the sockets; the engine need not be there yet. `gateway` is there when its socket is wanted.
    pub(super) fn open(
        service: &Service,
        wanted: Wanted,
        engine: &EngineUrl,
        gateway: Option<Arc<Gateway<ServiceGuard>>>,
    ) -> Result<Self, ServiceError> {
        let mut doors = Self::default();
        if let (Some(path), Some(gateway)) = (wanted.gateway, gateway) {
            doors.gateway = Some((Bound::at(path, "gateway.socket")?, gateway));
        }
        if let Some(path) = wanted.api {
            doors.api = Some(Bound::at(path, "workload.socket")?);
        }
        let paths = [doors.gateway(), doors.api()];
        let folders: Vec<&Path> = paths.into_iter().flatten().filter_map(Path::parent).collect();
        if folders.is_empty() {
            return Ok(doors);
        }
        let engine = Engine::without_connecting(engine)
            .map_err(|error| ServiceError::of(ErrorCode::Usage, &error).maybe_hint(error.hint()))?;
        let attester = Arc::new(Attester::new(engine, &folders));
        let _ = service.attester().set(Arc::clone(&attester));
        doors.attester = Some(attester);
        Ok(doors)
    }

    /// Where the gateway's socket is.
    pub(super) fn gateway(&self) -> Option<&Path> {
        self.gateway.as_ref().map(|(bound, _)| bound.path.as_path())
    }

    /// Where the API's socket is.
    pub(super) fn api(&self) -> Option<&Path> {
        self.api.as_ref().map(|bound| bound.path.as_path())
    }

    /// Serves until the shutdown signal.
    pub(super) fn serve(
        self,
        service: &Arc<Service>,
        shutdown: &Shutdown,
        tasks: &mut JoinSet<()>,
    ) {
        if let Some(attester) = self.attester {
            tasks.spawn(attester.follow(shutdown.clone()));
        }
        if let Some((bound, gateway)) = self.gateway {
            let end = shutdown.clone();
            bound.serve(tasks, move |listener| serve_local(listener, gateway, end));
        }
        if let Some(bound) = self.api {
            let (service, end) = (Arc::clone(service), shutdown.clone());
            bound.serve(tasks, move |listener| api::serve(listener, service, end));
        }
    }
}
