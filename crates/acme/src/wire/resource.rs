//! Resources as they are answered (RFC 8555 §7.1). Times are whole seconds: not all clients read fractions.

use sealock_core::Timestamp;
use serde::{Serialize, Serializer};

use super::account::Contact;
use super::status::{AccountStatus, AuthorizationStatus, ChallengeStatus, OrderStatus};
use crate::ari::CertificateId;
use crate::challenge::{ChallengeType, Token};
use crate::identifier::Identifier;
use crate::problem::AcmeProblem;

/// An account (RFC 8555 §7.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountResource {
    /// Its state.
    pub status: AccountStatus,
    /// How its holder can be reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contact: Vec<Contact>,
    /// Whether its holder has agreed to the terms of service, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms_of_service_agreed: Option<bool>,
    /// The URL of the list of its orders.
    pub orders: String,
}

/// The list of an account's orders (RFC 8555 §7.1.2.1). Where it goes on, the header `Link` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrdersResource {
    /// Their URLs.
    pub orders: Vec<String>,
}

/// An order (RFC 8555 §7.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderResource {
    /// Its state.
    pub status: OrderStatus,
    /// Until when it is worth something; required while it is pending or valid.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub expires: Option<Timestamp>,
    /// What the certificate is to be for.
    pub identifiers: Vec<Identifier>,
    /// What was asked for.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub not_before: Option<Timestamp>,
    /// What was asked for.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub not_after: Option<Timestamp>,
    /// The profile (draft-ietf-acme-profiles §4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What it replaces (RFC 9773 §5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<CertificateId>,
    /// Why it has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<AcmeProblem>,
    /// The URLs of its authorizations.
    pub authorizations: Vec<String>,
    /// The URL to which the certificate request goes.
    pub finalize: String,
    /// The URL of the certificate, when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// An authorization (RFC 8555 §7.1.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuthorizationResource {
    /// What it is for, without `*.`.
    pub identifier: Identifier,
    /// Its state.
    pub status: AuthorizationStatus,
    /// Until when it is worth something; required while it is valid.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub expires: Option<Timestamp>,
    /// How it can be, or was, proven.
    pub challenges: Vec<ChallengeResource>,
    /// Whether it was made for a wildcard. Only then it is there.
    #[serde(skip_serializing_if = "is_false")]
    pub wildcard: bool,
}

impl AuthorizationResource {
    /// That of an identifier as an order has it.
    pub fn of(
        identifier: &Identifier,
        status: AuthorizationStatus,
        expires: Option<Timestamp>,
        challenges: Vec<ChallengeResource>,
    ) -> Self {
        let wildcard = identifier.is_wildcard();
        Self { identifier: identifier.base(), status, expires, challenges, wildcard }
    }
}

/// A challenge (RFC 8555 §7.1.5, §8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChallengeResource {
    /// How it is answered.
    #[serde(rename = "type")]
    pub kind: ChallengeType,
    /// Its URL.
    pub url: String,
    /// Its state.
    pub status: ChallengeStatus,
    /// What the answer is made of.
    pub token: Token,
    /// When the answer was found to be right.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub validated: Option<Timestamp>,
    /// What was wrong with the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<AcmeProblem>,
}

/// When to renew a certificate (RFC 9773 §4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RenewalInfo {
    /// At a random time in it.
    pub suggested_window: SuggestedWindow,
    /// A page that says why.
    #[serde(rename = "explanationURL", skip_serializing_if = "Option::is_none")]
    pub explanation_url: Option<String>,
}

/// From when and until when. The end is after the start; a window in the past says: at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SuggestedWindow {
    /// From when.
    #[serde(serialize_with = "second")]
    pub start: Timestamp,
    /// Until when.
    #[serde(serialize_with = "second")]
    pub end: Timestamp,
}

fn second<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&Timestamp::from_secs(time.as_secs()).to_rfc3339())
}

fn seconds<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => second(time, serializer),
        None => serializer.serialize_none(),
    }
}

fn is_false(flag: &bool) -> bool {
    !*flag
}
