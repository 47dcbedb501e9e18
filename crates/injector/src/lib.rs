//! Puts secrets where a program finds them, and starts it: what `sealock run` and `summon` are made of.
//!
//! # The way of a variable
//!
//! `secrets.yml` ([`manifest`]) → for each entry a [`Spec`] → literals as they are, the rest fetched: from external
//! programs ([`provider`]) or from the vault → variables, files ([`mod@format`])
//! → the child.
//!
//! Nothing here needs an async runtime or the store: the injector starts thousands of short-lived commands, and
//! is PID 1 in containers.
//!
//! # What an attacker controls
//!
//! `secrets.yml` (it lies in repositories), what providers print, the values themselves (whoever may write a
//! secret may put anything in it), the directory of temporary files (others have theirs there too).

mod buffer;
pub mod child;
pub mod environment;
pub mod format;
pub mod harden;
pub mod inject;
pub mod manifest;
pub mod mask;
pub mod provider;
pub mod resolve;
pub mod scratch;
mod spec;

pub use spec::{FileContent, FileEntry, Format, Manifest, Source, Spec, Variable};
