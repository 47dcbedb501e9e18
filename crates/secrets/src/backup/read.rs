//! Reads a backup strictly. No I/O.

use aws_lc_rs::digest;
use data_encoding::{BASE64, HEXLOWER};
use sealock_core::{SecretBytes, SecretName, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{
    ArchiveError, ArchiveFault, CLOSE, FORMAT, First, Head, Last, MAX_ARCHIVE, MAX_HEAD,
    MAX_VALUES, TITLE, VALUE, Writer,
};
use crate::marks::MAX_VERSION;
use crate::record::{MAX_BY, Meta};
use crate::{MAX_KEPT, MAX_VALUE};

/// A backup that was read to its end and is whole. The values are still in the bytes that it was read
/// from.
pub struct Archive<'a> {
    created: Timestamp,
    secrets: Vec<ArchivedSecret<'a>>,
}

/// A secret in a backup.
pub struct ArchivedSecret<'a> {
    /// Its name.
    pub name: SecretName,
    /// The number that it had got to.
    pub newest: u64,
    /// Its versions that could be read, oldest first.
    pub versions: Vec<ArchivedVersion<'a>>,
}

/// A version in a backup.
pub struct ArchivedVersion<'a> {
    /// Its number.
    pub version: u64,
    /// When it was written.
    pub created: Timestamp,
    /// Who wrote it.
    pub by: String,
    /// From when on it cannot be read.
    pub expires: Option<Timestamp>,
    /// The value as base64.
    text: &'a [u8],
    /// How long the value is.
    bytes: u32,
}

impl ArchivedVersion<'_> {
    /// How long the value is.
    pub fn bytes(&self) -> u64 {
        self.bytes.into()
    }

    /// The value.
    pub(crate) fn value(&self) -> SecretBytes {
        // It was decoded once already, when the backup was read.
        let mut scratch = Zeroizing::new(Vec::new());
        let value = decoded(self.text, &mut scratch).unwrap_or_default().to_vec();
        SecretBytes::new(value)
    }

    /// One of this length, for tests of what goes together.
    #[cfg(test)]
    pub(crate) fn of_length(bytes: u32) -> Self {
        let created = Timestamp::from_secs(0);
        Self { version: 1, created, by: String::new(), expires: None, text: b"", bytes }
    }

    pub(crate) fn meta(&self) -> Meta {
        let Self { created, expires, bytes, .. } = *self;
        Meta { created, expires, bytes, by: self.by.clone() }
    }
}

/// Says how much there is, and nothing of what.
impl std::fmt::Debug for Archive<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (created, secrets) = (self.created, self.secrets.len());
        formatter
            .debug_struct("Archive")
            .field("created", &created)
            .field("secrets", &secrets)
            .finish_non_exhaustive()
    }
}

impl<'a> Archive<'a> {
    /// Reads a whole backup.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ArchiveError> {
        let length = bytes.len() as u64;
        if length > MAX_ARCHIVE {
            return Err(ArchiveError { line: 1, fault: ArchiveFault::TooBig(length) });
        }
        let mut lines = Lines { rest: bytes, number: 0 };
        let created = lines.first()?;
        let mut archive = Archive { created, secrets: Vec::new() };
        let mut scratch = Zeroizing::new(Vec::new());
        let mut values = 0;
        loop {
            let before = bytes.len() - lines.rest.len();
            let line = lines.next()?;
            let fault = |fault| ArchiveError { line: lines.number, fault };
            if line.starts_with(b"{\"secrets\":") {
                let body = bytes.get(..before).unwrap_or_default();
                let found = archive.last(values, body);
                let fits = lines.rest.is_empty()
                    && canonical::<Last>(line).is_some_and(|last| {
                        (last.secrets, last.values, &last.sha256)
                            == (found.secrets, found.values, &found.sha256)
                    });
                return if fits { Ok(archive) } else { Err(fault(ArchiveFault::Totals)) };
            }
            values += 1;
            if values > MAX_VALUES {
                return Err(fault(ArchiveFault::TooManyValues));
            }
            archive.add(line, &mut scratch).map_err(fault)?;
        }
    }

    /// When it was made.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// The secrets, by name.
    pub fn secrets(&self) -> &[ArchivedSecret<'a>] {
        &self.secrets
    }

    fn last(&self, values: u64, body: &[u8]) -> Last {
        let sha256 = HEXLOWER.encode(digest::digest(&digest::SHA256, body).as_ref());
        Last { secrets: self.secrets.len() as u64, values, sha256 }
    }

    fn add(
        &mut self,
        line: &'a [u8],
        scratch: &mut Zeroizing<Vec<u8>>,
    ) -> Result<(), ArchiveFault> {
        let (head, text) = halves(line).ok_or(ArchiveFault::Malformed)?;
        let head = canonical::<Head>(&head).ok_or(ArchiveFault::Malformed)?;
        let time = |text: &str| {
            let moment = Timestamp::from_rfc3339(text).filter(|moment| moment.to_rfc3339() == text);
            moment.ok_or(ArchiveFault::Malformed)
        };
        let created = time(&head.created)?;
        let expires = head.expires.as_deref().map(time).transpose()?;
        if head.by.len() > MAX_BY {
            return Err(ArchiveFault::Malformed);
        }
        if head.version == 0 || head.version > head.newest || head.newest >= MAX_VERSION {
            return Err(ArchiveFault::Number);
        }
        let value = decoded(text, scratch).ok_or(ArchiveFault::Value)?;
        let bytes = u32::try_from(value.len()).map_err(|_| ArchiveFault::Value)?;
        let (version, by) = (head.version, head.by);
        let version = ArchivedVersion { version, created, by, expires, text, bytes };
        self.place(head.secret, head.newest, version)
    }

    fn place(
        &mut self,
        name: SecretName,
        newest: u64,
        version: ArchivedVersion<'a>,
    ) -> Result<(), ArchiveFault> {
        match self.secrets.last_mut() {
            Some(secret) if secret.name > name => return Err(ArchiveFault::Order),
            Some(secret) if secret.name == name => {
                if secret.newest != newest {
                    return Err(ArchiveFault::Number);
                }
                if secret.versions.last().is_some_and(|last| last.version >= version.version) {
                    return Err(ArchiveFault::Order);
                }
                if secret.versions.len() as u64 >= MAX_KEPT {
                    return Err(ArchiveFault::TooManyVersions);
                }
                secret.versions.push(version);
            }
            _ => self.secrets.push(ArchivedSecret { name, newest, versions: vec![version] }),
        }
        Ok(())
    }
}

