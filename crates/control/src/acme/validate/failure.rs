//! Why a question was not answered as it should be, as the applicant is told.

use sealock_acme::problem::ErrorKind;
use thiserror::Error;

/// Why somebody is not shown to control a name. The text is for the applicant. It has nothing of what the asked host sent,
/// and not which address was dialled: the applicant may have pointed us at somebody else's host to learn that.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Failure {
    /// No connection could be had, or it ended too early.
    #[error("{0}")]
    Connection(String),
    /// The DNS did not say what had to be known.
    #[error("{0}")]
    Dns(String),
    /// A handshake failed.
    #[error("{0}")]
    Tls(String),
    /// What came is no answer to such a question.
    #[error("{0}")]
    IncorrectResponse(String),
    /// It is an answer, and the wrong one.
    #[error("{0}")]
    Unauthorized(String),
    /// The name leads only to where nobody is asked.
    #[error("{0}")]
    RejectedAddress(String),
    /// The domain's owner has reserved it for others.
    #[error("{0}")]
    Caa(String),
}

impl Failure {
    /// The error type of ACME (RFC 8555 §6.7). That an address is not asked is told as a name that is
    /// not served, which it comes to for the applicant.
    pub(crate) const fn kind(&self) -> ErrorKind {
        match self {
            Self::Connection(_) => ErrorKind::Connection,
            Self::Dns(_) => ErrorKind::Dns,
            Self::Tls(_) => ErrorKind::Tls,
            Self::IncorrectResponse(_) => ErrorKind::IncorrectResponse,
            Self::Unauthorized(_) => ErrorKind::Unauthorized,
            Self::RejectedAddress(_) => ErrorKind::RejectedIdentifier,
            Self::Caa(_) => ErrorKind::Caa,
        }
    }
}
