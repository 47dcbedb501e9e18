//! The book is told what became of a task.

use sealock_core::audit::Fact;

use super::book::Book;
use super::entry::{Reason, World};
use super::ports::SiteError;
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
                    SiteError::Failed { .. } => None,
                }
            }
            _ => None,
        };
        match done {
            Done::Delivered(arrived) => {
                counters.deliveries += 1;
                entry.delivered(arrived, world, effects);
                let label = entry.wanted.decided_label();
                self.withdraw(&key.container, &label);
            }
            Done::Denied { reason, policy_epoch, trust, request } => {
                let Reason { text, hint } = reason.clone();
                entry.denied(reason, policy_epoch, trust);
                let (container, label) = (entry.container.clone(), entry.wanted.decided_label());
                self.notice(&container, &label, &text, hint.as_deref(), &request, world);
            }
            Done::Failed(SiteError::Failed { reason, hint }) => {
                counters.delivery_failures += 1;
                if entry.trouble.failures == 0 {
                    let what = format!("certificate for {}", entry.subject());
                    let fact = Fact::Failed { what, error: reason.clone() };
                    effects.tell(world.now, "watcher", fact);
                }
                entry.failed(Reason { text: reason, hint }, world);
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
}
