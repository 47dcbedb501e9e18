//! The requests of EST: the CA's certificates, enrolment, and enrolment anew.

use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use sealock_core::SecretBytes;
use zeroize::Zeroizing;

use super::response;
use crate::client::{Answer, Client};
use crate::error::UpstreamError;
use crate::place::Place;
use crate::text::said;

/// Longer labels are none.
const LONGEST_LABEL: usize = 64;
/// What a server that does not say when wants to be left alone for, after "not yet".
const LATER: Duration = Duration::from_secs(300);

/// Whether this can be a label (RFC 7030 §3.2.2): a segment that is none of the operations.
pub fn is_label(text: &str) -> bool {
    const OPERATIONS: [&str; 6] =
        ["cacerts", "simpleenroll", "simplereenroll", "fullcmc", "serverkeygen", "csrattrs"];
    !text.is_empty()
        && text.len() <= LONGEST_LABEL
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && !text.bytes().all(|byte| byte == b'.')
        && !OPERATIONS.contains(&text)
}

/// Name and password (HTTP Basic, RFC 7617).
pub struct Credentials {
    /// The name; without a colon.
    pub user: String,
    /// The password.
    pub password: SecretBytes,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The certificate: PKCS#7 as DER, not read yet.
    Issued(Vec<u8>),
    /// Somebody has to say yes first; the same request is to be made again after this time (RFC 7030 §4.2.3).
    Later(Duration),
}

/// An EST server.
#[derive(Debug)]
pub struct Est<'a> {
    /// The connection; its certificate, where it has one, says who we are.
    pub client: &'a Client,
    /// `https://HOST[:PORT]/`.
    pub server: &'a Place,
    /// Which of the server's CAs.
    pub label: Option<&'a str>,
    /// Who we are, where a certificate does not say it.
    pub credentials: Option<&'a Credentials>,
}

impl Est<'_> {
    fn url(&self, operation: &str) -> String {
        let segments = [".well-known", "est"].into_iter().chain(self.label).chain([operation]);
        self.server.below(&segments.collect::<Vec<_>>()).to_string()
    }

    /// The certificates of the CA (RFC 7030 §4.1.2): PKCS#7 as DER. They are to build chains with; who is trusted is not
    /// learned from here.
    ///
    /// # Errors
    /// There is no answer, or one that is none.
    pub async fn cacerts(&self) -> Result<Vec<u8>, UpstreamError> {
        let answer = self.client.send(Method::GET, &self.url("cacerts"), &[], Bytes::new()).await?;
        match answer.status {
            StatusCode::OK => Ok(response::read(answer.text(&CONTENT_TYPE), &answer.body)?),
            _ => Err(self.refused(&answer)),
        }
    }

    /// Sends the CSR (DER): as one who is new (RFC 7030 §4.2.1), or as one whose certificate the connection shows
    /// (§4.2.2).
    ///
    /// # Errors
    /// The server refuses, there is no answer, or one that is none.
    pub async fn enrol(&self, csr: &[u8], again: bool) -> Result<Outcome, UpstreamError> {
        let operation = if again { "simplereenroll" } else { "simpleenroll" };
        let mut headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/pkcs10")),
            // RFC 8951 has servers ignore it; some older ones insist.
            (
                HeaderName::from_static("content-transfer-encoding"),
                HeaderValue::from_static("base64"),
            ),
            (ACCEPT, HeaderValue::from_static("application/pkcs7-mime")),
        ];
        if let Some(credentials) = self.credentials {
            headers.push((AUTHORIZATION, basic(credentials)?));
        }
        let body = Bytes::from(BASE64.encode(csr).into_bytes());
        let answer = self.client.send(Method::POST, &self.url(operation), &headers, body).await?;
        match answer.status {
            StatusCode::OK => response::read(answer.text(&CONTENT_TYPE), &answer.body)
                .map(Outcome::Issued)
                .map_err(Into::into),
            StatusCode::ACCEPTED => Ok(Outcome::Later(answer.after().unwrap_or(LATER))),
            _ => Err(self.refused(&answer)),
        }
    }

    fn refused(&self, answer: &Answer) -> UpstreamError {
        // What is meant for people is text (RFC 7030 §4.2.3); pages and the like are not.
        let is_text = answer.text(&CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/plain"));
        let text = std::str::from_utf8(&answer.body).ok().filter(|_| is_text);
        let detail = text.map(said).filter(|text| !text.is_empty());
        UpstreamError::Status {
            origin: self.client.origin().clone(),
            status: answer.status.as_u16(),
            detail: detail.map(|text| format!(": {text}")).unwrap_or_default(),
            after: answer.after(),
        }
    }
}

fn basic(credentials: &Credentials) -> Result<HeaderValue, UpstreamError> {
    let Credentials { user, password } = credentials;
    // Sized in advance: a password must not be left behind in a buffer that grew.
    let mut pair = Zeroizing::new(Vec::with_capacity(user.len() + 1 + password.len()));
    pair.extend_from_slice(user.as_bytes());
    pair.push(b':');
    pair.extend_from_slice(password.expose());
    let mut text = Zeroizing::new(String::with_capacity(6 + BASE64.encode_len(pair.len())));
    text.push_str("Basic ");
    BASE64.encode_append(&pair, &mut text);
    let mut value = HeaderValue::from_str(&text).map_err(|_| UpstreamError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_segment_and_no_operation() {
        for label in ["web", "Device-CA_2", "a.b"] {
            assert!(is_label(label), "{label}");
        }
        for label in ["", "..", ".", "a/b", "a%2f", "cacerts", "simpleenroll", "ä", &"x".repeat(65)]
        {
            assert!(!is_label(label), "{label}");
        }
    }

    #[test]
    fn a_password_is_in_the_header_and_in_no_debug_output() {
        let password = SecretBytes::new(b"open sesame".to_vec());
        let credentials = Credentials { user: "Aladdin".to_owned(), password };
        let value = basic(&credentials).unwrap();
        assert_eq!(value.as_bytes(), b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(!format!("{credentials:?} {value:?}").contains("sesame"));
        assert!(!format!("{value:?}").contains("QWxh"));
    }
}
