//! Why a provider could not be found, was not believed, or gave nothing.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

/// Why no provider could be chosen. The texts are Summon's, because scripts look for them.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// No name was given, and the folder holds none.
    #[error("Could not resolve a provider!")]
    Unresolved,
    /// No name was given, and the folder holds several.
    #[error("More than one provider found in {}, please specify one", folder.display())]
    Several {
        /// The folder.
        folder: PathBuf,
    },
    /// None of the folders is there.
    #[error(
        "No provider directory found. Please set the environment variable SUMMON_PROVIDER_PATH to the \
         directory containing providers.\nProvider paths searched: \n{}",
        searched_lines(searched)
    )]
    NoFolder {
        /// Where was looked.
        searched: Vec<PathBuf>,
    },
    /// Nothing is where the provider should be.
    #[error("stat {}", path.display())]
    Stat {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: Arc<io::Error>,
    },
    /// The folder of providers cannot be listed.
    #[error("open {}", folder.display())]
    List {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: Arc<io::Error>,
    },
    /// The working directory, against which a relative path counts, cannot be had.
    #[error("the working directory cannot be found out")]
    WorkingDirectory {
        /// What the system says.
        #[source]
        source: Arc<io::Error>,
    },
}

fn searched_lines(searched: &[PathBuf]) -> String {
    let lines: Vec<String> = searched.iter().map(|one| format!("\t{}", one.display())).collect();
    lines.join("\n")
}

impl ProviderError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unresolved => {
                Some("name one by `-p`, or put one into the folder of providers".to_owned())
            }
            Self::Several { .. } => Some("name one by `-p` or SUMMON_PROVIDER".to_owned()),
            Self::Stat { .. } => Some(
                "a name with a slash is a path; one without is looked for in the folder of providers"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Why one value could not be had. Holds what the provider printed as errors, never what it printed as values.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// In stream mode it would become two questions.
    #[error("a path with a line end in it cannot be asked of a provider")]
    LineEnd,
    /// It cannot be an argument.
    #[error("a path with a zero byte in it cannot be asked of a provider")]
    ZeroByte,
    /// Missing, not executable, a folder, …
    #[error("{} cannot be started", provider.display())]
    Start {
        /// The provider.
        provider: PathBuf,
        /// What the system says.
        #[source]
        source: Arc<io::Error>,
    },
    /// It said itself that it failed.
    #[error("exit status {code}{}", after_colon(message))]
    Exit {
        /// Its exit code.
        code: i32,
        /// What it printed on its standard error, safe to print.
        message: String,
    },
    /// Somebody ended it.
    #[error("signal: {}{}", crate::child::signals::name(*signal), after_colon(message))]
    Signal {
        /// By this signal.
        signal: i32,
        /// What it printed on its standard error, safe to print.
        message: String,
    },
    /// It did not answer in time and was ended.
    #[error("no answer within {}{}", super::text::seconds(*after), after_colon(message))]
    Deadline {
        /// The time it had.
        after: Duration,
        /// What it printed on its standard error, safe to print.
        message: String,
    },
    /// It printed more than a secret can be, and was ended.
    #[error("the provider printed more than {limit} bytes to its standard {output}")]
    TooMuch {
        /// `output` or `error`.
        output: &'static str,
        /// The limit.
        limit: usize,
    },
    /// It answered in stream mode, but not to each question ([`Safety::Strict`](super::Safety::Strict)).
    #[error("the provider's answer does not fit what it was asked")]
    HalfAnswer {
        /// What is wrong with it.
        #[source]
        refusal: Refusal,
    },
    /// The caller wanted no more.
    #[error("the provider was ended because the command was")]
    Cancelled,
    /// Something between the provider and us does not work.
    #[error("cannot talk to the provider")]
    System {
        /// What the system says.
        #[source]
        source: Arc<io::Error>,
    },
}

fn after_colon(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl From<io::Error> for FetchError {
    fn from(source: io::Error) -> Self {
        Self::System { source: Arc::new(source) }
    }
}

impl From<rustix::io::Errno> for FetchError {
    fn from(errno: rustix::io::Errno) -> Self {
        io::Error::from(errno).into()
    }
}

impl FetchError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Start { provider, source } => start_hint(provider, source),
            Self::Deadline { .. } => {
                Some("CONJUR_HTTP_TIMEOUT sets how many seconds a provider has".to_owned())
            }
            _ => None,
        }
    }
}

fn start_hint(provider: &std::path::Path, source: &io::Error) -> Option<String> {
    let shown = provider.display();
    match source.kind() {
        io::ErrorKind::PermissionDenied if provider.is_dir() => {
            Some("it is a folder; name a provider inside it".to_owned())
        }
        io::ErrorKind::PermissionDenied => Some(format!("`chmod +x {shown}` makes it executable")),
        // The system says so of a script whose interpreter is missing, too.
        io::ErrorKind::NotFound if provider.exists() => {
            Some("the interpreter in its first line (`#!`) is not there".to_owned())
        }
        _ if source.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            Some("a script needs a first line such as `#!/bin/sh`".to_owned())
        }
        _ => None,
    }
}

/// Why a provider's output in stream mode is not taken for answers.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It closed its standard input, or ended, before it was asked everything.
    #[error("it did not take the questions")]
    NotTaken,
    /// There was a line for each question before the questions had been read.
    #[error("it printed its lines before it had read what it was asked")]
    NotRead,
    /// A line is not base64.
    #[error("line {line} is not base64")]
    NotBase64 {
        /// From 1.
        line: usize,
    },
    /// A line is the question itself.
    #[error("line {line} only repeats the question")]
    Echo {
        /// From 1.
        line: usize,
    },
    /// A line is longer than any secret.
    #[error("line {line} is longer than a secret can be")]
    TooLong {
        /// From 1.
        line: usize,
    },
    /// The last line has no line end.
    #[error("its last line has no line end")]
    Unterminated,
    /// Fewer lines than questions.
    #[error("{lines} of {asked} questions were answered")]
    TooFew {
        /// How many lines there were.
        lines: usize,
        /// How many there should have been.
        asked: usize,
    },
    /// More lines than questions.
    #[error("there were more lines than the {asked} questions")]
    TooMany {
        /// How many there should have been.
        asked: usize,
    },
    /// It printed something on its standard error.
    #[error("it printed on its standard error")]
    Complained,
    /// It did not wait for further questions.
    #[error("it ended before its input did")]
    LeftEarly,
    /// It ended otherwise than with 0.
    #[error("it did not end well")]
    EndedBadly,
    /// No line at all in half of the time.
    #[error("it was silent")]
    Silent,
}

impl Refusal {
    /// Whether the provider does speak stream mode, but its answers cannot be assigned.
    pub(super) fn is_half_answer(&self) -> bool {
        match self {
            Self::TooFew { lines, .. } => *lines > 0,
            Self::TooMany { .. } => true,
            _ => false,
        }
    }
}
