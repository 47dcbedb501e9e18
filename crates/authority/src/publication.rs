//! Where others find what the authority publishes: revocation lists, OCSP, its own certificates.

use std::time::Duration;

use sealock_core::SubjectName;

use crate::error::AuthorityError;
use crate::inventory::IssuerId;
use crate::make;

/// How long an OCSP answer is good for, unless something else is wanted.
pub const OCSP_LIFE: Duration = Duration::from_secs(86_400);
/// For how many certificates OCSP answers are made in advance, unless something else is wanted.
pub const PRESIGNED: usize = 10_000;

/// Where others find what the authority publishes, and how it answers there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The beginning of all the URLs, such as `http://pki.corp.example:8480`; they are written into every
    /// certificate from then on. `None` writes none.
    pub url: Option<String>,
    /// Whether OCSP is answered.
    pub ocsp: bool,
    /// How long an OCSP answer is good for.
    pub ocsp_life: Duration,
    /// Whether a nonce is answered, at the price of a signature for each request that has one.
    pub nonce: bool,
    /// For how many of the certificates in force answers are made in advance.
    pub presigned: usize,
}

impl Default for Publication {
    fn default() -> Self {
        let (ocsp_life, presigned) = (OCSP_LIFE, PRESIGNED);
        Self { url: None, ocsp: false, ocsp_life, nonce: false, presigned }
    }
}

impl Publication {
    /// Checks that the URL can be written into certificates.
    pub fn check(&self) -> Result<(), AuthorityError> {
        self.url.as_deref().map_or(Ok(()), check_url)
    }

    /// Where the delta list of an issuer is.
    pub(crate) fn delta(&self, issuer: IssuerId) -> Option<String> {
        self.below(&format!("crl/{issuer}-delta.crl"))
    }

    /// What is written into a certificate of this issuer; `base` is where its lists are when no URL is
    /// given.
    pub(crate) fn urls(&self, issuer: IssuerId, base: Option<&str>) -> Urls {
        Urls {
            crl: self.below(&format!("crl/{issuer}.crl")).or_else(|| make::crl_url(base, issuer)),
            ocsp: if self.ocsp { self.below("ocsp") } else { None },
            issuer: self.below(&format!("ca/{issuer}.crt")),
        }
    }

    fn below(&self, path: &str) -> Option<String> {
        self.url.as_ref().map(|url| format!("{}/{path}", url.trim_end_matches('/')))
    }
}

/// The URLs in one certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Urls {
    /// Its issuer's revocation list.
    pub(crate) crl: Option<String>,
    /// Who answers whether it is revoked.
    pub(crate) ocsp: Option<String>,
    /// Its issuer's certificate.
    pub(crate) issuer: Option<String>,
}

/// An http(s) URL of printable ASCII that something can be appended to.
pub(crate) fn check_url(url: &str) -> Result<(), AuthorityError> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let good = rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && !rest.contains(['?', '#', '@'])
    });
    if good && url.len() <= 1024 && SubjectName::uri(url).is_ok() {
        return Ok(());
    }
    Err(AuthorityError::CrlUrl(url.escape_default().take(80).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_below_the_one_that_is_given() {
        let issuer: IssuerId = "0123456789abcdef".parse().unwrap();
        let nothing = Publication::default();
        assert_eq!(nothing.urls(issuer, None), Urls::default());
        let before = nothing.urls(issuer, Some("http://old.example/crls/"));
        assert_eq!(before.crl.as_deref(), Some("http://old.example/crls/0123456789abcdef.crl"));
        let url = Some("http://pki.corp.example:8480/".to_owned());
        let publication = Publication { url, ocsp: true, ..nothing };
        let urls = publication.urls(issuer, Some("http://old.example/crls/"));
        let at = |path: &str| Some(format!("http://pki.corp.example:8480/{path}"));
        assert_eq!(urls.crl, at("crl/0123456789abcdef.crl"));
        assert_eq!(urls.ocsp, at("ocsp"));
        assert_eq!(urls.issuer, at("ca/0123456789abcdef.crt"));
        assert_eq!(publication.delta(issuer), at("crl/0123456789abcdef-delta.crl"));
    }

    #[test]
    fn what_is_no_url_for_certificates_is_refused() {
        for url in ["http://a", "https://a.example:1/x", "http://[::1]:80"] {
            assert!(check_url(url).is_ok(), "{url}");
        }
        for url in
            ["", "http://", "ftp://a", "http:///a", "http://a b", "http://a\n", "http://u:p@a"]
        {
            assert!(check_url(url).is_err(), "{url}");
        }
        assert!(check_url(&format!("http://{}", "a".repeat(1024))).is_err());
    }
}
