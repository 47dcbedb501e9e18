//! Reading what openssl, keytool, Windows and NSS write.
//!
//! The MAC is looked at first: under a wrong password nothing else is read. A file without one is taken when no private
//! key is in it, as PEM is: certificates prove themselves, and Java's own `cacerts` is such a file. A private key in one
//! is refused: the encryption would not notice that somebody has changed it.

use std::borrow::Cow;

use aws_lc_rs::{constant_time, hmac};
use sealock_core::SecretBytes;
use zeroize::Zeroizing;

use crate::asn1::{CONTEXT_0, CONTEXT_0_PLAIN, OCTET_STRING, OID, Reader, SEQUENCE};
use crate::error::ReadError;
use crate::oid;
use crate::password::{Derivation, Hash, Password, Purpose, Rounds};
use crate::pbe::{self, unsupported};
use crate::read::Collector;

/// How deep bags may be in bags.
const DEEPEST: usize = 4;

/// Reads a whole file.
pub(crate) fn read(
    bytes: &[u8],
    password: Option<&Password>,
    into: &mut Collector,
) -> Result<(), ReadError> {
    let (content, mac) = file(bytes)?;
    // Without a password, and with an empty one, programs derive different keys, and take them for the same.
    let (empty, absent) = (Password::new(&SecretBytes::default()), Password::absent());
    let candidates: Vec<&Password> = match password {
        Some(password) if !password.is_empty() => vec![password],
        _ => empty.iter().chain([&absent]).collect(),
    };
    let opened = match mac {
        Some(mac) => {
            let mut right = None;
            for candidate in candidates {
                if right.is_none() && mac.holds(&content, candidate, &mut into.rounds)? {
                    right = Some(candidate);
                }
            }
            let wrong = into.without_password();
            Opened { password: Some(right.ok_or(wrong)?), authenticated: true }
        }
        None => Opened { password, authenticated: false },
    };
    opened.content(&content, into)
}

/// What the MAC of a file proves (the `AuthenticatedSafe`), and whether it has one. A MAC must hold.
pub(crate) fn proved<'a>(
    bytes: &'a [u8],
    password: &Password,
    left: &mut Rounds,
) -> Result<(Cow<'a, [u8]>, bool), ReadError> {
    let (content, mac) = file(bytes)?;
    let has_mac = mac.is_some();
    if let Some(mac) = mac
        && !mac.holds(&content, password, left)?
    {
        return Err(ReadError::WrongPassword);
    }
    Ok((content, has_mac))
}

/// The `PFX`, taken apart.
fn file(bytes: &[u8]) -> Result<(Cow<'_, [u8]>, Option<Mac<'_>>), ReadError> {
    let mut outer = Reader::new(bytes);
    let mut file = outer.inside(SEQUENCE)?;
    outer.end()?;
    if file.number()? != 3 {
        return Err(ReadError::Unsupported("PKCS#12 of another version than 3".to_owned()));
    }
    let mut content = file.inside(SEQUENCE)?;
    let kind = content.expect(OID)?.body;
    if kind != oid::DATA {
        return Err(unsupported("PKCS#12 with content of", kind));
    }
    let content = content.inside(CONTEXT_0)?.octets()?;
    let mac = file.optional(SEQUENCE)?.map(|mac| Mac::read(mac.reader())).transpose()?;
    file.end()?;
    Ok((content, mac))
}

/// Reads what is under the MAC, as if that had been right.
pub(crate) fn read_content(
    content: &[u8],
    password: &Password,
    into: &mut Collector,
) -> Result<(), ReadError> {
    Opened { password: Some(password), authenticated: true }.content(content, into)
}

/// What says that nobody without the password has changed the file.
struct Mac<'a> {
    algorithm: Reader<'a>,
    digest: Vec<u8>,
    salt: Vec<u8>,
    rounds: u32,
}

impl<'a> Mac<'a> {
    fn read(mut mac: Reader<'a>) -> Result<Self, ReadError> {
        let mut info = mac.inside(SEQUENCE)?;
        let algorithm = info.inside(SEQUENCE)?;
        let digest = info.octets()?.into_owned();
        let salt = mac.octets()?.into_owned();
        let rounds = if mac.is_empty() { 1 } else { mac.number()? };
        mac.end()?;
        Ok(Self { algorithm, digest, salt, rounds })
    }

