//! Signals that come while a child runs, and what is passed on.
//!
//! A signal that somebody sent to this process is for the child, so it is passed on. What the terminal sends
//! goes to the whole foreground group: the child has it already, and gets it once. Stopping is special: this
//! process then stops too, so that the shell sees its job stopped.
//!
//! What was ignored when this process began (`nohup`) stays ignored, here and in the child.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use nix::sys::signal::SigSet;
use nix::sys::signal::Signal::{self as NixSignal, SIGPIPE};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::signal::{
    SIGABRT, SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGTRAP,
    SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::iterator::{Handle, SignalsInfo};
use signal_hook::low_level::siginfo::Cause;

use super::latest::Latest;
use super::stopping::Stopping;

/// Everything that one process sends another and that can be caught. SIGCHLD tells of the child itself; what is
/// left out otherwise means a fault of the program.
const PASSED_ON: [i32; 20] = [
    SIGABRT, SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGTRAP, SIGTSTP,
    SIGTTIN, SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ,
];

/// Those after which no program is started any more.
const FORESTALL: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

/// Those that stop a program.
const STOP: [i32; 3] = [SIGTSTP, SIGTTIN, SIGTTOU];

/// The first real-time signal that programs may use (signal(7)).
const FIRST_REAL_TIME: i32 = 34;

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// The terminal or the kernel sent it, so the whole foreground group has it.
    pub by_terminal: bool,
}

impl Received {
    /// Whether it asks a program to end.
    pub fn asks_to_end(self) -> bool {
        [SIGINT, SIGTERM, SIGHUP].contains(&self.signal)
    }

    /// Whether there is to be no program where none has been started yet.
    pub(super) fn forestalls(self) -> bool {
        FORESTALL.contains(&self.signal)
    }

    /// Whether it stops a program.
    pub fn stops(self) -> bool {
        STOP.contains(&self.signal)
    }
}

/// Signals from the moment of its making on.
pub struct Signals {
    info: SignalsInfo<WithOrigin>,
    stopping: Stopping,
}

impl Signals {
    /// Catches what is not ignored.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn catch() -> io::Result<Self> {
        let ignored = ignored();
        let caught = || PASSED_ON.iter().copied().filter(|signal| !ignored.contains(signal));
        let stopping = Stopping::watch(caught().filter(|signal| is_of_stopping(*signal)))?;
        Ok(Self { info: SignalsInfo::with_exfiltrator(caught(), WithOrigin::default())?, stopping })
    }

    /// Ends [`Signals::each`] from another thread.
    pub fn handle(&self) -> Handle {
        self.info.handle()
    }

    /// Calls `act` for each signal until the handle is closed.
    ///
    /// At one that stops, this process stops then, once the child that `act` names has stopped.
    pub fn each(&mut self, mut act: impl FnMut(Received) -> Option<Pid>) {
        for origin in &mut self.info {
            // The kernel's own are of the terminal: SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH, SIGHUP.
            let by_terminal = matches!(origin.cause, Cause::Kernel);
            let received = Received { signal: origin.signal, by_terminal };
            let child = act(received);
            if received.stops() {
                self.stopping.stop(received.signal, child);
            }
        }
    }
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Signals").finish_non_exhaustive()
    }
}

/// What becomes of a signal: the child gets it if it has not got it.
pub fn pass_on(received: Received, child: Pid) {
    if !received.by_terminal {
        send(child, received.signal);
    }
}

/// The latest of those after which no program is started, from here on.
pub(super) fn forestalling() -> io::Result<Latest> {
    let ignored = ignored();
    Latest::of(FORESTALL.into_iter().filter(|signal| !ignored.contains(signal)))
}

fn is_of_stopping(signal: i32) -> bool {
    signal == SIGCONT || STOP.contains(&signal)
}

