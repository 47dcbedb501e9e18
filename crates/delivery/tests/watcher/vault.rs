//! A vault of a few lines, in the place of policy and vault.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sealock_core::{SecretBytes, SecretName};
use sealock_delivery::watcher::{Current, DeliveredSecret, Refusal, SecretSource, WantedSecret};

/// Grants what is below `prod/`.
pub(crate) struct Vault {
    secrets: Mutex<BTreeMap<String, (u64, Vec<u8>)>>,
    version: AtomicU64,
}

impl Vault {
    pub(crate) fn new() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        // Another process has others, and later ones.
        let version = AtomicU64::new(u64::try_from(since.as_nanos()).unwrap());
        Self { secrets: Mutex::default(), version }
    }

    /// Gives a secret a new value; says its version.
    pub(crate) fn set(&self, secret: &str, value: &[u8]) -> u64 {
        let version = self.version.fetch_add(1, Ordering::SeqCst) + 1;
        self.secrets.lock().insert(secret.to_owned(), (version, value.to_vec()));
        version
    }

    pub(crate) fn delete(&self, secret: &str) {
        self.secrets.lock().remove(secret);
    }
}

impl SecretSource for Vault {
    fn read(&self, wanted: WantedSecret) -> BoxFuture<'_, Result<DeliveredSecret, Refusal>> {
        async move {
            let secret = wanted.secret.clone();
            self.allowed(wanted).await?;
            let found = self.secrets.lock().get(secret.as_str()).cloned();
            match found {
                Some((version, value)) => {
                    Ok(DeliveredSecret { version, value: SecretBytes::new(value) })
                }
                None => {
                    let reason = format!("there is no secret {secret}");
                    Err(Refusal::Denied { reason, hint: Some("set it".to_owned()) })
                }
            }
        }
        .boxed()
    }

    fn allowed(&self, wanted: WantedSecret) -> BoxFuture<'_, Result<(), Refusal>> {
        let answer = if wanted.secret.as_str().starts_with("prod/") {
            Ok(())
        } else {
            let reason = format!("{} may not read {}", wanted.container.name, wanted.secret);
            let hint = Some(format!("permit … {} …", wanted.secret));
            Err(Refusal::Denied { reason, hint })
        };
        async move { answer }.boxed()
    }

    fn current(&self, secret: &SecretName) -> Current {
        let secrets = self.secrets.lock();
        secrets
            .get(secret.as_str())
            .map_or(Current::Gone, |(version, _)| Current::Version(*version))
    }
}
