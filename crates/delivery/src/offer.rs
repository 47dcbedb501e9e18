//! Files for whoever holds a ticket: once, for a short time, bound to no container.
//!
//! For image builds and other places where no receiver can be started: the ticket (address, pin of the
//! listener's certificate, one-time secret) is given to the reader by a way of its own, such as a build
//! secret, and the reader fetches the files. They are sealed as in every transfer.
//!
//! The first reader with an authentic hello uses the offer up, also when it breaks off then: by that
//! time some of the files may have been opened. Everybody after it, until the time is over, is told so,
//! and whoever has no authentic hello is turned away without using it up; both are
//! [events](OfferEvent).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sealock_core::{Clock, Timestamp};
use sealock_transfer::offer::{OneTimeSecret, TransferId};
use sealock_transfer::session::Terms;
use sealock_transfer::ticket::Ticket;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

use crate::carriers::listener::{Bound, Door, ListenError, Turned, Visitor, turn_away};
use crate::carriers::sealed::{self, SealedError};
use crate::sources::{Load, Source, SourceError};

/// What is offered, and where.
#[derive(Debug)]
pub struct OfferRequest {
    /// What.
    pub sources: Vec<Source>,
    /// For how long.
    pub ttl: Duration,
    /// Where to listen; port 0 for any.
    pub listen: SocketAddr,
    /// The address that readers are told, where it is another than the one listened on.
    pub advertise: Option<IpAddr>,
}

/// What happens to an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfferEvent {
    /// A reader has it all, and has said so.
    Taken(Taken),
    /// Somebody asked for it and did not get it.
    Refused {
        /// Who.
        peer: SocketAddr,
        /// Why.
        reason: String,
    },
}

/// Who has taken what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// From where it was taken.
    pub peer: SocketAddr,
    /// Where the reader has put it.
    pub path: String,
    /// The digest in hexadecimal: of the content for a file, of the tree for a folder.
    pub sha256: String,
    /// How many bytes.
    pub bytes: u64,
    /// How many files.
    pub files: u64,
}

/// Why an offer was not made or not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// What is to be offered cannot be read.
    #[error("what is to be offered cannot be read")]
    Source(#[from] SourceError),
    /// A stream has no name that the reader could give to it.
    #[error("what is offered needs a name of its own")]
    Nameless,
    /// There is no listener.
    #[error("the offer cannot be made")]
    Listen(#[from] ListenError),
    /// The system has no randomness.
    #[error("the system has no randomness")]
    Randomness,
    /// The time is over.
    #[error("nobody has taken the offer within its time")]
    Expired,
    /// A reader took it and did not get to its end.
    #[error("the reader at {peer} has not taken the offer to its end")]
    Broken {
        /// Who.
        peer: SocketAddr,
        /// Why.
        source: Box<SealedError>,
    },
}

impl OfferError {
    /// What a person may do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Source(error) => error.hint(),
            Self::Nameless => Some("offer files or folders, not standard input"),
            Self::Broken { .. } => Some("an offer is good for one reader: make a new one"),
            Self::Expired => Some("make a new one, or one with a longer --ttl"),
            _ => None,
        }
    }
}

/// An offer that waits for its reader.
pub struct Offering {
    door: Door,
    load: Arc<Load>,
    ticket: Ticket,
    terms: Terms,
    until: Instant,
    expires: Timestamp,
}

impl Offering {
    /// Looks at the sources and listens.
    ///
    /// # Errors
    /// Sources that cannot be sent, an address that cannot be listened on.
    pub async fn open(request: OfferRequest, clock: &dyn Clock) -> Result<Self, OfferError> {
        let sources = request.sources;
        let load = tokio::task::spawn_blocking(move || Load::gather(sources)).await;
        let load = load.map_err(|_| OfferError::Randomness)??;
        if load.one_file() == Some("") {
            return Err(OfferError::Nameless);
        }
        let bound = Bound::new(request.listen, request.advertise).await?;
        let until = Instant::now() + request.ttl;
        let expires = clock.now().plus(request.ttl);
        let ticket = Ticket {
            transfer: TransferId::generate().ok_or(OfferError::Randomness)?,
            secret: OneTimeSecret::generate().ok_or(OfferError::Randomness)?,
            address: bound.address.clone(),
            expires: u64::try_from(expires.as_secs()).unwrap_or_default(),
            one_file: load.one_file().map(str::to_owned),
            announced: load.announced(),
        };
        let terms = Terms::of_ticket(&ticket);
        let door = bound.open(terms.clone());
        Ok(Self { door, load: Arc::new(load), ticket, terms, until, expires })
    }

    /// The ticket, for the reader. It is a secret.
    pub fn ticket(&self) -> Zeroizing<String> {
        self.ticket.to_text()
    }

    /// The transfer's number in hexadecimal.
    pub fn transfer(&self) -> String {
        self.ticket.transfer.to_string()
    }

    /// How many bytes are offered.
    pub fn bytes(&self) -> u64 {
        self.ticket.announced.bytes
    }

    /// Until when.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Waits for the reader and gives it the files; then goes on, until the time is over, to tell
    /// everybody else that they are gone.
    ///
    /// # Errors
    /// [`OfferError::Expired`], [`OfferError::Broken`].
    pub async fn serve(
        mut self,
        tell: &(dyn Fn(OfferEvent) + Send + Sync),
    ) -> Result<Taken, OfferError> {
        let visitor = loop {
            tokio::select! {
                came = self.door.next() => match came {
                    Ok(visitor) => break visitor,
                    Err(turned) => tell(refused(turned)),
                },
                () = sleep_until(self.until) => return Err(OfferError::Expired),
            }
        };
        self.door.take();
        let mut giving = Box::pin(give(&self.terms, &self.load, visitor));
        let outcome = loop {
            tokio::select! {
                outcome = &mut giving => break outcome,
                came = self.door.next() => tell(late(came).await),
            }
        };
        if let Ok(taken) = &outcome {
            tell(OfferEvent::Taken(taken.clone()));
        }
        loop {
            tokio::select! {
                came = self.door.next() => tell(late(came).await),
                () = sleep_until(self.until) => return outcome,
            }
        }
    }
}

fn refused(Turned { peer, reason }: Turned) -> OfferEvent {
    OfferEvent::Refused { peer, reason }
}

/// Somebody who came after the first, however right their hello.
async fn late(came: Result<Box<Visitor>, Turned>) -> OfferEvent {
    refused(match came {
        Ok(visitor) => turn_away(visitor).await,
        Err(turned) => turned,
    })
}

async fn give(terms: &Terms, load: &Arc<Load>, visitor: Box<Visitor>) -> Result<Taken, OfferError> {
    let Visitor { stream, met, peer } = *visitor;
    let (mut input, mut output) = tokio::io::split(stream);
    let streams = (&mut input, &mut output);
    let outcome = sealed::deliver(met, terms, load, streams, &|_| {}).await;
    let _ = output.shutdown().await;
    let landed = match outcome {
        Ok(receipt) => receipt.landed,
        Err(source) => return Err(OfferError::Broken { peer, source: Box::new(source) }),
    };
    let sha256 = data_encoding::HEXLOWER.encode(&landed.sha256);
    Ok(Taken { peer, path: landed.path, sha256, bytes: landed.bytes, files: landed.files })
}
