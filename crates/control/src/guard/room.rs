//! For how much there is room in this process: what callers open must leave descriptors for the app and the feed, and memory
//! for the rest.

use std::fs;
use std::path::{Path, PathBuf};

use sealock_net::descriptors;

/// Descriptors for the feed, reports, whoever watches, files and the log.
const OWN: usize = 128;
/// For each processor's runtime.
const OF_PROCESSOR: usize = 4;
/// The fewest that are shared out, however few there are.
const FEWEST: usize = 32;
/// What a connection takes of memory at a bad moment: a long head, or the buffers of TLS and HTTP/2. One that is quiet takes
/// a third of it.
const OF_CONNECTION: u64 = 48 * 1024;
/// Connections to the app that each processor keeps while nobody needs them.
const IDLE: usize = 64;

/// For how much there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Connections of callers.
    pub(crate) connections: usize,
    /// Requests and streams at once; each may take a connection of ours.
    pub(crate) running: usize,
    /// Connections of ours that each processor keeps while nobody needs them.
    pub(crate) idle: usize,
}

impl Room {
    /// In this process, for at most so many connections of callers.
    pub(crate) fn here(connections: usize, processors: usize) -> Self {
        Self::within(descriptors(), memory(), connections, processors)
    }

    /// Three parts in five of the descriptors are for callers, the rest for the app. Half of the memory is for callers.
    fn within(
        descriptors: usize,
        memory: Option<u64>,
        connections: usize,
        processors: usize,
    ) -> Self {
        let own = OWN + OF_PROCESSOR * processors;
        let shared = descriptors.saturating_sub(own).max(FEWEST);
        let in_memory = memory.map_or(u64::MAX, |memory| memory / 2 / OF_CONNECTION);
        let in_memory = usize::try_from(in_memory).unwrap_or(usize::MAX).max(FEWEST);
        let connections = connections.min(shared / 5 * 3).min(in_memory);
        let rest = shared - connections;
        let idle = IDLE.min(rest / 4 / processors.max(1)).max(1);
        Self { connections, running: rest.saturating_sub(idle * processors).max(1), idle }
    }
}

/// The least memory that a control group of ours may have, if there is a limit.
fn memory() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let files = limits(&groups).into_iter();
    files.filter_map(|file| read(&fs::read_to_string(file).ok()?)).min()
}

/// A limit; `max` is none.
fn read(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The files with the limits of our groups and of those around them, as far as they are to be seen from here.
fn limits(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            it if it.split(',').any(|it| it == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        files.extend(path.ancestors().map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn callers_leave_descriptors_for_the_app_and_memory_for_the_rest() {
        let usual = Room::within(524_288, None, 20_000, 8);
        assert_eq!((usual.connections, usual.idle), (20_000, 64));
        assert!(usual.running > 400_000);
        // As a sidecar has it.
        assert_eq!(Room::within(1 << 20, Some(GIB / 2), 20_000, 2).connections, 5461);
        for processors in [1, 2, 8, 64] {
            for descriptors in [256, 1024, 4096, 20_000, 65_536] {
                let room = Room::within(descriptors, Some(8 * GIB), 20_000, processors);
                let taken = room.connections + room.running + room.idle * processors;
                let own = OWN + OF_PROCESSOR * processors;
                if descriptors >= own + FEWEST {
                    assert!(taken + own <= descriptors, "{descriptors} {room:?}");
                }
                assert!(room.connections >= 16 && room.running >= 1, "{descriptors} {room:?}");
            }
        }
        assert!(Room::within(64, Some(1), 20_000, 1).connections >= 16);
    }

    #[test]
    fn the_limits_of_groups_are_where_the_kernel_has_them() {
        let files = |groups: &str| -> Vec<String> {
            limits(groups).iter().map(|file| file.display().to_string()).collect()
        };
        assert_eq!(
            files("0::/a.slice/b\n"),
            [
                "/sys/fs/cgroup/a.slice/b/memory.max",
                "/sys/fs/cgroup/a.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(files("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
        assert_eq!(
            files("4:cpu,memory:/docker/x\n3:cpuset:/y\nodd\n"),
            [
                "/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
        assert_eq!((read("536870912\n"), read("max\n"), read("")), (Some(GIB / 2), None, None));
    }
}
