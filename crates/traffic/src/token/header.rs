//! The header of a token: `alg`, `typ`, `kid`, and nothing else.

use std::fmt;

use sealock_core::json::{self, Value};

use super::refusal::Refusal;

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 7518 §3.4).
    Es256,
    /// Ed25519 (RFC 8037).
    EdDsa,
}

impl Algorithm {
    /// The value of `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        match text {
            "ES256" => Ok(Self::Es256),
            "EdDSA" => Ok(Self::EdDsa),
            none if none.eq_ignore_ascii_case("none") => Err(Refusal::AlgorithmNone),
            // A public key is no secret: whoever has it could make such a signature.
            hmac if hmac.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("HS")) => {
                Err(Refusal::AlgorithmSymmetric)
            }
            _ => Err(Refusal::UnsupportedAlgorithm),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// For whom a token is shaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// RFC 9068: `typ` is `at+jwt`, and `jti` is there.
    AccessToken,
    /// The JWT-SVID of SPIFFE, which allows no `typ` but `JWT` and `JOSE`.
    JwtSvid,
}

impl Profile {
    pub(super) const fn typ(self) -> &'static str {
        match self {
            Self::AccessToken => "at+jwt",
            Self::JwtSvid => "JWT",
        }
    }

    /// A media type is compared without case, and `application/` may be left out (RFC 7515 §4.1.9). A JWT-SVID may
    /// not be spelled so.
    fn read(text: &str) -> Result<Self, Refusal> {
        let is = |typ: &&str| text.eq_ignore_ascii_case(typ);
        if ["at+jwt", "application/at+jwt"].iter().any(is) {
            Ok(Self::AccessToken)
        } else if ["JWT", "JOSE"].iter().any(is) {
            Ok(Self::JwtSvid)
        } else {
            Err(Refusal::WrongType)
        }
    }
}

/// A header that was read strictly.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) profile: Profile,
    pub(super) kid: String,
}

/// Names of RFC 7515 and its extensions that change what is trusted, fetched or done. They are told apart from
/// unknown ones, so that an attempt is seen in the log as what it is.
const FORBIDDEN: [&str; 12] =
    ["jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "crit", "zip", "enc", "cty", "b64", "epk"];

impl Header {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let Open { algorithm, typ, kid } = Open::read(bytes)?;
        let missing = |member| Refusal::MissingHeader { member };
        let profile = Profile::read(&typ.ok_or(missing("typ"))?)?;
        let kid = kid.ok_or(missing("kid"))?;
        Ok(Self { algorithm, profile, kid })
    }
}

/// A header that was read strictly, of what need not be a token of ours: whether `typ` and `kid` have to be there, and
/// what they may be, is for the caller to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) algorithm: Algorithm,
    pub(super) typ: Option<String>,
    pub(super) kid: Option<String>,
}

impl Open {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut members = json::read(bytes).map_err(Refusal::Header)?;
        let (alg, typ, kid) = (members.take("alg"), members.take("typ"), members.take("kid"));
        let is_there = |forbidden: &&str| members.names().any(|name| name == *forbidden);
        if let Some(member) = FORBIDDEN.into_iter().find(is_there) {
            return Err(Refusal::ForbiddenHeader { member });
        }
        if members.names().next().is_some() {
            return Err(Refusal::UnknownHeader);
        }
        let algorithm = text("alg", alg)?.ok_or(Refusal::MissingHeader { member: "alg" })?;
        let algorithm = Algorithm::read(&algorithm)?;
        Ok(Self { algorithm, typ: text("typ", typ)?, kid: text("kid", kid)? })
    }
}

fn text(member: &'static str, value: Option<Value>) -> Result<Option<String>, Refusal> {
    match value {
        Some(Value::Text(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(Refusal::BadHeader { member }),
        None => Ok(None),
    }
}
