//! Hearing of changes, for those who act when a secret has another value.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::Stream;
use sealock_core::SecretName;
use sealock_store::{Watch, WatchEvent};

use crate::error::VaultError;
use crate::place;
use crate::vault::Vault;

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretChange {
    /// Something about this secret has changed; [`Vault::version_of`] says what it is now. It may be
    /// nothing that a reader would notice: a rotation of the vault key touches every secret.
    Secret(SecretName),
    /// Changes were lost, because they were not heard in time: look at every secret.
    Missed,
}

/// The changes of secrets from some moment on: a [`Stream`] for async callers, [`Changes::next_within`]
/// for the others. It ends when the store is closed.
///
/// It hears what this process changes; that a version expires is no change.
#[derive(Debug)]
pub struct Changes(Watch);

impl Vault {
    /// The changes from now on.
    pub fn changes(&self) -> Result<Changes, VaultError> {
        Ok(Changes(self.store().watch(place::SECRETS)?))
    }
}

impl Changes {
    /// The next change, waiting at most `limit` for it; `None` then, or when the store was closed.
    pub fn next_within(&self, limit: Duration) -> Option<SecretChange> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Some(change) = change(self.0.next_within(left)?) {
                return Some(change);
            }
        }
    }
}

impl Stream for Changes {
    type Item = SecretChange;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<SecretChange>> {
        loop {
            match Pin::new(&mut self.0).poll_next(context) {
                Poll::Ready(Some(event)) => {
                    if let Some(change) = change(event) {
                        return Poll::Ready(Some(change));
                    }
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// `None` for entries that are no secret's.
fn change(event: WatchEvent) -> Option<SecretChange> {
    match event {
        WatchEvent::Put { key, .. } | WatchEvent::Deleted { key } => {
            place::name_of(&key).map(SecretChange::Secret)
        }
        WatchEvent::Missed => Some(SecretChange::Missed),
    }
}
