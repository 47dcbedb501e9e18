//! The rows of a secret as bytes: its record and its versions. Strict: what is read is exactly what would
//! be written. A reader of these bytes must take them for hostile until [`Record::open`] or
//! [`VersionRow::open`] has shown that the vault wrote them, in this place.

use sealock_core::{SecretName, Timestamp};
use zeroize::Zeroizing;

use crate::error::VaultError;
use crate::keys::VaultKey;
use crate::marks::{Mark, Marks};
use crate::{MAX_VALUE, seal};

/// The layout of both kinds of row.
const FORMAT: u8 = 1;
/// Values up to this length lie in the row of their version, so that reading them is one look-up less.
pub(crate) const INLINE: usize = 4096;
/// The longest name of who wrote a version that is kept, in bytes; all identities are shorter.
pub(crate) const MAX_BY: usize = 2048;

const RECORD: &str = "sealock vault record v1";
const VERSION: &str = "sealock vault version v1";
const VALUE: &str = "sealock vault value v1";

/// Which incarnation of a name: random, new whenever a secret is made, so that rows of a purged secret
/// are none of the secret that has its name now.
pub(crate) type Id = [u8; 16];

/// What a version's row and value are bound to besides what they say of themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a SecretName,
    pub(crate) id: &'a Id,
    pub(crate) version: u64,
}

impl Subject<'_> {
    fn bound(&self, domain: &str, said: &[u8]) -> Vec<u8> {
        let mut bound = bound_name(domain, self.name);
        bound.extend_from_slice(self.id);
        bound.extend_from_slice(&self.version.to_be_bytes());
        bound.extend_from_slice(said);
        bound
    }
}

/// Domain and name, so that neither runs into what follows.
fn bound_name(domain: &str, name: &SecretName) -> Vec<u8> {
    let name = name.as_str().as_bytes();
    [domain.as_bytes(), &[0], name, &[0]].concat()
}

/// Takes bytes from the front.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn time(&mut self) -> Option<Timestamp> {
        let milliseconds = i64::from_be_bytes(self.array()?);
        Some(Timestamp::from_millis(milliseconds))
            .filter(|moment| moment.as_millis() == milliseconds)
    }

    /// A moment, or -1 for none.
    fn end(&mut self) -> Option<Option<Timestamp>> {
        if self.0.starts_with(&NEVER) {
            self.bytes(NEVER.len())?;
            return Some(None);
        }
        self.time().map(Some)
    }
}

const NEVER: [u8; 8] = (-1_i64).to_be_bytes();

fn time(moment: Timestamp) -> [u8; 8] {
    moment.as_millis().to_be_bytes()
}

fn end(moment: Option<Timestamp>) -> [u8; 8] {
    moment.map_or(NEVER, time)
}

/// What a secret is as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: Id,
    /// When the newest version was made, and until when it can be read: for lists.
    pub(crate) created: Timestamp,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) marks: Marks,
}

impl Record {
    fn said(&self, key: u32) -> Vec<u8> {
        let mut said = vec![FORMAT];
        said.extend_from_slice(&key.to_be_bytes());
        said.extend_from_slice(&self.id);
        said.extend_from_slice(&time(self.created));
        said.extend_from_slice(&end(self.expires));
        self.marks.encode(&mut said);
        said
    }

    pub(crate) fn seal(&self, name: &SecretName, key: &VaultKey) -> Result<Vec<u8>, VaultError> {
        let mut row = self.said(key.number);
        let bound = [bound_name(RECORD, name), row.clone()].concat();
        row.extend_from_slice(&seal::seal(&key.cipher, &bound, b"")?);
        Ok(row)
    }

