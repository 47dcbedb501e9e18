use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::*;

fn scratch(folder: &Path) -> Scratch {
    // Ledgers are the test's own, so that no other test heals what it left.
    scratch_with(folder, None)
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

/// A folder with the ledgers of a user who has one of his own.
fn own_shelf() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    folder
}

fn scratch_with(shelf: &Path, guardian: Option<GuardianProgram>) -> Scratch {
    let runtime_folder = Some(shelf.to_owned());
    Scratch::new(
        Storage::Summon { home: None, temporary: shelf.to_owned(), runtime_folder },
        guardian,
    )
}

fn heal(shelf: &Path) {
    scratch_with(shelf, None).storage.shelves().heal();
}

/// A run that put a file there and was killed, and its ledger.
fn killed(shelf: &Path, path: &Path) -> PathBuf {
    let mut run = scratch_with(shelf, None);
    run.place(&placement(path.to_str().unwrap(), b"secret")).unwrap();
    die(&mut run)
}

#[test]
fn a_ledger_is_believed_only_where_it_is_ours_alone() {
    let (shelf, folder) = (own_shelf(), tempfile::tempdir().unwrap());
    let path = folder.path().join("file");
    let ledger = killed(shelf.path(), &path);
    assert_eq!(ledger.parent(), Some(shelf.path()), "not where others can write");
    for mode in [0o666, 0o644, 0o4600] {
        fs::set_permissions(&ledger, fs::Permissions::from_mode(mode)).unwrap();
        heal(shelf.path());
        assert!(path.exists(), "{mode:o}");
    }
    fs::set_permissions(&ledger, fs::Permissions::from_mode(0o600)).unwrap();
    let second = shelf.path().join("second");
    fs::hard_link(&ledger, &second).unwrap();
    heal(shelf.path());
    assert!(path.exists(), "a second name");
    fs::remove_file(second).unwrap();
    heal(shelf.path());
    assert!(!path.exists() && !ledger.exists());
}

#[test]
fn a_ledger_in_shared_memory_is_believed_of_values_there_only() {
    let (shelf, folder) = (own_shelf(), tempfile::tempdir().unwrap());
    let path = folder.path().join("file");
    let mut run = scratch_with(shelf.path(), None);
    let value = run.hold(b"value").unwrap();
    run.place(&placement(path.to_str().unwrap(), b"secret")).unwrap();
    let ledger = die(&mut run);
    let planted = Path::new("/dev/shm").join(ledger.file_name().unwrap());
    fs::copy(&ledger, &planted).unwrap();
    fs::remove_file(&ledger).unwrap();
    heal(shelf.path());
    assert!(path.exists() && !value.exists());
    assert!(planted.exists(), "somebody else may believe it");
    fs::remove_file(planted).unwrap();
}

