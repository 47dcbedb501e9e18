//! Which container this process is in, and since when that container runs: read from what the kernel
//! and Docker show to every process, by strict parsers of plain bytes.
//!
//! | source | says | strength |
//! | --- | --- | --- |
//! | `/proc/self/cgroup` | the full id, where the cgroup's own path is visible (v1; v2 with the host's cgroup namespace) | strong |
//! | `/proc/self/mountinfo` | the full id in the sources of the files that Docker mounts at `/etc/hostname`, `/etc/hosts`, `/etc/resolv.conf` | strong, but of the container whose *network* this one uses |
//! | host name | the id's first 12 digits, unless somebody chose another name | weak: asked only when the strong ones are silent |
//!
//! Strong sources must agree; a contradiction is an error. The one exception is a container that
//! shares another's network (`--network container:X`): Docker mounts X's files into it, and the sender
//! says so beforehand, so those count as silent.
//!
//! **What an attacker controls.** A privileged process in the container can mount over these files and
//! change the host name. It is then already able to read what is delivered there. What the sources are
//! for is that bytes for one container cannot be opened in another by mistake or by swapping names.

use std::fmt;

use thiserror::Error;

use crate::container::{ContainerId, ContainerPrefix};

/// The most that is read of `/proc/self/cgroup`.
pub const CGROUP_LIMIT: usize = 64 * 1024;
/// The most that is read of `/proc/self/mountinfo`; hosts with thousands of mounts stay below.
pub const MOUNTINFO_LIMIT: usize = 8 * 1024 * 1024;
/// The inode of the first pid namespace (`PROC_PID_INIT_INO` of the kernel): the host's own.
pub const HOST_PID_NAMESPACE: u64 = 4_026_531_836;

const CLOCK_TICKS_PER_SECOND: u64 = 100;

/// Why it cannot be said which container this is.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum IdentifyError {
    /// A line is not as the kernel writes it.
    #[error("line {line} of {file} is malformed")]
    Malformed {
        /// Which file.
        file: &'static str,
        /// Which line, from 1.
        line: usize,
    },
    /// A file is longer than it can honestly be.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// Two places in one file, or two files, name different containers.
    #[error("{first_source} names container {first:?} and {second_source} names {second:?}")]
    Contradiction {
        /// What the first one says.
        first: ContainerId,
        /// Which one it is.
        first_source: &'static str,
        /// What the second one says.
        second: ContainerId,
        /// Which one it is.
        second_source: &'static str,
    },
    /// Nothing names a container.
    #[error("neither cgroup, mounts nor host name say which container this is")]
    Unknown,
}

/// What there is to find out from. `None` is a file that is not there.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `/proc/self/cgroup`.
    pub cgroup: Option<Vec<u8>>,
    /// `/proc/self/mountinfo`.
    pub mountinfo: Option<Vec<u8>>,
    /// The host name.
    pub hostname: Option<Vec<u8>>,
}

/// Which sources a finding rests on.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    /// The cgroup's path.
    pub cgroup: bool,
    /// The mounts at `/etc`.
    pub mountinfo: bool,
    /// The host name.
    pub hostname: bool,
}

impl Evidence {
    /// As one byte.
    pub fn to_byte(self) -> u8 {
        u8::from(self.cgroup) | u8::from(self.mountinfo) << 1 | u8::from(self.hostname) << 2
    }

    /// From one byte; `None` for bits that mean nothing.
    pub fn from_byte(byte: u8) -> Option<Self> {
        (byte < 8).then_some(Self {
            cgroup: byte & 1 != 0,
            mountinfo: byte & 2 != 0,
            hostname: byte & 4 != 0,
        })
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            [(self.cgroup, "cgroup"), (self.mountinfo, "mountinfo"), (self.hostname, "hostname")];
        let mut used = names.iter().filter(|(used, _)| *used).map(|(_, name)| *name);
        formatter.write_str(used.next().unwrap_or("none"))?;
        used.try_for_each(|name| write!(formatter, "+{name}"))
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A container's id, as far as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// All of it.
    Id(ContainerId),
    /// Its beginning.
    Prefix(ContainerPrefix),
}

impl Known {
    /// Whether this can be the container `id`.
    pub fn fits(&self, id: &ContainerId) -> bool {
        match self {
            Self::Id(own) => own == id,
            Self::Prefix(own) => *own == id.prefix(),
        }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => fmt::Display::fmt(&id.prefix(), formatter),
            Self::Prefix(prefix) => fmt::Display::fmt(prefix, formatter),
        }
    }
}

