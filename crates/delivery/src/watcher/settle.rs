//! The book is told what became of a task.

use std::sync::Arc;

use sealock_core::audit::Fact;

use super::book::Book;
use super::denial::{Denied, Ground};
use super::entry::{Reason, World};
use super::ports::{Refusal, SiteError};
use super::record::EntryKey;
use super::work::Done;

/// What must be found out because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Whether the container still runs.
    Container,
    /// Whether the engine still answers.
    Engine,
}

impl Book {
    /// Enters what became of a task of an entry.
    pub(super) fn settle(
        &mut self,
        key: &EntryKey,
        done: Done,
        world: &World<'_>,
    ) -> Option<Doubt> {
        let Self { entries, effects, counters, .. } = self;
        // Gone meanwhile: what was delivered went with its container.
        let entry = entries.get_mut(key)?;
        entry.busy = false;
        let doubt = match &done {
            Done::Failed(error) | Done::Reloaded(Err(error)) | Done::Looked(Err(error)) => {
                match error {
                    SiteError::Gone => Some(Doubt::Container),
                    SiteError::EngineAway => Some(Doubt::Engine),
                    SiteError::Failed { .. } | SiteError::OnDisk { .. } => None,
                }
            }
            _ => None,
        };
        match done {
            Done::Delivered(arrived) => {
                counters.deliveries += 1;
                entry.delivered(arrived, world, effects);
                let wanted = &entry.wanted;
                let labels = [wanted.decided_label(), wanted.reading_label(), wanted.path_label()];
                labels.iter().for_each(|label| self.withdraw(&key.container, label));
            }
            Done::Denied { reason, ground, request } => {
                self.deny(key, reason, ground, &request, world);
            }
            Done::Asked { answer: Err(Refusal::Denied { reason, hint }), basis, request } => {
                let (reason, ground) = (Reason { text: reason, hint }, entry.wanted.reading(basis));
                self.deny(key, reason, ground, &request, world);
            }
            Done::Asked { answer: Ok(()), basis, .. } => {
                entry.permitted(&basis);
                let label = entry.wanted.reading_label();
                self.withdraw(&key.container, &label);
            }
            Done::Asked { answer: Err(Refusal::Unavailable { reason, .. }), .. } => {
                tracing::warn!(subject = %entry.subject(), reason, "policy was not asked");
                entry.not_answered(world);
            }
            Done::Failed(error @ (SiteError::Failed { .. } | SiteError::OnDisk { .. })) => {
                let reason = Reason::from(error);
                counters.delivery_failures += 1;
                if entry.trouble.failures == 0 {
                    let what = format!("{} for {}", key.kind, entry.subject());
                    let fact = Fact::Failed { what, error: reason.text.clone() };
                    effects.tell(world.now, "watcher", fact);
                }
                entry.failed(reason, world);
            }
            Done::Failed(SiteError::Gone | SiteError::EngineAway) => entry.interrupted(world),
            Done::Checked { holds, started_at } => {
                entry.checked(&holds, started_at, world, effects);
            }
            Done::Reloaded(result) => {
                let count = match &result {
                    Ok(()) => &mut counters.reloads,
                    Err(_) => &mut counters.reload_failures,
                };
                *count += 1;
                entry.reloaded(result, world, effects);
            }
            Done::Looked(result) => {
                counters.looks += 1;
                counters.served += u64::from(entry.looked(result, world, effects));
            }
        }
        doubt
    }

    fn deny(
        &mut self,
        key: &EntryKey,
        reason: Reason,
        ground: Ground,
        request: &str,
        world: &World<'_>,
    ) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let label = entry.wanted.denied_label(&ground);
        let container = Arc::clone(&entry.container);
        entry.denied(Denied { ground, label: label.clone(), reason: reason.clone() });
        let Reason { text, hint } = reason;
        self.notice(&container, &label, &text, hint.as_deref(), request, world);
    }
}
