//! Why a landing failed. The old content stands in all these cases.

use std::io;

use rustix::io::Errno;

use crate::member::{MemberPath, NameError};
use crate::plan::DestinationError;

/// A landing that failed, by what stood in its way. `path` is always a path as the container sees
/// it.
#[derive(Debug, thiserror::Error)]
pub enum LandingError {
    /// The file system is full (of bytes or of files).
    #[error("no space is left for {path}")]
    NoSpace {
        /// What could not be written.
        path: String,
    },
    /// The owner's quota is used up.
    #[error("the disk quota for {path} is used up")]
    QuotaExceeded {
        /// What could not be written.
        path: String,
    },
    /// The file system is read-only.
    #[error("{path} is on a read-only file system")]
    ReadOnly {
        /// What could not be written.
        path: String,
    },
    /// A folder is needed where something else is.
    #[error("{path} is not a folder")]
    NotAFolder {
        /// The path.
        path: String,
    },
    /// A file is needed where a folder is.
    #[error("{path} is a folder")]
    IsAFolder {
        /// The path.
        path: String,
    },
    /// A file is needed where a device, a pipe or a socket is.
    #[error("{path} is neither a file nor a link")]
    NotAFile {
        /// The path.
        path: String,
    },
    /// Something on the way does not exist and cannot be made.
    #[error("{path} does not exist")]
    Missing {
        /// The path.
        path: String,
    },
    /// A name is longer than the file system takes.
    #[error("the name of {path} is too long")]
    NameTooLong {
        /// The path.
        path: String,
    },
    /// A link on the way goes in circles, leads nowhere or through `/proc`'s magic links.
    #[error("a link on the way to {path} cannot be followed")]
    LinkRefused {
        /// The path.
        path: String,
    },
    /// Not permitted.
    #[error("no permission for {path} ({operation})")]
    Denied {
        /// What was tried.
        operation: &'static str,
        /// The path.
        path: String,
    },
    /// The destination is a mount of its own and cannot be replaced by a rename.
    #[error("{path} is a mount of its own, which cannot be replaced")]
    MountPoint {
        /// The path.
        path: String,
    },
    /// Only memory would do, and this is not on a file system in memory.
    #[error("{path} is not on a file system in memory")]
    OnDisk {
        /// The folder that was to be written into.
        path: String,
    },
    /// Another transfer to the same destination is under way.
    #[error("another transfer to {path} is under way")]
    Busy {
        /// The destination.
        path: String,
    },
    /// Something that no transfer has made stands where an entry has to go.
    #[error("{path} is in the way: it was not made by a transfer")]
    Foreign {
        /// The path.
        path: String,
    },
    /// More bytes or members than were announced.
    #[error("more {what} arrive than were announced ({announced})")]
    MoreThanAnnounced {
        /// `bytes` or `members`.
        what: &'static str,
        /// How much was announced.
        announced: u64,
    },
    /// Fewer bytes or members than were announced.
    #[error("fewer {what} arrived than were announced ({announced})")]
    LessThanAnnounced {
        /// `bytes` or `members`.
        what: &'static str,
        /// How much was announced.
        announced: u64,
    },
    /// The same name twice.
    #[error("{0} arrives twice")]
    Duplicate(MemberPath),
    /// A link that leads out of the tree, or another name that cannot be.
    #[error("a member's name is refused")]
    Name(#[from] NameError),
    /// A path that cannot be a destination.
    #[error("the destination cannot be used")]
    Destination(#[from] DestinationError),
    /// A file destination takes one file and nothing else.
    #[error("{path} takes exactly one file")]
    NotOneFile {
        /// The destination.
        path: String,
    },
    /// What is sent could not be read.
    #[error("cannot read {member}")]
    Source {
        /// Which member.
        member: MemberPath,
        /// Why.
        source: io::Error,
    },
    /// What is sent has changed its size while it was read.
    #[error("{0} changed while it was read")]
    SourceChanged(MemberPath),
    /// The caller wanted no more.
    #[error("the transfer to {path} was stopped")]
    Stopped {
        /// The destination.
        path: String,
    },
    /// The container's `/etc/passwd` has no such user.
    #[error("the container has no user {name}")]
    NoSuchUser {
        /// As it was given.
        name: String,
    },
    /// The container's `/etc/group` has no such group.
    #[error("the container has no group {name}")]
    NoSuchGroup {
        /// As it was given.
        name: String,
    },
    /// The kernel, or a filter of system calls, does not offer `openat2`.
    #[error("this kernel has no openat2, or a filter forbids it")]
    NotConfinable {
        /// What the system said.
        source: io::Error,
    },
    /// Anything else of the file system.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The path.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl LandingError {
    /// What a person may do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoSpace { .. } => {
                Some("old and new content stand side by side for a moment: both must fit")
            }
            Self::ReadOnly { .. } => Some("choose a path on a writable mount, such as a tmpfs"),
            Self::MountPoint { .. } => Some("mount its folder instead of the single file"),
            Self::OnDisk { .. } => Some("mount a tmpfs there, such as --tmpfs /run/sealock"),
            Self::Busy { .. } => Some("wait for it to end, then send again"),
            Self::Foreign { .. } => {
                Some("send to a folder of its own, or remove what is in the way first")
            }
            Self::IsAFolder { .. } => Some("name the file inside the folder"),
            Self::Denied { .. } => Some("the receiver may lack rights: run it as root"),
            Self::NoSuchUser { .. } | Self::NoSuchGroup { .. } => {
                Some("give numbers instead: --owner UID:GID")
            }
            Self::SourceChanged(_) => Some("send again when nothing writes to it"),
            _ => None,
        }
    }

    /// Says in which operation on which path the system refused.
    pub(crate) fn at(operation: &'static str, path: &str, error: Errno) -> Self {
        let path = path.to_owned();
        match error {
            Errno::NOSPC => Self::NoSpace { path },
            Errno::DQUOT => Self::QuotaExceeded { path },
            Errno::ROFS => Self::ReadOnly { path },
            Errno::NOTDIR => Self::NotAFolder { path },
            Errno::ISDIR => Self::IsAFolder { path },
            Errno::NOENT => Self::Missing { path },
            Errno::NAMETOOLONG => Self::NameTooLong { path },
            Errno::LOOP | Errno::XDEV => Self::LinkRefused { path },
            Errno::ACCESS | Errno::PERM => Self::Denied { operation, path },
            Errno::BUSY => Self::MountPoint { path },
            other => Self::Io { operation, path, source: other.into() },
        }
    }
}
