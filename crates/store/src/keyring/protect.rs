//! Another protection for the same wrapping key. What is sealed under it stays as it is.

use std::path::Path;
use std::sync::atomic::Ordering;

use sealock_core::SecretBytes;

use super::disk::{self, Replacement};
use super::file::KeyFile;
use super::{Keyring, KeyringError, NewProtection, Protection, associated, open_with, parse};

/// For a trial whether two keys are one.
const TRIAL: &str = "trial of the wrapping key";

/// The key under its new protection, durable beside the file whose place it is to take. Dropped instead, nothing has
/// changed.
#[derive(Debug)]
pub struct Prepared<'a> {
    keyring: &'a Keyring,
    replacement: Replacement,
    sealed: bool,
}

impl Keyring {
    /// Puts this keyring's key under another protection. The passphrase is that of now, where there is one. Only one may
    /// do this at a time.
    pub fn protect(
        &self,
        keys_dir: &Path,
        passphrase: Option<&SecretBytes>,
        new: &NewProtection<'_>,
    ) -> Result<Prepared<'_>, KeyringError> {
        disk::remove_leftovers(keys_dir);
        let text = disk::read(keys_dir)?
            .ok_or_else(|| KeyringError::Missing { path: disk::path(keys_dir) })?;
        let key = parse(keys_dir, &text)?.unprotect(passphrase)?;
        let sealed = self.seal(TRIAL, b"")?;
        if open_with(&key.cipher()?, &associated(TRIAL), &sealed).is_none() {
            return Err(KeyringError::OtherKey { path: disk::path(keys_dir) });
        }
        let file = KeyFile::protect(&key, new.passphrase())?;
        let replacement = Replacement::write(keys_dir, &file.render())?;
        let sealed = file.protection() == Protection::Passphrase;
        Ok(Prepared { keyring: self, replacement, sealed })
    }
}

impl Prepared<'_> {
    /// From now on the new protection holds, and the old one opens nothing here.
    pub fn put(self) -> Result<(), KeyringError> {
        self.replacement.put()?;
        self.keyring.sealed.store(self.sealed, Ordering::Relaxed);
        Ok(())
    }
}
