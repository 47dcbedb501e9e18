//! Reads an archive strictly.

use std::io::{self, Read};

use tar::{EntryType, Header};
use thiserror::Error;

use super::{BLOCK, PAX_LIMIT, padding};
use crate::landing::{Landing, LandingError};
use crate::member::{LinkTarget, MemberPath, NameError};
use crate::plan::{Announced, Shape};

/// Takes the members of an archive, in their order.
pub trait Sink {
    /// Why it may refuse.
    type Error;
    /// A folder.
    fn folder(&mut self, path: &MemberPath, mode: u32) -> Result<(), Self::Error>;
    /// A file. All of `content` has to be read, which is `size` bytes; an error of `content` ends the
    /// archive.
    fn file(
        &mut self,
        path: &MemberPath,
        mode: u32,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), Self::Error>;
    /// A symbolic link.
    fn link(&mut self, path: &MemberPath, target: &LinkTarget) -> Result<(), Self::Error>;
}

/// Why an archive is refused.
#[derive(Debug, Error)]
pub enum ReadError<E> {
    /// The stream broke off or could not be opened.
    #[error("cannot read the archive")]
    Input(#[source] io::Error),
    /// It ends in the middle.
    #[error("the archive ends in the middle")]
    Truncated,
    /// A block is not a header as the format has it.
    #[error("the archive is malformed: {0}")]
    Malformed(&'static str),
    /// A member is neither folder nor regular file nor symbolic link.
    #[error("the archive holds {path} of the kind {kind:?}, which is not carried")]
    Kind {
        /// Which member.
        path: String,
        /// Its type flag.
        kind: char,
    },
    /// A member's name or target is not acceptable.
    #[error("a name in the archive is refused")]
    Name(#[from] NameError),
    /// A member is not after the one before it, or its folder did not come first.
    #[error("{0} is out of order in the archive")]
    Order(MemberPath),
    /// There is more than was announced.
    #[error("the archive holds more than was announced ({bytes} bytes in {members} members)", bytes = .0.bytes, members = .0.members)]
    MoreThanAnnounced(Announced),
    /// A single file was announced and something else came.
    #[error("a single file was announced, and something else came")]
    NotOneFile,
    /// The sink did not read a file to its end.
    #[error("the content of {0} was not taken whole")]
    NotTaken(MemberPath),
    /// The sink refused.
    #[error("cannot write what the archive holds")]
    Sink(#[source] E),
}

/// Reads an archive to its very end into `sink`. Nothing may follow it.
pub fn read<S: Sink>(
    input: &mut impl Read,
    shape: Shape,
    announced: Announced,
    sink: &mut S,
) -> Result<(), ReadError<S::Error>> {
    let mut reader =
        Reader { input, shape, announced, left: announced, last: None, folders: Vec::new() };
    while let Some(header) = reader.next_header()? {
        reader.member(&header, sink)?;
    }
    if shape == Shape::File && reader.last.is_none() {
        return Err(ReadError::NotOneFile);
    }
    Ok(())
}

struct Reader<'a, R> {
    input: &'a mut R,
    shape: Shape,
    announced: Announced,
    left: Announced,
    last: Option<MemberPath>,
    /// The folders that the last member lies in, outermost first.
    folders: Vec<MemberPath>,
}

/// A header, with the names that came before it in a record of their own.
struct Entry {
    header: Header,
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl<R: Read> Reader<'_, R> {
    fn next_header<E>(&mut self) -> Result<Option<Entry>, ReadError<E>> {
        let mut entry = Entry { header: Header::new_old(), path: None, target: None };
        let Some(header) = self.block()? else {
            return Ok(None);
        };
        if header.entry_type() != EntryType::XHeader {
            entry.header = header;
            return Ok(Some(entry));
        }
        let size = header.size().map_err(|_| ReadError::Malformed("a size is not a number"))?;
        let size = usize::try_from(size).ok().filter(|size| *size <= PAX_LIMIT);
        let size = size.ok_or(ReadError::Malformed("a record of names is too long"))?;
        let mut records = vec![0; size + padding(size as u64)];
        self.fill(&mut records)?;
        let (records, rest) = records.split_at_checked(size).unwrap_or_default();
        if rest.iter().any(|byte| *byte != 0) {
            return Err(ReadError::Malformed("the padding is not zero"));
        }
        parse_records(records, &mut entry).ok_or(ReadError::Malformed("a record of names"))?;
        entry.header = self.block()?.ok_or(ReadError::Truncated)?;
        Ok(Some(entry))
    }

    /// The next header; `None` at the archive's proper end.
    fn block<E>(&mut self) -> Result<Option<Header>, ReadError<E>> {
        let mut header = Header::new_old();
        self.fill(header.as_mut_bytes())?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            let mut second = [0; BLOCK];
            self.fill(&mut second)?;
            if second.iter().any(|byte| *byte != 0) {
                return Err(ReadError::Malformed("one block of zeros in the middle"));
            }
            return match self.input.read(&mut [0]).map_err(ReadError::Input)? {
                0 => Ok(None),
                _ => Err(ReadError::Malformed("something follows the end")),
            };
        }
        if header.as_ustar().is_none() {
            return Err(ReadError::Malformed("a header is not of the ustar format"));
        }
        let unsigned: u32 = header.as_bytes().iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = header.as_old().cksum.iter().map(|byte| u32::from(*byte)).sum();
        if header.cksum().ok() != Some(unsigned - own + 8 * u32::from(b' ')) {
            return Err(ReadError::Malformed("a header's checksum is wrong"));
        }
        Ok(Some(header))
    }

    fn fill<E>(&mut self, buffer: &mut [u8]) -> Result<(), ReadError<E>> {
        self.input.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::Truncated,
            _ => ReadError::Input(error),
        })
    }

