//! Tokens: what says who calls, and for whom the call is meant.
//!
//! A token is a JWT (RFC 7519) in the compact form of a signature (RFC 7515 §7.1), of one of two profiles
//! ([`Profile`]). `sub` is a SPIFFE ID, `aud` is exactly one text, and it lives for minutes. The broker makes them
//! ([`issue()`]); a Gatekeeper checks them without asking anyone ([`verify()`]), by the broker's public keys ([`KeySet`]).
//!
//! Signatures are made and checked by aws-lc. Everything around them is read here, without I/O and without a clock:
//!
//! - The key decides the algorithm. A token whose header names another is refused; `none` and HMAC always are.
//! - The header is `alg`, `typ` and `kid`. Whatever would make a reader fetch or trust something else (`jku`, `jwk`,
//!   `x5u`, `x5c`, `crit`, `zip`, `cty`, …) is refused by name. `kid` is only looked up among the keys we have.
//! - Nothing is read leniently: no padding, no second spelling of the same bytes, no name twice, no time that is not
//!   a whole number. So a token has one reading, and no other text is the same token to its signature (but for ECDSA's
//!   mirrored `s`, which changes no claim: revoke by `jti`, not by the token's hash alone).
//! - A token that is bound to a certificate (`cnf`, RFC 8705 §3.1) is worth nothing without it.
//!
//! **What an attacker controls:** every byte of a token. Claims are looked at only after the signature; before that
//! the header is read, in bounded time and memory. Key sets come from the broker, over an authenticated channel, and
//! are limited all the same.

mod assertion;
mod claims;
mod error;
mod fuzz;
mod header;
mod identity;
mod introspection;
mod issue;
mod jwks;
mod key;
mod refusal;
mod statement;
#[cfg(test)]
mod tests;
mod verify;

#[cfg(test)]
pub(crate) use assertion::sign_assertion_for_tests;
pub use sealock_core::json::JsonFault;

pub use assertion::{AssertionExpected, ClientAssertion, UsedAssertion};
pub use claims::Claims;
pub use error::{KeyFault, KeySetError, TokenError};
pub use fuzz::fuzz;
pub use header::{Algorithm, Profile};
pub use identity::{Said, say};
pub use introspection::{
    Binding, Introspected, IntrospectionFault, MAXIMUM_INTROSPECTION, claimed_issuer, introspected,
};
pub use issue::issue;
pub use jwks::{KeySet, MAXIMUM_KEY_SET, MAXIMUM_KEYS};
pub use key::{PublicKey, SigningKey};
pub use refusal::Refusal;
pub use statement::{open_statement, read_statement, sign_statement};
pub use verify::{Expected, MAXIMUM_TOKEN, SKEW, inspect, verify};
