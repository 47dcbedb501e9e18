//! Who is connected, so that they can be cut off, and their groups changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sealock_core::Identity;
use sealock_docker::gateway::Client;
use sealock_net::proxy::Cut;

use crate::error::ServiceError;
use crate::service::Service;

/// Open connections by what they came with: the serial of a certificate, or a container.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    next: AtomicU64,
    open: Mutex<HashMap<String, Vec<Open>>>,
}

/// One of them.
#[derive(Debug)]
struct Open {
    number: u64,
    cut: Cut,
    /// Whose it is. The groups in it change with the commands that change them.
    client: Arc<ArcSwap<Client>>,
}

impl Open {
    fn is_of(&self, identity: &Identity) -> bool {
        self.client.load().principal.identity == *identity
    }
}

impl Sessions {
    /// Ends every connection of a certificate, whatever streams on it.
    pub(crate) fn cut(&self, key: &str) {
        let cuts = self.open.lock().remove(key).unwrap_or_default();
        for open in cuts {
            open.cut.now();
        }
    }

    /// What open connections came with.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.open.lock().keys().cloned().collect()
    }

    /// Ends every connection of an identity.
    pub(crate) fn cut_identity(&self, identity: &Identity) {
        for open in self.open.lock().values().flatten().filter(|open| open.is_of(identity)) {
            open.cut.now();
        }
    }

    /// Takes over the groups of an identity on its open connections. They are read one after another, so that
    /// the newest are the last that are taken over.
    pub(crate) fn regroup(
        &self,
        identity: &Identity,
        groups: impl FnOnce() -> Result<Vec<String>, ServiceError>,
    ) -> Result<(), ServiceError> {
        let all = self.open.lock();
        let groups = groups()?;
        for open in all.values().flatten().filter(|open| open.is_of(identity)) {
            let mut client = Client::clone(&open.client.load());
            client.principal.groups.clone_from(&groups);
            open.client.store(Arc::new(client));
        }
        Ok(())
    }

    pub(super) fn enter(&self, key: &str, cut: &Cut, client: &Arc<ArcSwap<Client>>) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let open = Open { number, cut: cut.clone(), client: Arc::clone(client) };
        self.open.lock().entry(key.to_owned()).or_default().push(open);
        number
    }

    pub(super) fn leave(&self, key: &str, number: u64) {
        let mut open = self.open.lock();
        if let Some(cuts) = open.get_mut(key) {
            cuts.retain(|open| open.number != number);
            if cuts.is_empty() {
                open.remove(key);
            }
        }
    }
}

/// A connection that is entered, until it is dropped.
pub(in super::super) struct Entered {
    service: Arc<Service>,
    client: Arc<ArcSwap<Client>>,
    key: String,
    number: u64,
}

impl Entered {
    /// Enters a connection under what it came with.
    pub(in super::super) fn new(
        service: Arc<Service>,
        key: String,
        client: Client,
        cut: &Cut,
    ) -> Self {
        let client = Arc::new(ArcSwap::from_pointee(client));
        let number = service.sessions().enter(&key, cut, &client);
        Self { service, client, key, number }
    }

    /// Whose it is, with the groups of now.
    pub(in super::super) fn client(&self) -> Arc<Client> {
        self.client.load_full()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.service.sessions().leave(&self.key, self.number);
    }
}
