//! What the watcher remembers over restarts: delivery records, raised alarms, notices already given.
//! No secret is among it.
//!
//! All of it can be lost or be older than the truth: then a certificate is issued and delivered once
//! more, and nothing else happens.

use std::collections::BTreeMap;

use sealock_core::{SecretName, Timestamp};
use sealock_store::{KeyRange, Operation, Store, StoreError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::status::{Alarm, AlarmKind};
use crate::labels::{Kind, LabelName};

const RECORDS: &str = "delivery/record/";
const ALARMS: &str = "delivery/alarm/";
const NOTICES: &str = "delivery/notice/";
const PAGE: usize = 1000;

/// What a secret's name has before it where names of certificates stand too; no name has a colon.
const SECRET: &str = "secret:";
/// And a trust bundle's.
const TRUST: &str = "trust:";

/// A certificate or secret of a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryKey {
    /// The container's id.
    pub(super) container: String,
    /// What it is.
    pub(super) kind: Kind,
    /// Its name within the container.
    pub(super) name: LabelName,
}

impl EntryKey {
    /// The key as one text, for jitter and store.
    pub(super) fn text(&self) -> String {
        format!("{}/{}", self.container, self.item())
    }

    /// How it is called among all that the container asks for.
    pub(super) fn item(&self) -> String {
        match self.kind {
            Kind::Certificate => self.name.to_string(),
            Kind::Secret => format!("{SECRET}{}", self.name),
            Kind::Trust => format!("{TRUST}{}", self.name),
        }
    }

    fn parse(container: &str, item: &str) -> Option<Self> {
        let (kind, name) = match (item.strip_prefix(SECRET), item.strip_prefix(TRUST)) {
            (Some(name), _) => (Kind::Secret, name),
            (None, Some(name)) => (Kind::Trust, name),
            (None, None) => (Kind::Certificate, item),
        };
        Some(Self { container: container.to_owned(), kind, name: name.parse().ok()? })
    }
}

/// What was delivered last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The container's name then.
    pub(super) container_name: String,
    /// The container's start that it was delivered into; another one means that a tmpfs is empty again.
    pub(super) started_at: String,
    /// The digest of what was wanted then.
    pub(super) wanted: String,
    pub(super) delivered_at: Timestamp,
    /// A reload that is still to be done.
    pub(super) reload_due: Option<Timestamp>,
    #[serde(flatten)]
    pub(super) content: Content,
}

/// What it was that was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Certificate(CertificateRecord),
    Secret(SecretRecord),
    Trust(TrustRecord),
}

/// Which certificate it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CertificateRecord {
    /// The serial.
    pub(super) serial: String,
    /// The digest of the trust bundle that was delivered along.
    pub(super) trust: String,
    pub(super) not_after: Timestamp,
    pub(super) renew_at: Timestamp,
    /// When a handshake has shown the serial last.
    pub(super) served_at: Option<Timestamp>,
    /// How many before it in a row were replaced because they had been revoked, each within a day.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(super) revoked_before: u32,
    /// Which import it was, of a certificate that another authority has signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u64>,
    /// The secret that is the password of the key stores beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<SecretRecord>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_none(count: &u32) -> bool {
    *count == 0
}

/// Which secret it was. Nothing is made of the value itself: of one that can be guessed, a digest is as
/// good as the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SecretRecord {
    pub(super) secret: SecretName,
    pub(super) version: u64,
}

/// Which trust bundle it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TrustRecord {
    /// Its digest.
    pub(super) bundle: String,
    /// The secret that is its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<SecretRecord>,
}

impl Record {
    pub(super) fn certificate(&self) -> Option<&CertificateRecord> {
        match &self.content {
            Content::Certificate(certificate) => Some(certificate),
            Content::Secret(_) | Content::Trust(_) => None,
        }
    }

    pub(super) fn secret(&self) -> Option<&SecretRecord> {
        match &self.content {
            Content::Secret(secret) => Some(secret),
            Content::Certificate(_) | Content::Trust(_) => None,
        }
    }

    pub(super) fn trust(&self) -> Option<&TrustRecord> {
        match &self.content {
            Content::Trust(trust) => Some(trust),
            Content::Certificate(_) | Content::Secret(_) => None,
        }
    }

    /// The secret that it was, or that is the password of it.
    pub(super) fn read_secret(&self) -> Option<&SecretRecord> {
        match &self.content {
            Content::Certificate(certificate) => certificate.password.as_ref(),
            Content::Secret(secret) => Some(secret),
            Content::Trust(trust) => trust.password.as_ref(),
        }
    }

    fn kind(&self) -> Kind {
        match &self.content {
            Content::Certificate(_) => Kind::Certificate,
            Content::Secret(_) => Kind::Secret,
            Content::Trust(_) => Kind::Trust,
        }
    }

    pub(super) fn put(&self, key: &EntryKey) -> Option<Operation> {
        put(format!("{RECORDS}{}", key.text()), self)
    }

