//! External providers: Summon's contract, kept strictly.
//!
//! A provider is any program. It is asked in one of two ways:
//!
//! - **stream mode**: started once without arguments; a path on each line of its standard input; a line of
//!   base64 on its standard output for each, in order. Values are taken as they are.
//! - **legacy mode**: started once for each value, with the path as its only argument, many at a time; what it
//!   prints is the value, without the white space at its ends; an exit code other than 0 says that it failed.
//!
//! Nobody says which of the two a provider speaks, so stream mode is tried first, and what a provider does
//! then decides. Most providers know the legacy mode only, and do whatever they do without an argument.
//!
//! # When an answer in stream mode is believed
//!
//! A text that is printed to whoever comes must not be taken for a secret: `fail`, `null` and `None` are
//! base64 by accident. Summon takes each for one. Here all of this must hold, or all values are asked for in
//! legacy mode, which is always right:
//!
//! 1. There are as many lines as questions, each with its end, each strict base64 (RFC 4648, section 4, padded).
//! 2. When the last of them came, **everything that was asked had been read**. The kernel says how much is left
//!    in the pipe, so this is a proof and no race: whoever prints without reading cannot pass, however fast or
//!    slow. Its input is open until then, as it is with Summon, so a stream provider answers line by line and
//!    does not wait for its input's end.
//! 3. No line is the question itself (`cat $1` without an argument).
//! 4. Where none of the values is text, the provider is seen waiting for more for another 100 ms. This is for
//!    what reads all of its input and prints a word of its own (`ssh host …` does): it ends by itself. Words
//!    decode to bytes that are no text, so texts, which most secrets are, do not wait.
//! 5. Nothing comes on its standard error, nothing further on its output, and when its input is ended it ends
//!    with 0. (One that does not end at all within a second is ended, and its answers stand.)
//!
//! Refused alternatives: asking each path twice, or confirming by a legacy call, makes a second lease of every
//! dynamic secret and a second line in every audit log; ending the input at once would make programs answer
//! that fall back to reading a path from their input, with values that are not base64.
//!
//! Too few or too many lines are never assigned. A provider that is silent for half of the time (`cat` waits
//! for ever) gets the other half in legacy mode.
//!
//! # What an attacker controls
//!
//! What a provider prints, how long it takes, what it starts and leaves behind; paths, in part. A provider
//! itself is trusted with the values that it has: it runs as the caller.
//!
//! # What holds
//!
//! One deadline for everything, and at its end nothing of a provider is left: it leads a process group of its
//! own, which is asked to end and then made to. A child of it that goes on and holds the pipes is ended with
//! them; one that has let go of them (an agent) is the provider's own affair after an orderly end. Output is
//! bounded while it is read. Only three descriptors reach a provider. Buffers of values are wiped.
//!
//! While a fetch runs, nobody else may wait for children of this process (as PID 1 might want to).

mod buffer;
mod call;
mod cancel;
mod crew;
mod descriptors;
mod environment;
mod error;
mod launch;
mod lookup;
mod process;
mod replies;
mod stream;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod versions;

use std::ffi::OsStr;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sealock_core::SecretBytes;

use crate::environment::Environment;
use launch::Launch;

pub use cancel::Cancel;
pub use descriptors::Inherited;
pub(crate) use descriptors::inheritable;
pub use environment::Isolation;
pub use error::{FetchError, ProviderError, Refusal};
pub use lookup::{Disk, FileSystem, Lookup};
pub use versions::{ProviderVersion, version_list, versions};

/// The largest value, in bytes.
pub const MAXIMUM_VALUE: usize = 1024 * 1024;
/// How long all of it may take when nobody says otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);
/// How many providers run at once when nobody says otherwise.
pub const DEFAULT_CONCURRENCY: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// What is longer has no end that anybody sees; this fits into every clock.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// What becomes of answers in stream mode that do not fit the questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// Stream mode has failed, and everything is asked for in legacy mode.
    Summon,
    /// An error, where the provider has shown that it does speak stream mode.
    Strict,
}

