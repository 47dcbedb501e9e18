use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::plan::Destination;

/// A folder that stands for a container's root, with a marker beside it that nobody may touch.
struct Scratch {
    outer: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Self {
        // In memory where that is to be had: otherwise these tests mostly wait for the disk.
        let outer = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        fs::create_dir(outer.path().join("root")).unwrap();
        fs::create_dir(outer.path().join("outside")).unwrap();
        fs::write(outer.path().join("outside/marker"), "untouched").unwrap();
        Self { outer }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.outer.path().join("root").join(inside)
    }

    fn root(&self) -> Root {
        Root::from_fd(OwnedFd::from(fs::File::open(self.path("")).unwrap())).unwrap()
    }

    fn read(&self, inside: &str) -> String {
        fs::read_to_string(self.path(inside)).unwrap()
    }

    fn names(&self, inside: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(inside))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Nothing outside of the root was made, changed or removed.
    fn assert_outside_untouched(&self) {
        let outside = self.outer.path().join("outside");
        assert_eq!(fs::read_to_string(outside.join("marker")).unwrap(), "untouched");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        assert_eq!(fs::read_dir(self.outer.path()).unwrap().count(), 2);
    }
}

fn plan(path: &str, shape: Shape, bytes: u64, members: u64) -> Plan {
    Plan {
        destination: Destination::parse(path, shape).unwrap(),
        owner: None,
        mode: None,
        announced: Announced { bytes, members },
        memory_only: false,
    }
}

fn member(path: &str) -> MemberPath {
    MemberPath::parse(path.as_bytes()).unwrap()
}

fn send_file(root: &Root, path: &str, content: &[u8]) -> Result<Landed, LandingError> {
    let plan = plan(path, Shape::File, content.len() as u64, 1);
    let mut landing = Landing::begin(root, &plan)?;
    landing.whole_file(&member("x"), 0o644, content.len() as u64, &mut &*content)?;
    landing.finish()
}

/// Files with parents before children; a name that ends in a slash is a folder, `a -> b` a link.
fn send_tree(root: &Root, path: &str, members: &[(&str, &str)]) -> Result<Landed, LandingError> {
    let bytes = members.iter().map(|(_, content)| content.len() as u64).sum();
    let mut landing =
        Landing::begin(root, &plan(path, Shape::Folder, bytes, members.len() as u64))?;
    for (name, content) in members {
        if let Some(folder) = name.strip_suffix('/') {
            landing.folder(&member(folder), 0o750)?;
        } else if let Some((link, target)) = name.split_once(" -> ") {
            landing.symlink(&member(link), target.as_bytes())?;
        } else {
            let mut source = content.as_bytes();
            landing.whole_file(&member(name), 0o640, content.len() as u64, &mut source)?;
        }
    }
    landing.finish()
}

#[test]
fn a_file_is_made_replaced_and_left_alone_when_it_is_the_same() {
    let scratch = Scratch::new();
    let root = scratch.root();
    let first = send_file(&root, "/run/app/key", b"one").unwrap();
    assert_eq!((first.replaced, first.changed, first.files, first.bytes), (false, true, 1, 3));
    assert_eq!(first.path, "/run/app/key");
    assert_eq!(scratch.read("run/app/key"), "one");
    assert_eq!(fs::metadata(scratch.path("run/app")).unwrap().mode() & 0o7777, 0o755);
    let inode = fs::metadata(scratch.path("run/app/key")).unwrap().ino();

    let again = send_file(&root, "/run/app/key", b"one").unwrap();
    assert_eq!((again.replaced, again.changed), (true, false));
    assert_eq!(again.sha256, first.sha256);
    assert_eq!(fs::metadata(scratch.path("run/app/key")).unwrap().ino(), inode);

    let other = send_file(&root, "/run/app/key", b"two").unwrap();
    assert_eq!((other.replaced, other.changed), (true, true));
    assert_eq!(scratch.read("run/app/key"), "two");
    assert_eq!(scratch.names("run/app"), ["key"]);
}

