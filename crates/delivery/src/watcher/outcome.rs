//! What becomes of an [`Entry`] when something was done for it.

use sealock_core::audit::Fact;
use sealock_core::{SecretName, Timestamp};

use super::denial::{Basis, Denied, Ground};
use super::effects::Effects;
use super::entry::{DAY, Entry, Reason, Trouble, World};
use super::ports::{Delivered, SiteError};
use super::proof::{Proof, pending};
use super::record::{CertificateRecord, Content, Record, SecretRecord, TrustRecord};
use super::secret::Standing;

/// Something that was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrived {
    /// The container's start then.
    pub(super) started_at: String,
    /// What was wanted then.
    pub(super) wanted: String,
    pub(super) delivered: Delivered,
    pub(super) request: String,
    pub(super) goods: Goods,
}

/// What it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goods {
    Certificate {
        /// When it was asked for; its life is counted from here, not from a backdated start.
        asked_at: Timestamp,
        /// The trust bundle then.
        trust: String,
        serial: String,
        not_after: Timestamp,
        /// Of an imported one.
        version: Option<u64>,
        /// What the stores beside it are under.
        password: Option<ReadSecret>,
    },
    Secret(ReadSecret),
    Trust {
        /// The digest of the bundle.
        bundle: String,
        /// What the store of it is under.
        password: Option<ReadSecret>,
    },
}

/// A secret that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadSecret {
    pub(super) secret: SecretName,
    pub(super) version: u64,
    /// What there was when it was asked for.
    pub(super) basis: Basis,
}

impl ReadSecret {
    fn record(self) -> SecretRecord {
        SecretRecord { secret: self.secret, version: self.version }
    }

    fn is(&self, held: &SecretRecord) -> bool {
        (&held.secret, held.version) == (&self.secret, self.version)
    }
}

impl Goods {
    fn read_secret(&self) -> Option<&ReadSecret> {
        match self {
            Self::Certificate { password, .. } | Self::Trust { password, .. } => password.as_ref(),
            Self::Secret(secret) => Some(secret),
        }
    }
}

/// What a container was seen to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holds {
    /// A certificate with this serial.
    Serial(String),
    /// A file; of which version or bundle, it does not say.
    File,
    /// Nothing of the kind.
    Nothing,
    /// It cannot be seen from here.
    Unknown,
}

impl Entry {
    /// What was wanted is in the container.
    pub(super) fn delivered(&mut self, arrived: Arrived, world: &World<'_>, effects: &mut Effects) {
        let Arrived { started_at, wanted, delivered, request, goods } = arrived;
        let reload = self.wanted.reload().filter(|_| self.is_told(&delivered, &started_at, &goods));
        let reload_due = reload.map(|_| self.settled_at(world));
        let told = reload.map_or_else(|| "none".to_owned(), ToString::to_string);
        let read = goods.read_secret();
        self.standing = read.map(|read| Standing::delivered(&read.basis)).unwrap_or_default();
        let record = Record {
            container_name: self.container.name.clone(),
            started_at,
            wanted,
            delivered_at: world.now,
            reload_due,
            content: self.content(goods, world),
        };
        effects.tell(world.now, &request, self.fact(&record.content, told));
        effects.write(record.put(&self.key));
        let since = reload_due.map_or(world.now, |due| due.max(world.now));
        self.proof = record.certificate().map_or(Proof::NotAsked, |certificate| {
            self.proof_after(since, &certificate.serial, world)
        });
        self.record = Some(record);
        self.forced = false;
        self.lost = false;
        self.unchecked = false;
        self.denied = None;
        self.trouble = Trouble::default();
        self.reload_trouble = Trouble::default();
    }

