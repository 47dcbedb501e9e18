//! How the gateway speaks TLS to its engine: by the files that docker's client would use, taken over again
//! when they change.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use sealock_engine::TlsFiles;
use sealock_net::Shutdown;
use sealock_net::proxy::Upstream;
use sealock_net::tls::{LiveClient, client_config};

use super::blocking;
use super::engine::engine_error;
use crate::error::{ErrorCode, ServiceError};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// What tells a file from the one that was there before: inode, size, and the time of its last change.
type Stamp = Option<(u64, u64, i64, i64)>;

/// The files, and what was made of them.
#[derive(Debug)]
pub(super) struct EngineTls {
    files: TlsFiles,
    seen: [Stamp; 3],
    live: Arc<LiveClient>,
}

impl EngineTls {
    /// Reads the files, which have to be whole.
    pub(super) async fn open(files: TlsFiles) -> Result<Self, ServiceError> {
        blocking(move || {
            let seen = stamps(&files);
            let live = LiveClient::new(settings(&files)?);
            Ok(Self { files, seen, live })
        })
        .await
    }

    /// For [`sealock_net::proxy::Address::Tls`].
    pub(super) fn live(&self) -> Arc<LiveClient> {
        Arc::clone(&self.live)
    }

    /// Takes the files over whenever they change, until the shutdown signal. Files that do not fit together
    /// change nothing: whoever writes them one by one is not done yet.
    pub(super) async fn follow(mut self, upstream: Upstream, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let (files, seen) = (self.files.clone(), self.seen);
            let looked = blocking(move || {
                let now = stamps(&files);
                let read = (now != seen).then(|| settings(&files));
                Ok((now, read))
            });
            let Ok((now, Some(read))) = looked.await else { continue };
            self.seen = now;
            match read {
                Ok(config) => {
                    self.live.replace(config);
                    upstream.forget_idle();
                    tracing::info!("the engine's TLS files were taken over");
                }
                Err(error) => {
                    tracing::warn!(%error, causes = ?error.causes, "the engine's TLS files are not taken over");
                }
            }
        }
    }
}

fn settings(files: &TlsFiles) -> Result<rustls::ClientConfig, ServiceError> {
    let material = files.read().map_err(|error| engine_error(ErrorCode::Usage, &error))?;
    client_config(&material.roots, Some((material.chain, material.key))).map_err(|error| {
        ServiceError::of(ErrorCode::Usage, &error).hint(
            "ca.pem, cert.pem and key.pem are looked for in docker.tls, else in DOCKER_CERT_PATH",
        )
    })
}

fn stamps(files: &TlsFiles) -> [Stamp; 3] {
    [&files.ca, &files.certificate, &files.key].map(|path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
    })
}
