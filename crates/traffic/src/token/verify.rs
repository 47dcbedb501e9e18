//! Checking tokens.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::BASE64URL_NOPAD;

use super::claims::Claims;
use super::header::Header;
use super::jwks::KeySet;
use super::refusal::Refusal;

/// The longest token, in bytes.
pub const MAXIMUM_TOKEN: usize = 8 * 1024;

/// How far clocks may be apart, in seconds: the usual value of [`Expected::skew`].
pub const SKEW: u64 = 30;

/// What a token is held against.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// `aud`: who we are.
    pub audience: &'a str,
    /// Seconds since 1970.
    pub now: u64,
    /// How many seconds the issuer's clock may be off, either way.
    pub skew: u64,
    /// How many seconds a token may live.
    pub longest: u64,
    /// SHA-256 of the DER of the certificate that the peer has proven on this connection.
    pub certificate: Option<&'a [u8; 32]>,
}

/// What a token says, if every rule holds. Any [`Profile`](super::Profile) is taken.
pub fn verify(token: &str, keys: &KeySet, expected: &Expected<'_>) -> Result<Claims, Refusal> {
    let claims = signed(token, keys)?;
    claims.hold_against(expected)?;
    Ok(claims)
}

/// What a token says, if it is signed and alive, whoever it is for and whichever certificate it is bound to. For who
/// is asked about tokens of others (RFC 7662), and for nobody else: `expected` has an audience that is not looked at.
pub fn inspect(token: &str, keys: &KeySet, expected: &Expected<'_>) -> Result<Claims, Refusal> {
    let claims = signed(token, keys)?;
    claims.hold_at(expected)?;
    if claims.issuer == expected.issuer { Ok(claims) } else { Err(Refusal::WrongIssuer) }
}

/// What a token says, if its signature holds.
fn signed(token: &str, keys: &KeySet) -> Result<Claims, Refusal> {
    let parts = Parts::of(token)?;
    let header = Header::read(&decode("header", parts.header)?)?;
    let key = keys.get(&header.kid).ok_or(Refusal::UnknownKey)?;
    if key.algorithm() != header.algorithm {
        return Err(Refusal::AlgorithmMismatch);
    }
    let signature = decode("signature", parts.signature)?;
    if !key.check_signature(parts.signed.as_bytes(), &signature) {
        return Err(Refusal::BadSignature);
    }
    Claims::read(&decode("claims", parts.claims)?, header.profile)
}

/// The three parts of the compact form.
pub(super) struct Parts<'a> {
    pub(super) header: &'a str,
    pub(super) claims: &'a str,
    pub(super) signature: &'a str,
    /// Header and claims as they came.
    pub(super) signed: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn of(token: &'a str) -> Result<Self, Refusal> {
        if token.len() > MAXIMUM_TOKEN {
            return Err(Refusal::TooLong);
        }
        match token.bytes().filter(|byte| *byte == b'.').count() {
            2 => {}
            4 => return Err(Refusal::Encrypted),
            _ => return Err(Refusal::Malformed),
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        Ok(Self { header, claims, signature, signed })
    }
}

/// Other characters, padding and bits left over are refused: the text is the only one for these bytes.
pub(super) fn decode(part: &'static str, text: &str) -> Result<Vec<u8>, Refusal> {
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| Refusal::BadEncoding { part })
}

impl Claims {
    fn hold_against(&self, expected: &Expected<'_>) -> Result<(), Refusal> {
        if self.issuer != expected.issuer {
            return Err(Refusal::WrongIssuer);
        }
        if self.audience != expected.audience {
            return Err(Refusal::WrongAudience);
        }
        self.hold_at(expected)?;
        match (&self.binding, expected.certificate) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Refusal::CertificateRequired),
            (Some(bound), Some(presented)) => {
                verify_slices_are_equal(bound, presented).map_err(|_| Refusal::WrongCertificate)
            }
        }
    }

    fn hold_at(&self, expected: &Expected<'_>) -> Result<(), Refusal> {
        let life = self.expires_at.checked_sub(self.issued_at);
        if !life.is_some_and(|life| life > 0 && life <= expected.longest)
            || self.not_before >= self.expires_at
        {
            return Err(Refusal::WrongLifetime);
        }
        let latest = expected.now.saturating_add(expected.skew);
        if self.issued_at > latest {
            return Err(Refusal::IssuedInFuture);
        }
        if self.not_before > latest {
            return Err(Refusal::NotYetValid);
        }
        if expected.now >= self.expires_at.saturating_add(expected.skew) {
            return Err(Refusal::Expired);
        }
        Ok(())
    }
}