struct Lines<'a> {
    rest: &'a [u8],
    number: u64,
}

impl<'a> Lines<'a> {
    /// The next line, without its end.
    fn next(&mut self) -> Result<&'a [u8], ArchiveError> {
        self.number += 1;
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let split = end.and_then(|end| self.rest.split_at_checked(end));
        let (line, rest) =
            split.ok_or(ArchiveError { line: self.number, fault: ArchiveFault::Cut })?;
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(line)
    }

    /// The first line: when the backup was made.
    fn first(&mut self) -> Result<Timestamp, ArchiveError> {
        let fault = |fault| ArchiveError { line: 1, fault };
        let line = self.next().map_err(|_| fault(ArchiveFault::Foreign))?;
        let first = canonical::<First>(line).filter(|first| first.sealock == TITLE);
        let first = first.ok_or_else(|| fault(ArchiveFault::Foreign))?;
        if first.format != FORMAT {
            return Err(fault(ArchiveFault::OtherFormat(first.format)));
        }
        Timestamp::from_rfc3339(&first.created)
            .filter(|moment| moment.to_rfc3339() == first.created)
            .ok_or_else(|| fault(ArchiveFault::Malformed))
    }
}

/// A line's JSON without the value, and the value's text. So no parser makes copies of the value.
fn halves(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let line = line.strip_suffix(CLOSE)?;
    let quote = line.iter().rposition(|byte| *byte == b'"')?;
    let (head, text) = line.split_at_checked(quote + 1)?;
    let head = head.strip_suffix(VALUE).filter(|head| head.len() <= MAX_HEAD)?;
    Some(([head, b"}"].concat(), text))
}

/// What the line says, if it is written as we would write it.
fn canonical<T: Serialize + DeserializeOwned>(line: &[u8]) -> Option<T> {
    if line.len() > MAX_HEAD + 1 {
        return None;
    }
    let parsed: T = serde_json::from_slice(line).ok()?;
    (serde_json::to_vec(&parsed).ok()? == line).then_some(parsed)
}

/// Decodes into `scratch`, which keeps its place in memory.
fn decoded<'s>(text: &[u8], scratch: &'s mut Zeroizing<Vec<u8>>) -> Option<&'s [u8]> {
    let room = BASE64.decode_len(text.len()).ok().filter(|room| *room <= MAX_VALUE + 2)?;
    if scratch.len() < room {
        // Made new instead of grown, so that what was in it is wiped.
        *scratch = Zeroizing::new(vec![0; room]);
    }
    let length = BASE64.decode_mut(text, scratch.get_mut(..room)?).ok()?;
    scratch.get(..length).filter(|value| value.len() <= MAX_VALUE)
}

/// For fuzzing: what can be read is what would be written, and bytes that are only the lines before the
/// last can be made whole by that one.
pub fn fuzz(data: &[u8]) {
    if let Ok(archive) = Archive::read(data) {
        assert_eq!(written_again(&archive), data, "another backup says the same");
    }
    let values = data.iter().filter(|byte| **byte == b'\n').count() as u64;
    for secrets in 0..values.min(4) {
        let sha256 = HEXLOWER.encode(digest::digest(&digest::SHA256, data).as_ref());
        let last = Last { secrets, values: values - 1, sha256 };
        let Ok(last) = serde_json::to_vec(&last) else { return };
        let whole = [data, &last, b"\n"].concat();
        if let Ok(archive) = Archive::read(&whole) {
            assert_eq!(written_again(&archive), whole, "another backup says the same");
        }
    }
}

/// The same backup from what was read of it.
fn written_again(archive: &Archive<'_>) -> Vec<u8> {
    let mut again = Vec::new();
    let mut write = || -> std::io::Result<()> {
        let mut writer = Writer::begin(&mut again, archive.created)?;
        for secret in &archive.secrets {
            assert!((1..=MAX_KEPT).contains(&(secret.versions.len() as u64)), "too many versions");
            for version in &secret.versions {
                let value = version.value();
                assert_eq!(value.len() as u64, version.bytes(), "another length");
                assert!(value.len() <= MAX_VALUE, "too long a value");
                let (number, meta) = (version.version, version.meta());
                writer.version(&secret.name, secret.newest, number, &meta, &value)?;
            }
        }
        writer.finish()
    };
    assert!(write().is_ok(), "memory takes everything");
    again
}
