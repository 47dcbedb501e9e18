//! Writing what openssl, keytool, Windows, NSS and GnuTLS read.

use aws_lc_rs::digest;
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::asn1::CONTEXT_0;
use crate::asn1::CONTEXT_0_PLAIN;
use crate::der;
use crate::oid;
use crate::password::{Derivation, Hash, Password, Purpose, Rounds};
use crate::pbe::{self, Encrypted, WRITTEN_ROUNDS};
use crate::salt::Seed;
use crate::write::Protection;

/// What goes into a key store.
pub(crate) struct KeyStore<'a> {
    pub(crate) alias: &'a str,
    /// PKCS#8.
    pub(crate) key: &'a [u8],
    /// From the leaf on.
    pub(crate) chain: &'a [&'a [u8]],
}

impl KeyStore<'_> {
    /// The whole file. `None` when the cryptographic library fails.
    pub(crate) fn write(
        &self,
        protection: Protection,
        password: &Password,
        seed: &Seed,
    ) -> Option<Vec<u8>> {
        let under = Under { protection, password, seed };
        let leaf = self.chain.first().copied().unwrap_or_default();
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, leaf);
        let name = attribute(oid::FRIENDLY_NAME, &der::bmp_string(self.alias));
        let id = attribute(oid::LOCAL_KEY_ID, &der::octets(digest.as_ref()));
        let own = der::set(&[&name, &id]);
        let bags: Vec<Vec<u8>> = self
            .chain
            .iter()
            .enumerate()
            .map(|(number, der)| certificate(der, if number == 0 { &own } else { &[] }))
            .collect();
        let key = under.encrypt("key", self.key)?;
        let key = der::sequence(&[&key.algorithm, &der::octets(&key.data)]);
        let key = bag(oid::SHROUDED_KEY_BAG, &key, &own);
        let key = data(&der::sequence(&[&key]));
        under.file(&[&under.certificates(&bags)?, &key])
    }
}

/// A file of certificates to trust, each under an alias. Each says so in the way that Java asks for.
pub(crate) fn trust_store(
    certificates: &[(String, &[u8])],
    password: &Password,
    seed: &Seed,
) -> Option<Vec<u8>> {
    let under = Under { protection: Protection::Modern, password, seed };
    let bags: Vec<Vec<u8>> = certificates.iter().map(|(alias, der)| trusted(alias, der)).collect();
    under.file(&[&under.certificates(&bags)?])
}

/// A bag with a certificate that Java trusts.
pub(crate) fn trusted(alias: &str, der: &[u8]) -> Vec<u8> {
    let usage = attribute(oid::TRUSTED_KEY_USAGE, &der::oid(oid::ANY_EXTENDED_KEY_USAGE));
    let name = attribute(oid::FRIENDLY_NAME, &der::bmp_string(alias));
    certificate(der, &der::set(&[&name, &usage]))
}

/// The parts of a file around bags that were read, or made here: encrypted and under a MAC with a password, open without
/// one. What goes in must say in `seed` all that is in it.
pub(crate) struct Rewrite<'a> {
    pub(crate) password: Option<&'a Password>,
    pub(crate) seed: &'a Seed,
}

impl Rewrite<'_> {
    fn under<'a>(&'a self, password: &'a Password) -> Under<'a> {
        Under { protection: Protection::Modern, password, seed: self.seed }
    }

    /// A `ContentInfo`, the one of this number. `None` when the cryptographic library fails.
    pub(crate) fn part(&self, number: usize, bags: &[&[u8]]) -> Option<Vec<u8>> {
        let bags = Zeroizing::new(der::sequence(bags));
        match self.password {
            None => Some(data(&bags)),
            Some(password) => self.under(password).encrypted_part(&format!("part {number}"), &bags),
        }
    }

    /// The whole file. `None` when the cryptographic library fails.
    pub(crate) fn file(&self, parts: &[&[u8]]) -> Option<Vec<u8>> {
        match self.password {
            None => Some(der::sequence(&[&der::number(3), &data(&der::sequence(parts))])),
            Some(password) => self.under(password).file(parts),
        }
    }
}

