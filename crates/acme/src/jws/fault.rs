//! Why a request was refused.

use sealock_core::json::JsonFault;
use thiserror::Error;

use super::binding::MINIMUM_MAC_KEY;
use super::{MAXIMUM_NONCE, MAXIMUM_REQUEST, MAXIMUM_URL};
use crate::jwk::JwkFault;

/// Why a signed request was refused. It says which rule was broken, in words of ours only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JwsFault {
    /// More than [`MAXIMUM_REQUEST`] bytes.
    #[error("the request is longer than {MAXIMUM_REQUEST} bytes")]
    TooLong,
    /// No JSON to us.
    #[error("the JWS is refused: {0}")]
    Json(JsonFault),
    /// `header`: nothing of ours may stand where it is not signed (RFC 8555 §6.2).
    #[error("the JWS has an unprotected header")]
    Unprotected,
    /// `signatures`: the general form, of several signatures.
    #[error("the JWS is in the general form; one signature in the flattened form is wanted")]
    General,
    /// Another name than `protected`, `payload` and `signature`.
    #[error("the JWS has more than protected, payload and signature")]
    UnknownMember,
    /// One of these three is missing or no text; an empty payload is there all the same.
    #[error("the JWS has no text {member:?}")]
    MissingMember {
        /// The name.
        member: &'static str,
    },
    /// With padding, other characters, or bits that are left over.
    #[error("{member:?} of the JWS is not base64url in its one form without padding")]
    BadEncoding {
        /// The name.
        member: &'static str,
    },
    /// The protected header is no JSON to us.
    #[error("the protected header is refused: {0}")]
    Header(JsonFault),
    /// A name that would make us trust, fetch or read something else.
    #[error("the protected header has {member:?}, which is never followed")]
    ForbiddenHeader {
        /// The name.
        member: &'static str,
    },
    /// A name that must be there.
    #[error("the protected header has no {member:?}")]
    MissingHeader {
        /// The name.
        member: &'static str,
    },
    /// Of another type or form than it must have.
    #[error(
        "{member:?} in the protected header is not of its form (a nonce is base64url of up to \
         {MAXIMUM_NONCE} characters, url and kid are visible ASCII of up to {MAXIMUM_URL})"
    )]
    BadHeader {
        /// The name.
        member: &'static str,
    },
    /// `alg` is `none`, symmetric, or of no use to us.
    #[error("the signature algorithm is not taken")]
    BadSignatureAlgorithm,
    /// No nonce, which is as if it were a bad one (RFC 8555 §6.5).
    #[error("the protected header has no nonce")]
    NoNonce,
    /// `jwk` and `kid` (RFC 8555 §6.2).
    #[error("the protected header has both jwk and kid")]
    TwoSigners,
    /// Neither of them.
    #[error("the protected header has neither jwk nor kid")]
    NoSigner,
    /// `jwk` is refused.
    #[error("{0}")]
    Key(JwkFault),
    /// The key is for another algorithm than the header names.
    #[error("the key is for another signature algorithm than the protected header names")]
    AlgorithmMismatch,
    /// By another key, of another length, or over other bytes.
    #[error("the signature is wrong")]
    BadSignature,
    /// `url` is not where it came (RFC 8555 §6.4).
    #[error("the url in the protected header is not that of this resource")]
    OtherUrl,
    /// An inner JWS has a nonce (RFC 8555 §7.3.4, §7.3.5).
    #[error("the inner JWS has a nonce, which only the outer one may have")]
    InnerNonce,
    /// An inner JWS has another `url` than the outer one.
    #[error("the url of the inner JWS is not that of the outer one")]
    InnerUrl,
    /// Of a change of keys, the inner JWS must bring the new one.
    #[error("the inner JWS of a change of keys has no jwk")]
    InnerKey,
    /// Of a binding, the inner JWS names an account elsewhere by `kid`, and brings no key.
    #[error("the JWS that binds to an external account needs a kid and no jwk")]
    BindingKid,
    /// Of a binding, `alg` is none of HMAC.
    #[error("the JWS that binds to an external account is not signed with HMAC")]
    BindingAlgorithm,
    /// Of a binding, the payload is not the key of the request.
    #[error("the JWS that binds to an external account is over another key than the account's")]
    BindingPayload,
    /// Of a binding, the MAC is wrong.
    #[error("the JWS that binds to an external account is not signed with its key")]
    BindingMac,
    /// Of a binding, the key that *we* have is one that can be guessed.
    #[error("a key of an external account has fewer than {MINIMUM_MAC_KEY} bytes")]
    BindingWeakKey,
}
