//! How many contexts of builds are read at the same time: each has a thread while it comes.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::StatusCode;
use parking_lot::Mutex;

use super::super::answer::Failure;

/// For everybody.
const MOST: usize = 64;
/// For one identity, so that nobody can take the place of all others.
const EACH: usize = 16;

/// Who is sending how many. Whoever sends none is forgotten.
#[derive(Debug, Default)]
pub(in super::super) struct Room(Mutex<HashMap<String, usize>>);

impl Room {
    /// A place for one more context of somebody.
    pub(super) fn enter(self: &Arc<Self>, who: &str) -> Result<Place, Failure> {
        let mut sending = self.0.lock();
        if sending.values().sum::<usize>() >= MOST {
            return Err(Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many builds are being sent; try again in a while",
            ));
        }
        let own = sending.entry(who.to_owned()).or_default();
        if *own >= EACH {
            return Err(Failure::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!(
                    "you are sending {EACH} builds already, and that is the most; wait for one of them"
                ),
            ));
        }
        *own += 1;
        drop(sending);
        Ok(Place(Arc::clone(self), who.to_owned()))
    }
}

/// Taken as long as this is held.
#[derive(Debug)]
pub(super) struct Place(Arc<Room>, String);

impl Drop for Place {
    fn drop(&mut self) {
        let mut sending = self.0.0.lock();
        if let Some(own) = sending.get_mut(&self.1) {
            *own -= 1;
            if *own == 0 {
                sending.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_place_of_others_and_all_is_given_back() {
        let room = Arc::new(Room::default());
        let mut places = Vec::new();
        for who in 0..MOST / EACH {
            let who = who.to_string();
            places.extend((0..EACH).map(|_| room.enter(&who).unwrap()));
            let refused = room.enter(&who).unwrap_err();
            let full = places.len() == MOST;
            let status =
                if full { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::TOO_MANY_REQUESTS };
            assert_eq!(refused.status, status, "{}", refused.message);
        }
        assert!(room.enter("another").is_err());
        drop(places.pop());
        drop(room.enter("another").unwrap());
        drop(places);
        assert!(room.0.lock().is_empty());
    }
}
