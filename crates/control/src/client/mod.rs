//! How commands reach the service: over `admin.sock` when a daemon runs, else in this process, under the
//! state folder's lock; in a container, which has no state folder, over the workload socket that it mounts. The
//! same call, the same answer.

pub(crate) mod link;
pub mod login;
pub(crate) mod secret;
pub mod site;
mod still;
mod wire;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
pub use wire::Follower;

use crate::caller::Door;
use crate::command::{Command, Reply};
use crate::config::Workload;
use crate::error::{ErrorCode, ServiceError};
use crate::service::{Opening, Service, check_policy};
use crate::state::{COMMAND_WAIT, Purpose, StateError};

/// Where a container finds the workload socket when it mounts root's folder `/run/sealock/workload` under the same name.
pub const WORKLOAD_SOCKET: &str = "/run/sealock/workload/workload.sock";
/// Between two looks for a daemon that is starting.
const PAUSE: Duration = Duration::from_millis(50);

/// Where commands go.
#[derive(Debug, Clone)]
pub struct Client {
    opening: Opening,
    /// The service that [`Client::call_and_keep`] has left open in this process.
    kept: Arc<Mutex<Option<Arc<Service>>>>,
}

impl Client {
    /// A client of this state folder. Nothing is touched before the first call.
    pub fn new(opening: Opening) -> Self {
        Self { opening, kept: Arc::default() }
    }

    /// Whether a daemon answers at the socket.
    pub async fn daemon_runs(&self) -> bool {
        wire::connect(&self.opening.state.socket()).await.is_ok()
    }

    /// One command: to the daemon, else in this process. A socket that a killed daemon has left behind is as
    /// if there were none.
    pub async fn call(&self, command: Command) -> Result<Reply, ServiceError> {
        let reply = self.call_and_keep(command).await;
        self.let_go().await;
        reply
    }

    /// One command to a daemon, by the calling thread alone: no runtime is needed. Nothing where no daemon can be
    /// reached; [`Client::call`] then finds out what that means.
    pub fn call_daemon(&self, command: &Command) -> Option<Result<Reply, ServiceError>> {
        let stream = still::connect(&self.opening.state.socket());
        let stream = stream.ok().or_else(|| still::connect(&self.workload_socket(command)?).ok());
        Some(still::call(stream?, command))
    }

    /// As [`Client::call`], but a service that was opened in this process stays open for the next call: to
    /// open it takes longer than most commands. It holds the state folder's lock, so [`Client::let_go`]
    /// must follow soon.
    pub async fn call_and_keep(&self, command: Command) -> Result<Reply, ServiceError> {
        let kept = self.kept.lock().clone();
        if let Some(service) = kept {
            return handle(&service, &command).await;
        }
        let began = Instant::now();
        loop {
            match wire::connect(&self.opening.state.socket()).await {
                Ok(stream) => return wire::call(stream, &command).await,
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(self.unreachable(&error)),
            }
            if let Some(socket) = self.workload_socket(&command) {
                return at_workload_socket(&socket, &command).await;
            }
            match self.in_process(&command).await {
                // A daemon that is just starting has the lock before it has the socket, and one that is
                // stopping has it longer.
                Err(Unopened::Locked(StateError::InUse { purpose, .. }))
                    if purpose == "up" && began.elapsed() < COMMAND_WAIT =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(Unopened::Locked(error)) => return Err(state_error(&error)),
                Err(Unopened::Service(error)) => return Err(error),
                Ok(reply) => return Ok(reply),
            }
        }
    }

    /// Closes what [`Client::call_and_keep`] has left open.
    pub async fn let_go(&self) {
        let kept = self.kept.lock().take();
        if let Some(service) = kept {
            // The journal's thread ends, and the lock goes, before the caller goes on.
            let _ = tokio::task::spawn_blocking(move || drop(service)).await;
        }
    }

