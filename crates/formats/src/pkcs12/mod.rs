//! PKCS#12 (RFC 7292): certificates and private keys under a password.

mod read;
mod write;

pub(crate) use read::{decrypted, proved, read, read_content};
pub(crate) use write::{KeyStore, Rewrite, trust_store, trusted};

#[cfg(test)]
mod tests;
