//! The connection to a directory: TLS, deadlines, and one request after the other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_core::SecretBytes;
use sealock_net::tls::{self, TlsError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::ber;
use crate::dn::Dn;
use crate::error::DirectoryError;
use crate::location::{self, Location};
use crate::wire::{self, Answer, Credentials, Ended, LONGEST_MESSAGE, Request};

/// An operation has at most so many messages for an answer: an entry, its end, and a little.
const MOST_MESSAGES: usize = 16;

/// As whom to bind.
pub enum Bind {
    /// As nobody: no bind at all.
    Anonymous,
    /// By name and password.
    Simple {
        /// The name.
        dn: Dn,
        /// The password; not empty.
        password: SecretBytes,
    },
    /// As whom the certificate of the TLS connection is (SASL EXTERNAL).
    Certificate {
        /// Leaf first.
        chain: Vec<CertificateDer<'static>>,
        /// The leaf's.
        key: PrivateKeyDer<'static>,
    },
    /// As whom the kernel says, on a socket of this host (SASL EXTERNAL).
    Peer,
}

impl std::fmt::Debug for Bind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anonymous => formatter.write_str("Anonymous"),
            Self::Simple { dn, .. } => write!(formatter, "Simple({dn})"),
            Self::Certificate { .. } => formatter.write_str("Certificate"),
            Self::Peer => formatter.write_str("Peer"),
        }
    }
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// To connect, and again for the handshake.
    pub connect: Duration,
    /// Each request with its answer.
    pub operation: Duration,
    /// All of it together.
    pub whole: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(10), operation: seconds(15), whole: seconds(45) }
    }
}

/// A directory, and as whom it is asked.
#[derive(Debug)]
pub struct Target {
    /// Where it is.
    pub location: Location,
    /// Whether an `ldap://` one begins TLS.
    pub start_tls: bool,
    /// Whether it may be asked without TLS over a network, for all to read and change.
    pub dangerous_plain: bool,
    /// Whether it may be on this very host or next to it: at a socket, a loopback address or one of the link. What
    /// listens there trusts whoever is here, so who names it must be, too.
    pub local_allowed: bool,
    /// Whose certificates it may have.
    pub roots: Vec<CertificateDer<'static>>,
    /// As whom.
    pub bind: Bind,
    /// How long things may take.
    pub deadlines: Deadlines,
}

impl Target {
    fn has_tls(&self) -> bool {
        self.start_tls || matches!(self.location, Location::Ldaps { .. })
    }

    /// Whether everything that it says is allowed together; before anything is sent or dialled.
    ///
    /// # Errors
    /// Those that name what is not.
    pub fn check(&self) -> Result<(), DirectoryError> {
        let location = || self.location.clone();
        if self.start_tls && !matches!(self.location, Location::Ldap { .. }) {
            return Err(DirectoryError::StartTls(location()));
        }
        if !self.local_allowed && self.location.is_of_this_host() {
            return Err(DirectoryError::Local(location()));
        }
        if !self.has_tls() && !self.location.is_local() && !self.dangerous_plain {
            return Err(DirectoryError::Plain(location()));
        }
        match &self.bind {
            Bind::Simple { dn, password } if password.expose().is_empty() => {
                Err(DirectoryError::EmptyPassword(dn.clone()))
            }
            Bind::Certificate { .. } if !self.has_tls() => {
                Err(DirectoryError::CertificateWithoutTls(location()))
            }
            _ => Ok(()),
        }
    }

    /// Those of the addresses of its name that may be asked.
    fn permitted(&self, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, DirectoryError> {
        let any = !found.is_empty();
        let (local, mut permitted): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|address| location::is_of_this_host(address.ip()));
        if self.local_allowed {
            permitted.extend(local);
        } else if any && permitted.is_empty() {
            return Err(DirectoryError::Local(self.location.clone()));
        }
        // `localhost` is what the system's resolver says it is.
        let clear = self.has_tls() || self.dangerous_plain;
        permitted.retain(|address| clear || location::is_loopback(address.ip()));
        Ok(permitted)
    }

    fn tls(&self) -> Result<TlsConnector, DirectoryError> {
        let failed = |source| DirectoryError::Tls { location: self.location.clone(), source };
        if self.roots.is_empty() {
            return Err(failed(TlsError::Roots("there are none".into())));
        }
        let identity = match &self.bind {
            Bind::Certificate { chain, key } => Some((chain.clone(), key.clone_key())),
            _ => None,
        };
        let mut config = tls::client_config(&self.roots, identity).map_err(failed)?;
        // LDAP has no name in ALPN.
        config.alpn_protocols.clear();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection that is bound.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    last: u32,
    deadlines: Deadlines,
}

impl Connection {
    /// Connects, begins TLS and binds.
    pub(crate) async fn open(target: &Target) -> Result<Self, DirectoryError> {
        target.check()?;
        let tls = if target.has_tls() { Some(target.tls()?) } else { None };
        let stream = timeout(target.deadlines.connect, dial(target))
            .await
            .unwrap_or_else(|_| Err(unreached(target, io::ErrorKind::TimedOut.into())))?;
        let mut this = Self { stream, last: 0, deadlines: target.deadlines };
        if target.start_tls {
            let request = wire::start_tls(this.next());
            let ended = this.ask(&request, None).await?;
            if ended.code != wire::code::SUCCESS {
                return Err(DirectoryError::NoStartTls { said: wire::explained(&ended) });
            }
        }
        if let Some(tls) = tls {
            // The answer was read to its last byte and not further: what a stranger on the way has put behind it is
            // taken for a part of the handshake, which it breaks.
            this.stream = handshake(target, &tls, this.stream).await?;
        }
        this.bind(&target.bind).await?;
        Ok(this)
    }

