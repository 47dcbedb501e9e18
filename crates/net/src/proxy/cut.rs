//! The signal that ends connections at once.

use hyper::http::Extensions;

use crate::Shutdown;

/// Ends the connections that hold it, at once and in the middle of whatever they do; for an identity that
/// was revoked. Given once, it stays given. Clones share it: one for each connection, or for all of a kind.
#[derive(Debug, Clone)]
pub struct Cut(Option<Shutdown>);

impl Default for Cut {
    fn default() -> Self {
        Self(Some(Shutdown::default()))
    }
}

impl Cut {
    /// One that is never given, and costs nothing.
    pub const fn never() -> Self {
        Self(None)
    }

    /// That of a request's own stream, where it has one: over HTTP/2 several callers may share a connection. Given,
    /// it resets this stream at once, and the others go on.
    pub fn of_stream(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Gives the signal.
    pub fn now(&self) {
        if let Some(signal) = &self.0 {
            signal.trigger();
        }
    }

    /// Whether it was given.
    pub fn is_given(&self) -> bool {
        self.0.as_ref().is_some_and(Shutdown::is_triggered)
    }

    /// Resolves when it is given.
    pub async fn given(&self) {
        match &self.0 {
            Some(signal) => signal.triggered().await,
            None => std::future::pending().await,
        }
    }
}