    /// Whether it is right under this password.
    fn holds(
        &self,
        content: &[u8],
        password: &Password,
        left: &mut Rounds,
    ) -> Result<bool, ReadError> {
        let mut algorithm = self.algorithm;
        let name = algorithm.expect(OID)?.body;
        let (hash, key) = match name {
            // RFC 9879
            oid::PBMAC1 => {
                let mut parameters = algorithm.inside(SEQUENCE)?;
                let derivation = parameters.inside(SEQUENCE)?;
                let hash = pbe::hmac_hash(parameters.inside(SEQUENCE)?)?;
                (hash, pbe::pbkdf2(derivation, password.utf8(), None, left)?)
            }
            _ => {
                let hash = match name {
                    oid::SHA1 => Hash::Sha1,
                    oid::SHA224 => Hash::Sha224,
                    oid::SHA256 => Hash::Sha256,
                    oid::SHA384 => Hash::Sha384,
                    oid::SHA512 => Hash::Sha512,
                    _ => return Err(unsupported("a MAC by", name)),
                };
                let derivation = Derivation { hash, salt: &self.salt, rounds: self.rounds };
                let utf16 = password.utf16();
                (hash, derivation.pkcs12(Purpose::Mac, utf16, hash.length(), left)?)
            }
        };
        let tag = hmac::sign(&hmac::Key::new(hash.hmac(), &key), content);
        Ok(constant_time::verify_slices_are_equal(tag.as_ref(), &self.digest).is_ok())
    }
}

/// A file whose password is known, as far as it has one.
struct Opened<'a> {
    password: Option<&'a Password>,
    authenticated: bool,
}

impl Opened<'_> {
    /// The `AuthenticatedSafe`.
    fn content(&self, content: &[u8], into: &mut Collector) -> Result<(), ReadError> {
        let mut outer = Reader::new(content);
        let mut parts = outer.inside(SEQUENCE)?;
        outer.end()?;
        while !parts.is_empty() {
            self.part(parts.inside(SEQUENCE)?, into)?;
        }
        Ok(())
    }

    /// One `ContentInfo`: bags, or bags that are encrypted.
    fn part(&self, mut info: Reader<'_>, into: &mut Collector) -> Result<(), ReadError> {
        let kind = info.expect(OID)?.body;
        let mut content = info.inside(CONTEXT_0)?;
        match kind {
            oid::DATA => self.bags(Reader::new(&content.octets()?), into, DEEPEST),
            oid::ENCRYPTED_DATA => {
                let password = self.password.ok_or(ReadError::PasswordMissing)?;
                let bags = decrypted(content, password, &mut into.rounds)?;
                self.bags(Reader::new(&bags), into, DEEPEST).map_err(|error| self.garbled(error))
            }
            _ => Err(unsupported("PKCS#12 with a part of", kind)),
        }
    }

    /// Where no MAC has proved the password, what makes no sense is a wrong password's doing.
    fn garbled(&self, error: ReadError) -> ReadError {
        match error {
            ReadError::Damaged(_) if !self.authenticated => ReadError::WrongPassword,
            error => error,
        }
    }

    fn bags(
        &self,
        mut outer: Reader<'_>,
        into: &mut Collector,
        deepest: usize,
    ) -> Result<(), ReadError> {
        let deepest =
            deepest.checked_sub(1).ok_or(ReadError::Damaged("it is nested too deeply"))?;
        let mut bags = outer.inside(SEQUENCE)?;
        outer.end()?;
        while !bags.is_empty() {
            let mut bag = bags.inside(SEQUENCE)?;
            let kind = bag.expect(OID)?.body;
            let value = bag.inside(CONTEXT_0)?;
            match kind.strip_prefix(oid::BAG) {
                Some([1 | 2]) if !self.authenticated => return Err(ReadError::NotAuthenticated),
                Some([1]) => into.pkcs8(value.clone().expect(SEQUENCE)?.whole)?,
                Some([2]) => into.encrypted(value, self.password)?,
                Some([3]) => certificate(value, into)?,
                // CRLs and secrets, which are not asked for.
                Some([4 | 5]) => {}
                Some([6]) => self.bags(value, into, deepest)?,
                _ => return Err(unsupported("PKCS#12 with a bag of", kind)),
            }
        }
        Ok(())
    }
}

/// The bags in an `EncryptedData`.
pub(crate) fn decrypted(
    content: Reader<'_>,
    password: &Password,
    left: &mut Rounds,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let mut content = content;
    let mut encrypted = content.inside(SEQUENCE)?;
    encrypted.number()?;
    let mut encrypted = encrypted.inside(SEQUENCE)?;
    encrypted.expect(OID)?;
    let algorithm = encrypted.inside(SEQUENCE)?;
    let data = match encrypted.peek() {
        Some(CONTEXT_0_PLAIN) => encrypted.any()?,
        _ => encrypted.expect(CONTEXT_0)?,
    };
    pbe::decrypt(algorithm, password, &data.octets()?, left)
}

fn certificate(mut value: Reader<'_>, into: &mut Collector) -> Result<(), ReadError> {
    let mut bag = value.inside(SEQUENCE)?;
    if bag.expect(OID)?.body != oid::X509_CERTIFICATE {
        return Err(ReadError::Unsupported("a certificate that is not X.509".to_owned()));
    }
    let mut content = bag.inside(CONTEXT_0)?;
    if content.peek().is_none_or(|tag| tag & !0x20 != OCTET_STRING) {
        return Err(ReadError::Damaged("a bag has no certificate in it"));
    }
    into.certificate(&content.octets()?)
}
