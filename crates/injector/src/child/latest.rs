//! Which of several signals came last. Kept by the handlers themselves, so it is known before the thread that listens
//! has got to it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::SigId;
use signal_hook::low_level::unregister;

/// The latest of some signals, from its making on.
#[derive(Debug)]
pub(super) struct Latest {
    number: Arc<AtomicUsize>,
    handlers: Vec<SigId>,
}

impl Latest {
    pub(super) fn of(signals: impl Iterator<Item = i32>) -> io::Result<Self> {
        let mut latest = Self { number: Arc::default(), handlers: Vec::new() };
        for signal in signals {
            let number = usize::try_from(signal).unwrap_or_default();
            let handler =
                signal_hook::flag::register_usize(signal, Arc::clone(&latest.number), number)?;
            latest.handlers.push(handler);
        }
        Ok(latest)
    }

    /// The latest; `None` while none has come.
    pub(super) fn get(&self) -> Option<i32> {
        number(self.number.load(Ordering::SeqCst))
    }

    /// The latest since the last take.
    pub(super) fn take(&self) -> Option<i32> {
        number(self.number.swap(0, Ordering::SeqCst))
    }
}

fn number(kept: usize) -> Option<i32> {
    i32::try_from(kept).ok().filter(|signal| *signal != 0)
}

impl Drop for Latest {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            unregister(handler);
        }
    }
}
