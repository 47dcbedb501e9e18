//! Why a feed is not gone on with.

use thiserror::Error;

use crate::token::{KeySetError, Refusal};

/// Why a feed is not gone on with.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FeedError {
    /// A line is no message.
    #[error("the feed has a line that is no message, at column {column}")]
    Line {
        /// Where.
        column: usize,
    },
    /// It did not begin with a snapshot.
    #[error("the feed did not begin with a snapshot")]
    NoSnapshot,
    /// Something between two messages did not arrive.
    #[error("the feed goes from revocation {known} to {number}: something is missing")]
    Gap {
        /// The last that is known.
        known: u64,
        /// What came.
        number: u64,
    },
    /// A revocation, or how far the list of them goes, is not signed as it should be.
    #[error("the feed has revocations that are not signed as they should be: {0}")]
    Unsigned(#[from] Refusal),
    /// It is about the tokens of another issuer.
    #[error("the feed is about the tokens of another issuer")]
    OtherIssuer,
    /// An entry does not fit those before it, or the list goes less far than it did.
    #[error("the feed's list of revocations is another one from {number} on")]
    Fork {
        /// From where on.
        number: u64,
    },
    /// The keys are others than those that are said to be in force.
    #[error("the feed's keys are others than those that the broker names")]
    OtherKeys,
    /// The revoked CAs cannot be read.
    #[error("the feed has a list of revoked CAs that cannot be read")]
    Cas,
    /// The revoked CAs are others than the broker names.
    #[error("the feed's revoked CAs are others than those that the broker names")]
    OtherCas,
    /// In the midst of a feed: other keys, and none of those that were known before vouches for them.
    #[error("the feed has other keys, and none of those before vouches for them: {0}")]
    Unvouched(#[source] Refusal),
    /// It was signed too long ago, or our clock is wrong.
    #[error("the feed says what was so {seconds} seconds ago")]
    Old {
        /// How long ago.
        seconds: u64,
    },
    /// The keys cannot be read.
    #[error("the feed has keys that cannot be used")]
    Keys(#[from] KeySetError),
    /// The policy cannot be loaded.
    #[error("the feed has a policy that cannot be loaded: {0}")]
    Policy(String),
}
