//! What a sender wants to send.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::member::{LinkTarget, MemberPath};
use crate::plan::{Announced, Shape};

/// Why members do not make a tree.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum TreeError {
    /// Two members have one name.
    #[error("two members have the name {0}")]
    Twice(MemberPath),
    /// A member's parent is a file or a link.
    #[error("{0} lies in something that is not a folder")]
    ParentNotFolder(MemberPath),
    /// A tree of the shape of a file holds something else than one file.
    #[error("a single file was announced, but there are {0} members or it is no regular file")]
    NotOneFile(usize),
    /// The sizes' sum is beyond counting.
    #[error("the files' sizes add up to more than can be counted")]
    TooLarge,
}

/// Where a file's bytes come from.
#[derive(Clone)]
pub enum Content {
    /// From memory; wiped when the last copy is dropped.
    Bytes(Arc<Zeroizing<Vec<u8>>>),
    /// From a file of the sender's host, opened when its turn comes.
    File(PathBuf),
    /// As `File`, and it must still be the file that was looked at before.
    SameFile {
        /// The path.
        path: PathBuf,
        /// The device it was on.
        device: u64,
        /// Its inode there.
        inode: u64,
    },
}

impl Content {
    /// From memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self::Bytes(Arc::new(Zeroizing::new(bytes)))
    }

    /// Opens it for reading.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        match self {
            Self::Bytes(bytes) => Ok(Box::new(Cursor::new(bytes.as_slice()))),
            Self::File(path) => Ok(Box::new(open_regular(path)?)),
            Self::SameFile { path, device, inode } => {
                let file = open_regular(path)?;
                let is = file.metadata()?;
                if (is.dev(), is.ino()) != (*device, *inode) {
                    return Err(io::Error::other("another file has taken its place"));
                }
                Ok(Box::new(file))
            }
        }
    }
}

/// Opens a regular file and nothing else: a link or a fifo that has taken its place since it was looked
/// at is refused, and not waited for.
fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file any more"));
    }
    Ok(file)
}

impl std::fmt::Debug for Content {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(formatter, "Bytes({} bytes)", bytes.len()),
            Self::File(path) | Self::SameFile { path, .. } => {
                write!(formatter, "File({})", path.display())
            }
        }
    }
}

/// What a member is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A folder.
    Folder {
        /// Its permission bits.
        mode: u32,
    },
    /// A regular file.
    File {
        /// Its permission bits.
        mode: u32,
        /// How long it is.
        size: u64,
        /// Its bytes.
        content: Content,
    },
    /// A symbolic link that stays inside.
    Link {
        /// Where to.
        target: LinkTarget,
    },
}

/// A member of a tree.
#[derive(Debug, Clone)]
pub struct Member {
    /// Where it is, below the destination.
    pub path: MemberPath,
    /// What it is.
    pub kind: Kind,
}

/// Members in their order, without gaps: each one's folders come before it.
#[derive(Debug, Clone)]
pub struct Tree {
    shape: Shape,
    members: Vec<Member>,
    announced: Announced,
}

impl Tree {
    /// Puts members into order and adds the folders that they lie in (mode 0o755) where those are not
    /// among them. Modes are cut to `0o777`.
    pub fn new(shape: Shape, members: Vec<Member>) -> Result<Self, TreeError> {
        let mut members = with_parents(members);
        members.sort_by(|first, second| first.path.cmp(&second.path));
        for pair in members.windows(2) {
            if let [first, second] = pair
                && first.path == second.path
            {
                return Err(TreeError::Twice(first.path.clone()));
            }
        }
        check_parents(&members)?;
        let mut announced = Announced { bytes: 0, members: members.len() as u64 };
        for member in &mut members {
            match &mut member.kind {
                Kind::Folder { mode } => *mode &= 0o777,
                Kind::File { mode, size, .. } => {
                    *mode &= 0o777;
                    announced.bytes =
                        announced.bytes.checked_add(*size).ok_or(TreeError::TooLarge)?;
                }
                Kind::Link { .. } => {}
            }
        }
        let one_file = matches!(members.as_slice(), [Member { kind: Kind::File { .. }, path }] if path.depth() == 1);
        if shape == Shape::File && !one_file {
            return Err(TreeError::NotOneFile(members.len()));
        }
        Ok(Self { shape, members, announced })
    }

    /// Whether it is one file or a folder.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The members, in their order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// How much there is.
    pub fn announced(&self) -> Announced {
        self.announced
    }
}

fn with_parents(mut members: Vec<Member>) -> Vec<Member> {
    let mut known: std::collections::HashSet<MemberPath> =
        members.iter().map(|member| member.path.clone()).collect();
    let mut added = Vec::new();
    for member in &members {
        let mut parent = member.path.parent();
        while let Some(path) = parent {
            if !known.insert(path.clone()) {
                break;
            }
            parent = path.parent();
            added.push(Member { path, kind: Kind::Folder { mode: 0o755 } });
        }
    }
    members.append(&mut added);
    members
}

/// The order puts a parent somewhere before its children with only other children of it between.
fn check_parents(members: &[Member]) -> Result<(), TreeError> {
    let mut folders: Vec<&MemberPath> = Vec::new();
    for member in members {
        let parent = member.path.parent();
        while folders.last().is_some_and(|folder| Some(*folder) != parent.as_ref()) {
            folders.pop();
        }
        if parent.is_some() && folders.is_empty() {
            return Err(TreeError::ParentNotFolder(member.path.clone()));
        }
        if matches!(member.kind, Kind::Folder { .. }) {
            folders.push(&member.path);
        }
    }
    Ok(())
}
