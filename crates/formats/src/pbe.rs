//! Encryption under a password: PBES2 (RFC 8018 §6.2), and PKCS#12's older schemes (RFC 7292 §C).

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, EncryptionContext,
    PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipher, BlockDecryptMut, BlockEncryptMut, InnerIvInit, KeyInit};
use des::{TdesEde2, TdesEde3};
use rc2::Rc2;
use zeroize::Zeroizing;

use crate::asn1::{INTEGER, OID, Reader, SEQUENCE};
use crate::der;
use crate::error::ReadError;
use crate::oid;
use crate::password::{Derivation, Hash, Password, Purpose, Rounds};

/// Decrypts under the scheme that an `AlgorithmIdentifier` names.
pub(crate) fn decrypt(
    algorithm: Reader<'_>,
    password: &Password,
    data: &[u8],
    left: &mut Rounds,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let mut algorithm = algorithm;
    let scheme = algorithm.expect(OID)?.body;
    if scheme == oid::PBES2 {
        return pbes2(algorithm.inside(SEQUENCE)?, password, data, left);
    }
    match scheme.strip_prefix(oid::PKCS12_PBE) {
        Some([number]) => pkcs12(*number, algorithm.inside(SEQUENCE)?, password, data, left),
        _ => Err(unsupported("encryption by", scheme)),
    }
}

pub(crate) fn unsupported(what: &str, identifier: &[u8]) -> ReadError {
    ReadError::Unsupported(format!("{what} {}", oid::dotted(identifier)))
}

fn pbes2(
    mut parameters: Reader<'_>,
    password: &Password,
    data: &[u8],
    left: &mut Rounds,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let derivation = parameters.inside(SEQUENCE)?;
    let mut cipher = parameters.inside(SEQUENCE)?;
    let name = cipher.expect(OID)?.body;
    let (aes, key_length): (Option<&Algorithm>, usize) = match name {
        oid::AES_128_CBC => (Some(&AES_128), 16),
        oid::AES_192_CBC => (Some(&AES_192), 24),
        oid::AES_256_CBC => (Some(&AES_256), 32),
        oid::DES_EDE3_CBC => (None, 24),
        _ => return Err(unsupported("the cipher", name)),
    };
    let iv = cipher.octets()?;
    let key = pbkdf2(derivation, password.utf8(), Some(key_length), left)?;
    match aes {
        Some(aes) => decrypt_aes(aes, &key, &iv, data),
        None => decrypt_blocks(TdesEde3::new_from_slice(&key), &iv, data),
    }
}

/// PBKDF2 as an `AlgorithmIdentifier` names it. The key has this length, or the one that stands there.
pub(crate) fn pbkdf2(
    mut derivation: Reader<'_>,
    password: &[u8],
    length: Option<usize>,
    left: &mut Rounds,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let name = derivation.expect(OID)?.body;
    if name == oid::SCRYPT {
        return Err(ReadError::Unsupported("deriving keys by scrypt".to_owned()));
    }
    if name != oid::PBKDF2 {
        return Err(unsupported("deriving keys by", name));
    }
    let mut parameters = derivation.inside(SEQUENCE)?;
    let salt = parameters.octets()?;
    let rounds = parameters.number()?;
    let said = match parameters.peek() {
        Some(INTEGER) => Some(parameters.number()?),
        _ => None,
    };
    let hash = match parameters.optional(SEQUENCE)? {
        Some(function) => hmac_hash(function.reader())?,
        None => Hash::Sha1,
    };
    const LENGTH: ReadError = ReadError::Damaged("the length of a key is wrong");
    let said = said.map(usize::try_from).transpose().map_err(|_| LENGTH)?;
    let length = match (length, said) {
        (Some(length), said) if said.is_none_or(|said| said == length) => length,
        (None, Some(said)) if (16..=64).contains(&said) => said,
        _ => return Err(LENGTH),
    };
    let derivation = Derivation { hash, salt: &salt, rounds };
    derivation.pbkdf2(password, length, left)
}

/// The hash of an HMAC that an `AlgorithmIdentifier` names.
pub(crate) fn hmac_hash(mut algorithm: Reader<'_>) -> Result<Hash, ReadError> {
    let name = algorithm.expect(OID)?.body;
    match name.strip_prefix(oid::HMAC) {
        Some([7]) => Ok(Hash::Sha1),
        Some([8]) => Ok(Hash::Sha224),
        Some([9]) => Ok(Hash::Sha256),
        Some([10]) => Ok(Hash::Sha384),
        Some([11]) => Ok(Hash::Sha512),
        _ => Err(unsupported("the pseudorandom function", name)),
    }
}

