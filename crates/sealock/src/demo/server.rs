//! The TLS server inside the demo's containers: serves one line over the delivered certificate, and
//! reloads it on HUP, as a well-behaved service does (or not, when told to ignore it).

use std::convert::Infallible;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use crate::args::DemoServerArgs;
use crate::printer::{Failure, Printer};

/// How often a certificate that is not there yet is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long one client may take.
const CLIENT_DEADLINE: Duration = Duration::from_secs(5);

/// Serves until it is told to stop.
pub(crate) fn serve(arguments: &DemoServerArgs, printer: Printer) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::fault("cannot start the runtime").caused_by(&error))?;
    runtime.block_on(async {
        // The first process of a container has no default action for TERM.
        let mut terminate = signals(SignalKind::terminate())?;
        tokio::select! {
            stopped = serve_until_failure(arguments, printer) => stopped.map(|never| match never {}),
            _ = terminate.recv() => Ok(ExitCode::SUCCESS),
        }
    })
}

async fn serve_until_failure(
    arguments: &DemoServerArgs,
    printer: Printer,
) -> Result<Infallible, Failure> {
    let mut reload = signals(SignalKind::hangup())?;
    let listener = TcpListener::bind(("0.0.0.0", arguments.port)).await.map_err(|error| {
        Failure::refused(format!("cannot listen on port {}", arguments.port)).caused_by(&error)
    })?;
    let mut acceptor = first_certificate(&arguments.certs).await;
    printer.note("serving");
    loop {
        tokio::select! {
            _ = reload.recv(), if !arguments.ignore_reload => match load(&arguments.certs) {
                Ok(newer) => acceptor = newer,
                Err(failure) => printer.note(format!("kept the old certificate: {failure:?}")),
            },
            client = listener.accept() => match client {
                Ok((stream, _)) => drop(tokio::spawn(answer(stream, acceptor.clone()))),
                // Out of descriptors: those of others are given back in a moment.
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            },
        }
    }
}

fn signals(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(|error| Failure::fault("cannot listen for signals").caused_by(&error))
}

/// Waits until the delivery has arrived.
async fn first_certificate(folder: &Path) -> TlsAcceptor {
    loop {
        match load(folder) {
            Ok(acceptor) => return acceptor,
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

fn load(folder: &Path) -> Result<TlsAcceptor, Failure> {
    let failed = |what: &str, error: &(dyn std::error::Error + 'static)| {
        Failure::refused(format!("cannot use {}", folder.join(what).display())).caused_by(error)
    };
    let chain = CertificateDer::pem_file_iter(folder.join("tls.crt"))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed("tls.crt", &error))?;
    let key = PrivateKeyDer::from_pem_file(folder.join("tls.key"))
        .map_err(|error| failed("tls.key", &error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
    .map_err(|error| failed("tls.crt", &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A client that fails or dawdles concerns nobody else.
async fn answer(stream: TcpStream, acceptor: TlsAcceptor) {
    let greet = async {
        let mut stream = acceptor.accept(stream).await?;
        let body = "sealock demo\n";
        let head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n";
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(CLIENT_DEADLINE, greet).await;
}
