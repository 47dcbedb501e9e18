//! The text of a wrapping key's file, and the passphrase's protection of it. No I/O.
//!
//! ```text
//! sealock wrapping key 1
//! protection file
//! key <64 hex digits>
//! ```
//! ```text
//! sealock wrapping key 1
//! protection passphrase
//! kdf argon2id memory-kib=65536 passes=3 lanes=4
//! salt <64 hex digits>
//! sealed <122 hex digits>
//! ```
//!
//! In the second form all lines above `sealed` are its associated data. The bytes come from a folder
//! that an attacker may have written to: the form is strict and the costs are bounded.

use std::str;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, RandomizedNonceKey};
use data_encoding::HEXLOWER;
use sealock_core::SecretBytes;
use zeroize::Zeroizing;

use super::{KeyringError, Protection, open_with, seal_with};

const TITLE: &str = "sealock wrapping key 1";
const KEY_LENGTH: usize = 32;

/// The 256 bits under which everything is sealed.
pub(super) struct WrappingKey(Zeroizing<[u8; KEY_LENGTH]>);

impl WrappingKey {
    pub(super) fn random() -> Result<Self, KeyringError> {
        Ok(Self(random()?))
    }

    pub(super) fn cipher(&self) -> Result<RandomizedNonceKey, KeyringError> {
        RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice()).map_err(|_| KeyringError::Seal)
    }
}

fn random() -> Result<Zeroizing<[u8; 32]>, KeyringError> {
    let mut bytes = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| KeyringError::Random)?;
    Ok(bytes)
}

/// What one guess at the passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// RFC 9106 section 4, the second recommended option; above OWASP's minimum (19 MiB, 2 passes).
    const NEW: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };

    /// Not weaker than OWASP's minimum; at most 1 GiB and 16 passes, some seconds on a slow machine.
    fn is_bounded(self) -> bool {
        (19 * 1024..=1024 * 1024).contains(&self.memory_kib)
            && (1..=16).contains(&self.passes)
            && (1..=16).contains(&self.lanes)
    }

    fn derive(
        self,
        passphrase: &SecretBytes,
        salt: &[u8; 32],
    ) -> Result<WrappingKey, KeyringError> {
        let failed = |error: argon2::Error| KeyringError::Derive { detail: error.to_string() };
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(KEY_LENGTH))
            .map_err(failed)?;
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.expose(), salt, key.as_mut_slice())
            .map_err(failed)?;
        Ok(WrappingKey(key))
    }
}

/// A parsed file.
pub(super) enum KeyFile {
    Plain(WrappingKey),
    Sealed(Box<Sealed>),
}

pub(super) struct Sealed {
    cost: Cost,
    salt: [u8; 32],
    sealed: Vec<u8>,
}

impl Sealed {
    /// The lines above `sealed`.
    fn header(&self) -> String {
        let Cost { memory_kib, passes, lanes } = self.cost;
        format!(
            "{TITLE}\nprotection passphrase\n\
             kdf argon2id memory-kib={memory_kib} passes={passes} lanes={lanes}\nsalt {}\n",
            HEXLOWER.encode(&self.salt)
        )
    }
}

impl KeyFile {
    pub(super) fn protect(
        key: &WrappingKey,
        passphrase: Option<&SecretBytes>,
    ) -> Result<Self, KeyringError> {
        let Some(passphrase) = passphrase else {
            return Ok(Self::Plain(WrappingKey(key.0.clone())));
        };
        if passphrase.is_empty() {
            return Err(KeyringError::EmptyPassphrase);
        }
        let mut file = Sealed { cost: Cost::NEW, salt: *random()?, sealed: Vec::new() };
        let outer = file.cost.derive(passphrase, &file.salt)?.cipher()?;
        file.sealed = seal_with(&outer, file.header().as_bytes(), key.0.as_slice())?;
        Ok(Self::Sealed(Box::new(file)))
    }

    pub(super) fn unprotect(
        &self,
        passphrase: Option<&SecretBytes>,
    ) -> Result<WrappingKey, KeyringError> {
        let file = match self {
            Self::Plain(key) => return Ok(WrappingKey(key.0.clone())),
            Self::Sealed(file) => file,
        };
        let passphrase = passphrase.ok_or(KeyringError::PassphraseNeeded)?;
        let outer = file.cost.derive(passphrase, &file.salt)?.cipher()?;
        let opened = open_with(&outer, file.header().as_bytes(), &file.sealed)
            .ok_or(KeyringError::WrongPassphrase)?;
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        if opened.len() != KEY_LENGTH {
            return Err(KeyringError::WrongPassphrase);
        }
        key.copy_from_slice(opened.expose());
        Ok(WrappingKey(key))
    }

    pub(super) fn protection(&self) -> Protection {
        match self {
            Self::Plain(_) => Protection::File,
            Self::Sealed(_) => Protection::Passphrase,
        }
    }

    pub(super) fn render(&self) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(512));
        match self {
            Self::Plain(key) => {
                text.extend_from_slice(TITLE.as_bytes());
                text.extend_from_slice(b"\nprotection file\nkey ");
                let digits = Zeroizing::new(HEXLOWER.encode(key.0.as_slice()));
                text.extend_from_slice(digits.as_bytes());
            }
            Self::Sealed(file) => {
                text.extend_from_slice(file.header().as_bytes());
                text.extend_from_slice(b"sealed ");
                text.extend_from_slice(HEXLOWER.encode(&file.sealed).as_bytes());
            }
        }
        text.push(b'\n');
        text
    }

    /// Reads exactly what [`KeyFile::render`] writes. The error never repeats what was read.
    pub(super) fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let text = str::from_utf8(text).map_err(|_| "it is not text")?;
        let text = text.strip_suffix('\n').ok_or("its last line is cut off")?;
        let lines: Vec<&str> = text.split('\n').collect();
        match *lines.as_slice() {
            [TITLE, "protection file", key] => {
                Ok(Self::Plain(WrappingKey(hex_field(key, "key ").ok_or("its key is not whole")?)))
            }
            [TITLE, "protection passphrase", kdf, salt, sealed] => {
                let cost = cost_field(kdf).ok_or("its kdf line is not one of ours")?;
                if !cost.is_bounded() {
                    return Err("its kdf parameters are out of bounds");
                }
                let salt = *hex_field(salt, "salt ").ok_or("its salt is not whole")?;
                let sealed = sealed
                    .strip_prefix("sealed ")
                    .and_then(|digits| HEXLOWER.decode(digits.as_bytes()).ok())
                    .ok_or("its sealed key is not whole")?;
                Ok(Self::Sealed(Box::new(Sealed { cost, salt, sealed })))
            }
            _ => Err("it is not a wrapping key of this version"),
        }
    }
}

fn hex_field(line: &str, name: &str) -> Option<Zeroizing<[u8; 32]>> {
    let digits = line.strip_prefix(name)?;
    let mut bytes = Zeroizing::new([0; 32]);
    if digits.len() != 64 {
        return None;
    }
    HEXLOWER.decode_mut(digits.as_bytes(), bytes.as_mut_slice()).ok()?;
    Some(bytes)
}

fn cost_field(line: &str) -> Option<Cost> {
    let mut words = line.strip_prefix("kdf argon2id ")?.split(' ');
    let mut number = |name: &str| -> Option<u32> {
        let digits = words.next()?.strip_prefix(name)?.strip_prefix('=')?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        plain.then(|| digits.parse().ok())?
    };
    let cost = Cost {
        memory_kib: number("memory-kib")?,
        passes: number("passes")?,
        lanes: number("lanes")?,
    };
    words.next().is_none().then_some(cost)
}