fn pkcs12(
    scheme: u8,
    mut parameters: Reader<'_>,
    password: &Password,
    data: &[u8],
    left: &mut Rounds,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let length = match scheme {
        3 => 24,
        4 | 5 => 16,
        6 => 5,
        _ => {
            let name = [oid::PKCS12_PBE, &[scheme]].concat();
            return Err(unsupported("encryption by", &name));
        }
    };
    let salt = parameters.octets()?;
    let rounds = parameters.number()?;
    let derivation = Derivation { hash: Hash::Sha1, salt: &salt, rounds };
    let key = derivation.pkcs12(Purpose::Key, password.utf16(), length, left)?;
    let iv = derivation.pkcs12(Purpose::Iv, password.utf16(), 8, left)?;
    match scheme {
        3 => decrypt_blocks(TdesEde3::new_from_slice(&key), &iv, data),
        4 => decrypt_blocks(TdesEde2::new_from_slice(&key), &iv, data),
        5 => decrypt_blocks(Ok(Rc2::new_with_eff_key_len(&key, 128)), &iv, data),
        _ => decrypt_blocks(Ok(Rc2::new_with_eff_key_len(&key, 40)), &iv, data),
    }
}

const IV_LENGTH: ReadError = ReadError::Damaged("an initialisation vector has the wrong length");

fn decrypt_aes(
    algorithm: &'static Algorithm,
    key: &[u8],
    iv: &[u8],
    data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let iv: [u8; 16] = iv.try_into().map_err(|_| IV_LENGTH)?;
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let mut data = Zeroizing::new(data.to_vec());
    let length = UnboundCipherKey::new(algorithm, key)
        .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
        .and_then(|key| key.decrypt(&mut data, context).map(|plain| plain.len()))
        .map_err(|_| ReadError::WrongPassword)?;
    data.truncate(length);
    Ok(data)
}

fn decrypt_blocks<C: BlockCipher + BlockDecryptMut>(
    cipher: Result<C, cbc::cipher::InvalidLength>,
    iv: &[u8],
    data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let cipher = cipher.map_err(|_| ReadError::Damaged("the length of a key is wrong"))?;
    let cbc = cbc::Decryptor::<C>::inner_iv_slice_init(cipher, iv).map_err(|_| IV_LENGTH)?;
    let mut data = Zeroizing::new(data.to_vec());
    let length = cbc
        .decrypt_padded_mut::<Pkcs7>(&mut data)
        .map(<[u8]>::len)
        .map_err(|_| ReadError::WrongPassword)?;
    data.truncate(length);
    Ok(data)
}

/// How much work it is to try a password on what we write. Programs that limit it, as .NET's loader does, take this.
pub(crate) const WRITTEN_ROUNDS: u32 = 100_000;

/// What is encrypted, and under which scheme.
pub(crate) struct Encrypted {
    /// An `AlgorithmIdentifier`.
    pub(crate) algorithm: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

/// PBES2 with PBKDF2, HMAC-SHA-256 and AES-256-CBC.
pub(crate) fn encrypt(
    password: &Password,
    salt: [u8; 16],
    iv: [u8; 16],
    plain: &[u8],
) -> Option<Encrypted> {
    let derivation = Derivation { hash: Hash::Sha256, salt: &salt, rounds: WRITTEN_ROUNDS };
    let key = derivation.pbkdf2(password.utf8(), 32, &mut Rounds::new(u32::MAX)).ok()?;
    let mut data = plain.to_vec();
    // It is padded and encrypted in place: it must not grow, and so leave a copy behind.
    data.reserve_exact(16);
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    UnboundCipherKey::new(&AES_256, &key)
        .and_then(PaddedBlockEncryptingKey::cbc_pkcs7)
        .and_then(|key| key.less_safe_encrypt(&mut data, context))
        .ok()?;
    let function = der::sequence(&[&der::oid(oid::HMAC_SHA256), &der::null()]);
    let parameters = der::sequence(&[&der::octets(&salt), &der::number(WRITTEN_ROUNDS), &function]);
    let derivation = der::sequence(&[&der::oid(oid::PBKDF2), &parameters]);
    let cipher = der::sequence(&[&der::oid(oid::AES_256_CBC), &der::octets(&iv)]);
    let parameters = der::sequence(&[&derivation, &cipher]);
    Some(Encrypted { algorithm: der::sequence(&[&der::oid(oid::PBES2), &parameters]), data })
}

/// `pbeWithSHAAnd3-KeyTripleDES-CBC`, for programs that know nothing newer.
pub(crate) fn encrypt_legacy(
    password: &Password,
    salt: [u8; 16],
    plain: &[u8],
) -> Option<Encrypted> {
    let derivation = Derivation { hash: Hash::Sha1, salt: &salt, rounds: WRITTEN_ROUNDS };
    let mut left = Rounds::new(u32::MAX);
    let key = derivation.pkcs12(Purpose::Key, password.utf16(), 24, &mut left).ok()?;
    let iv = derivation.pkcs12(Purpose::Iv, password.utf16(), 8, &mut left).ok()?;
    let cipher = TdesEde3::new_from_slice(&key).ok()?;
    let cbc = cbc::Encryptor::<TdesEde3>::inner_iv_slice_init(cipher, &iv).ok()?;
    let data = cbc.encrypt_padded_vec_mut::<Pkcs7>(plain);
    let parameters = der::sequence(&[&der::octets(&salt), &der::number(WRITTEN_ROUNDS)]);
    let algorithm = der::sequence(&[&der::oid(oid::PBE_SHA1_3DES), &parameters]);
    Some(Encrypted { algorithm, data })
}
