//! The open connections of containers, and what cuts them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use sealock_net::proxy::Cut;

/// The socket that a container connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Socket {
    /// The gateway's.
    Gateway,
    /// The API's.
    Api,
}

impl Socket {
    /// Connections of one container at once. Clients of Docker have a handful, and streams stay open for days; a command
    /// has one for a moment, and its answer may be large.
    pub(super) const fn most(self) -> usize {
        match self {
            Self::Gateway => 512,
            Self::Api => 16,
        }
    }
}

#[derive(Debug, Default)]
struct Container {
    open: Vec<(u64, Socket, Cut)>,
    /// The name that its connections were let in by, once one was.
    name: Option<String>,
}

/// All of them, by the container's id.
#[derive(Debug, Default)]
pub(super) struct Seats {
    next: AtomicU64,
    taken: Mutex<HashMap<String, Container>>,
}

impl Seats {
    /// One more connection, before it is known whose it is: what happens to the container from here on
    /// cuts it. `None` when there are too many.
    pub(super) fn take(self: &Arc<Self>, container: &str, socket: Socket) -> Option<Seat> {
        let mut all = self.taken.lock();
        let one = all.entry(container.to_owned()).or_default();
        let taken = one.open.iter().filter(|(_, at, _)| *at == socket).count();
        if taken >= socket.most() {
            return None;
        }
        let (number, cut) = (self.next.fetch_add(1, Ordering::Relaxed), Cut::default());
        one.open.push((number, socket, cut.clone()));
        Some(Seat { seats: Arc::clone(self), container: container.to_owned(), number, cut })
    }

    /// Ends every connection of a container, whatever streams on it.
    pub(super) fn cut(&self, container: &str) {
        let gone = self.taken.lock().remove(container);
        for (_, _, cut) in gone.into_iter().flat_map(|one| one.open) {
            cut.now();
        }
    }

    /// The containers that have connections, with the names that these were let in by.
    pub(super) fn names(&self) -> Vec<(String, String)> {
        let all = self.taken.lock();
        all.iter().filter_map(|(id, one)| Some((id.clone(), one.name.clone()?))).collect()
    }
}

/// A connection's place.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    container: String,
    number: u64,
    cut: Cut,
}

impl Seat {
    /// Ends the connection.
    pub(super) fn cut(&self) -> Cut {
        self.cut.clone()
    }

    /// The connection was let in by this name of its container.
    pub(super) fn named(&self, name: &str) {
        if let Some(one) = self.seats.taken.lock().get_mut(&self.container) {
            one.name = Some(name.to_owned());
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.seats.taken.lock();
        if let Some(one) = all.get_mut(&self.container) {
            one.open.retain(|(number, ..)| *number != self.number);
            if one.open.is_empty() {
                all.remove(&self.container);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_ends_the_connections_of_one_container_only() {
        let seats = Arc::new(Seats::default());
        let (first, second) =
            (seats.take("a", Socket::Gateway).unwrap(), seats.take("a", Socket::Gateway).unwrap());
        let other = seats.take("b", Socket::Gateway).unwrap();
        first.named("web");
        other.named("shop");
        seats.cut("a");
        assert!(first.cut().is_given() && second.cut().is_given() && !other.cut().is_given());
        // Who comes afterwards is let in anew, and is not taken out by those who leave.
        let third = seats.take("a", Socket::Gateway).unwrap();
        third.named("renamed");
        drop((first, second));
        seats.cut("a");
        assert!(third.cut().is_given());
        assert_eq!(seats.names(), [("b".to_owned(), "shop".to_owned())]);
        drop(other);
        assert!(seats.names().is_empty() && seats.taken.lock().keys().all(|id| id != "b"));
    }

    #[test]
    fn a_container_has_so_many_connections_and_others_have_theirs() {
        let seats = Arc::new(Seats::default());
        for (socket, other) in [(Socket::Gateway, Socket::Api), (Socket::Api, Socket::Gateway)] {
            let take = |container: &str, socket| seats.take(container, socket);
            let mut held: Vec<Seat> =
                (0..socket.most()).map(|_| take("a", socket).unwrap()).collect();
            assert!(take("a", socket).is_none());
            assert!(take("a", other).is_some(), "each socket has its own");
            assert!(take("b", socket).is_some());
            held.pop();
            assert!(take("a", socket).is_some());
        }
    }
}
