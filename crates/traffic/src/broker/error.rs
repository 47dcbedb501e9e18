//! What can go wrong with the broker.

use sealock_store::{JournalError, KeyringError, StoreError};
use thiserror::Error;

use super::assertion::MOST_KEYS;
use super::client::ClientName;
use super::keys::MOST;
use crate::token::TokenError;

/// Why the broker did not do what it was asked.
#[derive(Debug, Error)]
pub enum BrokerError {
    /// There is no such client.
    #[error("there is no client {0}")]
    NoClient(ClientName),
    /// There is one already.
    #[error("there is a client {0} already")]
    ClientExists(ClientName),
    /// A client with more public keys than are kept.
    #[error("a client has at most {MOST_KEYS} public keys")]
    TooManyKeys,
    /// There are as many keys as are kept.
    #[error("there are {MOST} keys already that sign, have signed or will sign")]
    TooManySigners,
    /// There is no key that could sign.
    #[error("there is no key that signs tokens")]
    NoKey,
    /// No key has this id.
    #[error("there is no key {0}")]
    UnknownKey(String),
    /// An entry that is not what was written.
    #[error("the entry {0} is not what Sealock wrote")]
    Changed(String),
    /// A key cannot be sealed or opened.
    #[error("the key of {entry} cannot be used")]
    Keyring {
        /// Which entry.
        entry: String,
        /// Why.
        #[source]
        source: KeyringError,
    },
    /// A token or key could not be made.
    #[error("cannot sign")]
    Token(#[from] TokenError),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// Others changed the same at the same time, again and again.
    #[error("somebody else is changing the same; nothing was done")]
    Busy,
    /// The store.
    #[error("cannot read the state")]
    Store(#[from] StoreError),
    /// The journal.
    #[error("cannot record it")]
    Journal(#[from] JournalError),
}

impl BrokerError {
    /// What a person can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoClient(_) => Some("`sealock client list` shows those there are".to_owned()),
            Self::ClientExists(name) => {
                Some(format!("for a new secret: `sealock client rotate {name} --secret-out FILE`"))
            }
            Self::TooManyKeys => Some("leave out those that nobody signs with".to_owned()),
            Self::TooManySigners => Some(
                "those that are over go by themselves: a new key signs after ten minutes, and ends those before it five \
                 minutes later"
                    .to_owned(),
            ),
            Self::Busy => Some("try again".to_owned()),
            Self::Keyring { source, .. } => source.hint(),
            Self::Journal(error) => error.hint(),
            _ => None,
        }
    }
}
