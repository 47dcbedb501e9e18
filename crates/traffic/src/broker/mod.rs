//! The Token Broker: who may ask, with which keys tokens are signed, and which are no longer good.
//!
//! It decides nothing about who may have a token for whom: that is asked of policy before, and the answer comes in as
//! the [`Actor`] of each call, whose event is in the same commit as what is done. A token is given out when the event
//! of its issue is on disk.
//!
//! # What lies where
//!
//! | entry in the store | holds |
//! |---|---|
//! | `traffic/key/NUMBER` | a signing key, sealed under the keyring; since when it signs |
//! | `traffic/client/NAME` | whose identity it is, digests of its secrets, its public keys |
//! | `oauth/assertion/NAME/DIGEST` | an assertion that was used; gone when it has expired. Not below `traffic/`, so that no feed hears of it |
//! | `login/code/DIGEST` | whose certificate a code is good for; gone when it was used or has expired |
//! | `login/person/KIND/NAME` | when somebody last used such a code |
//! | `traffic/revoked/NUMBER` | a revocation, and how it was signed; gone when no token that it is about can be alive |
//! | `traffic/revocations` | the number and the hash of the last one |
//!
//! # Invariants
//!
//! - Every key is in the key set for [`PUBLISHED_BEFORE`] before it signs, and until its last token has died.
//! - No secret and no token is in the store, in an event, an error or in `Debug`.
//! - Revocations are numbered without gaps, and each is signed together with the hash of the one before it.
//!
//! # What an attacker controls
//!
//! Names and secrets of clients in requests: a name is parsed before anything is read, and a secret is compared by its
//! digest, in constant time. Tokens that are to be looked at: they are verified as a Gatekeeper would.

mod assertion;
#[cfg(test)]
mod assertion_tests;
mod cas;
mod client;
mod device;
mod enrolment;
mod error;
mod keys;
mod log;
mod origin;
mod revocation;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use data_encoding::BASE64URL_NOPAD;
use parking_lot::{Mutex, RwLock};
use sealock_core::audit::{Actor, Fact};
use sealock_core::{Identity, Timestamp};
use sealock_store::{Change, Conflict, Journal, JournalError, Keyring, Store, Transaction, Watch};
use zeroize::Zeroizing;

pub use assertion::AssertionFault;
pub use cas::{MOST_CAS, RevokedCas, RevokedCasError, keys_of};
pub use client::{ClientInfo, ClientName, ClientNameError, SECRET_OVERLAP, ShownSecret};
pub use device::{
    Approved, Begun, DEVICE_INTERVAL, DEVICE_LIFE, DeviceFault, Devices, Polled, Program, UserCode,
    UserCodeError, Waiting,
};
pub use enrolment::{ENROLMENT_SECRET, Enrolment, enrolment_code};
pub use error::BrokerError;
use keys::Signers;
pub use keys::{KeyInfo, PUBLISHED_BEFORE};
pub use log::{Entry, EntryHash, EntryHashError, Head};
pub use origin::DeviceOrigin;
pub use revocation::{Logged, Revocation, Revoked};

use crate::token::{self, Algorithm, Claims, Expected, KeySet, Profile};

/// No token lives longer.
pub const LONGEST: Duration = Duration::from_secs(300);
/// How often something is tried again when another change came in between.
const ATTEMPTS: usize = 16;
/// Bytes of a token's id.
const ID: usize = 16;
/// All of the broker's entries begin so.
const PREFIX: &[u8] = b"traffic/";

/// How a broker issues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `iss` of every token: a URL under which the metadata is found (RFC 8414).
    pub issuer: String,
    /// Of new keys.
    pub algorithm: Algorithm,
}

/// What is to be issued.
#[derive(Debug, Clone)]
pub struct Order {
    /// Who it is about.
    pub subject: Identity,
    /// Whom it is for.
    pub audience: Identity,
    /// The name of the client that asked with a secret.
    pub client: Option<ClientName>,
    /// SHA-256 of the certificate that it is bound to (RFC 8705).
    pub binding: Option<[u8; 32]>,
    /// How long it lives; at most [`LONGEST`].
    pub life: Duration,
    /// Its form.
    pub profile: Profile,
}

