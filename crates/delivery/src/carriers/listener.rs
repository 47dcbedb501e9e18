//! A listener for one transfer: on one address, at a path that nobody can guess, over TLS with a
//! certificate that is made for it and known by its hash alone.
//!
//! Who connects has to get through TLS 1.3 (X25519MLKEM768), ask for the path, and say hello under the
//! one-time secret; only then is anything done for them. Until somebody has, everybody may try: a wrong
//! reader does not use the transfer up. Each visit has a deadline and a task of its own, so that a slow
//! one holds nobody up, and there are never more than a few at a time.
//!
//! **What an attacker controls:** everything that a client of a network service does. Before the path
//! was right they see the certificate and a 404; before the hello was authentic, nothing of the files.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sealock_transfer::offer::Address;
use sealock_transfer::session::Terms;
use sealock_transfer::wire::{self, Kind, Reason, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

use super::sealed::{Met, SealedError, meet};

/// How long a visitor may take to get to a hello.
const ENTRY: Duration = Duration::from_secs(10);
/// How many visitors there may be at a time.
const VISITORS: usize = 16;
/// How long the head of a request is at most.
const HEAD_LIMIT: usize = 4096;

const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: sealock-transfer/1\r\n\r\n";
const UNKNOWN: &[u8] = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const GONE: &[u8] = b"HTTP/1.1 410 Gone\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is not one of this machine, or in use.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No certificate can be made.
    #[error("cannot make the listener's certificate")]
    Certificate(#[source] rcgen::Error),
    /// TLS cannot be set up.
    #[error("cannot set up TLS for the listener")]
    Tls(#[source] rustls::Error),
    /// The system has no randomness.
    #[error("the system has no randomness")]
    Randomness,
}

/// A connection that has come to a hello.
pub(crate) struct Visitor {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) met: Met,
    pub(crate) peer: SocketAddr,
}

/// Somebody who was not let in.
#[derive(Debug)]
pub(crate) struct Turned {
    pub(crate) peer: SocketAddr,
    pub(crate) reason: String,
}

/// A bound listener, not yet serving.
pub(crate) struct Bound {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    path: Zeroizing<String>,
    pub(crate) address: Address,
}

impl Bound {
    /// Binds to an address (port 0: any), with a new certificate and a new path. `advertised` is the
    /// address that readers are told, where it is another.
    pub(crate) async fn new(
        at: SocketAddr,
        advertised: Option<IpAddr>,
    ) -> Result<Self, ListenError> {
        let bind = |source| ListenError::Bind { address: at, source };
        let listener = TcpListener::bind(at).await.map_err(bind)?;
        let local = listener.local_addr().map_err(bind)?;
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(ListenError::Certificate)?;
        let certificate = rcgen::CertificateParams::new(vec!["sealock.invalid".to_owned()])
            .and_then(|parameters| parameters.self_signed(&key))
            .map_err(ListenError::Certificate)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der());
        let mut pin = [0; 32];
        pin.copy_from_slice(digest.as_ref());
        let mut random = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(random.as_mut_slice()).map_err(|_| ListenError::Randomness)?;
        let path = Zeroizing::new(format!("/{}", BASE64URL_NOPAD.encode(random.as_slice())));
        let shown = SocketAddr::new(advertised.unwrap_or(local.ip()), local.port());
        let url = format!("https://{shown}{}", path.as_str());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = config(certificate.der().clone(), key).map_err(ListenError::Tls)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { listener, acceptor, path, address: Address { url, pin } })
    }

    /// Opens it for who has the secret of these terms.
    pub(crate) fn open(self, terms: Terms) -> Door {
        let inside = Arc::new(Inside {
            acceptor: self.acceptor,
            path: self.path,
            terms,
            taken: AtomicBool::new(false),
        });
        Door { listener: self.listener, inside, visits: JoinSet::new() }
    }
}

