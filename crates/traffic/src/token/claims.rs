//! What a token says.

use data_encoding::BASE64URL_NOPAD;
use sealock_core::Identity;
use sealock_core::json::{self, MAXIMUM_NUMBER, Members, Value};
use serde::Serialize;

use super::error::TokenError;
use super::header::Profile;
use super::refusal::Refusal;

/// What a token says. All times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `iss`: the broker.
    pub issuer: String,
    /// `sub`: who calls.
    pub subject: Identity,
    /// `aud`: whom the call is for. Of a service it is the SPIFFE ID.
    pub audience: String,
    /// `iat`.
    pub issued_at: u64,
    /// `nbf`.
    pub not_before: u64,
    /// `exp`: from then on it is worth nothing.
    pub expires_at: u64,
    /// `jti`: the token's own name. Empty when a JWT-SVID has none.
    pub id: String,
    /// `client_id`: which client got it. RFC 9068 wants it in every access token.
    pub client: Option<String>,
    /// `cnf`, `x5t#S256`: the SHA-256 of the certificate that must come with it (RFC 8705 §3.1).
    pub binding: Option<[u8; 32]>,
}

impl Claims {
    /// Reads the claims of a token whose signature is right. Claims of others are passed over.
    pub(super) fn read(bytes: &[u8], profile: Profile) -> Result<Self, Refusal> {
        let mut members = json::read(bytes).map_err(Refusal::Claims)?;
        let mut required =
            |claim: &'static str| members.take(claim).ok_or(Refusal::MissingClaim { claim });
        let issuer = text("iss", required("iss")?)?;
        let subject = text("sub", required("sub")?)?;
        let audience = audience(required("aud")?)?;
        let expires_at = time("exp", required("exp")?)?;
        let not_before = time("nbf", required("nbf")?)?;
        let issued_at = time("iat", required("iat")?)?;
        let id = match (members.take("jti"), profile) {
            (Some(value), _) => text("jti", value)?,
            (None, Profile::JwtSvid) => String::new(),
            (None, Profile::AccessToken) => return Err(Refusal::MissingClaim { claim: "jti" }),
        };
        let client = members.take("client_id").map(|value| text("client_id", value)).transpose()?;
        let binding = members.take("cnf").map(binding).transpose()?;
        let subject = subject.parse().map_err(|_| Refusal::BadSubject)?;
        Ok(Self {
            issuer,
            subject,
            audience,
            issued_at,
            not_before,
            expires_at,
            id,
            client,
            binding,
        })
    }

    /// The claims as JSON; an error for what [`Claims::read`] would not take.
    pub(super) fn to_json(&self, profile: Profile) -> Result<Vec<u8>, TokenError> {
        self.check(profile)?;
        let written = Written {
            iss: &self.issuer,
            sub: self.subject.to_string(),
            aud: &self.audience,
            exp: self.expires_at,
            nbf: self.not_before,
            iat: self.issued_at,
            jti: (!self.id.is_empty()).then_some(&self.id),
            client_id: self.client.as_deref(),
            cnf: self.binding.map(|hash| Confirmation { hash: BASE64URL_NOPAD.encode(&hash) }),
        };
        // Only texts and numbers are in it, which always can be written.
        Ok(serde_json::to_vec(&written).unwrap_or_default())
    }

    fn check(&self, profile: Profile) -> Result<(), TokenError> {
        let wrong = |claim, reason| Err(TokenError::Claim { claim, reason });
        let empty = "it is empty";
        if self.issuer.is_empty() {
            return wrong("iss", empty);
        }
        if self.audience.is_empty() {
            return wrong("aud", empty);
        }
        if self.id.is_empty() && profile == Profile::AccessToken {
            return wrong("jti", empty);
        }
        if self.client.as_deref() == Some("") {
            return wrong("client_id", empty);
        }
        if self.expires_at <= self.issued_at || self.expires_at <= self.not_before {
            return wrong("exp", "it is not after iat and nbf");
        }
        if self.expires_at > MAXIMUM_NUMBER {
            return wrong("exp", "it is too far away");
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Written<'a> {
    iss: &'a str,
    sub: String,
    aud: &'a str,
    exp: u64,
    nbf: u64,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

#[derive(Serialize)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    hash: String,
}

pub(super) fn text(claim: &'static str, value: Value) -> Result<String, Refusal> {
    match value {
        // An empty one would match whatever was forgotten to be set.
        Value::Text(text) if !text.is_empty() => Ok(text),
        _ => Err(Refusal::BadClaim { claim }),
    }
}

pub(super) fn time(claim: &'static str, value: Value) -> Result<u64, Refusal> {
    match value {
        Value::Number(seconds) => Ok(seconds),
        _ => Err(Refusal::BadClaim { claim }),
    }
}

/// One text, or an array of one (RFC 7519 §4.1.3).
pub(super) fn audience(value: Value) -> Result<String, Refusal> {
    match value {
        Value::List(list) => {
            let [only]: [Value; 1] = list.try_into().map_err(|_| Refusal::ManyAudiences)?;
            text("aud", only)
        }
        value => text("aud", value),
    }
}

pub(super) fn binding(value: Value) -> Result<[u8; 32], Refusal> {
    let unknown = Refusal::UnknownConfirmation;
    let Value::Object(mut members) = value else { return Err(unknown) };
    let hash = only(&mut members, "x5t#S256").ok_or(unknown)?;
    let Value::Text(hash) = hash else { return Err(unknown) };
    let hash = BASE64URL_NOPAD.decode(hash.as_bytes()).map_err(|_| unknown)?;
    hash.try_into().map_err(|_| unknown)
}

/// The member of this name, when there is no other.
fn only(members: &mut Members, name: &str) -> Option<Value> {
    let value = members.take(name)?;
    members.names().next().is_none().then_some(value)
}
