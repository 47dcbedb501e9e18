//! The directory: where everything is (RFC 8555 §7.1.1).

use std::collections::BTreeMap;

use serde::Serialize;

/// Where the resources of the directory lie below its base.
pub mod path {
    /// The directory itself.
    pub const DIRECTORY: &str = "/directory";
    /// `newNonce`.
    pub const NEW_NONCE: &str = "/new-nonce";
    /// `newAccount`.
    pub const NEW_ACCOUNT: &str = "/new-account";
    /// `newOrder`.
    pub const NEW_ORDER: &str = "/new-order";
    /// `revokeCert`.
    pub const REVOKE_CERT: &str = "/revoke-cert";
    /// `keyChange`.
    pub const KEY_CHANGE: &str = "/key-change";
    /// `renewalInfo`; the identifier of a certificate stands behind it, after a slash (RFC 9773 §4.1).
    pub const RENEWAL_INFO: &str = "/renewal-info";
}

/// The directory. `newAuthz` is not in it: there is no authorization before an order (RFC 8555 §7.4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Directory {
    /// Where to get a nonce.
    pub new_nonce: String,
    /// Where accounts are made.
    pub new_account: String,
    /// Where orders are made.
    pub new_order: String,
    /// Where certificates are revoked.
    pub revoke_cert: String,
    /// Where an account gets another key.
    pub key_change: String,
    /// Where it is said when to renew (RFC 9773 §3).
    pub renewal_info: String,
    /// About the server.
    pub meta: Meta,
}

/// What the directory says about the server (RFC 8555 §9.7.6, draft-ietf-acme-profiles).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// The URL of the terms of service, which clients have to agree to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms_of_service: Option<String>,
    /// A URL for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
    /// Whether accounts must be bound to an external one.
    pub external_account_required: bool,
    /// The names of profiles, each with a text or URL that describes it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, String>,
}

impl Directory {
    /// That of a server whose resources lie below `base`, which has no slash at its end.
    pub fn below(base: &str, meta: Meta) -> Self {
        let at = |path: &str| format!("{base}{path}");
        Self {
            new_nonce: at(path::NEW_NONCE),
            new_account: at(path::NEW_ACCOUNT),
            new_order: at(path::NEW_ORDER),
            revoke_cert: at(path::REVOKE_CERT),
            key_change: at(path::KEY_CHANGE),
            renewal_info: at(path::RENEWAL_INFO),
            meta,
        }
    }
}
