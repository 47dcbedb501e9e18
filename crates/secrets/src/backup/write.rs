//! Writes a backup.

use std::io::{self, Write};

use aws_lc_rs::digest::{self, Context};
use data_encoding::{BASE64, HEXLOWER};
use sealock_core::{SecretBytes, SecretName, Timestamp};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{CLOSE, FORMAT, First, Head, Last, TITLE, VALUE};
use crate::record::Meta;

/// Writes the lines of a backup into `sink`, secrets and versions in their order.
pub(crate) struct Writer<W> {
    sink: W,
    hash: Context,
    secrets: u64,
    values: u64,
    name: Option<SecretName>,
}

impl<W: Write> Writer<W> {
    pub(crate) fn begin(sink: W, created: Timestamp) -> io::Result<Self> {
        let hash = Context::new(&digest::SHA256);
        let mut writer = Self { sink, hash, secrets: 0, values: 0, name: None };
        let (sealock, created) = (TITLE.to_owned(), created.to_rfc3339());
        let mut line = json(&First { sealock, format: FORMAT, created })?;
        line.push(b'\n');
        writer.put(&line)?;
        Ok(writer)
    }

    pub(crate) fn version(
        &mut self,
        name: &SecretName,
        newest: u64,
        version: u64,
        meta: &Meta,
        value: &SecretBytes,
    ) -> io::Result<()> {
        let head = head(name, newest, version, meta)?;
        let length = length(&head, value.len());
        // Room for all of it at once: growing would leave copies of the value behind.
        let mut line = Zeroizing::new(Vec::with_capacity(length));
        line.extend_from_slice(&head);
        line.extend_from_slice(VALUE);
        let start = line.len();
        line.resize(start + BASE64.encode_len(value.len()), 0);
        BASE64.encode_mut(value.expose(), line.get_mut(start..).unwrap_or_default());
        line.extend_from_slice(CLOSE);
        line.push(b'\n');
        self.put(&line)?;
        self.values += 1;
        if self.name.as_ref() != Some(name) {
            self.secrets += 1;
            self.name = Some(name.clone());
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        let sha256 = HEXLOWER.encode(self.hash.clone().finish().as_ref());
        let mut line = json(&Last { secrets: self.secrets, values: self.values, sha256 })?;
        line.push(b'\n');
        self.put(&line)?;
        self.sink.flush()
    }

    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        self.hash.update(line);
        self.sink.write_all(line)
    }
}

fn json(line: &impl Serialize) -> io::Result<Vec<u8>> {
    serde_json::to_vec(line).map_err(io::Error::other)
}

/// A value's line up to the value.
fn head(name: &SecretName, newest: u64, version: u64, meta: &Meta) -> io::Result<Vec<u8>> {
    let mut head = json(&Head {
        secret: name.clone(),
        newest,
        version,
        created: meta.created.to_rfc3339(),
        by: meta.by.clone(),
        expires: meta.expires.map(Timestamp::to_rfc3339),
    })?;
    head.pop();
    Ok(head)
}

fn length(head: &[u8], value: usize) -> usize {
    head.len() + VALUE.len() + BASE64.encode_len(value) + CLOSE.len() + 1
}

/// How long a value's line will be.
pub(crate) fn line_length(
    name: &SecretName,
    newest: u64,
    version: u64,
    meta: &Meta,
) -> io::Result<u64> {
    Ok(length(&head(name, newest, version, meta)?, meta.bytes as usize) as u64)
}
