//! The Docker plane: the engine's API behind mutual TLS and a policy, and mutual TLS for the engine itself.
//!
//! The way of a request: [`route`] makes of its target one canonical path and the operation that it is;
//! [`body`] reads a body that matters, strictly, and writes it anew; the [`gateway`] asks the engine what the request is about and the policy
//! whether the caller may, and what was decided on is what is forwarded. [`daemon`] and [`check`] set an engine's own
//! TLS up and find out what an endpoint accepts.
//!
//! **What an attacker controls:** every byte of target, headers and body. `route`, `body`, `filters`,
//! [`dockerfile`] and [`context`] are pure functions over them, fuzzed on their own; what they do not know is refused.

pub mod body;
pub mod check;
pub mod context;
pub mod daemon;
pub mod dockerfile;
pub mod filters;
pub mod gateway;
pub mod route;
