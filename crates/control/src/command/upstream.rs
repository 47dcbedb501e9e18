//! CAs of others that are asked by protocol.

use sealock_core::Timestamp;
use serde::{Deserialize, Serialize};

/// How it stands with a certificate that is asked for by protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentReport {
    /// Where, as the settings call it.
    pub upstream: String,
    /// How often it was asked for in vain.
    pub tries: u32,
    /// Whether somebody there has to say yes first.
    pub awaits_approval: bool,
    /// Why there was none the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// When it is asked for again; none while nothing waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
}

/// A CA that is asked by protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamReport {
    /// As the settings call it.
    pub name: String,
    /// `acme` or `est`.
    pub kind: String,
    /// Where it is.
    pub url: String,
    /// The account there, once it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The certificates that come from there.
    pub certificates: Vec<String>,
    /// What it has said of itself, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<UpstreamAnswer>,
}

/// What a CA says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamAnswer {
    /// ACME: where its terms are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<String>,
    /// ACME: whether somebody has to vouch for an account.
    pub binding_required: bool,
    /// ACME: whether it says when to renew (RFC 9773).
    pub renewal_information: bool,
    /// ACME: its kinds of certificates.
    pub profiles: Vec<String>,
    /// EST: the certificates of its CA. They are shown to be compared, and trusted only by `trust add`.
    pub authorities: Vec<UpstreamRoot>,
}

/// A certificate of a CA, as its server shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamRoot {
    /// Its subject.
    pub subject: String,
    /// SHA-256 in hex.
    pub fingerprint: String,
    /// Whether it is known here as a root.
    pub known: bool,
    /// The certificate.
    pub pem: String,
}
