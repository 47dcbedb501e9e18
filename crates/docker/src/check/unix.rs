//! A socket of this host: who may connect.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde::Serialize;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::exchange::{ping, refused};
use super::report::Outcome;
use super::{CheckError, Endpoint, Probes, Report};

/// Who may connect to a socket, beside root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SocketAccess {
    /// The owner's name, or number where it has none.
    pub owner: String,
    /// The group's name, or number.
    pub group: String,
    /// In octal.
    pub mode: String,
    /// Who is in the group by the files of this host; empty where the group may not connect.
    pub members: Vec<String>,
    /// Whether every user of this host may connect.
    pub anybody: bool,
}

pub(super) async fn check(
    endpoint: &Endpoint,
    path: &Path,
    probes: &Probes,
) -> Result<Report, CheckError> {
    let broken = |source| CheckError::Socket { path: path.to_owned(), source };
    let access = access(path).map_err(broken)?;
    let outcome = match timeout(probes.deadline, UnixStream::connect(path)).await {
        Err(_) => Outcome::TimedOut,
        Ok(Err(source)) if source.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(CheckError::Connect { endpoint: endpoint.clone(), source });
        }
        Ok(Err(error)) => refused(&error),
        Ok(Ok(mut stream)) => {
            timeout(probes.deadline, ping(&mut stream, "docker")).await.unwrap_or(Outcome::TimedOut)
        }
    };
    Ok(Report::of_socket(endpoint.clone(), outcome, access))
}

fn access(path: &Path) -> io::Result<SocketAccess> {
    let real = fs::canonicalize(path)?;
    let metadata = fs::metadata(&real)?;
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a socket"));
    }
    let mode = metadata.mode() & 0o7777;
    // Whoever may not pass a folder above does not reach the socket either.
    let mut reached = true;
    for above in real.ancestors().skip(1) {
        reached &= fs::metadata(above)?.mode() & 0o001 != 0;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let members =
        if mode & 0o020 == 0 { Vec::new() } else { members(&groups, &users, metadata.gid()) };
    Ok(SocketAccess {
        owner: name(&users, metadata.uid()),
        group: name(&groups, metadata.gid()),
        mode: format!("{mode:04o}"),
        members,
        anybody: mode & 0o002 != 0 && reached,
    })
}

/// The fields of the lines of `/etc/passwd` and `/etc/group`.
fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

fn is(field: Option<&&str>, id: u32) -> bool {
    field.and_then(|field| field.parse().ok()) == Some(id)
}

fn name(text: &str, id: u32) -> String {
    let found = lines(text).find(|fields| is(fields.get(2), id));
    found.and_then(|fields| fields.first().map(ToString::to_string)).unwrap_or(id.to_string())
}

/// Those whom the group names, and those whose first group it is.
fn members(groups: &str, users: &str, id: u32) -> Vec<String> {
    let named = lines(groups)
        .filter(|fields| is(fields.get(2), id))
        .flat_map(|fields| fields.get(3).copied().unwrap_or_default().split(','));
    let own = lines(users)
        .filter(|fields| is(fields.get(3), id))
        .filter_map(|fields| fields.first().copied());
    let mut members: Vec<String> =
        named.chain(own).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    members.sort();
    members.dedup();
    members
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use sealock_testkit::scratch_folder;

    use super::*;

    #[test]
    fn members_are_those_of_both_files() {
        let groups = "root:x:0:\ndocker:x:999:ann,bob\nother:x:9:eve\n";
        let users = "root:x:0:0::/:/bin/sh\ncy:x:5:999::/:/bin/sh\nann:x:6:999::/:/bin/sh\n";
        assert_eq!(members(groups, users, 999), ["ann", "bob", "cy"]);
        assert_eq!(members(groups, users, 1000), Vec::<String>::new());
        assert_eq!(name(groups, 999), "docker");
        assert_eq!(name(groups, 12), "12");
    }

    #[test]
    fn a_socket_is_anybodys_only_when_they_can_reach_it() {
        let scratch = scratch_folder();
        let path = scratch.path().join("s.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let mode =
            |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        mode(scratch.path(), 0o755);
        mode(&path, 0o666);
        assert!(access(&path).unwrap().anybody);
        mode(&path, 0o660);
        assert!(!access(&path).unwrap().anybody);
        mode(&path, 0o666);
        mode(scratch.path(), 0o700);
        assert!(!access(&path).unwrap().anybody);
        assert!(access(scratch.path()).is_err());
    }
}
