//! A gateway as others will build it, a server that follows a script, and raw sockets between them.

#![allow(dead_code, reason = "each test program uses some of it")]

pub(crate) mod http2;

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::header::{HeaderValue, UPGRADE};
use hyper::{Request, Response, StatusCode};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sealock_net::Incoming;
use sealock_net::proxy::{
    Address, Answer, RequestBody, Terms, Tunnel, Upgrade, Upstream, UpstreamBody, UpstreamError,
    UpstreamSettings, serve, sniff,
};
use sealock_net::tls::{
    ClientAuth, LiveCertificate, LiveServer, client_config, provider, server_config,
};
use sealock_testkit::scratch_folder;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

/// No test needs that long; it is there so that a hang is a failure.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// The future's outcome, or a failure.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(LONG, what).await.expect("it hangs")
}

pub(crate) type Body = Either<UpstreamBody, Full<Bytes>>;

fn own(status: StatusCode, text: String) -> Answer<Body> {
    let mut response = Response::new(Either::Right(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    Answer::Response(response)
}

fn failed(error: &UpstreamError) -> Answer<Body> {
    let status = match error {
        UpstreamError::Unreachable { .. } | UpstreamError::Deadline { .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        UpstreamError::Broken { .. } => StatusCode::BAD_GATEWAY,
        UpstreamError::NoUpgrade { .. } => StatusCode::NOT_IMPLEMENTED,
        UpstreamError::Request(_) => StatusCode::BAD_REQUEST,
    };
    own(status, error.to_string())
}

/// Forwards; paths that end in `/attach` become tunnels, by 101 where it is asked for and by 200 elsewhere.
pub(crate) async fn forward(upstream: Upstream, request: Request<Incoming>) -> Answer<Body> {
    if !request.uri().path().ends_with("/attach") {
        return match upstream.forward(request.map(RequestBody::from)).await {
            Ok(response) => Answer::Response(response.map(Either::Left)),
            Err(error) => failed(&error),
        };
    }
    let asked = request.headers().contains_key(UPGRADE);
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return own(StatusCode::BAD_REQUEST, "the body broke off".to_owned());
    };
    let request = Request::from_parts(parts, RequestBody::from(body.to_bytes()));
    match upstream.upgrade(request, HeaderValue::from_static("tcp")).await {
        Ok(Upgrade::Switched(upgraded)) => {
            let mut head = upgraded.head.clone();
            if !asked {
                *head.status_mut() = StatusCode::OK;
            }
            Answer::Tunnel(Box::new(Tunnel::new(head, *upgraded).unwrap()))
        }
        Ok(Upgrade::Refused(response)) => Answer::Response(response.map(Either::Left)),
        Err(error) => failed(&error),
    }
}

/// A gateway on a loopback port. Each connection that has ended is reported.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) ended: UnboundedReceiver<()>,
}

impl Gateway {
    pub(crate) async fn start(upstream: Upstream, terms: Terms) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (report, ended) = unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (upstream, terms, report) = (upstream.clone(), terms.clone(), report.clone());
                tokio::spawn(async move {
                    serve(stream, terms, |request| forward(upstream.clone(), request)).await;
                    let _ = report.send(());
                });
            }
        });
        Self { address, ended }
    }

    /// The same behind TLS, on a port where plain HTTP is told so.
    pub(crate) async fn start_tls(upstream: Upstream, terms: Terms, pki: &Pki) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (report, ended) = unbounded_channel();
        let server = LiveServer::new(pki.server());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (upstream, terms, report) = (upstream.clone(), terms.clone(), report.clone());
                let server = server.clone();
                tokio::spawn(async move {
                    if let Some(stream) = sniff(stream, LONG, "TLS only").await
                        && let Ok(stream) = server.accept(stream, LONG).await
                    {
                        serve(stream, terms, |request| forward(upstream.clone(), request)).await;
                    }
                    let _ = report.send(());
                });
            }
        });
        Self { address, ended }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends these bytes and reads until the gateway hangs up.
    pub(crate) async fn exchange(&self, sent: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(sent).await.unwrap();
        rest(&mut stream).await
    }
}

