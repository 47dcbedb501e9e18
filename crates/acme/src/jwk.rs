//! Public keys as JWKs (RFC 7517, RFC 7518 §6, RFC 8037 §2): of accounts, and of certificates that are revoked by their
//! own key.
//!
//! **What an attacker controls:** all of it; it may be a key that somebody else has, or one with which everybody can
//! sign. So a key has one spelling and one thumbprint, and numbers that make no key are refused before they are kept.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use data_encoding::BASE64URL_NOPAD;
use sealock_core::ed25519;
use sealock_core::json::{self, JsonFault, Members, Value};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest JWK that is read by itself, in bytes. A modulus of 8192 bits takes 1366.
const MAXIMUM_JWK: usize = 8 * 1024;

/// How many bits a modulus may have: less is broken soon, more takes too long (and the library takes no more).
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;

/// How many bytes a public exponent may have, which holds it below 2^32.
const MAXIMUM_EXPONENT: usize = 4;

/// What stands before the uncompressed point in a SubjectPublicKeyInfo of P-256 (RFC 5480 §2.1.1).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The same of P-384.
const P384_SPKI: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];

/// The same of Ed25519 (RFC 8410 §4).
const ED25519_SPKI: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// How a request is signed. The key says which of these it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3).
    Rs256,
    /// ECDSA on P-256 with SHA-256 (RFC 7518 §3.4).
    Es256,
    /// ECDSA on P-384 with SHA-384 (RFC 7518 §3.4).
    Es384,
    /// Ed25519 (RFC 8037 §3.1).
    EdDsa,
}

impl Algorithm {
    /// All of them, as an error lists them (RFC 8555 §6.2).
    pub const ALL: [Self; 4] = [Self::Es256, Self::Es384, Self::EdDsa, Self::Rs256];

    /// The value of `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of this name, if it is one of ours.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Why a JWK was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JwkFault {
    /// More than 8 KiB.
    #[error("the key is longer than {MAXIMUM_JWK} bytes")]
    TooLong,
    /// No JSON to us.
    #[error("the key is refused: {0}")]
    Json(JsonFault),
    /// A member that only private or symmetric keys have, or `kty` is `oct`.
    #[error("it is a private or symmetric key; throw it away and use another")]
    Private,
    /// `kty` and `crv` of no key of ours.
    #[error("the key is neither RSA, nor EC on P-256 or P-384, nor OKP on Ed25519")]
    Kind,
    /// `use` is not `sig`, or `key_ops` is there and not exactly `verify`.
    #[error("the key is for another use than to check signatures")]
    Use,
    /// `alg` does not belong to the key.
    #[error("the alg of the key does not belong to its kind")]
    Algorithm,
    /// Not a text in base64url in its one form; of `n` and `e` also a zero in front (RFC 7518 §2, Base64urlUInt).
    #[error("{member:?} of the key is missing or not base64url in its one form")]
    Number {
        /// The name.
        member: &'static str,
    },
    /// A modulus of fewer than 2048 or more than 8192 bits.
    #[error("the modulus of the key does not have 2048 to 8192 bits")]
    RsaSize,
    /// An even modulus, or an exponent that is even, 1, or above 2^32.
    #[error("the modulus or the exponent of the key is not one that RSA can use")]
    RsaNumbers,
    /// Coordinates of another length; no point of P-256 or P-384; one of Ed25519 that fits everybody's signatures.
    /// (Other bytes that are no point of Ed25519 fit none.)
    #[error("the coordinates of the key are not a point of its curve")]
    Point,
}

/// A public key.
///
/// Two are the same if the keys are, whatever else stood in their JWKs. As a text in the store it is its canonical
/// JSON.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Jwk {
    key: Key,
    /// The same, ready for use.
    parsed: Arc<ParsedPublicKey>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    /// Big-endian, without zeros in front.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// The uncompressed point.
    Ec { curve: Curve, point: Vec<u8> },
    /// The key itself.
    Ed25519(Vec<u8>),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Curve {
    P256,
    P384,
}

