//! Why a feed is not gone on with.

use thiserror::Error;

use crate::token::KeySetError;

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
    /// The keys cannot be read.
    #[error("the feed has keys that cannot be used")]
    Keys(#[from] KeySetError),
    /// The policy cannot be loaded.
    #[error("the feed has a policy that cannot be loaded: {0}")]
    Policy(String),
}