/// An authority and a server's certificate.
pub(crate) struct Pki {
    root: CertificateDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params =
            CertificateParams::new(vec!["server.test".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &authority).unwrap();
        Self {
            root: authority.der().clone(),
            chain: vec![leaf.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }

    fn server(&self) -> ServerConfig {
        let certificate = LiveCertificate::new(self.chain.clone(), self.key.clone_key()).unwrap();
        server_config(certificate, &ClientAuth::None).unwrap()
    }

    /// A server that lets nobody in who has no certificate of `clients`.
    pub(crate) fn strict_server(&self, clients: &Self) -> ServerConfig {
        let certificate = LiveCertificate::new(self.chain.clone(), self.key.clone_key()).unwrap();
        server_config(certificate, &ClientAuth::Required(vec![clients.root.clone()])).unwrap()
    }

    /// A client that trusts us, with a certificate of `own`.
    pub(crate) fn client(&self, own: &Self) -> ClientConfig {
        let identity = (own.chain.clone(), own.key.clone_key());
        client_config(std::slice::from_ref(&self.root), Some(identity)).unwrap()
    }

    /// A client that speaks this version and no other.
    pub(crate) async fn connect(
        &self,
        gateway: &Gateway,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("server.test").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = soon(connector.connect(name, gateway.connect().await)).await.unwrap();
        let spoken = stream.get_ref().1.protocol_version();
        assert_eq!(spoken, versions.first().map(|version| version.version));
        stream
    }
}

/// A server on a unix socket that does with each connection what the script says.
pub(crate) struct Server {
    pub(crate) path: PathBuf,
    pub(crate) upstream: Upstream,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start<F, S>(script: F) -> Self
    where
        F: Fn(usize, UnixStream) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let folder = scratch_folder();
        let path = folder.path().join("server.sock");
        listen(&path, script);
        let address = Address::Unix(path.clone());
        let upstream = Upstream::new(address, UpstreamSettings::default());
        Self { path, upstream, _folder: folder }
    }

    /// Answers every request with its own head and body, as text.
    pub(crate) async fn echo() -> Self {
        Self::start(|_, mut stream| async move {
            while let Some((head, body)) = read_request(&mut stream).await {
                let text = [head.into_bytes(), body].concat();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.write_all(&text).await.unwrap();
            }
        })
        .await
    }
}

/// The script gets the number of the connection.
pub(crate) fn listen<F, S>(path: &Path, script: F)
where
    F: Fn(usize, UnixStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(script(number, stream));
        }
    });
}

/// A head with its empty line, read byte by byte so that nothing beyond it is taken; none at the end.
pub(crate) async fn read_head<R: AsyncRead + Unpin>(stream: &mut R) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return None,
        }
    }
    Some(String::from_utf8(head).unwrap())
}

/// The value of a header in a head, whose names are in lower case.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// A request with its body, which may be chunked.
pub(crate) async fn read_request<R: AsyncRead + Unpin>(
    stream: &mut R,
) -> Option<(String, Vec<u8>)> {
    let head = read_head(stream).await?;
    let mut body = Vec::new();
    if let Some(length) = header(&head, "content-length") {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body).await.ok()?;
    } else if header(&head, "transfer-encoding").is_some() {
        while let Some(chunk) = read_chunk(stream).await? {
            body.extend_from_slice(&chunk);
        }
    }
    Some((head, body))
}

/// A chunk, the last being none; nothing at all if it breaks off.
pub(crate) async fn read_chunk<R: AsyncRead + Unpin>(stream: &mut R) -> Option<Option<Vec<u8>>> {
    let mut size = Vec::new();
    while !size.ends_with(b"\r\n") {
        size.push(stream.read_u8().await.ok()?);
    }
    let size = usize::from_str_radix(std::str::from_utf8(&size).unwrap().trim_end(), 16).unwrap();
    let mut chunk = vec![0; size + 2];
    stream.read_exact(&mut chunk).await.ok()?;
    chunk.truncate(size);
    Some((size > 0).then_some(chunk))
}

/// Everything until the end, also if that is not an orderly one.
pub(crate) async fn rest<R: AsyncRead + Unpin>(stream: &mut R) -> String {
    let mut text = Vec::new();
    let _ = soon(stream.read_to_end(&mut text)).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// Bytes that are nowhere the same for long.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let words = (0..length as u32).map(|number| number.wrapping_mul(2_654_435_761));
    words.flat_map(u32::to_le_bytes).take(length).collect()
}

pub(crate) async fn expect<R: AsyncRead + Unpin>(stream: &mut R, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    soon(stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(expected));
}

pub(crate) async fn send<W: AsyncWrite + Unpin>(stream: &mut W, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
}
