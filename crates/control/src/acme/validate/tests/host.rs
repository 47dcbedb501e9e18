//! An applicant's host: a page, or a handshake, as a test wants it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use sealock_net::tls::provider;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What comes after the head of a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// These bytes, and the end.
    Bytes(Vec<u8>),
    /// These bytes, and then one at a time, for ever.
    Slowly(Vec<u8>),
    /// Nothing, until the client hangs up.
    Silence,
}

impl Reply {
    pub(super) fn page(status: u16, headers: &str, body: &[u8]) -> Self {
        let head =
            format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        Self::Bytes([head.as_bytes(), body].concat())
    }

    pub(super) fn ok(body: &str) -> Self {
        Self::page(200, "", body.as_bytes())
    }

    pub(super) fn to(location: &str) -> Self {
        Self::page(302, &format!("location: {location}\r\n"), b"hunter2")
    }
}

/// It ends when it is dropped.
pub(super) struct Host {
    pub(super) port: u16,
    /// The heads of requests, as they come; and "gone" when a client leaves that got no answer.
    pub(super) seen: mpsc::UnboundedReceiver<String>,
    /// All of them.
    pub(super) heads: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Host {
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub(super) async fn http(answer: impl Fn(&str, u16) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, answer).await
    }

    pub(super) async fn https(
        config: ServerConfig,
        answer: impl Fn(&str, u16) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(config), answer).await
    }

    /// The answer is made of the head of the request, and the own port.
    async fn start(
        tls: Option<ServerConfig>,
        answer: impl Fn(&str, u16) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, seen) = mpsc::unbounded_channel();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answer, noted) = (Arc::new(answer), Arc::clone(&heads));
        let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, tell) = (Arc::clone(&answer), tell.clone());
                let (acceptor, noted) = (acceptor.clone(), Arc::clone(&noted));
                tokio::spawn(async move {
                    let reply = |head: &str| {
                        noted.lock().push(head.to_owned());
                        let _ = tell.send(head.to_owned());
                        answer(head, port)
                    };
                    match acceptor {
                        None => speak(stream, reply, &tell).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                speak(stream, reply, &tell).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, seen, heads, serving }
    }

    /// One that shakes hands and tells for which name: `name protocol`.
    pub(super) async fn handshakes(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, seen) = mpsc::unbounded_channel();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&heads);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let (_, session) = stream.get_ref();
                let name = session.server_name().unwrap_or("-");
                let protocol = session.alpn_protocol().unwrap_or(b"-");
                let text = format!("{name} {}", String::from_utf8_lossy(protocol));
                noted.lock().push(text.clone());
                let _ = tell.send(text);
                let _ = stream.read(&mut [0]).await;
            }
        });
        Self { port, seen, heads, serving }
    }
}

async fn speak<S>(
    mut stream: S,
    reply: impl Fn(&str) -> Reply,
    tell: &mpsc::UnboundedSender<String>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    match reply(&String::from_utf8_lossy(&head)) {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Slowly(bytes) => {
            let _ = stream.write_all(&bytes).await;
            while stream.write_all(b"x").await.is_ok() {
                let _ = stream.flush().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let _ = tell.send("gone".to_owned());
        }
        Reply::Silence => {
            let _ = stream.read(&mut [0; 64]).await;
            let _ = tell.send("gone".to_owned());
        }
    }
}

/// A server of one certificate, whoever's key signs.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// What a host shows: a certificate for `key`, and handshakes signed by `signer`.
pub(super) fn shown(
    params: &CertificateParams,
    key: &KeyPair,
    signer: &KeyPair,
    protocols: &[&str],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ServerConfig {
    let certificate = params.clone().self_signed(key).unwrap();
    let signer = PrivateKeyDer::try_from(signer.serialize_der()).unwrap();
    let signer = any_supported_type(&signer).unwrap();
    let certified = CertifiedKey::new(vec![certificate.der().clone()], signer);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(certified))));
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// A connection that is taken, and nothing more until the other side leaves.
pub(super) async fn mute() -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let mut held: Vec<TcpStream> = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    (port, serving)
}
