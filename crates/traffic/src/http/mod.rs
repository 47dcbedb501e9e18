//! Heads of calls as a Gatekeeper reads and writes them, without I/O.
//!
//! - [`path`]: one spelling for each path. What policy is asked about is what the app gets.
//! - [`method`]: one spelling for each of these, too.
//! - [`host`]: whom a call is addressed to.
//! - [`bearer`]: the one token of a call.
//! - [`headers`]: what a caller may not tell the app is taken out, and what we know is put in.
//! - [`ids`]: the number of a call, and its place in a trace.
//! - [`problem`]: answers of our own, and [`grpc`]: the same for its clients.
//!
//! **What an attacker controls:** every byte of a target and of every header. A head has passed the strict reading of
//! `sealock_net::proxy` before, but nothing here relies on it.

pub mod bearer;
mod fuzz;
pub mod grpc;
pub mod headers;
pub mod host;
pub mod ids;
pub mod method;
pub mod path;
pub mod problem;

pub use fuzz::fuzz;
