//! A tree of files as a tar stream: a writer for the sender, a strict reader for the receiver.
//!
//! The format is the part of POSIX `pax` that is needed and nothing else: folders, regular files and
//! symbolic links, each with a ustar header, and a `path` or `linkpath` record before it where a name
//! is longer than the header can hold. Two blocks of zeros end it, and nothing follows them. Times,
//! owners, and modes beyond `0o777` are not carried.
//!
//! Members come in strictly ascending order ([`MemberPath`]'s), every folder before what is in it. So
//! a reader needs memory for one path only, no name comes twice, and whatever a member's parents are,
//! they are folders made by this very stream and not links.
//!
//! **What an attacker controls.** With the session's keys (that is, being the sender), every byte.
//! Without them, nothing. The reader holds in both cases: it cannot be made to name a place outside of
//! the destination, to take more than was announced, or to allocate more than a few paths' length.

mod read;
mod tree;
mod write;

pub use read::{ReadError, Sink, read};
pub use tree::{Content, Kind, Member, Tree, TreeError};
pub use write::{Fill, WriteError, write};

/// What a tree comes to, once it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The SHA-256 of the content for a single file, of the tree's [`Manifest`](crate::manifest) for a
    /// folder: the same for every carrier.
    pub sha256: [u8; 32],
    /// The sum of the files' sizes.
    pub bytes: u64,
    /// How many regular files.
    pub files: u64,
}

const BLOCK: usize = 512;
/// A `path` and a `linkpath` record of the longest names.
const PAX_LIMIT: usize = 2 * (crate::member::PATH_LIMIT + 32);

/// How many bytes fill a content of this size up to whole blocks.
fn padding(size: u64) -> usize {
    let over = size % BLOCK as u64;
    if over == 0 { 0 } else { BLOCK - over as usize }
}

#[cfg(test)]
mod tests;
