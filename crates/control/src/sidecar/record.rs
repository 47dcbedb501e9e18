//! What we have started beside which container, and as whom it acts: what attestation goes by.
//!
//! The names and labels of a container are chosen by whoever makes it; its id is not. A sidecar acts for a container
//! because its id is written down here, by the process that had it made, before it is started. So a container that only
//! looks like a sidecar is nobody.

use std::collections::BTreeMap;

use parking_lot::RwLock;
use sealock_core::Identity;
use sealock_core::audit::{Actor, Fact};
use sealock_core::policy::ContainerFacts;
use sealock_store::{Change, KeyRange, Operation, Store, Transaction};
use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;

/// Of every record's key; the sidecar's id follows.
const PREFIX: &str = "control/sidecar/";
/// More are not had on one host.
const MOST: usize = 20_000;

/// What a sidecar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Before the app.
    Gatekeeper,
    /// Behind it.
    Forwarder,
}

impl Role {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Gatekeeper, Self::Forwarder];

    /// The command that it is, which is its name everywhere.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Gatekeeper => "gatekeeper",
            Self::Forwarder => "forwarder",
        }
    }
}

/// As whom a sidecar acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SidecarRecord {
    /// What it is.
    pub(crate) role: Role,
    /// The identity that it has at the workload socket, and for its certificate.
    pub(crate) identity: Identity,
    /// The container that it stands beside.
    pub(crate) beside: ContainerFacts,
}

/// All of them, by id.
#[derive(Debug, Default)]
pub(crate) struct SidecarRecords(RwLock<BTreeMap<String, SidecarRecord>>);

impl SidecarRecords {
    /// What earlier daemons have written down. Blocking.
    pub(crate) fn load(store: &dyn Store) -> Result<Self, ServiceError> {
        let found = store
            .range(&KeyRange::prefix(PREFIX.as_bytes()), MOST)
            .map_err(|error| ServiceError::of(ErrorCode::State, &error))?;
        let mut all = BTreeMap::new();
        for (key, entry) in found {
            let id = key.get(PREFIX.len()..).and_then(|id| std::str::from_utf8(id).ok());
            // What cannot be read is nobody's; its container is removed in the next round.
            if let (Some(id), Ok(record)) = (id, serde_json::from_slice(&entry.value)) {
                all.insert(id.to_owned(), record);
            }
        }
        Ok(Self(RwLock::new(all)))
    }

    /// As whom this container acts, if it is a sidecar.
    pub(crate) fn get(&self, id: &str) -> Option<SidecarRecord> {
        self.0.read().get(id).cloned()
    }

    /// All ids.
    pub(super) fn ids(&self) -> Vec<String> {
        self.0.read().keys().cloned().collect()
    }
}

fn key(id: &str) -> Vec<u8> {
    format!("{PREFIX}{id}").into_bytes()
}

impl Service {
    /// Writes a sidecar down, before it is started. Blocking.
    pub(super) fn sidecar_made(&self, id: &str, record: SidecarRecord) -> Result<(), ServiceError> {
        let fact = Fact::SidecarMade {
            sidecar: id.to_owned(),
            role: record.role.as_str().to_owned(),
            container: record.beside.name.clone(),
            acts_as: record.identity.to_string(),
        };
        self.write_sidecar(id, &record, Some(fact))?;
        self.sidecars().0.write().insert(id.to_owned(), record);
        Ok(())
    }

    /// What is known of the container beside which it stands has changed. Blocking.
    pub(super) fn sidecar_follows(
        &self,
        id: &str,
        record: SidecarRecord,
    ) -> Result<(), ServiceError> {
        self.write_sidecar(id, &record, None)?;
        self.sidecars().0.write().insert(id.to_owned(), record);
        Ok(())
    }

    fn write_sidecar(
        &self,
        id: &str,
        record: &SidecarRecord,
        fact: Option<Fact>,
    ) -> Result<(), ServiceError> {
        let value = serde_json::to_vec(record)
            .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        self.commit_sidecar(Operation::put(key(id), value), fact)
    }

    /// From here on it acts for nobody, and what it has open is cut. Blocking.
    pub(super) fn sidecar_removed(&self, id: &str, reason: &str) -> Result<(), ServiceError> {
        // Taken out first: a request in between is nobody's.
        let Some(record) = self.sidecars().0.write().remove(id) else { return Ok(()) };
        if let Some(attester) = self.attester().get() {
            attester.cut(id);
        }
        let fact = Fact::SidecarRemoved {
            sidecar: id.to_owned(),
            role: record.role.as_str().to_owned(),
            container: record.beside.name.clone(),
            reason: reason.to_owned(),
        };
        let written = self.commit_sidecar(Operation::delete(key(id)), Some(fact));
        if written.is_err() {
            // It is in the store still: the next round tries again.
            self.sidecars().0.write().insert(id.to_owned(), record);
        }
        written
    }

    fn commit_sidecar(&self, operation: Operation, fact: Option<Fact>) -> Result<(), ServiceError> {
        let now = self.journal().clock().now();
        let actor = Actor::daemon("sidecars");
        let events = fact.map(|fact| actor.event(now, fact)).into_iter().collect();
        let change = Change { transaction: Transaction::new().with(operation), events };
        let written = self.journal().commit_blocking(change);
        written.map(|_| ()).map_err(|error| ServiceError::of(ErrorCode::State, &error))
    }
}
