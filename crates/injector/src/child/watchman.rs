//! Who listens for signals from the first moment on: before there is a child, while it runs, and between two of them.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::process::Pid;
use signal_hook::consts::signal::{SIGCONT, SIGKILL, SIGTERM};
use signal_hook::iterator::Handle;

use super::latest::Latest;
use super::signals::{Received, Signals, forestalling, keep_exit_codes, pass_on, send};
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
    /// What came that the listening thread has not got to.
    unheard: Option<Latest>,
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
    /// One that the child was sent before the thread got to it.
    passed_on: Option<i32>,
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
        keep_exit_codes()?;
        let mut watchman = Self::of(escalation, cancel, Some(forestalling()?));
        let mut signals = Signals::catch()?;
        let (handle, listener) = (signals.handle(), Arc::clone(&watchman.shared));
        let listen = move || signals.each(|received| listener.received(received));
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
        watchman.listening = Some((handle, thread));
        Ok(watchman)
    }

    /// Nobody listens: signals end this process as they would any other. For one that leaves nothing behind.
    pub fn absent(escalation: Escalation, cancel: Option<Cancel>) -> Self {
        Self::of(escalation, cancel, None)
    }

    fn of(escalation: Escalation, cancel: Option<Cancel>, unheard: Option<Latest>) -> Self {
        let state = parking_lot::Mutex::new(State::default());
        Self { shared: Arc::new(Shared { state, escalation, cancel, unheard }), listening: None }
    }

    /// The signal that has come while there was no child, if any: then none is to be started.
    ///
    /// Also one that has just come: what ended a provider by the terminal's key is known here before its end is.
    pub fn early(&self) -> Option<i32> {
        let mut state = self.shared.state.lock();
        if !state.started
            && let Some(signal) = self.shared.unheard()
        {
            state.early.get_or_insert(signal);
            state.ending.get_or_insert(signal);
        }
        state.early
    }

    /// Whether the child was asked to end by a signal of somebody else's.
    pub fn is_ending(&self) -> bool {
        self.asked_to_end().is_some()
    }

    /// The first signal that has asked it to.
    pub fn asked_to_end(&self) -> Option<i32> {
        self.shared.state.lock().ending
    }

    /// Starts a child, whose number `pid` tells, and for which signals are from here on. What comes while it is being started is for it too.
    ///
    /// # Errors
    /// Those of `start`.
    pub fn start<T, E>(
        &self,
        start: impl FnOnce() -> Result<T, E>,
        pid: impl FnOnce(&T) -> Option<Pid>,
    ) -> Result<T, E> {
        let mut state = self.shared.state.lock();
        let started = start()?;
        let Some(child) = pid(&started) else { return Ok(started) };
        (state.child, state.started) = (Some(child), true);
        // The terminal may have sent it when the child was not yet there.
        let unheard = self.shared.unheard();
        state.passed_on = unheard;
        if let Some(signal) = state.early.take().or(unheard) {
            state.requests += 1;
            state.ending.get_or_insert(signal);
            send(child, signal);
        }
        Ok(started)
    }

    /// The child has ended.
    pub fn ended(&self) {
        self.shared.state.lock().child = None;
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
    fn unheard(&self) -> Option<i32> {
        self.unheard.as_ref().and_then(Latest::take)
    }

    fn received(&self, received: Received) -> Option<Pid> {
        let mut state = self.state.lock();
        if received.forestalls() {
            self.unheard();
            state.ending.get_or_insert(received.signal);
        }
        match state.child {
            Some(_) if state.passed_on == Some(received.signal) => state.passed_on = None,
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
            None if received.forestalls() && !state.started => {
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