#[test]
fn our_file_goes_also_when_what_was_there_is_gone() {
    let (shelf, folder) = (own_shelf(), tempfile::tempdir().unwrap());
    let path = folder.path().join("kept");
    let over = || Placement { overwrite: true, ..placement(path.to_str().unwrap(), b"secret") };
    let without_aside = || {
        for entry in fs::read_dir(folder.path()).unwrap().flatten() {
            if entry.file_name() != "kept" {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    };
    fs::write(&path, "mine").unwrap();
    let mut run = scratch_with(shelf.path(), None);
    run.place(&over()).unwrap();
    without_aside();
    run.clear().unwrap();
    assert!(!path.exists());
    // What the child has put back itself stays.
    fs::write(&path, "mine").unwrap();
    let mut run = scratch_with(shelf.path(), None);
    run.place(&over()).unwrap();
    without_aside();
    fs::write(folder.path().join("back"), "mine").unwrap();
    fs::rename(folder.path().join("back"), &path).unwrap();
    run.clear().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn a_file_of_a_living_run_is_not_placed_over() {
    let (shelf, folder) = (own_shelf(), tempfile::tempdir().unwrap());
    let path = folder.path().join("kept");
    fs::write(&path, "mine").unwrap();
    let over =
        |content| Placement { overwrite: true, ..placement(path.to_str().unwrap(), content) };
    let mut first = scratch_with(shelf.path(), None);
    first.place(&over(b"one")).unwrap();
    let mut second = scratch_with(shelf.path(), None);
    let refused = second.place(&over(b"two")).unwrap_err();
    assert!(matches!(refused, ScratchError::InUse { .. }) && refused.hint().is_some());
    first.place_again(&over(b"one, later")).unwrap();
    let refused = second.place(&over(b"two")).unwrap_err();
    assert!(matches!(refused, ScratchError::InUse { .. }), "after a renewal too");
    assert_eq!(fs::read(&path).unwrap(), b"one, later");
    first.clear().unwrap();
    second.place(&over(b"two")).unwrap();
    second.clear().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn a_folder_that_becomes_a_link_is_not_followed() {
    let (shelf, folder) = (own_shelf(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    let path = at("cfg/key.pem");
    let bend = || {
        fs::rename(at("cfg"), at("moved")).unwrap();
        std::os::unix::fs::symlink(at("theirs"), at("cfg")).unwrap();
    };
    fs::create_dir(at("theirs")).unwrap();
    fs::write(at("theirs/key.pem"), "theirs").unwrap();
    let mut run = scratch_with(shelf.path(), None);
    let text = path.to_str().unwrap();
    run.place(&placement(text, b"one")).unwrap();
    bend();
    run.place_again(&placement(text, b"two")).unwrap();
    assert_eq!(fs::read(at("moved/key.pem")).unwrap(), b"two");
    run.clear().unwrap();
    assert!(!at("moved/key.pem").exists());
    assert_eq!(fs::read(at("theirs/key.pem")).unwrap(), b"theirs");

    // After a kill: neither through the link, nor in another folder of that name.
    fs::remove_file(at("cfg")).unwrap();
    fs::remove_dir(at("moved")).unwrap();
    let ledger = killed(shelf.path(), &path);
    bend();
    fs::hard_link(at("moved/key.pem"), at("theirs/own")).unwrap();
    fs::rename(at("theirs/own"), at("theirs/key.pem")).unwrap();
    heal(shelf.path());
    fs::remove_file(at("cfg")).unwrap();
    fs::rename(at("theirs"), at("cfg")).unwrap();
    heal(shelf.path());
    assert!(at("cfg/key.pem").exists() && ledger.exists());
    fs::rename(at("cfg"), at("theirs")).unwrap();
    fs::rename(at("moved"), at("cfg")).unwrap();
    heal(shelf.path());
    assert!(!path.exists() && !ledger.exists());
}

#[test]
fn a_link_on_the_way_is_the_users_choice() {
    let (shelf, folder) = (own_shelf(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("real")).unwrap();
    std::os::unix::fs::symlink(at("real"), at("link")).unwrap();
    let mut run = scratch_with(shelf.path(), None);
    run.place(&placement(at("link/file").to_str().unwrap(), b"secret")).unwrap();
    let twice = run.place(&placement(at("real/file").to_str().unwrap(), b"secret")).unwrap_err();
    assert!(matches!(twice, ScratchError::Twice { .. }));
    assert!(at("real/file").exists());
    die(&mut run);
    heal(shelf.path());
    assert!(!at("real/file").exists());
}

#[test]
fn a_kill_in_the_middle_of_a_renewal_leaves_nothing() {
    let (shelf, folder) = (own_shelf(), tempfile::tempdir().unwrap());
    let path = folder.path().join("file");
    let mut run = scratch_with(shelf.path(), None);
    run.place(&placement(path.to_str().unwrap(), b"one")).unwrap();
    // The new one is noted, and has not taken the place yet.
    let open = run.open.as_mut().unwrap();
    let spot = Spot::new(&Arc::new(Folder::open(folder.path()).unwrap()), "file");
    let mut next = open.ledger.placed_at(&spot).unwrap().clone();
    next.own = vec![folder::Identity { device: 1, inode: 2, born: 3 }];
    open.ledger.add(Entry::File(next)).unwrap();
    die(&mut run);
    heal(shelf.path());
    assert!(!path.exists());
}

#[test]
fn a_file_with_a_used_inode_is_another() {
    let (shelf, folder) = (own_shelf(), tempfile::tempdir().unwrap());
    let path = folder.path().join("file");
    let mut run = scratch_with(shelf.path(), None);
    run.place(&placement(path.to_str().unwrap(), b"one")).unwrap();
    let open = run.open.as_mut().unwrap();
    let spot = Spot::new(&Arc::new(Folder::open(folder.path()).unwrap()), "file");
    let born = spot.identity().unwrap().unwrap().born;
    if born == 0 {
        return; // The file system does not keep it.
    }
    let ledger = open.ledger.path().to_owned();
    die(&mut run);
    let text = fs::read(&ledger).unwrap();
    let text = String::from_utf8(text).unwrap();
    fs::write(&ledger, text.replace(&born.to_string(), &(born - 1).to_string())).unwrap();
    heal(shelf.path());
    assert!(path.exists() && !ledger.exists());
}

#[test]
fn only_a_folder_that_was_made_for_values_goes() {
    let (shelf, home) = (own_shelf(), own_shelf());
    let theirs = home.path().join(".tmp0123456789abcdef");
    fs::create_dir(&theirs).unwrap();
    // As a run does where there is no /dev/shm.
    let mut run = scratch_with(&theirs, None);
    run.hold(b"x").unwrap();
    let open = run.open.as_mut().unwrap();
    let made = place::own_folder(home.path(), &mut open.ledger).unwrap();
    let second = place::own_folder(home.path(), &mut open.ledger).unwrap();
    fs::write(second.join("kept"), "x").unwrap();
    run.clear().unwrap();
    assert!(theirs.exists() && !made.exists() && second.join("kept").exists());

    let mut run = scratch_with(shelf.path(), None);
    run.hold(b"x").unwrap();
    let made = place::own_folder(home.path(), &mut run.open.as_mut().unwrap().ledger).unwrap();
    die(&mut run);
    heal(shelf.path());
    assert!(!made.exists());
}

/// Not a test: what [`guardian_of_test`] starts. Without a pipe at its input it ends at once.
#[test]
#[ignore = "is the guardian of another test"]
fn as_guardian() {
    guardian::be();
}

fn guardian_of_test() -> GuardianProgram {
    let arguments = ["x", "--ignored", "--exact", "scratch::tests::as_guardian"];
    GuardianProgram {
        path: std::env::current_exe().unwrap(),
        arguments: arguments.map(Into::into).to_vec(),
    }
}

#[test]
fn the_guardian_outlives_what_ends_a_service_and_keeps_nothing_open() {
    use rustix::process::{Pid, Signal, kill_process};
    use sealock_testkit::wait::until;
    let shelf = own_shelf();
    // As a caller that left something open in us, and a value that only the child is to have.
    let open_by_caller = fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&open_by_caller, rustix::io::FdFlags::empty()).unwrap();
    let (_value, _) = in_descriptor(b"value").unwrap();
    let mut run = scratch_with(shelf.path(), Some(guardian_of_test()));
    let value = run.hold(b"value").unwrap();
    let Open { ledger, guardian, .. } = run.open.take().unwrap();
    let guardian = guardian.unwrap();
    let process = Pid::from_raw(i32::try_from(guardian.id()).unwrap()).unwrap();
    let proc = PathBuf::from(format!("/proc/{}", guardian.id()));
    let caught = 1_u64 << 14 | 1 << 1 | 1 | 1 << 2;
    until("the guardian to be ready", std::time::Duration::from_secs(30), || {
        let status = fs::read_to_string(proc.join("status")).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
        let ready = u64::from_str_radix(mask.trim(), 16).unwrap() & caught == caught;
        let descriptors = fs::read_dir(proc.join("fd")).unwrap().flatten();
        let left = descriptors.filter_map(|one| fs::read_link(one.path()).ok());
        let left: Vec<_> = left.map(|target| target.to_string_lossy().into_owned()).collect();
        assert!(!left.iter().any(|target| target.contains("memfd")), "{left:?}");
        (ready && left.len() == 3).then_some(())
    });
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        kill_process(process, signal).unwrap();
    }
    drop(ledger);
    guardian.abandon();
    assert!(!value.exists());
}

#[test]
fn a_value_in_a_descriptor_is_the_childs_alone() {
    use crate::child::{Child, Ended, Program, Streams};
    let (descriptor, path) = in_descriptor(b"value").unwrap();
    assert!(rustix::io::fcntl_getfd(&descriptor).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    let script = format!("test \"$(cat {})\" = value", path.display());
    let program = Program::new("/bin/sh".as_ref(), ["-c", &script], None).unwrap();
    let start = |descriptors: &[OwnedFd]| {
        let environment = crate::environment::Environment::inherited();
        let (streams, inherited) = (Streams::default(), crate::provider::Inherited::default());
        let child =
            Child::start(&program, &environment, &streams, &inherited, descriptors).unwrap();
        child.wait().unwrap()
    };
    assert_ne!(start(&[]), Ended::Code(0));
    assert_eq!(start(&[descriptor]), Ended::Code(0));
}
