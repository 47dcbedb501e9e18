//! What is to be sent: files, folders, standard input, and content that is made in memory.
//!
//! Everything is looked at before the first byte goes out, so that the sizes can be announced and an
//! impossible member is refused while nothing has happened. Who else can write to the sources can
//! change them between that look and the reading; a file is therefore read only if it is still the
//! same one (device and inode), and only to the size that was announced.

use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealock_core::SecretBytes;
use sealock_transfer::archive::{Content, Kind, Member, Tree, TreeError};
use sealock_transfer::member::{LinkTarget, MemberPath, NameError};
use sealock_transfer::plan::{Announced, Shape};
use zeroize::Zeroizing;

/// How much of standard input is taken: it has to be held in memory, since its size must be known
/// before it is sent and a copy on disk would be a copy of a secret.
pub const STREAM_LIMIT: u64 = 256 * 1024 * 1024;

/// The permission bits of what came without any.
const STREAM_MODE: u32 = 0o600;

/// One thing to send.
pub enum Source {
    /// A file or folder of this machine. A link *here* is followed; links inside a folder are kept.
    Path(PathBuf),
    /// A stream, read to its end.
    Stream(Box<dyn Read + Send>),
    /// Content made in memory, for a folder destination.
    Content {
        /// Its name there.
        name: String,
        /// Its permission bits.
        mode: u32,
        /// The bytes.
        content: SecretBytes,
    },
    /// Content made in memory, for a file destination: it has no name of its own, so it is sent alone.
    OneFile {
        /// Its permission bits.
        mode: u32,
        /// The bytes.
        content: SecretBytes,
    },
}

impl std::fmt::Debug for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => write!(formatter, "{}", path.display()),
            Self::Stream(_) => formatter.write_str("a stream"),
            Self::OneFile { .. } => formatter.write_str("one file (in memory)"),
            Self::Content { name, .. } => write!(formatter, "{name} (in memory)"),
        }
    }
}

/// What cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is nothing.
    #[error("nothing was named to be sent")]
    Nothing,
    /// A path cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something that has no content of its own.
    #[error("{} is {kind}, which cannot be sent", path.display())]
    Kind {
        /// The path.
        path: PathBuf,
        /// Such as `a socket`.
        kind: &'static str,
    },
    /// A name that cannot be in a transfer, or a link that leads out of its tree.
    #[error("{} cannot be sent", path.display())]
    Name {
        /// The path.
        path: PathBuf,
        /// Why.
        source: NameError,
    },
    /// The members do not make a tree, such as two of one name.
    #[error("the sources do not fit together")]
    Tree(#[from] TreeError),
    /// A path that ends in no name, such as `/` or `..`, among several.
    #[error("{} has no name of its own", .0.display())]
    Nameless(PathBuf),
    /// Standard input together with other sources.
    #[error("standard input can only be sent alone")]
    StreamNotAlone,
    /// Content without a name together with other sources.
    #[error("a file without a name can only be sent alone")]
    NotAlone,
    /// Standard input is too large.
    #[error("standard input is larger than {limit} bytes")]
    StreamTooLarge {
        /// The limit.
        limit: u64,
    },
    /// Standard input cannot be read or held.
    #[error("cannot read standard input")]
    Stream(#[source] io::Error),
}

impl SourceError {
    /// What a person may do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::StreamTooLarge { .. } => Some("write it to a file and send that"),
            Self::Name { source: NameError::LeadsOut { .. } | NameError::Absolute(_), .. } => {
                Some("links are kept as they are, so they must be relative and stay in the folder")
            }
            _ => None,
        }
    }
}

/// Everything that is to be sent, folders before what is in them.
#[derive(Debug)]
pub struct Load {
    tree: Tree,
    files: u64,
    one_file: Option<String>,
}

impl Load {
    /// Looks at all sources. One file (or stream) can go to a file destination; one folder stands
    /// for what is in it; several sources each keep their own name in a folder destination.
    ///
    /// # Errors
    /// [`SourceError`], for the first thing that cannot be sent.
    pub fn gather(sources: Vec<Source>) -> Result<Self, SourceError> {
        let alone = sources.len() == 1;
        let mut gathered = Gathered::default();
        let mut one_file = None;
        if sources.is_empty() {
            return Err(SourceError::Nothing);
        }
        for source in sources {
            match source {
                Source::Stream(_) if !alone => return Err(SourceError::StreamNotAlone),
                Source::Stream(stream) => {
                    gathered.stream(stream, STREAM_LIMIT)?;
                    one_file = Some(String::new());
                }
                Source::OneFile { .. } if !alone => return Err(SourceError::NotAlone),
                Source::OneFile { mode, content } => {
                    let size = content.len() as u64;
                    let content = Content::from_bytes(content.expose().to_vec());
                    gathered.push_file(member(b"file", Path::new("-"))?, mode, size, content);
                    one_file = Some(String::new());
                }
                Source::Content { name, mode, content } => {
                    let path = member(name.as_bytes(), Path::new(&name))?;
                    let size = content.len() as u64;
                    let content = Content::from_bytes(content.expose().to_vec());
                    gathered.push_file(path, mode, size, content);
                }
                Source::Path(path) => one_file = gathered.source(&path, alone)?,
            }
        }
        let shape = if one_file.is_some() { Shape::File } else { Shape::Folder };
        let files = gathered.files;
        Ok(Self { tree: Tree::new(shape, gathered.members)?, files, one_file })
    }

