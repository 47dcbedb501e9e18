//! The systemd unit of the daemon on this host, where there is one.

use std::fs;
use std::path::Path;

use sealock_docker::daemon::unit::{Conflict, conflict};

/// Where the unit may be; the first that is there counts.
const UNITS: [&str; 3] = [
    "etc/systemd/system/docker.service",
    "lib/systemd/system/docker.service",
    "usr/lib/systemd/system/docker.service",
];
/// Where its drop-ins are.
const DROP_INS: &str = "etc/systemd/system/docker.service.d";

/// What the unit under `root` says that daemon.json says too. Files that cannot be read are as if they
/// were not there: this is advice, and nothing is decided by it.
pub(super) fn conflict_on(root: &Path) -> Option<Conflict> {
    let unit = UNITS.iter().find_map(|path| fs::read_to_string(root.join(path)).ok())?;
    let mut paths: Vec<_> = fs::read_dir(root.join(DROP_INS))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "conf"))
        .collect();
    // systemd reads them by name.
    paths.sort();
    let drop_ins: Vec<String> =
        paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    let drop_ins: Vec<&str> = drop_ins.iter().map(String::as_str).collect();
    conflict(&unit, &drop_ins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_and_its_drop_ins_are_read_in_the_order_of_systemd() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(conflict_on(root.path()), None);
        write(UNITS[1], "[Service]\nExecStart=/usr/bin/dockerd -H fd://\n");
        let found = conflict_on(root.path()).unwrap();
        assert_eq!(found.flags, ["-H fd://"]);
        write(&format!("{DROP_INS}/b.conf"), &found.drop_in);
        assert_eq!(conflict_on(root.path()), None);
        let with = "[Service]\nExecStart=\nExecStart=dockerd -H tcp://x:1\n";
        write(&format!("{DROP_INS}/a.conf"), with);
        assert_eq!(conflict_on(root.path()), None, "the later one counts");
        write(&format!("{DROP_INS}/c.conf.off"), with);
        assert_eq!(conflict_on(root.path()), None, "that is no drop-in");
        write(UNITS[0], "[Service]\nExecStart=/usr/bin/dockerd\n");
        fs::remove_dir_all(root.path().join(DROP_INS)).unwrap();
        assert_eq!(conflict_on(root.path()), None, "the administrator's unit hides the other");
    }
}
