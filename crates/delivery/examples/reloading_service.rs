//! A small TLS service over a delivered folder: `reloading_service FOLDER PORT [ignore-hangup]`. What a
//! service has to do, and what the containers of our tests run.
//!
//! It waits for its first files, reads them again on SIGHUP (or, told so, does not), and keeps what it
//! has when the new ones cannot be read.

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

type Failure = Box<dyn Error + Send + Sync>;

const LOOK_EVERY: Duration = Duration::from_millis(100);
const CLIENT_DEADLINE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    // Before anything else: a signal without a handler ends a process.
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut arguments = std::env::args().skip(1);
    let folder: PathBuf = arguments.next().ok_or("FOLDER is missing")?.into();
    let port: u16 = arguments.next().ok_or("PORT is missing")?.parse()?;
    let reloads = match arguments.next().as_deref() {
        None => true,
        Some("ignore-hangup") => false,
        Some(other) => return Err(format!("{other}: ignore-hangup or nothing").into()),
    };
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    let mut acceptor = None;
    loop {
        if acceptor.is_none() {
            acceptor = load(&folder).ok();
        }
        let waiting = acceptor.is_none();
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv(), if reloads => acceptor = load(&folder).ok().or(acceptor),
            () = tokio::time::sleep(LOOK_EVERY), if waiting => {}
            Ok((stream, _)) = listener.accept() => if let Some(acceptor) = acceptor.clone() {
                // What a client does is its own affair; the service goes on.
                tokio::spawn(tokio::time::timeout(CLIENT_DEADLINE, answer(stream, acceptor)));
            }
        }
    }
}

fn load(folder: &Path) -> Result<TlsAcceptor, Failure> {
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_file_iter(folder.join("tls.crt"))?.collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("tls.key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain?, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn answer(stream: TcpStream, acceptor: TlsAcceptor) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    stream.write_all(b"hello\n").await?;
    stream.shutdown().await
}
