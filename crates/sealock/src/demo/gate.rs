//! Somebody at the Docker gateway, with a client certificate: one request on one connection.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::printer::Failure;

/// For one request.
const DEADLINE: Duration = Duration::from_secs(20);
/// Bytes of an answer.
const MOST: u64 = 1 << 20;

/// A client of the gateway.
pub(crate) struct Gate {
    address: String,
    tls: TlsConnector,
}

impl Gate {
    /// With the files that `sealock docker client` has made.
    pub(crate) fn new(address: &str, folder: &Path) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::fault("cannot use the client certificate")
                .caused_by(&std::io::Error::other(error.to_string()))
        };
        let read = |name: &str| std::fs::read(folder.join(name)).map_err(|error| failed(&error));
        let mut roots = rustls::RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(&read("ca.pem")?) {
            let root = root.map_err(|error| failed(&error))?;
            roots.add(root).map_err(|error| failed(&error))?;
        }
        let chain = CertificateDer::pem_slice_iter(&read("cert.pem")?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| failed(&error))?;
        let key =
            PrivateKeyDer::from_pem_slice(&read("key.pem")?).map_err(|error| failed(&error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|error| failed(&error))?;
        Ok(Self { address: address.to_owned(), tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Status and body of the answer.
    pub(crate) async fn ask(
        &self,
        method: &str,
        target: &str,
        body: &str,
    ) -> Result<(u16, String), Failure> {
        let asked = tokio::time::timeout(DEADLINE, self.exchange(method, target, body)).await;
        let text = asked
            .map_err(|_| Failure::refused("the gateway does not answer"))?
            .map_err(|error| Failure::refused("cannot speak with the gateway").caused_by(&error))?;
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| Failure::refused("the gateway does not speak HTTP"))?;
        Ok((status, body.to_owned()))
    }

    async fn exchange(&self, method: &str, target: &str, body: &str) -> std::io::Result<String> {
        let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
        let stream = TcpStream::connect(&self.address).await?;
        let mut stream = self.tls.connect(name, stream).await?;
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        (&mut stream).take(MOST).read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// What docker would print of it.
pub(crate) fn message(body: &str) -> String {
    // The answer may come in chunks; the JSON in it has one line.
    let json = body.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    value.get("message").and_then(serde_json::Value::as_str).unwrap_or(json).to_owned()
}
