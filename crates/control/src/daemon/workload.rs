//! The gateway's door for containers: a socket in a folder that they mount, and who is at its other end.
//!
//! Everybody may connect (0666): who they are, [`crate::attest`] says, and what they may do, policy. The folder
//! is 0755 and written to by this process only, because whoever could put another socket there would be
//! given the requests of others.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use sealock_delivery::watcher::container_facts;
use sealock_docker::gateway::{Client, Gateway, Refused, Session, serve_local};
use sealock_engine::{Engine, EngineUrl};
use sealock_net::Shutdown;
use sealock_net::proxy::Cut;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::blocking;
use super::gateway::{Entered, ServiceGuard, refused};
use crate::attest::{AttestError, Attested, Attester, is_supported};
use crate::config::{Listen, Workload};
use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;

/// Where the socket is to be, if there is to be one.
pub(super) fn wanted(
    service: &Service,
    engine: &EngineUrl,
) -> Result<Option<PathBuf>, ServiceError> {
    let settings = &service.config().settings.gateway;
    match &settings.socket {
        Workload::Off => Ok(None),
        Workload::At(_) if !is_supported() => Err(ServiceError::new(
            ErrorCode::Usage,
            "this kernel does not say which process is at the other end of a socket",
        )
        .hint("gateway.socket needs Linux 6.5; containers can use certificates instead")),
        Workload::At(path) => match std::path::absolute(path) {
            Ok(path) => Ok(Some(path)),
            Err(error) => Err(ServiceError::of(ErrorCode::Usage, &error)),
        },
        Workload::Standard if settings.listen == Listen::Off => Ok(None),
        // The containers of an engine elsewhere are not this kernel's to tell apart.
        Workload::Standard if !matches!(engine, EngineUrl::Unix(_)) => Ok(None),
        Workload::Standard if !is_supported() => {
            tracing::warn!("no socket for containers: it needs Linux 6.5");
            Ok(None)
        }
        Workload::Standard => Ok(Some(service.state().workload_socket())),
    }
}

/// A container that is connected.
struct Connected {
    entered: Entered,
    attested: Attested,
}

impl Session for Connected {
    fn client(&self) -> Arc<Client> {
        self.entered.client()
    }

    fn cut(&self) -> Cut {
        self.attested.cut()
    }
}

/// Who is at the other end of a connection to the socket.
pub(super) async fn session(
    service: &Arc<Service>,
    stream: &UnixStream,
) -> Result<Box<dyn Session>, Refused> {
    let Some(attester) = service.attester().get() else {
        return Err(Refused::Unknown("there is no workload socket here".to_owned()));
    };
    let attested = attester.attest(stream).await.map_err(|error| turned_away(&error))?;
    let (own, facts) = (Arc::clone(service), container_facts(&attested.container));
    let regrouped = service.regrouped();
    let principal = blocking(move || own.container_principal(&facts)).await.map_err(refused)?;
    let who = principal.identity.to_string();
    tracing::debug!(identity = who, "a container connected");
    let key = format!("container/{}", attested.container.id);
    let identity = principal.identity.clone();
    let client = Client { who, principal };
    let entered = Entered::new(Arc::clone(service), key, client, &attested.cut());
    // Its groups may have been changed after they were looked up and before it was entered.
    if service.regrouped() != regrouped {
        let look = Arc::clone(service);
        let regroup = move || look.sessions().regroup(&identity, || look.groups_of(&identity));
        blocking(regroup).await.map_err(refused)?;
    }
    Ok(Box::new(Connected { entered, attested }))
}

/// What the caller is told; what it does not know of this host is for the log.
fn turned_away(error: &AttestError) -> Refused {
    tracing::info!(error = error as &dyn std::error::Error, "turned away at the workload socket");
    let text = error.to_string();
    match error {
        AttestError::NoContainer => Refused::Unknown(format!(
            "{text}: this socket is for containers; others use the gateway with a certificate"
        )),
        AttestError::NoPeer(_)
        | AttestError::Process(_)
        | AttestError::Elsewhere
        | AttestError::Stopped => Refused::Unknown(text),
        AttestError::Writable { .. } => Refused::Denied(format!(
            "{text}, and so could put another in its place; mount it read-only"
        )),
        AttestError::TooMany { .. } => Refused::Busy(text),
        AttestError::Engine(_) => Refused::Unavailable(text),
    }
}

/// A socket that is bound.
pub(super) struct Door {
    listener: UnixListener,
    folder: OwnedFd,
    path: PathBuf,
    gateway: Arc<Gateway<ServiceGuard>>,
    attester: Arc<Attester>,
}

