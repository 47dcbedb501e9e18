//! How many files this process may have open, connections among them.

use rustix::process::{Resource, getrlimit};

/// Where there is no limit, as many as most kernels let a process have (`fs.nr_open`).
const UNLIMITED: u64 = 1 << 20;

/// How many descriptors this process may have, by its soft limit.
pub fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(UNLIMITED);
    usize::try_from(limit.min(UNLIMITED)).unwrap_or(usize::MAX)
}
