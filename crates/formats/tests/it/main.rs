//! Files that go to programs of others and come from them: openssl, GnuTLS, Java's keytool and NSS.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod changed;
mod made;
mod scene;
mod taken;
