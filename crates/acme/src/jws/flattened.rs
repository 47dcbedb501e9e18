//! What all three kinds of JWS have in common.

use data_encoding::BASE64URL_NOPAD;
use sealock_core::json::{self, Members, Value};

use super::fault::JwsFault;
use super::{MAXIMUM_NONCE, MAXIMUM_URL};
use crate::jwk::{Algorithm, Jwk};

/// Names of RFC 7515 §4.1 and RFC 7797 that change what is trusted, fetched or read.
const FORBIDDEN: [&str; 5] = ["crit", "b64", "jku", "x5u", "x5c"];

/// A JWS that was read, with nothing verified.
#[derive(Debug)]
pub(super) struct Flattened {
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
    /// Header and payload as they came, with a dot between them (RFC 7515 §5.2).
    pub(super) signed: Vec<u8>,
}

/// The protected header; what it must have, whoever reads on says.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) url: String,
    pub(super) nonce: Option<String>,
    pub(super) jwk: Option<Members>,
    pub(super) kid: Option<String>,
}

impl Flattened {
    pub(super) fn read(mut members: Members) -> Result<Self, JwsFault> {
        let mut text = |member| match members.take(member) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(JwsFault::MissingMember { member }),
        };
        // What is there too much is told before what is missing: of the general form both are true.
        let (protected, payload, signature) =
            (text("protected"), text("payload"), text("signature"));
        match members.names().next() {
            None => {}
            Some("header") => return Err(JwsFault::Unprotected),
            Some("signatures") => return Err(JwsFault::General),
            Some(_) => return Err(JwsFault::UnknownMember),
        }
        let (protected, payload, signature) = (protected?, payload?, signature?);
        let signed = format!("{protected}.{payload}").into_bytes();
        let header = Header::read(&decode("protected", &protected)?)?;
        let payload = decode("payload", &payload)?;
        let signature = decode("signature", &signature)?;
        Ok(Self { header, payload, signature, signed })
    }

    pub(super) fn verify(&self, algorithm: Algorithm, key: &Jwk) -> Result<(), JwsFault> {
        if key.algorithm() != algorithm {
            return Err(JwsFault::AlgorithmMismatch);
        }
        if !key.made(&self.signature, &self.signed) {
            return Err(JwsFault::BadSignature);
        }
        Ok(())
    }

    /// What an inner JWS must be, of either kind: for the same resource, and without a nonce.
    pub(super) fn expect_inner(&self, url: &str) -> Result<(), JwsFault> {
        if self.header.nonce.is_some() {
            return Err(JwsFault::InnerNonce);
        }
        if self.header.url != url {
            return Err(JwsFault::InnerUrl);
        }
        Ok(())
    }
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, JwsFault> {
        let mut members = json::read(bytes).map_err(JwsFault::Header)?;
        let is_there = |forbidden: &&str| members.names().any(|name| name == *forbidden);
        if let Some(member) = FORBIDDEN.into_iter().find(is_there) {
            return Err(JwsFault::ForbiddenHeader { member });
        }
        let jwk = match members.take("jwk") {
            None => None,
            Some(Value::Object(jwk)) => Some(jwk),
            Some(_) => return Err(JwsFault::BadHeader { member: "jwk" }),
        };
        let mut text = |member, good: fn(&str) -> bool| match members.take(member) {
            None => Ok(None),
            Some(Value::Text(text)) if good(&text) => Ok(Some(text)),
            Some(_) => Err(JwsFault::BadHeader { member }),
        };
        let alg = text("alg", |alg| !alg.is_empty())?;
        let alg = alg.ok_or(JwsFault::MissingHeader { member: "alg" })?;
        let url = text("url", is_url)?.ok_or(JwsFault::MissingHeader { member: "url" })?;
        Ok(Self { alg, url, nonce: text("nonce", is_nonce)?, jwk, kid: text("kid", is_url)? })
    }
}

/// RFC 8555 §6.5.2. It is held against ours as a text, so which bytes it stands for does not matter here.
fn is_nonce(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.len() <= MAXIMUM_NONCE && text.bytes().all(good)
}

/// `url`, and `kid` (which is a URL, or of an external account any name): it is compared with ours and never followed,
/// so only what could harm a log is kept out.
fn is_url(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAXIMUM_URL
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Other characters, padding and bits left over are refused: the text is the only one for these bytes.
fn decode(member: &'static str, text: &str) -> Result<Vec<u8>, JwsFault> {
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| JwsFault::BadEncoding { member })
}
