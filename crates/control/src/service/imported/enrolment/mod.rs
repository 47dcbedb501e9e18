//! How it stands with what is asked for by protocol: written down before each step, so that whoever starts next goes on
//! where this process was ended, and asks no second time for what was given.

mod pace;
mod record;
mod report;
mod successors;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use sealock_authority::imported::Standing;
use sealock_core::audit::{Actor, Fact};
use sealock_core::{ImportedName, Timestamp};
use sealock_store::{Change, Transaction};
use sealock_upstream::acme::{Responders, TxtRecord};
use tokio::sync::Notify;

use self::pace::{LATEST, first, pause};
use self::record::{load, place};
use crate::error::ServiceError;
use crate::service::{Service, convert};

pub(crate) use self::pace::share;
pub(crate) use self::record::Pending;

/// No sooner is a server asked again, whatever it says.
const SOONEST: Duration = Duration::from_secs(5);
/// So often what a CA has given is tried to be taken, before it is asked again.
const MOST_REFUSALS: u32 = 8;

/// All that is under way, and what is needed for it.
#[derive(Debug, Default)]
pub(crate) struct Enrolments {
    /// None until it was read.
    under_way: Mutex<Option<BTreeMap<ImportedName, Pending>>>,
    pub(crate) wake: Notify,
    pub(crate) responders: Responders,
    /// Who asks an upstream who it is does it alone.
    pub(super) asking: Mutex<()>,
}

/// What has come of a try.
#[derive(Debug)]
pub(crate) enum Tried {
    /// It was taken.
    Done,
    /// Not yet: somebody there has to say yes first.
    Later(Duration),
    /// In vain; the server may have said when it wants to be asked again.
    Failed(ServiceError, Option<Duration>),
    /// Something was given, and is not taken.
    Refused(ServiceError),
}

impl Enrolments {
    /// Roots may have changed: what was given and not taken is tried to be taken again soon.
    pub(crate) fn take_again(&self, now: Timestamp) {
        let mut guard = self.under_way.lock();
        for pending in guard.iter_mut().flat_map(BTreeMap::values_mut) {
            if !pending.given.is_empty() {
                pending.hasten(now);
            }
        }
    }

    fn of(&self, name: &ImportedName) -> Option<Pending> {
        self.under_way.lock().as_ref()?.get(name).cloned()
    }
}

impl Service {
    /// Everything that is asked for by protocol and waits, with the moment when it is due. What nobody waits for any more
    /// is forgotten. Blocking.
    pub(crate) fn enrolments_due(&self) -> Result<Vec<(ImportedName, Timestamp)>, ServiceError> {
        let now = self.journal.clock().now();
        let waiting: Vec<Standing> = self
            .authority()?
            .requests()
            .into_iter()
            .filter(|one| one.waiting.is_some() && one.wishes.upstream.is_some())
            .collect();
        let mut guard = self.enrolments.under_way.lock();
        let all = match guard.as_mut() {
            Some(all) => all,
            None => guard.insert(load(self.journal.store().as_ref())?),
        };
        let gone: Vec<ImportedName> = all
            .keys()
            .filter(|name| !waiting.iter().any(|one| one.name == **name))
            .cloned()
            .collect();
        for name in gone {
            let records = all.get(&name).map(|one| one.presented.clone()).unwrap_or_default();
            // Its records go first, by whoever gets this name next, or here.
            self.forget_records(all.get(&name), &records);
            self.write_enrolment(&name, None, None)?;
            all.remove(&name);
        }
        let mut due = Vec::new();
        for one in waiting {
            let (Some(waits), Some(upstream)) = (&one.waiting, &one.wishes.upstream) else {
                continue;
            };
            let same = |it: &&mut Pending| it.key == waits.key && it.upstream == *upstream;
            let next = match all.get_mut(&one.name).filter(same) {
                Some(known) => {
                    let mut healed = known.clone();
                    if healed.heal(&one, now) {
                        self.write_enrolment(&one.name, Some(&healed), None)?;
                        *known = healed;
                    }
                    known.next
                }
                None => {
                    let presented = all.get(&one.name).map(|it| it.presented.clone());
                    let mut fresh = Pending::new(&waits.key, upstream, first(&one, now));
                    fresh.presented = presented.unwrap_or_default();
                    self.write_enrolment(&one.name, Some(&fresh), None)?;
                    let next = fresh.next;
                    all.insert(one.name.clone(), fresh);
                    next
                }
            };
            due.push((one.name, next));
        }
        Ok(due)
    }

