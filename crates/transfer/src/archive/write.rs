//! Writes a tree.

use std::io::{self, Write};

use aws_lc_rs::digest::{Context, SHA256};
use tar::{EntryType, Header};
use thiserror::Error;

use super::tree::{Content, Kind, Member, Tree};
use super::{BLOCK, Summary, padding};
use crate::manifest::Manifest;
use crate::member::MemberPath;
use crate::plan::Shape;

/// Why a tree could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// A source could not be opened or read.
    #[error("cannot read {path}")]
    Source {
        /// Which member.
        path: MemberPath,
        /// What the system said.
        source: io::Error,
    },
    /// A source's length changed since it was announced.
    #[error("{path} changed while it was read: it was announced with {announced} bytes")]
    SourceChanged {
        /// Which member.
        path: MemberPath,
        /// What was announced.
        announced: u64,
    },
    /// A name comes twice, which no [`Tree`] has.
    #[error("{0} comes twice")]
    Twice(MemberPath),
    /// The other side of the stream does not take more.
    #[error("cannot pass the archive on")]
    Output(#[source] io::Error),
}

/// Where an archive goes: a writer that lends its own buffer, so that files are read straight into it.
pub trait Fill: Write {
    /// Room for at least one more byte.
    fn spare(&mut self) -> io::Result<&mut [u8]>;
    /// Says that the first `count` bytes of what [`Fill::spare`] lent now hold content.
    fn advance(&mut self, count: usize) -> io::Result<()>;
}

/// Writes the tree as a whole archive and says what it comes to. `observe` hears of every piece of
/// content with its length.
pub fn write(
    tree: &Tree,
    output: &mut impl Fill,
    observe: &mut dyn FnMut(u64),
) -> Result<Summary, WriteError> {
    let mut manifest = Manifest::default();
    let mut single = None;
    for member in tree.members() {
        let path = &member.path;
        let header = header(member);
        write_long_names(member, output).map_err(WriteError::Output)?;
        output.write_all(header.as_bytes()).map_err(WriteError::Output)?;
        let added = match &member.kind {
            Kind::Folder { mode } => manifest.folder(path, *mode),
            Kind::Link { target } => manifest.link(path, target),
            Kind::File { size, mode, content } => {
                let sha256 = write_content(path, *size, content, output, observe)?;
                single = Some(sha256);
                manifest.file(path, *mode, *size, sha256)
            }
        };
        added.map_err(|_| WriteError::Twice(path.clone()))?;
    }
    output.write_all(&[0; 2 * BLOCK]).map_err(WriteError::Output)?;
    let sha256 = match tree.shape() {
        Shape::File => single.unwrap_or_else(|| manifest.sha256()),
        Shape::Folder => manifest.sha256(),
    };
    Ok(Summary { sha256, bytes: manifest.bytes(), files: manifest.files() })
}

fn write_content(
    path: &MemberPath,
    size: u64,
    content: &Content,
    output: &mut impl Fill,
    observe: &mut dyn FnMut(u64),
) -> Result<[u8; 32], WriteError> {
    let source_error = |source| WriteError::Source { path: path.clone(), source };
    let changed = || WriteError::SourceChanged { path: path.clone(), announced: size };
    let mut reader = content.open().map_err(source_error)?;
    let mut hasher = Context::new(&SHA256);
    let mut left = size;
    while left > 0 {
        let spare = output.spare().map_err(WriteError::Output)?;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(spare.len());
        let spare = spare.get_mut(..wanted).unwrap_or_default();
        let count = match reader.read(spare) {
            Ok(0) => return Err(changed()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(source_error(error)),
        };
        hasher.update(spare.get(..count).unwrap_or_default());
        output.advance(count).map_err(WriteError::Output)?;
        observe(count as u64);
        left = left.saturating_sub(count as u64);
    }
    if reader.read(&mut [0]).map_err(source_error)? != 0 {
        return Err(changed());
    }
    let zeros = [0; BLOCK];
    let padding = zeros.get(..padding(size)).unwrap_or_default();
    output.write_all(padding).map_err(WriteError::Output)?;
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(hasher.finish().as_ref());
    Ok(sha256)
}

fn header(member: &Member) -> Header {
    let mut header = Header::new_ustar();
    let (kind, mode, size) = match &member.kind {
        Kind::Folder { mode } => (EntryType::Directory, *mode, 0),
        Kind::File { mode, size, .. } => (EntryType::Regular, *mode, *size),
        Kind::Link { target } => {
            set_field(&mut header.as_old_mut().linkname, target.as_bytes());
            (EntryType::Symlink, 0o777, 0)
        }
    };
    set_field(&mut header.as_old_mut().name, member.path.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    header
}

/// A name that fits; of a longer one the beginning, which the reader takes from the record instead.
fn set_field(field: &mut [u8; 100], name: &[u8]) {
    let length = name.len().min(field.len());
    if let (Some(field), Some(name)) = (field.get_mut(..length), name.get(..length)) {
        field.copy_from_slice(name);
    }
}

fn write_long_names(member: &Member, output: &mut impl Write) -> io::Result<()> {
    let mut records = Vec::new();
    if member.path.as_bytes().len() > 100 {
        record(&mut records, "path", member.path.as_bytes());
    }
    if let Kind::Link { target } = &member.kind
        && target.as_bytes().len() > 100
    {
        record(&mut records, "linkpath", target.as_bytes());
    }
    if records.is_empty() {
        return Ok(());
    }
    let mut header = Header::new_ustar();
    set_field(&mut header.as_old_mut().name, b"pax");
    header.set_entry_type(EntryType::XHeader);
    header.set_mode(0);
    header.set_size(records.len() as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    output.write_all(header.as_bytes())?;
    records.resize(records.len() + padding(records.len() as u64), 0);
    output.write_all(&records)
}

/// `<length> <key>=<value>\n`, where the length counts its own digits too.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend(format!("{length} {key}=").bytes());
    records.extend(value);
    records.push(b'\n');
}
