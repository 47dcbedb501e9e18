//! How it stands with what is asked for by protocol: written down before each step, so that whoever starts next goes on
//! where this process was ended, and asks no second time for what was given.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use sealock_authority::imported::Standing;
use sealock_core::audit::{Actor, Fact};
use sealock_core::{ImportedName, Timestamp};
use sealock_store::{Change, KeyRange, Store, Transaction};
use sealock_upstream::acme::{Responders, TxtRecord};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::command::{EnrolmentReport, Todo};
use crate::error::ServiceError;
use crate::service::{Service, convert};

const PREFIX: &str = "control/upstream/cert/";
const FORMAT: u32 = 1;
const PAGE: usize = 1000;
/// After the first failure, and at most: a CA is not asked by all of its certificates again and again.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// Within these a server decides when it is asked again.
const SOONEST: Duration = Duration::from_secs(5);
const LATEST: Duration = Duration::from_secs(86_400);
/// Between two tries, however much somebody wants it.
const HASTE: Duration = Duration::from_secs(10);
/// So often what a CA has given is tried to be taken, before it is asked again.
const MOST_REFUSALS: u32 = 8;
/// A successor is asked for within this share of a life, and no more than an hour, after it could be.
const JITTER: (u32, Duration) = (48, Duration::from_secs(3600));

/// What is under way for one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    format: u32,
    /// The key that it is for (SHA-256), and where.
    pub(crate) key: String,
    pub(crate) upstream: String,
    /// How often it was asked for in vain.
    tries: u32,
    last: Option<Timestamp>,
    next: Timestamp,
    /// Whether somebody there has to say yes first.
    #[serde(default)]
    awaits_approval: bool,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    hint: Option<String>,
    /// ACME: the order.
    #[serde(default)]
    pub(crate) order: Option<String>,
    /// ACME: records that are in the DNS, or may be.
    #[serde(default)]
    pub(crate) presented: Vec<TxtRecord>,
    /// What was given and is not taken yet: certificates (DER in base64).
    #[serde(default)]
    pub(crate) given: Vec<String>,
    #[serde(default)]
    refusals: u32,
}

impl Pending {
    fn new(key: &str, upstream: &str, next: Timestamp) -> Self {
        Self {
            format: FORMAT,
            key: key.to_owned(),
            upstream: upstream.to_owned(),
            tries: 0,
            last: None,
            next,
            awaits_approval: false,
            error: None,
            hint: None,
            order: None,
            presented: Vec::new(),
            given: Vec::new(),
            refusals: 0,
        }
    }

    fn hasten(&mut self, now: Timestamp) {
        let soonest = self.last.map_or(now, |last| last.plus(HASTE));
        self.next = self.next.min(soonest.max(now));
    }
}

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

fn place(name: &ImportedName) -> Vec<u8> {
    format!("{PREFIX}{name}").into_bytes()
}

/// A number from 0 to 1 that is the same for the same text.
pub(crate) fn share(text: &str) -> f64 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let bytes = digest.as_ref().first_chunk::<4>().copied().unwrap_or_default();
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

/// After so many failures; never the same for all certificates of a host, or all hosts of a company.
fn pause(tries: u32, key: &str) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << tries.min(12)).min(LONGEST_PAUSE);
    whole.mul_f64(1.0 + share(&format!("{key} {tries}")) / 4.0)
}

