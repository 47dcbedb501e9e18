//! One publication at a time for each entry of a directory: what one has written down before it asks the directory,
//! another one that sees nothing there yet must not cross out.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// The entries that somebody is at.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Mutex<BTreeSet<String>>,
    left: Condvar,
}

impl Places {
    /// Waits until nobody is at this place, no longer than `patience`; it is this caller's alone until the result is
    /// dropped. `None` when somebody stays. Blocking.
    pub(super) fn enter(&self, place: &str, patience: Duration) -> Option<Alone<'_>> {
        let end = Instant::now() + patience;
        let mut taken = self.taken.lock();
        while taken.contains(place) {
            if self.left.wait_until(&mut taken, end).timed_out() && taken.contains(place) {
                return None;
            }
        }
        taken.insert(place.to_owned());
        Some(Alone { places: self, place: place.to_owned() })
    }
}

/// Nobody else is at this place.
#[derive(Debug)]
pub(super) struct Alone<'a> {
    places: &'a Places,
    place: String,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.places.taken.lock().remove(&self.place);
        self.places.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn one_is_at_a_place_and_the_next_waits() {
        let places = Places::default();
        let first = places.enter("a", LONG).unwrap();
        assert!(places.enter("a", Duration::from_millis(20)).is_none());
        let other = places.enter("b", LONG).unwrap();
        std::thread::scope(|scope| {
            let next = scope.spawn(|| places.enter("a", LONG).is_some());
            drop(first);
            assert!(next.join().unwrap());
        });
        drop(other);
        assert!(places.taken.lock().is_empty());
    }
}
