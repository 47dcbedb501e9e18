//! Finding out what a file is, and taking out of it what is in it.

use std::fmt;

use sealock_core::SecretBytes;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::asn1::{BIT_STRING, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE};
use crate::error::ReadError;
use crate::password::{Password, Rounds};
use crate::{key, oid, pbe, pem, pkcs7, pkcs12};

/// The longest file that is read.
pub const MAXIMUM_BYTES: usize = 1 << 20;
/// The most certificates that are taken from one file.
pub const MAXIMUM_CERTIFICATES: usize = 100;
/// The most private keys that are taken from one file.
pub const MAXIMUM_KEYS: usize = 10;
/// The most rounds of key derivation for one file, over all that is encrypted in it. Ours have 300,000; NSS has
/// 1,800,000 in a file of one key.
pub const MAXIMUM_ROUNDS: u32 = 5_000_000;

/// What a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text with `-----BEGIN …-----` (RFC 7468).
    Pem,
    /// One certificate or private key by itself.
    Der,
    /// `.p7b`, `.p7c`.
    Pkcs7,
    /// `.p12`, `.pfx`.
    Pkcs12,
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pem => "PEM",
            Self::Der => "DER",
            Self::Pkcs7 => "PKCS#7",
            Self::Pkcs12 => "PKCS#12",
        })
    }
}

/// What a file holds, in the order in which it had them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// What it was written in.
    pub format: Format,
    /// X.509 certificates, as DER. Each can be parsed; nothing is said about who signed it.
    pub certificates: Vec<Vec<u8>>,
    /// Private keys, as PKCS#8 of version 1 (DER). Each is a key of a known kind.
    pub keys: Vec<SecretBytes>,
}

/// Reads a file, whatever it is.
///
/// What it is, its content says: PEM (UTF-8 or UTF-16, with anything between the blocks), DER, PKCS#7, PKCS#12, or one
/// of the last three in base64. The password is for what is encrypted in it, and not looked at where nothing is.
///
/// # Errors
///
/// When it is none of these, is damaged or not opened by the password, or is more than anybody should make us read.
pub fn read(bytes: &[u8], password: Option<&SecretBytes>) -> Result<Contents, ReadError> {
    read_within(bytes, password, MAXIMUM_ROUNDS)
}

/// The same with another limit of rounds.
pub(crate) fn read_within(
    bytes: &[u8],
    password: Option<&SecretBytes>,
    rounds: u32,
) -> Result<Contents, ReadError> {
    if bytes.len() > MAXIMUM_BYTES {
        return Err(ReadError::TooLarge);
    }
    let password = match password {
        Some(secret) => Some(Password::new(secret).ok_or(ReadError::PasswordNotText)?),
        None => None,
    };
    let password = password.as_ref();
    let mut found = Collector::new(rounds, password.is_some());
    let format = found.file(bytes, password)?;
    if found.certificates.is_empty() && found.keys.is_empty() {
        if format == Format::Pem && pem::text_around(bytes).is_some_and(|text| has_request(&text)) {
            return Err(ReadError::Request);
        }
        return Err(ReadError::Nothing(format));
    }
    Ok(Contents { format, certificates: found.certificates, keys: found.keys })
}

/// What was found so far.
pub(crate) struct Collector {
    certificates: Vec<Vec<u8>>,
    keys: Vec<SecretBytes>,
    pub(crate) rounds: Rounds,
    has_password: bool,
}

impl Collector {
    pub(crate) fn new(rounds: u32, has_password: bool) -> Self {
        Self {
            certificates: Vec::new(),
            keys: Vec::new(),
            rounds: Rounds::new(rounds),
            has_password,
        }
    }

    fn file(&mut self, bytes: &[u8], password: Option<&Password>) -> Result<Format, ReadError> {
        if matches!(bytes, [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..]) {
            return Err(ReadError::JavaKeyStore);
        }
        // No text begins with the tag of a SEQUENCE and a length of more than one byte; a short one is tried below.
        if matches!(bytes, [SEQUENCE, length, ..] if *length >= 0x80) {
            return self.der(bytes, password);
        }
        if let Some(text) = pem::text_around(bytes) {
            if pem::has_blocks(&text) {
                self.blocks(&text, password)?;
                return Ok(Format::Pem);
            }
            if let Some(decoded) = pem::base64(&text) {
                return self.der(&decoded, password);
            }
        }
        self.der(bytes, password)
    }

    fn blocks(&mut self, text: &str, password: Option<&Password>) -> Result<(), ReadError> {
        for block in pem::blocks(text, is_wanted)? {
            match block.label {
                "CERTIFICATE" | "X509 CERTIFICATE" => self.certificate(&block.der)?,
                // OpenSSL's own, with what it is trusted for behind it.
                "TRUSTED CERTIFICATE" => {
                    self.certificate(Reader::new(&block.der).expect(SEQUENCE)?.whole)?;
                }
                "PKCS7" | "CMS" => self.pkcs7(&block.der)?,
                "PRIVATE KEY" => self.pkcs8(&block.der)?,
                "RSA PRIVATE KEY" => self.key(key::from_pkcs1(&block.der))?,
                "EC PRIVATE KEY" => self.key(key::from_sec1(&block.der))?,
                "ENCRYPTED PRIVATE KEY" => self.encrypted(Reader::new(&block.der), password)?,
                // A key of a kind that is not known here: to pass it over would look as if there were none.
                _ => return Err(ReadError::Key(self.keys.len() + 1)),
            }
        }
        Ok(())
    }