    /// The audit records after number `after`, as they happen. Needs the daemon.
    pub async fn follow(&self, after: u64) -> Result<Follower, ServiceError> {
        match wire::connect(&self.opening.state.socket()).await {
            Ok(stream) => wire::follow(stream, after).await,
            Err(error) if is_absent(&error) => Err(ServiceError::new(
                ErrorCode::Unavailable,
                "no daemon runs on this state folder",
            )
            .hint("start it with `sealock up`")),
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    /// The socket of a daemon outside this container, where there is no state here. What needs no state is not
    /// asked there. A folder that is mounted and has no socket in it is that of a daemon that has stopped.
    fn workload_socket(&self, command: &Command) -> Option<PathBuf> {
        if self.opening.state.exists() || is_local(command) {
            return None;
        }
        let (path, is_expected) = match &self.opening.config.settings.workload {
            Workload::Off => return None,
            Workload::At(path) => (path.clone(), true),
            // Who names a folder on this host means that one, not the daemon that happens to run.
            Workload::Standard if !self.opening.state.is_standard() => return None,
            Workload::Standard => {
                let path = PathBuf::from(WORKLOAD_SOCKET);
                let is_mounted = path.parent().is_some_and(Path::exists);
                (path, is_mounted)
            }
        };
        let is_wanted = path.exists() || is_expected && !matches!(command, Command::Init(_));
        is_wanted.then_some(path)
    }

    async fn in_process(&self, command: &Command) -> Result<Reply, Unopened> {
        if let Some(reply) = self.without_state(command)? {
            return Ok(reply);
        }
        if !self.opening.state.exists() && !matches!(command, Command::Init(_)) {
            let root = self.opening.state.root().display();
            return Err(Unopened::Service(
                ServiceError::new(
                    ErrorCode::NotInitialised,
                    format!("there is nothing in {root} yet"),
                )
                .hint(
                    "start with `sealock up`, or make only the authority with `sealock init`; in a container, mount the host's /run/sealock/workload, read-only and under the same name",
                ),
            ));
        }
        let opening = self.opening.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let lock = opening.state.open(Purpose::Command, COMMAND_WAIT);
            let lock = lock.map_err(Unopened::Locked)?;
            Service::open(opening, lock).map_err(Unopened::Service)
        });
        let service: Arc<Service> = opened.await.unwrap_or_else(|error| {
            let text = format!("opening the state ended unexpectedly: {error}");
            Err(Unopened::Service(ServiceError::new(ErrorCode::Fault, text)))
        })?;
        *self.kept.lock() = Some(Arc::clone(&service));
        handle(&service, command).await.map_err(Unopened::Service)
    }

    /// What needs neither daemon nor state.
    fn without_state(&self, command: &Command) -> Result<Option<Reply>, Unopened> {
        if !is_local(command) {
            return Ok(None);
        }
        match command {
            Command::PolicySchema => {
                let schema = sealock_core::policy::PolicySet::schema_text();
                Ok(Some(Reply::Schema(schema.to_owned())))
            }
            Command::PolicyCheck { files } => {
                let checked = check_policy(files.clone()).map_err(Unopened::Service)?;
                Ok(Some(Reply::PolicyChecked(checked)))
            }
            Command::ConfigCheck => Ok(Some(Reply::Settings(self.opening.config.in_force()))),
            _ => Ok(None),
        }
    }

    fn unreachable(&self, error: &io::Error) -> ServiceError {
        let root = self.opening.state.root();
        if error.kind() == io::ErrorKind::NotADirectory {
            let text = format!("the state folder {} is no folder", root.display());
            return ServiceError::new(ErrorCode::State, text).caused_by(error).hint(
                "name the folder that the daemon works on, with --state DIR (SEALOCK_STATE)",
            );
        }
        let socket = self.opening.state.socket();
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => "run as root or as the owner of the state folder",
            _ => "the daemon does not answer; restart it",
        };
        let message = format!("cannot reach the daemon at {}", socket.display());
        ServiceError::new(ErrorCode::Unavailable, message).caused_by(error).hint(hint)
    }
}

/// What is answered without daemon and state.
fn is_local(command: &Command) -> bool {
    match command {
        Command::PolicySchema | Command::ConfigCheck => true,
        Command::PolicyCheck { files } => !files.is_empty(),
        _ => false,
    }
}

async fn at_workload_socket(socket: &Path, command: &Command) -> Result<Reply, ServiceError> {
    match wire::connect(socket).await {
        Ok(stream) => wire::call(stream, command).await,
        Err(error) => {
            let text = format!("cannot reach the daemon at {}", socket.display());
            Err(ServiceError::new(ErrorCode::Unavailable, text)
                .caused_by(&error)
                .hint("is `sealock up` running on the host?"))
        }
    }
}

/// In this process, as the local administrator.
async fn handle(service: &Arc<Service>, command: &Command) -> Result<Reply, ServiceError> {
    let caller = service.local_caller(Door::Process)?;
    service.handle(&caller, command.clone()).await
}

enum Unopened {
    Locked(StateError),
    Service(ServiceError),
}

/// Nobody listens: there is no socket, or nobody behind it.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::InvalidInput
    )
}

/// A state folder that cannot be used.
pub fn state_error(error: &StateError) -> ServiceError {
    let code = match error {
        StateError::InUse { .. } => ErrorCode::Conflict,
        StateError::NoHome => ErrorCode::Usage,
        _ => ErrorCode::State,
    };
    ServiceError::of(code, error).hint(error.hint())
}
