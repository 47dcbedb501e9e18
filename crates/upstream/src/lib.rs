//! The company's CA by protocol: a CSR goes out and what it has signed comes back, by ACME (RFC 8555) or by EST
//! (RFC 7030), without a person in between.
//!
//! # The way of an enrolment
//!
//! A [`Client`] speaks HTTPS with one server and with nobody else. By ACME, [`acme::enrol`] makes an order for the names
//! or goes on with one that is there, proves the names ([`acme::Ways`]), has the order finalised with the CSR that was
//! given, and fetches the chain. By EST, [`est::Est::enrol`] sends the CSR and reads the answer; the certificates above
//! it are asked for by [`est::Est::cacerts`]. What comes out of either is bytes of a file: whoever called reads them, and
//! checks them as it would what a person brings.
//!
//! # Invariants
//!
//! - Keys do not pass through here but for the one of the account, and those of a TLS client certificate.
//! - Only `https` URLs of the one server are asked (and of hosts that the settings name): not those that it names itself
//!   in a directory, an order or a redirect. There are no redirects.
//! - Names are proved that were asked for, and no others: neither is a token answered for, nor a program run.
//! - Each upstream has an account key of its own. A server that hands on another's challenges gets answers that are good
//!   with nobody but itself.
//! - Every request has a deadline, every answer a length, every wait an end.
//!
//! # What an attacker controls
//!
//! Every byte that comes after the handshake, if they are the server: how slowly it comes, what is in it, how long an
//! order is "processing", whose certificate it is in the end. Answers are read by [`acme::Directory`], [`acme::Problem`],
//! [`est::read`] and [`RetryAfter`], which do no I/O; what a server says for people is cut and made printable ([`said`]).
//! Whoever reaches the listener for http-01 gets answers for exact paths only, while something is to be proved.

pub mod acme;
mod client;
mod error;
pub mod est;
mod fuzz;
mod place;
mod retry_after;
mod text;

pub use client::{Answer, Client, Deadlines, LONGEST_ANSWER};
pub use error::{BoxedError, UpstreamError};
pub use fuzz::fuzz;
pub use place::{Origin, Place, PlaceError};
pub use retry_after::RetryAfter;
pub use text::said;
