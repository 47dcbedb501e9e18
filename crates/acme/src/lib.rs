//! ACME (RFC 8555, with RFC 8737 and 8738 for two kinds of challenge and identifier, RFC 9773 for renewals): what comes
//! over the wire, read strictly, and what goes back.
//!
//! What is read and written ([`jws`], [`wire`] and what they are made of) does no I/O, looks nothing up and does not know
//! the time. What is remembered is in [`state`], in the store. The way of a request:
//!
//! 1. [`jws::Request::read`]: a flattened JWS with one reading, of which nothing is believed yet;
//! 2. [`jws::Request::expect_url`]: it is meant for the resource at which it came (RFC 8555 §6.4);
//! 3. [`nonce::Nonces::redeem`]: it was not sent before (§6.5);
//! 4. [`jws::Request::verify`], under the key that it brings ([`jws::Signer::Jwk`]) or under that of the account it
//!    names ([`jws::Signer::Kid`]); which of both a resource takes is for the resource to say (§6.2);
//! 5. one of the types of [`wire`] reads the payload;
//! 6. the answer is a resource of [`wire`], or a [`problem::AcmeProblem`].
//!
//! # Invariants
//!
//! - The key decides the algorithm. A request whose header names another is refused; `none` and HMAC always are, but
//!   for the binding to an external account, where nothing else is taken.
//! - No text has two readings: no name stands twice, base64url has no padding and no bits that are left over, a key has
//!   one spelling (so a thumbprint has one key), addresses stand in their canonical form.
//! - What is told to a client about a fault is in words of ours: nothing of what it sent comes back but identifiers
//!   that were read.
//!
//! # What an attacker controls
//!
//! Every byte of a request, and as many accounts, keys and nonces as it likes. Until the signature holds, the body
//! (64 KiB at most), its header and its key are read, in bounded time and memory; verifying under an RSA key of 8192
//! bits is the dearest thing that a stranger can ask for here. It controls names and addresses that it wants
//! certificates for: an address that means the server itself, or its neighbours only, is refused as an identifier
//! ([`identifier`]), and what a *name* leads to is for whoever dials to look at. It learns from nonces how many were
//! given out, and can make the nonces of others too old by asking for very many ([`nonce`]).

pub mod ari;
pub mod challenge;
mod fuzz;
pub mod identifier;
pub mod jwk;
pub mod jws;
pub mod nonce;
pub mod problem;
pub mod state;
pub mod wire;

pub use fuzz::fuzz;

#[cfg(test)]
mod testing;