    fn member<S: Sink>(&mut self, entry: &Entry, sink: &mut S) -> Result<(), ReadError<S::Error>> {
        let header = &entry.header;
        let kind = header.entry_type();
        let name = match &entry.path {
            Some(path) => path.as_slice().into(),
            None => header.path_bytes(),
        };
        if !matches!(kind, EntryType::Regular | EntryType::Directory | EntryType::Symlink) {
            let path = crate::member::shown(&name);
            return Err(ReadError::Kind { path, kind: char::from(kind.as_byte()) });
        }
        let name = match kind {
            EntryType::Directory => name.strip_suffix(b"/").unwrap_or(&name),
            _ => &name,
        };
        let path = MemberPath::parse(name)?;
        self.check_order(&path)?;
        let left = self.left.members.checked_sub(1);
        self.left.members = left.ok_or(ReadError::MoreThanAnnounced(self.announced))?;
        let another = self.last.is_some() || kind != EntryType::Regular || path.depth() != 1;
        if self.shape == Shape::File && another {
            return Err(ReadError::NotOneFile);
        }
        let mode = header.mode().ok().filter(|mode| *mode <= 0o777);
        let mode = mode.ok_or(ReadError::Malformed("a mode"))?;
        let size = header.size().map_err(|_| ReadError::Malformed("a size is not a number"))?;
        match kind {
            EntryType::Regular => self.file(&path, mode, size, sink)?,
            _ if size != 0 => return Err(ReadError::Malformed("a folder or link with content")),
            EntryType::Directory => {
                sink.folder(&path, mode).map_err(ReadError::Sink)?;
                self.folders.push(path.clone());
            }
            _ => {
                let target = match &entry.target {
                    Some(target) => Some(target.as_slice().into()),
                    None => header.link_name_bytes(),
                };
                let target = target.ok_or(ReadError::Malformed("a link without a target"))?;
                let target = LinkTarget::parse(&path, &target)?;
                sink.link(&path, &target).map_err(ReadError::Sink)?;
            }
        }
        self.last = Some(path);
        Ok(())
    }

    fn file<S: Sink>(
        &mut self,
        path: &MemberPath,
        mode: u32,
        size: u64,
        sink: &mut S,
    ) -> Result<(), ReadError<S::Error>> {
        let left = self.left.bytes.checked_sub(size);
        self.left.bytes = left.ok_or(ReadError::MoreThanAnnounced(self.announced))?;
        let mut content = FileContent { input: self.input, left: size, failed: None };
        let taken = sink.file(path, mode, size, &mut content);
        // What stopped the sink is the stream's own fault where that one had failed before.
        if let Some(error) = content.failed {
            return Err(match error.kind() {
                io::ErrorKind::UnexpectedEof => ReadError::Truncated,
                _ => ReadError::Input(error),
            });
        }
        taken.map_err(ReadError::Sink)?;
        if content.left != 0 {
            return Err(ReadError::NotTaken(path.clone()));
        }
        let mut zeros = [0; BLOCK];
        let zeros = zeros.get_mut(..padding(size)).unwrap_or_default();
        self.fill(zeros)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(ReadError::Malformed("the padding is not zero"));
        }
        Ok(())
    }

    fn check_order<E>(&mut self, path: &MemberPath) -> Result<(), ReadError<E>> {
        let parent = path.parent();
        while self.folders.last().is_some_and(|folder| Some(folder) != parent.as_ref()) {
            self.folders.pop();
        }
        let has_folder = parent.is_none() || !self.folders.is_empty();
        if !has_folder || self.last.as_ref().is_some_and(|last| last >= path) {
            return Err(ReadError::Order(path.clone()));
        }
        Ok(())
    }
}

/// A file's content on its way through.
struct FileContent<'a, R> {
    input: &'a mut R,
    left: u64,
    failed: Option<io::Error>,
}

impl<R: Read> Read for FileContent<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        let count = match self.input.read(buffer) {
            Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            other => other,
        };
        match count {
            Ok(count) => {
                self.left = self.left.saturating_sub(count as u64);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(io::Error::from(kind))
            }
        }
    }
}

/// `path` and `linkpath`, each at most once, and nothing else.
fn parse_records(mut records: &[u8], entry: &mut Entry) -> Option<()> {
    while !records.is_empty() {
        let blank = records.iter().take(6).position(|byte| *byte == b' ')?;
        let digits = std::str::from_utf8(records.get(..blank)?).ok()?;
        if digits.starts_with('0') || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let length: usize = digits.parse().ok()?;
        let record = records.get(blank + 1..length)?.strip_suffix(b"\n")?;
        records = records.get(length..)?;
        let (slot, value) = match record.strip_prefix(b"path=") {
            Some(value) => (&mut entry.path, value),
            None => (&mut entry.target, record.strip_prefix(b"linkpath=")?),
        };
        if slot.replace(value.to_vec()).is_some() {
            return None;
        }
    }
    Some(())
}

impl Sink for Landing {
    type Error = LandingError;

    fn folder(&mut self, path: &MemberPath, mode: u32) -> Result<(), LandingError> {
        Self::folder(self, path, mode)
    }

    fn file(
        &mut self,
        path: &MemberPath,
        mode: u32,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), LandingError> {
        Self::file(self, path, mode, size, content)
    }

    fn link(&mut self, path: &MemberPath, target: &LinkTarget) -> Result<(), LandingError> {
        self.symlink(path, target.as_bytes())
    }
}
