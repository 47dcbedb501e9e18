//! A PKCS#12 file as parts and bags, each of which stays the bytes that it was.

use zeroize::Zeroizing;

use super::MAXIMUM_STORE_ENTRIES;
use crate::asn1::{CONTEXT_0, OID, Reader, SEQUENCE, SET};
use crate::error::{ReadError, WriteError};
use crate::oid;
use crate::password::{Password, Rounds};
use crate::pkcs12::{Rewrite, decrypted, proved, trusted};
use crate::salt::Seed;

const BMP_STRING: u8 = 0x1e;

/// What a file holds.
pub(super) struct Safe {
    has_mac: bool,
    parts: Vec<Part>,
}

/// A `ContentInfo` in it.
struct Part {
    /// As it was read; `None` when it is to be made of its bags.
    whole: Option<Zeroizing<Vec<u8>>>,
    encrypted: bool,
    bags: Vec<Bag>,
}

/// A `SafeBag`. What is no certificate is kept, and not looked into.
struct Bag {
    whole: Zeroizing<Vec<u8>>,
    alias: Option<String>,
    /// A certificate to trust: one that no private key of the file has for its own.
    trusted: Option<Vec<u8>>,
}

impl Safe {
    pub(super) fn read(bytes: &[u8], password: &Password, rounds: u32) -> Result<Self, ReadError> {
        let mut rounds = Rounds::new(rounds);
        let (content, has_mac) = proved(bytes, password, &mut rounds)?;
        let mut safe = Self { has_mac, parts: Vec::new() };
        let mut outer = Reader::new(&content);
        let mut parts = outer.inside(SEQUENCE)?;
        outer.end()?;
        while !parts.is_empty() {
            let part = Part::read(parts.expect(SEQUENCE)?.whole, password, &mut rounds)?;
            safe.parts.push(part);
            // Parts, too, are counted: empty ones cost room.
            if safe.bags() + safe.parts.len() > 2 * MAXIMUM_STORE_ENTRIES {
                return Err(ReadError::TooManyEntries);
            }
        }
        if safe.bags() > MAXIMUM_STORE_ENTRIES {
            return Err(ReadError::TooManyEntries);
        }
        Ok(safe)
    }

    pub(super) fn bags(&self) -> usize {
        self.parts.iter().map(|part| part.bags.len()).sum()
    }

    pub(super) fn trusted(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let bags = self.parts.iter().flat_map(|part| &part.bags);
        bags.filter_map(|bag| Some((bag.alias.as_deref()?, bag.trusted.as_deref()?)))
    }

    pub(super) fn remove(&mut self, alias: &str) {
        let wanted = |bag: &Bag| bag.trusted.is_none() || bag.alias.as_deref() != Some(alias);
        for part in &mut self.parts {
            if part.bags.iter().any(|bag| !wanted(bag)) {
                part.bags.retain(wanted);
                part.whole = None;
            }
        }
        self.parts.retain(|part| part.whole.is_some() || !part.bags.is_empty());
    }

    /// Adds to the last part when that is one of ours in the making, and makes one otherwise.
    pub(super) fn add(&mut self, alias: &str, certificate: &[u8]) -> Result<(), WriteError> {
        let same =
            |bag: &Bag| bag.alias.as_ref().is_some_and(|other| other.to_lowercase() == alias);
        if self.parts.iter().flat_map(|part| &part.bags).any(same) {
            return Err(WriteError::AliasTaken);
        }
        let bag = Bag {
            whole: Zeroizing::new(trusted(alias, certificate)),
            alias: Some(alias.to_owned()),
            trusted: Some(certificate.to_vec()),
        };
        match self.parts.last_mut() {
            Some(part) if part.whole.is_none() && part.encrypted == self.has_mac => {
                part.bags.push(bag);
            }
            _ => {
                self.parts.push(Part { whole: None, encrypted: self.has_mac, bags: vec![bag] });
            }
        }
        Ok(())
    }