    /// Somebody wants it now, or has seen to what was wrong: asked for at once, or soon after the last time. Blocking.
    pub(super) fn enrol_now(&self, standing: &Standing) -> Result<(), ServiceError> {
        let (Some(waits), Some(upstream)) = (&standing.waiting, &standing.wishes.upstream) else {
            return Ok(());
        };
        let now = self.journal.clock().now();
        let mut guard = self.enrolments.under_way.lock();
        let all = match guard.as_mut() {
            Some(all) => all,
            None => guard.insert(load(self.journal.store().as_ref())?),
        };
        let same = |it: &&mut Pending| it.key == waits.key && it.upstream == *upstream;
        match all.get_mut(&standing.name).filter(same) {
            Some(there) => there.hasten(now),
            None => {
                let presented = all.get(&standing.name).map(|it| it.presented.clone());
                let mut fresh = Pending::new(&waits.key, upstream, now);
                fresh.presented = presented.unwrap_or_default();
                self.write_enrolment(&standing.name, Some(&fresh), None)?;
                all.insert(standing.name.clone(), fresh);
            }
        }
        self.enrolments.wake.notify_one();
        Ok(())
    }

    /// The program for dns-01 takes out what a request has left that is gone; in the background.
    fn forget_records(&self, pending: Option<&Pending>, records: &[TxtRecord]) {
        let settings = pending.and_then(|it| self.config().settings.upstreams.get(&it.upstream));
        let hook = settings.and_then(|settings| settings.dns_hook.clone());
        let (Some(hook), false) = (hook, records.is_empty()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let records = records.to_vec();
        runtime.spawn(async move {
            for record in &records {
                if let Err(error) = hook.cleanup(record).await {
                    tracing::warn!(%error, "a record stays in the DNS");
                }
            }
        });
    }

    /// How one stands. Blocking, where nothing was read yet.
    pub(crate) fn enrolment(&self, name: &ImportedName) -> Option<Pending> {
        self.enrolments.of(name)
    }

    /// Changes what is written down, if it is still about this key. Blocking.
    pub(crate) fn note_enrolment(
        &self,
        name: &ImportedName,
        key: &str,
        change: impl FnOnce(&mut Pending),
    ) -> Result<(), ServiceError> {
        let mut guard = self.enrolments.under_way.lock();
        let Some(there) = guard.as_mut().and_then(|all| all.get_mut(name)) else { return Ok(()) };
        if there.key != key {
            return Ok(());
        }
        let mut after = there.clone();
        change(&mut after);
        self.write_enrolment(name, Some(&after), None)?;
        *there = after;
        Ok(())
    }

    fn write_enrolment(
        &self,
        name: &ImportedName,
        pending: Option<&Pending>,
        fact: Option<Fact>,
    ) -> Result<(), ServiceError> {
        let transaction = match pending {
            Some(pending) => Transaction::new().put(
                place(name),
                serde_json::to_vec(pending)
                    .map_err(|error| ServiceError::of(crate::error::ErrorCode::Fault, &error))?,
            ),
            None => Transaction::new().delete(place(name)),
        };
        let actor = Actor::daemon("upstream");
        let now = self.journal.clock().now();
        let events = fact.into_iter().map(|fact| actor.event(now, fact)).collect();
        let written = self.journal.commit_blocking(Change { transaction, events });
        written.map(|_| ()).map_err(|error| convert::journal_error(&error))
    }

    /// What has come of a try; says when the next one is. That it was in vain is recorded the first time, the second, the
    /// fourth and so on: a CA that is away for a month does not fill the audit log. Blocking.
    pub(crate) fn settle_enrolment(
        &self,
        name: &ImportedName,
        key: &str,
        tried: &Tried,
    ) -> Result<(), ServiceError> {
        let now = self.journal.clock().now();
        let mut guard = self.enrolments.under_way.lock();
        let Some(all) = guard.as_mut() else { return Ok(()) };
        let Some(before) = all.get(name).filter(|one| one.key == key) else { return Ok(()) };
        let mut after = before.clone();
        (after.last, after.awaits_approval) = (Some(now), false);
        let mut fact = None;
        match tried {
            Tried::Done => {
                self.write_enrolment(name, None, None)?;
                all.remove(name);
                return Ok(());
            }
            Tried::Later(span) => {
                after.awaits_approval = true;
                (after.error, after.hint) = (None, None);
                after.next = now.plus((*span).clamp(SOONEST, LATEST));
            }
            Tried::Failed(error, _) | Tried::Refused(error) => {
                let text = told(error);
                after.tries = before.tries.saturating_add(1);
                if after.tries.is_power_of_two() {
                    let what = format!("enrolment of {name} at {}", before.upstream);
                    fact = Some(Fact::Failed { what, error: text.clone() });
                }
                (after.error, after.hint) = (Some(text), error.hint.clone());
                let least = pause(before.tries, key);
                after.next = now.plus(match tried {
                    Tried::Failed(_, Some(wanted)) => least.max((*wanted).min(LATEST)),
                    _ => least,
                });
                if matches!(tried, Tried::Refused(_)) {
                    after.refusals += 1;
                    if after.refusals >= MOST_REFUSALS {
                        (after.refusals, after.order) = (0, None);
                        after.given.clear();
                    }
                }
            }
        }
        self.write_enrolment(name, Some(&after), fact)?;
        all.insert(name.clone(), after);
        Ok(())
    }
}

/// An error with its causes, in a line.
fn told(error: &ServiceError) -> String {
    error.causes.iter().fold(error.message.clone(), |text, cause| format!("{text}: {cause}"))
}
