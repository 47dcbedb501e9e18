//! Who listens for signals from the first moment on: before there is a child, while it runs, and between two of them.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::process::Pid;
use signal_hook::consts::signal::{SIGCONT, SIGKILL, SIGQUIT, SIGTERM};
use signal_hook::iterator::Handle;

use super::signals::{Received, Signals, pass_on, send};
use crate::provider::Cancel;

/// What becomes of a child that was asked to end twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escalation {
    /// It is killed, as Summon does.
    SecondKills,
    /// It is asked again.
    Never,
}

/// Passes signals on to the child, once there is one.
#[derive(Debug)]
pub struct Watchman {
    shared: Arc<Shared>,
    listening: Option<(Handle, JoinHandle<()>)>,
}

#[derive(Debug)]
struct Shared {
    state: parking_lot::Mutex<State>,
    escalation: Escalation,
    cancel: Option<Cancel>,
}

#[derive(Debug, Default)]
struct State {
    child: Option<Pid>,
    /// Signals that ask to end, which the child was sent.
    requests: u32,
    /// The first that came while there was no child.
    early: Option<i32>,
    /// The first of all.
    ending: Option<i32>,
    /// Whether there has been a child: what comes when it has just ended was for it.
    started: bool,
    /// The terminal stopped the whole group, so what lets it go on is for all of it too.
    stopped_together: bool,
}

impl Watchman {
    /// Listens from here on. While there is no child, a signal that asks to end cancels the providers.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn begin(escalation: Escalation, cancel: Option<Cancel>) -> io::Result<Self> {
        let mut watchman = Self::absent(escalation, cancel);
        let mut signals = Signals::catch()?;
        let (handle, listener) = (signals.handle(), Arc::clone(&watchman.shared));
        let listen = move || signals.each(|received| listener.received(received));
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
        watchman.listening = Some((handle, thread));
        Ok(watchman)
    }

    /// Nobody listens: signals end this process as they would any other. For one that leaves nothing behind.
    pub fn absent(escalation: Escalation, cancel: Option<Cancel>) -> Self {
        let state = parking_lot::Mutex::new(State::default());
        Self { shared: Arc::new(Shared { state, escalation, cancel }), listening: None }
    }

    /// The signal that has come while there was no child, if any: then none is to be started.
    pub fn early(&self) -> Option<i32> {
        self.shared.state.lock().early
    }

    /// Whether the child was asked to end by a signal of somebody else's.
    pub fn is_ending(&self) -> bool {
        self.asked_to_end().is_some()
    }

    /// The first signal that has asked it to.
    pub fn asked_to_end(&self) -> Option<i32> {
        self.shared.state.lock().ending
    }

    /// From here on signals are for this child; `None` when it has ended.
    pub fn child(&self, child: Option<Pid>) {
        let mut state = self.shared.state.lock();
        state.child = child;
        state.started |= child.is_some();
        // What came while it was being started is for it.
        if let (Some(child), Some(signal)) = (child, state.early.take()) {
            state.requests += 1;
            send(child, signal);
        }
    }

    /// Asks the child to end, to be started anew.
    pub fn end_child(&self) {
        if let Some(child) = self.shared.state.lock().child {
            send(child, SIGTERM);
        }
    }

    /// Sends the child a signal.
    pub fn tell_child(&self, signal: i32) {
        if let Some(child) = self.shared.state.lock().child {
            send(child, signal);
        }
    }

    /// Kills the child, if it is still there.
    pub fn kill_child(&self, child: Pid) {
        if self.shared.state.lock().child == Some(child) {
            send(child, SIGKILL);
        }
    }
}

impl Drop for Watchman {
    fn drop(&mut self) {
        if let Some((handle, thread)) = self.listening.take() {
            handle.close();
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn received(&self, received: Received) -> Option<Pid> {
        let mut state = self.state.lock();
        let asks = received.asks_to_end() || received.signal == SIGQUIT;
        if asks {
            state.ending.get_or_insert(received.signal);
        }
        match state.child {
            Some(child) if received.asks_to_end() => {
                state.requests += 1;
                if state.requests > 1 && self.escalation == Escalation::SecondKills {
                    send(child, SIGKILL);
                } else {
                    pass_on(received, child);
                }
            }
            Some(_) if received.signal == SIGCONT && state.stopped_together => {
                state.stopped_together = false;
            }
            Some(child) => {
                state.stopped_together = received.stops() && received.by_terminal;
                pass_on(received, child);
            }
            None if asks && !state.started => {
                state.early.get_or_insert(received.signal);
                if let Some(cancel) = &self.cancel {
                    cancel.cancel();
                }
            }
            None => {}
        }
        state.child
    }
}

/// Ends this process by the signal, as it would have ended without a listener. Comes back where that does not work,
/// as in the first process of a container.
pub fn end_by(signal: i32) {
    let _ = signal_hook::low_level::emulate_default_handler(signal);
}
