//! Why there is no certificate from upstream.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sealock_net::tls::TlsError;
use thiserror::Error;

use crate::est::ResponseError;
use crate::place::{Origin, PlaceError};

/// An error of whoever keeps notes.
pub type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no certificate from upstream. What a server has said is in it as [`crate::said`] shows it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// Nothing to know the server by.
    #[error("no root is known by which the server could prove who it is")]
    NoRoots,
    /// Roots, certificate or key.
    #[error("TLS for {0} cannot be set up")]
    Tls(Origin, #[source] TlsError),
    /// The server cannot be reached.
    #[error("cannot connect to {0}")]
    Connect(Origin, #[source] io::Error),
    /// The server is not who it should be, or does not want us.
    #[error("the TLS handshake with {0} failed")]
    Handshake(Origin, #[source] io::Error),
    /// It does not speak HTTP, or hung up.
    #[error("{0} hung up, or does not speak HTTP")]
    Broken(Origin, #[source] BoxedError),
    /// It took too long.
    #[error("{0} took too long to answer")]
    Late(Origin),
    /// More than anybody needs.
    #[error("{0} answers with more than {most} bytes", most = crate::LONGEST_ANSWER)]
    TooLong(Origin),
    /// It leads elsewhere.
    #[error("the server leads to {url}, which is not asked: {why}")]
    Elsewhere {
        /// Where to.
        url: String,
        /// Why not.
        why: &'static str,
    },
    /// A URL of the server.
    #[error("the server names `{url}`, which is not asked")]
    Url {
        /// As it was written.
        url: String,
        /// Why not.
        source: PlaceError,
    },
    /// It says no by a status.
    #[error("{origin} answers with status {status}{detail}")]
    Status {
        /// Which server.
        origin: Origin,
        /// The status.
        status: u16,
        /// Its text: empty, or after `: `.
        detail: String,
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
    /// It says no by a problem (RFC 8555 §6.7).
    #[error("the server refuses: {detail}")]
    Problem {
        /// Its type, such as `rateLimited`.
        kind: String,
        /// For people.
        detail: String,
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
    /// What it sends makes no sense.
    #[error("the server does not answer as ACME has it: {0}")]
    Nonsense(String),
    /// What it sends is no answer of EST.
    #[error("the server does not answer as EST has it")]
    Response(#[from] ResponseError),
    /// There are terms, and nobody has agreed.
    #[error("the server has terms of service, to which nobody has agreed: {0}")]
    Terms(String),
    /// An account needs somebody who vouches for it.
    #[error("the server makes accounts only with an external account binding")]
    BindingRequired,
    /// The account that is remembered is not there any more.
    #[error("the server does not know our account any more")]
    AccountGone,
    /// The key of the account, or a random number.
    #[error("the key of the account cannot be used")]
    Key,
    /// The names cannot be asked for by ACME.
    #[error("`{0}` is neither a DNS name nor an address, and ACME has no other names")]
    NoIdentifier(String),
    /// A name that nobody asked for.
    #[error("the server wants `{0}` to be proved, which was not asked for")]
    OtherName(String),
    /// None of its challenges can be met here.
    #[error(
        "the server offers no challenge for `{name}` that can be met here: it offers {offered}"
    )]
    NoChallenge {
        /// Which name.
        name: String,
        /// What it offers.
        offered: String,
    },
    /// A name was not proved.
    #[error("the server does not take it that `{name}` is ours: {detail}")]
    NotProved {
        /// Which name.
        name: String,
        /// Its words.
        detail: String,
    },
    /// The order is at its end without a certificate.
    #[error("the server has ended the order: {0}")]
    Ended(String),
    /// It is not done yet; the next time may find it done.
    #[error("the server is not done with the order yet")]
    Processing(Option<Duration>),
    /// Nobody can be answered there.
    #[error("cannot listen at {address} for http-01")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The program for dns-01.
    #[error("the program for dns-01 has failed to {verb} {name}: {why}")]
    Hook {
        /// `present` or `cleanup`.
        verb: &'static str,
        /// The record.
        name: String,
        /// Why.
        why: String,
    },
    /// What is under way could not be written down.
    #[error("what is under way cannot be written down")]
    Notes(#[source] BoxedError),
}

impl UpstreamError {
    /// When the server wants to be asked again.
    pub fn after(&self) -> Option<Duration> {
        match self {
            Self::Status { after, .. } | Self::Problem { after, .. } | Self::Processing(after) => {
                *after
            }
            _ => None,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoRoots => {
                "set ca_file of the upstream to its root, or `sealock trust add FILE`".into()
            }
            Self::Handshake(..) => {
                "is the root of the server's certificate in ca_file, or known by `sealock trust add`?".into()
            }
            Self::Connect(..) => "is the url right, and may this host connect to it?".into(),
            Self::Elsewhere { .. } => {
                "where the server is spread over several hosts, name them in `hosts`".into()
            }
            Self::Terms(_) => "read them; then set terms_agreed = true".into(),
            Self::BindingRequired => {
                "have your CA make a binding for you; set eab_kid and eab_key_file".into()
            }
            Self::NoChallenge { .. } => {
                "set http01 = \"0.0.0.0:80\", or dns_hook to a program that changes your DNS".into()
            }
            Self::NotProved { .. } => {
                "does the name lead to this host, and can the server reach it at port 80 (http01)?".into()
            }
            Self::Listen { .. } => {
                "something else listens there: let it pass /.well-known/acme-challenge/ on to another http01".into()
            }
            Self::Status { status: 401 | 403, .. } => {
                "set user and password_file, or certificate, as your CA says".into()
            }
            _ => return None,
        })
    }
}
