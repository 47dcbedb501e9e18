//! What a Gatekeeper tells its app about a caller, signed: for an app that would otherwise have to believe whoever
//! reaches it. It is no access token, and no service takes it for one: its key is the Gatekeeper's own and is in no key
//! set of the broker's.

use sealock_core::Identity;
use serde::Serialize;
use zeroize::Zeroizing;

use super::error::TokenError;
use super::issue::seal;
use super::key::SigningKey;

/// What is said. All times are seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// `iss` and `aud`: the service that is guarded.
    pub service: &'a str,
    /// `sub`: who calls.
    pub caller: &'a Identity,
    /// `client_id`: which client got the caller's token.
    pub client: Option<&'a str>,
    /// `iat` and `nbf`.
    pub issued_at: u64,
    /// `exp`.
    pub expires_at: u64,
    /// `jti`.
    pub id: &'a str,
}

/// Signs it, as a JWT of the type `JWT`, which every library takes.
pub fn say(key: &SigningKey, said: &Said<'_>) -> Result<Zeroizing<String>, TokenError> {
    let header = Header { alg: key.algorithm().name(), typ: "JWT", kid: key.kid() };
    let claims = Claims {
        iss: said.service,
        sub: said.caller.to_string(),
        aud: said.service,
        exp: said.expires_at,
        nbf: said.issued_at,
        iat: said.issued_at,
        jti: said.id,
        client_id: said.client,
    };
    // Only texts and numbers are in them, which always can be written.
    let header = serde_json::to_vec(&header).unwrap_or_default();
    seal(key, &header, &serde_json::to_vec(&claims).unwrap_or_default())
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: String,
    aud: &'a str,
    exp: u64,
    nbf: u64,
    iat: u64,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
}
