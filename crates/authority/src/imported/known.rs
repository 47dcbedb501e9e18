//! All that is remembered, read into memory: when the authority is opened, and after every change of it. So what is
//! asked in every round of the watcher costs nothing.

use std::collections::BTreeMap;

use sealock_core::ImportedName;
use sealock_store::{KeyRange, Store};

use super::anchor::{ANCHORS, Anchor};
use super::record::{FORMAT, RECORDS, Record};
use crate::error::AuthorityError;

const PAGE: usize = 1000;

/// All that is remembered, as it is in the store.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(super) anchors: Vec<Anchor>,
    pub(super) records: BTreeMap<ImportedName, (Record, u64)>,
}

impl Known {
    pub(crate) fn load(store: &dyn Store) -> Result<Self, AuthorityError> {
        let mut all = Self::default();
        each(store, ANCHORS, |_, anchor: Anchor, _| {
            all.anchors.push(anchor);
            Some(())
        })?;
        each(store, RECORDS, |name, record: Record, version| {
            let name: ImportedName = name.parse().ok().filter(|_| record.format == FORMAT)?;
            all.records.insert(name, (record, version));
            Some(())
        })?;
        Ok(all)
    }
}

fn each<T: serde::de::DeserializeOwned>(
    store: &dyn Store,
    prefix: &str,
    mut keep: impl FnMut(&str, T, u64) -> Option<()>,
) -> Result<(), AuthorityError> {
    let mut range = KeyRange::prefix(prefix.as_bytes());
    loop {
        let page = store.range(&range, PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        let (last, full) = (last.clone(), page.len() == PAGE);
        for (key, entry) in page {
            let rest = std::str::from_utf8(&key).ok().and_then(|key| key.strip_prefix(prefix));
            let kept = rest.zip(serde_json::from_slice(&entry.value).ok());
            if kept.and_then(|(rest, value)| keep(rest, value, entry.version)).is_none() {
                let record = String::from_utf8_lossy(&key).escape_default().to_string();
                return Err(AuthorityError::Corrupt { record });
            }
        }
        if !full {
            return Ok(());
        }
        range = range.after(&last);
    }
}
