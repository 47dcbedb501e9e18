//! What is written down of an enrolment.

use std::collections::BTreeMap;

use sealock_authority::imported::Standing;
use sealock_core::{ImportedName, Timestamp};
use sealock_store::{KeyRange, Store};
use sealock_upstream::acme::TxtRecord;
use serde::{Deserialize, Serialize};

use super::pace::{HASTE, LATEST, first};
use crate::error::ServiceError;
use crate::service::convert;

const PREFIX: &str = "control/upstream/cert/";
const FORMAT: u32 = 1;
const PAGE: usize = 1000;

/// What is under way for one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    format: u32,
    /// The key that it is for (SHA-256), and where.
    pub(crate) key: String,
    pub(crate) upstream: String,
    /// How often it was asked for in vain.
    pub(super) tries: u32,
    pub(super) last: Option<Timestamp>,
    pub(super) next: Timestamp,
    /// Whether somebody there has to say yes first.
    #[serde(default)]
    pub(super) awaits_approval: bool,
    #[serde(default)]
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) hint: Option<String>,
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
    pub(super) refusals: u32,
}

impl Pending {
    pub(super) fn new(key: &str, upstream: &str, next: Timestamp) -> Self {
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

    pub(super) fn hasten(&mut self, now: Timestamp) {
        let soonest = self.last.filter(|last| *last <= now).map_or(now, |last| last.plus(HASTE));
        self.next = self.next.min(soonest.max(now));
    }

    /// Moments of a clock that was set back since: what was to be waited for is waited for from now on, and not until
    /// the old future is there. Says whether anything has changed.
    pub(super) fn heal(&mut self, standing: &Standing, now: Timestamp) -> bool {
        let next = match self.last {
            Some(last) if last > now || self.next.since(now) > LATEST => {
                self.last = Some(now);
                now.plus(self.next.since(last).min(LATEST))
            }
            Some(_) => return false,
            None => first(standing, now).min(self.next),
        };
        let changed = next != self.next;
        self.next = next;
        changed
    }
}

pub(super) fn place(name: &ImportedName) -> Vec<u8> {
    format!("{PREFIX}{name}").into_bytes()
}

/// All of them.
pub(super) fn load(store: &dyn Store) -> Result<BTreeMap<ImportedName, Pending>, ServiceError> {
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
