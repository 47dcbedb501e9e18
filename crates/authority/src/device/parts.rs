//! Private keys taken apart for a device, and put together again.

use aws_lc_rs::encoding::{AsBigEndian as _, AsDer, Curve25519SeedBin, EcPrivateKeyBin};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};
use pkcs1::{RsaPrivateKey, RsaPublicKey};
use pkcs8::PrivateKeyInfo;
use pkcs8::der::asn1::UintRef;
use pkcs8::der::{Decode, Encode};
use sealock_core::SecretBytes;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;
use zeroize::Zeroizing;

use super::{DevicePublic, KeyParts};
use crate::csr;
use crate::key::{KeyError, KeyType, PublicKey, PublicKeyKind};

/// A key of PKCS#8 in its parts.
pub(crate) fn parts(pkcs8: &SecretBytes, kind: KeyType) -> Result<KeyParts, KeyError> {
    let der = pkcs8.expose();
    let unreadable = |_| KeyError::Unreadable;
    let parts = match kind {
        KeyType::P256 | KeyType::P384 => {
            let algorithm = match kind {
                KeyType::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
                _ => &ECDSA_P384_SHA384_ASN1_SIGNING,
            };
            let pair =
                EcdsaKeyPair::from_pkcs8(algorithm, der).map_err(|_| KeyError::Unreadable)?;
            let value: EcPrivateKeyBin<'_> =
                pair.private_key().as_be_bytes().map_err(unreadable)?;
            vec![secret(value.as_ref()), secret(pair.public_key().as_ref())]
        }
        KeyType::Ed25519 => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der);
            let pair = pair.map_err(|_| KeyError::Unreadable)?;
            let seed: Curve25519SeedBin<'_> =
                pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(unreadable)?;
            vec![secret(seed.as_ref()), secret(pair.public_key().as_ref())]
        }
        KeyType::Rsa3072 => {
            let info = PrivateKeyInfo::try_from(der).map_err(|_| KeyError::Unreadable)?;
            let key =
                RsaPrivateKey::from_der(info.private_key).map_err(|_| KeyError::Unreadable)?;
            [
                key.modulus,
                key.public_exponent,
                key.private_exponent,
                key.prime1,
                key.prime2,
                key.exponent1,
                key.exponent2,
                key.coefficient,
            ]
            .iter()
            .map(|number| secret(number.as_bytes()))
            .collect()
        }
    };
    Ok(KeyParts { kind, parts })
}

fn secret(bytes: &[u8]) -> SecretBytes {
    SecretBytes::new(bytes.to_vec())
}

/// PKCS#8 (version 1) of a key in its parts, as a device gave them: the public half is not believed, but worked out.
pub(crate) fn pkcs8(key: &KeyParts) -> Result<SecretBytes, KeyError> {
    let failed = |_| KeyError::Unreadable;
    let unreadable = |_| KeyError::Unreadable;
    match (key.kind, key.parts.as_slice()) {
        (KeyType::P256 | KeyType::P384, [value, public]) => {
            let (algorithm, size) = match key.kind {
                KeyType::P256 => (&ECDSA_P256_SHA256_ASN1_SIGNING, 32),
                _ => (&ECDSA_P384_SHA384_ASN1_SIGNING, 48),
            };
            let value = padded(value, size).ok_or(KeyError::Unreadable)?;
            let public = public.expose();
            let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &value, public)
                .map_err(|_| KeyError::Unreadable)?;
            pair.to_pkcs8v1().map(|document| secret(document.as_ref())).map_err(failed)
        }
        (KeyType::Ed25519, [seed, _]) => {
            let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose());
            let pair = pair.map_err(|_| KeyError::Unreadable)?;
            pair.to_pkcs8v1().map(|document| secret(document.as_ref())).map_err(failed)
        }
        (KeyType::Rsa3072, [n, e, d, p, q, dp, dq, inverse]) => {
            let uint = |bytes| UintRef::new(SecretBytes::expose(bytes)).map_err(unreadable);
            let key = RsaPrivateKey {
                modulus: uint(n)?,
                public_exponent: uint(e)?,
                private_exponent: uint(d)?,
                prime1: uint(p)?,
                prime2: uint(q)?,
                exponent1: uint(dp)?,
                exponent2: uint(dq)?,
                coefficient: uint(inverse)?,
                other_prime_infos: None,
            };
            let der = Zeroizing::new(key.to_der().map_err(unreadable)?);
            let pair = aws_lc_rs::signature::RsaKeyPair::from_der(&der);
            let pair = pair.map_err(|_| KeyError::Unreadable)?;
            let document: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
            Ok(secret(document.as_ref()))
        }
        _ => Err(KeyError::Unreadable),
    }
}

