//! Passwords, keys that are derived from them, and how much of that a file may ask for.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use sealock_core::SecretBytes;
use zeroize::Zeroizing;

use crate::error::ReadError;

/// No salt is longer; a longer one would only make us work.
const MAXIMUM_SALT: usize = 1024;

/// A password in both of the ways in which files use it.
pub(crate) struct Password {
    /// UTF-8, as PBES2 has it (RFC 8018).
    utf8: Zeroizing<Vec<u8>>,
    /// UTF-16 with a zero at its end, as PKCS#12's own derivation has it (RFC 7292 §B.1).
    utf16: Zeroizing<Vec<u8>>,
}

impl Password {
    /// `None` when it is no text.
    pub(crate) fn new(secret: &SecretBytes) -> Option<Self> {
        let text = std::str::from_utf8(secret.expose()).ok()?;
        let mut utf16 = Zeroizing::new(Vec::with_capacity(2 * text.len() + 2));
        for unit in text.encode_utf16().chain([0]) {
            utf16.extend_from_slice(&unit.to_be_bytes());
        }
        Some(Self { utf8: Zeroizing::new(text.as_bytes().to_vec()), utf16 })
    }

    /// None at all, which some programs take the empty password for.
    pub(crate) fn absent() -> Self {
        Self { utf8: Zeroizing::default(), utf16: Zeroizing::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.utf8.is_empty()
    }

    pub(crate) fn utf8(&self) -> &[u8] {
        &self.utf8
    }

    pub(crate) fn utf16(&self) -> &[u8] {
        &self.utf16
    }
}

/// How many rounds of key derivation may still be done for a file.
#[derive(Debug)]
pub(crate) struct Rounds(u64);

impl Rounds {
    pub(crate) fn new(limit: u32) -> Self {
        Self(u64::from(limit))
    }

    /// Takes what a derivation needs: a file may have many.
    fn spend(&mut self, rounds: u32, blocks: usize) -> Result<NonZeroU32, ReadError> {
        let all = u64::from(rounds).saturating_mul(blocks.max(1) as u64);
        self.0 = self.0.checked_sub(all).ok_or(ReadError::TooManyRounds)?;
        NonZeroU32::new(rounds).ok_or(ReadError::Damaged("a key is derived in no rounds"))
    }
}

/// A hash by which keys are derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub(crate) fn length(self) -> usize {
        self.digest().output_len()
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => &digest::SHA224,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    /// For a MAC under it.
    pub(crate) fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => hmac::HMAC_SHA224,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> Option<pbkdf2::Algorithm> {
        match self {
            Self::Sha1 => Some(pbkdf2::PBKDF2_HMAC_SHA1),
            Self::Sha224 => None,
            Self::Sha256 => Some(pbkdf2::PBKDF2_HMAC_SHA256),
            Self::Sha384 => Some(pbkdf2::PBKDF2_HMAC_SHA384),
            Self::Sha512 => Some(pbkdf2::PBKDF2_HMAC_SHA512),
        }
    }
}

/// What a key is derived with, besides the password.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Derivation<'a> {
    pub(crate) hash: Hash,
    pub(crate) salt: &'a [u8],
    pub(crate) rounds: u32,
}

/// What PKCS#12 derives by its own method (RFC 7292 §B.3).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

