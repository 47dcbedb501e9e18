//! Where what of the inventory is in the store.

use sealock_core::Timestamp;

use super::{IssuerId, Reason};
use crate::serial::Serial;

pub(crate) const MAIN: &[u8] = b"cert/main/";
pub(crate) const SERIAL: &[u8] = b"cert/serial/";
const EXPIRY: &[u8] = b"cert/expiry/";
const NAME: &[u8] = b"cert/name/";
pub(crate) const REVOKED: &[u8] = b"cert/revoked/";

/// A certificate's place in the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) issued: Timestamp,
    pub(crate) serial: Serial,
}

/// Everything that was issued at `moment` or later comes at or after this key.
pub(crate) fn main_from(moment: Timestamp) -> Vec<u8> {
    [MAIN, &time(moment)].concat()
}

pub(crate) fn time(moment: Timestamp) -> [u8; 8] {
    moment.as_millis().to_be_bytes()
}

pub(crate) fn main(place: Place) -> Vec<u8> {
    [MAIN, &time(place.issued), place.serial.as_bytes()].concat()
}

pub(crate) fn serial(serial: Serial) -> Vec<u8> {
    [SERIAL, serial.as_bytes()].concat()
}

/// The two parts of the expiry index: what somebody may rely on, and what was replaced or revoked. Who
/// asks what expires next reads only the first, although every renewed certificate is in the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Current,
    Superseded,
}

impl Part {
    pub(crate) const BOTH: [Self; 2] = [Self::Current, Self::Superseded];

    pub(crate) fn prefix(self) -> Vec<u8> {
        let letter = match self {
            Self::Current => b"c/",
            Self::Superseded => b"s/",
        };
        [EXPIRY, letter].concat()
    }
}

pub(crate) fn expiry(part: Part, not_after: Timestamp, serial: Serial) -> Vec<u8> {
    [&expiry_from(part, not_after)[..], serial.as_bytes()].concat()
}

/// Everything of this part that expires at `moment` or later comes at or after this key.
pub(crate) fn expiry_from(part: Part, moment: Timestamp) -> Vec<u8> {
    [&part.prefix()[..], &time(moment)].concat()
}

pub(crate) fn names(name: &str) -> Vec<u8> {
    [NAME, name.as_bytes(), &[0]].concat()
}

/// All names of certificates that are delivered to this container.
pub(crate) fn names_in(container: &str) -> Vec<u8> {
    [NAME, container.as_bytes(), b"/"].concat()
}

pub(crate) fn name(name: &str, place: Place) -> Vec<u8> {
    [&names(name)[..], &time(place.issued), place.serial.as_bytes()].concat()
}

pub(crate) fn revoked_by(issuer: IssuerId) -> Vec<u8> {
    [REVOKED, issuer.as_bytes()].concat()
}

pub(crate) fn revoked(issuer: IssuerId, not_after: Timestamp, serial: Serial) -> Vec<u8> {
    [&revoked_by(issuer)[..], &time(not_after), serial.as_bytes()].concat()
}

/// The time and the serial with which a key ends.
pub(crate) fn tail(key: &[u8]) -> Option<(Timestamp, Serial)> {
    let (rest, serial) = key.split_at_checked(key.len().checked_sub(16)?)?;
    let (_, moment) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
    Some((read_time(moment)?, Serial::from_integer(serial)?))
}

pub(crate) fn read_time(bytes: &[u8]) -> Option<Timestamp> {
    Some(Timestamp::from_millis(i64::from_be_bytes(bytes.try_into().ok()?)))
}

/// The value in the expiry index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expiring {
    pub(crate) issuer: u16,
    pub(crate) issued: Timestamp,
}

impl Expiring {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [&self.issuer.to_be_bytes()[..], &time(self.issued)].concat()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (issuer, issued) = bytes.split_first_chunk()?;
        let issuer = u16::from_be_bytes(*issuer);
        Some(Self { issuer, issued: read_time(issued)? })
    }
}

/// The value in the index of an issuer's revoked certificates.
pub(crate) fn revocation(at: Timestamp, reason: Reason) -> Vec<u8> {
    [&time(at)[..], &[reason.code()]].concat()
}

pub(crate) fn read_revocation(bytes: &[u8]) -> Option<(Timestamp, Reason)> {
    let (reason, at) = bytes.split_last()?;
    Some((read_time(at)?, Reason::from_code(*reason)?))
}
