//! Java's own key stores (JKS), for programs that take nothing else. They are written; read are their entries, which
//! stay as they are ([`read`]).
//!
//! Their protection is weak whatever the password: one round of SHA-1 (see the guide). `keytool` itself has warned of
//! them since Java 9. The format was never written down by its makers; this follows what OpenJDK's
//! `sun.security.provider.JavaKeyStore` and `KeyProtector` read.

use aws_lc_rs::digest::{self, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::der;
use crate::oid;
use crate::salt::Seed;

pub(crate) mod read;

const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
const VERSION: u32 = 2;
const PRIVATE_KEY: u32 = 1;
const TRUSTED_CERTIFICATE: u32 = 2;
/// What stands between password and content in the hash over the file.
const WHITENER: &[u8] = b"Mighty Aphrodite";

/// A file in the making. An alias stands in it in lower case, as Java looks it up.
pub(crate) struct Store {
    bytes: Zeroizing<Vec<u8>>,
    password: Zeroizing<Vec<u8>>,
}

impl Store {
    /// For so many entries, under this password.
    pub(crate) fn new(entries: usize, password: &str) -> Self {
        let mut store = Self { bytes: Zeroizing::default(), password: utf16(password) };
        store.bytes.extend_from_slice(&MAGIC);
        store.number(VERSION);
        store.length(entries);
        store
    }

    /// A private key (PKCS#8) with its chain, the leaf first.
    pub(crate) fn key(&mut self, alias: &str, key: &[u8], chain: &[&[u8]], seed: &Seed) {
        self.number(PRIVATE_KEY);
        self.text(&alias.to_lowercase());
        self.date(chain.first().copied().unwrap_or_default());
        let protected = self.protect(key, &seed.bytes("jks key"));
        self.part(&protected);
        self.length(chain.len());
        for certificate in chain {
            self.certificate(certificate);
        }
    }

    /// A certificate to trust.
    pub(crate) fn trusted(&mut self, alias: &str, certificate: &[u8]) {
        self.number(TRUSTED_CERTIFICATE);
        self.text(&alias.to_lowercase());
        self.date(certificate);
        self.certificate(certificate);
    }

    /// An entry as it was read.
    pub(crate) fn entry(&mut self, whole: &[u8]) {
        self.bytes.extend_from_slice(whole);
    }

    /// The whole file, with the hash that ends it.
    pub(crate) fn end(mut self) -> Zeroizing<Vec<u8>> {
        let hash = seal(&self.password, &self.bytes);
        self.bytes.extend_from_slice(hash.as_ref());
        self.bytes
    }

    fn number(&mut self, number: u32) {
        self.bytes.extend_from_slice(&number.to_be_bytes());
    }

    /// What is written here is far shorter than this can say.
    fn length(&mut self, length: usize) {
        self.number(u32::try_from(length).unwrap_or(u32::MAX));
    }

    fn part(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    fn certificate(&mut self, der: &[u8]) {
        self.text("X.509");
        self.part(der);
    }

    /// Java's own UTF-8: each half of what UTF-16 has in two is a character (`DataOutput.writeUTF`).
    fn text(&mut self, text: &str) {
        let mut bytes = Vec::new();
        for unit in text.encode_utf16() {
            let low = |shift: u16| 0x80 | (unit >> shift & 0x3f) as u8;
            match unit {
                1..0x80 => bytes.push(unit as u8),
                0 | 0x80..0x800 => bytes.extend([0xc0 | (unit >> 6) as u8, low(0)]),
                0x800.. => bytes.extend([0xe0 | (unit >> 12) as u8, low(6), low(0)]),
            }
        }
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(&bytes);
    }

    /// When an entry was made: from when on its certificate is valid, so that the same content is the same file.
    fn date(&mut self, certificate: &[u8]) {
        let seconds = X509Certificate::from_der(certificate)
            .map_or(0, |(_, parsed)| parsed.validity().not_before.timestamp());
        let date = u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
        self.bytes.extend_from_slice(&date.to_be_bytes());
    }

    /// Sun's protection of keys: a stream of SHA-1, begun by password and salt, and a hash to know the key by.
    fn protect(&self, key: &[u8], salt: &[u8; SHA1_OUTPUT_LEN]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(2 * SHA1_OUTPUT_LEN + key.len());
        sealed.extend_from_slice(salt);
        let mut block = self.hash(salt);
        for piece in key.chunks(SHA1_OUTPUT_LEN) {
            sealed.extend(piece.iter().zip(block.as_ref()).map(|(key, mask)| key ^ mask));
            block = self.hash(block.as_ref());
        }
        sealed.extend_from_slice(self.hash(key).as_ref());
        let algorithm = der::sequence(&[&der::oid(oid::JKS_KEY_PROTECTION), &der::null()]);
        der::sequence(&[&algorithm, &der::octets(&sealed)])
    }

    fn hash(&self, bytes: &[u8]) -> digest::Digest {
        let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        hash.update(&self.password);
        hash.update(bytes);
        hash.finish()
    }
}

/// An entry by itself: a certificate to trust.
pub(crate) fn trusted_entry(alias: &str, certificate: &[u8]) -> read::Entry {
    let mut store = Store { bytes: Zeroizing::default(), password: Zeroizing::default() };
    store.trusted(alias, certificate);
    let trusted = Some(certificate.to_vec());
    read::Entry { alias: alias.to_owned(), trusted, whole: store.bytes }
}

/// A password as it goes into hashes.
fn utf16(password: &str) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * password.len()));
    password.encode_utf16().for_each(|unit| bytes.extend_from_slice(&unit.to_be_bytes()));
    bytes
}

/// The hash over all that stands before it.
fn seal(password: &[u8], bytes: &[u8]) -> digest::Digest {
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(password);
    hash.update(WHITENER);
    hash.update(bytes);
    hash.finish()
}