    /// `None` when the cryptographic library fails.
    pub(super) fn write(&self, password: &Password) -> Option<Vec<u8>> {
        let bags = self.parts.iter().flat_map(|part| &part.bags).map(|bag| bag.whole.as_slice());
        let kept = self.parts.iter().filter_map(|part| part.whole.as_ref());
        let seed = Seed::new("pkcs12 store", bags.chain(kept.map(|whole| whole.as_slice())));
        let of = |protected: bool| Rewrite { password: protected.then_some(password), seed: &seed };
        let mut parts = Vec::with_capacity(self.parts.len());
        for (number, part) in self.parts.iter().enumerate() {
            parts.push(match &part.whole {
                Some(whole) => whole.to_vec(),
                None => {
                    let bags: Vec<&[u8]> =
                        part.bags.iter().map(|bag| bag.whole.as_slice()).collect();
                    of(part.encrypted).part(number, &bags)?
                }
            });
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        of(self.has_mac).file(&parts)
    }
}

impl Part {
    fn read(whole: &[u8], password: &Password, rounds: &mut Rounds) -> Result<Self, ReadError> {
        let mut info = Reader::new(whole).inside(SEQUENCE)?;
        let kind = info.expect(OID)?.body;
        let mut content = info.inside(CONTEXT_0)?;
        let (encrypted, bags) = match kind {
            oid::DATA => (false, Bag::all(&content.octets()?)?),
            oid::ENCRYPTED_DATA => (true, Bag::all(&decrypted(content, password, rounds)?)?),
            _ => (true, Vec::new()),
        };
        Ok(Self { whole: Some(Zeroizing::new(whole.to_vec())), encrypted, bags })
    }
}

impl Bag {
    fn all(content: &[u8]) -> Result<Vec<Self>, ReadError> {
        let mut outer = Reader::new(content);
        let mut bags = outer.inside(SEQUENCE)?;
        outer.end()?;
        let mut all = Vec::new();
        while !bags.is_empty() {
            if all.len() >= MAXIMUM_STORE_ENTRIES {
                return Err(ReadError::TooManyEntries);
            }
            all.push(Self::read(bags.expect(SEQUENCE)?.whole)?);
        }
        Ok(all)
    }

    fn read(whole: &[u8]) -> Result<Self, ReadError> {
        let mut bag = Reader::new(whole).inside(SEQUENCE)?;
        let kind = bag.expect(OID)?.body;
        let value = bag.inside(CONTEXT_0)?;
        let mut alias = None;
        let mut is_own = false;
        if let Some(attributes) = bag.optional(SET)? {
            let mut attributes = attributes.reader();
            while !attributes.is_empty() {
                let mut attribute = attributes.inside(SEQUENCE)?;
                let name = attribute.expect(OID)?.body;
                is_own |= name == oid::LOCAL_KEY_ID;
                if name == oid::FRIENDLY_NAME {
                    let text = attribute.inside(SET)?.expect(BMP_STRING)?.body;
                    alias = Some(bmp(text));
                }
            }
        }
        let is_certificate = kind.strip_prefix(oid::BAG) == Some(&[3]);
        let trusted = if is_certificate && !is_own { certificate(value)? } else { None };
        Ok(Self { whole: Zeroizing::new(whole.to_vec()), alias, trusted })
    }
}

/// The certificate in a `CertBag`, when it is X.509.
fn certificate(mut value: Reader<'_>) -> Result<Option<Vec<u8>>, ReadError> {
    let mut bag = value.inside(SEQUENCE)?;
    if bag.expect(OID)?.body != oid::X509_CERTIFICATE {
        return Ok(None);
    }
    Ok(Some(bag.inside(CONTEXT_0)?.octets()?.into_owned()))
}

fn bmp(text: &[u8]) -> String {
    let units: Vec<u16> = text
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |unit, byte| unit << 8 | u16::from(*byte)))
        .collect();
    String::from_utf16_lossy(&units)
}
