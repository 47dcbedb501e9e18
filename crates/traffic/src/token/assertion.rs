//! What a client signs to say who it is, in the place of a secret: RFC 7523 §3, OpenID Connect Core §9
//! (`private_key_jwt`).
//!
//! It is read as strictly as a token, and by the same reader. Until the signature has held it says only whose it claims
//! to be, because that is where the keys are looked up.

use sealock_core::json::{self, Value};

use super::claims::{audience, text, time};
use super::header::{Algorithm, Open};
use super::jwks::KeySet;
use super::key::PublicKey;
use super::refusal::Refusal;
use super::verify::{Parts, decode};

/// The longest `jti`, in bytes: somebody has to remember them.
const LONGEST_ID: usize = 256;

/// What may stand in `typ`; it may be left out as well. A token of ours (`at+jwt`) is none.
const TYPES: [&str; 2] = ["JWT", "client-authentication+jwt"];

/// An assertion of which nothing is verified yet.
#[derive(Debug)]
pub struct ClientAssertion<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Said,
}

#[derive(Debug)]
struct Said {
    client: String,
    audience: String,
    expires_at: u64,
    id: String,
    issued_at: Option<u64>,
    not_before: Option<u64>,
}

/// What an assertion is held against.
#[derive(Debug, Clone, Copy)]
pub struct AssertionExpected<'a> {
    /// `aud`: any of our names.
    pub audiences: &'a [&'a str],
    /// Seconds since 1970.
    pub now: u64,
    /// How many seconds the client's clock may be off, either way.
    pub skew: u64,
    /// How many seconds ahead `exp` may be.
    pub longest: u64,
}

/// An assertion that has held. It is good once: whoever takes it has to remember that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedAssertion {
    /// `jti`.
    pub id: String,
    /// `exp`, in seconds since 1970.
    pub expires_at: u64,
}

impl<'a> ClientAssertion<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// It is not of this form, whoever has signed it.
    pub fn read(assertion: &'a str) -> Result<Self, Refusal> {
        let parts = Parts::of(assertion)?;
        let Open { algorithm, typ, kid } = Open::read(&decode("header", parts.header)?)?;
        if typ.is_some_and(|typ| !TYPES.iter().any(|taken| typ.eq_ignore_ascii_case(taken))) {
            return Err(Refusal::WrongType);
        }
        let claims = Said::read(&decode("claims", parts.claims)?)?;
        let signature = decode("signature", parts.signature)?;
        Ok(Self { signed: parts.signed, signature, algorithm, kid, claims })
    }

    /// Whose it claims to be.
    pub fn client(&self) -> &str {
        &self.claims.client
    }

    /// Whether one of the client's keys has signed it, and every rule holds.
    ///
    /// # Errors
    /// The first rule that does not hold; the signature is the first.
    pub fn verify(
        self,
        keys: &KeySet,
        expected: &AssertionExpected<'_>,
    ) -> Result<UsedAssertion, Refusal> {
        let good = |key: &PublicKey| {
            key.algorithm() == self.algorithm
                && key.check_signature(self.signed.as_bytes(), &self.signature)
        };
        let held = match &self.kid {
            Some(kid) => good(keys.get(kid).ok_or(Refusal::UnknownKey)?),
            // Clients need not say by which; they have few.
            None => keys.iter().any(good),
        };
        if !held {
            return Err(Refusal::BadSignature);
        }
        self.claims.hold_against(expected)?;
        Ok(UsedAssertion { id: self.claims.id, expires_at: self.claims.expires_at })
    }
}

impl Said {
    fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut members = json::read(bytes).map_err(Refusal::Claims)?;
        let mut required =
            |claim: &'static str| members.take(claim).ok_or(Refusal::MissingClaim { claim });
        let client = text("iss", required("iss")?)?;
        let subject = text("sub", required("sub")?)?;
        let audience = audience(required("aud")?)?;
        let expires_at = time("exp", required("exp")?)?;
        let id = text("jti", required("jti")?)?;
        let mut optional = |claim: &'static str| {
            let value: Option<Value> = members.take(claim);
            value.map(|value| time(claim, value)).transpose()
        };
        let (issued_at, not_before) = (optional("iat")?, optional("nbf")?);
        if client != subject {
            return Err(Refusal::NotItsOwn);
        }
        if id.len() > LONGEST_ID {
            return Err(Refusal::BadClaim { claim: "jti" });
        }
        Ok(Self { client, audience, expires_at, id, issued_at, not_before })
    }

    fn hold_against(&self, expected: &AssertionExpected<'_>) -> Result<(), Refusal> {
        if !expected.audiences.contains(&self.audience.as_str()) {
            return Err(Refusal::WrongAudience);
        }
        let latest = expected.now.saturating_add(expected.skew);
        if self.issued_at.is_some_and(|at| at > latest) {
            return Err(Refusal::IssuedInFuture);
        }
        if self.not_before.is_some_and(|at| at > latest) {
            return Err(Refusal::NotYetValid);
        }
        if expected.now >= self.expires_at.saturating_add(expected.skew) {
            return Err(Refusal::Expired);
        }
        let before = self.issued_at.max(self.not_before);
        if self.expires_at > latest.saturating_add(expected.longest)
            || before.is_some_and(|at| at >= self.expires_at)
        {
            return Err(Refusal::WrongLifetime);
        }
        Ok(())
    }
}

/// An assertion by this key, for the tests of other rooms.
#[cfg(test)]
pub(crate) fn sign_assertion_for_tests(
    key: &super::key::SigningKey,
    client: &str,
    audience: &str,
    id: &str,
    expires_at: u64,
) -> String {
    let header = format!(r#"{{"alg":"{}"}}"#, key.algorithm().name());
    let claims = format!(
        r#"{{"iss":"{client}","sub":"{client}","aud":"{audience}","jti":"{id}","exp":{expires_at}}}"#
    );
    super::issue::seal(key, header.as_bytes(), claims.as_bytes()).unwrap().to_string()
}