impl Derivation<'_> {
    /// PBKDF2 (RFC 8018 §5.2).
    pub(crate) fn pbkdf2(
        &self,
        password: &[u8],
        length: usize,
        left: &mut Rounds,
    ) -> Result<Zeroizing<Vec<u8>>, ReadError> {
        self.check_salt()?;
        let rounds = left.spend(self.rounds, length.div_ceil(self.hash.length()))?;
        let algorithm = self
            .hash
            .pbkdf2()
            .ok_or_else(|| ReadError::Unsupported("deriving a key with SHA-224".to_owned()))?;
        let mut key = Zeroizing::new(vec![0; length]);
        pbkdf2::derive(algorithm, rounds, self.salt, password, &mut key);
        Ok(key)
    }

    /// PKCS#12's own method (RFC 7292 §B.2); the names are those of the standard.
    pub(crate) fn pkcs12(
        &self,
        purpose: Purpose,
        password: &[u8],
        length: usize,
        left: &mut Rounds,
    ) -> Result<Zeroizing<Vec<u8>>, ReadError> {
        self.check_salt()?;
        let (u, v) = (self.hash.length(), self.hash.digest().block_len);
        let rounds = left.spend(self.rounds, length.div_ceil(u))?;
        let d = vec![purpose as u8; v];
        let repeated = |bytes: &[u8]| {
            let filled = bytes.len().div_ceil(v) * v;
            Zeroizing::new(bytes.iter().copied().cycle().take(filled).collect::<Vec<u8>>())
        };
        let mut i = repeated(self.salt);
        let p = repeated(password);
        // All of it at once: a Vec that grows leaves its bytes where it was.
        let mut joined = Zeroizing::new(Vec::with_capacity(i.len() + p.len()));
        joined.extend_from_slice(&i);
        joined.extend_from_slice(&p);
        i = joined;
        let mut key = Zeroizing::new(Vec::with_capacity(length + u));
        while key.len() < length {
            let mut context = digest::Context::new(self.hash.digest());
            context.update(&d);
            context.update(&i);
            let mut a = context.finish();
            for _ in 1..rounds.get() {
                a = digest::digest(self.hash.digest(), a.as_ref());
            }
            key.extend_from_slice(a.as_ref());
            let b: Zeroizing<Vec<u8>> =
                Zeroizing::new(a.as_ref().iter().copied().cycle().take(v).collect());
            for block in i.chunks_mut(v) {
                add(block, &b);
            }
        }
        key.truncate(length);
        Ok(key)
    }

    fn check_salt(&self) -> Result<(), ReadError> {
        if self.salt.len() > MAXIMUM_SALT {
            return Err(ReadError::Damaged("a salt is too long"));
        }
        Ok(())
    }
}

/// `block + b + 1`, as one number each, the carry out of the first byte dropped.
fn add(block: &mut [u8], b: &[u8]) {
    let mut carry = 1_u16;
    for (byte, other) in block.iter_mut().zip(b).rev() {
        let [high, low] = (u16::from(*byte) + u16::from(*other) + carry).to_be_bytes();
        *byte = low;
        carry = u16::from(high);
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER_PERMISSIVE as HEX;

    use super::*;

    fn derived(purpose: Purpose, password: &str, salt: &str, rounds: u32) -> String {
        let password = Password::new(&SecretBytes::new(password.into())).unwrap();
        let salt = HEX.decode(salt.as_bytes()).unwrap();
        let derivation = Derivation { hash: Hash::Sha1, salt: &salt, rounds };
        let length = if matches!(purpose, Purpose::Key) { 24 } else { 8 };
        let length = if matches!(purpose, Purpose::Mac) { 20 } else { length };
        let mut left = Rounds::new(10_000);
        HEX.encode(&derivation.pkcs12(purpose, password.utf16(), length, &mut left).unwrap())
    }

    /// Vectors that were published with an early implementation and are used by OpenSSL and others since.
    #[test]
    fn known_derivations() {
        assert_eq!(
            derived(Purpose::Key, "smeg", "0a58cf64530d823f", 1),
            "8aaae6297b6cb04642ab5b077851284eb7128f1a2a7fbca3"
        );
        assert_eq!(derived(Purpose::Iv, "smeg", "0a58cf64530d823f", 1), "79993dfe048d3b76");
        assert_eq!(
            derived(Purpose::Mac, "smeg", "3d83c0e4546ac140", 1),
            "8d967d88f6caa9d714800ab3d48051d63f73a312"
        );
        assert_eq!(
            derived(Purpose::Key, "queeg", "05dec959acff72f7", 1000),
            "ed2034e36328830ff09df1e1a07dd357185dac0d4f9eb3d4"
        );
    }

    #[test]
    fn rounds_are_counted_over_all() {
        let derivation = Derivation { hash: Hash::Sha1, salt: b"salt", rounds: 40 };
        let mut left = Rounds::new(100);
        derivation.pbkdf2(b"p", 20, &mut left).unwrap();
        derivation.pkcs12(Purpose::Key, b"\0\0", 20, &mut left).unwrap();
        let refused = derivation.pbkdf2(b"p", 20, &mut left).unwrap_err();
        assert_eq!(refused, ReadError::TooManyRounds);
        // Two blocks of output are two times the work.
        let mut left = Rounds::new(79);
        assert!(derivation.pbkdf2(b"p", 21, &mut left).is_err());
        let none = Derivation { rounds: 0, ..derivation };
        assert!(none.pbkdf2(b"p", 20, &mut Rounds::new(1)).is_err());
    }
}
