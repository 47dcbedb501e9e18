//! What is answered when something is refused: `application/problem+json` (RFC 9457) with the types of RFC 8555 §6.7.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::identifier::{Identifier, IdentifierFault, IdentifiersFault};
use crate::jwk::{Algorithm, JwkFault};
use crate::jws::{JwsFault, MacAlgorithm};
use crate::nonce::BadNonce;

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// What every type begins with (RFC 8555 §6.7).
const NAMESPACE: &str = "urn:ietf:params:acme:error:";

/// The kind of a problem: RFC 8555 §6.7, RFC 9773 §7.4, and the profiles of draft-ietf-acme-profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ErrorKind {
    /// The request names an account that is not there.
    AccountDoesNotExist,
    /// The certificate that an order replaces has been replaced already (RFC 9773 §5).
    AlreadyReplaced,
    /// The certificate is revoked already.
    AlreadyRevoked,
    /// The certificate request is not one that is signed here.
    BadCsr,
    /// The nonce is missing, or not good.
    BadNonce,
    /// The public key is not taken.
    BadPublicKey,
    /// The reason for revocation is not taken.
    BadRevocationReason,
    /// The signature algorithm is not taken.
    BadSignatureAlgorithm,
    /// A CAA record forbids it.
    Caa,
    /// Several; see the subproblems.
    Compound,
    /// The server could not connect to validate.
    Connection,
    /// A look-up in the DNS failed.
    Dns,
    /// The account must be bound to an external one.
    ExternalAccountRequired,
    /// What was found is not what answers the challenge.
    IncorrectResponse,
    /// A contact is not of its form.
    InvalidContact,
    /// There is no such profile, or not for this order.
    InvalidProfile,
    /// The request is not of its form.
    Malformed,
    /// The order cannot be finalized yet, or not any more.
    OrderNotReady,
    /// Too many requests.
    RateLimited,
    /// No certificate is made for this identifier.
    RejectedIdentifier,
    /// The server failed.
    ServerInternal,
    /// TLS failed while validating.
    Tls,
    /// The client may not do this.
    Unauthorized,
    /// Contacts of this kind are not taken.
    UnsupportedContact,
    /// Identifiers of this type are not taken.
    UnsupportedIdentifier,
    /// A person has to go to the URL `instance`.
    UserActionRequired,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::AccountDoesNotExist,
        Self::AlreadyReplaced,
        Self::AlreadyRevoked,
        Self::BadCsr,
        Self::BadNonce,
        Self::BadPublicKey,
        Self::BadRevocationReason,
        Self::BadSignatureAlgorithm,
        Self::Caa,
        Self::Compound,
        Self::Connection,
        Self::Dns,
        Self::ExternalAccountRequired,
        Self::IncorrectResponse,
        Self::InvalidContact,
        Self::InvalidProfile,
        Self::Malformed,
        Self::OrderNotReady,
        Self::RateLimited,
        Self::RejectedIdentifier,
        Self::ServerInternal,
        Self::Tls,
        Self::Unauthorized,
        Self::UnsupportedContact,
        Self::UnsupportedIdentifier,
        Self::UserActionRequired,
    ];

    /// The name in the namespace of ACME.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccountDoesNotExist => "accountDoesNotExist",
            Self::AlreadyReplaced => "alreadyReplaced",
            Self::AlreadyRevoked => "alreadyRevoked",
            Self::BadCsr => "badCSR",
            Self::BadNonce => "badNonce",
            Self::BadPublicKey => "badPublicKey",
            Self::BadRevocationReason => "badRevocationReason",
            Self::BadSignatureAlgorithm => "badSignatureAlgorithm",
            Self::Caa => "caa",
            Self::Compound => "compound",
            Self::Connection => "connection",
            Self::Dns => "dns",
            Self::ExternalAccountRequired => "externalAccountRequired",
            Self::IncorrectResponse => "incorrectResponse",
            Self::InvalidContact => "invalidContact",
            Self::InvalidProfile => "invalidProfile",
            Self::Malformed => "malformed",
            Self::OrderNotReady => "orderNotReady",
            Self::RateLimited => "rateLimited",
            Self::RejectedIdentifier => "rejectedIdentifier",
            Self::ServerInternal => "serverInternal",
            Self::Tls => "tls",
            Self::Unauthorized => "unauthorized",
            Self::UnsupportedContact => "unsupportedContact",
            Self::UnsupportedIdentifier => "unsupportedIdentifier",
            Self::UserActionRequired => "userActionRequired",
        }
    }

    /// The value of `type`.
    pub fn urn(self) -> String {
        format!("{NAMESPACE}{}", self.name())
    }

    /// The status that goes with it, where RFC 8555 names no other for the case.
    ///
    /// Named there: `orderNotReady` 403 (§7.4), `badNonce` 400 (§6.5), `badSignatureAlgorithm` 400 (§6.2),
    /// `accountDoesNotExist` 400 (§7.3.1), `userActionRequired` 403 (§7.3.3), `alreadyReplaced` 409 (RFC 9773 §5).
    pub const fn status(self) -> u16 {
        match self {
            Self::Caa
            | Self::ExternalAccountRequired
            | Self::IncorrectResponse
            | Self::OrderNotReady
            | Self::Unauthorized
            | Self::UserActionRequired => 403,
            Self::AlreadyReplaced => 409,
            Self::RateLimited => 429,
            Self::ServerInternal => 500,
            _ => 400,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl From<ErrorKind> for String {
    fn from(kind: ErrorKind) -> Self {
        kind.urn()
    }
}

impl TryFrom<String> for ErrorKind {
    type Error = &'static str;

    fn try_from(urn: String) -> Result<Self, Self::Error> {
        let name = urn.strip_prefix(NAMESPACE);
        let kind = Self::ALL.into_iter().find(|kind| Some(kind.name()) == name);
        kind.ok_or("no problem of ACME has this type")
    }
}

/// A problem. Written, it is the body of an answer, or `error` of a challenge or an order; read back, it is what the
/// store had kept of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeProblem {
    /// What kind.
    #[serde(rename = "type")]
    pub kind: ErrorKind,
    /// A sentence for a person, which quotes nothing that was not read.
    pub detail: String,
    /// The HTTP status.
    pub status: u16,
    /// Where a person has to go: of `userActionRequired` (RFC 8555 §7.3.3).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub instance: Option<String>,
    /// What is taken instead: of `badSignatureAlgorithm` (RFC 8555 §6.2).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub algorithms: Vec<String>,
    /// What is wrong with which identifier. RFC 8555 §6.7.1 lets identifiers stand nowhere else in a problem.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub subproblems: Vec<Subproblem>,
    /// When to try again. It goes into the header `Retry-After`, and not into the body.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

/// What is wrong with one identifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subproblem {
    /// What kind.
    #[serde(rename = "type")]
    pub kind: ErrorKind,
    /// A sentence for a person.
    pub detail: String,
    /// Which one.
    pub identifier: Identifier,
}

impl AcmeProblem {
    /// One of this kind, with the kind's own status.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            status: kind.status(),
            instance: None,
            algorithms: Vec::new(),
            subproblems: Vec::new(),
            retry_after: None,
        }
    }

    /// `malformed`.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, detail)
    }

    /// `unauthorized`.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unauthorized, detail)
    }

    /// There is no such resource: `malformed`, because ACME has no type of its own for it, with 404.
    pub fn not_found() -> Self {
        Self::malformed("there is no such resource").with_status(404)
    }

    /// `serverInternal`. What has failed is for our log and not for the client.
    pub fn server_internal() -> Self {
        Self::new(ErrorKind::ServerInternal, "the server failed; its log says why")
    }

    /// `rateLimited`.
    pub fn rate_limited(detail: impl Into<String>, retry_after: Duration) -> Self {
        let retry_after = Some(retry_after);
        Self { retry_after, ..Self::new(ErrorKind::RateLimited, detail) }
    }

    /// `userActionRequired`, at this URL.
    pub fn user_action_required(detail: impl Into<String>, instance: impl Into<String>) -> Self {
        let instance = Some(instance.into());
        Self { instance, ..Self::new(ErrorKind::UserActionRequired, detail) }
    }

    /// What is wrong with each identifier. If all of it is of one kind, so is the whole; else it is `compound`.
    pub fn of_identifiers(detail: impl Into<String>, subproblems: Vec<Subproblem>) -> Self {
        let mut kinds = subproblems.iter().map(|subproblem| subproblem.kind);
        let first = kinds.next().unwrap_or(ErrorKind::Compound);
        let kind = if kinds.all(|kind| kind == first) { first } else { ErrorKind::Compound };
        Self { subproblems, ..Self::new(kind, detail) }
    }

    /// With another status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The body of an answer.
    pub fn to_json(&self) -> Vec<u8> {
        // Only texts and numbers are in it, which always can be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl From<JwsFault> for AcmeProblem {
    fn from(fault: JwsFault) -> Self {
        let algorithms = match fault {
            JwsFault::BadSignatureAlgorithm | JwsFault::AlgorithmMismatch => {
                Algorithm::ALL.map(|algorithm| algorithm.name().to_owned()).to_vec()
            }
            JwsFault::BindingAlgorithm => {
                MacAlgorithm::ALL.map(|algorithm| algorithm.name().to_owned()).to_vec()
            }
            _ => Vec::new(),
        };
        let kind = match fault {
            JwsFault::Key(fault) => return fault.into(),
            // The operator's mistake, which the client can do nothing about.
            JwsFault::BindingWeakKey => return Self::server_internal(),
            JwsFault::BadSignatureAlgorithm
            | JwsFault::AlgorithmMismatch
            | JwsFault::BindingAlgorithm => ErrorKind::BadSignatureAlgorithm,
            JwsFault::NoNonce => ErrorKind::BadNonce,
            JwsFault::OtherUrl | JwsFault::BindingMac => ErrorKind::Unauthorized,
            _ => ErrorKind::Malformed,
        };
        let status = if fault == JwsFault::TooLong { 413 } else { kind.status() };
        Self { algorithms, ..Self::new(kind, fault.to_string()).with_status(status) }
    }
}

