//! The signal that ends connections at once.

use crate::Shutdown;

/// Ends the connections that hold it, at once and in the middle of whatever they do; for an identity that
/// was revoked. Given once, it stays given. Clones share it: one for each connection, or for all of a kind.
#[derive(Debug, Clone, Default)]
pub struct Cut(Shutdown);

impl Cut {
    /// Gives the signal.
    pub fn now(&self) {
        self.0.trigger();
    }

    /// Whether it was given.
    pub fn is_given(&self) -> bool {
        self.0.is_triggered()
    }

    /// Resolves when it is given.
    pub async fn given(&self) {
        self.0.triggered().await;
    }
}
