//! Sends files into a running container: picks the carrier, then reloads.

use std::sync::Arc;
use std::time::Duration;

use sealock_core::{Clock, Timestamp};
use sealock_engine::{Engine, EngineError};
use sealock_transfer::landing::{Landed, Owner};
use serde::{Deserialize, Serialize};

use crate::carriers::{Carrier, CarrierChoice, CarrierError, Job, Progress};
use crate::labels::Reload;
use crate::reload::{ReloadError, reload};
use crate::sources::{Load, Source, SourceError};

/// How long a command that is run after the transfer may take.
pub const AFTER_DEADLINE: Duration = Duration::from_secs(60);

/// What is to be sent where, and how.
#[derive(Debug)]
pub struct SendRequest {
    /// What.
    pub sources: Vec<Source>,
    /// Into which container: name, id, or the beginning of an id.
    pub container: String,
    /// To which path there. One file goes *into* a folder that exists or into a path that ends in
    /// a slash; anything else makes it a folder destination.
    pub destination: String,
    /// How.
    pub carrier: CarrierChoice,
    /// Who is to own it; without, root of the container.
    pub owner: Option<Owner>,
    /// The permission bits of every file; without, those of the source.
    pub mode: Option<u32>,
    /// Whether it must land on a file system in memory, and else is refused before anything is sent.
    pub memory_only: bool,
    /// What to do in the container afterwards, also when nothing had to be changed.
    pub after: Option<Reload>,
}

/// A carrier that was not used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Which.
    pub carrier: Carrier,
    /// Why.
    pub reason: String,
}

/// What has been delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The number of the transfer.
    pub transfer: String,
    /// The container's id.
    pub container: String,
    /// The container's name.
    pub name: String,
    /// Where it is, as the container sees it.
    pub path: String,
    /// The digest, in hexadecimal: of the content for a file, of the tree for a folder.
    pub sha256: String,
    /// How many bytes.
    pub bytes: u64,
    /// How many files.
    pub files: u64,
    /// Whether something stood there before.
    pub replaced: bool,
    /// Whether anything was written: false when the same content stood there already.
    pub changed: bool,
    /// The version of a folder destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How it went.
    pub carrier: Carrier,
    /// What was tried before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
    /// When.
    pub at: Timestamp,
}

/// Why nothing was delivered; or, for [`SendError::After`], what failed after it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// What is to be sent cannot be read.
    #[error("what is to be sent cannot be read")]
    Source(#[from] SourceError),
    /// A stream needs to be told the name of the file.
    #[error("standard input has no name of its own: {destination} must be the path of a file")]
    Nameless {
        /// Where it was to go.
        destination: String,
    },
    /// The container cannot be found or does not run.
    #[error("cannot send to {container}")]
    Container {
        /// As it was given.
        container: String,
        /// Why.
        source: EngineError,
    },
    /// The transfer failed.
    #[error("cannot send to {container}:{destination} ({carrier})")]
    Carrier {
        /// As it was given.
        container: String,
        /// As it was given.
        destination: String,
        /// How it was tried.
        carrier: Carrier,
        /// Why.
        source: CarrierError,
    },
    /// No carrier can be used.
    #[error("there is no way into {container}: {}", reasons(passed_over))]
    NoWay {
        /// As it was given.
        container: String,
        /// What was tried.
        passed_over: Vec<PassedOver>,
    },
    /// It has been delivered, but what was to be done then failed.
    #[error("{} was delivered to {}, but the container was not told", receipt.path, receipt.name)]
    After {
        /// What has been delivered.
        receipt: Box<Receipt>,
        /// What failed.
        source: ReloadError,
    },
    /// The machine failed us.
    #[error("cannot {operation}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

fn reasons(passed_over: &[PassedOver]) -> String {
    let each = passed_over.iter().map(|one| format!("{}: {}", one.carrier, one.reason));
    each.collect::<Vec<_>>().join("; ")
}

impl SendError {
    /// What a person may do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Source(error) => error.hint(),
            Self::Container { source, .. } => source.hint(),
            Self::Carrier { source, .. } => source.hint(),
            Self::NoWay { .. } => Some("run as root beside the engine, or allow exec"),
            Self::Nameless { .. } => Some("name the file: CONTAINER:/PATH/FILE"),
            Self::After { .. } => Some("the files are in place; only the signal or command failed"),
            Self::System { .. } => None,
        }
    }
}

/// Sends, and says what has been delivered and how.
///
/// Dropping the future stops the transfer; the old content stands then.
///
/// # Errors
/// [`SendError`].
pub async fn send(
    engine: &Engine,
    clock: &dyn Clock,
    request: SendRequest,
    progress: &dyn Progress,
) -> Result<Receipt, SendError> {
    let sources = request.sources;
    let load = tokio::task::spawn_blocking(move || Load::gather(sources));
    let load = load.await.map_err(|error| SendError::System {
        operation: "look at the sources",
        source: std::io::Error::other(error),
    })??;
    if load.one_file() == Some("") && request.destination.ends_with('/') {
        return Err(SendError::Nameless { destination: request.destination });
    }
    let container = engine
        .inspect_running(&request.container)
        .await
        .map_err(|source| SendError::Container { container: request.container.clone(), source })?;
    let job = Job {
        transfer: transfer_number()?,
        engine,
        container: &container,
        load: &Arc::new(load),
        destination: &request.destination,
        owner: request.owner.as_ref(),
        mode: request.mode,
        memory_only: request.memory_only,
        progress,
    };
    let (carrier, landed, passed_over) = carry(&job, request.carrier).await?;
    let receipt = Receipt {
        transfer: data_encoding::HEXLOWER.encode(&job.transfer),
        container: container.id.clone(),
        name: container.name.clone(),
        path: landed.path,
        sha256: data_encoding::HEXLOWER.encode(&landed.sha256),
        bytes: landed.bytes,
        files: landed.files,
        replaced: landed.replaced,
        changed: landed.changed,
        version: landed.version,
        carrier,
        passed_over,
        at: clock.now(),
    };
    if let Some(after) = &request.after {
        let told = reload(engine, &container.id, after, AFTER_DEADLINE).await;
        if let Err(source) = told {
            return Err(SendError::After { receipt: Box::new(receipt), source });
        }
    }
    Ok(receipt)
}

/// Tries one carrier after the other until one can be used.
async fn carry(
    job: &Job<'_>,
    choice: CarrierChoice,
) -> Result<(Carrier, Landed, Vec<PassedOver>), SendError> {
    let mut passed_over = Vec::new();
    for carrier in choice.candidates() {
        match carrier.carry(job).await {
            Ok(landed) => return Ok((carrier, landed, passed_over)),
            Err(CarrierError::Unsupported { carrier, reason }) => {
                job.progress.passed_over(carrier, &reason);
                passed_over.push(PassedOver { carrier, reason });
            }
            Err(source) => {
                return Err(SendError::Carrier {
                    container: job.container.name.clone(),
                    destination: job.destination.to_owned(),
                    carrier,
                    source,
                });
            }
        }
    }
    Err(SendError::NoWay { container: job.container.name.clone(), passed_over })
}

fn transfer_number() -> Result<[u8; 16], SendError> {
    let mut number = [0; 16];
    aws_lc_rs::rand::fill(&mut number).map_err(|_| SendError::System {
        operation: "find a number for the transfer",
        source: std::io::Error::other("no random bytes"),
    })?;
    Ok(number)
}