impl From<JwkFault> for AcmeProblem {
    fn from(fault: JwkFault) -> Self {
        Self::new(ErrorKind::BadPublicKey, fault.to_string())
    }
}

impl From<BadNonce> for AcmeProblem {
    fn from(fault: BadNonce) -> Self {
        Self::new(ErrorKind::BadNonce, fault.to_string())
    }
}

impl From<IdentifierFault> for ErrorKind {
    fn from(fault: IdentifierFault) -> Self {
        match fault {
            IdentifierFault::Unsupported => Self::UnsupportedIdentifier,
            IdentifierFault::Localhost | IdentifierFault::Address => Self::RejectedIdentifier,
            IdentifierFault::Form | IdentifierFault::Dns | IdentifierFault::Ip => Self::Malformed,
        }
    }
}

impl From<IdentifierFault> for AcmeProblem {
    fn from(fault: IdentifierFault) -> Self {
        Self::new(fault.into(), fault.to_string())
    }
}

impl From<IdentifiersFault> for AcmeProblem {
    fn from(fault: IdentifiersFault) -> Self {
        let kind = match fault {
            IdentifiersFault::One { fault, .. } => fault.into(),
            _ => ErrorKind::Malformed,
        };
        Self::new(kind, fault.to_string())
    }
}

#[cfg(test)]
mod tests;
