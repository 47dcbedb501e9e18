//! A client of HTTP/1.1 that costs little: it shares two cores with what it measures.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

const READ: usize = 64 * 1024;
const NONCE: &[u8] = b"replay-nonce:";
const LOCATION: &[u8] = b"location:";

/// Bytes both ways.
trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// Where something listens that speaks the engine's API.
#[derive(Clone)]
pub(crate) enum Endpoint {
    /// The engine itself.
    Socket(PathBuf),
    /// Without TLS.
    Tcp(String),
    /// What stands before it, with a client certificate.
    Tls(String, Arc<ClientConfig>),
}

/// A connection that is kept.
pub(crate) struct Connection {
    io: Box<dyn Io>,
    buffer: Vec<u8>,
    /// What of the buffer was used already.
    used: usize,
    /// Bytes of a body that an answer keeps.
    most: usize,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Bytes of the body.
    pub(crate) length: u64,
    /// The body's beginning.
    pub(crate) body: Vec<u8>,
    /// Whether the connection is over.
    pub(crate) last: bool,
    /// `Replay-Nonce`, of an ACME server.
    pub(crate) nonce: Option<String>,
    /// `Location`.
    pub(crate) location: Option<String>,
}

/// What a head says.
struct Head {
    status: u16,
    length: Length,
    last: bool,
    nonce: Option<String>,
    location: Option<String>,
}

enum Length {
    Fixed(u64),
    Chunked,
    UntilClose,
}

impl Connection {
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self> {
        let io: Box<dyn Io> = match endpoint {
            Endpoint::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Endpoint::Tls(address, config) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let connector = TlsConnector::from(Arc::clone(config));
                let name = ServerName::try_from("localhost")?;
                Box::new(connector.connect(name, stream).await.context("the handshake failed")?)
            }
        };
        Ok(Self { io, buffer: Vec::new(), used: 0, most: READ })
    }

    /// Keeps bodies whole, which costs time.
    pub(crate) fn keep_all(&mut self) {
        self.most = usize::MAX;
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.io.write_all(bytes).await?;
        Ok(self.io.flush().await?)
    }

    /// A request without a body, and all of its answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        self.send(request).await?;
        self.answer().await
    }

    /// Reads an answer to its end.
    pub(crate) async fn answer(&mut self) -> Result<Answer> {
        let Head { status, length, mut last, nonce, location } = self.head().await?;
        let mut answer = Answer { status, length: 0, body: Vec::new(), last, nonce, location };
        match length {
            Length::Fixed(length) => self.take(length, &mut answer).await?,
            Length::Chunked => loop {
                let line = self.line().await?;
                let size = std::str::from_utf8(&line).ok().map(str::trim_ascii);
                let size = size.and_then(|size| u64::from_str_radix(size, 16).ok());
                let size = size.context("a chunk without a size")?;
                self.take(size, &mut answer).await?;
                self.line().await?;
                if size == 0 {
                    break;
                }
            },
            Length::UntilClose => {
                last = true;
                loop {
                    let here = (self.buffer.len() - self.used) as u64;
                    self.take(here, &mut answer).await?;
                    if self.fill().await? == 0 {
                        break;
                    }
                }
            }
        }
        answer.last |= last;
        Ok(answer)
    }

    /// Waits for the head of an answer and says its status.
    pub(crate) async fn status(&mut self) -> Result<u16> {
        Ok(self.head().await?.status)
    }

    async fn head(&mut self) -> Result<Head> {
        let first = self.line().await?;
        let code = first.get(9..12).and_then(|code| std::str::from_utf8(code).ok());
        let status = code.and_then(|code| code.parse().ok()).context("no status")?;
        let (mut length, mut last) = (Length::UntilClose, false);
        let (mut nonce, mut location) = (None, None);
        loop {
            let mut line = self.line().await?;
            if line.is_empty() {
                break;
            }
            // Theirs are the only values in which case matters.
            if let Some(value) = value_of(&line, NONCE) {
                nonce = Some(value);
                continue;
            }
            if let Some(value) = value_of(&line, LOCATION) {
                location = Some(value);
                continue;
            }
            line.make_ascii_lowercase();
            if let Some(value) = line.strip_prefix(b"content-length:") {
                let value = std::str::from_utf8(value.trim_ascii())?;
                length = Length::Fixed(value.parse()?);
            } else if line == b"transfer-encoding: chunked" {
                length = Length::Chunked;
            } else if line == b"connection: close" {
                last = true;
            }
        }
        if matches!(status, 204 | 304) {
            length = Length::Fixed(0);
        }
        Ok(Head { status, length, last, nonce, location })
    }

    /// A line without its end.
    async fn line(&mut self) -> Result<Vec<u8>> {
        let mut looked = 0;
        loop {
            let fresh = self.buffer.get(self.used..).unwrap_or_default();
            let rest = fresh.get(looked..).unwrap_or_default();
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = fresh.get(..looked + end).unwrap_or_default().trim_ascii_end().to_vec();
                self.used += looked + end + 1;
                return Ok(line);
            }
            looked = fresh.len();
            if self.fill().await? == 0 {
                bail!("the connection ended in an answer");
            }
        }
    }

    /// Reads over so many bytes of a body.
    async fn take(&mut self, mut left: u64, answer: &mut Answer) -> Result<()> {
        while left > 0 {
            let fresh = self.buffer.get(self.used..).unwrap_or_default();
            if fresh.is_empty() {
                if self.fill().await? == 0 {
                    bail!("the connection ended in a body");
                }
                continue;
            }
            let taken = usize::try_from(left).unwrap_or(fresh.len()).min(fresh.len());
            let kept = taken.min(self.most.saturating_sub(answer.body.len()));
            answer.body.extend_from_slice(fresh.get(..kept).unwrap_or_default());
            self.used += taken;
            left -= taken as u64;
            answer.length += taken as u64;
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<usize> {
        if self.used == self.buffer.len() {
            self.buffer.clear();
            self.used = 0;
        }
        self.buffer.reserve(READ);
        Ok(self.io.read_buf(&mut self.buffer).await?)
    }

    /// An idle connection owns no buffer.
    pub(crate) fn rest(&mut self) {
        self.buffer = Vec::new();
        self.used = 0;
    }
}

/// The head of a request without a body.
pub(crate) fn request(method: &str, target: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/1.1\r\nHost: docker\r\n\r\n").into_bytes()
}

/// A request with a body of JSON.
pub(crate) fn with_json(method: &str, target: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The value of a header, if the line is that one.
fn value_of(line: &[u8], name: &[u8]) -> Option<String> {
    let (start, value) = line.split_at_checked(name.len())?;
    let is_it = start.eq_ignore_ascii_case(name);
    is_it.then(|| String::from_utf8_lossy(value.trim_ascii()).into_owned())
}
