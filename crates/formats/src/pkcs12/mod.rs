//! PKCS#12 (RFC 7292): certificates and private keys under a password.

mod read;
mod write;

pub(crate) use read::{read, read_content};
pub(crate) use write::{KeyStore, trust_store};

#[cfg(test)]
mod tests;
