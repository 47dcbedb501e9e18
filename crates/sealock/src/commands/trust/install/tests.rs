//! What needs no system's program. The rest is in `tests/it/trust.rs`.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn scratch() -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::open(folder.path()).unwrap();
    (folder, root)
}

#[test]
fn only_what_has_our_name_and_a_fingerprint_is_ours() {
    let fingerprint = "0123456789abcdef".repeat(4);
    assert_eq!(fingerprint_in(&format!("sealock-{fingerprint}")), Some(fingerprint.as_str()));
    for other in [
        "sealock-mine".to_owned(),
        fingerprint.clone(),
        format!("debian:sealock-{fingerprint}"),
        format!("sealock-{fingerprint}0"),
        format!("sealock-{}", fingerprint.to_uppercase()),
        format!("sealock-{}g", &fingerprint[1..]),
    ] {
        assert_eq!(fingerprint_in(&other), None, "{other}");
    }
}

#[test]
fn links_of_another_system_end_at_its_root() {
    let (folder, root) = scratch();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("cacerts"), "outside").unwrap();
    fs::create_dir_all(folder.path().join("etc/java")).unwrap();
    fs::write(folder.path().join("etc/java/cacerts"), "inside").unwrap();
    for (name, target) in [
        ("absolute", "/etc/java/cacerts".to_owned()),
        ("relative", "etc/java/cacerts".to_owned()),
        ("upwards", "../../../../etc/java/cacerts".to_owned()),
        ("chain", "absolute".to_owned()),
    ] {
        symlink(target, folder.path().join(name)).unwrap();
        let (there, name) = root.file(&format!("/{name}")).unwrap().unwrap();
        assert_eq!(there.read(&name, 10).unwrap().as_deref(), Some(&b"inside"[..]), "{name}");
    }
    let up = "../".repeat(12);
    for (name, target) in [
        ("away", format!("{}/cacerts", outside.path().display())),
        ("away-upwards", format!("{up}{}/cacerts", outside.path().display())),
        ("nowhere", "/not/there".to_owned()),
        ("through-proc", "/proc/self/root/etc/hostname".to_owned()),
    ] {
        symlink(target, folder.path().join(name)).unwrap();
        assert!(root.file(&format!("/{name}")).unwrap().is_none(), "{name}");
    }
    symlink("loop", folder.path().join("loop")).unwrap();
    assert!(root.file("/loop").is_err());
    // A folder that leads away.
    symlink(outside.path(), folder.path().join("folder")).unwrap();
    assert!(root.folder("/folder").unwrap().is_none());
}

#[test]
fn a_file_is_there_whole_or_not_and_no_link_is_written_through() {
    let (folder, root) = scratch();
    let secret = folder.path().join("secret");
    fs::write(&secret, "kept").unwrap();
    symlink(&secret, folder.path().join("root.crt")).unwrap();
    let here = root.folder("/").unwrap().unwrap();
    assert_eq!(here.read("root.crt", 10).unwrap(), None);
    drop(here.stage("root.crt", b"dropped", None).unwrap());
    assert_eq!(here.names().unwrap(), [".", "..", "root.crt", "secret"]);
    here.stage("root.crt", b"new", None).unwrap().keep().unwrap();
    assert_eq!(fs::read_to_string(&secret).unwrap(), "kept");
    assert_eq!(here.read("root.crt", 3).unwrap().as_deref(), Some(&b"new"[..]));
    assert!(here.read("root.crt", 2).is_err());
    here.stage("root.crt", b"newer", None).unwrap().keep_new().unwrap();
    assert_eq!(here.read("root.crt", 10).unwrap().as_deref(), Some(&b"new"[..]));
}

#[test]
fn a_home_of_java_that_was_named_must_be_one() {
    let (folder, root) = scratch();
    assert!(!Java::has_home(&root, "/nope").unwrap());
    fs::create_dir_all(folder.path().join("opt/jdk/lib/security")).unwrap();
    assert!(!Java::has_home(&root, "/opt/jdk").unwrap());
    fs::write(folder.path().join("opt/jdk/lib/security/cacerts"), "store").unwrap();
    assert!(Java::has_home(&root, "/opt/jdk").unwrap());
}

#[test]
fn one_run_at_a_time_changes_a_folder() {
    let (_folder, root) = scratch();
    let open = || root.folder("/").unwrap().unwrap();
    let first = open();
    first.lock().unwrap();
    assert!(open().lock().is_err());
    drop(first);
    open().lock().unwrap();
}
