//! The context of a build: an archive with the Dockerfile somewhere in it, written anew as it is read.
//!
//! [`rewrite`] copies the archive entry by entry. When it comes to the Dockerfile it hands the file's content over and
//! writes what it gets in return. The engine unpacks what is written into a folder and then opens the Dockerfile
//! there; so whatever could make it open another file than the one that was handed over is refused: a second one, a
//! link in its place or in the place of a folder above it, anything that is written through a link.
//!
//! Nothing is held in memory but the Dockerfile and the names of links. A compressed archive is written without
//! compression.
//!
//! **What an attacker controls:** every byte.

mod error;
mod fuzz;
mod padded;
mod pax;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use tar::{Archive, Builder, Entry, EntryType, Header};

pub use error::ContextError;
pub use fuzz::fuzz;

use crate::dockerfile::MOST_BYTES;
use padded::{End, Padded};

/// Symbolic links of one context, whose names are remembered.
const MOST_LINKS: usize = 100_000;
/// Bytes of their names, all together.
const MOST_LINK_BYTES: usize = 8 << 20;
/// Bytes of a header that says more of the entry after it.
const LONGEST_HEADER: u64 = 256 << 10;
/// Bytes of the path of an entry.
const LONGEST_PATH: usize = 4096;
/// Bytes that are looked at to tell a compressed archive.
const PEEK: usize = 64 << 10;
/// Where the engine looks if it is not told.
const DEFAULT: &str = "Dockerfile";

/// Where in a context the Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerfilePath(String);

impl DockerfilePath {
    /// From the parameter `dockerfile`; empty for the engine's default.
    pub fn parse(said: &str) -> Result<Self, ContextError> {
        let parts = parts(said.as_bytes()).map_err(|_| ContextError::DockerfilePath)?;
        let parts: Result<Vec<&str>, _> = parts.into_iter().map(str::from_utf8).collect();
        let path = parts.map_err(|_| ContextError::DockerfilePath)?.join("/");
        if path.chars().any(char::is_control) {
            return Err(ContextError::DockerfilePath);
        }
        Ok(Self(if path.is_empty() { DEFAULT.to_owned() } else { path }))
    }

    /// With slashes, relative to the context.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Copies the archive. `replace` gets the Dockerfile and gives what stands in its place, or `None` where there is to
/// be no build.
pub fn rewrite<R: Read, W: Write>(
    context: R,
    out: W,
    path: &DockerfilePath,
    replace: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>,
) -> Result<(), ContextError> {
    let mut context = BufReader::with_capacity(PEEK, context);
    let start = context.fill_buf().map_err(ContextError::Read)?;
    match start {
        [0x1f, 0x8b, ..] => {
            let plain = MultiGzDecoder::new(context);
            Copy::new(out, path).run(plain, replace)
        }
        _ if is_compressed(start) => Err(ContextError::Compression),
        _ => Copy::new(out, path).run(context, replace),
    }
}

/// The same, but an archive whose compression is not read here is copied as it is.
pub fn copy_or_rewrite<R: Read, W: Write>(
    context: R,
    mut out: W,
    path: &DockerfilePath,
    replace: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>,
) -> Result<(), ContextError> {
    let mut context = BufReader::with_capacity(PEEK, context);
    if !is_compressed(context.fill_buf().map_err(ContextError::Read)?) {
        return rewrite(context, out, path, replace);
    }
    io::copy(&mut context, &mut out).and_then(|_| out.flush()).map_err(ContextError::Read)
}

/// bzip2, xz and zstd, which the engine would unpack as well.
fn is_compressed(start: &[u8]) -> bool {
    const MAGIC: [&[u8]; 3] = [b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    MAGIC.iter().any(|magic| start.starts_with(magic))
}

struct Copy<'a, W: Write> {
    out: Builder<Gate<W>>,
    gate: Rc<Cell<bool>>,
    dockerfile: Vec<&'a [u8]>,
    said: &'a str,
    links: HashSet<Vec<u8>>,
    /// Bytes of their names.
    remembered: usize,
}

/// What lets bytes through until something goes wrong. A builder that is dropped writes the end of the archive all the
/// same, and the engine would take what it has for whole.
struct Gate<W> {
    inner: W,
    is_shut: Rc<Cell<bool>>,
}

/// Shuts the gate, also when something panics.
struct Shut(Rc<Cell<bool>>);

impl Drop for Shut {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

impl<W: Write> Write for Gate<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.is_shut.get() {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => self.inner.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// What headers before an entry say of it.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    attributes: Vec<(String, Vec<u8>)>,
}

impl<'a, W: Write> Copy<'a, W> {
    fn new(out: W, path: &'a DockerfilePath) -> Self {
        let gate = Rc::new(Cell::new(false));
        Self {
            out: Builder::new(Gate { inner: out, is_shut: Rc::clone(&gate) }),
            gate,
            dockerfile: path.0.split('/').map(str::as_bytes).collect(),
            said: &path.0,
            links: HashSet::new(),
            remembered: 0,
        }
    }

