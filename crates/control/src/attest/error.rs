//! Why nobody can say who is at the other end.

use std::io;

use sealock_engine::EngineError;
use thiserror::Error;

/// Why a connection to the workload socket is let in as nobody.
#[derive(Debug, Error)]
pub(crate) enum AttestError {
    /// The kernel does not say which process connected.
    #[error("the kernel does not say which process connected; that needs Linux 6.5")]
    NoPeer(#[source] io::Error),
    /// The process cannot be looked at, or is gone.
    #[error("the process that connected is gone, or may not be looked at")]
    Process(#[source] io::Error),
    /// A process of the host, of another engine, or of no container of this one.
    #[error("the process that connected is in no container of this engine")]
    NoContainer,
    /// It is in a control group of a container, and not in the container.
    #[error("the process that connected has another view of the file system than its container")]
    Elsewhere,
    /// The container ends, or was started anew, at this very moment.
    #[error("the container of the process that connected does not run any more")]
    Stopped,
    /// The container could put another socket in the place of ours.
    #[error("the container {container} may write to the folder of the socket")]
    Writable {
        /// Its name.
        container: String,
    },
    /// It has too many connections.
    #[error("the container has {limit} connections open already")]
    TooMany {
        /// How many it may have.
        limit: usize,
    },
    /// The engine does not say.
    #[error("the engine does not say which container it is")]
    Engine(#[source] EngineError),
}
