//! Clients for the three kinds of address.

use std::path::Path;
use std::sync::Arc;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};

use crate::{DEADLINE, EngineError, EngineUrl, TlsFiles};

pub(crate) fn client(url: &EngineUrl) -> Result<Docker, EngineError> {
    let failed =
        |source| EngineError::Unreachable { url: url.to_string(), source: Box::new(source) };
    match url {
        EngineUrl::Unix(path) => {
            reachable(path)?;
            let path = path.to_string_lossy();
            Docker::connect_with_unix(&path, DEADLINE.as_secs(), API_DEFAULT_VERSION)
                .map_err(failed)
        }
        EngineUrl::Tcp(host) => {
            Docker::connect_with_http(host, DEADLINE.as_secs(), API_DEFAULT_VERSION).map_err(failed)
        }
        EngineUrl::Tls(host, files) => tls_client(host, files)?.map_err(failed),
    }
}

/// Tells a missing socket from one that may not be touched, before any request is made.
fn reachable(path: &Path) -> Result<(), EngineError> {
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(EngineError::PermissionDenied { path: path.to_owned() })
        }
        Err(error) => Err(EngineError::NoSocket { path: path.to_owned(), source: error }),
    }
}

/// Our own connector rather than bollard's: that one also trusts every CA of the host, reads the
/// key again at each handshake, and takes whatever cipher provider the process has installed.
fn tls_client(
    host: &str,
    files: &TlsFiles,
) -> Result<Result<Docker, bollard::errors::Error>, EngineError> {
    let config = tls_config(files)?;
    let mut plain = HttpConnector::new();
    plain.enforce_http(false);
    plain.set_nodelay(true);
    let connector = HttpsConnector::from((plain, config));
    let client =
        Arc::new(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector));
    let transport = move |request: BollardRequest| {
        let client = Arc::clone(&client);
        let answer: std::pin::Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(async move { client.request(request).await.map_err(Into::into) });
        answer
    };
    Ok(Docker::connect_with_custom_transport(
        transport,
        Some(format!("https://{host}")),
        DEADLINE.as_secs(),
        API_DEFAULT_VERSION,
    ))
}

fn tls_config(files: &TlsFiles) -> Result<ClientConfig, EngineError> {
    let material = files.read()?;
    let mut roots = RootCertStore::empty();
    for certificate in material.roots {
        roots.add(certificate).map_err(|source| EngineError::Tls { source })?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| EngineError::Tls { source })?
        .with_root_certificates(roots)
        .with_client_auth_cert(material.chain, material.key)
        .map_err(|source| EngineError::Tls { source })
}
