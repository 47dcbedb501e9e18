//! A vault of a few lines, with its policy.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sealock_core::{SecretBytes, SecretName};

use super::super::{Current, DeliveredSecret, Refusal, SecretSource, WantedSecret};

#[derive(Default)]
pub(super) struct Vault {
    secrets: Mutex<BTreeMap<String, (u64, Vec<u8>)>>,
    /// Policy says no.
    pub(super) denies: AtomicBool,
    /// Nothing can be read.
    pub(super) locked: AtomicBool,
    /// Reading never ends.
    pub(super) hangs: AtomicBool,
    pub(super) reads: AtomicU64,
    pub(super) questions: AtomicU64,
}

impl Vault {
    pub(super) fn set(&self, secret: &str, value: &[u8]) {
        let mut secrets = self.secrets.lock();
        let version = secrets.get(secret).map_or(0, |(version, _)| *version) + 1;
        secrets.insert(secret.to_owned(), (version, value.to_vec()));
    }

    pub(super) fn delete(&self, secret: &str) {
        self.secrets.lock().remove(secret);
    }

    fn policy(&self, wanted: &WantedSecret) -> Result<(), Refusal> {
        assert!(wanted.request.starts_with("w-") && !wanted.container.name.is_empty());
        if self.locked.load(Ordering::SeqCst) {
            let (reason, hint) = ("the vault is locked".to_owned(), None);
            return Err(Refusal::Unavailable { reason, hint });
        }
        if self.denies.load(Ordering::SeqCst) {
            let (reason, hint) = ("no rule".to_owned(), Some("permit (…);".to_owned()));
            return Err(Refusal::Denied { reason, hint });
        }
        Ok(())
    }
}

impl SecretSource for Vault {
    fn read(&self, wanted: WantedSecret) -> BoxFuture<'_, Result<DeliveredSecret, Refusal>> {
        async move {
            self.reads.fetch_add(1, Ordering::SeqCst);
            if self.hangs.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            self.policy(&wanted)?;
            let found = self.secrets.lock().get(wanted.secret.as_str()).cloned();
            let Some((version, value)) = found else {
                let reason = format!("there is no secret {}", wanted.secret);
                return Err(Refusal::Denied { reason, hint: None });
            };
            Ok(DeliveredSecret { version, value: SecretBytes::new(value) })
        }
        .boxed()
    }

    fn allowed(&self, wanted: WantedSecret) -> BoxFuture<'_, Result<(), Refusal>> {
        self.questions.fetch_add(1, Ordering::SeqCst);
        let answer = self.policy(&wanted);
        async move { answer }.boxed()
    }

    fn current(&self, secret: &SecretName) -> Current {
        if self.locked.load(Ordering::SeqCst) {
            return Current::Unknown;
        }
        let secrets = self.secrets.lock();
        secrets
            .get(secret.as_str())
            .map_or(Current::Gone, |(version, _)| Current::Version(*version))
    }
}
