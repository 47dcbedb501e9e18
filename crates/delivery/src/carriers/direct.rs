//! Straight into the container's mount view, by this process: `/proc/<pid>/root` of its first
//! process, opened once and from then on the root that everything is confined to.
//!
//! **Which process is it?** Process numbers are used again, so the number that the engine gives is
//! only a claim. It is held against the process itself: a pidfd pins it, its control group must name
//! the container, and after its root has been opened it must still be alive and the engine must
//! still name it. Only then is anything written. The pidfd is watched until the end, so a container
//! that stops is noticed.
//!
//! **Who owns what?** With user-namespace remapping the container's ids are others than ours. The
//! process' own `uid_map` and `gid_map` translate; names are looked up in the container's files.
//!
//! Needs the right to look into other processes (root, or `CAP_SYS_PTRACE` and the file
//! capabilities). Without it, or when the engine's processes are not of this machine, it is
//! unsupported and another carrier has to do it.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sealock_engine::{Container, EngineError};
use sealock_transfer::archive::{Kind, Member};
use sealock_transfer::landing::{Landed, Landing, LandingError, Owner, Root, Watch};
use sealock_transfer::plan::{Announced, Destination, Plan, Shape};

use super::id_map::IdMap;
use super::{Carrier, CarrierError, Job};
use crate::sources::Load;

/// How often progress is told, and the container looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How much of a file below `/proc/<pid>` is read.
const PROC_LIMIT: u64 = 256 * 1024;

/// Carries one job.
pub(crate) async fn carry(job: &Job<'_>) -> Result<Landed, CarrierError> {
    if !job.engine.is_local() {
        return Err(unsupported("the engine is not on this machine"));
    }
    let process = Process::of(job.container)?;
    let root = process.open_root()?;
    process.expect_alive(job.container)?;
    // The engine is asked again after the root has been opened: had the container been started
    // anew in between, the process would not be the one that it names now.
    let now = job.engine.inspect_running(&job.container.id).await.map_err(|error| match error {
        EngineError::NotRunning { .. } => stopped(job.container),
        other => other.into(),
    })?;
    if now.pid != job.container.pid || now.started_at != job.container.started_at {
        return Err(stopped(job.container));
    }
    let (users, groups) = (process.id_map("uid_map")?, process.id_map("gid_map")?);
    let watch = Arc::new(Watch::default());
    let work = Work {
        load: Arc::clone(job.load),
        destination: job.destination.to_owned(),
        owner: job.owner.cloned(),
        mode: job.mode,
        memory_only: job.memory_only,
        users,
        groups,
        watch: Arc::clone(&watch),
        alive: process.pidfd.try_clone().map_err(system("watch the container"))?,
        container: job.container.name.clone(),
    };
    job.progress.begins(Carrier::Direct, job.load.announced().bytes, job.load.files());
    supervise(job, &process, watch, work, root).await
}

/// Runs the work on a thread for blocking work, tells progress, and stops it when the container
/// does or when nobody waits for it any more.
async fn supervise(
    job: &Job<'_>,
    process: &Process,
    watch: Arc<Watch>,
    work: Work,
    root: OwnedFd,
) -> Result<Landed, CarrierError> {
    let stop = StopOnDrop(Arc::clone(&watch));
    let mut landing = tokio::task::spawn_blocking(move || work.land(root));
    let mut gone = false;
    loop {
        tokio::select! {
            ended = &mut landing => {
                job.progress.arrived(watch.written());
                drop(stop);
                return match ended {
                    Ok(Err(CarrierError::Landing(LandingError::Stopped { .. }))) if gone => {
                        Err(stopped(job.container))
                    }
                    Ok(outcome) => outcome,
                    Err(error) => Err(system("land the files")(io::Error::other(error))),
                };
            }
            () = tokio::time::sleep(LOOK_EVERY) => {
                job.progress.arrived(watch.written());
                if has_exited(process.pidfd.as_fd()) {
                    gone = true;
                    watch.stop();
                }
            }
        }
    }
}

