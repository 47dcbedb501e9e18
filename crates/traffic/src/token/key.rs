//! Keys that sign tokens, and their public halves that check them.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, ParsedPublicKey, Signature,
};
use data_encoding::BASE64URL_NOPAD;
use sealock_core::ed25519;
use sealock_core::json::{self, Members, Value};
use serde::Serialize;
use zeroize::Zeroizing;

use super::error::{KeyFault, TokenError};
use super::header::Algorithm;

/// How long a `kid` may be, in bytes.
const MAXIMUM_KID: usize = 128;

/// The longest JWK that is read by itself, in bytes. Such a key takes 200.
const MAXIMUM_JWK: usize = 8 * 1024;

/// The length of a signature, for both algorithms.
pub(super) const SIGNATURE: usize = 64;

/// The length of a coordinate of P-256 and of a public key of Ed25519.
pub(super) const COORDINATE: usize = 32;

/// What stands before the uncompressed point in a SubjectPublicKeyInfo of P-256 (RFC 5480 §2.1.1).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The same of Ed25519 (RFC 8410 §4).
const ED25519_SPKI: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A private key that signs tokens. The library wipes it when it is dropped.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl SigningKey {
    /// A new key.
    pub fn generate(algorithm: Algorithm) -> Result<Self, TokenError> {
        let failed = |_| TokenError::Generate(algorithm);
        let pair = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .map(Pair::Es256)
                .map_err(failed)?,
            Algorithm::EdDsa => Ed25519KeyPair::generate().map(Pair::EdDsa).map_err(failed)?,
        };
        Self::of(pair).ok_or(TokenError::Generate(algorithm))
    }

    /// A key that was kept as PKCS#8 DER. Its public half is worked out anew.
    pub fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Result<Self, TokenError> {
        let refused = |source| TokenError::Import { algorithm, source };
        let pair = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
                .map(Pair::Es256)
                .map_err(refused)?,
            Algorithm::EdDsa => {
                Ed25519KeyPair::from_pkcs8(der).map(Pair::EdDsa).map_err(refused)?
            }
        };
        Self::of(pair).ok_or(TokenError::Generate(algorithm))
    }

    /// The private key as PKCS#8 DER (version 1, which every reader knows).
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        let document = match &self.pair {
            Pair::Es256(pair) => pair.to_pkcs8v1(),
            Pair::EdDsa(pair) => pair.to_pkcs8v1(),
        };
        let document = document.map_err(|_| TokenError::Export { kid: self.kid().to_owned() })?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// The thumbprint of the public key (RFC 7638), as base64url.
    pub fn kid(&self) -> &str {
        &self.public.kid
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public.clone()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Signature, TokenError> {
        let signature = match &self.pair {
            Pair::Es256(pair) => pair.sign(&SystemRandom::new(), message),
            Pair::EdDsa(pair) => pair.try_sign(message),
        };
        signature.map_err(|_| TokenError::Sign { kid: self.kid().to_owned() })
    }

    fn of(pair: Pair) -> Option<Self> {
        let (algorithm, bytes) = match &pair {
            Pair::Es256(pair) => (Algorithm::Es256, pair.public_key().as_ref()),
            Pair::EdDsa(pair) => (Algorithm::EdDsa, pair.public_key().as_ref()),
        };
        let public = PublicKey::new(algorithm, bytes.to_vec(), None)?;
        Some(Self { pair, public })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// A public key with the name by which tokens refer to it.
#[derive(Clone)]
pub struct PublicKey {
    kid: String,
    algorithm: Algorithm,
    /// P-256: the uncompressed point; Ed25519: the key itself.
    bytes: Vec<u8>,
    /// The same, ready for use.
    parsed: Arc<ParsedPublicKey>,
}

impl PublicKey {
    /// The name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The only algorithm that this key is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Reads one JWK (RFC 7517). Members that have no meaning here are passed over, as §4 says.
    pub fn from_jwk(json: &[u8]) -> Result<Self, KeyFault> {
        if json.len() > MAXIMUM_JWK {
            return Err(KeyFault::Form);
        }
        json::read(json).map_err(|_| KeyFault::Form).and_then(Self::from_members)
    }

    /// The key as a JWK.
    pub fn to_jwk(&self) -> String {
        // Only texts are in it, which always can be written.
        serde_json::to_string(&self.jwk()).unwrap_or_default()
    }

    pub(super) fn jwk(&self) -> Jwk<'_> {
        let (kty, crv) = kind(self.algorithm);
        let (x, y) = self.coordinates();
        Jwk { kty, crv, x, y, kid: &self.kid, usage: "sig", alg: self.algorithm.name() }
    }

    pub(super) fn from_members(members: Members) -> Result<Self, KeyFault> {
        Self::read(members, false)
    }

    /// As clients write their keys down: `use` and `kid` may be left out (RFC 7517 §4.2, §4.5). The `kid` is the
    /// thumbprint then.
    pub(super) fn of_client(members: Members) -> Result<Self, KeyFault> {
        Self::read(members, true)
    }

    /// A SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), DER. Of these two kinds of key there is one spelling each, but for
    /// compressed points, which are not taken.
    pub(super) fn from_spki(der: &[u8]) -> Result<Self, KeyFault> {
        let kinds = [(Algorithm::Es256, &P256_SPKI[..]), (Algorithm::EdDsa, &ED25519_SPKI[..])];
        let found = kinds
            .into_iter()
            .find_map(|(algorithm, start)| der.strip_prefix(start).map(|bytes| (algorithm, bytes)));
        let (algorithm, bytes) = found.ok_or(KeyFault::Kind)?;
        let wrong = match algorithm {
            Algorithm::Es256 => bytes.len() != 1 + 2 * COORDINATE || bytes.first() != Some(&4),
            Algorithm::EdDsa => bytes.len() != COORDINATE || ed25519::is_small_order(bytes),
        };
        if wrong {
            return Err(KeyFault::Point);
        }
        Self::new(algorithm, bytes.to_vec(), None).ok_or(KeyFault::Point)
    }

    fn read(mut members: Members, of_client: bool) -> Result<Self, KeyFault> {
        // RFC 7518 §6.2.2, §6.3.2, §6.4; `priv` is of the newer AKP keys.
        const PRIVATE: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
        if members.names().any(|name| PRIVATE.contains(&name)) {
            return Err(KeyFault::Private);
        }
        // RFC 7517 §4.3: beside `use` it says the same, or the key is not what it seems.
        let verifies = |operations| operations == Value::List(vec![Value::Text("verify".into())]);
        if !members.take("key_ops").is_none_or(verifies) {
            return Err(KeyFault::Use);
        }
        let mut text = |name: &str, fault| match members.take(name) {
            Some(Value::Text(text)) => Ok(Some(text)),
            None => Ok(None),
            Some(_) => Err(fault),
        };
        let (kty, crv) = (text("kty", KeyFault::Kind)?, text("crv", KeyFault::Kind)?);
        let (kty, crv) = (kty.unwrap_or_default(), crv.unwrap_or_default());
        let algorithm = [Algorithm::Es256, Algorithm::EdDsa]
            .into_iter()
            .find(|algorithm| kind(*algorithm) == (kty.as_str(), crv.as_str()))
            .ok_or(KeyFault::Kind)?;
        match text("use", KeyFault::Use)?.as_deref() {
            Some("sig") => {}
            None if of_client => {}
            _ => return Err(KeyFault::Use),
        }
        if text("alg", KeyFault::Algorithm)?.is_some_and(|alg| alg != algorithm.name()) {
            return Err(KeyFault::Algorithm);
        }
        let kid = match text("kid", KeyFault::Kid)? {
            Some(kid) if is_kid(&kid) => Some(kid),
            None if of_client => None,
            _ => return Err(KeyFault::Kid),
        };
        let mut coordinate = |name| -> Result<Vec<u8>, KeyFault> {
            let text = text(name, KeyFault::Point)?.ok_or(KeyFault::Point)?;
            let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| KeyFault::Point)?;
            if bytes.len() == COORDINATE { Ok(bytes) } else { Err(KeyFault::Point) }
        };
        let bytes = match algorithm {
            Algorithm::Es256 => [vec![4], coordinate("x")?, coordinate("y")?].concat(),
            Algorithm::EdDsa => {
                let point = coordinate("x")?;
                if ed25519::is_small_order(&point) {
                    return Err(KeyFault::Point);
                }
                point
            }
        };
        Self::new(algorithm, bytes, kid).ok_or(KeyFault::Point)
    }

    /// Whether this key made the signature. `signature` is r and s side by side, or that of Ed25519.
    pub(super) fn check_signature(&self, message: &[u8], signature: &[u8]) -> bool {
        signature.len() == SIGNATURE && self.parsed.verify_sig(message, signature).is_ok()
    }

    /// None when the bytes are no public key. Without a `kid` the thumbprint is taken.
    fn new(algorithm: Algorithm, bytes: Vec<u8>, kid: Option<String>) -> Option<Self> {
        let parsed = match algorithm {
            Algorithm::Es256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &bytes),
            Algorithm::EdDsa => ParsedPublicKey::new(&ED25519, &bytes),
        };
        let parsed = Arc::new(parsed.ok()?);
        let mut key = Self { kid: String::new(), algorithm, bytes, parsed };
        key.kid = kid.unwrap_or_else(|| key.thumbprint());
        Some(key)
    }

    /// RFC 7638: the hash of the required members, in the order of their names.
    fn thumbprint(&self) -> String {
        let (kty, crv) = kind(self.algorithm);
        let (x, y) = self.coordinates();
        let y = y.map(|y| format!(r#","y":"{y}""#)).unwrap_or_default();
        let members = format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}"{y}}}"#);
        BASE64URL_NOPAD.encode(digest(&SHA256, members.as_bytes()).as_ref())
    }

    fn coordinates(&self) -> (String, Option<String>) {
        match self.algorithm {
            Algorithm::Es256 => {
                let point = self.bytes.get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                (BASE64URL_NOPAD.encode(x), Some(BASE64URL_NOPAD.encode(y)))
            }
            Algorithm::EdDsa => (BASE64URL_NOPAD.encode(&self.bytes), None),
        }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.kid, self.algorithm, &self.bytes) == (&other.kid, other.algorithm, &other.bytes)
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PublicKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// A JWK as it is written.
#[derive(Serialize)]
pub(super) struct Jwk<'a> {
    kty: &'static str,
    crv: &'static str,
    x: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    kid: &'a str,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
}

/// `kty` and `crv`.
const fn kind(algorithm: Algorithm) -> (&'static str, &'static str) {
    match algorithm {
        Algorithm::Es256 => ("EC", "P-256"),
        Algorithm::EdDsa => ("OKP", "Ed25519"),
    }
}

fn is_kid(kid: &str) -> bool {
    !kid.is_empty() && kid.len() <= MAXIMUM_KID && !kid.chars().any(char::is_control)
}