/// What happens, for whoever wants to tell. Never a value.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// All paths are asked for at once.
    StreamStarted {
        /// How many there are.
        paths: usize,
    },
    /// And there is a value for each.
    StreamAnswered,
    /// Stream mode was of no use; legacy mode follows.
    FellBack {
        /// Why.
        refusal: &'a Refusal,
    },
    /// One path is asked for by itself.
    CallStarted {
        /// Which, as an index into the paths.
        index: usize,
    },
    /// There is no value for one path.
    Failed {
        /// Which.
        index: usize,
        /// Why.
        error: &'a FetchError,
    },
}

/// How a provider is asked.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// For all of it together.
    pub deadline: Duration,
    /// How many providers run at once.
    pub concurrency: NonZeroUsize,
    /// What of our environment they see.
    pub isolation: Isolation<'a>,
    /// What half an answer is.
    pub safety: Safety,
    /// Whether a provider may ask a person at our terminal ([`at_terminal`]). It stays in our process group
    /// then, so that the terminal lets it, and gets the terminal's signals.
    pub at_terminal: bool,
    /// How the caller can end it.
    pub cancel: Option<&'a Cancel>,
    /// Who is told of what happens, from several threads.
    pub observer: Option<&'a (dyn Fn(Event<'_>) + Sync)>,
}

impl Default for Options<'_> {
    /// As Summon has it, but for the groups of processes.
    fn default() -> Self {
        Self {
            deadline: DEFAULT_DEADLINE,
            concurrency: DEFAULT_CONCURRENCY,
            isolation: Isolation::Inherit,
            safety: Safety::Summon,
            at_terminal: false,
            cancel: None,
            observer: None,
        }
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Options")
            .field("deadline", &self.deadline)
            .field("concurrency", &self.concurrency)
            .field("isolation", &self.isolation)
            .field("safety", &self.safety)
            .field("at_terminal", &self.at_terminal)
            .finish_non_exhaustive()
    }
}

/// The deadline that CONJUR_HTTP_TIMEOUT asks for, read as Summon does: whole seconds, or the default.
pub fn deadline_from(text: Option<&OsStr>) -> Duration {
    let seconds = text.and_then(OsStr::to_str).and_then(|text| text.parse::<i64>().ok());
    match seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
        None | Some(0) => DEFAULT_DEADLINE,
        Some(seconds) => Duration::from_secs(seconds).min(LONGEST),
    }
}

/// Whether we have a terminal, and are what it listens to: only then can a provider ask a person there.
pub fn at_terminal() -> bool {
    let Ok(terminal) = std::fs::File::open("/dev/tty") else { return false };
    rustix::termios::tcgetpgrp(&terminal).is_ok_and(|front| front == rustix::process::getpgrp())
}

/// Asks `provider` for all of `paths`; the results are in their order. It takes no longer than the deadline and
/// a moment, and nothing of the provider is left but what it has started to stay.
pub fn fetch(
    provider: &Path,
    paths: &[String],
    options: &Options<'_>,
) -> Vec<Result<SecretBytes, FetchError>> {
    let _running = Running::begin();
    let mut results: Vec<Option<Result<SecretBytes, FetchError>>> =
        paths.iter().map(|path| refused(path).map(Err)).collect();
    let open: Vec<usize> =
        (0..).zip(&results).filter(|(_, one)| one.is_none()).map(|(i, _)| i).collect();
    let questions: Vec<&str> =
        open.iter().filter_map(|index| paths.get(*index)).map(String::as_str).collect();
    if !questions.is_empty() {
        let answers = ask(&Context::new(provider, options), &questions, &open);
        for (index, answer) in open.iter().zip(answers) {
            if let Some(result) = results.get_mut(*index) {
                *result = Some(answer);
            }
        }
    }
    // Each has one by now; what would be missing was not answered.
    let results: Vec<_> =
        results.into_iter().map(|one| one.unwrap_or(Err(FetchError::Cancelled))).collect();
    for (index, result) in results.iter().enumerate() {
        if let Err(error) = result {
            tell(options, Event::Failed { index, error });
        }
    }
    results
}

