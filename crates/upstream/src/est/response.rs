//! An answer of EST: certificates, and nothing else (RFC 7030 §4.1.3, §4.2.3). No I/O.

use data_encoding::BASE64;
use thiserror::Error;

/// Why an answer is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResponseError {
    /// Something else, a page for people for instance.
    #[error("the answer is {0} in place of application/pkcs7-mime")]
    ContentType(String),
    /// A key, or a request for something.
    #[error("the answer is `{0}` in place of certificates only (certs-only)")]
    NotOnlyCertificates(String),
    /// As it travels.
    #[error("the answer is not in base64 (RFC 8951 §3.1)")]
    Base64,
    /// Nothing.
    #[error("the answer is empty")]
    Empty,
}

/// The PKCS#7 of an answer as DER, not read yet. A content type must be there, and say so; whoever wraps lines may.
///
/// # Errors
/// It is something else.
pub fn read(content_type: Option<&str>, body: &[u8]) -> Result<Vec<u8>, ResponseError> {
    let shown = |text: &str| crate::said(text);
    let mut parts = content_type.unwrap_or("nothing").split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    if !media.eq_ignore_ascii_case("application/pkcs7-mime") {
        return Err(ResponseError::ContentType(shown(media)));
    }
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("smime-type")
            && !value.eq_ignore_ascii_case("certs-only")
        {
            return Err(ResponseError::NotOnlyCertificates(shown(value)));
        }
    }
    let text: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let der = BASE64.decode(&text).map_err(|_| ResponseError::Base64)?;
    if der.is_empty() { Err(ResponseError::Empty) } else { Ok(der) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: Option<&str> = Some("application/pkcs7-mime; smime-type=certs-only");

    #[test]
    fn what_a_server_may_write() {
        for content_type in [
            "application/pkcs7-mime",
            "Application/PKCS7-MIME;smime-type=\"certs-only\"",
            "application/pkcs7-mime; smime-type=certs-only; name=smime.p7m",
        ] {
            assert_eq!(read(Some(content_type), b"MAMC\r\nAQE=\n").unwrap(), [0x30, 3, 2, 1, 1]);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let other = |text: &str| ResponseError::ContentType(text.to_owned());
        for (content_type, body, why) in [
            (None, &b"MAA="[..], other("nothing")),
            (Some("text/html"), b"MAA=", other("text/html")),
            (Some("application/pkcs7-mimes"), b"MAA=", other("application/pkcs7-mimes")),
            (
                Some("application/pkcs7-mime; smime-type=server-generated-key"),
                b"MAA=",
                ResponseError::NotOnlyCertificates("server-generated-key".to_owned()),
            ),
            (TYPE, b"", ResponseError::Empty),
            (TYPE, b" \r\n", ResponseError::Empty),
            (TYPE, b"\x30\x82\x01\x00", ResponseError::Base64),
            (TYPE, b"MAA", ResponseError::Base64),
            (TYPE, b"-----BEGIN PKCS7-----\nMAA=\n", ResponseError::Base64),
        ] {
            assert_eq!(read(content_type, body).unwrap_err(), why);
        }
    }
}
