//! One labelled certificate or secret of one container: what is wanted, what was delivered, what is next.
//!
//! [`Entry::step`] is the reconciler's heart: from labels, record and time it says what to do now, or
//! until when nothing needs doing. It does no I/O and keeps no plan, so it does not matter at which
//! moment the watcher was stopped.

use std::sync::Arc;
use std::time::Duration;

use sealock_core::Timestamp;
use sealock_engine::Container;

use super::denial::Denied;
use super::ports::{CertificateSource, Current, SecretSource, SiteError};
use super::proof::{Proof, pending};
use super::record::{CertificateRecord, Content, EntryKey, Record};
use super::secret::Standing;
use super::settings::WatcherSettings;
use super::wanted::{Wanted, What};

/// What holds for all entries in one round.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) now: Timestamp,
    pub(super) policy_epoch: u64,
    pub(super) trust: &'a str,
    /// When the trust bundle was seen to change.
    pub(super) trust_changed: Timestamp,
    /// Asked only for what there is of a secret.
    pub(super) secrets: &'a dyn SecretSource,
    /// Asked only for what there is of a certificate that another authority signs.
    pub(super) source: &'a dyn CertificateSource,
    pub(super) settings: &'a WatcherSettings,
}

impl World<'_> {
    /// A moment that was set for soon. When it is far ahead the clock was set back: then it is now.
    pub(super) fn soon(&self, at: Option<Timestamp>) -> Option<Timestamp> {
        let longest =
            self.settings.retry_last.max(self.settings.look_again).max(self.settings.grace);
        at.map(|at| if at > self.now.plus(longest) { self.now } else { at })
    }
}

/// A text and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) text: String,
    pub(super) hint: Option<String>,
}

impl From<SiteError> for Reason {
    fn from(error: SiteError) -> Self {
        match error {
            SiteError::Failed { reason, hint } => Self { text: reason, hint },
            other => Self { text: other.to_string(), hint: None },
        }
    }
}

/// Failures in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) failures: u32,
    /// Not before.
    pub(super) next: Option<Timestamp>,
    pub(super) last: Option<Reason>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Have a certificate issued or a secret read, and deliver it.
    Deliver,
    /// See whether the files are still there after a restart.
    Check,
    /// Ask policy whether what was delivered may still be there.
    Ask,
    /// Tell the service.
    Reload,
    /// Look at what the service serves.
    Look,
    /// Nothing until then, or until something happens.
    Wait(Option<Timestamp>),
}

/// One labelled certificate or secret.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: EntryKey,
    pub(super) container: Arc<Container>,
    pub(super) wanted: Wanted,
    pub(super) record: Option<Record>,
    /// Something is under way for it.
    pub(super) busy: bool,
    /// A person wants it renewed now.
    pub(super) forced: bool,
    /// The container was seen not to hold what the record says.
    pub(super) lost: bool,
    /// The record is an earlier watcher's: what that one did last may be missing in it.
    pub(super) unchecked: bool,
    pub(super) denied: Option<Denied>,
    pub(super) trouble: Trouble,
    pub(super) reload_trouble: Trouble,
    pub(super) proof: Proof,
    pub(super) standing: Standing,
    /// When the container was seen to have stopped; `None` while it runs, or when nobody saw it.
    pub(super) stopped_at: Option<Timestamp>,
}

impl Entry {
    pub(super) fn new(
        key: EntryKey,
        container: Arc<Container>,
        wanted: Wanted,
        record: Option<Record>,
        now: Timestamp,
    ) -> Self {
        let served = record.as_ref().and_then(|record| record.certificate()?.served_at);
        let proof = match (wanted.verify(), &record, served) {
            (None, _, _) | (_, None, _) => Proof::NotAsked,
            (Some(_), Some(_), Some(at)) => Proof::Served { at },
            (Some(_), Some(_), None) => pending(now, now),
        };
        let unchecked = record.is_some();
        Self {
            key,
            container,
            wanted,
            record,
            busy: false,
            forced: false,
            lost: false,
            unchecked,
            denied: None,
            trouble: Trouble::default(),
            reload_trouble: Trouble::default(),
            proof,
            standing: Standing::default(),
            stopped_at: None,
        }
    }

    /// The container was seen again, running or not.
    pub(super) fn follow(&mut self, container: Arc<Container>, now: Timestamp) {
        let (was_running, life) = (self.running(), self.started_at().to_owned());
        self.container = container;
        if was_running && !self.running() {
            self.stopped_at = Some(now);
        }
        if !self.running() {
            return;
        }
        let down = self.stopped_at.take().map_or(Duration::ZERO, |stopped| now.since(stopped));
        if self.started_at() != life {
            // What failed in the last life may work at once in this one.
            self.trouble.next = None;
        }
        // The grace time stands still while the container does.
        match &mut self.proof {
            Proof::Pending { since, .. } => *since = since.plus(down),
            Proof::Missing { next, .. } => *next = now,
            Proof::NotAsked | Proof::Served { .. } => {}
        }
    }

    /// Whether something can be done in the container now.
    pub(super) fn running(&self) -> bool {
        self.container.running && !self.container.paused
    }

    /// The container's start, as text that is compared for sameness only.
    pub(super) fn started_at(&self) -> &str {
        self.container.started_at.as_ref().map_or("", |start| start.as_str())
    }

    /// How it is called in audit and alarms.
    pub(super) fn subject(&self) -> String {
        format!("{}/{}", self.container.name, self.key.item())
    }

