//! How issuers under roots of others stand.

use sealock_core::{IssuerName, Timestamp};

use super::record::{Line, Under};
use crate::authority::Authority;
use crate::constraints::NameConstraints;
use crate::inventory::IssuerId;
use crate::key::KeyType;
use crate::order::Usages;
use crate::pem;
use crate::query::{KeyWhere, fingerprint};
use crate::state::{Der, IssuerRecord, KeyPlace, State};

/// A CSR that is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerWaiting {
    /// Since when.
    pub since: Timestamp,
    /// The id that the issuer will have.
    pub id: IssuerId,
    /// The CSR in PEM.
    pub csr: String,
    /// SHA-256 of the public key (`SubjectPublicKeyInfo`), in hex.
    pub key: String,
    /// Where the key is.
    pub key_where: KeyWhere,
}

/// The CA certificate by which an issuer signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerHeld {
    /// Its id, as paths of revocation lists have it.
    pub id: IssuerId,
    /// Its number in the inventory, among all that sign leaves.
    pub number: u16,
    /// The kind of its key.
    pub key_type: KeyType,
    /// Where that is.
    pub key_where: KeyWhere,
    /// Its serial number, in hex.
    pub serial: String,
    /// Its subject, readable.
    pub subject: String,
    /// The root above it.
    pub root: String,
    /// From when what it signs is valid: the latest beginning in its chain.
    pub not_before: Timestamp,
    /// Until when: the earliest end in its chain.
    pub not_after: Timestamp,
    /// When it was imported.
    pub imported: Timestamp,
    /// Its path length, where it has one.
    pub path_length: Option<u32>,
    /// What the chain permits below it.
    pub usages: Usages,
    /// Whether it permits an OCSP responder.
    pub ocsp: bool,
    /// The constraints of each CA of the chain that has any: its subject, and what it permits and excludes.
    pub constraints: Vec<(String, NameConstraints)>,
    /// SHA-256 of the DER, in hex.
    pub fingerprint: String,
    /// The certificate, then those between it and the root, in PEM.
    pub chain: String,
    /// The known root at which the chain ends, in PEM.
    pub root_pem: String,
}

impl IssuerHeld {
    /// From when on a person is reminded: a third of its life before its end.
    pub fn renewal_due(&self) -> Timestamp {
        due(self.not_before, self.not_after)
    }
}

/// A third of a life before its end.
pub(super) fn due(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    not_after.minus(not_after.since(not_before) / 3)
}

/// Where an issuer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerStanding {
    /// What it is called.
    pub name: IssuerName,
    /// The subject that is asked for.
    pub subject: String,
    /// The kind of the next key.
    pub key_type: KeyType,
    /// Whether it is not to be chosen.
    pub disabled: bool,
    /// What waits for a signature.
    pub waiting: Option<IssuerWaiting>,
    /// A CSR for the key that signs, since its certificate nears its end.
    pub anew: Option<IssuerWaiting>,
    /// What signs now.
    pub held: Option<IssuerHeld>,
    /// Those of before whose lists are still kept up: their ids, and when the last leaf below them expires.
    pub retired: Vec<(IssuerId, Option<Timestamp>)>,
}

impl IssuerStanding {
    pub(super) fn of(state: &State, line: &Line, now: Timestamp) -> Self {
        let active = line.active.and_then(|id| state.issuer(id));
        let before = state.issuers.iter().filter(|record| {
            let is_of = record.under.as_ref().is_some_and(|under| under.line == line.name);
            is_of && Some(record.id) != line.active && record.in_use(now)
        });
        let waiting = |since: Timestamp, id: IssuerId, csr: &Der, spki: &[u8], key: &KeyPlace| {
            let csr = pem::encode("CERTIFICATE REQUEST", &csr.0);
            IssuerWaiting { since, id, csr, key: fingerprint(spki), key_where: key.into() }
        };
        let anew = |record: &IssuerRecord| {
            let (anew, spki) = (line.anew.as_ref()?, crate::imported::spki_of(&record.der.0)?);
            Some(waiting(anew.since, record.id, &anew.csr, &spki, &record.key))
        };
        Self {
            name: line.name.clone(),
            subject: line.subject.to_string(),
            key_type: line.key_type,
            disabled: line.disabled,
            waiting: line
                .pending
                .as_ref()
                .map(|it| waiting(it.since, it.id, &it.csr, &it.spki.0, &it.place())),
            anew: active.and_then(anew),
            held: active.and_then(|record| held(record, record.under.as_deref()?)),
            retired: before.map(|record| (record.id, record.last_leaf)).collect(),
        }
    }
}