struct StopOnDrop(Arc<Watch>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What the blocking part needs.
struct Work {
    load: Arc<Load>,
    destination: String,
    owner: Option<Owner>,
    mode: Option<u32>,
    memory_only: bool,
    users: IdMap,
    groups: IdMap,
    watch: Arc<Watch>,
    alive: OwnedFd,
    container: String,
}

impl Work {
    fn land(self, root: OwnedFd) -> Result<Landed, CarrierError> {
        let translate = |(user, group): (u32, u32)| {
            let host = |map: &IdMap, id| map.host(id).ok_or(CarrierError::NotMapped { id });
            Ok::<_, CarrierError>((host(&self.users, user)?, host(&self.groups, group)?))
        };
        let (user, group) = translate((0, 0))?;
        let root = Root::from_fd(root)
            .map_err(|error| match error {
                LandingError::NotConfinable { .. } => {
                    unsupported("this kernel has no openat2, or a filter forbids it")
                }
                other => other.into(),
            })?
            .making_as(user, group);
        let owner = match &self.owner {
            Some(owner) => Some(translate(root.owner_ids(owner)?)?),
            None => None,
        };
        let destination = root.settle(&self.destination, self.load.one_file())?;
        let announced = self.load.announced();
        let (mode, memory_only) = (self.mode, self.memory_only);
        let plan = Plan { destination, owner, mode, announced, memory_only };
        let mut landing = Landing::begin_watched(&root, &plan, Arc::clone(&self.watch))?;
        for Member { path, kind } in self.load.tree().members() {
            match kind {
                Kind::Folder { mode } => landing.folder(path, *mode)?,
                Kind::Link { target } => landing.symlink(path, target.as_bytes())?,
                Kind::File { mode, size, content } => {
                    let mut source = content
                        .open()
                        .map_err(|source| LandingError::Source { member: path.clone(), source })?;
                    landing.whole_file(path, *mode, *size, &mut source)?;
                }
            }
        }
        if has_exited(self.alive.as_fd()) {
            return Err(CarrierError::Stopped { container: self.container });
        }
        Ok(landing.finish()?)
    }
}

/// The container's first process, pinned: it is of the container, as long as the engine still names
/// it when it is asked *after* this.
pub(crate) fn pin(container: &Container) -> Result<OwnedFd, CarrierError> {
    Ok(Process::of(container)?.pidfd)
}

/// Removes what a killed delivery has left at a destination. The content stays.
pub(crate) fn heal(container: &Container, path: &str, shape: Shape) -> Result<(), CarrierError> {
    let process = Process::of(container)?;
    let root = process.open_root()?;
    process.expect_alive(container)?;
    let root = Root::from_fd(root)?;
    let destination = Destination::parse(path, shape).map_err(LandingError::Destination)?;
    let announced = Announced { bytes: 0, members: 0 };
    let plan = Plan { destination, owner: None, mode: None, announced, memory_only: false };
    // Beginning heals; a landing that is dropped leaves the destination as it was.
    drop(Landing::begin(&root, &plan)?);
    Ok(())
}

/// Reads a plain file as the container sees it, confined to its root; at most `limit` bytes. `None`
/// when there is no such file.
pub(crate) fn read_file(
    container: &Container,
    path: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>, CarrierError> {
    let process = Process::of(container)?;
    let root = process.open_root()?;
    process.expect_alive(container)?;
    let file = match Root::from_fd(root)?.open_file(path) {
        Ok(file) => file,
        Err(
            LandingError::Missing { .. }
            | LandingError::NotAFolder { .. }
            | LandingError::NotAFile { .. }
            | LandingError::IsAFolder { .. },
        ) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut content = Vec::new();
    let read = std::fs::File::from(file).take(limit).read_to_end(&mut content);
    read.map_err(system("read a file of the container"))?;
    Ok(Some(content))
}

/// The first process of a container, pinned.
struct Process {
    /// Its folder in `/proc`: reading below it fails once the process is gone, whoever has its
    /// number then.
    folder: OwnedFd,
    pidfd: OwnedFd,
}

impl Process {
    /// Pins the process that the engine names and makes sure that it is of that container.
    fn of(container: &Container) -> Result<Self, CarrierError> {
        let number = container.pid.and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let number = number.ok_or_else(|| stopped(container))?;
        let pidfd = match pidfd_open(number, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::NOSYS) => return Err(unsupported("this kernel has no pidfd")),
            Err(Errno::SRCH) => {
                return Err(unsupported("its first process is not one of this machine"));
            }
            Err(error) => return Err(system("find the container's process")(error.into())),
        };
        let path = format!("/proc/{}", number.as_raw_nonzero());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| unsupported(&format!("its process cannot be looked at ({error})")))?;
        let process = Self { folder, pidfd };
        process.expect_member_of(container)?;
        Ok(process)
    }

    /// Opens what the process has as its root, through the kernel's own link to it.
    fn open_root(&self) -> Result<OwnedFd, CarrierError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.folder, "root", flags, Mode::empty()) {
            Ok(root) => Ok(root),
            Err(Errno::ACCESS | Errno::PERM) => {
                Err(unsupported("this process may not look into the container's processes"))
            }
            Err(error) => Err(system("open the container's root")(error.into())),
        }
    }

    /// The process was not replaced while its root was opened: it lives, and is of the container.
    fn expect_alive(&self, container: &Container) -> Result<(), CarrierError> {
        self.expect_member_of(container)?;
        if has_exited(self.pidfd.as_fd()) {
            return Err(stopped(container));
        }
        Ok(())
    }

    fn expect_member_of(&self, container: &Container) -> Result<(), CarrierError> {
        let groups = self.read("cgroup")?;
        if names_container(&groups, &container.id) {
            Ok(())
        } else {
            Err(unsupported("the process with its number is not of that container"))
        }
    }

    fn id_map(&self, name: &'static str) -> Result<IdMap, CarrierError> {
        let text = self.read(name)?;
        IdMap::parse(&text).ok_or_else(|| unsupported("its user namespace cannot be understood"))
    }

    fn read(&self, name: &'static str) -> Result<String, CarrierError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, name, flags, Mode::empty())
            .map_err(|error| unsupported(&format!("its process cannot be read ({error})")))?;
        let mut text = String::new();
        let read = std::fs::File::from(file).take(PROC_LIMIT).read_to_string(&mut text);
        read.map_err(|error| unsupported(&format!("its process cannot be read ({error})")))?;
        Ok(text)
    }
}

