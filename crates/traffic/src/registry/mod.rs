//! The service directory at its source: which services there are, and where their Gatekeepers are.
//!
//! ```text
//! settings: a service, its addresses, other hosts that mean it    ─┐
//! Gatekeepers: each joins with its address, for its own service   ─┴→ Listing → Forwarders, by what each may call
//! ```
//!
//! A Gatekeeper holds its place by its feed: when that ends, the place is kept for a [grace](GRACE), so that a feed that
//! begins anew changes nothing, and is given up then. There are no heartbeats beside the feed.
//!
//! # Invariants
//!
//! - A Gatekeeper says where it is, and nothing else: not under which hosts its service is called, and not how it is
//!   spoken to. Whoever is learnt is spoken to over TLS, and must have a certificate of the service, so that a false
//!   address gets no token; plain instances are never learnt.
//! - An address is one that a Forwarder would dial: not link-local, not of metadata, not of no host. Loopback is somebody
//!   else's for everybody who is not in the same network namespace: it is taken from there, and told there, only.
//! - There are so many places for each service, and so many for all.
//!
//! **What an attacker controls:** who may be a Gatekeeper of a service (`Gatekeeper::Serve`), its address there; it can have
//! Forwarders that may call this service knock in vain at a host of its choice, with the beginning of a TLS handshake.

mod instances;
mod listing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::forwarder::address::{Forbidden, check};
use crate::forwarder::{Destination, NoDestination};
pub use instances::{Full, Instance, Left, Registry, Ticket};
pub use listing::{Line, Listed, Listing};

/// How long a place is kept for a Gatekeeper whose feed has ended. Longer than one waits between two tries at most.
pub const GRACE: Duration = Duration::from_secs(10);
/// For how long after its start a broker may not have heard of everybody yet: what is missing in a listing until then may
/// still be there.
pub const SETTLING: Duration = Duration::from_secs(15);
/// The longest address, with its port.
const LONGEST: usize = 260;

/// Why nobody is listed under an address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// It cannot be read.
    #[error("an address is HOST:PORT")]
    Form(#[from] NoDestination),
    /// It is too long to be one.
    #[error("an address is not longer than {LONGEST} characters")]
    Long,
    /// Nobody dials it.
    #[error("{0} cannot be listed")]
    Forbidden(Destination, #[source] Forbidden),
}

/// Where a Gatekeeper is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address(Destination);

impl Address {
    /// Reads `HOST:PORT`. `here`: whoever says so is in our own network namespace, where loopback means the same.
    ///
    /// # Errors
    /// It is none, or nobody would dial it.
    pub fn read(text: &str, here: bool) -> Result<Self, AddressError> {
        if text.len() > LONGEST {
            return Err(AddressError::Long);
        }
        let at: Destination = text.parse()?;
        match at.address().map(|address| check(address, here)) {
            Some(Err(forbidden)) => Err(AddressError::Forbidden(at, forbidden)),
            _ => Ok(Self(at)),
        }
    }

    /// Whether it means something in one network namespace only.
    pub fn is_loopback(&self) -> bool {
        self.0.address().is_some_and(|address| address.to_canonical().is_loopback())
    }

    /// Whether it is told to those in our own network namespace, or to others.
    pub fn is_told(&self, here: bool) -> bool {
        here || !self.is_loopback()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
