//! The certificate of a door (the API, the gateway) and the roots of its clients, kept fresh while it serves.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_core::SubjectName;
use sealock_core::audit::Actor;
use sealock_net::tls::{ClientAuth, LiveCertificate, LiveServer, server_config};

use super::blocking;
use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;

/// Certificate, settings, and how to make both anew.
#[derive(Debug, Clone)]
pub(super) struct ApiTls {
    service: Arc<Service>,
    door: &'static str,
    names: Vec<SubjectName>,
    certificate: Arc<LiveCertificate>,
    server: Arc<LiveServer>,
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl ApiTls {
    pub(super) async fn new(
        service: Arc<Service>,
        door: &'static str,
        address: SocketAddr,
        more: &[String],
    ) -> Result<Self, ServiceError> {
        let names = service.door_names(address.ip(), more);
        let (pair, roots) = material(&service, door, &names).await?;
        let certificate =
            LiveCertificate::new(pair.0, pair.1).map_err(|error| tls_error(&error))?;
        let config = server_config(certificate.clone(), &ClientAuth::Optional(roots))
            .map_err(|error| tls_error(&error))?;
        Ok(Self { service, door, names, certificate, server: LiveServer::new(config) })
    }

    pub(super) fn server(&self) -> Arc<LiveServer> {
        Arc::clone(&self.server)
    }

    /// Makes the certificate anew where it is due, and takes over the roots of now.
    pub(super) async fn refresh(&self) -> Result<(), ServiceError> {
        let (pair, roots) = material(&self.service, self.door, &self.names).await?;
        self.certificate.replace(pair.0, pair.1).map_err(|error| tls_error(&error))?;
        let config = server_config(self.certificate.clone(), &ClientAuth::Optional(roots))
            .map_err(|error| tls_error(&error))?;
        self.server.replace(config);
        Ok(())
    }
}

async fn material(
    service: &Arc<Service>,
    door: &'static str,
    names: &[SubjectName],
) -> Result<(Pair, Vec<CertificateDer<'static>>), ServiceError> {
    let (service, names) = (Arc::clone(service), names.to_vec());
    blocking(move || {
        let authority = service.authority()?;
        // A constrained authority may not certify this host's own names; those it may are kept.
        let names = names.into_iter().filter(|name| authority.check_name(name).is_ok()).collect();
        let own = service.door_identity(&authority, door, names, &Actor::daemon(door))?;
        let damaged = || {
            ServiceError::new(
                ErrorCode::State,
                format!("the certificate in {} is damaged", own.folder.display()),
            )
            .hint("remove the folder and start again; it is made anew")
        };
        let chain = CertificateDer::pem_slice_iter(&own.chain).collect::<Result<Vec<_>, _>>();
        let key = PrivateKeyDer::from_pem_slice(own.key.expose()).map_err(|_| damaged())?;
        let roots = authority.trust_bundle().into_iter().map(CertificateDer::from).collect();
        Ok(((chain.map_err(|_| damaged())?, key), roots))
    })
    .await
}

fn tls_error(error: &(dyn std::error::Error + 'static)) -> ServiceError {
    ServiceError::of(ErrorCode::Fault, error)
}
