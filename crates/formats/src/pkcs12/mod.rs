//! PKCS#12 (RFC 7292): certificates and private keys under a password.

mod read;

pub(crate) use read::{read, read_content};