    /// The members, in order.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// How much there is.
    pub fn announced(&self) -> Announced {
        self.tree.announced()
    }

    /// How many files there are.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// The name of the one file that this is, if it is one: empty for a stream, which has none.
    pub fn one_file(&self) -> Option<&str> {
        self.one_file.as_deref()
    }
}

#[derive(Default)]
struct Gathered {
    members: Vec<Member>,
    files: u64,
}

impl Gathered {
    /// A path from the command line. Gives its name when it is one file, alone.
    fn source(&mut self, path: &Path, alone: bool) -> Result<Option<String>, SourceError> {
        let is = std::fs::metadata(path).map_err(|source| unreadable(path, source))?;
        // A link is followed here, and the file behind it is what must not change.
        let real = std::fs::canonicalize(path).map_err(|source| unreadable(path, source))?;
        if is.is_dir() && alone {
            self.walk(&real, None)?;
            return Ok(None);
        }
        let name = path.file_name().ok_or_else(|| SourceError::Nameless(path.to_owned()))?;
        let top = member(name.as_bytes(), path)?;
        if is.is_dir() {
            self.push(top.clone(), Kind::Folder { mode: permissions(&is) });
            self.walk(&real, Some(&top))?;
            return Ok(None);
        }
        self.file(&real, top, &is)?;
        let text = name.to_str().map(str::to_owned);
        match text {
            Some(text) if alone => Ok(Some(text)),
            None if alone => Err(SourceError::Kind {
                path: path.to_owned(),
                kind: "a file whose name is not UTF-8",
            }),
            _ => Ok(None),
        }
    }

    /// Everything in a folder, by name; not a recursion, so depth costs no stack.
    fn walk(&mut self, folder: &Path, at: Option<&MemberPath>) -> Result<(), SourceError> {
        let mut waiting = vec![(folder.to_owned(), at.cloned())];
        while let Some((folder, at)) = waiting.pop() {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(&folder).map_err(|source| unreadable(&folder, source))? {
                names.push(entry.map_err(|source| unreadable(&folder, source))?.file_name());
            }
            names.sort();
            for name in names {
                let path = folder.join(&name);
                let below = match &at {
                    Some(at) => [at.as_bytes(), b"/", name.as_bytes()].concat(),
                    None => name.as_bytes().to_vec(),
                };
                let place = member(&below, &path)?;
                let is = path.symlink_metadata().map_err(|source| unreadable(&path, source))?;
                if is.is_dir() {
                    self.push(place.clone(), Kind::Folder { mode: permissions(&is) });
                    waiting.push((path, Some(place)));
                } else if is.is_symlink() {
                    self.link(&path, place)?;
                } else {
                    self.file(&path, place, &is)?;
                }
            }
        }
        Ok(())
    }

    fn link(&mut self, path: &Path, place: MemberPath) -> Result<(), SourceError> {
        let target = std::fs::read_link(path).map_err(|source| unreadable(path, source))?;
        let target = LinkTarget::parse(&place, target.as_os_str().as_bytes())
            .map_err(|source| SourceError::Name { path: path.to_owned(), source })?;
        self.push(place, Kind::Link { target });
        Ok(())
    }

    fn file(&mut self, path: &Path, place: MemberPath, is: &Metadata) -> Result<(), SourceError> {
        use std::os::unix::fs::FileTypeExt;
        let kind = is.file_type();
        if !kind.is_file() {
            let kind = match () {
                () if kind.is_socket() => "a socket",
                () if kind.is_fifo() => "a pipe",
                () if kind.is_block_device() || kind.is_char_device() => "a device",
                () => "no file",
            };
            return Err(SourceError::Kind { path: path.to_owned(), kind });
        }
        let content =
            Content::SameFile { path: path.to_owned(), device: is.dev(), inode: is.ino() };
        self.push_file(place, permissions(is), is.size(), content);
        Ok(())
    }

    fn stream(&mut self, stream: Box<dyn Read + Send>, limit: u64) -> Result<(), SourceError> {
        let mut bytes = Zeroizing::new(Vec::new());
        stream.take(limit + 1).read_to_end(&mut bytes).map_err(SourceError::Stream)?;
        let size = bytes.len() as u64;
        if size > limit {
            return Err(SourceError::StreamTooLarge { limit });
        }
        let place = member(b"stream", Path::new("-"))?;
        self.push_file(place, STREAM_MODE, size, Content::Bytes(Arc::new(bytes)));
        Ok(())
    }

    fn push_file(&mut self, path: MemberPath, mode: u32, size: u64, content: Content) {
        self.files += 1;
        self.push(path, Kind::File { mode, size, content });
    }

    fn push(&mut self, path: MemberPath, kind: Kind) {
        self.members.push(Member { path, kind });
    }
}

fn unreadable(path: &Path, source: io::Error) -> SourceError {
    SourceError::Unreadable { path: path.to_owned(), source }
}

fn member(bytes: &[u8], path: &Path) -> Result<MemberPath, SourceError> {
    MemberPath::parse(bytes).map_err(|source| SourceError::Name { path: path.to_owned(), source })
}

fn permissions(is: &Metadata) -> u32 {
    is.permissions().mode() & 0o777
}

#[cfg(test)]
mod tests;
