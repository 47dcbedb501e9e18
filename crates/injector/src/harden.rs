//! What keeps this process's memory from others: no core file, no tracing by the same user.
//!
//! `PR_SET_DUMPABLE 0` also gives the files of `/proc/self` to root, so that another process of the same user
//! cannot read `environ` or `mem`. It ends with `execve`: the child is as any program. The limit on core files
//! is inherited, so that a child that crashes leaves none with its secrets either, where that is asked for.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior};

/// For this process only.
pub fn own_memory() {
    // A kernel that refuses this is not known; there is nothing better to do than to go on.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// No core file of this process and of what it starts.
pub fn no_core_files() {
    let now = rustix::process::getrlimit(Resource::Core);
    let none = Rlimit { current: Some(0), maximum: now.maximum };
    let _ = rustix::process::setrlimit(Resource::Core, none);
}
