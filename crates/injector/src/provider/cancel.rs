//! The caller's way to end providers that run.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Ends whatever a [`fetch`](super::fetch) has started, from any thread, once and for all.
///
/// Each thread that watches a provider watches this descriptor beside it; nobody reads from it, so it wakes
/// all of them, and those that come later too.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    event: OwnedFd,
    asked: AtomicBool,
}

impl Cancel {
    /// One that has not been used yet.
    ///
    /// # Errors
    ///
    /// When the process may have no more descriptors.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(Inner { event, asked: AtomicBool::new(false) })))
    }

    /// Ends the providers that run, and keeps others from being started.
    pub fn cancel(&self) {
        self.0.asked.store(true, Ordering::SeqCst);
        // It cannot fail but for being full, and then it is readable.
        let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
    }

    /// Whether somebody has.
    pub fn is_cancelled(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }
}

impl AsFd for Cancel {
    /// Readable once it was used; to wait for, and for nothing else.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }
}
