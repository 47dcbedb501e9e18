//! Options that are texts of their own: logging, sysctls, temporary file systems.

use super::super::json::Value;
use super::{Risk, Settings};

/// Drivers that write where the engine keeps a container's files, or nowhere.
const LOG_DRIVERS: [&str; 5] = ["", "default", "json-file", "local", "none"];

/// Options of theirs; they name neither file nor address.
const LOG_OPTIONS: [&str; 15] = [
    "cache-compress",
    "cache-disabled",
    "cache-max-file",
    "cache-max-size",
    "compress",
    "env",
    "env-regex",
    "labels",
    "labels-regex",
    "max-buffer-size",
    "max-file",
    "max-size",
    "mode",
    "tag",
    "non-blocking",
];

pub(super) fn log(settings: &mut Settings, driver: &str, options: &[(String, Value)]) {
    settings.text("logDriver", driver);
    let harmless = LOG_DRIVERS.contains(&driver)
        && options.iter().all(|(key, _)| LOG_OPTIONS.contains(&key.as_str()));
    settings.risk_if(!harmless, Risk::LogConfig);
}

pub(super) fn sysctls(settings: &mut Settings, value: &Value) {
    for (key, _) in value.members("Sysctls") {
        settings.risk(Risk::Sysctls);
        // The kernel takes both signs, so that a rule needs to know one.
        settings.add("sysctls", key.replace('/', "."));
    }
}

/// Options of a tmpfs that have no value.
const TMPFS_FLAGS: [&str; 28] = [
    "",
    "defaults",
    "ro",
    "rw",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "sync",
    "async",
    "dirsync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "mand",
    "nomand",
    "private",
    "rprivate",
    "slave",
    "rslave",
    "unbindable",
];

/// Options of a tmpfs that have one.
const TMPFS_VALUES: [&str; 7] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];

pub(super) fn is_plain_tmpfs(options: &str) -> bool {
    options.split(',').all(|option| match option.split_once('=') {
        Some((key, _)) => TMPFS_VALUES.contains(&key),
        None => TMPFS_FLAGS.contains(&option),
    })
}
