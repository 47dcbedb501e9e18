//! The receiving side of a sealed transfer: what runs inside a container, as the small program
//! `sealock-receiver`, and what `sealock receive` does with a ticket.
//!
//! - [`surroundings`]: which container this is, since when it runs;
//! - [`input`]: standard input with deadlines;
//! - [`listener`]: one GET to a listener that is known by its certificate;
//! - [`session`]: an offer or a ticket from hello to receipt;
//! - [`error`]: why it does not come to that, and what the sender is told.
//!
//! Blocking, on one thread, without a runtime: it lives for one transfer.
//!
//! **What an attacker controls.** Everything that arrives before the session's keys have opened it; see
//! [`sealock_transfer`] for how it is read. Time is bounded: a stream on which nothing comes for
//! [`IDLE`](input::IDLE) is given up. However it ends, by an error, by a signal or by the end of its
//! input, staging is removed and the old content stands; after a kill the next landing removes it.

pub mod error;
pub mod input;
pub mod listener;
pub mod session;
pub mod surroundings;

pub use error::ReceiveError;
pub use session::{receive_ticket, serve_offer};
