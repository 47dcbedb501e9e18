//! Why a transfer is not received.

use std::error::Error;
use std::io;

use sealock_transfer::CodecError;
use sealock_transfer::archive::ReadError;
use sealock_transfer::identify::IdentifyError;
use sealock_transfer::landing::LandingError;
use sealock_transfer::session::SessionError;
use sealock_transfer::wire::{Reason, Refusal, WireError};
use thiserror::Error;

/// Why a transfer is not received. The old content stands.
#[derive(Debug, Error)]
pub enum ReceiveError {
    /// The first message is no offer.
    #[error("the offer cannot be read")]
    Offer(#[source] CodecError),
    /// It cannot be said which container this is.
    #[error("it cannot be found out which container this is")]
    Unidentified(#[source] IdentifyError),
    /// No keys are agreed on.
    #[error("the session does not come about")]
    Session(#[source] SessionError),
    /// The stream to the sender fails, or brings what is no message.
    #[error("cannot talk to the sender")]
    Wire(#[source] WireError),
    /// The archive is refused, or cannot be written.
    #[error("cannot take in what arrives")]
    Archive(#[source] ReadError<LandingError>),
    /// The destination cannot be made ready.
    #[error("cannot write to {path}")]
    Landing {
        /// Where to.
        path: String,
        /// Why.
        source: LandingError,
    },
    /// What was written is not what the sender has read.
    #[error("the digest of what was written is not the one that the sender gives")]
    Digest,
    /// The listener's URL is not one of ours.
    #[error("the listener's URL is not of the form https://ADDRESS:PORT/PATH")]
    Url,
    /// The listener cannot be reached.
    #[error("cannot reach the listener at {address}")]
    Unreachable {
        /// Where it should be.
        address: std::net::SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// What listens there is not the one that the offer names.
    #[error("what answers at {address} is not the listener that made the offer")]
    WrongListener {
        /// Where it should be.
        address: std::net::SocketAddr,
        /// Why.
        source: rustls::Error,
    },
    /// The listener does not give the files.
    #[error("{}", not_given(*.0))]
    NotGiven(u16),
    /// The listener answers with what is no answer.
    #[error("the listener's answer cannot be read")]
    Answer,
    /// The sender says why it does not go on.
    #[error("the sender refuses: {0}")]
    Refused(String),
    /// The ticket's time is over.
    #[error("the ticket expired {seconds} s ago")]
    Expired {
        /// How long ago.
        seconds: u64,
    },
    /// The machine failed us.
    #[error("cannot {operation}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// Why.
        source: io::Error,
    },
}

fn not_given(status: u16) -> &'static str {
    match status {
        404 => "the listener does not know this ticket",
        409 => "the offer is just being taken by somebody else",
        410 => "the offer was already taken, or its time is over",
        403 => "the listener refuses this ticket",
        _ => "the listener does not give the files",
    }
}

impl ReceiveError {
    /// What a person may do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Archive(ReadError::Sink(error)) => error.hint(),
            Self::Landing { source, .. } => source.hint(),
            Self::Unidentified(_) => {
                Some("the container hides its cgroup and its mounts; use --carrier direct")
            }
            Self::Session(SessionError::OtherRun { .. }) => Some(
                "the container was restarted, or the clock was set since it started: send again, or use --carrier direct",
            ),
            Self::Expired { .. } | Self::NotGiven(410) => Some("make a new offer"),
            Self::Unreachable { .. } => {
                Some("the offer's address must be reachable from here, and the offer still open")
            }
            _ => None,
        }
    }

    /// What the sender is told.
    pub fn refusal(&self) -> Refusal {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Refusal { reason: self.reason(), text, hint: self.hint().map(str::to_owned) }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Offer(CodecError::Version(_)) => Reason::Version,
            Self::Unidentified(_) => Reason::Unidentified,
            Self::Session(SessionError::WrongContainer { .. }) => Reason::Container,
            Self::Session(SessionError::OtherRun { .. }) => Reason::Run,
            Self::Session(_) => Reason::NotAuthentic,
            Self::Archive(ReadError::Sink(error)) | Self::Landing { source: error, .. } => {
                landing_reason(error)
            }
            Self::Archive(ReadError::Input(error))
                if error.kind() == io::ErrorKind::InvalidData =>
            {
                Reason::NotAuthentic
            }
            Self::Archive(ReadError::Input(_) | ReadError::Truncated) | Self::Wire(_) => {
                Reason::Stream
            }
            Self::Offer(_) | Self::Archive(_) | Self::Digest => Reason::Content,
            Self::Url
            | Self::Unreachable { .. }
            | Self::WrongListener { .. }
            | Self::NotGiven(_)
            | Self::Answer
            | Self::Refused(_)
            | Self::Expired { .. } => Reason::Listener,
            Self::System { .. } => Reason::Internal,
        }
    }
}

fn landing_reason(error: &LandingError) -> Reason {
    match error {
        LandingError::NoSpace { .. } | LandingError::QuotaExceeded { .. } => Reason::NoSpace,
        LandingError::Busy { .. } => Reason::Busy,
        LandingError::OnDisk { .. } => Reason::OnDisk,
        LandingError::Stopped { .. } => Reason::Stream,
        LandingError::MoreThanAnnounced { .. }
        | LandingError::LessThanAnnounced { .. }
        | LandingError::Duplicate(_)
        | LandingError::NotOneFile { .. }
        | LandingError::Name(_) => Reason::Content,
        _ => Reason::Destination,
    }
}