/// Whether a line of `/proc/<pid>/cgroup` names the container: as a component of its own (cgroupfs),
/// or as `docker-<id>.scope` (systemd).
fn names_container(groups: &str, id: &str) -> bool {
    id.len() == 64
        && groups.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(|path| {
            path.split('/').any(|component| {
                let bare = component.strip_suffix(".scope").unwrap_or(component);
                bare.rsplit('-').next() == Some(id)
            })
        })
}

/// Whether the process behind a pidfd has ended.
fn has_exited(pidfd: BorrowedFd<'_>) -> bool {
    let mut ready = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    // What cannot be asked is taken for gone.
    !matches!(poll(&mut ready, Some(&at_once)), Ok(0))
}

fn unsupported(reason: &str) -> CarrierError {
    CarrierError::Unsupported { carrier: Carrier::Direct, reason: reason.to_owned() }
}

fn stopped(container: &Container) -> CarrierError {
    CarrierError::Stopped { container: container.name.clone() }
}

fn system(operation: &'static str) -> impl Fn(io::Error) -> CarrierError {
    move |source| CarrierError::System { operation, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_process_is_of_a_container_only_if_its_control_group_names_it() {
        for of in [
            format!("12:pids:/docker/{ID}\n0::/\n"),
            format!("0::/system.slice/docker-{ID}.scope\n"),
            format!("1:name=systemd:/docker/{ID}/init\n"),
            format!("0::/../{ID}\n"),
        ] {
            assert!(names_container(&of, ID), "{of}");
        }
        for other in [
            String::new(),
            "0::/init.scope\n".to_owned(),
            format!("0::/docker/{}\n", ID.replace('0', "1")),
            format!("0::/docker/{ID}x\n"),
            format!("0::/docker/{}\n", &ID[..63]),
            ID.to_owned(),
        ] {
            assert!(!names_container(&other, ID), "{other}");
        }
        assert!(!names_container("0::/\n", ""));
    }

    #[test]
    fn an_ended_process_is_noticed() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let number = Pid::from_child(&child);
        let pidfd = pidfd_open(number, PidfdFlags::empty()).unwrap();
        assert!(!has_exited(pidfd.as_fd()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(has_exited(pidfd.as_fd()));
    }

    fn claimed(pid: Option<u32>) -> Container {
        Container {
            id: ID.to_owned(),
            name: "claimed".to_owned(),
            image: String::new(),
            image_id: String::new(),
            running: true,
            paused: false,
            pid,
            started_at: None,
            labels: std::collections::BTreeMap::new(),
            hostname: String::new(),
            user: String::new(),
            pid_mode: String::new(),
            network_mode: String::new(),
            userns_mode: String::new(),
            read_only: false,
            privileged: false,
            networks: Vec::new(),
            mounts: Vec::new(),
        }
    }

    /// The engine named a number that by now is that of another process, or of none.
    #[test]
    fn a_number_that_was_used_again_is_not_trusted() {
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let number = other.id();
        let refused = Process::of(&claimed(Some(number)));
        assert!(matches!(refused, Err(CarrierError::Unsupported { .. })));
        let pinned = {
            let folder = rustix::fs::open(
                format!("/proc/{number}"),
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            );
            let pidfd = pidfd_open(Pid::from_child(&other), PidfdFlags::empty());
            Process { folder: folder.unwrap(), pidfd: pidfd.unwrap() }
        };
        other.kill().unwrap();
        other.wait().unwrap();
        // What was pinned stays that process, and it is gone: nothing can be read or opened through
        // it any more, whoever gets the number.
        assert!(pinned.open_root().is_err());
        assert!(pinned.read("cgroup").is_err());
        assert!(pinned.expect_alive(&claimed(Some(number))).is_err());
        assert!(matches!(
            Process::of(&claimed(Some(number))),
            Err(CarrierError::Unsupported { .. })
        ));
        assert!(matches!(Process::of(&claimed(None)), Err(CarrierError::Stopped { .. })));
    }
}
