//! Certificate revocation lists (RFC 5280 §5): one for each issuer, stored, made anew whenever something
//! is revoked and before the last one runs out.
//!
//! The number of a list only grows, and `thisUpdate` (a little before the making, for verifiers whose
//! clock is behind) never goes back even if the clock does. A certificate stays on the list until one
//! list has been made after its expiry.

use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, RevocationReason, RevokedCertParams,
    SerialNumber,
};
use sealock_core::Timestamp;
use sealock_store::{Condition, Operation};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::authority::BACKDATE;
use crate::error::AuthorityError;
use crate::inventory::{IssuerId, Reason};
use crate::key::AuthorityKey;
use crate::pem;
use crate::serial::Serial;
use crate::state::{IssuerRecord, crl_key};

/// How long an intermediate's list is good for.
pub(crate) const LIFE: Duration = Duration::from_secs(7 * 86_400);
/// With less than this left it is made anew.
pub(crate) const MARGIN: Duration = Duration::from_secs(2 * 86_400);

/// A certificate revocation list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Crl {
    /// Whose.
    pub issuer: IssuerId,
    /// Its number; greater for each new one.
    pub number: u64,
    /// When it was made.
    pub this_update: Timestamp,
    /// Until when it is good.
    pub next_update: Timestamp,
    /// How many certificates are on it.
    pub entries: u64,
    /// DER.
    #[serde(skip)]
    pub der: Vec<u8>,
}

impl Crl {
    /// One PEM block.
    pub fn pem(&self) -> String {
        pem::encode("X509 CRL", &self.der)
    }
}

/// What is stored beside the DER.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    number: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    entries: u64,
}

/// A list and where it goes.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// A revoked certificate: serial, when, why.
pub(crate) type Revoked = (Serial, Timestamp, Reason);

/// A list as it was read, with the version of its entry.
#[derive(Debug, Clone)]
pub(crate) struct Previous {
    pub(crate) crl: Crl,
    pub(crate) version: u64,
}

impl Previous {
    pub(crate) fn from_bytes(issuer: IssuerId, value: &[u8], version: u64) -> Option<Self> {
        let (length, rest) = value.split_first_chunk()?;
        let (json, der) =
            rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let head: Head = serde_json::from_slice(json).ok()?;
        let Head { number, this_update, next_update, entries } = head;
        let crl = Crl { issuer, number, this_update, next_update, entries, der: der.to_vec() };
        Some(Self { crl, version })
    }
}

/// The first list of an issuer: number 1, empty.
pub(crate) fn first(
    record: &IssuerRecord,
    issuer: &Issuer<'_, AuthorityKey>,
    now: Timestamp,
    next_update: Timestamp,
) -> Result<(Stored, Crl), AuthorityError> {
    build(record.id, issuer, 1, now.minus(BACKDATE), next_update, &[])
}

/// The list after `previous`, and what makes sure that it is still that one. Good for [`LIFE`], or until
/// `end` if that is given.
pub(crate) fn next(
    id: IssuerId,
    issuer: &Issuer<'_, AuthorityKey>,
    previous: Option<&Previous>,
    now: Timestamp,
    revoked: &[Revoked],
    end: Option<Timestamp>,
) -> Result<(Condition, Operation, Crl), AuthorityError> {
    let (number, not_earlier) = previous.map_or((1, Timestamp::from_millis(0)), |before| {
        (before.crl.number + 1, before.crl.this_update)
    });
    let this_update = now.minus(BACKDATE).max(not_earlier);
    let next_update = end.unwrap_or_else(|| this_update.plus(LIFE));
    let (stored, crl) = build(id, issuer, number, this_update, next_update, revoked)?;
    let condition = match previous {
        Some(before) => Condition::Version { key: stored.key.clone(), version: before.version },
        None => Condition::Absent(stored.key.clone()),
    };
    Ok((condition, Operation::put(stored.key, stored.value), crl))
}

fn build(
    id: IssuerId,
    issuer: &Issuer<'_, AuthorityKey>,
    number: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    revoked: &[Revoked],
) -> Result<(Stored, Crl), AuthorityError> {
    let parameters = CertificateRevocationListParams {
        this_update: Timestamp::from_secs(this_update.as_secs()).to_offset(),
        next_update: Timestamp::from_secs(next_update.as_secs()).to_offset(),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(listed).collect(),
        key_identifier_method: KeyIdMethod::PreSpecified(issuer.key().identifier().to_vec()),
    };
    let list = parameters
        .signed_by(issuer)
        .map_err(|source| AuthorityError::Build { what: "the revocation list", source })?;
    let entries = revoked.len() as u64;
    let head = Head { number, this_update, next_update, entries };
    let der = list.der().to_vec();
    let json = serde_json::to_vec(&head)?;
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX).to_be_bytes();
    let value = [&length[..], &json, &der].concat();
    let crl = Crl { issuer: id, number, this_update, next_update, entries, der };
    Ok((Stored { key: crl_key(id), value }, crl))
}

fn listed((serial, at, reason): &Revoked) -> RevokedCertParams {
    let reason_code = match reason {
        // Absent rather than 0 (RFC 5280 §5.3.1).
        Reason::Unspecified => None,
        Reason::KeyCompromise => Some(RevocationReason::KeyCompromise),
        Reason::CaCompromise => Some(RevocationReason::CaCompromise),
        Reason::AffiliationChanged => Some(RevocationReason::AffiliationChanged),
        Reason::Superseded => Some(RevocationReason::Superseded),
        Reason::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
        Reason::PrivilegeWithdrawn => Some(RevocationReason::PrivilegeWithdrawn),
    };
    RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial.as_bytes()),
        revocation_time: Timestamp::from_secs(at.as_secs()).to_offset(),
        reason_code,
        invalidity_date: None,
    }
}