/// A token.
#[derive(Clone)]
pub struct Issued {
    /// The token itself.
    pub token: Zeroizing<String>,
    /// Its id.
    pub id: String,
    /// When it ends.
    pub expires: Timestamp,
    /// How long it lives.
    pub life: Duration,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Issued").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The broker of a store.
///
/// Every method may be called from any thread. They wait for the disk: from an async runtime, call them through
/// `spawn_blocking`.
pub struct Broker {
    journal: Arc<Journal>,
    keyring: Arc<Keyring>,
    settings: Settings,
    signers: RwLock<Arc<Signers>>,
    /// Held by who changes keys.
    changing: Mutex<()>,
    /// Shared by those who issue to a client; held alone by who removes one.
    removing: RwLock<()>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Broker").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Broker {
    /// Opens the broker of a store. The first key is made when there is none.
    ///
    /// # Errors
    /// A key that does not open, or what store and journal say.
    pub fn open(
        journal: Arc<Journal>,
        keyring: Arc<Keyring>,
        settings: Settings,
    ) -> Result<Arc<Self>, BrokerError> {
        let signers = Signers::load(journal.store().as_ref(), &keyring)?;
        let broker = Self {
            journal,
            keyring,
            settings,
            signers: RwLock::new(Arc::new(signers)),
            changing: Mutex::new(()),
            removing: RwLock::new(()),
        };
        if broker.signers().is_empty() {
            broker.make_key(Duration::ZERO, &Actor::daemon("start"))?;
        }
        broker.sign_old_revocations()?;
        Ok(Arc::new(broker))
    }

    /// `iss` of every token.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// The keys by which tokens are verified.
    pub fn key_set(&self) -> KeySet {
        self.signers().key_set()
    }

    /// Hears of every change of keys, clients and revocations.
    ///
    /// # Errors
    /// What the store says.
    pub fn changes(&self) -> Result<Watch, BrokerError> {
        Ok(self.store().watch(PREFIX)?)
    }

    /// Issues a token.
    ///
    /// # Errors
    /// What the journal says; then nobody has the token.
    pub fn issue(&self, order: &Order, actor: &Actor) -> Result<Issued, BrokerError> {
        // From before the time is taken until the token is on record.
        let _there = order.client.is_some().then(|| self.removing.read());
        let now = self.now();
        let signers = self.signers();
        let signer = signers.current(now).ok_or(BrokerError::NoKey)?;
        let life = order.life.min(LONGEST).max(Duration::from_secs(1));
        let issued_at = seconds(now);
        let mut id = [0; ID];
        rand::fill(&mut id).map_err(|_| BrokerError::Random)?;
        let claims = Claims {
            issuer: self.settings.issuer.clone(),
            subject: order.subject.clone(),
            audience: order.audience.to_string(),
            issued_at,
            not_before: issued_at,
            expires_at: issued_at.saturating_add(life.as_secs()),
            id: BASE64URL_NOPAD.encode(&id),
            client: match (&order.client, order.profile) {
                (Some(client), _) => Some(client.to_string()),
                // RFC 9068 §2.2 wants one. No client can have such a name.
                (None, Profile::AccessToken) => Some(order.subject.to_string()),
                (None, _) => None,
            },
            binding: order.binding,
        };
        let token = token::issue(&signer.key, order.profile, &claims)?;
        let expires = Timestamp::from_secs(i64::try_from(claims.expires_at).unwrap_or(i64::MAX));
        let fact = Fact::TokenIssued {
            token: claims.id.clone(),
            audience: claims.audience,
            expires: expires.to_rfc3339(),
            client: order.client.as_ref().map(ToString::to_string).unwrap_or_default(),
            bound: order.binding.is_some(),
        };
        let mut transaction = Transaction::new();
        if let Some(client) = &order.client {
            // One that was removed meanwhile gets nothing more.
            transaction = transaction.when(client::is_there(client));
        }
        match (self.commit(Change::new(transaction, actor.event(now, fact)))?, &order.client) {
            (Some(_), Some(client)) => return Err(BrokerError::NoClient(client.clone())),
            (Some(_), None) => return Err(BrokerError::Busy),
            (None, _) => {}
        }
        Ok(Issued { token, id: claims.id, expires, life: Duration::from_secs(life.as_secs()) })
    }

    /// What a token says, if it is good: signed by us, alive, and not revoked.
    ///
    /// # Errors
    /// What the store says.
    pub fn introspect(&self, token: &str) -> Result<Option<Claims>, BrokerError> {
        let expected = Expected {
            issuer: &self.settings.issuer,
            audience: "",
            now: seconds(self.now()),
            skew: 0,
            longest: LONGEST.as_secs(),
            certificate: None,
        };
        let Ok(claims) = token::inspect(token, &self.key_set(), &expected) else {
            return Ok(None);
        };
        let revoked = self.revocations(0)?.iter().any(|entry| entry.revocation.covers(&claims));
        Ok(Some(claims).filter(|_| !revoked))
    }

    fn signers(&self) -> Arc<Signers> {
        Arc::clone(&self.signers.read())
    }

    fn store(&self) -> &dyn Store {
        self.journal.store().as_ref()
    }

    fn now(&self) -> Timestamp {
        self.journal.clock().now()
    }

    /// Commits; a condition that did not hold is given back.
    fn commit(&self, change: Change) -> Result<Option<Conflict>, BrokerError> {
        match self.journal.commit_blocking(change) {
            Ok(_) => Ok(None),
            Err(JournalError::Conflict(conflict)) => Ok(Some(conflict)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Seconds since 1970.
fn seconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_secs()).unwrap_or(0)
}
