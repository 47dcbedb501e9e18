//! Certificates in an LDAP directory: where others find the certificate of a person or device whose name they know.
//!
//! # The way of a publication
//!
//! [`publish`] connects to the [`Target`], over TLS but where no network is between, binds, reads the certificates of
//! one entry, has the caller say of each where it stands in the inventory ([`Standing`]), and makes what has to change
//! ([`Plan::of`], a pure function) in one operation. The values that are to go are named one by one, so whoever changed
//! the entry meanwhile makes the operation fail as a whole; then all is read again, a few times at most.
//!
//! # Invariants
//!
//! - A value that the inventory does not have byte for byte is never touched.
//! - Nothing is half done: one add or one modify for each run.
//! - No name is made by pasting: DNs are parsed ([`Dn`]), a template's `{name}` is put into the parsed value
//!   ([`DnTemplate`]), and what travels is encoded by length.
//! - A password goes over TLS, or does not leave the host, unless somebody has said `dangerous`. An empty one is never
//!   sent: servers take it for an anonymous bind that has succeeded (RFC 4513 §5.1.2).
//! - Nothing that came before the TLS handshake is read as part of what comes after it: messages are read byte for byte
//!   as long as they say they are, so there is no buffer in which injected plaintext could wait.
//!
//! # What an attacker controls
//!
//! Whoever is on the network can make a publication fail. The server, which has proved its name by TLS, controls every
//! byte of its answers: they are read within limits ([`LONGEST_MESSAGE`], [`MOST_VALUES`]), each within a
//! deadline, by code that does not recurse. It can lie about what is in the entry, and so make us do nothing, or name
//! certificates of ours that are no longer good for removal; what we tell it is public. Referrals are not followed: they
//! would take the password wherever the server likes.
//!
//! Why not a client library: docs/adr/0047.

mod ber;
mod client;
mod dn;
mod entry;
mod error;
mod fuzz;
mod location;
mod plan;
mod publish;
mod wire;

pub use client::{Bind, Deadlines, Target};
pub use dn::{Dn, DnError, DnTemplate};
pub use entry::Create;
pub use error::{BoxedError, DirectoryError};
pub use fuzz::fuzz;
pub use location::{Location, LocationError};
pub use plan::{Plan, Standing};
pub use publish::{Outcome, Publication, publish};
pub use wire::{LONGEST_MESSAGE, MOST_VALUES};
