//! Whether a service is seen to serve what was delivered to it.

use sealock_core::Timestamp;
use sealock_core::audit::Fact;

use super::effects::Effects;
use super::entry::{Entry, World};
use super::ports::SiteError;
use super::record::Content;
use crate::verify::Seen;

/// How far the proof is that the service serves what was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// There is nothing to look at.
    NotAsked,
    /// Looked at again and again, until the grace time is over.
    Pending { since: Timestamp, next: Timestamp, nudged: bool, last: Option<String> },
    /// Seen.
    Served { at: Timestamp },
    /// Not seen within the grace time; looked at now and then, and often until `often_until`.
    Missing { next: Timestamp, often_until: Timestamp, reason: String },
}

/// A service is looked at from `next` on; its grace time begins at `since`.
pub(super) fn pending(since: Timestamp, next: Timestamp) -> Proof {
    Proof::Pending { since, next, nudged: false, last: None }
}

impl Entry {
    /// What is to be proven after a delivery whose content the service can have from `since` on.
    pub(super) fn proof_after(&self, since: Timestamp, serial: &str, world: &World<'_>) -> Proof {
        let soon = since.plus(world.settings.look_every());
        match (self.wanted.verify(), &self.proof) {
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

    /// The service was looked at. Returns whether it serves what was delivered.
    pub(super) fn looked(
        &mut self,
        result: Result<Seen, SiteError>,
        world: &World<'_>,
        effects: &mut Effects,
    ) -> bool {
        let Some(record) = &mut self.record else { return false };
        let Content::Certificate(held) = &mut record.content else { return false };
        let other = match result {
            Ok(seen) if seen.serial == held.serial => match seen.chain {
                Ok(()) => {
                    let told = held.served_at.replace(world.now).is_some();
                    let serial = held.serial.clone();
                    effects.write(record.put(&self.key));
                    if !told {
                        let fact = Fact::CertServed {
                            serial,
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
            Ok(seen) => format!("it serves serial {}, not {}", seen.serial, held.serial),
            Err(SiteError::Failed { reason, .. } | SiteError::OnDisk { reason }) => reason,
            Err(error @ (SiteError::Gone | SiteError::EngineAway)) => error.to_string(),
        };
        self.not_seen(other, world, effects);
        false
    }

    fn not_seen(&mut self, other: String, world: &World<'_>, effects: &mut Effects) {
        let settings = world.settings;
        let reloads = self.wanted.reload().is_some();
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
