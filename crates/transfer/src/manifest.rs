//! What a tree holds, and its digest.
//!
//! The digest of a tree is the SHA-256 of, first, `sealock-tree-v1` and a NUL, then for each member,
//! in the order of [`MemberPath`] (folders before what is in them), with all numbers big-endian:
//!
//! | member | bytes |
//! |---|---|
//! | folder | `D`, path length (4), path, permission bits (4) |
//! | file | `F`, path length (4), path, permission bits (4), size (8), SHA-256 of the content (32) |
//! | link | `L`, path length (4), path, target length (4), target |
//!
//! The permission bits are those of the source, not those that a plan puts in their place; owners and
//! times are not part of it. So it is the same for every carrier, and does not depend on the order in
//! which files were read. The digest of a single file that goes to a file destination is simply that
//! of its content, as `sha256sum` shows it.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256};

use crate::landing::LandingError;
use crate::member::{LinkTarget, MemberPath};

/// One member of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A folder.
    Folder {
        /// Its permission bits.
        mode: u32,
    },
    /// A file.
    File {
        /// Its permission bits.
        mode: u32,
        /// Its size.
        size: u64,
        /// The SHA-256 of its content.
        sha256: [u8; 32],
    },
    /// A symbolic link.
    Link {
        /// Where it points to.
        target: LinkTarget,
    },
}

/// The members of a tree, by name.
#[derive(Debug, Default)]
pub struct Manifest {
    entries: BTreeMap<MemberPath, Entry>,
    bytes: u64,
    files: u64,
}

impl Manifest {
    /// The members, in order.
    pub fn entries(&self) -> &BTreeMap<MemberPath, Entry> {
        &self.entries
    }

    /// The sum of the sizes of all files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The number of files.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// Adds a folder.
    ///
    /// # Errors
    /// [`LandingError::Duplicate`].
    pub fn folder(&mut self, path: &MemberPath, mode: u32) -> Result<(), LandingError> {
        self.insert(path, Entry::Folder { mode })
    }

    /// Adds a file.
    ///
    /// # Errors
    /// [`LandingError::Duplicate`].
    pub fn file(
        &mut self,
        path: &MemberPath,
        mode: u32,
        size: u64,
        sha256: [u8; 32],
    ) -> Result<(), LandingError> {
        self.insert(path, Entry::File { mode, size, sha256 })?;
        self.bytes = self.bytes.saturating_add(size);
        self.files += 1;
        Ok(())
    }

    /// Adds a link.
    ///
    /// # Errors
    /// [`LandingError::Duplicate`].
    pub fn link(&mut self, path: &MemberPath, target: &LinkTarget) -> Result<(), LandingError> {
        self.insert(path, Entry::Link { target: target.clone() })
    }

    /// Refuses a name that is there already.
    pub(crate) fn expect_new(&self, path: &MemberPath) -> Result<(), LandingError> {
        if self.entries.contains_key(path) {
            return Err(LandingError::Duplicate(path.clone()));
        }
        Ok(())
    }

    fn insert(&mut self, path: &MemberPath, entry: Entry) -> Result<(), LandingError> {
        self.expect_new(path)?;
        self.entries.insert(path.clone(), entry);
        Ok(())
    }

    /// The digest of the tree.
    pub fn sha256(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(b"sealock-tree-v1\0");
        for (path, entry) in &self.entries {
            let kind = match entry {
                Entry::Folder { .. } => b"D",
                Entry::File { .. } => b"F",
                Entry::Link { .. } => b"L",
            };
            context.update(kind);
            counted(&mut context, path.as_bytes());
            match entry {
                Entry::Folder { mode } => context.update(&mode.to_be_bytes()),
                Entry::File { mode, size, sha256 } => {
                    context.update(&mode.to_be_bytes());
                    context.update(&size.to_be_bytes());
                    context.update(sha256);
                }
                Entry::Link { target } => counted(&mut context, target.as_bytes()),
            }
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }
}

/// Paths are shorter than `PATH_MAX`, so four bytes hold every length.
fn counted(context: &mut Context, bytes: &[u8]) {
    context.update(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    context.update(bytes);
}
