//! What the server remembers: accounts, orders, authorizations, and which account a certificate was issued to.
//!
//! Each thing is an entry of its own in the store, and what belongs to an account is found by keys that begin with the
//! account: however many orders run at once, none rewrites a list that another one is in. What an order has come to is not
//! written down twice: it is worked out from its authorizations, until the certificate is there.
//!
//! | key | what | until |
//! |---|---|---|
//! | `acme/account/ID` | an account | it is removed for never having been used |
//! | `acme/key/THUMBPRINT` | the account of a key | the same |
//! | `acme/order/ID`, `acme/of/ACCOUNT/order/ID` | an order | [`OPEN`], or [`KEPT`] after its certificate |
//! | `acme/authorization/ID` | an authorization | [`OPEN`], or [`PROVED`] once it is valid |
//! | `acme/of/ACCOUNT/proved/NAME` | the authorization that a name has already | the same |
//! | `acme/certificate/SERIAL` | the account of a certificate | it ends |
//! | `acme/open/KIND/ACCOUNT/ORDER` | that an order is open, and for how many names | its end, or [`OPEN`] |
//! | `acme/replaced/SERIAL` | that another certificate took its place (RFC 9773 §5) | it ends |
//! | `acme/binding/KID` | a key for external account binding, sealed | it is removed |
//!
//! # Invariants
//!
//! - A certificate and the end of its order are one commit (`Authority::issue_along` with [`Acme::finished`]): whatever is
//!   killed, there is one certificate for an order or none.
//! - Of two that change one thing, one begins anew from what the other has left.
//! - An account, an order or an authorization is found by who it belongs to only.
//! - A clock that was ahead, and was set back, leaves nothing that counts for longer than its life.

