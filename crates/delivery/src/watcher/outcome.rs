//! What becomes of an [`Entry`] when something was done for it.

use sealock_core::Timestamp;
use sealock_core::audit::Fact;

use super::effects::Effects;
use super::entry::{Denied, Entry, Reason, Trouble, World};
use super::ports::{Delivered, SiteError};
use super::proof::{Proof, pending};
use super::record::{CertificateRecord, Record};

/// A certificate that was issued and delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrived {
    /// When it was asked for; its life is counted from here, not from a backdated start.
    pub(super) asked_at: Timestamp,
    /// The container's start then.
    pub(super) started_at: String,
    /// What was wanted then.
    pub(super) wanted: String,
    /// The trust bundle then.
    pub(super) trust: String,
    pub(super) serial: String,
    pub(super) not_after: Timestamp,
    pub(super) delivered: Delivered,
    pub(super) request: String,
}

/// What a container was seen to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holds {
    /// A certificate with this serial.
    Serial(String),
    /// None that can be read.
    Nothing,
    /// It cannot be seen from here.
    Unknown,
}

impl Entry {
    /// The certificate is in the container.
    pub(super) fn delivered(&mut self, arrived: Arrived, world: &World<'_>, effects: &mut Effects) {
        let key = self.key.text();
        let reload = self.wanted.reload().filter(|_| {
            // ADR 0007: only who may have loaded an earlier version is told.
            arrived.delivered.changed && arrived.delivered.replaced_previous
        });
        let reload_due = reload.map(|_| self.settled_at(world));
        let record = Record {
            container_name: self.container.name.clone(),
            started_at: arrived.started_at,
            wanted: arrived.wanted,
            delivered_at: world.now,
            reload_due,
            certificate: CertificateRecord {
                serial: normal(&arrived.serial),
                trust: arrived.trust,
                not_after: arrived.not_after,
                renew_at: world.settings.renew_at(&key, arrived.asked_at, arrived.not_after),
                served_at: None,
            },
        };
        let fact = Fact::CertDelivered {
            serial: record.certificate.serial.clone(),
            name: self.key.certificate.to_string(),
            container: self.container.name.clone(),
            path: self.wanted.path().to_string(),
            reload: reload.map_or_else(|| "none".to_owned(), ToString::to_string),
        };
        effects.tell(world.now, &arrived.request, fact);
        effects.write(record.put(&self.key));
        let since = reload_due.map_or(world.now, |due| due.max(world.now));
        self.proof = self.proof_after(since, &record.certificate.serial, world);
        self.record = Some(record);
        self.forced = false;
        self.lost = false;
        self.unchecked = false;
        self.denied = None;
        self.trouble = Trouble::default();
        self.reload_trouble = Trouble::default();
    }

    /// When the container's first process is old enough to be signalled.
    fn settled_at(&self, world: &World<'_>) -> Timestamp {
        let settle = world.settings.settle(self.wanted.life());
        let started = self.container.started_at.as_ref().map(|start| start.unix_milliseconds());
        let settled = started.map_or(world.now, |at| Timestamp::from_millis(at).plus(settle));
        if settled > world.now.plus(settle * 2) {
            // Started in the future: a clock was set back since.
            return world.now;
        }
        settled.clamp(world.now, world.now.plus(settle))
    }

    /// Policy says no.
    pub(super) fn denied(&mut self, reason: Reason, policy_epoch: u64, trust: String) {
        self.denied = Some(Denied { policy_epoch, trust, reason });
        self.trouble = Trouble::default();
    }

    /// A delivery failed.
    pub(super) fn failed(&mut self, reason: Reason, world: &World<'_>) {
        self.denied = None;
        let key = self.key.text();
        again(&mut self.trouble, &key, Some(reason), self.wanted.life(), world);
    }

    /// The container or the engine went away meanwhile; nobody's failure.
    pub(super) fn interrupted(&mut self, world: &World<'_>) {
        self.trouble.next = Some(world.now.plus(world.settings.retry_first));
    }

    /// The container was asked what it holds, in its present life.
    pub(super) fn checked(
        &mut self,
        holds: &Holds,
        started_at: String,
        world: &World<'_>,
        effects: &mut Effects,
    ) {
        self.unchecked = false;
        let Some(record) = &mut self.record else { return };
        let new_life = record.started_at != started_at;
        match holds {
            Holds::Serial(serial) if *serial == record.certificate.serial => {}
            // It was there when this life was last seen.
            Holds::Unknown if !new_life => {}
            Holds::Serial(_) | Holds::Nothing | Holds::Unknown => {
                self.lost = true;
                return;
            }
        }
        if !new_life {
            return;
        }
        record.started_at = started_at;
        record.certificate.served_at = None;
        // The new process has read the files at its start: nobody is left to be told.
        record.reload_due = None;
        effects.write(record.put(&self.key));
        self.reload_trouble = Trouble::default();
        if self.wanted.verify().is_some()
            && matches!(self.proof, Proof::Served { .. } | Proof::NotAsked)
        {
            self.proof = pending(world.now, world.now.plus(world.settings.look_every()));
        }
    }

    /// The service was told, or could not be.
    pub(super) fn reloaded(
        &mut self,
        result: Result<(), SiteError>,
        world: &World<'_>,
        effects: &mut Effects,
    ) {
        match result {
            Ok(()) => {
                self.reload_trouble = Trouble::default();
                if let Some(record) = &mut self.record {
                    record.reload_due = None;
                    effects.write(record.put(&self.key));
                }
                let soon = world.now.plus(world.settings.look_every());
                if let Proof::Pending { next, .. } | Proof::Missing { next, .. } = &mut self.proof {
                    *next = soon;
                }
            }
            Err(SiteError::Gone | SiteError::EngineAway) => {
                self.reload_trouble.next = Some(world.now.plus(world.settings.retry_first));
            }
            Err(SiteError::Failed { reason, hint }) => {
                let (key, ttl) = (self.key.text(), self.wanted.life());
                let reason = Reason { text: reason, hint };
                again(&mut self.reload_trouble, &key, Some(reason), ttl, world);
            }
        }
    }
}

fn again(
    trouble: &mut Trouble,
    key: &str,
    reason: Option<Reason>,
    ttl: std::time::Duration,
    world: &World<'_>,
) {
    trouble.failures = trouble.failures.saturating_add(1);
    let wait = world.settings.retry_after(key, trouble.failures, ttl);
    trouble.next = Some(world.now.plus(wait));
    trouble.last = reason;
}

/// A serial as it is compared: lower-case hex digits without separators and leading zero bytes.
pub(super) fn normal(serial: &str) -> String {
    let mut digits: String =
        serial.chars().filter(char::is_ascii_hexdigit).map(|c| c.to_ascii_lowercase()).collect();
    if digits.len() % 2 == 1 {
        digits.insert(0, '0');
    }
    while digits.len() > 2 && digits.starts_with("00") {
        digits.drain(..2);
    }
    digits
}
