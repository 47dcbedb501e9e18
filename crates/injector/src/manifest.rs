//! `secrets.yml`: from bytes to a [`Manifest`].
//!
//! The bytes become text (`source`), the events of the YAML parser a tree (`tree`), and the tree variables and files
//! (`reader`, `entries`, `value`, `files`), in one of two dialects:
//!
//! | | [`Dialect::Summon`] | [`Dialect::Strict`] |
//! |---|---|---|
//! | tags | anything that has `var`, `file`, … in it | `var`, `file`, `str`, `int`, `bool`, `float`, `default='…'`, `default-on-error='…'`, `provider=NAME`, joined by `:` |
//! | a list or a map as a value | an empty text | refused |
//! | `!int`, `!bool`, `!float` | the text | the text, which must be one |
//! | a key twice | the last one, but refused in sections | refused |
//! | anchors, aliases, merge keys | allowed | refused |
//! | a second document | passed over | refused |
//! | sections without an environment | empty variables | refused |
//! | unknown settings of a file | passed over | refused |
//! | `sealock.files` | a variable | files, with `owner`, `prefix`, `provider` and the format `raw` |
//!
//! In both, a value without a tag is a literal, as it stands.
//!
//! Invariants, which the fuzz target and the tests hold: nothing panics; no variable and no alias comes out twice; no
//! more comes out than the limits say; a refusal repeats no value.
//!
//! **What an attacker controls:** every byte, for the files lie in repositories. Not the substitutions and not the
//! environment: they are the caller's.

mod entries;
mod error;
mod fault;
mod files;
mod fuzz;
mod reader;
mod settings;
mod source;
mod substitution;
mod tags;
#[cfg(test)]
mod tests;
mod tree;
mod upwards;
mod value;

use std::collections::BTreeMap;

pub use error::{ManifestError, Place, Position};
pub use fault::{FileFault, TagFault};
pub use fuzz::fuzz;
pub use substitution::substitution;
pub use upwards::find_upwards;

use crate::spec::Manifest;

/// Bytes of a file, and so of one value in it.
pub const MAXIMUM_BYTES: usize = 1 << 20;
/// Variables, secrets of all files together, and files.
pub const MAXIMUM_ENTRIES: usize = 10_000;
/// Lists and maps in each other, through aliases too.
const MAXIMUM_DEPTH: usize = 64;
/// Keys and values of a file, and what merge keys bring.
const MAXIMUM_NODES: usize = 100_000;
/// Bytes of all values after substitution.
const MAXIMUM_TEXT: usize = 16 << 20;

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// As Summon reads it.
    Summon,
    /// Whatever could be a mistake is refused, with its place.
    Strict,
}

/// What else decides what a file says.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// How it is read.
    pub dialect: Dialect,
    /// The section asked for (`-e`); an empty name is none.
    pub environment: Option<&'a str>,
    /// What `$name` stands for (`-D`).
    pub substitutions: &'a BTreeMap<String, String>,
}

/// Reads a `secrets.yml`. A file without anything in it is an empty manifest.
pub fn parse(text: &[u8], options: &Options<'_>) -> Result<Manifest, ManifestError> {
    let mut source = source::Source::new(text, options.dialect)?;
    match tree::read(&mut source, options.dialect)? {
        Some(root) => reader::Reader::new(options).manifest(&root),
        None => Ok(Manifest::default()),
    }
}

/// For messages: long keys cut.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 64;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
