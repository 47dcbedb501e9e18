//! The Docker gateway's identities, decisions and records; and its door.

mod guard;
mod sessions;

use std::net::SocketAddr;
use std::sync::Arc;

use sealock_docker::gateway::{Gateway, Listening, serve};
use sealock_docker::route::Version;
use sealock_engine::EngineUrl;
use sealock_net::Shutdown;
use sealock_net::proxy::{Address, Upstream, UpstreamSettings};
use tokio::task::JoinSet;

use super::engine::is_ourselves;
use super::engine_tls::EngineTls;
use super::tls::ApiTls;
use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;
pub(super) use guard::{ServiceGuard, refused};
pub(super) use sessions::Entered;
pub(crate) use sessions::Sessions;

/// The gateway, whatever doors it has, and its way to the engine.
pub(super) struct Front {
    pub(super) gateway: Arc<Gateway<ServiceGuard>>,
    upstream: Upstream,
    /// The files of an engine that speaks TLS.
    engine_tls: Option<EngineTls>,
}

impl Front {
    /// The engine need not be there yet.
    pub(super) async fn new(
        service: &Arc<Service>,
        engine: &EngineUrl,
    ) -> Result<Self, ServiceError> {
        let (address, engine_tls) = match engine {
            EngineUrl::Unix(path) => (Address::Unix(path.clone()), None),
            EngineUrl::Tcp(host) => {
                tracing::warn!(
                    engine = %engine,
                    "the engine is reached without TLS: whoever reaches it there is root on its host"
                );
                (Address::Tcp(host.clone()), None)
            }
            EngineUrl::Tls(host, files) => {
                let tls = EngineTls::open(files.clone()).await?;
                (Address::Tls(host.clone(), tls.live()), Some(tls))
            }
        };
        let upstream = Upstream::new(address, UpstreamSettings::default());
        let guard = Arc::new(ServiceGuard(Arc::clone(service)));
        let gateway = Arc::new(Gateway::new(upstream.clone(), guard, Version::NEWEST));
        Ok(Self { gateway, upstream, engine_tls })
    }

    /// Keeps the way to the engine fresh until the shutdown signal.
    pub(super) fn follow(self, shutdown: &Shutdown, tasks: &mut JoinSet<()>) {
        if let Some(tls) = self.engine_tls {
            tasks.spawn(tls.follow(self.upstream, shutdown.clone()));
        }
    }
}

/// A door that is bound and has its certificate.
pub(super) struct Door {
    listening: Listening,
    pub(super) tls: ApiTls,
    gateway: Arc<Gateway<ServiceGuard>>,
}

impl Door {
    /// Binds the address.
    pub(super) async fn open(
        service: &Arc<Service>,
        address: SocketAddr,
        engine: &EngineUrl,
        gateway: Arc<Gateway<ServiceGuard>>,
    ) -> Result<Self, ServiceError> {
        let listening = Listening::bind(address).await.map_err(|error| {
            ServiceError::new(ErrorCode::Failed, format!("cannot listen on {address}"))
                .caused_by(&error)
                .hint("name another with --gateway ADDRESS:PORT, or --gateway off")
        })?;
        if is_ourselves(engine, listening.address).await {
            let text = format!("{engine} is the gateway's own address, not the engine's");
            return Err(ServiceError::new(ErrorCode::Usage, text).hint(
                "name the engine with --docker unix:///var/run/docker.sock; DOCKER_HOST may be set for clients",
            ));
        }
        let names = &service.config().settings.gateway.names;
        let tls = ApiTls::new(Arc::clone(service), "gateway", listening.address, names).await?;
        Ok(Self { listening, tls, gateway })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// Serves until the shutdown signal.
    pub(super) fn serve(self, shutdown: &Shutdown, tasks: &mut JoinSet<()>) {
        tasks.spawn(serve(self.listening, self.tls.server(), self.gateway, shutdown.clone()));
    }
}