mod account;
mod authorization;
mod binding;
mod certificate;
mod open;
mod order;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use data_encoding::BASE64URL_NOPAD;
use parking_lot::Mutex;
use sealock_core::Timestamp;
use sealock_core::audit::Event;
use sealock_store::{
    Change, Journal, JournalError, Keyring, KeyringError, Operation, Store, StoreError, Transaction,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use account::{Account, NewAccount};
pub use authorization::{Authorization, Challenge, Wanted};
pub use binding::{ATTESTED, Binding, BindingName};
pub use certificate::Owned;
pub use order::{Certificate, Finishing, NewOrder, Order, Replaces};

/// For an order, and its authorizations, to be brought to an end.
pub const OPEN: Duration = Duration::from_secs(24 * 3600);
/// So long an order is kept after its certificate was issued, for whoever was cut off before they had it.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// So long a name counts as proved, for this account.
pub const PROVED: Duration = Duration::from_secs(8 * 3600);
/// So far a clock may be set back without anything being taken for what was made in the future.
pub(crate) const AHEAD: Duration = Duration::from_secs(600);
/// So often a change is tried again when another one came in between.
const ATTEMPTS: usize = 8;
/// Random bytes of an id.
const ID: usize = 16;

/// Why something was not done.
#[derive(Debug, Error)]
pub enum StateError {
    /// There is no such thing, or it is somebody else's.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// The key is another account's.
    #[error("the key is that of another account")]
    KeyTaken(Id),
    /// It is not in the state in which that can be done.
    #[error("{0}")]
    Status(&'static str),
    /// There are as many as there may be.
    #[error("there are too many {0}")]
    TooMany(&'static str),
    /// Open orders are for as many names as there may be.
    #[error(
        "there are too many names in open orders of {0}; bring some to an end, or wait until they have ended"
    )]
    NoRoom(&'static str),
    /// Another order has replaced the certificate that this one was to replace.
    #[error("that certificate was replaced already")]
    Replaced,
    /// Others change the same thing all the time.
    #[error("the {0} is being changed by others")]
    Busy(&'static str),
    /// What is in the store is not what was written there.
    #[error("the entry `{0}` is damaged")]
    Damaged(String),
    /// A name that is taken.
    #[error("there is a binding of that name already")]
    BindingExists,
    /// The random generator failed.
    #[error("the system's random generator failed")]
    Random,
    /// The store could not be read.
    #[error("cannot read the state of the ACME server")]
    Read(#[from] StoreError),
    /// The journal did not take the change.
    #[error("cannot record the change")]
    Commit(#[source] JournalError),
    /// A key could not be sealed or opened.
    #[error("cannot seal or open a key")]
    Keyring(#[from] KeyringError),
    /// A row could not be written as JSON.
    #[error("cannot write an entry")]
    Encode(#[from] serde_json::Error),
}

/// A name that nobody guesses: 128 random bits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

impl Id {
    /// A new one.
    pub(crate) fn new() -> Result<Self, StateError> {
        let mut bytes = [0; ID];
        rand::fill(&mut bytes).map_err(|_| StateError::Random)?;
        Ok(Self(BASE64URL_NOPAD.encode(&bytes)))
    }

    /// As it stands in a URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Id {
    type Err = StateError;

    fn from_str(text: &str) -> Result<Self, StateError> {
        // Only what was given out: it becomes a part of a key in the store.
        match BASE64URL_NOPAD.decode(text.as_bytes()) {
            Ok(bytes) if bytes.len() == ID => Ok(Self(text.to_owned())),
            _ => Err(StateError::Unknown("id")),
        }
    }
}

impl TryFrom<String> for Id {
    type Error = StateError;

    fn try_from(text: String) -> Result<Self, StateError> {
        text.parse()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

/// An entry as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Found<T> {
    pub(crate) row: T,
    pub(crate) version: u64,
}

/// The state of the ACME server.
pub struct Acme {
    journal: Arc<Journal>,
    keyring: Arc<Keyring>,
    /// When accounts that were never used were counted last, and how many there were.
    unused: Mutex<Option<(Timestamp, usize)>>,
    /// What of open orders was counted.
    room: Mutex<open::Room>,
}

impl fmt::Debug for Acme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Acme").finish_non_exhaustive()
    }
}

impl Acme {
    /// In this journal's store. Keys of bindings are sealed by `keyring`.
    pub fn new(journal: Arc<Journal>, keyring: Arc<Keyring>) -> Self {
        Self { journal, keyring, unused: Mutex::default(), room: Mutex::default() }
    }

    fn now(&self) -> Timestamp {
        self.journal.clock().now()
    }

    fn store(&self) -> &dyn Store {
        self.journal.store().as_ref()
    }

    fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Found<T>>, StateError> {
        let Some(entry) = self.store().get(key.as_bytes())? else { return Ok(None) };
        let row = serde_json::from_slice(&entry.value)
            .map_err(|_| StateError::Damaged(key.to_owned()))?;
        Ok(Some(Found { row, version: entry.version }))
    }

    /// Whether it was done; not where a condition did not hold.
    fn commit(&self, transaction: Transaction, events: Vec<Event>) -> Result<bool, StateError> {
        match self.journal.commit_blocking(Change { transaction, events }) {
            Ok(_) => Ok(true),
            Err(JournalError::Conflict(_)) => Ok(false),
            Err(error) => Err(StateError::Commit(error)),
        }
    }
}

/// Whether something that ends then, and lives so long, was made when the clock was well ahead of now. By the clock that is right
/// now it would count for longer than it may, so it counts no more.
fn is_ahead(until: Timestamp, now: Timestamp, life: Duration) -> bool {
    until > now.plus(life).plus(AHEAD)
}

/// Writes a row that lasts until then, or for good.
fn put<T: Serialize>(
    key: &str,
    row: &T,
    expires: Option<Timestamp>,
) -> Result<Operation, StateError> {
    let value = serde_json::to_vec(row)?;
    Ok(Operation::Put { key: key.as_bytes().to_vec(), value, expires })
}