    /// What is next.
    pub(super) fn step(&self, world: &World<'_>) -> Step {
        if self.busy || !self.running() {
            return Step::Wait(None);
        }
        let mut wake = Wake { world, earliest: None };
        if wake.due(self.deliver_at(world)) {
            return Step::Deliver;
        }
        let Some(record) = self.record.as_ref().filter(|_| !self.lost) else {
            return Step::Wait(wake.earliest);
        };
        if self.unchecked || record.started_at != self.started_at() {
            // Before anything else in this life of the container or of the watcher: is what was
            // recorded what is there?
            return if wake.due(world.soon(self.trouble.next).or(Some(world.now))) {
                Step::Check
            } else {
                Step::Wait(wake.earliest)
            };
        }
        if wake.due(self.ask_at(world)) {
            return Step::Ask;
        }
        let retry = world.soon(self.reload_trouble.next);
        let reload = world.soon(record.reload_due).map(|due| retry.map_or(due, |at| due.max(at)));
        if wake.due(reload) {
            return Step::Reload;
        }
        let look = match &self.proof {
            Proof::Pending { next, .. } | Proof::Missing { next, .. } => Some(*next),
            Proof::NotAsked | Proof::Served { .. } => None,
        };
        if wake.due(world.soon(look)) { Step::Look } else { Step::Wait(wake.earliest) }
    }

    /// When the next delivery is due; `None` while policy says no.
    fn deliver_at(&self, world: &World<'_>) -> Option<Timestamp> {
        if self.still_denied(world) {
            return None;
        }
        let needed = self.needed_at(world)?;
        Some(world.soon(self.trouble.next).map_or(needed, |next| needed.max(next)))
    }

    /// From when on what is there is not what should be there; `None` while it is.
    pub(super) fn needed_at(&self, world: &World<'_>) -> Option<Timestamp> {
        if self.awaits_signature(world) {
            return None;
        }
        // Nobody is given an empty bundle, whatever is wrong with the authority.
        if matches!(self.wanted.what, What::Trust(_)) && world.trust.is_empty() {
            return None;
        }
        let Some(record) = &self.record else { return Some(world.now) };
        if self.forced || self.lost || record.wanted != self.wanted.digest {
            return Some(world.now);
        }
        let reading = record.read_secret().and_then(|held| self.replaced_at(held, world));
        match &record.content {
            Content::Certificate(held) if self.wanted.imported().is_some() => {
                earliest(self.imported_at(held, world), reading)
            }
            Content::Certificate(held) => {
                earliest(Some(self.renewed_at(record, held, world)), reading)
            }
            Content::Secret(_) => reading,
            Content::Trust(held) => {
                earliest((held.bundle != world.trust).then_some(world.now), reading)
            }
        }
    }

    /// Whether there is nothing to deliver before somebody has signed it.
    pub(super) fn awaits_signature(&self, world: &World<'_>) -> bool {
        let imported = self.wanted.imported().map(|name| world.source.imported(name));
        imported == Some(Current::Waiting)
    }

    /// An imported certificate does not come anew by its life, but when another was imported, or the trust bundle
    /// that goes with it has changed.
    fn imported_at(&self, held: &CertificateRecord, world: &World<'_>) -> Option<Timestamp> {
        let current = self.wanted.imported().map(|name| world.source.imported(name));
        match current {
            Some(Current::Version(version)) if held.version != Some(version) => Some(world.now),
            Some(Current::Version(_)) if held.trust != world.trust => {
                Some(world.settings.trust_due(&self.key.text(), world.trust_changed))
            }
            _ => None,
        }
    }

    fn renewed_at(
        &self,
        record: &Record,
        held: &CertificateRecord,
        world: &World<'_>,
    ) -> Timestamp {
        // Delivered in the future: the clock was set back, and nobody would accept it now.
        if record.delivered_at > world.now.plus(Duration::from_secs(300)) {
            return world.now;
        }
        // Nobody should accept it any more, and with another the key is another, too.
        if world.source.is_revoked(&held.serial) {
            return record.delivered_at.plus(rest(held.revoked_before)).max(world.now);
        }
        if world.source.is_below_revoked(&held.serial) {
            return world.now;
        }
        if held.trust == world.trust {
            return held.renew_at;
        }
        let spread = world.settings.trust_due(&self.key.text(), world.trust_changed);
        held.renew_at.min(spread)
    }

    /// Whether the delivered certificate is in the last sixth of its life, or past it.
    pub(super) fn expiring(&self, now: Timestamp) -> bool {
        let Some(record) = &self.record else { return false };
        record.certificate().is_some_and(|held| {
            let life = held.not_after.since(record.delivered_at);
            now >= held.not_after.minus(life / 6)
        })
    }
}

/// A certificate that is revoked later than this after it came is none that somebody revokes again and again.
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// How long a certificate stands that was put in the place of revoked ones, if it is revoked, too: whoever has its key may
/// revoke it (RFC 8555 §7.6), and could have another made without end.
fn rest(revoked_before: u32) -> Duration {
    match revoked_before {
        0 => Duration::ZERO,
        many => Duration::from_secs(60).saturating_mul(1 << (2 * (many - 1)).min(20)).min(DAY),
    }
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// The earliest of the moments that are not due yet.
struct Wake<'a> {
    world: &'a World<'a>,
    earliest: Option<Timestamp>,
}

impl Wake<'_> {
    fn due(&mut self, at: Option<Timestamp>) -> bool {
        let Some(at) = at else { return false };
        if at <= self.world.now {
            return true;
        }
        self.earliest = Some(self.earliest.map_or(at, |earliest| earliest.min(at)));
        false
    }
}
