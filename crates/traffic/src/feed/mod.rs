//! The feed from the broker to a Gatekeeper: a snapshot, then changes, as lines of JSON over an authenticated channel.
//!
//! ```text
//! snapshot  issuer, keys, policy, groups, revocations up to a number
//! keys                        all of them, anew
//! policy                      and who is in the groups that it names: in force together
//! revoked                     the next number
//! beat                        nothing new, and which number was the last
//! ```
//!
//! Nothing may be missed: a message that does not follow on what came before ends the feed ([`Gap`](FeedError::Gap)),
//! and the next one begins with a snapshot. What came twice does no harm.
//!
//! **What an attacker controls:** nothing, as long as TLS holds or the socket's folder is the host's: the broker is
//! trusted with what it says. Lines are limited and read strictly all the same.

mod error;
mod message;
mod receiver;
#[cfg(test)]
mod tests;

pub use error::FeedError;
pub use message::{MAXIMUM_LINE, Message, Policy, Snapshot};
pub use receiver::Receiver;
