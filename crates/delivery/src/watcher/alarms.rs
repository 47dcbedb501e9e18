//! Which alarms an [`Entry`] is cause for. They are a function of its state, so they can neither be
//! forgotten nor stay behind.

use std::collections::BTreeMap;

use sealock_core::Timestamp;

use super::entry::{Entry, Trouble, World};
use super::proof::Proof;
use super::record::AlarmKey;
use super::status::{Alarm, AlarmKind};

const TIMES: &str = " times in a row: ";

impl Entry {
    /// The alarms that should be raised for it, with their reasons.
    pub(super) fn alarms(&self, world: &World<'_>) -> Vec<(AlarmKind, String)> {
        let mut alarms = Vec::new();
        // A container that was stopped serves nothing, and nobody expects it to; one that is being
        // restarted is soon back.
        let back_soon = |at: Timestamp| (at..at.plus(world.settings.grace)).contains(&world.now);
        if !self.running() && !self.stopped_at.is_some_and(back_soon) {
            return alarms;
        }
        let limit = world.settings.failures_before_alarm;
        if self.trouble.failures >= limit {
            alarms.push((AlarmKind::DeliveryFailed, told(&self.trouble)));
        }
        if self.reload_trouble.failures >= limit {
            alarms.push((AlarmKind::ReloadFailed, told(&self.reload_trouble)));
        }
        if let Proof::Missing { reason, .. } = &self.proof {
            alarms.push((AlarmKind::NotServed, reason.clone()));
        }
        if self.expiring(world.now)
            && let Some(held) = self.record.as_ref().and_then(|record| record.certificate())
        {
            let (end, serial) = (held.not_after, &held.serial);
            alarms.push((AlarmKind::Expiring, format!("serial {serial} ends at {end}")));
        }
        if let Some(reason) = self.stale(world) {
            alarms.push((AlarmKind::Stale, reason.text));
        }
        alarms
    }

    /// After a restart of the watcher: what was an alarm is one until it is known to be over.
    pub(super) fn resume_alarms(&mut self, raised: &BTreeMap<AlarmKey, Alarm>, world: &World<'_>) {
        let of = |kind| raised.get(&AlarmKey::of(&self.key, kind));
        let failures = world.settings.failures_before_alarm;
        if let Some(alarm) = of(AlarmKind::DeliveryFailed)
            && self.needed_at(world).is_some_and(|needed| needed <= world.now)
        {
            self.trouble.failures = failures;
            self.trouble.last = Some(alarm.into());
        }
        self.standing.before = of(AlarmKind::Stale).map(|alarm| alarm.reason.clone());
        let reload_due = self.record.as_ref().is_some_and(|record| record.reload_due.is_some());
        if let Some(alarm) = of(AlarmKind::ReloadFailed).filter(|_| reload_due) {
            self.reload_trouble.failures = failures;
            self.reload_trouble.last = Some(alarm.into());
        }
        if let (Some(alarm), Proof::Pending { .. }) = (of(AlarmKind::NotServed), &self.proof) {
            let often_until = world.now.plus(world.settings.grace);
            let reason = alarm.reason.clone();
            self.proof = Proof::Missing { next: world.now, often_until, reason };
        }
    }
}

fn told(trouble: &Trouble) -> String {
    let reason = trouble.last.as_ref().map_or("unknown", |reason| reason.text.as_str());
    format!("{}{TIMES}{reason}", trouble.failures)
}

impl From<&Alarm> for super::entry::Reason {
    fn from(alarm: &Alarm) -> Self {
        let text = alarm.reason.split_once(TIMES).map_or(alarm.reason.as_str(), |(_, text)| text);
        Self { text: text.to_owned(), hint: None }
    }
}
