//! What a server says, as far as it is read here and not by instant-acme: its directory and its problems. No I/O.

use serde::Deserialize;

use crate::text::said;

/// Entropy of 128 bits in base64url (RFC 8555 §8.3), and no more than fits a path.
const TOKEN: std::ops::RangeInclusive<usize> = 22..=256;

/// A directory (RFC 8555 §7.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Directory {
    /// Where nonces are.
    pub new_nonce: String,
    /// Where accounts are made.
    pub new_account: String,
    /// Where orders are made.
    pub new_order: String,
    /// Where it says when to renew (RFC 9773).
    #[serde(default)]
    pub renewal_info: Option<String>,
    /// The rest.
    #[serde(default)]
    pub meta: Meta,
}

/// What a server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Where its terms are.
    pub terms_of_service: Option<String>,
    /// About whom it is.
    pub website: Option<String>,
    /// Whether somebody has to vouch for an account.
    pub external_account_required: bool,
    /// Kinds of certificates, with what is said of each.
    pub profiles: std::collections::BTreeMap<String, String>,
}

impl Directory {
    /// What a server has sent.
    ///
    /// # Errors
    /// Why it is no directory.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes)
            .map_err(|error| format!("its directory is none: {}", said(&error.to_string())))
    }
}

/// A problem (RFC 8555 §6.7), as it can be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problem {
    /// The end of its type, such as `badNonce`; empty where it has none.
    pub kind: String,
    /// For people.
    pub detail: String,
}

impl Problem {
    /// What a server has sent; something else is a problem that says nothing.
    pub fn read(bytes: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Sent {
            #[serde(rename = "type")]
            kind: Option<String>,
            detail: Option<String>,
        }
        let Ok(Sent { kind, detail }) = serde_json::from_slice(bytes) else {
            return Self::default();
        };
        Self::of(kind.as_deref(), detail.as_deref())
    }

    /// Of its type and its text.
    pub(crate) fn of(kind: Option<&str>, detail: Option<&str>) -> Self {
        let kind = kind.and_then(|kind| kind.rsplit(':').next()).unwrap_or_default();
        let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        let detail = match (said(detail.unwrap_or_default()), kind.is_empty()) {
            (text, true) => text,
            (text, false) if text.is_empty() => kind.clone(),
            (text, false) => format!("{text} ({kind})"),
        };
        Self { kind, detail }
    }
}

/// Whether this is a challenge's token: base64url and nothing else, for it becomes part of a path, and an answer.
pub fn is_token(text: &str) -> bool {
    TOKEN.contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_what_is_needed() {
        let text =
            br#"{"newNonce":"https://a/n","newAccount":"https://a/a","newOrder":"https://a/o",
            "meta":{"externalAccountRequired":true,"profiles":{"short":"a day"}},"xyz":1}"#;
        let read = Directory::read(text).unwrap();
        assert!(read.meta.external_account_required && read.meta.profiles["short"] == "a day");
        assert_eq!(read.renewal_info, None);
        for bad in [&b""[..], b"[]", b"{}", b"{\"newNonce\":1}", b"<html>"] {
            assert!(Directory::read(bad).is_err());
        }
    }

    #[test]
    fn a_problem_is_shown_in_a_line() {
        let read = |text: &str| Problem::read(text.as_bytes());
        let problem = read(
            r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"slow\ndown\u001b[2J"}"#,
        );
        assert_eq!(problem.kind, "rateLimited");
        assert!(
            problem.detail.starts_with("slow down") && problem.detail.ends_with("(rateLimited)")
        );
        assert!(!problem.detail.contains('\u{1b}'));
        assert_eq!(read("<html>"), Problem::default());
        assert_eq!(read(r#"{"type":"about:blank"}"#).detail, "blank");
    }

    #[test]
    fn a_token_is_no_path() {
        assert!(is_token("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"));
        for bad in [
            "",
            "short",
            "../../../../../etc/passwd",
            &"a".repeat(257),
            &format!("{}\r\n", "a".repeat(40)),
        ] {
            assert!(!is_token(bad), "{bad}");
        }
    }
}