fn held(record: &IssuerRecord, under: &Under) -> Option<IssuerHeld> {
    let chain = std::iter::once(&record.der).chain(&under.between);
    Some(IssuerHeld {
        id: record.id,
        number: record.number,
        key_type: record.key_type,
        key_where: KeyWhere::from(&record.key),
        serial: under.serial.clone(),
        subject: under.subject.clone(),
        root: under.root_subject.clone(),
        not_before: record.not_before,
        not_after: record.not_after,
        imported: under.imported,
        path_length: under.path_length,
        usages: under.usages(record),
        ocsp: under.ocsp,
        constraints: constraints(record, under).ok()?,
        fingerprint: fingerprint(&record.der.0),
        chain: chain.map(|der| pem::encode("CERTIFICATE", &der.0)).collect(),
        root_pem: pem::encode("CERTIFICATE", &under.root.0),
    })
}

/// The constraints of each CA of the chain that has any, the root among them.
pub(super) fn constraints(
    record: &IssuerRecord,
    under: &Under,
) -> Result<Vec<(String, NameConstraints)>, crate::constraints::ConstraintError> {
    let all = std::iter::once(&record.der).chain(&under.between).chain([&under.root]);
    let read = all.map(|der| {
        let subject = crate::imported::subject_of(&der.0);
        Ok((subject, NameConstraints::of_foreign(&der.0)?))
    });
    read.filter(|pair| !matches!(pair, Ok((_, constraints)) if constraints.is_empty())).collect()
}

impl Authority {
    /// The issuers under roots of others, by name.
    pub fn issuers(&self) -> Vec<IssuerStanding> {
        let loaded = self.loaded.load();
        let now = self.now();
        let state = &loaded.state;
        state.lines.iter().map(|line| IssuerStanding::of(state, line, now)).collect()
    }

    /// The name of the issuer under a root of somebody else that this CA certificate belongs to.
    pub fn issuer_name(&self, id: IssuerId) -> Option<IssuerName> {
        let loaded = self.loaded.load();
        Some(loaded.state.issuer(id)?.under.as_ref()?.line.clone())
    }

    /// How one of them stands.
    pub fn issuer_standing(&self, name: &IssuerName) -> Option<IssuerStanding> {
        let loaded = self.loaded.load();
        let line = loaded.state.line(name)?;
        Some(IssuerStanding::of(&loaded.state, line, self.now()))
    }
}

impl Under {
    /// What the chain permits below it.
    pub(crate) fn usages(&self, record: &IssuerRecord) -> Usages {
        let tls = Usages { server: self.server, client: self.client, ..Usages::NONE };
        let (code, email) = match (self.code, self.email) {
            (Some(code), Some(email)) => (code, email),
            _ => {
                let chain = std::iter::once(&record.der).chain(&self.between);
                let held = crate::imported::permitted_below(chain.map(|der| der.0.as_slice()));
                (held.code, held.email)
            }
        };
        Usages { code, email, ..tls }
    }

    /// Beside the certificate itself: what is between it and the root, then what leads to other roots.
    pub(crate) fn above(&self) -> impl Iterator<Item = &[u8]> {
        self.between.iter().chain(&self.bridges).map(|der| der.0.as_slice())
    }

    /// See [`constraints`].
    pub(crate) fn constraints(
        &self,
        record: &IssuerRecord,
    ) -> Result<Vec<(String, NameConstraints)>, crate::constraints::ConstraintError> {
        constraints(record, self)
    }
}
