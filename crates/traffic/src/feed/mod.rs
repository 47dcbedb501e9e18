//! The feed from the broker to a Gatekeeper: a snapshot, then changes, as lines of JSON over an authenticated channel.
//!
//! ```text
//! snapshot  issuer, keys, policy, groups, revoked CAs, revocations up to a signed head; again when the keys are others
//! policy                      and who is in the groups that it names: in force together
//! revoked                     the next one, signed, with the hash of the one before it
//! cas                         all CAs that are revoked, with a head that names them; again when they are others
//! beat                        after all that is new, and every five seconds: the head, signed anew
//! ```
//!
//! Nothing may be missed: a message that does not follow on what came before ends the feed ([`Gap`](FeedError::Gap),
//! [`Fork`](FeedError::Fork)), and the next one begins with a snapshot. What came twice does no harm, and counts for
//! nothing: only a head that is new and is our own says that the feed lives, be it a beat's or a snapshot's. Neither a
//! revocation nor a policy says so, for neither has a time.
//!
//! Other keys come with a snapshot, whose head names them and is signed by a key that was known before; otherwise the
//! feed is over, and the next one's keys are taken on the channel's word.
//!
//! Every head names the CAs that are revoked, so that none can be left out. One that was told of stays revoked until its
//! certificate has ended, whatever is said later.
//!
//! **What an attacker controls:** nothing, as long as TLS holds or the socket's folder is the host's: from there come the
//! keys, and the broker is trusted with what it says. With the keys that it was given, a Gatekeeper holds every
//! revocation against their signatures: whoever stands in between (a relay, a cache) and passes the first snapshot on as
//! it is can end the feed, and can neither leave out, add, change nor repeat a revocation, nor other keys, for longer than
//! the Gatekeeper bears silence. The policy and the groups are the channel's word. Lines are limited and read strictly.

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
