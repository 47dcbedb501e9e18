//! Puts the planes together: the service layer, the daemon, the admin API and its client. The only place
//! where planes meet.
//!
//! The way of a request: a [`Command`](command::Command) arrives at a door (the admin socket, HTTPS, or
//! in-process), which finds out who the caller is; the service asks policy, acts through a plane, and the
//! plane commits state change and audit event together; a [`Reply`](command::Reply) or a
//! [`ServiceError`] goes back. There is one implementation of every operation, whatever the door.
//!
//! An attacker controls the bytes that arrive at a door, labels of containers, and names and CSRs in
//! commands. Who the caller is never comes from what it sent: the kernel says it for the socket, the TLS
//! handshake for HTTPS.

mod acme;
pub mod api;
mod attest;
mod caller;
pub mod client;
pub mod command;
pub mod config;
pub mod daemon;
mod error;
pub mod forward;
pub mod guard;
pub mod login_code;
pub mod metrics;
pub mod rehearsal;
mod secret_file;
pub mod service;
mod sidecar;
pub mod state;
mod turns;

pub use sealock_formats as formats;

pub use caller::{ADMIN, Caller, Door};
pub use client::Client;
pub use command::{Command, Reply};
pub use error::{ErrorCode, ServiceError};
pub use secret_file::read_secret;
pub use service::{Opening, PassphraseFor, Passphrases, Service};
