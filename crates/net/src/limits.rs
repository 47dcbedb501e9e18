//! How much a peer may ask of us.

use std::time::Duration;

/// The limits of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; more wait, and a stranger goes for them where there is one ([`Places`](crate::Places)).
    pub connections: usize,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For a request's head, and how long a connection may be idle between requests.
    pub head: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// Requests at once on one connection of HTTP/2.
    pub streams: usize,
    /// For the next piece of a request's body, while it is waited for.
    pub body: Duration,
    /// For the next piece of an answer to be taken by the peer.
    pub write: Duration,
    /// After the signal to end, for what is under way.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(15),
            head_bytes: 32 * 1024,
            headers: 64,
            streams: 100,
            body: Duration::from_secs(120),
            write: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }
}