    pub(super) fn delete(key: &EntryKey) -> Operation {
        Operation::delete(format!("{RECORDS}{}", key.text()))
    }
}

/// An alarm's place: the container's id (or `engine`) and what of it (or nothing).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AlarmKey {
    pub(super) container: String,
    pub(super) item: String,
    pub(super) kind: AlarmKind,
}

impl AlarmKey {
    pub(super) fn of(key: &EntryKey, kind: AlarmKind) -> Self {
        Self { container: key.container.clone(), item: key.item(), kind }
    }

    fn text(&self) -> String {
        format!("{ALARMS}{}/{}/{}", self.container, self.item, self.kind)
    }

    pub(super) fn put(&self, alarm: &Alarm) -> Option<Operation> {
        put(self.text(), alarm)
    }

    pub(super) fn delete(&self) -> Operation {
        Operation::delete(self.text())
    }
}

/// The label of a container that a notice was given about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NoticeKey {
    pub(super) container: String,
    pub(super) label: String,
}

impl NoticeKey {
    fn text(&self) -> String {
        format!("{NOTICES}{}/{}", self.container, self.label)
    }

    pub(super) fn put(&self, digest: &str) -> Option<Operation> {
        put(self.text(), digest)
    }

    pub(super) fn delete(&self) -> Operation {
        Operation::delete(self.text())
    }
}

fn put(key: String, value: &(impl Serialize + ?Sized)) -> Option<Operation> {
    // Plain structs of texts and numbers: serde_json cannot fail on them.
    serde_json::to_vec(value).ok().map(|bytes| Operation::put(key, bytes))
}

/// Everything that was remembered.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    pub(super) records: BTreeMap<EntryKey, Record>,
    pub(super) alarms: BTreeMap<AlarmKey, Alarm>,
    pub(super) notices: BTreeMap<NoticeKey, String>,
}

impl Remembered {
    /// Reads it. What cannot be understood is passed over: it is made again.
    pub(super) fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let mut all = Self::default();
        each(store, RECORDS, |rest, record: Record| {
            let (container, item) = rest.split_once('/')?;
            let key = EntryKey::parse(container, item).filter(|key| key.kind == record.kind())?;
            all.records.insert(key, record);
            Some(())
        })?;
        each(store, ALARMS, |rest, alarm: Alarm| {
            let mut parts = rest.splitn(3, '/');
            let (container, item) = (parts.next()?.to_owned(), parts.next()?.to_owned());
            let key = AlarmKey { container, item, kind: alarm.kind };
            all.alarms.insert(key, alarm);
            Some(())
        })?;
        each(store, NOTICES, |rest, digest| {
            let (container, label) = rest.split_once('/')?;
            let key = NoticeKey { container: container.to_owned(), label: label.to_owned() };
            all.notices.insert(key, digest);
            Some(())
        })?;
        Ok(all)
    }
}

fn each<T: DeserializeOwned>(
    store: &dyn Store,
    prefix: &str,
    mut keep: impl FnMut(&str, T) -> Option<()>,
) -> Result<(), StoreError> {
    let mut range = KeyRange::prefix(prefix.as_bytes());
    loop {
        let page = store.range(&range, PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        let (last, full) = (last.clone(), page.len() == PAGE);
        for (key, entry) in page {
            let rest = std::str::from_utf8(&key).ok().and_then(|key| key.strip_prefix(prefix));
            let kept = rest.zip(serde_json::from_slice(&entry.value).ok());
            if kept.and_then(|(rest, value)| keep(rest, value)).is_none() {
                tracing::warn!(key = %String::from_utf8_lossy(&key), "record passed over");
            }
        }
        if !full {
            return Ok(());
        }
        range = range.after(&last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_earlier_watchers_remembered_is_read() {
        let text = r#"{"container_name":"web","started_at":"s","serial":"11","wanted":"w","trust":"t",
            "sha256":"00","delivered_at":1,"not_after":2,"renew_at":3,"served_at":null,"reload_due":4}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        let Content::Certificate(held) = &record.content else { panic!("{record:?}") };
        assert_eq!(
            (held.serial.as_str(), record.reload_due),
            ("11", Some(Timestamp::from_millis(4)))
        );
    }

    #[test]
    fn keys_are_read_as_they_are_written_and_names_of_all_kinds_are_apart() {
        for (item, kind) in
            [("web", Kind::Certificate), ("secret:web", Kind::Secret), ("trust:web", Kind::Trust)]
        {
            let key = EntryKey::parse("c", item).unwrap();
            assert_eq!(
                (key.kind, key.name.as_str(), key.text()),
                (kind, "web", format!("c/{item}"))
            );
        }
        for bad in
            ["", "secret:", "secret:secret:web", "trust:secret:web", "trust:", "other:web", "a/b"]
        {
            assert_eq!(EntryKey::parse("c", bad), None, "{bad}");
        }
    }
}
