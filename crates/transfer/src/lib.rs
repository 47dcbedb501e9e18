//! Sealed, one-shot transfers into containers: what sender and receiver share.
//!
//! The crate is inside the small in-container program, so it has no async runtime and needs no other
//! crate of the workspace. Its rooms:
//!
//! - [`container`], [`identify`]: which container a process is in, found out by itself;
//! - [`landing`]: a tree or a file into its place, all or nothing; [`manifest`]: what a tree holds, and
//!   its digest;
//! - [`plan`]: what is to land where, and how;
//! - [`member`], [`archive`]: a tree of files as a strict tar stream, and its digest;
//! - [`offer`], [`session`], [`frame`]: the sealed transfer without I/O: terms, keys, bindings, frames;
//! - [`wire`], [`stream`]: messages, and an archive in frames, on a byte stream;
//! - [`receipt`]: what the receiver says it has written, authenticated;
//! - [`ticket`]: what the reader of an offer has to hold.
//!
//! **Trust boundary.** Everything that comes from the other side is hostile until the session's keys
//! have opened it: each parser here has hard limits, and is a plain function of its bytes so that it
//! can be fuzzed alone. What has been opened comes from the one that made the offer, and is still read
//! strictly: a fault of the sender must not write outside of the destination.

pub mod archive;
mod codec;
pub mod container;
pub mod frame;
pub mod identify;
pub mod landing;
pub mod manifest;
pub mod member;
pub mod offer;
pub mod plan;
pub mod receipt;
pub mod session;
pub mod stream;
pub mod ticket;
pub mod wire;

pub use codec::CodecError;
