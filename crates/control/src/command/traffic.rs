//! What is asked of the Token Broker, and what it answers.

use sealock_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::SecretText;

/// The form of a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenForm {
    /// An access token (RFC 9068), `typ` `at+jwt`.
    #[default]
    AccessToken,
    /// A JWT-SVID, `typ` `JWT`.
    JwtSvid,
}

/// `token`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenWanted {
    /// For which service: its name or SPIFFE ID.
    pub audience: String,
    /// Seconds; at most, and otherwise, 300.
    pub ttl: Option<u64>,
    /// Hex SHA-256 of the certificate without which it is to be worth nothing; over HTTPS the caller's.
    pub certificate: Option<String>,
    /// Bound to no certificate, also over HTTPS: for a service that is called in clear text, where none is shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unbound: bool,
    /// Its form.
    pub form: TokenForm,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenReport {
    /// The token itself.
    pub token: SecretText,
    /// Its id (`jti`), by which it can be revoked.
    pub id: String,
    /// Who it is about.
    pub subject: String,
    /// Whom it is for.
    pub audience: String,
    /// When it ends.
    pub expires: Timestamp,
    /// Seconds until then.
    pub life: u64,
    /// Whether it is good only with a certificate.
    pub bound: bool,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenState {
    /// Whether it is good. Of one that is not, nothing else is said.
    pub active: bool,
    /// What it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<TokenClaims>,
}

/// The claims of a token, by their names in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenClaims {
    /// Who issued it.
    pub iss: String,
    /// Who it is about.
    pub sub: String,
    /// Whom it is for.
    pub aud: String,
    /// When it ends, in seconds since 1970.
    pub exp: u64,
    /// When it was issued.
    pub iat: u64,
    /// From when on it is good.
    pub nbf: u64,
    /// Its id.
    pub jti: String,
    /// The client that asked for it with a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Base64url SHA-256 of the certificate that it is bound to (RFC 8705 §3.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// What is to be revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", content = "of", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TokensRevoked {
    /// This token.
    Token(SecretText),
    /// The token with this id.
    Id(String),
    /// Those of this identity: `service/orders`, or a SPIFFE ID.
    Identity(String),
    /// Those that this client has asked for.
    Client(String),
    /// Those that this key has signed, and the key.
    Key(String),
    /// All that were issued until now.
    All,
    /// Those that were issued before a time.
    Before(TokensBefore),
}

/// Tokens that were issued before a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokensBefore {
    /// The time, which is not to come.
    pub time: Timestamp,
    /// Those of this identity only: `service/orders`, or a SPIFFE ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

/// A key that signs, or has signed, tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenKeyReport {
    /// Its id (`kid`).
    pub key: String,
    /// `ES256` or `EdDSA`.
    pub algorithm: String,
    /// From when on it signs.
    pub signs_from: Timestamp,
    /// Whether it is the one that signs.
    pub current: bool,
}

/// The keys of the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenKeys {
    /// `iss` of its tokens.
    pub issuer: String,
    /// The keys.
    pub keys: Vec<TokenKeyReport>,
    /// The key set, as verifiers take it (RFC 7517 §5).
    pub jwks: String,
}

/// A client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientReport {
    /// Its name, which is the `client_id`.
    pub client: String,
    /// Whose tokens it gets.
    pub identity: String,
    /// Since when it is there.
    pub made: Timestamp,
    /// Since when it has its newest secret.
    pub rotated: Timestamp,
    /// Until when an older secret is still good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_until: Option<Timestamp>,
    /// Whether it has a secret.
    #[serde(default)]
    pub secret: bool,
    /// The ids (`kid`) of the public keys with which it signs who it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// The public keys of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientKeys {
    /// Its name.
    pub name: String,
    /// A JWK Set, a JWK, or PEM blocks of `PUBLIC KEY`. They take the place of those there were; none: it has none.
    pub keys: String,
    /// Whether the client is made by this, without a secret.
    pub add: bool,
    /// Whose tokens a new client gets; those of the service of its name by default.
    pub identity: Option<String>,
}

/// A client with its new secret, which is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecret {
    /// The client.
    pub client: ClientReport,
    /// The secret.
    pub secret: SecretText,
}

/// A call that policy denies, as a Gatekeeper reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallDenied {
    /// The number that the caller was told, if it was refused: 32 hex digits.
    pub number: String,
    /// Who has called.
    pub caller: String,
    /// The method.
    pub method: String,
    /// The path, normalised; one that is longer than [`CallDenied::LONGEST_PATH`] by its beginning, with
    /// [`CallDenied::MARK`] at the end.
    pub path: String,
    /// The host, in lower case and without a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// `http`, `grpc` or `websocket`.
    pub protocol: String,
    /// Whether the caller was refused. Otherwise the mode (`audit`, `learn`) has let the call pass.
    #[serde(default = "yes")]
    pub enforced: bool,
    /// Whether of the path there is only the beginning.
    #[serde(default)]
    pub cut: bool,
}

const fn yes() -> bool {
    true
}

impl CallDenied {
    /// In bytes, the mark included.
    pub const LONGEST_PATH: usize = 8 * 1024;
    /// At the end of a path that is cut. No path has it in it: there it would be percent-encoded.
    pub const MARK: &'static str = "…";
}