#[test]
fn the_digest_of_a_file_is_that_of_its_content() {
    let scratch = Scratch::new();
    let landed = send_file(&scratch.root(), "/x", b"abc").unwrap();
    assert_eq!(
        data_encoding::HEXLOWER.encode(&landed.sha256),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn large_files_are_hashed_as_they_are_written() {
    let scratch = Scratch::new();
    let content: Vec<u8> = (0..9_000_001_u32).map(|at| (at % 251) as u8).collect();
    let landed = send_file(&scratch.root(), "/large", &content).unwrap();
    let expected = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &content);
    assert_eq!(landed.sha256, expected.as_ref());
    assert_eq!(fs::read(scratch.path("large")).unwrap(), content);
    assert!(!send_file(&scratch.root(), "/large", &content).unwrap().changed);
    let mut changed = content;
    *changed.last_mut().unwrap() ^= 1;
    assert!(send_file(&scratch.root(), "/large", &changed).unwrap().changed);
    assert_eq!(fs::read(scratch.path("large")).unwrap(), changed);
}

#[test]
fn owner_and_mode_are_there_from_the_first_moment() {
    if sealock_testkit::clients::skip_without_root() {
        return;
    }
    let scratch = Scratch::new();
    let mut plan = plan("/x", Shape::File, 1, 1);
    (plan.owner, plan.mode) = (Some((1234, 4321)), Some(0o400));
    let mut landing = Landing::begin(&scratch.root(), &plan).unwrap();
    landing.file(&member("x"), 0o4777, 1, &mut &b"x"[..]).unwrap();
    assert!(landing.finish().unwrap().changed);
    let is = fs::metadata(scratch.path("x")).unwrap();
    assert_eq!((is.uid(), is.gid(), is.mode() & 0o7777), (1234, 4321, 0o400));

    // The same content with another owner is a change.
    plan.owner = Some((1234, 0));
    let mut landing = Landing::begin(&scratch.root(), &plan).unwrap();
    landing.file(&member("x"), 0o4777, 1, &mut &b"x"[..]).unwrap();
    assert!(landing.finish().unwrap().changed);
    assert_eq!(fs::metadata(scratch.path("x")).unwrap().gid(), 0);
}

#[test]
fn bits_that_change_who_runs_a_program_are_not_kept() {
    let scratch = Scratch::new();
    let mut landing = Landing::begin(&scratch.root(), &plan("/x", Shape::File, 0, 1)).unwrap();
    landing.file(&member("x"), 0o6755, 0, &mut &b""[..]).unwrap();
    landing.finish().unwrap();
    assert_eq!(fs::metadata(scratch.path("x")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn a_folder_is_swapped_as_a_whole() {
    let scratch = Scratch::new();
    let root = scratch.root();
    let first = send_tree(
        &root,
        "/certs",
        &[("a", "1"), ("d/", ""), ("d/e/", ""), ("d/e/f", "2"), ("d/l -> e/f", ""), ("gone", "3")],
    )
    .unwrap();
    let version = first.version.clone().unwrap();
    assert_eq!((first.replaced, first.changed, first.files, first.bytes), (false, true, 3, 3));
    assert_eq!(scratch.names("certs"), [&version, "..data", "a", "d", "gone"]);
    assert_eq!(scratch.read("certs/a"), "1");
    assert_eq!(scratch.read("certs/d/l"), "2");
    assert_eq!(fs::read_link(scratch.path("certs/a")).unwrap(), Path::new("..data/a"));
    assert_eq!(fs::read_link(scratch.path("certs/..data")).unwrap(), Path::new(&version));
    let mode = |path: &str| fs::metadata(scratch.path(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("certs/..data/"), mode("certs/d"), mode("certs/a")), (0o755, 0o750, 0o640));

    let second = send_tree(&root, "/certs", &[("a", "9"), ("new", "8")]).unwrap();
    let version = second.version.clone().unwrap();
    assert_eq!((second.replaced, second.changed), (true, true));
    assert_eq!(scratch.names("certs"), [&version, "..data", "a", "new"]);
    assert_eq!(scratch.read("certs/a"), "9");

    let third = send_tree(&root, "/certs", &[("a", "9"), ("new", "8")]).unwrap();
    assert_eq!((third.replaced, third.changed), (true, false));
    assert_eq!(third.version, Some(version));
    assert_eq!(third.sha256, second.sha256);

    // One byte, one mode, one name more or less: each is a change.
    assert!(send_tree(&root, "/certs", &[("a", "9"), ("new", "7")]).unwrap().changed);
    assert!(send_tree(&root, "/certs", &[("a", "9")]).unwrap().changed);
    assert!(send_tree(&root, "/certs", &[("a", "9"), ("d/", "")]).unwrap().changed);
    fs::set_permissions(scratch.path("certs/a"), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(send_tree(&root, "/certs", &[("a", "9"), ("d/", "")]).unwrap().changed);
    assert_eq!(mode("certs/a"), 0o640);
    fs::write(scratch.path("certs/d/planted"), "x").unwrap();
    assert!(send_tree(&root, "/certs", &[("a", "9"), ("d/", "")]).unwrap().changed);
    assert!(!scratch.path("certs/d/planted").exists());
}

#[test]
fn a_missing_link_at_the_top_is_mended() {
    let scratch = Scratch::new();
    let root = scratch.root();
    send_tree(&root, "/certs", &[("a", "1")]).unwrap();
    fs::remove_file(scratch.path("certs/a")).unwrap();
    assert!(send_tree(&root, "/certs", &[("a", "1")]).unwrap().changed);
    assert_eq!(scratch.read("certs/a"), "1");
}

#[test]
fn the_mode_of_a_plan_lets_folders_be_entered_by_who_may_read() {
    let scratch = Scratch::new();
    let mut plan = plan("/certs", Shape::Folder, 0, 2);
    plan.mode = Some(0o440);
    let mut landing = Landing::begin(&scratch.root(), &plan).unwrap();
    landing.folder(&member("d"), 0o777).unwrap();
    landing.file(&member("d/f"), 0o777, 0, &mut &b""[..]).unwrap();
    landing.finish().unwrap();
    let mode = |path: &str| fs::metadata(scratch.path(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("certs/..data/"), mode("certs/d"), mode("certs/d/f")), (0o550, 0o550, 0o440));
}

#[test]
fn what_others_put_there_stays_and_is_never_overwritten() {
    let scratch = Scratch::new();
    let root = scratch.root();
    fs::create_dir(scratch.path("certs")).unwrap();
    fs::write(scratch.path("certs/own"), "theirs").unwrap();
    symlink("own", scratch.path("certs/link")).unwrap();
    send_tree(&root, "/certs", &[("a", "1")]).unwrap();
    for taken in ["own", "link"] {
        let refused = send_tree(&root, "/certs", &[("a", "2"), (taken, "mine")]).unwrap_err();
        assert!(matches!(refused, LandingError::Foreign { .. }), "{refused:?}");
    }
    assert_eq!(scratch.read("certs/own"), "theirs");
    assert_eq!(scratch.read("certs/a"), "1");
    assert_eq!(scratch.names("certs").len(), 5);
}

#[test]
fn an_aborted_landing_leaves_the_old_content_and_nothing_else() {
    let scratch = Scratch::new();
    let root = scratch.root();
    send_file(&root, "/file", b"old").unwrap();
    send_tree(&root, "/certs", &[("a", "old")]).unwrap();
    let before = (scratch.names(""), scratch.names("certs"));

    let mut landing = Landing::begin(&root, &plan("/file", Shape::File, 3, 1)).unwrap();
    landing.file(&member("x"), 0o644, 3, &mut &b"new"[..]).unwrap();
    drop(landing);
    let mut landing = Landing::begin(&root, &plan("/certs", Shape::Folder, 6, 4)).unwrap();
    landing.file(&member("a"), 0o644, 3, &mut &b"new"[..]).unwrap();
    landing.folder(&member("d"), 0o755).unwrap();
    landing.file(&member("d/b"), 0o644, 3, &mut &b"new"[..]).unwrap();
    drop(landing);

    assert_eq!((scratch.names(""), scratch.names("certs")), before);
    assert_eq!(scratch.read("file"), "old");
    assert_eq!(scratch.read("certs/a"), "old");
}

#[test]
fn two_landings_at_one_place_do_not_mix() {
    let scratch = Scratch::new();
    let root = scratch.root();
    for shape in [Shape::File, Shape::Folder] {
        let path = if shape == Shape::File { "/one/file" } else { "/one/folder" };
        let first = Landing::begin(&root, &plan(path, shape, 0, 1)).unwrap();
        let second = Landing::begin(&root, &plan(path, shape, 0, 1)).unwrap_err();
        assert!(matches!(second, LandingError::Busy { .. }), "{second:?}");
        // Another name in the same folder is another place.
        drop(Landing::begin(&root, &plan("/one/other", shape, 0, 1)).unwrap());
        drop(first);
        drop(Landing::begin(&root, &plan(path, shape, 0, 1)).unwrap());
    }
}

#[test]
fn exactly_what_was_announced_has_to_come() {
    let scratch = Scratch::new();
    let root = scratch.root();
    send_tree(&root, "/certs", &[("a", "old")]).unwrap();
    let begin = |bytes, members| {
        Landing::begin(&root, &plan("/certs", Shape::Folder, bytes, members)).unwrap()
    };
    let mut landing = begin(2, 1);
    let refused = landing.file(&member("a"), 0o644, 3, &mut &b"new"[..]).unwrap_err();
    assert!(matches!(refused, LandingError::MoreThanAnnounced { what: "bytes", .. }));
    drop(landing);
    let mut landing = begin(9, 1);
    landing.folder(&member("d"), 0o755).unwrap();
    let refused = landing.folder(&member("e"), 0o755).unwrap_err();
    assert!(matches!(refused, LandingError::MoreThanAnnounced { what: "members", .. }));
    let refused = landing.finish().unwrap_err();
    assert!(matches!(refused, LandingError::LessThanAnnounced { what: "bytes", .. }));
    let refused = begin(0, 1).finish().unwrap_err();
    assert!(matches!(refused, LandingError::LessThanAnnounced { what: "members", .. }));
    assert_eq!(scratch.read("certs/a"), "old");
    assert_eq!(scratch.names("certs").len(), 3);
}

#[test]
fn a_source_that_changes_is_noticed() {
    let scratch = Scratch::new();
    let root = scratch.root();
    for (size, content) in [(4, &b"abc"[..]), (2, b"abc")] {
        let mut landing = Landing::begin(&root, &plan("/x", Shape::File, size, 1)).unwrap();
        let refused = landing.whole_file(&member("x"), 0o644, size, &mut &*content).unwrap_err();
        assert!(matches!(refused, LandingError::SourceChanged(_)), "{refused:?}");
        drop(landing);
    }
    assert!(scratch.names("").is_empty());
}

#[test]
fn a_stopped_landing_ends_between_two_pieces() {
    struct Endless<'a>(&'a Watch, u64);
    impl Read for Endless<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 += buffer.len() as u64;
            if self.1 > 8 * 1024 * 1024 {
                self.0.stop();
            }
            Ok(buffer.len())
        }
    }
    let scratch = Scratch::new();
    let size = 1 << 40;
    let plan = plan("/x", Shape::File, size, 1);
    let mut landing = Landing::begin(&scratch.root(), &plan).unwrap();
    let watch = landing.watch();
    let stopped = landing.file(&member("x"), 0o644, size, &mut Endless(&watch, 0)).unwrap_err();
    assert!(matches!(stopped, LandingError::Stopped { .. }), "{stopped:?}");
    assert!(watch.written() >= 4 * 1024 * 1024);
    drop(landing);
    assert!(scratch.names("").is_empty());
}

#[test]
fn what_cannot_be_replaced_is_refused_before_anything_is_written() {
    let scratch = Scratch::new();
    let root = scratch.root();
    fs::create_dir(scratch.path("folder")).unwrap();
    fs::write(scratch.path("file"), "x").unwrap();
    rustix::fs::mknodat(
        fs::File::open(scratch.path("")).unwrap(),
        "pipe",
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let before = scratch.names("");
    let begin = |path: &str, shape| Landing::begin(&root, &plan(path, shape, 0, 1)).unwrap_err();
    let error = begin("/folder", Shape::File);
    assert!(matches!(error, LandingError::IsAFolder { .. }), "{error:?}");
    let error = begin("/pipe", Shape::File);
    assert!(matches!(error, LandingError::NotAFile { .. }), "{error:?}");
    let error = begin("/file", Shape::Folder);
    assert!(matches!(error, LandingError::NotAFolder { .. }), "{error:?}");
    let error = begin("/file/below", Shape::File);
    assert!(matches!(error, LandingError::NotAFolder { .. }), "{error:?}");
    assert_eq!(scratch.names(""), before);
}

#[test]
fn names_may_be_as_long_as_the_file_system_takes() {
    let scratch = Scratch::new();
    let root = scratch.root();
    let longest = format!("/{}", "n".repeat(255));
    send_file(&root, &longest, b"x").unwrap();
    assert_eq!(scratch.read(&longest[1..]), "x");
    assert!(Destination::parse(&format!("{longest}n"), Shape::File).is_err());
}

#[test]
fn a_link_at_the_destination_is_replaced_and_not_followed() {
    let scratch = Scratch::new();
    fs::write(scratch.path("target"), "old").unwrap();
    symlink("target", scratch.path("link")).unwrap();
    assert!(send_file(&scratch.root(), "/link", b"new").unwrap().replaced);
    assert_eq!(scratch.read("target"), "old");
    assert!(fs::symlink_metadata(scratch.path("link")).unwrap().is_file());
}

#[test]
fn links_and_dots_do_not_lead_out_of_the_root() {
    let scratch = Scratch::new();
    let root = scratch.root();
    fs::create_dir_all(scratch.path("outside")).unwrap();
    symlink("/../../outside", scratch.path("absolute")).unwrap();
    symlink("../../../outside", scratch.path("relative")).unwrap();
    symlink(scratch.outer.path().join("outside"), scratch.path("exact")).unwrap();
    send_file(&root, "/absolute/marker", b"evil").unwrap();
    send_tree(&root, "/relative", &[("x", "evil")]).unwrap();
    assert_eq!(scratch.read("outside/marker"), "evil");
    assert_eq!(scratch.read("outside/x"), "evil");
    // A link that leads nowhere inside is not a folder, and none is made at its end.
    for path in ["/exact/marker", "/exact"] {
        let shape = if path == "/exact" { Shape::Folder } else { Shape::File };
        let refused = Landing::begin(&root, &plan(path, shape, 0, 1)).unwrap_err();
        assert!(matches!(refused, LandingError::LinkRefused { .. }), "{refused:?}");
    }
    scratch.assert_outside_untouched();
}

#[test]
fn doors_in_proc_stay_closed() {
    let here = Root::from_fd(OwnedFd::from(fs::File::open("/").unwrap())).unwrap();
    for path in ["/proc/self/root/tmp/sealock-never", "/proc/self/cwd/sealock-never"] {
        let refused = Landing::begin(&here, &plan(path, Shape::File, 0, 1)).unwrap_err();
        assert!(matches!(refused, LandingError::LinkRefused { .. }), "{refused:?}");
    }
}

#[test]
fn planted_links_of_the_layout_are_not_followed() {
    let scratch = Scratch::new();
    let root = scratch.root();
    fs::create_dir(scratch.path("certs")).unwrap();
    for target in ["/etc", "../../outside", "..2024_01_01_00_00_00.0123456789"] {
        symlink(target, scratch.path("certs/..data")).unwrap();
        let refused = send_tree(&root, "/certs", &[("marker", "evil")]).unwrap_err();
        assert!(matches!(refused, LandingError::Foreign { .. }), "{refused:?}");
        fs::remove_file(scratch.path("certs/..data")).unwrap();
    }
    // A version that is a link: swapped away, and what it leads to is neither compared nor removed.
    let version = "..2024_01_01_00_00_00.0123456789abcdef";
    symlink("../../outside", scratch.path("certs").join(version)).unwrap();
    symlink(version, scratch.path("certs/..data")).unwrap();
    symlink("../../outside", scratch.path("certs/..data_tmp")).unwrap();
    send_tree(&root, "/certs", &[("marker", "good")]).unwrap();
    assert_eq!(scratch.read("certs/marker"), "good");
    assert_eq!(scratch.names("certs").len(), 3);
    scratch.assert_outside_untouched();
}

#[test]
fn a_planted_lock_is_not_followed() {
    let scratch = Scratch::new();
    let root = scratch.root();
    fs::create_dir(scratch.path("certs")).unwrap();
    symlink("../../outside/marker", scratch.path("certs/..sealock.lock")).unwrap();
    let refused = send_tree(&root, "/certs", &[("a", "1")]).unwrap_err();
    assert!(matches!(refused, LandingError::Foreign { .. }), "{refused:?}");
    scratch.assert_outside_untouched();
}

/// To open a pipe that nobody writes to would wait for ever; to open a device would use it.
#[test]
fn planted_pipes_and_devices_are_never_opened() {
    if sealock_testkit::clients::skip_without_root() {
        return;
    }
    let scratch = Scratch::new();
    let root = scratch.root();
    let make = |path: &str, kind, number| {
        let folder = fs::File::open(scratch.path("")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(folder, path, kind, mode, number).unwrap();
    };
    use rustix::fs::{FileType, makedev};
    for name in ["certs", "etc"] {
        fs::create_dir(scratch.path(name)).unwrap();
    }
    // 5:0 is the controlling terminal: opening it fails with ENXIO where there is none, which is
    // not what is expected below.
    make("certs/..sealock.lock", FileType::CharacterDevice, makedev(5, 0));
    let refused = send_tree(&root, "/certs", &[("a", "1")]).unwrap_err();
    assert!(matches!(refused, LandingError::Foreign { .. }), "{refused:?}");
    make("etc/passwd", FileType::Fifo, 0);
    let refused = root.owner_ids(&"app".parse().unwrap()).unwrap_err();
    assert!(matches!(refused, LandingError::NotAFile { .. }), "{refused:?}");
}

#[test]
fn leftovers_may_be_deep_and_wide() {
    let scratch = Scratch::new();
    let root = scratch.root();
    let left = "certs/..2024_01_01_00_00_00.0123456789abcdef";
    let deep = format!("{left}/{}", "d/".repeat(1900));
    fs::create_dir_all(scratch.path("certs")).unwrap();
    // Longer than a path may be from here, so step by step.
    let mut folder = OwnedFd::from(fs::File::open(scratch.path("")).unwrap());
    for name in deep.split('/').filter(|name| !name.is_empty()) {
        let _ = rustix::fs::mkdirat(&folder, name, rustix::fs::Mode::from_raw_mode(0o700));
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        folder = rustix::fs::openat(&folder, name, flags, rustix::fs::Mode::empty()).unwrap();
    }
    for number in 0..3000 {
        fs::write(scratch.path(left).join(number.to_string()), "").unwrap();
    }
    send_tree(&root, "/certs", &[("a", "1")]).unwrap();
    assert_eq!(scratch.names("certs").len(), 3);
}

/// An attacker in the container swaps the destination's folder for links that lead out, as fast as
/// it can, while landings go on. Some fail; none leaves the root.
#[test]
fn swapped_links_never_lead_out() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("place/dest")).unwrap();
    symlink("../../outside", scratch.path("place/out")).unwrap();
    let stop = AtomicBool::new(false);
    let (mut landed, mut failed) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let place = fs::File::open(scratch.path("place")).unwrap();
            let dest = scratch.path("place/dest");
            while !stop.load(Ordering::SeqCst) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&place, "dest", &place, "out", flags).unwrap();
                for entry in fs::read_dir(&dest).into_iter().flatten().flatten() {
                    let version = entry.path();
                    if entry.file_name().to_string_lossy().starts_with("..2") {
                        let moved = scratch.path("place/moved");
                        let _ = fs::rename(&version, &moved);
                        let _ = symlink("../../../outside", &version);
                        let _ = fs::remove_file(&version);
                        let _ = fs::rename(&moved, &version);
                        let _ = fs::remove_dir_all(&moved);
                    }
                }
            }
        });
        let root = scratch.root();
        for round in 0..400 {
            let content = round.to_string();
            let tree = [("d/", ""), ("d/marker", content.as_str()), ("marker", &content)];
            let outcomes = [
                send_tree(&root, "/place/dest", &tree).map(drop),
                send_file(&root, "/place/dest/file", content.as_bytes()).map(drop),
            ];
            for outcome in outcomes {
                if outcome.is_ok() { landed += 1 } else { failed += 1 }
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    scratch.assert_outside_untouched();
    assert!(landed > 0 && failed > 0, "{landed} landed, {failed} failed: the race was not run");
}

/// Where `openat2` is not to be had, everything else still holds.
#[test]
fn without_openat2_the_own_root_still_works() {
    let scratch = Scratch::new();
    let mut root = Root::here().unwrap();
    root.confined = false;
    let inside = |path: &str| scratch.path(path).to_str().unwrap().to_owned();
    send_file(&root, &inside("a/b/file"), b"one").unwrap();
    let tree = [("d/", ""), ("d/e/", ""), ("d/e/f", "2"), ("l -> d/e", "")];
    assert!(send_tree(&root, &inside("certs"), &tree).unwrap().changed);
    assert!(!send_tree(&root, &inside("certs"), &tree).unwrap().changed);
    assert!(send_tree(&root, &inside("certs"), &tree[..2]).unwrap().changed);
    assert_eq!(scratch.names("certs").len(), 3);
}

#[test]
fn paths_are_settled_as_cp_does() {
    let scratch = Scratch::new();
    let root = scratch.root();
    fs::create_dir(scratch.path("folder")).unwrap();
    symlink("folder", scratch.path("link")).unwrap();
    fs::write(scratch.path("file"), "x").unwrap();
    let settle = |path: &str, name| {
        let settled = root.settle(path, name).unwrap();
        (settled.path().to_owned(), settled.shape())
    };
    let file = |path: &str| (path.to_owned(), Shape::File);
    assert_eq!(settle("/folder", Some("a")), file("/folder/a"));
    assert_eq!(settle("/link", Some("a")), file("/link/a"));
    assert_eq!(settle("/file", Some("a")), file("/file"));
    assert_eq!(settle("/new", Some("a")), file("/new"));
    assert_eq!(settle("/new/", Some("a")), file("/new/a"));
    assert_eq!(settle("/", Some("a")), file("/a"));
    assert_eq!(settle("/folder", None), ("/folder".to_owned(), Shape::Folder));
    for bad in ["relative", "/a/../b", ""] {
        assert!(root.settle(bad, Some("a")).is_err(), "{bad}");
    }
    assert!(root.settle("/", None).is_err());
}

#[test]
fn owners_are_those_of_the_root_and_links_to_account_files_stay_inside() {
    let scratch = Scratch::new();
    let root = scratch.root();
    let look = |owner: &str| root.owner_ids(&owner.parse().unwrap());
    assert_eq!(look("7").unwrap(), (7, 7));
    assert!(matches!(look("app"), Err(LandingError::NoSuchUser { .. })));
    fs::create_dir(scratch.path("etc")).unwrap();
    fs::write(scratch.path("etc/real"), "app:x:1000:1001::/:/bin/sh\n").unwrap();
    symlink("/etc/real", scratch.path("etc/passwd")).unwrap();
    fs::write(scratch.path("etc/group"), "www:x:33:\n").unwrap();
    assert_eq!(look("app").unwrap(), (1000, 1001));
    assert_eq!(look("1000").unwrap(), (1000, 1001));
    assert_eq!(look("app:www").unwrap(), (1000, 33));
    assert_eq!(look("5:6").unwrap(), (5, 6));
    assert!(matches!(look("app:nope"), Err(LandingError::NoSuchGroup { .. })));
    fs::remove_file(scratch.path("etc/passwd")).unwrap();
    symlink("../../../../../../etc/passwd", scratch.path("etc/passwd")).unwrap();
    assert!(look("root").is_err(), "the host's account file was read");
}

/// Killed in the middle, at each place; the next landing heals.
#[test]
fn a_killed_landing_is_healed_by_the_next() {
    const VARIABLE: &str = "SEALOCK_TEST_STALLED_LANDING";
    if let Ok(folder) = std::env::var(VARIABLE) {
        stall(Path::new(&folder));
    }
    let scratch = Scratch::new();
    let root = scratch.root();
    send_file(&root, "/file", b"old").unwrap();
    send_tree(&root, "/certs", &[("a", "old")]).unwrap();
    let before = (scratch.names(""), scratch.names("certs"));
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "landing::tests::a_killed_landing_is_healed_by_the_next", "--nocapture"])
        .env(VARIABLE, scratch.path(""))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    let mut output = child.stdout.take().unwrap();
    while !String::from_utf8_lossy(&said).contains("stalled") {
        let mut byte = [0];
        assert_eq!(output.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
    let busy = send_file(&root, "/file", b"new").unwrap_err();
    assert!(matches!(busy, LandingError::Busy { .. }), "{busy:?}");
    child.kill().unwrap();
    child.wait().unwrap();

    assert_ne!((scratch.names(""), scratch.names("certs")), before, "nothing was left to heal");
    assert_eq!(scratch.read("file"), "old");
    assert_eq!(scratch.read("certs/a"), "old");
    send_file(&root, "/file", b"new").unwrap();
    send_tree(&root, "/certs", &[("a", "new")]).unwrap();
    assert_eq!(scratch.names(""), before.0);
    assert_eq!(scratch.names("certs").len(), before.1.len());
    assert_eq!(scratch.read("file"), "new");
    assert_eq!(scratch.read("certs/a"), "new");
}

/// Two landings that never end.
fn stall(folder: &Path) -> ! {
    struct Stalls;
    impl Read for Stalls {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            std::io::stdout().write_all(b"stalled").unwrap();
            std::io::stdout().flush().unwrap();
            loop {
                std::thread::park();
            }
        }
    }
    let root = Root::from_fd(OwnedFd::from(fs::File::open(folder).unwrap())).unwrap();
    let mut tree = Landing::begin(&root, &plan("/certs", Shape::Folder, 9, 3)).unwrap();
    tree.folder(&member("d"), 0o755).unwrap();
    tree.file(&member("d/f"), 0o644, 3, &mut &b"new"[..]).unwrap();
    let mut file = Landing::begin(&root, &plan("/file", Shape::File, 9, 1)).unwrap();
    let never = file.file(&member("x"), 0o644, 9, &mut b"half".chain(Stalls));
    panic!("{never:?}");
}