    fn run<R: Read>(
        mut self,
        context: R,
        replace: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>,
    ) -> Result<(), ContextError> {
        // Dropped before the builder is.
        let _shut = Shut(Rc::clone(&self.gate));
        let mut replace = Some(replace);
        self.begin()?;
        let (context, end) = Padded::new(context);
        let mut archive = Archive::new(context);
        let mut extended = Extended::default();
        for entry in archive.entries().map_err(ContextError::Read)?.raw(true) {
            let mut entry = entry.map_err(ContextError::Read)?;
            if extended.take(&mut entry)? {
                is_whole(&entry, &end)?;
                continue;
            }
            let extended = std::mem::take(&mut extended);
            let name = extended.path.unwrap_or_else(|| entry.path_bytes().into_owned());
            let parts = parts(&name)?;
            // The folder itself, and headers for all that follows, which mean nothing here.
            if parts.is_empty() || entry.header().entry_type() == EntryType::XGlobalHeader {
                continue;
            }
            let kind = kind(entry.header(), &name);
            self.check_place(&parts, kind)?;
            let path = parts.join(&b'/');
            if parts == self.dockerfile {
                let replace = replace.take().ok_or(ContextError::TwoDockerfiles)?;
                let content = dockerfile(&mut entry)?;
                is_whole(&entry, &end)?;
                let content = replace(content).ok_or(ContextError::Stopped)?;
                let mut header = copied(entry.header());
                header.set_size(content.len() as u64);
                self.write(header, &path, content.as_slice())?;
            } else {
                self.attributes(&extended.attributes)?;
                self.entry(&mut entry, kind, &path, extended.link)?;
                is_whole(&entry, &end)?;
            }
        }
        if replace.is_some() {
            return Err(ContextError::NoDockerfile(self.said.to_owned()));
        }
        let mut out = self.out.into_inner().map_err(ContextError::Write)?;
        out.flush().map_err(ContextError::Write)
    }

    /// The folder itself comes first. Otherwise what comes first would be a name that somebody chose, and the engine
    /// looks at the first bytes for those of a compression.
    fn begin(&mut self) -> Result<(), ContextError> {
        let mut header = Header::new_gnu();
        let name = header.as_mut_bytes().first_chunk_mut::<2>();
        *name.ok_or(ContextError::Entry)? = *b"./";
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        header.set_cksum();
        self.out.append(&header, io::empty()).map_err(ContextError::Write)
    }

    /// Nothing is written through a link, and the way to the Dockerfile stays what it is.
    fn check_place(&mut self, parts: &[&[u8]], kind: EntryType) -> Result<(), ContextError> {
        let mut above = Vec::new();
        let (_, folders) = parts.split_last().ok_or(ContextError::Entry)?;
        for part in folders {
            above.extend_from_slice(part);
            if self.links.contains(&above) {
                return Err(ContextError::ThroughLink);
            }
            above.push(b'/');
        }
        let is_above = self.dockerfile.starts_with(parts);
        if is_above && parts.len() == self.dockerfile.len() && !is_file(kind) {
            return Err(ContextError::NotAFile);
        }
        if is_above && parts.len() < self.dockerfile.len() && kind != EntryType::Directory {
            return Err(ContextError::NotAFolder);
        }
        // A hard link to a symbolic one is a symbolic one.
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            let path = parts.join(&b'/');
            self.remembered = self.remembered.saturating_add(path.len());
            if self.links.len() == MOST_LINKS || self.remembered > MOST_LINK_BYTES {
                return Err(ContextError::TooManyLinks { limit: MOST_LINKS });
            }
            self.links.insert(path);
        }
        Ok(())
    }

    fn entry<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        kind: EntryType,
        path: &[u8],
        link: Option<Vec<u8>>,
    ) -> Result<(), ContextError> {
        let mut header = copied(entry.header());
        match kind {
            EntryType::Regular => {
                header.set_entry_type(EntryType::Regular);
                header.set_size(entry.header().entry_size().map_err(ContextError::Read)?);
                self.write(header, path, entry)
            }
            EntryType::Directory => {
                header.set_entry_type(EntryType::Directory);
                self.write(header, path, io::empty())
            }
            EntryType::Symlink | EntryType::Link => {
                header.set_entry_type(kind);
                let own = || entry.header().link_name_bytes().map(std::borrow::Cow::into_owned);
                let target = link.or_else(own).ok_or(ContextError::Entry)?;
                if target.is_empty() || target.len() > LONGEST_PATH || target.contains(&0) {
                    return Err(ContextError::Entry);
                }
                let (path, target) = (OsStr::from_bytes(path), OsStr::from_bytes(&target));
                self.out
                    .append_link(&mut header, Path::new(path), Path::new(target))
                    .map_err(ContextError::Write)
            }
            _ => Err(ContextError::Entry),
        }
    }

