//! The key schedule: see the table in [`session`](super).

use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::{hkdf, hmac};
use zeroize::Zeroizing;

use super::{SessionError, Terms, X25519_LENGTH};
use crate::receipt::ReceiptKey;

/// The X25519 secret; one of zeros, which a key of small order leads to, is refused.
pub(super) fn agree(
    own: EphemeralPrivateKey,
    theirs: &[u8; X25519_LENGTH],
) -> Result<Zeroizing<[u8; 32]>, SessionError> {
    let refused = SessionError::KeyRefused("X25519");
    agreement::agree_ephemeral(own, UnparsedPublicKey::new(&X25519, theirs), refused, |secret| {
        let mut copy = Zeroizing::new([0; 32]);
        if secret.len() != copy.len() || secret.iter().fold(0, |all, byte| all | byte) == 0 {
            return Err(refused);
        }
        copy.copy_from_slice(secret);
        Ok(copy)
    })
}

/// What was exchanged in the open.
pub(super) struct Exchange<'a> {
    pub(super) hello: &'a [u8],
    pub(super) x25519_key: &'a [u8],
    pub(super) ciphertext: &'a [u8],
}

pub(super) struct Keys {
    pub(super) payload: Zeroizing<[u8; 32]>,
    pub(super) receipt: ReceiptKey,
    pub(super) confirmation: hmac::Tag,
}

impl Keys {
    pub(super) fn derive(
        terms: &Terms,
        exchange: &Exchange<'_>,
        x25519_secret: &[u8; 32],
        ml_kem_secret: &[u8],
    ) -> Result<Self, SessionError> {
        if ml_kem_secret.len() != 32 || ml_kem_secret.iter().fold(0, |all, byte| all | byte) == 0 {
            return Err(SessionError::KeyRefused("ML-KEM-768"));
        }
        let transcript = sha256(&[
            b"sealock session 1",
            &terms.context,
            &sha256(&[exchange.hello]),
            exchange.x25519_key,
            exchange.ciphertext,
        ]);
        let mut input = Zeroizing::new([0; 96]);
        let parts = [x25519_secret.as_slice(), ml_kem_secret, terms.secret.expose()];
        for (place, part) in input.chunks_exact_mut(32).zip(parts) {
            place.copy_from_slice(part);
        }
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &transcript).extract(input.as_slice());
        let confirm = hmac::Key::new(hmac::HMAC_SHA256, &*expand(&secret, "confirm")?);
        Ok(Self {
            payload: expand(&secret, "payload")?,
            receipt: ReceiptKey::new(&*expand(&secret, "receipt")?),
            confirmation: hmac::sign(&confirm, &transcript),
        })
    }
}

pub(super) fn expand(secret: &hkdf::Prk, info: &str) -> Result<Zeroizing<[u8; 32]>, SessionError> {
    let mut key = Zeroizing::new([0; 32]);
    secret
        .expand(&[info.as_bytes()], hkdf::HKDF_SHA256)
        .and_then(|material| material.fill(key.as_mut_slice()))
        .map_err(|_| SessionError::Keys)?;
    Ok(key)
}

/// Of parts that each have one length only, so that their boundaries are plain.
pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
