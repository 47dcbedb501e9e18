//! Payloads about orders, authorizations and challenges (RFC 8555 §7.4, §7.5).

use sealock_core::Timestamp;

use super::fault::PayloadFault;
use super::reader::Payload;
use crate::ari::CertificateId;
use crate::identifier::Identifier;

/// The longest certificate request and the longest certificate, in bytes of DER.
pub const MAXIMUM_DER: usize = 64 * 1024;

/// The longest name of a profile, in bytes.
pub const MAXIMUM_PROFILE: usize = 64;

/// newOrder (RFC 8555 §7.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// `identifiers`: 1 to [`MAXIMUM_IDENTIFIERS`](crate::identifier::MAXIMUM_IDENTIFIERS), none twice.
    pub identifiers: Vec<Identifier>,
    /// `notBefore`.
    pub not_before: Option<Timestamp>,
    /// `notAfter`, which is after `notBefore`.
    pub not_after: Option<Timestamp>,
    /// `profile`: a name; whether there is such a profile is not known here.
    pub profile: Option<String>,
    /// `replaces` (RFC 9773 §5).
    pub replaces: Option<CertificateId>,
}

impl NewOrder {
    /// Reads a payload.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn read(payload: &[u8]) -> Result<Self, PayloadFault> {
        let mut payload = Payload::read(payload)?;
        let identifiers = payload.value("identifiers");
        let identifiers = identifiers.ok_or(PayloadFault::Missing { member: "identifiers" })?;
        let identifiers = Identifier::list(identifiers).map_err(PayloadFault::Identifiers)?;
        let (not_before, not_after) = (payload.time("notBefore")?, payload.time("notAfter")?);
        if not_before.zip(not_after).is_some_and(|(before, after)| after <= before) {
            return Err(PayloadFault::Times);
        }
        let profile = payload.text("profile")?;
        if !profile.as_deref().is_none_or(is_profile) {
            return Err(PayloadFault::Form { member: "profile" });
        }
        let replaces = payload.text("replaces")?.map(|text| text.parse()).transpose();
        let replaces = replaces.map_err(|_| PayloadFault::Form { member: "replaces" })?;
        Ok(Self { identifiers, not_before, not_after, profile, replaces })
    }
}

fn is_profile(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_graphic();
    !text.is_empty() && text.len() <= MAXIMUM_PROFILE && text.bytes().all(good)
}

/// What finalizes an order (RFC 8555 §7.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finalize {
    /// `csr`: a PKCS#10 request, as far as it was looked at here any DER.
    pub csr: Vec<u8>,
}

impl Finalize {
    /// Reads a payload.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn read(payload: &[u8]) -> Result<Self, PayloadFault> {
        let csr = Payload::read(payload)?.bytes("csr", MAXIMUM_DER);
        let csr = csr.map_err(|fault| match fault {
            PayloadFault::Form { .. } => PayloadFault::Csr,
            other => other,
        });
        Ok(Self { csr: csr? })
    }
}

/// A change of an authorization: it can only be deactivated (RFC 8555 §7.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorizationUpdate;

impl AuthorizationUpdate {
    /// Reads a payload that deactivates.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn read(payload: &[u8]) -> Result<Self, PayloadFault> {
        let status = Payload::read(payload)?.text("status")?;
        match status.ok_or(PayloadFault::Missing { member: "status" })?.as_str() {
            "deactivated" => Ok(Self),
            _ => Err(PayloadFault::Status),
        }
    }
}

/// What says that a challenge can be looked at (RFC 8555 §7.5.1): an object, of which nothing is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChallengeResponse;

impl ChallengeResponse {
    /// Reads a payload.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn read(payload: &[u8]) -> Result<Self, PayloadFault> {
        Payload::read(payload).map(|_| Self)
    }
}
