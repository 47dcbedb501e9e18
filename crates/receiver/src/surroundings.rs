//! Looks at what the kernel shows of the container that this process is in.

use std::fs::File;
use std::io::Read;

use sealock_transfer::identify::{
    self, CGROUP_LIMIT, HOST_PID_NAMESPACE, MOUNTINFO_LIMIT, Sources,
};

/// How much is read of the small files.
const SMALL: usize = 64 * 1024;

/// What says which container this is.
pub fn sources() -> Sources {
    Sources {
        cgroup: read("/proc/self/cgroup", CGROUP_LIMIT),
        mountinfo: read("/proc/self/mountinfo", MOUNTINFO_LIMIT),
        hostname: Some(rustix::system::uname().nodename().to_bytes().to_vec()),
    }
}

/// Since when the first process of this pid namespace runs, in milliseconds since 1970. `None` in the
/// host's own namespace, whose first process is not the container's, and where it does not show.
pub fn started() -> Option<u64> {
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let number = identify::pid_namespace(namespace.as_os_str().as_encoded_bytes())?;
    if number == HOST_PID_NAMESPACE {
        return None;
    }
    identify::started(&read("/proc/1/stat", SMALL)?, &read("/proc/stat", 8 * 1024 * 1024)?)
}

/// A file, up to one byte more than the limit: the parser then sees that it is too long.
fn read(path: &str, limit: usize) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path).ok()?.take(limit as u64 + 1).read_to_end(&mut content).ok()?;
    Some(content)
}