/// What was found, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Which container this is.
    pub container: Known,
    /// By which sources.
    pub evidence: Evidence,
}

/// Finds out which container this is. `network_of` is the container whose network this one uses, where
/// it is another's: what the mounts and the host name say about that one says nothing about this one.
pub fn identify(
    sources: &Sources,
    network_of: Option<&ContainerId>,
) -> Result<Found, IdentifyError> {
    let by_cgroup = sources.cgroup.as_deref().map(from_cgroup).transpose()?.flatten();
    let by_mounts = sources.mountinfo.as_deref().map(from_mountinfo).transpose()?.flatten();
    let by_mounts = by_mounts.filter(|id| network_of != Some(id));
    if let (Some(first), Some(second)) = (by_cgroup, by_mounts) {
        agree((first, "the cgroup"), (second, "a mount at /etc"))?;
    }
    if let Some(id) = by_cgroup.or(by_mounts) {
        let evidence = Evidence {
            cgroup: by_cgroup.is_some(),
            mountinfo: by_mounts.is_some(),
            hostname: false,
        };
        return Ok(Found { container: Known::Id(id), evidence });
    }
    let by_name = sources.hostname.as_deref().and_then(from_hostname);
    match by_name.filter(|prefix| network_of.is_none_or(|id| id.prefix() != *prefix)) {
        Some(prefix) => Ok(Found {
            container: Known::Prefix(prefix),
            evidence: Evidence { hostname: true, ..Evidence::default() },
        }),
        None => Err(IdentifyError::Unknown),
    }
}

/// The container that the lines of `/proc/self/cgroup` name: the innermost one of each path, which all
/// lines must agree on. `None` when none is visible, as in a cgroup namespace of one's own (`0::/`).
pub fn from_cgroup(text: &[u8]) -> Result<Option<ContainerId>, IdentifyError> {
    if text.len() > CGROUP_LIMIT {
        return Err(IdentifyError::TooLong("/proc/self/cgroup"));
    }
    let mut found = None;
    for (index, line) in lines(text) {
        let malformed = IdentifyError::Malformed { file: "/proc/self/cgroup", line: index };
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (Some(hierarchy), Some(_), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(malformed);
        };
        if hierarchy.is_empty() || !hierarchy.iter().all(u8::is_ascii_digit) {
            return Err(malformed);
        }
        // An empty path is what the kernel shows for a process that is gone; `/..` leads out of the
        // cgroup namespace, to cgroups that are not this process's own.
        if path.is_empty() || path.starts_with(b"/..") {
            continue;
        }
        let Some(path) = path.strip_prefix(b"/") else {
            return Err(malformed);
        };
        let innermost = path.rsplit(|byte| *byte == b'/').find_map(cgroup_component);
        merge(&mut found, innermost, "a cgroup")?;
    }
    Ok(found)
}

/// `<id>` (cgroupfs driver), `docker-<id>.scope` (systemd driver) or `libpod-<id>.scope`.
fn cgroup_component(component: &[u8]) -> Option<ContainerId> {
    let scope = component
        .strip_suffix(b".scope")
        .and_then(|name| name.strip_prefix(b"docker-").or_else(|| name.strip_prefix(b"libpod-")));
    ContainerId::parse_bytes(scope.unwrap_or(component))
}