/// A number in as many bytes as its field has.
fn padded(value: &SecretBytes, size: usize) -> Option<Zeroizing<Vec<u8>>> {
    let missing = size.checked_sub(value.len())?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    bytes.resize(missing, 0);
    bytes.extend_from_slice(value.expose());
    Some(bytes)
}

/// The public key that a device tells, if it is one of that kind.
pub(crate) fn public_key(kind: KeyType, told: &DevicePublic) -> Option<PublicKey> {
    let (as_kind, bytes) = match kind {
        KeyType::P256 => (PublicKeyKind::P256, told.value.clone()),
        KeyType::P384 => (PublicKeyKind::P384, told.value.clone()),
        KeyType::Ed25519 => (PublicKeyKind::Ed25519, told.value.clone()),
        KeyType::Rsa3072 => {
            let modulus = UintRef::new(&told.value).ok()?;
            let public_exponent = UintRef::new(&told.exponent).ok()?;
            (PublicKeyKind::Rsa(3072), RsaPublicKey { modulus, public_exponent }.to_der().ok()?)
        }
    };
    // By the reader of what strangers bring, which looks at size, form and strength.
    let spki = PublicKey::new(as_kind, bytes).to_spki_der();
    let (_, info) = SubjectPublicKeyInfo::from_der(&spki).ok()?;
    csr::public_key(&info).ok().filter(|read| read.kind() == as_kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{AuthorityKey, NewKey};

    #[test]
    fn a_key_is_the_same_after_it_was_taken_apart() {
        for kind in KeyType::ALL {
            let made = NewKey::generate(kind).unwrap();
            let apart = parts(&made.pkcs8, kind).unwrap();
            assert!(format!("{apart:?}").contains("redacted"));
            let again = pkcs8(&apart).unwrap();
            let key = AuthorityKey::from_pkcs8(&again).unwrap();
            assert_eq!(key.identifier(), made.public.identifier(), "{kind}");
            let told = match kind {
                KeyType::Rsa3072 => DevicePublic {
                    value: apart.parts[0].expose().to_vec(),
                    exponent: apart.parts[1].expose().to_vec(),
                },
                _ => DevicePublic { value: apart.parts[1].expose().to_vec(), exponent: vec![] },
            };
            assert_eq!(public_key(kind, &told), Some(made.public), "{kind}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let bad = |kind, parts: &[&[u8]]| {
            let parts = parts.iter().map(|part| SecretBytes::new(part.to_vec())).collect();
            pkcs8(&KeyParts { kind, parts }).is_err()
        };
        assert!(bad(KeyType::P256, &[&[1; 33], &[4; 65]]));
        assert!(bad(KeyType::P256, &[&[1; 32], &[4; 65]]));
        assert!(bad(KeyType::P256, &[&[1; 32]]));
        assert!(bad(KeyType::Ed25519, &[&[1; 31], &[1; 32]]));
        assert!(bad(KeyType::Rsa3072, &[&[1_u8][..]; 8]));
        for kind in KeyType::ALL {
            for value in [vec![], vec![4; 65], vec![0; 32], vec![4; 97], vec![2; 33]] {
                let told = DevicePublic { value, exponent: vec![1, 0, 1] };
                let key = public_key(kind, &told);
                // Only the lengths that a point has; that it lies on the curve, the first signature shows.
                assert!(key.is_none() || kind != KeyType::Rsa3072, "{kind}");
            }
        }
    }
}
