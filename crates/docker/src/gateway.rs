//! The engine's API for identities: over mutual TLS, each with its own policy.
//!
//! ```text
//! accept → one byte says whether it is TLS → handshake → who is it? (Guard::identify)
//!   → each request: within their limits? → route → body → what is it about? (the engine is asked) → may they? (Guard::decide)
//!   → written anew to the engine → its answer, streamed
//! ```
//!
//! - What was decided on is what is forwarded: the target is written from the [`Routed`](crate::route::Routed)
//!   request, a body that matters from what was read of it, and a container by the id that its name stood for when policy
//!   was asked. So a name that is given to another container meanwhile leads nowhere.
//! - Nothing is answered by the engine that policy has not permitted, and nothing of a connection without a
//!   certificate is read.
//! - The workload socket, for containers, is the same without TLS: who connects is attested
//!   (`Guard::attest`), once for each connection.
//! - A connection belongs to one identity. When its certificate is revoked or ends, [`Guard`] cuts it,
//!   whatever streams on it.
//!
//! **What an attacker controls:** as a client with a certificate, everything they send, how fast, and the names,
//! labels and images of the containers they may make. The engine is trusted.

mod answer;
mod asks;
mod building;
mod content;
mod forwarded;
mod guard;
mod handle;
mod held;
mod limits;
mod listen;
mod local;
mod lookup;
mod made;
mod mentions;
mod names;
mod prune;
mod resources;
mod shown;
mod stamped;
mod view;

pub use guard::{Ask, Client, Guard, Refused, Session};
pub use handle::Gateway;
pub use limits::{Allowance, Bound, Limit, Most, Over, Quota, Quotas};
pub use listen::{Listening, NO_CERTIFICATE, rehearse, serve};
pub use local::serve_local;
pub use view::Sight;
