//! The signal to end, for any number of listeners and tasks.

use std::sync::Arc;

use tokio::sync::watch;

/// A signal that is given once and stays given. Clones share it.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Shutdown {
    /// Gives the signal.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was given.
    pub fn is_triggered(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when it is given.
    pub async fn triggered(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|given| *given).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_hears_it_however_late() {
        let shutdown = Shutdown::default();
        let waiting = shutdown.clone();
        let task = tokio::spawn(async move { waiting.triggered().await });
        assert!(!shutdown.is_triggered());
        shutdown.trigger();
        task.await.unwrap();
        shutdown.triggered().await;
        assert!(shutdown.is_triggered());
    }
}
