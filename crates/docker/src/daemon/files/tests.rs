use sealock_core::{SubjectName, Timestamp};
use sealock_testkit::scratch_folder;

use super::*;
use crate::daemon::scratch::{Authority, DAY, For, Leaf};

const NAMES: [&str; 2] = ["docker.test", "10.0.0.1"];

fn start() -> Timestamp {
    Timestamp::from_secs(1_800_000_000)
}

fn names() -> Vec<SubjectName> {
    vec![SubjectName::dns(NAMES[0]).unwrap(), SubjectName::ip(NAMES[1]).unwrap()]
}

fn server(authority: &Authority, leaf: &Leaf) -> ServerFiles {
    ServerFiles {
        ca_pem: authority.pem(),
        cert_pem: leaf.certificate.clone(),
        key_pem: leaf.key.clone(),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn reason(folder: &Path, authority: &Authority, days: u32) -> Option<Reason> {
    let (ca_pem, names) = (authority.pem(), names());
    let wanted = Wanted { ca_pem: &ca_pem, names: &names };
    Existing::read(folder, Side::Server).unwrap().needs_renewal(&wanted, start().plus(DAY * days))
}

#[test]
fn nobody_but_the_owner_can_read_the_key() {
    let scratch = scratch_folder();
    let folder = scratch.path().join("new/tls");
    let authority = Authority::named("a");
    let files = server(&authority, &authority.leaf(For::Server, &NAMES));
    for _ in 0..2 {
        files.write(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("server-key.pem")), 0o400);
        assert_eq!(mode(&folder.join("server-cert.pem")), 0o444);
        assert_eq!(mode(&folder.join("ca.pem")), 0o444);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3, "nothing else is left");
    }
}

#[test]
fn a_folder_with_other_things_keeps_its_mode() {
    let scratch = scratch_folder();
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o755)).unwrap();
    fs::write(scratch.path().join("config.json"), "{}").unwrap();
    let authority = Authority::named("a");
    server(&authority, &authority.leaf(For::Server, &NAMES)).write(scratch.path()).unwrap();
    assert_eq!(mode(scratch.path()), 0o755);
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    let scratch = scratch_folder();
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o1777)).unwrap();
    let authority = Authority::named("a");
    let files = server(&authority, &authority.leaf(For::Server, &NAMES));
    let error = files.write(scratch.path()).unwrap_err();
    assert!(matches!(error, FilesError::Writable { mode: 0o1777, .. }), "{error}");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn a_link_in_a_files_place_is_replaced_and_not_followed() {
    let scratch = scratch_folder();
    let (folder, victim) = (scratch.path().join("tls"), scratch.path().join("victim"));
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, folder.join("server-key.pem")).unwrap();
    let authority = Authority::named("a");
    server(&authority, &authority.leaf(For::Server, &NAMES)).write(&folder).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert!(fs::symlink_metadata(folder.join("server-key.pem")).unwrap().is_file());
}

#[test]
fn what_does_not_fit_together_is_never_written() {
    let scratch = scratch_folder();
    let folder = scratch.path().join("tls");
    let (ours, theirs) = (Authority::named("a"), Authority::named("a"));
    let (good, other) = (ours.leaf(For::Server, &NAMES), ours.leaf(For::Server, &NAMES));
    let refused = |files: ServerFiles| match files.write(&folder).unwrap_err() {
        FilesError::Unfit(reason) => reason,
        error => panic!("{error}"),
    };
    let mut files = server(&ours, &good);
    files.key_pem = other.key;
    assert_eq!(refused(files), Reason::KeyDoesNotFit);
    assert!(matches!(refused(server(&theirs, &good)), Reason::DoesNotVerify(_)));
    let client = ours.leaf(For::Client, &NAMES);
    assert!(matches!(refused(server(&ours, &client)), Reason::DoesNotVerify(_)));
    let mut files = server(&ours, &good);
    files.cert_pem.truncate(files.cert_pem.len() / 2);
    assert_eq!(refused(files), Reason::Damaged("server-cert.pem"));
    assert!(!folder.exists());
}

#[test]
fn two_runs_at_once_are_kept_apart() {
    let scratch = scratch_folder();
    let authority = Authority::named("a");
    let files = server(&authority, &authority.leaf(For::Server, &NAMES));
    let folder = scratch.path().join("tls");
    let held = Held::folder(&folder, Side::Server).unwrap();
    assert!(matches!(files.write(&folder), Err(FilesError::Busy { .. })));
    drop(held);
    files.write(&folder).unwrap();
}