/// How many fetches are under way in this process.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Whether providers may be running: then nobody else may take leave of children that they do not know.
pub(crate) fn is_running() -> bool {
    RUNNING.load(Ordering::SeqCst) > 0
}

struct Running;

impl Running {
    fn begin() -> Self {
        RUNNING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Why a path cannot be asked for at all.
fn refused(path: &str) -> Option<FetchError> {
    if path.contains('\n') {
        Some(FetchError::LineEnd)
    } else if path.contains('\0') {
        Some(FetchError::ZeroByte)
    } else {
        None
    }
}

fn ask(
    context: &Context<'_>,
    questions: &[&str],
    indices: &[usize],
) -> Vec<Result<SecretBytes, FetchError>> {
    let options = context.options;
    let all_fail = |error: FetchError| questions.iter().map(|_| Err(error.clone())).collect();
    tell(options, Event::StreamStarted { paths: questions.len() });
    let refusal = match stream::ask(context, questions) {
        Ok(values) => {
            tell(options, Event::StreamAnswered);
            return values.into_iter().map(Ok).collect();
        }
        Err(stream::Stop::Failed(error)) => return all_fail(error),
        Err(stream::Stop::Refused(refusal)) => refusal,
    };
    if options.safety == Safety::Strict && refusal.is_half_answer() {
        return all_fail(FetchError::HalfAnswer { refusal });
    }
    tell(options, Event::FellBack { refusal: &refusal });
    let begun = |at: usize| {
        let index = indices.get(at).copied().unwrap_or_default();
        tell(options, Event::CallStarted { index });
    };
    let questions: Vec<_> =
        questions.iter().map(|path| Question { context, argument: OsStr::new(path) }).collect();
    crew::ask_each(&questions, options, &begun)
}

fn tell(options: &Options<'_>, event: Event<'_>) {
    if let Some(observer) = options.observer {
        observer(event);
    }
}

/// One fetch: what all its processes have in common.
struct Context<'a> {
    provider: PathBuf,
    options: &'a Options<'a>,
    launch: Result<Launch, Arc<io::Error>>,
    until: Instant,
}

/// What one process is asked.
#[derive(Clone, Copy)]
struct Question<'a> {
    context: &'a Context<'a>,
    argument: &'a OsStr,
}

impl<'a> Context<'a> {
    fn new(provider: &Path, options: &'a Options<'a>) -> Self {
        let environment = match options.isolation {
            Isolation::Inherit => Environment::inherited(),
            Isolation::Clean { keep } => {
                Environment::of(environment::kept(std::env::vars_os(), keep))
            }
        };
        descriptors::withhold();
        // A bare name would be looked for in PATH.
        let provider = std::path::absolute(provider).unwrap_or_else(|_| provider.to_owned());
        let launch = Launch::new(&provider, environment, options.at_terminal).map_err(Arc::new);
        Self { provider, options, launch, until: Instant::now() + options.deadline.min(LONGEST) }
    }

    /// Starts a process, with an argument or to be `asked` by its standard input.
    fn start(&self, argument: Option<&OsStr>, asked: bool) -> Result<process::Running, FetchError> {
        if self.options.cancel.is_some_and(Cancel::is_cancelled) {
            return Err(FetchError::Cancelled);
        }
        let launch = self.launch.as_ref().map_err(Arc::clone);
        launch
            .and_then(|launch| launch.start(argument, asked).map_err(Arc::new))
            .map_err(|source| FetchError::Start { provider: self.provider.clone(), source })
    }

    fn cancel(&self) -> Option<&Cancel> {
        self.options.cancel
    }
}

/// The entry for fuzzing: any bytes as what a provider prints in stream mode, and as its complaints.
pub fn fuzz(data: &[u8]) {
    replies::fuzz(data);
    let shown = text::printable(data);
    let harmless = |c: char| matches!(c, '\n' | '\t') || !c.is_control();
    assert!(shown.chars().all(harmless), "a control character in a message");
    let trimmed = text::trimmed(data);
    assert_eq!(text::trimmed(trimmed), trimmed, "not all white space was cut off");
}
