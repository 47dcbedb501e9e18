//! Keys that sign, and requests that were signed, for the tests of all modules.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256,
};
use data_encoding::BASE64URL_NOPAD;

use crate::jwk::{Algorithm, Jwk};

pub(crate) const URL: &str = "https://ca.example/acme/new-order";
pub(crate) const KID: &str = "https://ca.example/acme/account/1";
pub(crate) const NONCE: &str = "oFvnlFP1wIhRlYS2jTaXbA";

/// The private half of a key.
pub(crate) struct SigningKey {
    pair: Pair,
    pub(crate) jwk: Jwk,
}

enum Pair {
    Rsa(rsa::KeyPair),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    pub(crate) fn generate(algorithm: Algorithm) -> Self {
        let ec = |signing| Pair::Ec(EcdsaKeyPair::generate(signing).unwrap());
        let pair = match algorithm {
            Algorithm::Rs256 => Pair::Rsa(rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap()),
            Algorithm::Es256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDsa => Pair::Ed25519(Ed25519KeyPair::generate().unwrap()),
        };
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let jwk = match &pair {
            // The modulus of 2048 bits stands at one place in an RSAPublicKey.
            Pair::Rsa(pair) => {
                let n = text(&pair.public_key().as_ref()[9..9 + 256]);
                format!(r#"{{"kty":"RSA","e":"AQAB","n":"{n}"}}"#)
            }
            Pair::Ec(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let crv = if x.len() == 32 { "P-256" } else { "P-384" };
                format!(r#"{{"kty":"EC","crv":"{crv}","x":"{}","y":"{}"}}"#, text(x), text(y))
            }
            Pair::Ed25519(pair) => {
                let x = text(pair.public_key().as_ref());
                format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)
            }
        };
        let jwk = Jwk::from_json(jwk.as_bytes()).unwrap();
        assert_eq!(jwk.algorithm(), algorithm);
        Self { pair, jwk }
    }

    /// One of each kind.
    pub(crate) fn each() -> [Self; 4] {
        Algorithm::ALL.map(Self::generate)
    }

    pub(crate) fn alg(&self) -> &'static str {
        self.jwk.algorithm().name()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Pair::Ec(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A JWS with this protected header, and a good signature.
    pub(crate) fn jws(&self, protected: &str, payload: &[u8]) -> String {
        flattened(protected.as_bytes(), payload, |message| self.sign(message))
    }

    /// The protected header of a request by an account.
    pub(crate) fn by_kid(&self) -> String {
        format!(r#"{{"alg":"{}","nonce":"{NONCE}","url":"{URL}","kid":"{KID}"}}"#, self.alg())
    }

    /// The protected header of a request that brings its key.
    pub(crate) fn by_jwk(&self) -> String {
        let (alg, jwk) = (self.alg(), self.jwk.to_json());
        format!(r#"{{"alg":"{alg}","nonce":"{NONCE}","url":"{URL}","jwk":{jwk}}}"#)
    }

    /// The protected header of the inner JWS of a change of keys.
    pub(crate) fn inner(&self) -> String {
        format!(r#"{{"alg":"{}","url":"{URL}","jwk":{}}}"#, self.alg(), self.jwk.to_json())
    }
}

/// A JWS that is authenticated with this key.
pub(crate) fn authenticated(
    algorithm: hmac::Algorithm,
    key: &[u8],
    protected: &str,
    payload: &[u8],
) -> String {
    let key = hmac::Key::new(algorithm, key);
    flattened(protected.as_bytes(), payload, |message| hmac::sign(&key, message).as_ref().to_vec())
}

/// A JWS whose signature this makes.
pub(crate) fn flattened(
    protected: &[u8],
    payload: &[u8],
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> String {
    let protected = BASE64URL_NOPAD.encode(protected);
    let payload = BASE64URL_NOPAD.encode(payload);
    let signature = sign(format!("{protected}.{payload}").as_bytes());
    let signature = BASE64URL_NOPAD.encode(&signature);
    format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{signature}"}}"#)
}