impl Door {
    /// Binds the socket; the engine need not be there yet.
    pub(super) async fn open(
        service: &Arc<Service>,
        path: PathBuf,
        engine: &EngineUrl,
        gateway: Arc<Gateway<ServiceGuard>>,
    ) -> Result<Self, ServiceError> {
        let engine = Engine::without_connecting(engine)
            .map_err(|error| ServiceError::of(ErrorCode::Usage, &error).maybe_hint(error.hint()))?;
        let (listener, folder) = bind(&path).map_err(|error| {
            ServiceError::new(ErrorCode::Failed, format!("cannot listen at {}", path.display()))
                .caused_by(&error)
                .hint("name another path with the setting gateway.socket, or off")
        })?;
        let attester = Arc::new(Attester::new(engine, path.parent().unwrap_or(Path::new("/"))));
        let _ = service.attester().set(Arc::clone(&attester));
        Ok(Self { listener, folder, path, gateway, attester })
    }

    /// Where it listens.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Serves until the shutdown signal; then the socket is removed.
    pub(super) fn serve(self, shutdown: &Shutdown, tasks: &mut JoinSet<()>) {
        let Self { listener, folder, path, gateway, attester } = self;
        tasks.spawn(attester.follow(shutdown.clone()));
        let end = shutdown.clone();
        tasks.spawn(async move {
            serve_local(listener, gateway, end).await;
            if let Some(name) = path.file_name() {
                let _ = rustix::fs::unlinkat(&folder, name, AtFlags::empty());
            }
        });
    }
}

/// Binds the socket in its folder, which is made where it is missing. A socket that nobody listens at was
/// left by a daemon that is gone; anything else that is there, a link too, is left alone. Through the
/// folder's descriptor, so that nothing on the way is exchanged meanwhile, and its path may be long.
fn bind(path: &Path) -> io::Result<(UnixListener, OwnedFd)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("it is no path of a file"));
    };
    match std::fs::DirBuilder::new().mode(0o755).create(parent) {
        Ok(()) => std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o755))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(parent, flags, Mode::empty())?;
    let found = rustix::fs::fstat(&folder)?;
    if found.st_uid != rustix::process::geteuid().as_raw() || found.st_mode & 0o022 != 0 {
        return Err(io::Error::other(format!(
            "others may write to {}; the socket needs a folder of its own",
            parent.display()
        )));
    }
    let own = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
        Ok(there) if FileType::from_raw_mode(there.st_mode) != FileType::Socket => {
            return Err(io::Error::other("something that is no socket is there"));
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(&own) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                rustix::fs::unlinkat(&folder, name, AtFlags::empty())?;
            }
            Err(error) => return Err(error),
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
        },
    }
    let listener = UnixListener::bind(&own)?;
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o666))?;
    Ok((listener, folder))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn everybody_may_connect_and_nobody_may_replace() {
        let scratch = tempfile::tempdir().unwrap();
        // Longer than a socket's path has room for.
        let deep = scratch.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let path = deep.join("docker/docker.sock");
        let (listener, _folder) = bind(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o666, 0o755));
        let taken = bind(&path).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse, "{taken}");
        drop(listener);
        // What a killed daemon leaves is healed.
        assert!(fs::symlink_metadata(&path).is_ok());
        bind(&path).unwrap();
    }

    #[tokio::test]
    async fn what_is_not_ours_is_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("docker");
        fs::create_dir(&folder).unwrap();
        let path = folder.join("docker.sock");
        let elsewhere = scratch.path().join("elsewhere");
        fs::write(&elsewhere, "kept").unwrap();
        for there in ["file", "link", "dangling"] {
            match there {
                "file" => fs::write(&path, "kept").unwrap(),
                "link" => symlink(&elsewhere, &path).unwrap(),
                _ => symlink("/nowhere/at/all", &path).unwrap(),
            }
            assert!(bind(&path).unwrap_err().to_string().contains("no socket"), "{there}");
            assert!(fs::symlink_metadata(&path).is_ok(), "{there}");
            fs::remove_file(&path).unwrap();
        }
        assert_eq!(fs::read(&elsewhere).unwrap(), b"kept");
        // A folder that others may write to, and one that is a link.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(bind(&path).unwrap_err().to_string().contains("others may write"));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let link = scratch.path().join("link");
        symlink(&folder, &link).unwrap();
        assert!(bind(&link.join("docker.sock")).is_err());
        assert!(bind(&path).is_ok());
    }
}
