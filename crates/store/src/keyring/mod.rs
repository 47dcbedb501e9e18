//! The keyring: what seals secret material before it reaches a store.
//!
//! A random 256-bit wrapping key lies in the keys folder, in one file that only its owner can read,
//! either as it is ([`Protection::File`]) or itself sealed under a key derived from a passphrase
//! ([`Protection::Passphrase`], Argon2id). Everything else is sealed under the wrapping key with
//! AES-256-GCM; the name of the record is associated data, so a sealed value opens under its own name
//! only.
//!
//! # What an attacker controls
//!
//! A reader of a backup without the keys folder has nothing but ciphertext. With it, `file` protection
//! gives them everything and `passphrase` protection leaves them to guess, at the cost that the file
//! names. A writer to the keys folder can replace the key, which makes every sealed value fail to open;
//! the parameters in the file are bounded, so it cannot make the next start use unbounded memory.
//!
//! Nonces are random: no more than 2^32 values may be sealed under one wrapping key.

mod disk;
mod error;
mod file;
mod protect;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use sealock_core::SecretBytes;
use zeroize::Zeroizing;

pub use error::KeyringError;
use file::{KeyFile, WrappingKey};
pub use protect::Prepared;

/// The first byte of every sealed value.
const SEALED: u8 = 1;
/// Separates these seals from any other use of the key.
const DOMAIN: &[u8] = b"sealock sealed v1\0";

/// What protects the wrapping key on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// The file's mode alone: who reads the file has the key.
    File,
    /// A passphrase.
    Passphrase,
}

impl fmt::Display for Protection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::File => "file",
            Self::Passphrase => "passphrase",
        })
    }
}

/// What shall protect a new wrapping key.
#[derive(Debug)]
pub enum NewProtection<'a> {
    /// The file's mode alone.
    File,
    /// This passphrase; not empty.
    Passphrase(&'a SecretBytes),
}

impl NewProtection<'_> {
    fn kind(&self) -> Protection {
        match self {
            Self::File => Protection::File,
            Self::Passphrase(_) => Protection::Passphrase,
        }
    }

    fn passphrase(&self) -> Option<&SecretBytes> {
        match self {
            Self::File => None,
            Self::Passphrase(passphrase) => Some(passphrase),
        }
    }
}

/// The opened wrapping key.
pub struct Keyring {
    key: RandomizedNonceKey,
    /// Whether the file is under a passphrase; another protection may come while this is open.
    sealed: AtomicBool,
}

impl Keyring {
    /// Makes a wrapping key in `keys_dir` (and the folder, 0700, if it is missing), durably. When there
    /// is one already it is opened instead; with another protection than asked for, that is an error.
    pub fn create(keys_dir: &Path, protection: &NewProtection<'_>) -> Result<Self, KeyringError> {
        disk::make_folder(keys_dir)?;
        if disk::read(keys_dir)?.is_none() {
            let key = WrappingKey::random()?;
            let file = KeyFile::protect(&key, protection.passphrase())?;
            disk::write_new(keys_dir, &file.render())?;
        }
        let opened = Self::open(keys_dir, protection.passphrase())?;
        if opened.protection() != protection.kind() {
            let (found, asked) = (opened.protection(), protection.kind());
            return Err(KeyringError::OtherProtection { found, asked });
        }
        Ok(opened)
    }

    /// Whether there is a wrapping key in `keys_dir`, and how it is protected.
    pub fn protection_in(keys_dir: &Path) -> Result<Option<Protection>, KeyringError> {
        let Some(text) = disk::read(keys_dir)? else { return Ok(None) };
        Ok(Some(parse(keys_dir, &text)?.protection()))
    }

    /// Opens the wrapping key in `keys_dir`. A passphrase that is not needed is not looked at.
    pub fn open(keys_dir: &Path, passphrase: Option<&SecretBytes>) -> Result<Self, KeyringError> {
        let text = disk::read(keys_dir)?
            .ok_or_else(|| KeyringError::Missing { path: disk::path(keys_dir) })?;
        disk::remove_leftovers(keys_dir);
        let file = parse(keys_dir, &text)?;
        let key = file.unprotect(passphrase)?;
        let sealed = AtomicBool::new(file.protection() == Protection::Passphrase);
        Ok(Self { key: key.cipher()?, sealed })
    }

    /// What protects the wrapping key on disk.
    pub fn protection(&self) -> Protection {
        match self.sealed.load(Ordering::Relaxed) {
            true => Protection::Passphrase,
            false => Protection::File,
        }
    }

    /// Seals `plain` for the record of this name: format byte, nonce, ciphertext, tag (29 bytes more).
    pub fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, KeyringError> {
        seal_with(&self.key, &associated(name), plain)
    }

    /// Opens what [`Keyring::seal`] made under the same name.
    pub fn open_sealed(&self, name: &str, sealed: &[u8]) -> Result<SecretBytes, KeyringError> {
        open_with(&self.key, &associated(name), sealed)
            .ok_or_else(|| KeyringError::Unsealable { name: name.to_owned() })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Keyring")
            .field("protection", &self.protection())
            .finish_non_exhaustive()
    }
}

fn parse(keys_dir: &Path, text: &[u8]) -> Result<KeyFile, KeyringError> {
    KeyFile::parse(text).map_err(|detail| {
        let path = disk::path(keys_dir);
        KeyringError::Unreadable { path, detail }
    })
}

fn associated(name: &str) -> Vec<u8> {
    [DOMAIN, name.as_bytes()].concat()
}

fn seal_with(
    key: &RandomizedNonceKey,
    associated: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, KeyringError> {
    let head = 1 + NONCE_LEN;
    // Room for all of it at once: growing would leave copies of the plain text behind.
    let mut body = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
    body.extend_from_slice(plain);
    let nonce = key
        .seal_in_place_append_tag(Aad::from(associated), &mut body)
        .map_err(|_| KeyringError::Seal)?;
    let mut sealed = Vec::with_capacity(head + body.len());
    sealed.push(SEALED);
    sealed.extend_from_slice(nonce.as_ref());
    sealed.extend_from_slice(&body);
    Ok(sealed)
}

fn open_with(key: &RandomizedNonceKey, associated: &[u8], sealed: &[u8]) -> Option<SecretBytes> {
    let (&SEALED, rest) = sealed.split_first()? else { return None };
    let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
    let mut body = Zeroizing::new(body.to_vec());
    let nonce = Nonce::from(nonce);
    let length = key.open_in_place(nonce, Aad::from(associated), &mut body).ok()?.len();
    body.truncate(length);
    Some(SecretBytes::from(body))
}

#[cfg(test)]
mod tests;
