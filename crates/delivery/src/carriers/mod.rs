//! How bytes travel into a container.
//!
//! Three ways, one outcome: every carrier ends in a `sealock_transfer::landing`, by this process
//! ([`direct`]) or by the receiver inside the container, and gives what that has [`Landed`]. A
//! carrier that cannot work here says so with [`CarrierError::Unsupported`] *before* anything was
//! written, so that the next one can be tried; every other error is final.

pub mod direct;
pub mod exec;
mod id_map;
pub(crate) mod listener;
mod receiver;
pub mod sealed;
pub mod url;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sealock_engine::{Container, Engine, EngineError};
use sealock_transfer::landing::{Landed, LandingError, Owner};
use sealock_transfer::wire::Reason;

use sealed::SealedError;

use crate::sources::{Load, SourceError};

/// A way into a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// Through the container's mount view, by this process.
    Direct,
    /// Sealed, through `exec`'s standard input, to the receiver in the container.
    Exec,
    /// Sealed, by one request of the receiver over a network that the container is attached to.
    Url,
}

impl Carrier {
    /// The order in which `auto` tries them.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Exec, Self::Url];

    /// Its word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Exec => "exec",
            Self::Url => "url",
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Which carrier is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CarrierChoice {
    /// The first that works.
    #[default]
    Auto,
    /// This one or none.
    Only(Carrier),
}

/// A word that names no carrier.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("{0:?} is not a carrier: auto, direct, exec or url")]
pub struct UnknownCarrier(String);

impl FromStr for CarrierChoice {
    type Err = UnknownCarrier;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let named = Carrier::ALL.into_iter().find(|carrier| carrier.as_str() == text);
        named.map(Self::Only).ok_or_else(|| UnknownCarrier(text.to_owned()))
    }
}

impl CarrierChoice {
    /// The carriers to try, in order.
    pub fn candidates(self) -> Vec<Carrier> {
        match self {
            Self::Auto => Carrier::ALL.to_vec(),
            Self::Only(carrier) => vec![carrier],
        }
    }
}

/// Told how a transfer goes on. Called often: it must be cheap.
pub trait Progress: Send + Sync {
    /// A carrier begins; it will carry that much.
    fn begins(&self, carrier: Carrier, bytes: u64, files: u64) {
        let _ = (carrier, bytes, files);
    }

    /// A carrier cannot be used here, and why.
    fn passed_over(&self, carrier: Carrier, reason: &str) {
        let _ = (carrier, reason);
    }

    /// That many bytes of it have arrived by now.
    fn arrived(&self, bytes: u64) {
        let _ = bytes;
    }
}

/// Progress that nobody looks at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}

/// One transfer, as every carrier gets it.
#[derive(Clone)]
pub struct Job<'a> {
    /// The number of the transfer; its hexadecimal form is in receipts and the audit log.
    pub transfer: [u8; 16],
    /// The engine.
    pub engine: &'a Engine,
    /// The container, found running a moment ago.
    pub container: &'a Container,
    /// What to send.
    pub load: &'a Arc<Load>,
    /// Where to, as it was asked for: [`settle`](sealock_transfer::landing::Root::settle) it where
    /// the container's files can be seen.
    pub destination: &'a str,
    /// Who is to own it; without, root of the container.
    pub owner: Option<&'a Owner>,
    /// The permission bits of every file; without, those of the source.
    pub mode: Option<u32>,
    /// Whether it must land on a file system in memory.
    pub memory_only: bool,
    /// Who wants to know.
    pub progress: &'a dyn Progress,
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Job")
            .field("container", &self.container.name)
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}

/// Why a carrier has not delivered. The old content stands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarrierError {
    /// It cannot work with this engine, container or privilege; nothing was tried.
    #[error("the carrier {carrier} cannot be used: {reason}")]
    Unsupported {
        /// Which one.
        carrier: Carrier,
        /// Why.
        reason: String,
    },
    /// The container stopped while bytes were on their way.
    #[error("container {container} stopped during the transfer")]
    Stopped {
        /// Its name.
        container: String,
    },
    /// An owner that does not exist in the container's user namespace.
    #[error("the container's user namespace has no id {id}")]
    NotMapped {
        /// The id, as the container would see it.
        id: u32,
    },
    /// The engine did not play along.
    #[error("the engine did not carry it out")]
    Engine(#[from] EngineError),
    /// What is sent could not be read.
    #[error("what is to be sent cannot be read")]
    Source(#[from] SourceError),
    /// The content did not get to its place.
    #[error("it could not be put in its place")]
    Landing(#[from] LandingError),
    /// The receiver inside the container and this side do not come to an end together.
    #[error("the receiver in the container did not carry it out")]
    Sealed(#[source] Box<SealedError>),
    /// The machine failed us.
    #[error("cannot {operation}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

impl From<SealedError> for CarrierError {
    fn from(error: SealedError) -> Self {
        Self::Sealed(Box::new(error))
    }
}

impl CarrierError {
    /// Whether only memory would do as a destination, and it is on a disk.
    pub fn is_on_disk(&self) -> bool {
        match self {
            Self::Landing(error) => matches!(error, LandingError::OnDisk { .. }),
            Self::Sealed(error) => matches!(
                &**error,
                SealedError::Refused(refusal) if refusal.reason == Reason::OnDisk
            ),
            _ => false,
        }
    }

    /// What a person may do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unsupported { .. } => Some("let --carrier auto choose"),
            Self::Stopped { .. } => Some("the old content is untouched; send again when it runs"),
            Self::Engine(error) => error.hint(),
            Self::Source(error) => error.hint(),
            Self::Landing(error) => error.hint(),
            Self::Sealed(error) => error.hint(),
            Self::NotMapped { .. } | Self::System { .. } => None,
        }
    }
}

impl Carrier {
    /// Carries one job to its end.
    pub(crate) async fn carry(self, job: &Job<'_>) -> Result<Landed, CarrierError> {
        match self {
            Self::Direct => direct::carry(job).await,
            Self::Exec => exec::carry(job).await,
            Self::Url => url::carry(job).await,
        }
    }
}