/// Does the steps of a write up to `steps`, as a killed run would.
fn killed_after(steps: usize, folder: &Path, files: &ServerFiles) {
    let held = Held::folder(folder, Side::Server).unwrap();
    let contents = [
        ("server-key.pem", files.key_pem.expose()),
        ("server-cert.pem", files.cert_pem.as_bytes()),
        ("ca.pem", files.ca_pem.as_bytes()),
    ];
    for (name, content) in contents.iter().take(steps) {
        held.stage(name, content, 0o400).unwrap();
    }
    for (name, _) in contents.iter().take(steps.saturating_sub(3)) {
        fs::rename(staged(folder, name), folder.join(name)).unwrap();
    }
}

#[test]
fn a_kill_at_any_step_leaves_the_old_or_the_new_set() {
    for other_authority in [false, true] {
        for steps in 0..=6 {
            let scratch = scratch_folder();
            let folder = scratch.path().join("tls");
            let old_authority = Authority::named("a");
            let another = Authority::named("a");
            let new_authority = if other_authority { &another } else { &old_authority };
            let old = server(&old_authority, &old_authority.leaf(For::Server, &NAMES));
            let new = server(new_authority, &new_authority.leaf(For::Server, &NAMES));
            old.write(&folder).unwrap();
            killed_after(steps, &folder, &new);
            let found = Existing::read(&folder, Side::Server).unwrap();
            assert_eq!(found.does_not_work(), None, "after {steps} steps");
            let key = fs::read(folder.join("server-key.pem")).unwrap();
            let is_new = key == new.key_pem.expose();
            assert_eq!(is_new, steps >= if other_authority { 3 } else { 2 }, "after {steps} steps");
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 3, "after {steps} steps");
        }
    }
}

#[test]
fn what_a_killed_run_had_not_finished_is_removed() {
    let scratch = scratch_folder();
    let folder = scratch.path().join("tls");
    let authority = Authority::named("a");
    let files = server(&authority, &authority.leaf(For::Server, &NAMES));
    files.write(&folder).unwrap();
    let torn = Unnamed::write(&folder.join("server-key.pem"), b"-----BEG", 0o400, None).unwrap();
    std::mem::forget(torn);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 4);
    files.write(&folder).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
}

#[test]
fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
    let scratch = scratch_folder();
    let folder = scratch.path().join("tls");
    let authority = Authority::named("a");
    assert_eq!(reason(&folder, &authority, 0), Some(Reason::Missing("ca.pem")));
    let leaf = authority.leaf_from(For::Server, &NAMES, start(), 90);
    server(&authority, &leaf).write(&folder).unwrap();
    assert_eq!(reason(&folder, &authority, 0), None);
    assert_eq!(reason(&folder, &authority, 59), None);
    assert_eq!(reason(&folder, &authority, 60), Some(Reason::NearItsEnd { days_left: 30 }));
    assert_eq!(reason(&folder, &authority, 91), Some(Reason::NearItsEnd { days_left: -1 }));
    let existing = Existing::read(&folder, Side::Server).unwrap();
    assert_eq!(existing.days_left(start().plus(DAY)), Some(89));
    assert_eq!(existing.names(), names());
    let wanted = Wanted { ca_pem: &authority.pem(), names: &names() };
    let early = existing.needs_renewal(&wanted, start().minus(DAY));
    assert_eq!(early, Some(Reason::NotYetValid));
}

#[test]
fn other_names_and_another_authority_are_reasons() {
    let scratch = scratch_folder();
    let folder = scratch.path().join("tls");
    let authority = Authority::named("a");
    let leaf = authority.leaf_from(For::Server, &["docker.test", "old.test"], start(), 90);
    server(&authority, &leaf).write(&folder).unwrap();
    let missing = vec![SubjectName::ip("10.0.0.1").unwrap()];
    let extra = vec![SubjectName::dns("old.test").unwrap()];
    assert_eq!(reason(&folder, &authority, 0), Some(Reason::Names { missing, extra }));
    let another = Authority::named("a");
    assert_eq!(reason(&folder, &another, 0), Some(Reason::OtherAuthority));
}

#[test]
fn damage_is_a_reason() {
    let scratch = scratch_folder();
    let folder = scratch.path().join("tls");
    let authority = Authority::named("a");
    let leaf = authority.leaf_from(For::Server, &NAMES, start(), 90);
    server(&authority, &leaf).write(&folder).unwrap();
    let key = folder.join("server-key.pem");
    fs::remove_file(&key).unwrap();
    assert_eq!(reason(&folder, &authority, 0), Some(Reason::Missing("server-key.pem")));
    fs::write(&key, "").unwrap();
    assert_eq!(reason(&folder, &authority, 0), Some(Reason::Damaged("server-key.pem")));
    let other = authority.leaf(For::Server, &NAMES);
    fs::write(&key, other.key.expose()).unwrap();
    assert_eq!(reason(&folder, &authority, 0), Some(Reason::KeyDoesNotFit));
}
