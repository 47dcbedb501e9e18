//! Making tokens.

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use zeroize::Zeroizing;

use super::claims::Claims;
use super::error::TokenError;
use super::header::Profile;
use super::key::{SIGNATURE, SigningKey};
use super::verify::MAXIMUM_TOKEN;

/// A signed token. Whether these claims may be given out has been decided before.
pub fn issue(
    key: &SigningKey,
    profile: Profile,
    claims: &Claims,
) -> Result<Zeroizing<String>, TokenError> {
    let token = seal(key, &header(key, profile), &claims.to_json(profile)?)?;
    if token.len() > MAXIMUM_TOKEN { Err(TokenError::TooLong) } else { Ok(token) }
}

fn header(key: &SigningKey, profile: Profile) -> Vec<u8> {
    #[derive(Serialize)]
    struct Written<'a> {
        alg: &'static str,
        typ: &'static str,
        kid: &'a str,
    }
    let header = Written { alg: key.algorithm().name(), typ: profile.typ(), kid: key.kid() };
    // Only texts are in it, which always can be written.
    serde_json::to_vec(&header).unwrap_or_default()
}

/// Signs any header and claims.
pub(super) fn seal(
    key: &SigningKey,
    header: &[u8],
    claims: &[u8],
) -> Result<Zeroizing<String>, TokenError> {
    let lengths = [header.len(), claims.len(), SIGNATURE].map(|it| BASE64URL_NOPAD.encode_len(it));
    // At its full length from the start: growing would leave a copy behind.
    let mut token = Zeroizing::new(String::with_capacity(lengths.iter().sum::<usize>() + 2));
    BASE64URL_NOPAD.encode_append(header, &mut token);
    token.push('.');
    BASE64URL_NOPAD.encode_append(claims, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    BASE64URL_NOPAD.encode_append(signature.as_ref(), &mut token);
    Ok(token)
}