    fn attributes(&mut self, attributes: &[(String, Vec<u8>)]) -> Result<(), ContextError> {
        if attributes.is_empty() {
            return Ok(());
        }
        let all = attributes.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        self.out.append_pax_extensions(all).map_err(ContextError::Write)
    }

    fn write(
        &mut self,
        mut header: Header,
        path: &[u8],
        content: impl Read,
    ) -> Result<(), ContextError> {
        let mut content = Counted { inner: content, failed: None };
        let path = Path::new(OsStr::from_bytes(path));
        let written = self.out.append_data(&mut header, path, &mut content);
        match content.failed {
            Some(error) => Err(ContextError::Read(error)),
            None => written.map_err(ContextError::Write),
        }
    }
}

impl Extended {
    /// Whether the entry is such a header, and not one that stands for itself.
    fn take<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<bool, ContextError> {
        let kind = entry.header().entry_type();
        let place = match kind {
            EntryType::GNULongName => &mut self.path,
            EntryType::GNULongLink => &mut self.link,
            EntryType::XHeader => {
                let pax::Records { path, link, attributes } = pax::records(&small(entry)?)?;
                for (place, value) in [(&mut self.path, path), (&mut self.link, link)] {
                    if let Some(value) = value {
                        set(place, value)?;
                    }
                }
                self.attributes.extend(attributes);
                return Ok(true);
            }
            _ => return Ok(false),
        };
        let mut name = small(entry)?;
        while name.pop_if(|byte| *byte == 0).is_some() {}
        set(place, name)?;
        Ok(true)
    }
}

/// Of two names for one entry, readers take this one or that.
fn set(place: &mut Option<Vec<u8>>, name: Vec<u8>) -> Result<(), ContextError> {
    match place.replace(name) {
        Some(_) => Err(ContextError::Entry),
        None => Ok(()),
    }
}

/// The content of a header.
fn small<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, ContextError> {
    let mut content = Vec::new();
    entry.take(LONGEST_HEADER + 1).read_to_end(&mut content).map_err(ContextError::Read)?;
    if content.len() as u64 > LONGEST_HEADER {
        return Err(ContextError::Entry);
    }
    Ok(content)
}

/// Tells whose failure one is: the reader's, or the writer's.
struct Counted<R> {
    inner: R,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.inner.read(space).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failed = Some(error);
            }
            kind.into()
        })
    }
}

/// Whether the content was all there.
fn is_whole<R: Read>(entry: &Entry<'_, R>, end: &End) -> Result<(), ContextError> {
    let size = entry.header().entry_size().map_err(ContextError::Read)?;
    match end.is_behind(entry.raw_file_position().saturating_add(size)) {
        true => Ok(()),
        false => Err(ContextError::Read(io::ErrorKind::UnexpectedEof.into())),
    }
}

const fn is_file(kind: EntryType) -> bool {
    matches!(kind, EntryType::Regular | EntryType::Continuous)
}

/// Old archives have folders as files whose names end in a slash.
fn kind(header: &Header, name: &[u8]) -> EntryType {
    match header.entry_type() {
        kind if is_file(kind) && name.ends_with(b"/") => EntryType::Directory,
        kind if is_file(kind) => EntryType::Regular,
        kind => kind,
    }
}

/// What is kept of a header: permissions, owner and time.
fn copied(from: &Header) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(from.mode().unwrap_or(0o644) & 0o7777);
    header.set_uid(from.uid().unwrap_or(0));
    header.set_gid(from.gid().unwrap_or(0));
    header.set_mtime(from.mtime().unwrap_or(0));
    header.set_size(0);
    header
}

fn dockerfile<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, ContextError> {
    let mut content = Vec::new();
    let most = MOST_BYTES as u64;
    entry.take(most + 1).read_to_end(&mut content).map_err(ContextError::Read)?;
    if content.len() > MOST_BYTES {
        return Err(ContextError::LongDockerfile { limit: MOST_BYTES });
    }
    Ok(content)
}

/// The parts of a path within the context, without `.` and slashes to spare.
fn parts(path: &[u8]) -> Result<Vec<&[u8]>, ContextError> {
    if path.len() > LONGEST_PATH || path.contains(&0) {
        return Err(ContextError::Entry);
    }
    let parts = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let parts: Vec<&[u8]> = parts.collect();
    if parts.iter().any(|part| *part == b"..") {
        return Err(ContextError::Entry);
    }
    Ok(parts)
}
