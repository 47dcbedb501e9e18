//! Who has joined.

use std::collections::{BTreeMap, HashSet};

use sealock_core::{Identity, Timestamp};
use thiserror::Error;

use super::Address;

/// Places for one service.
const EACH: usize = 256;
/// Places for all services.
const ALL: usize = 8192;

/// There is no place left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Full {
    /// For this service.
    #[error("there are {EACH} instances of this service already")]
    Service,
    /// For any.
    #[error("there are {ALL} instances already")]
    All,
}

/// Service, address, and who says so.
type Key = (Identity, String, String);

/// An instance of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Where it is.
    pub address: Address,
    /// Who has joined it.
    pub who: String,
    /// Since when it is there.
    pub since: Timestamp,
    /// Whether its feed has ended, and its place is kept for a while.
    pub is_parting: bool,
}

#[derive(Debug)]
struct Place {
    address: Address,
    since: Timestamp,
    /// The feeds that hold it: two, while one process takes over from another.
    held: HashSet<u64>,
    /// The last feed that held it.
    last: u64,
}

/// That somebody holds a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    key: Key,
    number: u64,
}

/// Who has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Of which service.
    pub service: Identity,
    /// Where it was.
    pub address: String,
    /// Who had joined it.
    pub who: String,
}

/// Who has joined.
#[derive(Debug, Default)]
pub struct Registry {
    places: BTreeMap<Key, Place>,
    last: u64,
}

impl Registry {
    /// Whether somebody would be new there.
    pub fn is_new(&self, service: &Identity, address: &Address, who: &str) -> bool {
        !self.places.contains_key(&key(service, address, who))
    }

    /// Somebody is there, as long as it has the ticket.
    ///
    /// # Errors
    /// There are too many.
    pub fn join(
        &mut self,
        service: &Identity,
        address: &Address,
        who: &str,
        now: Timestamp,
    ) -> Result<Ticket, Full> {
        let key = key(service, address, who);
        if !self.places.contains_key(&key) {
            if self.places.len() >= ALL {
                return Err(Full::All);
            }
            if self.of(service).count() >= EACH {
                return Err(Full::Service);
            }
        }
        self.last += 1;
        let number = self.last;
        let place = self.places.entry(key.clone()).or_insert_with(|| Place {
            address: address.clone(),
            since: now,
            held: HashSet::new(),
            last: number,
        });
        place.held.insert(number);
        place.last = number;
        Ok(Ticket { key, number })
    }

    /// A feed has ended. Says whether nobody holds the place any more: then [`Registry::give_up`] follows after the grace.
    pub fn let_go(&mut self, ticket: &Ticket) -> bool {
        let Some(place) = self.places.get_mut(&ticket.key) else { return false };
        place.held.remove(&ticket.number) && place.held.is_empty()
    }

    /// The grace is over. Says who has left, if nobody came back since.
    pub fn give_up(&mut self, ticket: &Ticket) -> Option<Left> {
        let place = self.places.get(&ticket.key)?;
        if !place.held.is_empty() || place.last != ticket.number {
            return None;
        }
        self.places.remove(&ticket.key)?;
        let (service, address, who) = ticket.key.clone();
        Some(Left { service, address, who })
    }

    /// The instances of a service, in the order of their addresses.
    pub fn of<'a>(&'a self, service: &Identity) -> impl Iterator<Item = Instance> + use<'a> {
        let from = (service.clone(), String::new(), String::new());
        let service = service.clone();
        let those = self.places.range(from..).take_while(move |((of, ..), _)| *of == service);
        those.map(|((_, _, who), place)| Instance {
            address: place.address.clone(),
            who: who.clone(),
            since: place.since,
            is_parting: place.held.is_empty(),
        })
    }

    /// The services that have instances.
    pub fn services(&self) -> Vec<Identity> {
        let mut all: Vec<Identity> =
            self.places.keys().map(|(service, ..)| service.clone()).collect();
        all.dedup();
        all
    }
}

fn key(service: &Identity, address: &Address, who: &str) -> Key {
    (service.clone(), address.to_string(), who.to_owned())
}