    /// The number of the vault key that a row says it lies under.
    pub(crate) fn key_number(row: &[u8]) -> Option<u32> {
        row.get(1..5)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// Reads what the row says, without proof; gives the key's number, the record and the proof.
    pub(crate) fn read(row: &[u8]) -> Option<(u32, Self, &[u8])> {
        let (said, proof) = row.split_at_checked(row.len().checked_sub(seal::OVERHEAD)?)?;
        let mut cursor = Cursor(said);
        let [FORMAT] = cursor.array()? else { return None };
        let key = u32::from_be_bytes(cursor.array()?);
        let (id, created, expires) = (cursor.array()?, cursor.time()?, cursor.end()?);
        let marks = Marks::decode(cursor.0)?;
        Some((key, Self { id, created, expires, marks }, proof))
    }

    pub(crate) fn open(row: &[u8], name: &SecretName, key: &VaultKey) -> Option<Self> {
        let (number, record, proof) = Self::read(row)?;
        let said = row.get(..row.len() - proof.len())?;
        let bound = [&bound_name(RECORD, name)[..], said].concat();
        seal::open(&key.cipher, &bound, proof)?;
        (number == key.number).then_some(record)
    }
}

/// What is known of a version besides its value; never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) created: Timestamp,
    pub(crate) expires: Option<Timestamp>,
    /// Length of the value.
    pub(crate) bytes: u32,
    /// Who wrote it.
    pub(crate) by: String,
}

impl Meta {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&time(self.created));
        out.extend_from_slice(&end(self.expires));
        out.extend_from_slice(&self.bytes.to_be_bytes());
        let by = self.by.get(..self.by.floor_char_boundary(MAX_BY)).unwrap_or_default();
        out.extend_from_slice(&u16::try_from(by.len()).unwrap_or_default().to_be_bytes());
        out.extend_from_slice(by.as_bytes());
    }

    fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        let (created, expires) = (cursor.time()?, cursor.end()?);
        let bytes = u32::from_be_bytes(cursor.array()?);
        let length = usize::from(u16::from_be_bytes(cursor.array()?));
        let by = std::str::from_utf8(cursor.bytes(length)?).ok()?;
        if bytes as usize > MAX_VALUE || length > MAX_BY {
            return None;
        }
        Some(Self { created, expires, bytes, by: by.to_owned() })
    }

    fn is_inline(&self) -> bool {
        self.bytes as usize <= INLINE
    }
}

/// The key of one version.
pub(crate) type DataKey = Zeroizing<[u8; seal::KEY]>;

/// A version that was opened.
pub(crate) struct VersionRow {
    pub(crate) mark: Mark,
    pub(crate) meta: Meta,
    /// Not there when the version is purged.
    pub(crate) data_key: Option<DataKey>,
    /// The sealed value, where it is short.
    pub(crate) body: Option<Vec<u8>>,
}

/// What a version's row says, without proof.
struct Read<'a> {
    key: u32,
    mark: Mark,
    meta: Meta,
    said: &'a [u8],
    /// The data key under the vault key; of nothing when it is purged.
    wrapped: &'a [u8],
    body: Option<&'a [u8]>,
}

impl VersionRow {
    /// A new version with its value sealed under a key of its own. The sealed value is given back where it
    /// has to lie in a place of its own.
    pub(crate) fn new(
        subject: Subject<'_>,
        meta: Meta,
        value: &[u8],
    ) -> Result<(Self, Option<Vec<u8>>), VaultError> {
        let data_key = seal::random()?;
        let sealed = seal::seal(&seal::cipher(&data_key)?, &value_bound(subject, &meta), value)?;
        let (body, apart) =
            if meta.is_inline() { (Some(sealed), None) } else { (None, Some(sealed)) };
        Ok((Self { mark: Mark::Live, meta, data_key: Some(data_key), body }, apart))
    }

    /// The same version without its value.
    pub(crate) fn purged(self) -> Self {
        Self { mark: Mark::Purged, meta: self.meta, data_key: None, body: None }
    }

    pub(crate) fn seal(&self, subject: Subject<'_>, key: &VaultKey) -> Result<Vec<u8>, VaultError> {
        let mut row = vec![FORMAT, self.mark as u8];
        row.extend_from_slice(&key.number.to_be_bytes());
        self.meta.encode(&mut row);
        let data_key = self.data_key.as_ref().map_or(&[][..], |key| key.as_slice());
        let wrapped = seal::seal(&key.cipher, &subject.bound(VERSION, &row), data_key)?;
        row.extend_from_slice(&wrapped);
        row.extend_from_slice(self.body.as_deref().unwrap_or_default());
        Ok(row)
    }