/// A `SafeBag`.
fn bag(kind: &[u8], value: &[u8], attributes: &[u8]) -> Vec<u8> {
    der::sequence(&[&der::oid(kind), &der::element(CONTEXT_0, &[value]), attributes])
}

fn certificate(der: &[u8], attributes: &[u8]) -> Vec<u8> {
    let value = der::element(CONTEXT_0, &[&der::octets(der)]);
    let value = der::sequence(&[&der::oid(oid::X509_CERTIFICATE), &value]);
    bag(oid::CERT_BAG, &value, attributes)
}

fn attribute(kind: &[u8], value: &[u8]) -> Vec<u8> {
    der::sequence(&[&der::oid(kind), &der::set(&[value])])
}

/// A `ContentInfo` of data.
fn data(content: &[u8]) -> Vec<u8> {
    let content = der::element(CONTEXT_0, &[&der::octets(content)]);
    der::sequence(&[&der::oid(oid::DATA), &content])
}

/// How things are encrypted.
struct Under<'a> {
    protection: Protection,
    password: &'a Password,
    seed: &'a Seed,
}

impl Under<'_> {
    fn encrypt(&self, place: &str, plain: &[u8]) -> Option<Encrypted> {
        let salt = self.seed.bytes(&format!("{place} salt"));
        match self.protection {
            Protection::Modern => {
                let iv = self.seed.bytes(&format!("{place} iv"));
                pbe::encrypt(self.password, salt, iv, plain)
            }
            Protection::Legacy => pbe::encrypt_legacy(self.password, salt, plain),
        }
    }

    /// A `ContentInfo` of bags that are encrypted.
    fn certificates(&self, bags: &[Vec<u8>]) -> Option<Vec<u8>> {
        let bags: Vec<&[u8]> = bags.iter().map(Vec::as_slice).collect();
        self.encrypted_part("certificates", &der::sequence(&bags))
    }

    fn encrypted_part(&self, place: &str, bags: &[u8]) -> Option<Vec<u8>> {
        let encrypted = self.encrypt(place, bags)?;
        let content = der::element(CONTEXT_0_PLAIN, &[&encrypted.data]);
        let content = der::sequence(&[&der::oid(oid::DATA), &encrypted.algorithm, &content]);
        let content = der::sequence(&[&der::number(0), &content]);
        let content = der::element(CONTEXT_0, &[&content]);
        Some(der::sequence(&[&der::oid(oid::ENCRYPTED_DATA), &content]))
    }

    /// The whole file, with its MAC.
    fn file(&self, parts: &[&[u8]]) -> Option<Vec<u8>> {
        let content = der::sequence(parts);
        let (hash, name) = match self.protection {
            Protection::Modern => (Hash::Sha256, oid::SHA256),
            Protection::Legacy => (Hash::Sha1, oid::SHA1),
        };
        let salt: [u8; 16] = self.seed.bytes("mac salt");
        let derivation = Derivation { hash, salt: &salt, rounds: WRITTEN_ROUNDS };
        let (utf16, mut left) = (self.password.utf16(), Rounds::new(u32::MAX));
        let key: Zeroizing<Vec<u8>> =
            derivation.pkcs12(Purpose::Mac, utf16, hash.length(), &mut left).ok()?;
        let tag = hmac::sign(&hmac::Key::new(hash.hmac(), &key), &content);
        let algorithm = der::sequence(&[&der::oid(name), &der::null()]);
        let digest = der::sequence(&[&algorithm, &der::octets(tag.as_ref())]);
        let rounds = der::number(WRITTEN_ROUNDS);
        let mac = der::sequence(&[&digest, &der::octets(&salt), &rounds]);
        Some(der::sequence(&[&der::number(3), &data(&content), &mac]))
    }
}
