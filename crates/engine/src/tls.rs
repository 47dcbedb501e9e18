//! The files of a client, read.

use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::EngineError;

/// The files of a client that the engine authenticates and that authenticates the engine, as they
/// stand in `DOCKER_CERT_PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates that the engine's certificate must lead to. No others are trusted.
    pub ca: PathBuf,
    /// The client's certificate, its intermediates after it.
    pub certificate: PathBuf,
    /// The client's private key.
    pub key: PathBuf,
}

/// What the files hold. Whether certificate and key belong together is not known yet.
#[derive(Debug)]
pub struct TlsMaterial {
    /// Certificates to trust.
    pub roots: Vec<CertificateDer<'static>>,
    /// The client's certificate, then its intermediates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The client's private key.
    pub key: PrivateKeyDer<'static>,
}

impl TlsFiles {
    /// `ca.pem`, `cert.pem` and `key.pem` of a folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            ca: folder.join("ca.pem"),
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        }
    }

    /// Reads them as they are now.
    ///
    /// # Errors
    /// [`EngineError::TlsFile`], [`EngineError::TlsContent`].
    pub fn read(&self) -> Result<TlsMaterial, EngineError> {
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?).map_err(|_| {
            EngineError::TlsContent { path: self.key.clone(), expected: "a private key in PEM" }
        })?;
        Ok(TlsMaterial {
            roots: certificates(&self.ca)?,
            chain: certificates(&self.certificate)?,
            key,
        })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, EngineError> {
    let text = read(path)?;
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match list {
        Ok(list) if !list.is_empty() => Ok(list),
        _ => {
            Err(EngineError::TlsContent { path: path.to_owned(), expected: "certificates in PEM" })
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, EngineError> {
    std::fs::read(path).map_err(|source| EngineError::TlsFile { path: path.to_owned(), source })
}