fn config(
    certificate: rustls::pki_types::CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let narrow = CryptoProvider {
        cipher_suites: vec![provider::cipher_suite::TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![provider::kx_group::X25519MLKEM768],
        ..provider::default_provider()
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(narrow))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// What every visit needs.
struct Inside {
    acceptor: TlsAcceptor,
    path: Zeroizing<String>,
    terms: Terms,
    taken: AtomicBool,
}

/// An open listener. Dropping it closes it and ends all visits.
pub(crate) struct Door {
    listener: TcpListener,
    inside: Arc<Inside>,
    visits: JoinSet<Result<Box<Visitor>, Turned>>,
}

impl Door {
    /// The next visitor with an authentic hello, or somebody who was turned away.
    ///
    /// Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> Result<Box<Visitor>, Turned> {
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if self.visits.len() < VISITORS => {
                    match accepted {
                        Ok((stream, peer)) => {
                            let inside = Arc::clone(&self.inside);
                            self.visits.spawn(visit(inside, stream, peer));
                        }
                        // Out of descriptors, or a peer that left at once: both pass.
                        Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                }
                Some(Ok(ended)) = self.visits.join_next() => return ended,
            }
        }
    }

    /// From now on everybody is told that it is gone.
    pub(crate) fn take(&self) {
        self.inside.taken.store(true, Ordering::SeqCst);
    }
}

/// Tells a visitor that somebody else was first.
pub(crate) async fn turn_away(mut visitor: Box<Visitor>) -> Turned {
    let reason = "the offer is just being taken by somebody else";
    refuse(&mut visitor.stream, Reason::Listener, reason).await;
    Turned { peer: visitor.peer, reason: reason.to_owned() }
}

async fn visit(
    inside: Arc<Inside>,
    stream: TcpStream,
    peer: SocketAddr,
) -> Result<Box<Visitor>, Turned> {
    match timeout(ENTRY, enter(&inside, stream)).await {
        Ok(Ok((stream, met))) => Ok(Box::new(Visitor { stream, met, peer })),
        Ok(Err(reason)) => Err(Turned { peer, reason }),
        Err(_) => Err(Turned { peer, reason: "it took too long".to_owned() }),
    }
}

async fn enter(inside: &Inside, stream: TcpStream) -> Result<(TlsStream<TcpStream>, Met), String> {
    let _ = stream.set_nodelay(true);
    let accepted = inside.acceptor.accept(stream).await;
    let mut stream = accepted.map_err(|error| format!("no TLS: {error}"))?;
    let head = head(&mut stream).await.ok_or("no request")?;
    if !asks_for(&head, &inside.path) {
        answer(&mut stream, UNKNOWN).await;
        return Err("it asked for another path".to_owned());
    }
    if inside.taken.load(Ordering::SeqCst) {
        answer(&mut stream, GONE).await;
        return Err("the offer was already taken".to_owned());
    }
    stream.write_all(UPGRADED).await.map_err(|error| error.to_string())?;
    stream.flush().await.map_err(|error| error.to_string())?;
    match meet(&inside.terms, &mut stream).await {
        Ok(met) => Ok((stream, met)),
        Err(error) => {
            let reason = match &error {
                SealedError::Session(error) => error.to_string(),
                other => other.to_string(),
            };
            refuse(&mut stream, Reason::NotAuthentic, &reason).await;
            Err(reason)
        }
    }
}

async fn head(stream: &mut TlsStream<TcpStream>) -> Option<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_LIMIT);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_LIMIT || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// The path is a secret: how much of it was right must not show in how long the answer takes.
fn asks_for(head: &[u8], path: &str) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let wanted = Zeroizing::new(format!("GET {path} HTTP/1.1"));
    aws_lc_rs::constant_time::verify_slices_are_equal(line, wanted.as_bytes()).is_ok()
}

async fn answer(stream: &mut TlsStream<TcpStream>, answer: &[u8]) {
    // Whoever was turned away may not wait for the reason.
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
}

async fn refuse(stream: &mut TlsStream<TcpStream>, reason: Reason, text: &str) {
    let refusal = Refusal { reason, text: text.to_owned(), hint: None };
    if let Ok(message) = wire::message(Kind::Refusal, &refusal.encode()) {
        answer(stream, &message).await;
    }
}
