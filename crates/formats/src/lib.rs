//! Files of certificates and private keys, as other programs write and want them: PEM, DER, PKCS#7, PKCS#12 and Java's
//! own key stores (which are written, and of which trust stores are changed: [`TrustStore`]). Nothing here does I/O or
//! knows the time.
//!
//! # Invariants
//!
//! - What [`read()`] gives is readable: each certificate was parsed, each private key is a key of a known kind. Whether
//!   a certificate is to be *trusted* is not asked here.
//! - A file is read in bounded time and memory: so many bytes, certificates, keys, and rounds of key derivation over
//!   all that is encrypted in it.
//! - What [`write()`] gives depends on what goes in, and on nothing else: the same certificates, key, alias and password
//!   make the same bytes, on every machine and at any time ([`Material`] says why that is safe).
//! - A private key is only written beside the certificate that it belongs to.
//! - Private keys are wiped, and so is what was decrypted on the way to them.
//!
//! # What an attacker controls
//!
//! Every byte of a file that is read, and how much work its password means. Not the password. They learn whether it was
//! right; nothing here answers anybody over the wire.

mod asn1;
mod der;
mod error;
mod fuzz;
mod jks;
mod key;
mod oid;
mod password;
mod pbe;
mod pem;
mod pkcs12;
mod pkcs7;
mod read;
mod salt;
mod trust_store;
mod write;

pub use error::{ReadError, WriteError};
pub use fuzz::{fuzz, fuzz_trust_store};
pub use key::belongs;
pub use read::{
    Contents, Format, MAXIMUM_BYTES, MAXIMUM_CERTIFICATES, MAXIMUM_KEYS, MAXIMUM_ROUNDS, read,
};
pub use trust_store::{MAXIMUM_STORE_BYTES, MAXIMUM_STORE_ENTRIES, TrustStore};
pub use write::{
    ChainOrder, KeyPlace, Material, Protection, Target, certificate_to_pem, check_password,
    key_to_pem, write,
};

#[cfg(test)]
mod tests;
