//! Why a context is refused.

use std::io;

use thiserror::Error;

/// A context that is not built from.
#[derive(Debug, Error)]
pub enum ContextError {
    /// It broke off, or is no archive.
    #[error("the context is not a tar archive, or broke off")]
    Read(#[source] io::Error),
    /// Nobody reads what is written.
    #[error("the context cannot be passed on")]
    Write(#[source] io::Error),
    /// Another compression than gzip.
    #[error(
        "the context is compressed in a way that is not read here; send it plain, or with gzip"
    )]
    Compression,
    /// A device, a pipe, or a path that leads out.
    #[error(
        "the context holds an entry that is neither a file, a folder nor a link, or a path with `..`"
    )]
    Entry,
    /// An entry below a symbolic link.
    #[error("the context holds an entry whose path leads through a symbolic link")]
    ThroughLink,
    /// More than are remembered.
    #[error("the context holds more than {limit} symbolic links")]
    TooManyLinks {
        /// The limit.
        limit: usize,
    },
    /// The parameter `dockerfile`.
    #[error("the path of the Dockerfile has to be one within the context")]
    DockerfilePath,
    /// It is not in there. The words are the engine's.
    #[error("Cannot locate specified Dockerfile: {0}")]
    NoDockerfile(String),
    /// Of which the engine would take the second.
    #[error("the Dockerfile is in the context twice")]
    TwoDockerfiles,
    /// A link, which the engine would follow.
    #[error("the Dockerfile is a link, or no file; put it into the context itself")]
    NotAFile,
    /// A link, which the engine would follow.
    #[error("a folder of the Dockerfile's path is a link, or no folder")]
    NotAFolder,
    /// More than is read.
    #[error("the Dockerfile has more than {limit} bytes")]
    LongDockerfile {
        /// The limit.
        limit: usize,
    },
    /// What the Dockerfile wants was refused.
    #[error("the build is refused")]
    Stopped,
}