    /// ADR 0007: only who may have loaded an earlier version is told.
    fn is_told(&self, delivered: &Delivered, started_at: &str, goods: &Goods) -> bool {
        let record = self.record.as_ref();
        let held = record.and_then(Record::read_secret);
        let other_secret = held.zip(goods.read_secret()).is_some_and(|(held, read)| !read.is(held));
        // The watcher may have been killed between putting the new version there and remembering it: then
        // nothing has changed now, and still nobody was told.
        let newer = match goods {
            Goods::Certificate { version: Some(version), .. } => {
                let held = record.and_then(|record| record.certificate()?.version);
                other_secret || held.is_some_and(|held| held != *version)
            }
            // With each delivery comes a new certificate, so what was there was another.
            Goods::Certificate { version: None, .. } => false,
            Goods::Secret(_) => other_secret,
            Goods::Trust { bundle, .. } => {
                let held = record.and_then(|record| record.trust());
                other_secret || held.is_some_and(|held| held.bundle != *bundle)
            }
        };
        // A service may remove a secret's file once it has read it.
        let same_life = record.is_some_and(|record| record.started_at == started_at);
        let removed = matches!(goods, Goods::Secret(_)) && same_life && newer;
        (delivered.replaced_previous && (delivered.changed || newer)) || removed
    }

    fn content(&self, goods: Goods, world: &World<'_>) -> Content {
        match goods {
            Goods::Certificate { asked_at, trust, serial, not_after, version, password } => {
                let due = world.settings.renew_at(&self.key.text(), asked_at, not_after);
                Content::Certificate(CertificateRecord {
                    serial: normal(&serial),
                    trust,
                    not_after,
                    // What another authority signs comes anew when it was imported, whenever that is.
                    renew_at: if version.is_some() { not_after } else { due },
                    served_at: None,
                    revoked_before: self.revoked_before(world),
                    version,
                    password: password.map(ReadSecret::record),
                })
            }
            Goods::Secret(read) => Content::Secret(read.record()),
            Goods::Trust { bundle, password } => {
                let password = password.map(ReadSecret::record);
                Content::Trust(TrustRecord { bundle, password })
            }
        }
    }

    /// How many in a row were replaced because they had been revoked, with the one that is held.
    fn revoked_before(&self, world: &World<'_>) -> u32 {
        let Some(record) = &self.record else { return 0 };
        let Some(held) = record.certificate().filter(|held| world.source.is_revoked(&held.serial))
        else {
            return 0;
        };
        let long_ago = record.delivered_at.plus(DAY) < world.now;
        if long_ago { 1 } else { held.revoked_before.saturating_add(1) }
    }

    fn fact(&self, content: &Content, reload: String) -> Fact {
        let (container, path) = (self.container.name.clone(), self.wanted.path().to_string());
        match content {
            Content::Certificate(CertificateRecord { serial, .. }) => {
                let (serial, name) = (serial.clone(), self.key.name.to_string());
                Fact::CertDelivered { serial, name, container, path, reload }
            }
            Content::Secret(SecretRecord { secret, version }) => {
                let (secret, version) = (secret.to_string(), *version);
                Fact::SecretDelivered { secret, version, container, path, reload }
            }
            Content::Trust(TrustRecord { bundle, .. }) => {
                Fact::TrustDelivered { bundle: bundle.clone(), container, path, reload }
            }
        }
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

    /// Policy or the place says no.
    pub(super) fn denied(&mut self, denied: Denied) {
        if let Ground::Policy(basis) | Ground::Password(basis) = &denied.ground {
            self.answered(basis);
        }
        self.denied = Some(denied);
        self.trouble = Trouble::default();
    }

    /// The serial that was delivered last.
    pub(super) fn held_serial(&self) -> Option<&str> {
        Some(self.record.as_ref()?.certificate()?.serial.as_str())
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
            Holds::Serial(serial)
                if record.certificate().is_some_and(|held| held.serial == *serial) => {}
            Holds::File if record.certificate().is_none() => {}
            // It was there when this life was last seen.
            Holds::Unknown if !new_life => {}
            Holds::Serial(_) | Holds::File | Holds::Nothing | Holds::Unknown => {
                self.lost = true;
                return;
            }
        }
        if !new_life {
            return;
        }
        record.started_at = started_at;
        if let Content::Certificate(held) = &mut record.content {
            held.served_at = None;
        }
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
            Err(error @ (SiteError::Failed { .. } | SiteError::OnDisk { .. })) => {
                let (key, ttl) = (self.key.text(), self.wanted.life());
                let reason = Reason::from(error);
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
