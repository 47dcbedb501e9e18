//! A form, read strictly (WHATWG URL §5, RFC 6749 appendix B).

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::error::OauthError;

/// The media type of a request.
pub const FORM: &str = "application/x-www-form-urlencoded";
/// The longest request, in bytes. A token to be exchanged is in it.
pub const MAXIMUM_FORM: usize = 32 * 1024;
/// More parameters are no request of ours.
const MOST: usize = 32;
/// The longest name of a parameter.
const LONGEST_NAME: usize = 64;

/// The parameters of a request, each there once. Those without a value count as left out (RFC 6749 §3.2).
pub struct Form(Vec<(String, Zeroizing<String>)>);

impl std::fmt::Debug for Form {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Form {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`OauthFault::InvalidRequest`](super::OauthFault::InvalidRequest).
    pub fn parse(body: &[u8]) -> Result<Self, OauthError> {
        if body.len() > MAXIMUM_FORM {
            return Err(OauthError::request("the request is too long"));
        }
        let mut all: Vec<(String, Zeroizing<String>)> = Vec::new();
        for (count, part) in body.split(|byte| *byte == b'&').enumerate() {
            if part.is_empty() {
                continue;
            }
            if count >= MOST {
                return Err(OauthError::request("there are too many parameters"));
            }
            let mut halves = part.splitn(2, |byte| *byte == b'=');
            let name = decoded(halves.next().unwrap_or_default())?;
            let value = decoded(halves.next().unwrap_or_default())?;
            if name.is_empty() || name.len() > LONGEST_NAME || !is_plain(&name) {
                return Err(OauthError::request("a parameter has no name of one"));
            }
            if all.iter().any(|(there, _)| there == name.as_str()) {
                return Err(OauthError::request("a parameter is there twice"));
            }
            all.push((name.to_string(), value));
        }
        all.retain(|(_, value)| !value.is_empty());
        Ok(Self(all))
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str())
    }
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// One name or value: what is escaped is escaped whole, and is UTF-8 without control characters.
pub(super) fn decoded(part: &[u8]) -> Result<Zeroizing<String>, OauthError> {
    let wrong = || OauthError::request("the form is not encoded as it should be");
    let mut rest = part;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let digits = rest.get(at + 1..at + 3).ok_or_else(wrong)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(wrong());
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    if !part.iter().all(|byte| matches!(byte, b'!'..=b'~')) || part.contains(&b'&') {
        return Err(wrong());
    }
    // As a value, so that an equals sign in it is one.
    let mut form = Zeroizing::new(Vec::with_capacity(part.len() + 2));
    form.extend_from_slice(b"v=");
    form.extend_from_slice(part);
    let value = form_urlencoded::parse(&form).next().map(|(_, value)| value).unwrap_or_default();
    let value = match value {
        Cow::Borrowed(text) => Zeroizing::new(text.to_owned()),
        Cow::Owned(text) => Zeroizing::new(text),
    };
    // What was not UTF-8 has been replaced.
    if value.contains('\u{fffd}') || value.chars().any(char::is_control) {
        return Err(wrong());
    }
    Ok(value)
}
