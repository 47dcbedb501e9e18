//! AES-256-GCM over bytes and what is bound to them. A sealed text is nonce (12 bytes), ciphertext and
//! tag (16 bytes); the nonce is random.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use crate::error::VaultError;

/// How much longer a sealed text is than the plain one.
pub(crate) const OVERHEAD: usize = NONCE_LEN + 16;
/// Bytes of a key.
pub(crate) const KEY: usize = 32;

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, VaultError> {
    let mut bytes = Zeroizing::new([0; N]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| VaultError::Random)?;
    Ok(bytes)
}

/// The key ready for use. It wipes itself when it is dropped.
pub(crate) fn cipher(key: &[u8; KEY]) -> Result<RandomizedNonceKey, VaultError> {
    RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| VaultError::Seal)
}

/// Seals `plain`; empty, the sealed text is only a proof of what is bound.
pub(crate) fn seal(
    cipher: &RandomizedNonceKey,
    bound: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, VaultError> {
    // Room for all of it at once: growing would leave copies of the plain text behind.
    let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
    sealed.extend_from_slice(&[0; NONCE_LEN]);
    sealed.extend_from_slice(plain);
    let (head, body) = sealed.split_at_mut(NONCE_LEN);
    let (nonce, tag) =
        cipher.seal_in_place_separate_tag(Aad::from(bound), body).map_err(|_| VaultError::Seal)?;
    head.copy_from_slice(nonce.as_ref());
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// Opens what [`seal`] made with the same key and the same bound bytes; `None` for anything else.
pub(crate) fn open(
    cipher: &RandomizedNonceKey,
    bound: &[u8],
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut plain = Zeroizing::new(body.to_vec());
    let length = cipher.open_in_place(Nonce::from(nonce), Aad::from(bound), &mut plain).ok()?.len();
    plain.truncate(length);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_bound_bytes_open() {
        let key = cipher(&random().unwrap()).unwrap();
        for plain in [&b""[..], b"x", &[7; 5000]] {
            let sealed = seal(&key, b"bound", plain).unwrap();
            assert_eq!(sealed.len(), plain.len() + OVERHEAD);
            assert_eq!(open(&key, b"bound", &sealed).unwrap().as_slice(), plain);
            assert!(open(&key, b"other", &sealed).is_none());
            assert!(open(&cipher(&random().unwrap()).unwrap(), b"bound", &sealed).is_none());
            for end in (0..sealed.len()).step_by(1 + sealed.len() / 100) {
                assert!(open(&key, b"bound", &sealed[..end]).is_none(), "cut at {end}");
                let mut changed = sealed.clone();
                changed[end] ^= 0x10;
                assert!(open(&key, b"bound", &changed).is_none(), "changed at {end}");
            }
        }
    }
}
