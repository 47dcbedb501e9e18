//! Changing which certificates a store of Java's trusts, and nothing else in it.
//!
//! # Invariants
//!
//! - Every entry that is neither removed nor added is written as the bytes that it was read as: certificates, private keys
//!   and whatever else is there. In PKCS#12, so is every part that nothing was removed from.
//! - A store without a MAC (Java's own since 18) is written without one, and one under a password under that password.
//! - A store that was read and not changed is not different: who asks before writing writes nothing.

mod pkcs12;

use sealock_core::SecretBytes;

use crate::error::{ReadError, WriteError};
use crate::jks::{self, read::Entry};
use crate::password::Password;
use crate::read::{MAXIMUM_ROUNDS, is_certificate};
use crate::write::password_text;
use pkcs12::Safe;

/// The longest store that is changed. That of a JDK has 200 KiB.
pub const MAXIMUM_STORE_BYTES: usize = 8 << 20;
/// The most entries of a store that is changed. That of a JDK has 150.
pub const MAXIMUM_STORE_ENTRIES: usize = 4000;

/// A store in memory: JKS or PKCS#12.
pub struct TrustStore(Kind);

enum Kind {
    Jks(Vec<Entry>),
    Pkcs12(Safe),
}

impl TrustStore {
    /// Reads a store. A hash or MAC in it must hold under this password; a store without one is taken as it is.
    ///
    /// # Errors
    ///
    /// When it is none, is damaged or not opened by the password, or is more than anybody should make us read.
    pub fn read(bytes: &[u8], password: &SecretBytes) -> Result<Self, ReadError> {
        Self::read_within(bytes, password, MAXIMUM_ROUNDS)
    }

    /// The same with another limit of rounds.
    pub(crate) fn read_within(
        bytes: &[u8],
        password: &SecretBytes,
        rounds: u32,
    ) -> Result<Self, ReadError> {
        if bytes.len() > MAXIMUM_STORE_BYTES {
            return Err(ReadError::StoreTooLarge);
        }
        let text =
            std::str::from_utf8(password.expose()).map_err(|_| ReadError::PasswordNotText)?;
        if jks::read::is_java(bytes) {
            return Ok(Self(Kind::Jks(jks::read::read(bytes, text, MAXIMUM_STORE_ENTRIES)?)));
        }
        let password = Password::new(password).ok_or(ReadError::PasswordNotText)?;
        Ok(Self(Kind::Pkcs12(Safe::read(bytes, &password, rounds)?)))
    }

    /// What is in a store of Java's own format, as if its hash had been right.
    pub(crate) fn read_content(bytes: &[u8]) -> Result<Self, ReadError> {
        Ok(Self(Kind::Jks(jks::read::entries(bytes, MAXIMUM_STORE_ENTRIES)?)))
    }

    /// The certificates to trust (DER), each with its alias, as they stand in the file. That they are certificates is not
    /// looked at.
    pub fn trusted(&self) -> Vec<(&str, &[u8])> {
        match &self.0 {
            Kind::Jks(entries) => entries
                .iter()
                .filter_map(|entry| Some((entry.alias.as_str(), entry.trusted.as_deref()?)))
                .collect(),
            Kind::Pkcs12(safe) => safe.trusted().collect(),
        }
    }

    /// How many entries there are, of every kind.
    pub fn entries(&self) -> usize {
        match &self.0 {
            Kind::Jks(entries) => entries.len(),
            Kind::Pkcs12(safe) => safe.bags(),
        }
    }

    /// Takes the certificates to trust that are under this alias out.
    pub fn remove(&mut self, alias: &str) {
        match &mut self.0 {
            Kind::Jks(entries) => {
                entries.retain(|entry| entry.trusted.is_none() || entry.alias != alias);
            }
            Kind::Pkcs12(safe) => safe.remove(alias),
        }
    }

    /// Puts a certificate to trust in, behind all others. The alias has to be one that no entry has.
    ///
    /// # Errors
    ///
    /// When it is no certificate, there is no room, or the alias is another's or could not be one.
    pub fn add(&mut self, alias: &str, certificate: &[u8]) -> Result<(), WriteError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=128).contains(&alias.len()) || !alias.bytes().all(plain) {
            return Err(WriteError::Alias);
        }
        if !is_certificate(certificate) {
            return Err(WriteError::Certificate(1));
        }
        if self.entries() >= MAXIMUM_STORE_ENTRIES {
            return Err(WriteError::Full);
        }
        match &mut self.0 {
            Kind::Jks(entries) => {
                // Java takes aliases for the same whatever their case.
                if entries.iter().any(|entry| entry.alias.to_lowercase() == alias) {
                    return Err(WriteError::AliasTaken);
                }
                entries.push(jks::trusted_entry(alias, certificate));
            }
            Kind::Pkcs12(safe) => safe.add(alias, certificate)?,
        }
        Ok(())
    }

    /// The file, under the password that it was read under.
    ///
    /// # Errors
    ///
    /// When no program would take the password, or the cryptographic library fails.
    pub fn write(&self, password: &SecretBytes) -> Result<SecretBytes, WriteError> {
        let text = password_text(password)?;
        match &self.0 {
            Kind::Jks(entries) => {
                let mut store = jks::Store::new(entries.len(), text);
                entries.iter().for_each(|entry| store.entry(&entry.whole));
                Ok(SecretBytes::from(store.end()))
            }
            Kind::Pkcs12(safe) => {
                let password = Password::new(password).ok_or(WriteError::Password)?;
                safe.write(&password).map(SecretBytes::new).ok_or(WriteError::Encrypt)
            }
        }
    }
}

#[cfg(test)]
mod tests;
