//! What can go wrong with an engine, by subject.

use std::path::PathBuf;

use crate::EngineUrl;

/// An operation on the engine that failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The address is not one.
    #[error("`{url}` is not an engine's address: {reason}")]
    BadUrl {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A TLS file cannot be read.
    #[error("cannot read {}", path.display())]
    TlsFile {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A TLS file does not hold what it should.
    #[error("{} does not hold {expected}", path.display())]
    TlsContent {
        /// Which one.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// Certificate and key do not make a TLS client.
    #[error("the TLS files cannot be used")]
    Tls {
        /// Why.
        source: rustls::Error,
    },
    /// There is no socket at the path.
    #[error("there is no engine socket at {}", path.display())]
    NoSocket {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The socket may not be used by this user.
    #[error("no permission to use the engine socket {}", path.display())]
    PermissionDenied {
        /// The socket.
        path: PathBuf,
    },
    /// No answer from the address.
    #[error("cannot reach the engine at {url}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine took too long.
    #[error("the engine at {url} did not answer `{operation}` in time")]
    Deadline {
        /// What was asked.
        operation: &'static str,
        /// Whom.
        url: String,
    },
    /// Text that cannot be a container's name or id.
    #[error("`{reference}` cannot be a container's name or id")]
    BadReference {
        /// The text.
        reference: String,
    },
    /// No container has that name or id.
    #[error("no such container: {reference}")]
    NoSuchContainer {
        /// As it was given.
        reference: String,
    },
    /// Several containers have ids that begin so.
    #[error("more than one container has an id that begins with {reference}")]
    Ambiguous {
        /// As it was given.
        reference: String,
    },
    /// The container is there, but not running.
    #[error("container {reference} is not running")]
    NotRunning {
        /// As it was given.
        reference: String,
    },
    /// The container is paused.
    #[error("container {reference} is paused")]
    Paused {
        /// As it was given.
        reference: String,
    },
    /// A path does not exist in the container.
    #[error("there is no {path} in container {reference}")]
    NoSuchPath {
        /// The container.
        reference: String,
        /// The path.
        path: String,
    },
    /// The container's root file system, or a volume in it, is read-only.
    #[error("{path} in container {reference} is read-only")]
    ReadOnly {
        /// The container.
        reference: String,
        /// The path.
        path: String,
    },
    /// The container does not know the user that a command should run as.
    #[error("container {reference} has no user {user}")]
    NoSuchUser {
        /// The container.
        reference: String,
        /// The user.
        user: String,
    },
    /// The signal is unknown.
    #[error("`{signal}` is not a signal")]
    BadSignal {
        /// As it was given.
        signal: String,
    },
    /// The engine (or a gateway before it) refuses, with its own words.
    #[error("the engine refused `{operation}` ({status}): {message}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// The HTTP status.
        status: u16,
        /// The engine's words.
        message: String,
    },
    /// An answer that cannot be understood, or a connection that broke in an answer.
    #[error("the engine's answer to `{operation}` broke off or cannot be understood")]
    BadAnswer {
        /// What was asked.
        operation: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A stream of events ended: the engine stops or restarts.
    #[error("the engine ended its stream of events")]
    EventsEnded,
    /// A command gave more output than the caller wants to hold.
    #[error("the command in container {reference} wrote more than {limit} bytes")]
    TooMuchOutput {
        /// The container.
        reference: String,
        /// The limit.
        limit: usize,
    },
}

impl EngineError {
    /// What a person may do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::BadUrl { .. } => Some(
                "say unix:///var/run/docker.sock, or tcp://HOST:2376 with the TLS files in docker.tls",
            ),
            Self::TlsFile { .. } | Self::TlsContent { .. } | Self::Tls { .. } => Some(
                "ca.pem, cert.pem and key.pem are looked for in docker.tls, else in DOCKER_CERT_PATH",
            ),
            Self::NoSocket { .. } | Self::Unreachable { .. } => {
                Some("is the engine running? name another with --docker or DOCKER_HOST")
            }
            Self::PermissionDenied { .. } => Some("run as root or as a member of the group docker"),
            Self::NoSuchContainer { .. } => Some("`docker ps` lists what runs"),
            Self::NotRunning { .. } => Some("start it first: `docker start`"),
            Self::Paused { .. } => Some("let it run on first: `docker unpause`"),
            Self::Ambiguous { .. } => Some("give more digits of the id, or the name"),
            Self::ReadOnly { .. } => Some("choose a path on a writable mount, such as a tmpfs"),
            _ => None,
        }
    }

    /// Whether the engine itself is away (as opposed to having answered).
    pub fn is_away(&self) -> bool {
        matches!(
            self,
            Self::NoSocket { .. }
                | Self::PermissionDenied { .. }
                | Self::Unreachable { .. }
                | Self::Deadline { .. }
                | Self::EventsEnded
        )
    }
}