/// The container in whose folder the files mounted at `/etc/hostname`, `/etc/hosts` and
/// `/etc/resolv.conf` are, as the lines of `/proc/self/mountinfo` name it. Other mounts are not asked:
/// anybody may mount a folder with an id in its name. `None` when none of the three is there.
pub fn from_mountinfo(text: &[u8]) -> Result<Option<ContainerId>, IdentifyError> {
    if text.len() > MOUNTINFO_LIMIT {
        return Err(IdentifyError::TooLong("/proc/self/mountinfo"));
    }
    let mut found = None;
    for (index, line) in lines(text) {
        let malformed = IdentifyError::Malformed { file: "/proc/self/mountinfo", line: index };
        let mut fields = line.split(|byte| *byte == b' ');
        let (Some(root), Some(point)) = (fields.nth(3), fields.next()) else {
            return Err(malformed);
        };
        if !fields.any(|field| field == b"-") {
            return Err(malformed);
        }
        let (Some(root), Some(point)) = (unescape(root), unescape(point)) else {
            return Err(malformed);
        };
        let Some(name) = point.strip_prefix(b"/etc/") else {
            continue;
        };
        if matches!(name, b"hostname" | b"hosts" | b"resolv.conf") {
            merge(&mut found, mount_root(&root, name), "a mount at /etc")?;
        }
    }
    Ok(found)
}

/// `.../containers/<id>/<name>`, with the kernel's mark for a file that was replaced since.
fn mount_root(root: &[u8], name: &[u8]) -> Option<ContainerId> {
    let root = root.strip_suffix(b"//deleted").unwrap_or(root);
    let mut components = root.rsplit(|byte| *byte == b'/');
    let file = components.next()?;
    let id = ContainerId::parse_bytes(components.next()?)?;
    (file == name && components.next()? == b"containers").then_some(id)
}

/// The 12 digits that Docker makes the host name of by default.
pub fn from_hostname(name: &[u8]) -> Option<ContainerPrefix> {
    ContainerPrefix::parse(name.strip_suffix(b"\n").unwrap_or(name))
}

/// When the first process of a pid namespace started, in milliseconds since 1970, from `/proc/1/stat`
/// and `/proc/stat`. It is right to within two seconds (the kernel tells its start in whole seconds) as
/// long as the clock was not set since. `None` when a file is not as the kernel writes it.
pub fn started(first_process: &[u8], system: &[u8]) -> Option<u64> {
    // The name in parentheses may itself hold parentheses and blanks.
    let end = first_process.iter().rposition(|byte| *byte == b')')?;
    let after = std::str::from_utf8(first_process.get(end + 1..)?).ok()?;
    let ticks: u64 = after.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let boot = lines(system).find_map(|(_, line)| line.strip_prefix(b"btime "))?;
    let boot: u64 = std::str::from_utf8(boot).ok()?.trim_ascii().parse().ok()?;
    let since_boot = ticks.checked_mul(1000 / CLOCK_TICKS_PER_SECOND)?;
    boot.checked_mul(1000)?.checked_add(since_boot)
}

/// The inode in the target of `/proc/self/ns/pid`, such as `pid:[4026531836]`.
pub fn pid_namespace(link: &[u8]) -> Option<u64> {
    let digits = link.strip_prefix(b"pid:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn merge(
    found: &mut Option<ContainerId>,
    next: Option<ContainerId>,
    source: &'static str,
) -> Result<(), IdentifyError> {
    if let (Some(first), Some(second)) = (*found, next) {
        agree((first, source), (second, source))?;
    }
    *found = found.or(next);
    Ok(())
}

fn agree(
    (first, first_source): (ContainerId, &'static str),
    (second, second_source): (ContainerId, &'static str),
) -> Result<(), IdentifyError> {
    if first == second {
        return Ok(());
    }
    Err(IdentifyError::Contradiction { first, first_source, second, second_source })
}

/// Numbered from 1; the end of the last line ends no further, empty one.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let count = if text.is_empty() { 0 } else { usize::MAX };
    text.split(|byte| *byte == b'\n').take(count).enumerate().map(|(index, line)| (index + 1, line))
}

/// The kernel writes blank, tab, line end, backslash and `#` as three octal digits, and nothing else.
fn unescape(field: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        if *byte != b'\\' {
            plain.push(*byte);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(3)?;
        plain.push(match digits {
            b"040" => b' ',
            b"011" => b'\t',
            b"012" => b'\n',
            b"134" => b'\\',
            b"043" => b'#',
            _ => return None,
        });
        rest = after;
    }
    Some(plain)
}

#[cfg(test)]
mod tests;
