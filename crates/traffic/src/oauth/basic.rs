//! `Authorization: Basic` with a client's name and secret (RFC 6749 §2.3.1, RFC 7617).

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::error::{OauthError, OauthFault};
use super::form::decoded;
use super::request::Credentials;

/// Longer credentials are none of ours.
const LONGEST: usize = 1024;

/// Reads the header's value. `None`: it is of another scheme.
pub(super) fn read(header: &[u8]) -> Result<Option<Credentials>, OauthError> {
    let wrong =
        || OauthError::new(OauthFault::InvalidClient, "the Authorization header cannot be read");
    let Some((scheme, rest)) = header.split_at_checked(6) else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return Ok(None);
    }
    let encoded = rest.trim_ascii();
    if encoded.len() > LONGEST {
        return Err(wrong());
    }
    let bytes = Zeroizing::new(BASE64.decode(encoded).map_err(|_| wrong())?);
    let at = bytes.iter().position(|byte| *byte == b':').ok_or_else(wrong)?;
    let (name, secret) = bytes.split_at(at);
    // Both are encoded as in a form; our names and secrets have nothing to encode, so clients that forget it work too.
    let name = decoded(name).map_err(|_| wrong())?;
    let secret = decoded(secret.get(1..).unwrap_or_default()).map_err(|_| wrong())?;
    Ok(Some(Credentials { client: name.to_string(), secret }))
}