    async fn bind(&mut self, bind: &Bind) -> Result<(), DirectoryError> {
        let (name, who) = match bind {
            Bind::Anonymous => return Ok(()),
            Bind::Simple { dn, .. } => (dn.to_string(), format!(" as {dn}")),
            Bind::Certificate { .. } => (String::new(), " with the certificate".to_owned()),
            Bind::Peer => (String::new(), " as this process".to_owned()),
        };
        let credentials = match bind {
            Bind::Simple { password, .. } => {
                Credentials::Simple { dn: &name, password: password.expose() }
            }
            _ => Credentials::External,
        };
        let request = wire::bind(self.next(), &credentials);
        let ended = self.ask(&request, None).await?;
        if ended.code != wire::code::SUCCESS {
            return Err(DirectoryError::Bind { who, said: wire::explained(&ended) });
        }
        Ok(())
    }

    /// The number for the next request.
    pub(crate) fn next(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    /// Sends the request that was numbered last and reads up to its end. `found` gets the certificates of an entry.
    pub(crate) async fn ask(
        &mut self,
        request: &Request,
        mut found: Option<&mut Option<Vec<Vec<u8>>>>,
    ) -> Result<Ended, DirectoryError> {
        let during = request.during;
        let deadline = Instant::now() + self.deadlines.operation;
        let late = |_| DirectoryError::Late { during };
        let broken = |source| DirectoryError::Broken { during, source };
        let sent = async {
            self.stream.write_all(&request.bytes).await?;
            self.stream.flush().await
        };
        timeout_at(deadline, sent).await.map_err(late)?.map_err(broken)?;
        for _ in 0..MOST_MESSAGES {
            let bytes = timeout_at(deadline, self.message(during)).await.map_err(late)??;
            match wire::answer(&bytes, self.last)? {
                Answer::Ended(tag, ended) if tag == request.answer => return Ok(ended),
                Answer::Ended(..) => {
                    return Err(DirectoryError::Protocol { why: "it answers another operation" });
                }
                Answer::Notice(ended) => {
                    return Err(DirectoryError::Disconnects { said: wire::explained(&ended) });
                }
                Answer::Reference => {
                    return Ok(Ended { code: wire::code::REFERRAL, said: String::new() });
                }
                Answer::Entry(values) => match found.as_deref_mut() {
                    Some(place @ None) => *place = Some(values),
                    _ => return Err(DirectoryError::Protocol { why: "it is an entry too many" }),
                },
            }
        }
        Err(DirectoryError::Protocol { why: "it does not end" })
    }

    /// One message, to its last byte and no further.
    async fn message(&mut self, during: &'static str) -> Result<Vec<u8>, DirectoryError> {
        let broken = |source| DirectoryError::Broken { during, source };
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).await.map_err(broken)?;
        let [tag, first] = head;
        let not_ldap = DirectoryError::Protocol { why: "it is not LDAP" };
        let Ok(digits) = ber::length_digits(first) else { return Err(not_ldap) };
        if tag != ber::SEQUENCE {
            return Err(not_ldap);
        }
        let mut bytes = head.to_vec();
        let more = u64::try_from(digits).unwrap_or(u64::MAX);
        let read = self.stream.as_mut().take(more).read_to_end(&mut bytes).await.map_err(broken)?;
        let length = ber::length(first, bytes.get(2..).unwrap_or_default());
        if length > LONGEST_MESSAGE {
            return Err(DirectoryError::TooLong { limit: LONGEST_MESSAGE });
        }
        // Memory grows with what has come, not with what was announced.
        let more = u64::try_from(length).unwrap_or(u64::MAX);
        let body = self.stream.as_mut().take(more).read_to_end(&mut bytes).await.map_err(broken)?;
        if read < digits || body < length {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(bytes)
    }

    /// Says good-bye, where that is still heard.
    pub(crate) async fn close(mut self) {
        let bytes = wire::unbind(self.next());
        let bye = async {
            self.stream.write_all(&bytes).await?;
            self.stream.shutdown().await
        };
        if !matches!(timeout(Duration::from_secs(1), bye).await, Ok(Ok(()))) {
            tracing::debug!("the directory did not hear the good-bye");
        }
    }
}

fn unreached(target: &Target, source: io::Error) -> DirectoryError {
    DirectoryError::Connect { location: target.location.clone(), source }
}

/// Looks the name up once: an address that is dialled is one that was looked at.
async fn dial(target: &Target) -> Result<Box<dyn Stream>, DirectoryError> {
    let failed = |source| unreached(target, source);
    let (host, port) = match &target.location {
        Location::Ldapi(path) => {
            return Ok(Box::new(UnixStream::connect(path).await.map_err(failed)?));
        }
        Location::Ldap { host, port } | Location::Ldaps { host, port } => (host.as_str(), *port),
    };
    let found = tokio::net::lookup_host((host, port)).await.map_err(failed)?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address that may be asked");
    for address in target.permitted(found)? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(failed)?;
                return Ok(Box::new(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

async fn handshake(
    target: &Target,
    tls: &TlsConnector,
    stream: Box<dyn Stream>,
) -> Result<Box<dyn Stream>, DirectoryError> {
    let failed = |source| DirectoryError::Handshake { location: target.location.clone(), source };
    let Some(name) = target.location.server_name() else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    let shaken = timeout(target.deadlines.connect, tls.connect(name, stream)).await;
    let stream = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?;
    Ok(Box::new(stream))
}

#[cfg(test)]
mod tests;
