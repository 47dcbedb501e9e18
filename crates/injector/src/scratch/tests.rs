use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::*;

fn scratch(folder: &Path) -> Scratch {
    // A folder of the test's own in /dev/shm would not be found by `Storage::Memory`.
    Scratch::new(
        Storage::Summon { home: None, temporary: folder.to_owned(), runtime_folder: None },
        None,
    )
}

fn placement<'a>(path: &'a str, content: &'a [u8]) -> Placement<'a> {
    Placement { path, content, permissions: 0o640, overwrite: false, owner: None }
}

#[test]
fn values_are_in_memory_and_go_with_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = scratch(folder.path());
    assert!(!run.is_used());
    let (one, two) = (run.hold(b"one").unwrap(), run.hold(b"two\0").unwrap());
    assert_ne!(one, two);
    assert!(one.to_str().unwrap().starts_with("/dev/shm/.summon"), "{}", one.display());
    assert_eq!(fs::read(&two).unwrap(), b"two\0");
    assert_eq!(fs::metadata(&one).unwrap().mode() & 0o7777, 0o600);
    let ledger = run.open.as_ref().unwrap().ledger.path().to_owned();
    assert!(ledger.exists());
    run.clear().unwrap();
    assert!(!one.exists() && !two.exists() && !ledger.exists());
}

#[test]
fn a_placed_file_goes_and_what_was_there_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b/config.yml");
    let kept = folder.path().join("kept.yml");
    fs::write(&kept, "mine").unwrap();
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o604)).unwrap();
    let mut run = scratch(folder.path());
    let path = run.place(&placement(deep.to_str().unwrap(), b"secret")).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"secret");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o750);
    // Not without being asked to.
    let there = run.place(&placement(kept.to_str().unwrap(), b"secret")).unwrap_err();
    assert!(matches!(there, ScratchError::Exists { .. }));
    let over = Placement { overwrite: true, ..placement(kept.to_str().unwrap(), b"secret") };
    run.place(&over).unwrap();
    assert_eq!(fs::read(&kept).unwrap(), b"secret");
    assert!(matches!(run.place(&over).unwrap_err(), ScratchError::Twice { .. }));
    // The child writes it anew, under another inode, as editors do.
    fs::write(folder.path().join("new"), "secret of the child").unwrap();
    fs::rename(folder.path().join("new"), &kept).unwrap();
    run.clear().unwrap();
    assert!(!deep.exists());
    assert_eq!(fs::read(&kept).unwrap(), b"mine");
    assert_eq!(fs::metadata(&kept).unwrap().mode() & 0o777, 0o604);
    let left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_new_content_takes_the_place_at_once_and_the_first_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    fs::write(&path, "mine").unwrap();
    let mut run = scratch(folder.path());
    let text = path.to_str().unwrap();
    let over = |content| Placement { overwrite: true, ..placement(text, content) };
    run.place(&over(b"one")).unwrap();
    run.place_again(&over(b"two")).unwrap();
    run.place_again(&over(b"three")).unwrap();
    let held = run.hold(b"one").unwrap();
    run.hold_again(&held, b"two").unwrap();
    assert_eq!(fs::read(&held).unwrap(), b"two");
    assert_eq!(fs::read(&path).unwrap(), b"three");
    run.clear().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// As after SIGKILL: the lock is gone, the ledger and the files are there.
fn die(run: &mut Scratch) -> PathBuf {
    let open = run.open.take().unwrap();
    let path = open.ledger.path().to_owned();
    drop(open);
    path
}

#[test]
fn the_next_run_heals_what_a_killed_one_left() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    fs::write(&kept, "mine").unwrap();
    let new = folder.path().join("new");
    let mut run = scratch(folder.path());
    let value = run.hold(b"value").unwrap();
    run.place(&placement(new.to_str().unwrap(), b"secret")).unwrap();
    let over = Placement { overwrite: true, ..placement(kept.to_str().unwrap(), b"secret") };
    run.place(&over).unwrap();
    // While it lives, nobody touches it.
    let mut other = scratch(folder.path());
    other.hold(b"x").unwrap();
    assert!(value.exists());
    let ledger = die(&mut run);
    let mut other = scratch(folder.path());
    other.hold(b"x").unwrap();
    assert!(!value.exists() && !ledger.exists() && !new.exists());
    assert_eq!(fs::read(&kept).unwrap(), b"mine");
}

#[test]
fn what_somebody_else_has_put_there_later_stays() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new");
    let mut run = scratch(folder.path());
    run.place(&placement(new.to_str().unwrap(), b"secret")).unwrap();
    let ledger = die(&mut run);
    fs::write(folder.path().join("theirs"), "theirs").unwrap();
    fs::rename(folder.path().join("theirs"), &new).unwrap();
    scratch(folder.path()).storage.shelves().heal();
    assert!(!ledger.exists());
    assert_eq!(fs::read(&new).unwrap(), b"theirs");
}

#[test]
fn the_guardian_undoes_when_the_pipe_ends_without_farewell() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = scratch(folder.path());
    let value = run.hold(b"value").unwrap();
    let ledger = run.open.as_ref().unwrap().ledger.path().as_os_str().as_encoded_bytes().to_vec();
    // The run is alive: the lock says so, whatever the pipe says.
    guardian::serve([ledger.as_slice(), b"\0"].concat().as_slice());
    assert!(value.exists());
    die(&mut run);
    guardian::serve([ledger.as_slice(), b"\0done\0"].concat().as_slice());
    assert!(value.exists());
    guardian::serve([ledger.as_slice(), b"\0"].concat().as_slice());
    assert!(!value.exists());
}

#[test]
fn a_value_in_a_descriptor_has_no_name() {
    let (descriptor, path) = in_descriptor(b"value").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"value");
    assert_eq!(fs::read(&path).unwrap(), b"value", "each reader begins at the beginning");
    assert_eq!(rustix::fs::fstat(&descriptor).unwrap().st_nlink, 0, "no folder has it");
}