#[test]
fn a_destination_that_is_not_in_memory_is_refused_where_only_memory_will_do() {
    let send = |root: &Root, path: &str, shape| {
        let plan = Plan { memory_only: true, ..plan(path, shape, 1, 1) };
        let mut landing = Landing::begin(root, &plan)?;
        landing.whole_file(&member("x"), 0o400, 1, &mut &b"x"[..])?;
        landing.finish()
    };
    // In place of a disk: a file system that is there everywhere, and never a tmpfs.
    let disk = Root::from_fd(OwnedFd::from(fs::File::open("/sys").unwrap())).unwrap();
    for path in ["/kernel/x", "/nowhere/to/be/found"] {
        for shape in [Shape::File, Shape::Folder] {
            let refused = send(&disk, path, shape).unwrap_err();
            assert!(matches!(refused, LandingError::OnDisk { .. }), "{path}: {refused:?}");
            assert!(refused.hint().unwrap().contains("--tmpfs"));
        }
    }
    let Ok(memory) = tempfile::tempdir_in("/dev/shm") else {
        sealock_testkit::clients::skip("there is no /dev/shm");
        return;
    };
    let root = OwnedFd::from(fs::File::open(memory.path()).unwrap());
    let root = Root::from_fd(root).unwrap();
    let landed = send(&root, "/run/secrets/db", Shape::File).unwrap();
    assert!(landed.changed && !landed.replaced);
    assert_eq!(fs::read(memory.path().join("run/secrets/db")).unwrap(), b"x");
}