    /// What a file of DER is, the first elements in it tell.
    fn der(&mut self, bytes: &[u8], password: Option<&Password>) -> Result<Format, ReadError> {
        const NONE: ReadError = ReadError::Unrecognised;
        if bytes.first() != Some(&SEQUENCE) {
            return Err(NONE);
        }
        let mut outer = Reader::new(bytes);
        let whole = outer.any()?;
        outer.end()?;
        let mut inner = whole.reader();
        let first = inner.any().map_err(|_| NONE)?;
        match (first.tag, inner.peek()) {
            (OID, _) => {
                self.pkcs7(bytes)?;
                return Ok(Format::Pkcs7);
            }
            (INTEGER, Some(INTEGER)) => self.key(key::from_pkcs1(bytes))?,
            (INTEGER, Some(OCTET_STRING)) => self.key(key::from_sec1(bytes))?,
            (INTEGER, Some(SEQUENCE)) => {
                let second = inner.any()?.reader().any()?;
                if second.tag == OID && [oid::DATA, oid::SIGNED_DATA].contains(&second.body) {
                    pkcs12::read(bytes, password, self)?;
                    return Ok(Format::Pkcs12);
                }
                self.pkcs8(bytes)?;
            }
            // An `EncryptedPrivateKeyInfo`.
            (SEQUENCE, Some(OCTET_STRING)) => self.encrypted(Reader::new(bytes), password)?,
            (SEQUENCE, Some(SEQUENCE)) => self.certificate(bytes)?,
            _ => return Err(NONE),
        }
        Ok(Format::Der)
    }

    fn pkcs7(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        for certificate in pkcs7::certificates(bytes)? {
            self.certificate(certificate)?;
        }
        Ok(())
    }

    /// Takes a certificate, which must be one.
    pub(crate) fn certificate(&mut self, der: &[u8]) -> Result<(), ReadError> {
        if self.certificates.len() >= MAXIMUM_CERTIFICATES {
            return Err(ReadError::TooManyCertificates);
        }
        if !is_certificate(der) {
            return Err(ReadError::Certificate(self.certificates.len() + 1));
        }
        self.certificates.push(der.to_vec());
        Ok(())
    }

    /// Takes a private key.
    pub(crate) fn pkcs8(&mut self, der: &[u8]) -> Result<(), ReadError> {
        self.key(key::from_pkcs8(der))
    }

    fn key(&mut self, key: Result<SecretBytes, ReadError>) -> Result<(), ReadError> {
        self.room_for_a_key()?;
        self.keys.push(key.map_err(|_| ReadError::Key(self.keys.len() + 1))?);
        Ok(())
    }

    fn room_for_a_key(&self) -> Result<(), ReadError> {
        if self.keys.len() < MAXIMUM_KEYS { Ok(()) } else { Err(ReadError::TooManyKeys) }
    }

    /// Takes an `EncryptedPrivateKeyInfo` (RFC 5958 §3).
    pub(crate) fn encrypted(
        &mut self,
        info: Reader<'_>,
        password: Option<&Password>,
    ) -> Result<(), ReadError> {
        self.room_for_a_key()?;
        let mut info = info;
        let mut info = info.inside(SEQUENCE)?;
        let algorithm = info.inside(SEQUENCE)?;
        let data = info.octets()?;
        let password = password.ok_or(ReadError::PasswordMissing)?;
        let plain = pbe::decrypt(algorithm, password, &data, &mut self.rounds)?;
        // A wrong password's padding is right one time in 256.
        let mut shape = Reader::new(&plain);
        if shape.inside(SEQUENCE).and_then(|_| shape.end()).is_err() {
            return Err(ReadError::WrongPassword);
        }
        self.pkcs8(&plain)
    }

    /// What to say when no password was right.
    pub(crate) fn without_password(&self) -> ReadError {
        if self.has_password { ReadError::WrongPassword } else { ReadError::PasswordMissing }
    }
}

/// Whether it is a certificate and nothing more. The parser does not look at all tags, so the outermost are looked at
/// here: what others would refuse is none.
pub(crate) fn is_certificate(der: &[u8]) -> bool {
    let shape = || {
        let mut outer = Reader::new(der);
        let mut parts = outer.inside(SEQUENCE)?;
        outer.end()?;
        parts.expect(SEQUENCE)?;
        parts.expect(SEQUENCE)?;
        parts.expect(BIT_STRING)?;
        parts.end()
    };
    shape().is_ok() && X509Certificate::from_der(der).is_ok_and(|(rest, _)| rest.is_empty())
}

/// RFC 7468 §7, and what older programs write.
fn has_request(text: &str) -> bool {
    ["-----BEGIN CERTIFICATE REQUEST-----", "-----BEGIN NEW CERTIFICATE REQUEST-----"]
        .iter()
        .any(|begin| text.contains(begin))
}

fn is_wanted(label: &str) -> bool {
    let certificates = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE", "PKCS7", "CMS"];
    certificates.contains(&label) || label.ends_with("PRIVATE KEY")
}
