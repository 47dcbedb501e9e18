//! The token of a call (RFC 6750 §2.1). The other ways of that RFC, in a form and in the query, are not taken: what is in
//! a URL ends up in logs.

use hyper::header::{AUTHORIZATION, HeaderMap};
use thiserror::Error;

use crate::token::MAXIMUM_TOKEN;

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BearerFault {
    /// There is no `Authorization`: 401.
    #[error("there is no token in the Authorization header")]
    Missing,
    /// It is of another scheme: 401.
    #[error("the Authorization header is not of the scheme Bearer")]
    OtherScheme,
    /// There are several: 400. Which one counts is a matter of taste, and tastes differ.
    #[error("there is more than one Authorization header")]
    Many,
    /// It is not one token of the allowed characters: 400.
    #[error("the Authorization header is not `Bearer` and one token")]
    Malformed,
    /// 400.
    #[error("the token is longer than {MAXIMUM_TOKEN} bytes")]
    TooLong,
}

/// The token of a request.
pub fn token(headers: &HeaderMap) -> Result<&str, BearerFault> {
    let mut all = headers.get_all(AUTHORIZATION).into_iter();
    let value = all.next().ok_or(BearerFault::Missing)?.as_bytes();
    if all.next().is_some() {
        return Err(BearerFault::Many);
    }
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(end).ok_or(BearerFault::Malformed)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(BearerFault::OtherScheme);
    }
    let token = std::str::from_utf8(rest).map_err(|_| BearerFault::Malformed)?;
    let token = token.trim_start_matches(' ');
    if token.len() > MAXIMUM_TOKEN {
        return Err(BearerFault::TooLong);
    }
    if is_b64token(token) { Ok(token) } else { Err(BearerFault::Malformed) }
}

fn is_b64token(token: &str) -> bool {
    let letters = token.trim_end_matches('=');
    // Without a way out before the end: so the compiler looks at many bytes at once.
    !letters.is_empty() && letters.bytes().fold(true, |all, byte| all & is_letter(byte))
}

/// Letters, digits and `-._~+/`.
const fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic()
        | matches!(byte, b'-'..=b'9')
        | (byte == b'+')
        | (byte == b'_')
        | (byte == b'~')
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn of(values: &[&str]) -> Result<String, BearerFault> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        token(&headers).map(str::to_owned)
    }

    #[test]
    fn one_header_one_scheme_one_token() {
        for value in
            ["Bearer a.b-c_d~e+f/g==", "bearer a.b-c_d~e+f/g==", "BEARER   a.b-c_d~e+f/g=="]
        {
            assert_eq!(of(&[value]).as_deref(), Ok("a.b-c_d~e+f/g=="), "{value}");
        }
        assert_eq!(of(&[]), Err(BearerFault::Missing));
        for value in
            ["", "Basic YTpi", "Bearer\ta", "Bearerx a", "a.b.c", "DPoP a", "Token token=\"a\""]
        {
            assert_eq!(of(&[value]), Err(BearerFault::OtherScheme), "{value}");
        }
        for value in [
            "Bearer",
            "Bearer ",
            "Bearer =",
            "Bearer a b",
            "Bearer a, Bearer b",
            "Bearer a=b",
            "Bearer \u{e9}",
            "Bearer a\t",
        ] {
            assert_eq!(of(&[value]), Err(BearerFault::Malformed), "{value}");
        }
        assert_eq!(of(&["Bearer a", "Bearer a"]), Err(BearerFault::Many));
        assert_eq!(of(&["Basic YTpi", "Bearer a"]), Err(BearerFault::Many));
        assert_eq!(of(&["Bearer a", ""]), Err(BearerFault::Many));
        let long = "a".repeat(MAXIMUM_TOKEN);
        assert_eq!(of(&[&format!("Bearer {long}")]), Ok(long.clone()));
        assert_eq!(of(&[&format!("Bearer {long}a")]), Err(BearerFault::TooLong));
    }
}