/// Sends a signal to a child; one that has ended already does not mind.
pub fn send(child: Pid, signal: i32) {
    if let Some(signal) = Signal::from_named_raw(signal) {
        let _ = kill_process(child, signal);
    }
}

/// A signal as Go calls it, which Summon's messages show.
pub fn name(signal: i32) -> String {
    let name = match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        10 => "user defined signal 1",
        11 => "segmentation fault",
        12 => "user defined signal 2",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        16 => "stack fault",
        17 => "child exited",
        18 => "continued",
        19 => "stopped (signal)",
        20 => "stopped",
        21 => "stopped (tty input)",
        22 => "stopped (tty output)",
        23 => "urgent I/O condition",
        24 => "CPU time limit exceeded",
        25 => "file size limit exceeded",
        26 => "virtual timer expired",
        27 => "profiling timer expired",
        28 => "window changed",
        29 => "I/O possible",
        30 => "power failure",
        31 => "bad system call",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

/// What a program that is started is to have at its default: all but what was ignored when this process began. That
/// includes SIGPIPE, which Rust ignores.
///
/// All are named, though the handlers of ours end with `execve` anyhow: for those that are not, `posix_spawn` asks the
/// kernel about each before it sets it.
pub(crate) fn defaults() -> SigSet {
    let mut set = SigSet::empty();
    set.add(SIGPIPE);
    let ignored = ignored();
    // Real-time signals cannot be taken out of the set again. The first two, which are the C library's own and which
    // `posix_spawn` has every child ignore, are not in it.
    if ignored.iter().all(|signal| *signal < FIRST_REAL_TIME) {
        set = SigSet::all();
        for signal in ignored.iter().filter_map(|signal| NixSignal::try_from(*signal).ok()) {
            if signal != SIGPIPE {
                set.remove(signal);
            }
        }
    }
    set
}

/// A process that was started with SIGCHLD ignored gets no exit codes of its children. A handler, which does
/// nothing, makes the kernel keep them. Only there: it is called for each child's end, in the middle of other work.
pub(crate) fn keep_exit_codes() -> io::Result<()> {
    static HANDLER: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if HANDLER.get().is_none() && ignored().contains(&SIGCHLD) {
        let flag = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGCHLD, Arc::clone(&flag))?;
        // A second thread may have been here meanwhile; two handlers do no harm.
        let _ = HANDLER.set(flag);
    }
    Ok(())
}

/// The signals that this process ignores since it began, by `/proc/self/status` (proc_pid_status(5), SigIgn).
fn ignored() -> &'static [i32] {
    static IGNORED: OnceLock<Vec<i32>> = OnceLock::new();
    IGNORED.get_or_init(|| {
        // At once: the file is made anew for each read.
        let mut status = String::with_capacity(8192);
        let read =
            File::open("/proc/self/status").and_then(|mut file| file.read_to_string(&mut status));
        read.map(|_| ignored_in(&status)).unwrap_or_default()
    })
}

fn ignored_in(status: &str) -> Vec<i32> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (1..=64).filter(|signal| mask & (1 << (signal - 1)) != 0).collect()
}

#[cfg(test)]
mod tests {
    use signal_hook::consts::signal::SIGPIPE;

    use super::*;

    #[test]
    fn signals_have_names() {
        assert_eq!(name(9), "killed");
        assert_eq!(name(31), "bad system call");
        assert_eq!(name(35), "signal 35");
    }

    #[test]
    fn a_program_is_started_with_the_defaults() {
        let set = defaults();
        for signal in [NixSignal::SIGPIPE, NixSignal::SIGTERM, NixSignal::SIGCHLD] {
            assert!(set.contains(signal), "{signal}");
        }
    }

    #[test]
    fn ignored_signals_are_read() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert_eq!(ignored_in(status), [SIGHUP, SIGPIPE]);
        assert!(ignored_in("").is_empty());
        // Rust's start ignores SIGPIPE.
        assert!(ignored().contains(&SIGPIPE));
    }
}
