//! One certificate in the inventory.
//!
//! Stored is the DER and a short note with what the DER does not say; everything else is read from the
//! DER. That is half the bytes of storing it twice, and there is one truth.

use std::time::Duration;

use sealock_core::{Identity, SubjectName, Timestamp};
use sealock_store::{Operation, Transaction};
use serde::{Deserialize, Serialize};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

use super::keys::{self, Expiring, Part, Place};
use super::{IssuerId, Reason};
use crate::csr;
use crate::key::PublicKeyKind;
use crate::order::Usages;
use crate::serial::Serial;

/// That and why a certificate was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revocation {
    pub(crate) at: Timestamp,
    pub(crate) reason: Reason,
}

/// A certificate as the inventory knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) serial: Serial,
    pub(crate) issuer: IssuerId,
    pub(crate) issued: Timestamp,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) identity: Option<Identity>,
    pub(crate) names: Vec<SubjectName>,
    pub(crate) common_name: Option<String>,
    pub(crate) usages: Usages,
    pub(crate) key: PublicKeyKind,
    pub(crate) note: Note,
}

/// What the DER does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) name: String,
    pub(crate) by: String,
    #[serde(rename = "issuer")]
    pub(crate) issuer_number: u16,
    /// Its issuer, where that is under a root of somebody else: the certificate names the key as those name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) under: Option<IssuerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaces: Option<Serial>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaced_by: Option<Serial>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<Revocation>,
    /// By which profile it was ordered; absent where none was named, and before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
}

impl Entry {
    pub(crate) fn place(&self) -> Place {
        Place { issued: self.issued, serial: self.serial }
    }

    /// How long it was ordered for. Its end was rounded down to a whole second; rounded up again, a
    /// line of renewals does not grow shorter.
    pub(crate) fn ttl(&self) -> Duration {
        let life = self.not_after.since(self.issued);
        Duration::from_secs(life.as_secs() + u64::from(life.subsec_nanos() > 0))
    }

    /// The same certificate with another note.
    pub(crate) fn noted(&self, note: Note) -> Self {
        Self { note, ..self.clone() }
    }

    /// The entry that `place` has, from its value; `None` when that is not one of ours.
    pub(crate) fn read(place: Place, value: &[u8]) -> Option<(Self, &[u8])> {
        let (note, der) = split(value)?;
        let note: Note = serde_json::from_slice(note).ok()?;
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        if Serial::from_integer(certificate.raw_serial()) != Some(place.serial) {
            return None;
        }
        let names = alternative_names(&certificate)?;
        let identity = match names.first() {
            Some(SubjectName::Uri(uri)) => uri.parse().ok(),
            _ => None,
        };
        let purposes = certificate.extended_key_usage().ok()??.value;
        let entry = Self {
            serial: place.serial,
            issuer: note.under.or_else(|| issuer(&certificate))?,
            issued: place.issued,
            not_before: Timestamp::from_secs(certificate.validity().not_before.timestamp()),
            not_after: Timestamp::from_secs(certificate.validity().not_after.timestamp()),
            identity,
            names,
            common_name: common_name(&certificate),
            usages: Usages {
                server: purposes.server_auth,
                client: purposes.client_auth,
                code: purposes.code_signing,
                email: purposes.email_protection,
            },
            key: csr::public_key(certificate.public_key()).ok()?.kind(),
            note,
        };
        Some((entry, der))
    }

    /// Adds everything that a new certificate writes to `transaction`.
    pub(crate) fn create(
        &self,
        der: &[u8],
        transaction: Transaction,
    ) -> Result<Transaction, serde_json::Error> {
        let issued = keys::time(self.issued);
        Ok(transaction
            .create(keys::serial(self.serial), issued)
            .put(keys::main(self.place()), self.note.to_bytes(der)?)
            .put(self.expiry(Part::Current), self.expiring().to_bytes())
            .put(keys::name(&self.note.name, self.place()), []))
    }

    /// Adds what it writes that the certificate was replaced or revoked, on condition that the entry is
    /// the `version` that was read.
    pub(crate) fn supersede(
        &self,
        der: &[u8],
        version: u64,
        transaction: Transaction,
    ) -> Result<Transaction, serde_json::Error> {
        Ok(transaction
            .replace(keys::main(self.place()), version, self.note.to_bytes(der)?)
            .delete(self.expiry(Part::Current))
            .put(self.expiry(Part::Superseded), self.expiring().to_bytes()))
    }

    /// Everything that is removed when the entry is pruned.
    pub(crate) fn remove(&self) -> Vec<Operation> {
        vec![
            Operation::delete(keys::main(self.place())),
            Operation::delete(keys::serial(self.serial)),
            Operation::delete(self.expiry(Part::Current)),
            Operation::delete(self.expiry(Part::Superseded)),
            Operation::delete(keys::name(&self.note.name, self.place())),
        ]
    }

    fn expiry(&self, part: Part) -> Vec<u8> {
        keys::expiry(part, self.not_after, self.serial)
    }

    fn expiring(&self) -> Expiring {
        Expiring { issuer: self.note.issuer_number, issued: self.issued }
    }
}

impl Note {
    /// The value of the main key: the length of the note, the note as JSON, the DER.
    pub(crate) fn to_bytes(&self, der: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
        let mut value = vec![0; 4];
        serde_json::to_writer(&mut value, self)?;
        let length = u32::try_from(value.len() - 4).unwrap_or(u32::MAX);
        value.iter_mut().zip(length.to_be_bytes()).for_each(|(to, from)| *to = from);
        value.extend_from_slice(der);
        Ok(value)
    }
}

fn split(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = value.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Option<Vec<SubjectName>> {
    let names = certificate.subject_alternative_name().ok()??.value;
    names.general_names.iter().map(|name| csr::subject_name(name).ok()?.ok()).collect()
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let first = certificate.subject().iter_common_name().next()?;
    first.as_str().ok().map(ToOwned::to_owned)
}

fn issuer(certificate: &X509Certificate<'_>) -> Option<IssuerId> {
    let identifier = certificate.extensions().iter().find_map(|extension| {
        match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref(),
            _ => None,
        }
    })?;
    Some(IssuerId::of(identifier.0.try_into().ok()?))
}
