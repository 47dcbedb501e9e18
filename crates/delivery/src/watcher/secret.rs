//! What of an [`Entry`] is so for secrets only.
//!
//! A secret has a version in the vault and one in the container. Where the two differ it is delivered
//! anew. Where there is none in the vault any more, or policy would not give it any more, the file stays:
//! the service has read it, so removing it takes nothing back, and could break the service when it next
//! starts. It is an alarm until a person has decided.
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
        Self { asked, read_at: basis.current, ..Self::default() }
    }
}

impl Entry {
    /// When the version in the container is to be replaced.
    pub(super) fn replaced_at(&self, held: &SecretRecord, world: &World<'_>) -> Option<Timestamp> {
        let current = self.current(world)?;
        let Current::Version(version) = current else { return None };
        let other = version != held.version && Some(current) != self.standing.read_at;
        other.then_some(world.now)
    }

    /// When policy is to be asked whether the container may still have what it has.
    pub(super) fn ask_at(&self, world: &World<'_>) -> Option<Timestamp> {
        let What::Secret(_) = &self.wanted.what else { return None };
        let known = self.standing.asked.as_ref();
        let new = known != Some(&(world.policy_epoch, self.container.name.clone()));
        new.then(|| world.soon(self.standing.ask_next).unwrap_or(world.now))
    }

    /// Policy was asked, and permits it.
    pub(super) fn permitted(&mut self, basis: &Basis) {
        self.denied.take_if(|denied| matches!(denied.ground, Ground::Policy(_)));
        self.answered(basis);
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
        let SecretRecord { secret, version } = record.secret()?;
        let still = format!("version {version} of {secret} is still in the container");
        if let Some(Denied { ground: Ground::Policy(_), reason, .. }) = &self.denied {
            let text = format!("{still}, but: {}", reason.text);
            return Some(Reason { text, hint: reason.hint.clone() });
        }
        let seen = !self.unchecked && record.started_at == self.started_at();
        if seen && self.current(world) == Some(Current::Gone) {
            let text = format!("{still}, but it was deleted or has expired");
            let hint = "set it again, or restart the container: its tmpfs is empty then".to_owned();
            return Some(Reason { text, hint: Some(hint) });
        }
        let known = seen && self.standing.asked.is_some();
        let before = self.standing.before.clone().filter(|_| !known)?;
        Some(Reason { text: before, hint: None })
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

    fn current(&self, world: &World<'_>) -> Option<Current> {
        match &self.wanted.what {
            What::Certificate(_) | What::Trust(_) => None,
            What::Secret(secret) => Some(world.secrets.current(&secret.secret)),
        }
    }
}
