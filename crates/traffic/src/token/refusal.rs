//! Why a token was refused.

use sealock_core::json::JsonFault;
use thiserror::Error;

use super::verify::MAXIMUM_TOKEN;

/// Why a token was refused. It says which rule was broken, never what the token holds: it goes into logs, and some of
/// it to a caller who may be the attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// More than [`MAXIMUM_TOKEN`] bytes.
    #[error("the token is longer than {MAXIMUM_TOKEN} bytes")]
    TooLong,
    /// Five parts: a JWE.
    #[error("the token is encrypted; only signed ones are taken")]
    Encrypted,
    /// Not three parts.
    #[error("the token does not have the three parts of a signed JWT")]
    Malformed,
    /// A part with padding, other characters, or bits that are left over.
    #[error("the {part} of the token is not base64url in its one form without padding")]
    BadEncoding {
        /// `header`, `claims` or `signature`.
        part: &'static str,
    },
    /// The header is no JSON to us.
    #[error("the header of the token is refused: {0}")]
    Header(JsonFault),
    /// A name that would make us trust, fetch or do something that the token says.
    #[error("the header of the token has {member:?}, which is never followed")]
    ForbiddenHeader {
        /// The name.
        member: &'static str,
    },
    /// Another name than `alg`, `typ` and `kid`.
    #[error("the header of the token has more than alg, typ and kid")]
    UnknownHeader,
    /// A name that must be there.
    #[error("the header of the token has no {member:?}")]
    MissingHeader {
        /// The name.
        member: &'static str,
    },
    /// Not a text, or an empty one.
    #[error("{member:?} in the header of the token is not a text")]
    BadHeader {
        /// The name.
        member: &'static str,
    },
    /// `alg` is `none`.
    #[error("the token is not signed")]
    AlgorithmNone,
    /// `alg` is an HMAC.
    #[error("the token names a symmetric algorithm")]
    AlgorithmSymmetric,
    /// Another `alg` than ES256 and EdDSA.
    #[error("the token names an algorithm that is not taken")]
    UnsupportedAlgorithm,
    /// `typ` of no profile.
    #[error("the token is of another type than at+jwt or JWT")]
    WrongType,
    /// No key has this `kid`. Newer keys might.
    #[error("the key of the token is not known")]
    UnknownKey,
    /// The key is for another algorithm than the token names.
    #[error("the key of the token is for another algorithm")]
    AlgorithmMismatch,
    /// Of another length, by another key, or over other bytes.
    #[error("the signature of the token is wrong")]
    BadSignature,
    /// The claims are no JSON to us.
    #[error("the claims of the token are refused: {0}")]
    Claims(JsonFault),
    /// A claim that must be there.
    #[error("the token has no claim {claim:?}")]
    MissingClaim {
        /// The name.
        claim: &'static str,
    },
    /// A claim of another type or form than it must have.
    #[error("the claim {claim:?} of the token is not of its form")]
    BadClaim {
        /// The name.
        claim: &'static str,
    },
    /// `sub` is no identity.
    #[error("the subject of the token is not an identity")]
    BadSubject,
    /// `iss` and `sub` of a client's assertion are not the same.
    #[error("the assertion is not by whom it is about: iss and sub differ")]
    NotItsOwn,
    /// `iss` is another.
    #[error("the token is by another issuer")]
    WrongIssuer,
    /// `aud` has none or several.
    #[error("the token is not for exactly one audience")]
    ManyAudiences,
    /// `aud` is another.
    #[error("the token is for another audience")]
    WrongAudience,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iat` is to come.
    #[error("the token was issued in the future")]
    IssuedInFuture,
    /// `exp` is too far from `iat`, or not after it.
    #[error("the token lives longer than it may, or not at all")]
    WrongLifetime,
    /// `cnf` is not exactly `x5t#S256`.
    #[error("the token is bound to something else than a certificate")]
    UnknownConfirmation,
    /// `cnf`, and no certificate.
    #[error("the token is bound to a certificate, and none was presented")]
    CertificateRequired,
    /// `cnf`, and another certificate.
    #[error("the token is bound to another certificate")]
    WrongCertificate,
}

impl Refusal {
    /// A word for logs, metrics and problem answers. It never changes.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "token_too_long",
            Self::Encrypted => "token_encrypted",
            Self::Malformed => "token_malformed",
            Self::BadEncoding { .. } => "bad_encoding",
            Self::Header(JsonFault::Syntax) => "header_malformed",
            Self::Header(JsonFault::Duplicate) => "header_duplicate",
            Self::Header(JsonFault::Deep | JsonFault::Large) => "header_too_large",
            Self::ForbiddenHeader { .. } => "header_forbidden",
            Self::UnknownHeader => "header_unknown",
            Self::MissingHeader { .. } => "header_missing",
            Self::BadHeader { .. } => "header_bad",
            Self::AlgorithmNone => "algorithm_none",
            Self::AlgorithmSymmetric => "algorithm_symmetric",
            Self::UnsupportedAlgorithm => "algorithm_unsupported",
            Self::WrongType => "wrong_type",
            Self::UnknownKey => "unknown_key",
            Self::AlgorithmMismatch => "algorithm_mismatch",
            Self::BadSignature => "bad_signature",
            Self::Claims(JsonFault::Syntax) => "claims_malformed",
            Self::Claims(JsonFault::Duplicate) => "claim_duplicate",
            Self::Claims(JsonFault::Deep | JsonFault::Large) => "claims_too_large",
            Self::MissingClaim { .. } => "claim_missing",
            Self::BadClaim { .. } => "claim_bad",
            Self::BadSubject => "bad_subject",
            Self::NotItsOwn => "issuer_not_subject",
            Self::WrongIssuer => "wrong_issuer",
            Self::ManyAudiences => "many_audiences",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::IssuedInFuture => "token_issued_in_future",
            Self::WrongLifetime => "wrong_lifetime",
            Self::UnknownConfirmation => "unknown_confirmation",
            Self::CertificateRequired => "certificate_required",
            Self::WrongCertificate => "wrong_certificate",
        }
    }
}
