//! What of an [`Entry`] is so for secrets only: those that it is, and those that are the password of a store of it.
//!
//! A secret has a version in the vault and one in the container. Where the two differ it is delivered
//! anew. Where there is none in the vault any more, or policy would not give it any more, the file stays:
//! the service has read it, so removing it takes nothing back, and could break the service when it next
//! starts. It is an alarm until a person has decided.
//!
//! A store is under the version of its password that it was made with. It goes the same way: another version makes
//! another store, and where there is none any more, the store stays as it is. The next certificate needs the secret, so
//! the alarm comes before that one is due.
//!
//! Nothing here knows a value or anything made of one.

use sealock_core::Timestamp;

use super::denial::{Basis, Denied, Ground};
use super::entry::{Entry, Reason, World};
use super::ports::Current;
use super::record::{Record, SecretRecord};
use super::wanted::What;

/// What is known of a secret besides its record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// The policy epoch in which it was last permitted or denied, in this life of the watcher, and what the
    /// container was called then.
    asked: Option<(u64, String)>,
    /// Not to be asked before.
    ask_next: Option<Timestamp>,
    /// What the vault said there was when the record's version was read. A vault that gives another
    /// version than it names would otherwise be read in every round.
    read_at: Option<Current>,
    /// Why it was an alarm before this watcher started; so until it is known to be over.
    pub(super) before: Option<String>,
}

impl Standing {
    /// It was delivered.
    pub(super) fn delivered(basis: &Basis) -> Self {
        let asked = Some((basis.policy_epoch, basis.container.clone()));
        Self { asked, read_at: basis.secret, ..Self::default() }
    }
}

impl Entry {
    /// When the version in the container, or the store under it, is to be replaced.
    pub(super) fn replaced_at(&self, held: &SecretRecord, world: &World<'_>) -> Option<Timestamp> {
        let current = self.current(world)?;
        let Current::Version(version) = current else { return None };
        let other = version != held.version && Some(current) != self.standing.read_at;
        other.then_some(world.now)
    }

    /// When policy is to be asked whether the container may still have what it has.
    pub(super) fn ask_at(&self, world: &World<'_>) -> Option<Timestamp> {
        self.wanted.reads()?;
        let known = self.standing.asked.as_ref();
        let new = known != Some(&(world.policy_epoch, self.container.name.clone()));
        new.then(|| world.soon(self.standing.ask_next).unwrap_or(world.now))
    }

    /// Policy was asked, and permits it.
    pub(super) fn permitted(&mut self, basis: &Basis) {
        if self.denied.as_ref().is_some_and(|denied| self.is_about_reading(denied)) {
            self.denied = None;
        }
        self.answered(basis);
    }

    /// Whether a no is about the secret, and not about the certificate or the roots that it is the password of.
    fn is_about_reading(&self, denied: &Denied) -> bool {
        match (&self.wanted.what, &denied.ground) {
            (What::Secret(_), Ground::Policy(_)) | (_, Ground::Password(_)) => true,
            (_, Ground::Policy(_) | Ground::Place { .. }) => false,
        }
    }

    /// Policy was asked, and has said yes or no.
    pub(super) fn answered(&mut self, basis: &Basis) {
        self.standing.asked = Some((basis.policy_epoch, basis.container.clone()));
        self.standing.ask_next = None;
    }

    /// Policy could not be asked.
    pub(super) fn not_answered(&mut self, world: &World<'_>) {
        self.standing.ask_next = Some(world.now.plus(world.settings.retry_first));
    }

    /// Why the container should not have any more what it has.
    pub(super) fn stale(&self, world: &World<'_>) -> Option<Reason> {
        let record = self.record.as_ref().filter(|_| !self.lost)?;
        if let Some(forgotten) = self.forgotten(record, world) {
            return Some(forgotten);
        }
        let SecretRecord { secret, version } = record.read_secret()?;
        let is_secret = matches!(self.wanted.what, What::Secret(_));
        let still = if is_secret {
            format!("version {version} of {secret} is still in the container")
        } else {
            format!("the store in the container is under version {version} of {secret}")
        };
        if let Some(denied) = self.denied.as_ref().filter(|denied| self.is_about_reading(denied)) {
            let text = format!("{still}, but: {}", denied.reason.text);
            return Some(Reason { text, hint: denied.reason.hint.clone() });
        }
        let seen = !self.unchecked && record.started_at == self.started_at();
        if seen && self.current(world) == Some(Current::Gone) {
            let text = format!("{still}, but it was deleted or has expired");
            let hint = if is_secret {
                "set it again, or restart the container: its tmpfs is empty then"
            } else {
                "set it again: without it there is no next store"
            };
            return Some(Reason { text, hint: Some(hint.to_owned()) });
        }
        let known = seen && self.standing.asked.is_some();
        let before = self.standing.before.clone().filter(|_| !known)?;
        Some(Reason { text: before, hint: None })
    }

    /// What there is in the vault of the secret that it is, or that is its password.
    pub(super) fn current(&self, world: &World<'_>) -> Option<Current> {
        self.wanted.reads().map(|secret| world.secrets.current(secret))
    }

    /// An imported certificate that is in the container, and that nobody here knows any more: no successor will come.
    fn forgotten(&self, record: &Record, world: &World<'_>) -> Option<Reason> {
        let name = self.wanted.imported()?;
        let held = record.certificate()?;
        if world.source.imported(name) != Current::Gone {
            return None;
        }
        let text = format!(
            "the imported certificate {name} is not known any more; serial {} is still in the container",
            held.serial
        );
        let hint = format!(
            "import it again with its key: `sealock cert import {name} FILE…`; or remove the label"
        );
        Some(Reason { text, hint: Some(hint) })
    }
}
