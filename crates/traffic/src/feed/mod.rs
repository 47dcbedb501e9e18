//! The feed from the broker to a Gatekeeper: a snapshot, then changes, as lines of JSON over an authenticated channel.
//!
//! ```text
//! snapshot  issuer, keys, policy, groups, revocations up to a signed head
//! keys                        all of them, anew
//! policy                      and who is in the groups that it names: in force together
//! revoked                     the next one, signed, with the hash of the one before it
//! beat                        nothing new: the head, signed anew
//! ```
//!
//! Nothing may be missed: a message that does not follow on what came before ends the feed ([`Gap`](FeedError::Gap),
//! [`Fork`](FeedError::Fork)), and the next one begins with a snapshot. What came twice does no harm, and counts for
//! nothing: only a head that is new and is our own says that the feed lives.
//!
//! **What an attacker controls:** nothing, as long as TLS holds or the socket's folder is the host's: from there come the
//! keys, and the broker is trusted with what it says. With the keys that it was given, a Gatekeeper holds every
//! revocation against their signatures: whoever stands in between (a relay, a cache) can end the feed, and can neither
//! leave out, add, change nor repeat anything. Lines are limited and read strictly.

mod error;
mod fuzz;
mod message;
mod receiver;
#[cfg(test)]
mod tests;

pub use error::FeedError;
pub use fuzz::fuzz;
pub use message::{MAXIMUM_LINE, Message, Policy, Snapshot};
pub use receiver::Receiver;