fn load(store: &dyn Store) -> Result<BTreeMap<ImportedName, Pending>, ServiceError> {
    let mut range = KeyRange::prefix(PREFIX.as_bytes());
    let mut all = BTreeMap::new();
    loop {
        let page = store.range(&range, PAGE).map_err(|error| convert::store_error(&error))?;
        for (key, entry) in &page {
            let name = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(PREFIX));
            let name: Option<ImportedName> = name.and_then(|name| name.parse().ok());
            let pending: Option<Pending> = serde_json::from_slice(&entry.value).ok();
            // What cannot be read is begun anew.
            let pending = pending.filter(|pending| pending.format == FORMAT);
            if let (Some(name), Some(pending)) = (name, pending) {
                all.insert(name, pending);
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => range = range.after(key),
            _ => return Ok(all),
        }
    }
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
            let known = all.get(&one.name).filter(|it| it.key == waits.key);
            let next = match known.filter(|it| it.upstream == *upstream) {
                // A moment that is far ahead is of a clock that was set back.
                Some(known) if known.next > now.plus(LATEST * 2) => now,
                Some(known) => known.next,
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
        let mut after = Pending { last: Some(now), awaits_approval: false, ..before.clone() };
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

    pub(super) fn enrolment_report(&self, standing: &Standing) -> Option<EnrolmentReport> {
        let upstream = standing.wishes.upstream.clone()?;
        let pending = self.enrolments.of(&standing.name).filter(|_| standing.waiting.is_some());
        Some(match pending {
            Some(pending) => EnrolmentReport {
                upstream,
                tries: pending.tries,
                awaits_approval: pending.awaits_approval,
                error: pending.error,
                hint: pending.hint,
                next: Some(pending.next),
            },
            None => EnrolmentReport {
                upstream,
                tries: 0,
                awaits_approval: false,
                error: None,
                hint: None,
                next: None,
            },
        })
    }

    /// In the place of what a person would have to do.
    pub(super) fn enrolment_text(&self, standing: &Standing) -> Option<String> {
        let report = self.enrolment_report(standing)?;
        let EnrolmentReport { upstream, error, next, .. } = &report;
        let again = next.map(|next| format!("; asked again at {next}")).unwrap_or_default();
        if standing.waiting.is_none() {
            let due = standing.held.as_ref().map(|held| held.renewal_due());
            return due
                .map(|due| format!("nothing; {upstream} is asked for its successor at {due}"));
        }
        Some(match (error, report.awaits_approval) {
            (Some(error), _) => format!("{upstream}: {error}{again}"),
            (None, true) => format!("somebody at {upstream} has to say yes{again}"),
            (None, false) if next.is_some() => format!("nothing; {upstream} is being asked"),
            (None, false) => format!("nothing; `sealock up` asks {upstream}"),
        })
    }

    /// What needs a person: nothing, as long as nothing is wrong.
    pub(super) fn enrolment_todo(&self, standing: &Standing) -> Option<Todo> {
        let report = self.enrolment_report(standing)?;
        let refused = self.refusals.lock().contains_key(&standing.name);
        let text = match (&report.error, report.awaits_approval) {
            (Some(error), _) if !refused => {
                format!("{} gives no certificate: {error}", report.upstream)
            }
            (None, true) => format!("somebody at {} has to say yes", report.upstream),
            _ => return None,
        };
        let again = format!("sealock cert request {} … asks again", standing.name);
        Some(Todo {
            kind: "upstream".to_owned(),
            name: standing.name.to_string(),
            text,
            since: standing.waiting.as_ref().map(|waiting| waiting.since)?,
            hint: report.hint.unwrap_or(again),
        })
    }
}

/// A first certificate at once, a successor not at the same moment as all others.
fn first(standing: &Standing, now: Timestamp) -> Timestamp {
    let Some(waiting) = &standing.waiting else { return now };
    let Some(held) = standing.held.as_ref().filter(|_| waiting.renewal) else { return now };
    let (part, most) = JITTER;
    let span = (held.not_after.since(held.not_before) / part).min(most);
    waiting.since.plus(span.mul_f64(share(&waiting.key)))
}

/// An error with its causes, in a line.
pub(super) fn told(error: &ServiceError) -> String {
    error.causes.iter().fold(error.message.clone(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_rarer_and_rarer_and_never_at_the_same_time_for_all() {
        let pauses: Vec<Duration> = (0..20).map(|tries| pause(tries, "a")).collect();
        for (tries, pause) in pauses.iter().enumerate() {
            let least = FIRST_PAUSE * (1 << tries.min(12));
            assert!(*pause >= least.min(LONGEST_PAUSE), "{tries}: {pause:?}");
            assert!(*pause <= LONGEST_PAUSE * 5 / 4, "{tries}: {pause:?}");
        }
        assert!(pauses[0] < FIRST_PAUSE * 2);
        assert_ne!(pause(3, "a"), pause(3, "b"));
        assert!(pause(u32::MAX, "a") >= LONGEST_PAUSE);
    }
}
