//! `cert publish`.

use serde::{Deserialize, Serialize};

use super::SecretText;

/// `cert publish`: into a directory of the settings, or into one that is described here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Publish {
    /// Name or serial number.
    pub certificate: String,
    /// Whether it is the name of one that another authority has signed.
    pub imported: bool,
    /// The directory's name in the settings.
    pub directory: Option<String>,
    /// The entry; otherwise the directory's template says it.
    pub dn: Option<String>,
    /// Where no directory is named.
    pub server: Option<LdapServer>,
}

/// An LDAP server, and as whom it is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LdapServer {
    /// `ldaps://…`, `ldap://…` or `ldapi://…`.
    pub url: String,
    /// Whether an `ldap://` one begins TLS.
    pub start_tls: bool,
    /// Whether it may be asked without TLS over a network.
    pub dangerous_plain: bool,
    /// The roots to trust (PEM); otherwise our own.
    pub ca: Option<String>,
    /// As whom to bind.
    pub bind_dn: Option<String>,
    /// With this password.
    pub password: Option<SecretText>,
    /// Or with this certificate (PEM, leaf first).
    pub tls_crt: Option<String>,
    /// And its key (PEM).
    pub tls_key: Option<SecretText>,
    /// As what a missing entry is made: `person` or `device`.
    pub create: Option<String>,
}

/// What `cert publish` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishReport {
    /// The certificate's name.
    pub name: String,
    /// Whether that is the name of one that another authority has signed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
    /// The serial that is in the entry now; none when no certificate of this name is good.
    pub serial: Option<String>,
    /// The directory's URL.
    pub url: String,
    /// Its name in the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The entry.
    pub dn: String,
    /// Whether the entry was made.
    pub created: bool,
    /// The serials that were put in.
    pub added: Vec<String>,
    /// The serials that were taken out.
    pub removed: Vec<String>,
    /// How many other certificates are in the entry, and were left alone.
    pub others: usize,
    /// Whether nothing had to be changed.
    pub unchanged: bool,
}
