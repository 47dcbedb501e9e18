//! What the broker signs that is no token: a payload of JSON under a `typ` of its own (RFC 8725 §3.11), so that neither
//! can be taken for the other. It has none of the claims by which verifiers know a token (`iss`, `aud`, `sub`, `exp`).

use serde::Serialize;

use super::error::TokenError;
use super::header::Open;
use super::issue::seal;
use super::jwks::KeySet;
use super::key::SigningKey;
use super::refusal::Refusal;
use super::verify::{MAXIMUM_TOKEN, Parts, decode};

/// Signs a payload as a statement of this type.
pub fn sign_statement(key: &SigningKey, typ: &str, payload: &[u8]) -> Result<String, TokenError> {
    #[derive(Serialize)]
    struct Written<'a> {
        alg: &'static str,
        typ: &'a str,
        kid: &'a str,
    }
    let header = Written { alg: key.algorithm().name(), typ, kid: key.kid() };
    // Only texts are in it, which always can be written.
    let header = serde_json::to_vec(&header).unwrap_or_default();
    let mut signed = seal(key, &header, payload)?;
    if signed.len() > MAXIMUM_TOKEN {
        Err(TokenError::TooLong)
    } else {
        Ok(std::mem::take(&mut *signed))
    }
}

/// The payload of a statement of this type, if one of these keys has signed it.
pub fn open_statement(text: &str, typ: &str, keys: &KeySet) -> Result<Vec<u8>, Refusal> {
    let (parts, header) = parts(text, typ)?;
    let key = keys.get(&header.kid.ok_or(Refusal::MissingHeader { member: "kid" })?);
    let key = key.ok_or(Refusal::UnknownKey)?;
    if key.algorithm() != header.algorithm {
        return Err(Refusal::AlgorithmMismatch);
    }
    let signature = decode("signature", parts.signature)?;
    if !key.check_signature(parts.signed.as_bytes(), &signature) {
        return Err(Refusal::BadSignature);
    }
    decode("claims", parts.claims)
}

/// The payload of a statement whose very text is known by its hash already. The signature is not looked at: its key may
/// be gone.
pub fn read_statement(text: &str, typ: &str) -> Result<Vec<u8>, Refusal> {
    let (parts, _) = parts(text, typ)?;
    decode("claims", parts.claims)
}

fn parts<'a>(text: &'a str, typ: &str) -> Result<(Parts<'a>, Open), Refusal> {
    let parts = Parts::of(text)?;
    let header = Open::read(&decode("header", parts.header)?)?;
    match &header.typ {
        Some(found) if found == typ => Ok((parts, header)),
        Some(_) => Err(Refusal::WrongType),
        None => Err(Refusal::MissingHeader { member: "typ" }),
    }
}
