//! The certificate of the service, taken over when its files change.

use std::sync::Arc;
use std::time::Duration;

use sealock_net::Shutdown;
use sealock_net::tls::{
    ClientAuth, LiveCertificate, LiveServer, TlsError, server_config, with_http2,
};

use super::IdentityFolder;
use crate::client::link::IdentityFiles;
use crate::daemon::blocking;
use crate::error::{ErrorCode, ServiceError};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);

pub(super) struct ServiceTls {
    folder: IdentityFolder,
    server: Arc<LiveServer>,
    /// What the files held when they were taken over.
    seen: Vec<Vec<u8>>,
}

impl ServiceTls {
    pub(super) async fn new(folder: IdentityFolder) -> Result<Self, ServiceError> {
        let (config, seen) = read(folder.clone()).await?;
        Ok(Self { folder, server: LiveServer::new(config), seen })
    }

    pub(super) fn server(&self) -> Arc<LiveServer> {
        Arc::clone(&self.server)
    }

    /// Looks until the end. Files that cannot be used leave everything as it is.
    pub(super) async fn keep_fresh(mut self, shutdown: Shutdown) {
        let mut complained = false;
        loop {
            tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            match read(self.folder.clone()).await {
                Ok((_, seen)) if seen == self.seen => complained = false,
                Ok((config, seen)) => {
                    self.server.replace(config);
                    self.seen = seen;
                    complained = false;
                    tracing::info!("another certificate is served");
                }
                Err(error) if !complained => {
                    complained = true;
                    tracing::warn!(%error, causes = ?error.causes, "the certificate stays as it was");
                }
                Err(_) => {}
            }
        }
    }
}

/// The settings, and by what it is known that they have changed: public halves only.
async fn read(
    folder: IdentityFolder,
) -> Result<(rustls::ServerConfig, Vec<Vec<u8>>), ServiceError> {
    blocking(move || {
        let IdentityFiles { chain, key, roots } = folder.read()?;
        let seen = chain.iter().chain(&roots).map(|der| der.to_vec()).collect();
        let wrong = |error: TlsError| ServiceError::of(ErrorCode::Failed, &error);
        let certificate = LiveCertificate::new(chain, key).map_err(wrong)?;
        let config = server_config(certificate, &ClientAuth::Optional(roots)).map_err(wrong)?;
        Ok((with_http2(config), seen))
    })
    .await
}