    /// The number of the vault key that a row says it lies under.
    pub(crate) fn key_number(row: &[u8]) -> Option<u32> {
        row.get(2..6)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub(crate) fn open(row: &[u8], subject: Subject<'_>, key: &VaultKey) -> Option<Self> {
        let read = read_version(row)?;
        let plain = seal::open(&key.cipher, &subject.bound(VERSION, read.said), read.wrapped)?;
        let data_key = match read.mark.is_kept() {
            true => Some(Zeroizing::new(plain.as_slice().try_into().ok()?)),
            false => None,
        };
        let body = read.body.map(<[u8]>::to_vec);
        (read.key == key.number).then_some(Self {
            mark: read.mark,
            meta: read.meta,
            data_key,
            body,
        })
    }

    /// The value, from `sealed` as it lies in its place.
    pub(crate) fn value(&self, subject: Subject<'_>, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let cipher = seal::cipher(self.data_key.as_ref()?).ok()?;
        seal::open(&cipher, &value_bound(subject, &self.meta), sealed)
    }
}

fn value_bound(subject: Subject<'_>, meta: &Meta) -> Vec<u8> {
    let mut said = Vec::new();
    meta.encode(&mut said);
    subject.bound(VALUE, &said)
}

fn read_version(row: &[u8]) -> Option<Read<'_>> {
    let mut cursor = Cursor(row);
    let [FORMAT, mark] = cursor.array()? else { return None };
    let mark = Mark::from_byte(mark).filter(|mark| *mark != Mark::Forgotten)?;
    let key = u32::from_be_bytes(cursor.array()?);
    let meta = Meta::decode(&mut cursor)?;
    let said = row.get(..row.len() - cursor.0.len())?;
    let wrapped = cursor.bytes(seal::OVERHEAD + if mark.is_kept() { seal::KEY } else { 0 })?;
    let body = match mark.is_kept() && meta.is_inline() {
        true => Some(cursor.bytes(meta.bytes as usize + seal::OVERHEAD)?),
        false => None,
    };
    cursor.0.is_empty().then_some(Read { key, mark, meta, said, wrapped, body })
}

/// For fuzzing: rows as somebody who writes to the store may leave them. What can be read at all is what
/// would be written.
pub fn fuzz(data: &[u8]) {
    if let Some((key, record, proof)) = Record::read(data) {
        assert_eq!([&record.said(key)[..], proof].concat(), data, "another record says the same");
        assert_eq!(Record::key_number(data), Some(key), "two key numbers");
    }
    if let Some(read) = read_version(data) {
        let mut said = vec![FORMAT, read.mark as u8];
        said.extend_from_slice(&read.key.to_be_bytes());
        read.meta.encode(&mut said);
        let whole = [&said[..], read.wrapped, read.body.unwrap_or_default()].concat();
        assert_eq!(whole, data, "another row says the same");
        assert_eq!(VersionRow::key_number(data), Some(read.key), "two key numbers");
        assert_eq!(
            read.body.is_some(),
            read.mark.is_kept() && read.meta.is_inline(),
            "a value astray"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_of_the_fuzz_target_are_rows() {
        let folder = format!("{}/../../fuzz/corpus/secrets_rows", env!("CARGO_MANIFEST_DIR"));
        let mut rows = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let row = std::fs::read(&path).unwrap();
            let kinds = [Record::read(&row).is_some(), read_version(&row).is_some()];
            assert_eq!(kinds.iter().filter(|kind| **kind).count(), 1, "{}", path.display());
            rows += 1;
        }
        assert!(rows > 5);
    }

    /// What a record takes as long as nothing of it was deleted or purged: short enough for the store to
    /// keep it beside its key, which makes lists quick.
    #[test]
    fn a_record_is_short() {
        let mut marks = Marks::default();
        (0..1000).for_each(|_| marks.push(Mark::Live));
        let record = Record { id: [7; 16], created: Timestamp::from_secs(1), expires: None, marks };
        assert!(record.said(1).len() + seal::OVERHEAD <= 100);
        assert_eq!(bound_name("d", &"a".parse().unwrap()), b"d\0a\0");
    }
}