impl Curve {
    const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        }
    }

    /// How many bytes a coordinate has (RFC 7518 §6.2.1.2).
    const fn coordinate(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

impl Jwk {
    /// Reads one. Members that have no meaning here are passed over, as RFC 7517 §4 says.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn from_json(json: &[u8]) -> Result<Self, JwkFault> {
        if json.len() > MAXIMUM_JWK {
            return Err(JwkFault::TooLong);
        }
        json::read(json).map_err(JwkFault::Json).and_then(Self::from_members)
    }

    /// The same of an object that stood in another.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn from_members(mut members: Members) -> Result<Self, JwkFault> {
        // RFC 7518 §6.2.2, §6.3.2, §6.4; `priv` is of the newer AKP keys.
        const PRIVATE: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
        if members.names().any(|name| PRIVATE.contains(&name)) {
            return Err(JwkFault::Private);
        }
        // RFC 7517 §4.3: beside `use` it says the same, or the key is not what it seems.
        let verifies = |operations| operations == Value::List(vec![Value::Text("verify".into())]);
        if !members.take("key_ops").is_none_or(verifies) {
            return Err(JwkFault::Use);
        }
        if !members.take("use").is_none_or(|usage| usage == Value::Text("sig".into())) {
            return Err(JwkFault::Use);
        }
        let alg = members.take("alg");
        let Some(Value::Text(kty)) = members.take("kty") else { return Err(JwkFault::Kind) };
        let key = match kty.as_str() {
            "RSA" => Key::rsa(members)?,
            "EC" => Key::ec(members)?,
            "OKP" => Key::okp(members)?,
            "oct" => return Err(JwkFault::Private),
            _ => return Err(JwkFault::Kind),
        };
        let said = |alg| alg == Value::Text(key.algorithm().name().into());
        if !alg.is_none_or(said) {
            return Err(JwkFault::Algorithm);
        }
        let parsed = Arc::new(key.parsed()?);
        Ok(Self { key, parsed })
    }

    /// The only algorithm that this key is for.
    pub fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    /// The members that make the key, in the order of their names and without blanks (RFC 7638 §3). One key has one
    /// such text, and [`Jwk::from_json`] reads it.
    pub fn to_json(&self) -> String {
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        match &self.key {
            Key::Rsa { modulus, exponent } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text(exponent), text(modulus))
            }
            Key::Ec { curve, point } => {
                let (x, y) = point.get(1..).unwrap_or_default().split_at(curve.coordinate());
                let (curve, x, y) = (curve.name(), text(x), text(y));
                format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            Key::Ed25519(key) => {
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text(key))
            }
        }
    }

    /// SHA-256 over [`Jwk::to_json`] (RFC 7638), as base64url: what key authorizations are made of.
    pub fn thumbprint(&self) -> String {
        BASE64URL_NOPAD.encode(digest(&SHA256, self.to_json().as_bytes()).as_ref())
    }

    /// The key as a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), DER. `None` when the library fails.
    pub fn to_spki(&self) -> Option<Vec<u8>> {
        match &self.key {
            Key::Rsa { modulus, exponent } => {
                let components = RsaPublicKeyComponents { n: modulus, e: exponent };
                Some(components.as_der().ok()?.as_ref().to_vec())
            }
            Key::Ec { curve: Curve::P256, point } => Some([&P256_SPKI, &point[..]].concat()),
            Key::Ec { curve: Curve::P384, point } => Some([&P384_SPKI, &point[..]].concat()),
            Key::Ed25519(key) => Some([&ED25519_SPKI, &key[..]].concat()),
        }
    }

    /// Whether this SubjectPublicKeyInfo, DER, is of the same key: an account's may not be in a certificate (RFC 8555
    /// §11.1), and whoever has a certificate's may revoke it (§7.6).
    ///
    /// The DER must be in the one form that the authority takes of certificate requests: points uncompressed, of RSA the
    /// plain algorithm with parameters NULL. Other forms are those of another key here.
    pub fn same_as_spki(&self, spki_der: &[u8]) -> bool {
        self.to_spki().is_some_and(|own| own == spki_der)
    }

    /// Whether this key made the signature. That of ECDSA is r and s side by side (RFC 7518 §3.4).
    pub(crate) fn made(&self, signature: &[u8], message: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

impl Key {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::Ec { curve: Curve::P256, .. } => Algorithm::Es256,
            Self::Ec { curve: Curve::P384, .. } => Algorithm::Es384,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// RFC 7518 §6.3.1.
    fn rsa(mut members: Members) -> Result<Self, JwkFault> {
        let mut number = |member| {
            let bytes = bytes(&mut members, member)?;
            // The one spelling has no zero in front; zero itself is no number of RSA.
            if bytes.first().is_none_or(|first| *first == 0) {
                return Err(JwkFault::Number { member });
            }
            Ok(bytes)
        };
        let (modulus, exponent) = (number("n")?, number("e")?);
        let zeros = modulus.first().map_or(0, |first| first.leading_zeros());
        let bits = u32::try_from(modulus.len() * 8).unwrap_or(u32::MAX) - zeros;
        if !RSA_BITS.contains(&bits) {
            return Err(JwkFault::RsaSize);
        }
        let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
        if !odd(&modulus) || !odd(&exponent) || exponent == [1] || exponent.len() > MAXIMUM_EXPONENT
        {
            return Err(JwkFault::RsaNumbers);
        }
        Ok(Self::Rsa { modulus, exponent })
    }

    /// RFC 7518 §6.2.1.
    fn ec(mut members: Members) -> Result<Self, JwkFault> {
        let crv = members.take("crv");
        let curve = [Curve::P256, Curve::P384]
            .into_iter()
            .find(|curve| crv == Some(Value::Text(curve.name().into())))
            .ok_or(JwkFault::Kind)?;
        let mut coordinate = |member| {
            let bytes = bytes(&mut members, member)?;
            if bytes.len() == curve.coordinate() { Ok(bytes) } else { Err(JwkFault::Point) }
        };
        let point = [vec![4], coordinate("x")?, coordinate("y")?].concat();
        Ok(Self::Ec { curve, point })
    }

    /// RFC 8037 §2.
    fn okp(mut members: Members) -> Result<Self, JwkFault> {
        if members.take("crv") != Some(Value::Text("Ed25519".into())) {
            return Err(JwkFault::Kind);
        }
        let key = bytes(&mut members, "x")?;
        if key.len() != ed25519::POINT || ed25519::is_small_order(&key) {
            return Err(JwkFault::Point);
        }
        Ok(Self::Ed25519(key))
    }

    /// The library says whether a point of P-256 or P-384 is on its curve.
    fn parsed(&self) -> Result<ParsedPublicKey, JwkFault> {
        match self {
            Self::Rsa { modulus, exponent } => RsaPublicKeyComponents { n: modulus, e: exponent }
                .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                .map_err(|_| JwkFault::RsaNumbers),
            Self::Ec { curve, point } => {
                let algorithm = match curve {
                    Curve::P256 => &ECDSA_P256_SHA256_FIXED,
                    Curve::P384 => &ECDSA_P384_SHA384_FIXED,
                };
                ParsedPublicKey::new(algorithm, point).map_err(|_| JwkFault::Point)
            }
            Self::Ed25519(key) => ParsedPublicKey::new(&ED25519, key).map_err(|_| JwkFault::Point),
        }
    }
}

fn bytes(members: &mut Members, member: &'static str) -> Result<Vec<u8>, JwkFault> {
    let refused = JwkFault::Number { member };
    let Some(Value::Text(text)) = members.take(member) else { return Err(refused) };
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| refused)
}

impl PartialEq for Jwk {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Jwk {}

impl fmt::Debug for Jwk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Jwk")
            .field("algorithm", &self.algorithm())
            .field("thumbprint", &self.thumbprint())
            .finish_non_exhaustive()
    }
}

impl TryFrom<String> for Jwk {
    type Error = JwkFault;

    fn try_from(json: String) -> Result<Self, JwkFault> {
        Self::from_json(json.as_bytes())
    }
}

impl From<Jwk> for String {
    fn from(key: Jwk) -> Self {
        key.to_json()
    }
}

#[cfg(test)]
mod tests;
