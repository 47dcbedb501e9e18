//! What becomes of an [`Entry`] when something was done for it.

use sealock_core::Timestamp;
use sealock_core::audit::Fact;

use super::effects::Effects;
use super::entry::{Denied, Entry, Proof, Reason, Trouble, World, pending};
use super::ports::{Delivered, SiteError};
use super::record::Record;
use crate::verify::Seen;

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
        let reload = self.wanted.request.reload.as_ref().filter(|_| {
            // ADR 0007: only who may have loaded an earlier version is told.
            arrived.delivered.changed && arrived.delivered.replaced_previous
        });
        let reload_due = reload.map(|_| self.settled_at(world));
        let record = Record {
            container_name: self.container.name.clone(),
            started_at: arrived.started_at,
            serial: normal(&arrived.serial),
            wanted: arrived.wanted,
            trust: arrived.trust,
            sha256: arrived.delivered.sha256,
            delivered_at: world.now,
            not_after: arrived.not_after,
            renew_at: world.settings.renew_at(&key, arrived.asked_at, arrived.not_after),
            served_at: None,
            reload_due,
        };
        let fact = Fact::CertDelivered {
            serial: record.serial.clone(),
            name: self.key.certificate.to_string(),
            container: self.container.name.clone(),
            path: self.wanted.request.path.to_string(),
            reload: reload.map_or_else(|| "none".to_owned(), ToString::to_string),
        };
        effects.tell(world.now, &arrived.request, fact);
        effects.write(record.put(&self.key));
        let since = reload_due.map_or(world.now, |due| due.max(world.now));
        self.proof = self.proof_after(since, &record.serial, world);
        self.record = Some(record);
        self.forced = false;
        self.lost = false;
        self.unchecked = false;
        self.denied = None;
        self.trouble = Trouble::default();
        self.reload_trouble = Trouble::default();
    }

    /// What is to be proven after a delivery whose content the service can have from `since` on.
    fn proof_after(&self, since: Timestamp, serial: &str, world: &World<'_>) -> Proof {
        let soon = since.plus(world.settings.look_every());
        match (&self.wanted.request.verify, &self.proof) {
            (None, _) => Proof::NotAsked,
            // A service in alarm stays there until it is seen to serve what it should.
            (Some(_), Proof::Missing { .. }) => Proof::Missing {
                next: soon,
                often_until: since.plus(world.settings.grace),
                reason: format!("serial {serial} was delivered and is not seen yet"),
            },
            // The last one was not seen either: lives that are shorter than the grace time must not
            // put the alarm off for ever.
            (Some(_), Proof::Pending { since: before, last, .. }) => Proof::Pending {
                since: since.min(*before),
                next: soon,
                nudged: false,
                last: last.clone(),
            },
            (Some(_), Proof::NotAsked | Proof::Served { .. }) => pending(since, soon),
        }
    }

    /// When the container's first process is old enough to be signalled.
    fn settled_at(&self, world: &World<'_>) -> Timestamp {
        let settle = world.settings.settle(self.wanted.request.ttl);
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
        again(&mut self.trouble, &key, Some(reason), self.wanted.request.ttl, world);
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
            Holds::Serial(serial) if *serial == record.serial => {}
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
        record.served_at = None;
        // The new process has read the files at its start: nobody is left to be told.
        record.reload_due = None;
        effects.write(record.put(&self.key));
        self.reload_trouble = Trouble::default();
        if self.wanted.request.verify.is_some()
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
                let (key, ttl) = (self.key.text(), self.wanted.request.ttl);
                let reason = Reason { text: reason, hint };
                again(&mut self.reload_trouble, &key, Some(reason), ttl, world);
            }
        }
    }

    /// The service was looked at. Returns whether it serves what was delivered.
    pub(super) fn looked(
        &mut self,
        result: Result<Seen, SiteError>,
        world: &World<'_>,
        effects: &mut Effects,
    ) -> bool {
        let Some(record) = &mut self.record else { return false };
        let other = match result {
            Ok(seen) if seen.serial == record.serial => match seen.chain {
                Ok(()) => {
                    let told = record.served_at.replace(world.now).is_some();
                    effects.write(record.put(&self.key));
                    if !told {
                        let fact = Fact::CertServed {
                            serial: record.serial.clone(),
                            container: self.container.name.clone(),
                            endpoint: seen.address.to_string(),
                        };
                        effects.tell(world.now, "watcher", fact);
                    }
                    self.proof = Proof::Served { at: world.now };
                    return true;
                }
                Err(why) => format!("it serves serial {}, but its chain fails: {why}", seen.serial),
            },
            Ok(seen) => format!("it serves serial {}, not {}", seen.serial, record.serial),
            Err(SiteError::Failed { reason, .. }) => reason,
            Err(error @ (SiteError::Gone | SiteError::EngineAway)) => error.to_string(),
        };
        self.not_seen(other, world, effects);
        false
    }

    fn not_seen(&mut self, other: String, world: &World<'_>, effects: &mut Effects) {
        let settings = world.settings;
        let reloads = self.wanted.request.reload.is_some();
        let Some(record) = &mut self.record else { return };
        if let Proof::Pending { since, .. } = &mut self.proof
            && *since > world.now.plus(settings.grace)
        {
            // The clock was set back; the grace time begins anew.
            *since = world.now;
        }
        match &mut self.proof {
            Proof::Pending { since, .. } if world.now >= since.plus(settings.grace) => {
                let next = world.now.plus(settings.look_again);
                self.proof = Proof::Missing { next, often_until: world.now, reason: other };
            }
            Proof::Pending { since, next, nudged, last } => {
                let half = world.now >= since.plus(settings.grace / 2);
                if half && reloads && !*nudged && record.reload_due.is_none() {
                    // A service that started without its files, or missed the first word.
                    record.reload_due = Some(world.now);
                    effects.write(record.put(&self.key));
                    *nudged = true;
                }
                *next = world.now.plus(settings.look_every());
                *last = Some(other);
            }
            Proof::Missing { next, often_until, reason } => {
                let often = world.now < *often_until;
                let wait = if often { settings.look_every() } else { settings.look_again };
                *next = world.now.plus(wait);
                *reason = other;
            }
            Proof::NotAsked | Proof::Served { .. } => {}
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