/// What a call was about, so that its error can name it.
#[derive(Clone, Copy)]
pub(crate) enum Subject<'a> {
    None,
    Container(&'a str),
    Signal { container: &'a str, signal: &'a str },
    Path { container: &'a str, path: &'a str },
    User { container: &'a str, user: &'a str },
}

impl Subject<'_> {
    fn container(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Container(container)
            | Self::Signal { container, .. }
            | Self::Path { container, .. }
            | Self::User { container, .. } => Some((*container).to_owned()),
        }
    }
}

pub(crate) fn translate(
    operation: &'static str,
    subject: Subject<'_>,
    url: &EngineUrl,
    error: bollard::errors::Error,
) -> EngineError {
    use bollard::errors::Error;
    match error {
        Error::DockerResponseServerError { status_code, message } => {
            refusal(operation, subject, status_code, message)
        }
        Error::RequestTimeoutError => EngineError::Deadline { operation, url: url.to_string() },
        Error::HyperLegacyError { err } if err.is_connect() => unreachable_engine(url, err),
        Error::SocketNotFoundError(_) => {
            EngineError::Unreachable { url: url.to_string(), source: Box::new(error) }
        }
        other => EngineError::BadAnswer { operation, source: Box::new(other) },
    }
}

fn unreachable_engine(url: &EngineUrl, error: hyper_util::client::legacy::Error) -> EngineError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        if let (Some(system), EngineUrl::Unix(path)) =
            (current.downcast_ref::<std::io::Error>(), url)
        {
            match system.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    return EngineError::PermissionDenied { path: path.clone() };
                }
                std::io::ErrorKind::NotFound => {
                    let source = std::io::Error::from(std::io::ErrorKind::NotFound);
                    return EngineError::NoSocket { path: path.clone(), source };
                }
                _ => {}
            }
        }
        cause = current.source();
    }
    EngineError::Unreachable { url: url.to_string(), source: Box::new(error) }
}

/// The engine tells its refusals apart in prose only; these phrases have been the same since API 1.24.
fn refusal(
    operation: &'static str,
    subject: Subject<'_>,
    status: u16,
    message: String,
) -> EngineError {
    let lower = message.to_ascii_lowercase();
    let Some(reference) = subject.container() else {
        return EngineError::Refused { operation, status, message };
    };
    if lower.contains("multiple ids found") {
        return EngineError::Ambiguous { reference };
    }
    if lower.contains("no such container") {
        return EngineError::NoSuchContainer { reference };
    }
    if lower.contains("is not running") || lower.contains("is restarting") {
        return EngineError::NotRunning { reference };
    }
    if lower.contains("is paused") {
        return EngineError::Paused { reference };
    }
    match subject {
        Subject::Signal { signal, .. } if lower.contains("invalid signal") => {
            EngineError::BadSignal { signal: signal.to_owned() }
        }
        Subject::Path { path, .. }
            if lower.contains("read-only") || lower.contains("read only") =>
        {
            EngineError::ReadOnly { reference, path: path.to_owned() }
        }
        Subject::Path { path, .. } if status == 404 => {
            EngineError::NoSuchPath { reference, path: path.to_owned() }
        }
        Subject::User { user, .. } if lower.contains("unable to find user") => {
            EngineError::NoSuchUser { reference, user: user.to_owned() }
        }
        _ if status == 404 => EngineError::NoSuchContainer { reference },
        _ => EngineError::Refused { operation, status, message },
    }
}
