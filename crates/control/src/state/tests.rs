use std::collections::BTreeMap;

use super::*;

fn folder() -> (tempfile::TempDir, StateFolder) {
    let scratch = tempfile::tempdir().unwrap();
    let environment = Environment::default();
    let state = StateFolder::locate(Some(&scratch.path().join("state")), &environment).unwrap();
    (scratch, state)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn places() {
    let environment = |pairs: &[(&str, &str)]| {
        Environment::from(
            pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect::<BTreeMap<_, _>>(),
        )
    };
    let located = |environment: &Environment, root: bool| {
        StateFolder::locate_for(None, environment, root)
            .map(|state| (state.root.display().to_string(), state.socket().display().to_string()))
    };
    let nothing = environment(&[]);
    assert_eq!(
        located(&nothing, true).unwrap(),
        ("/var/lib/sealock".into(), "/run/sealock/admin.sock".into())
    );
    assert!(matches!(located(&nothing, false), Err(StateError::NoHome)));
    let home = environment(&[("HOME", "/home/jo"), ("XDG_STATE_HOME", "relative")]);
    assert_eq!(located(&home, false).unwrap().0, "/home/jo/.local/state/sealock");
    let xdg = environment(&[("XDG_STATE_HOME", "/s"), ("XDG_RUNTIME_DIR", "/r")]);
    assert_eq!(
        located(&xdg, false).unwrap(),
        ("/s/sealock".into(), "/r/sealock/admin.sock".into())
    );
    // Named or not, the standard one is one installation.
    let named = |path: &str, environment: &Environment, root| {
        let state = StateFolder::locate_for(Some(Path::new(path)), environment, root).unwrap();
        state.socket().display().to_string()
    };
    assert_eq!(named("/var/lib/sealock/", &nothing, true), "/run/sealock/admin.sock");
    assert_eq!(named("/s/sealock", &xdg, false), "/r/sealock/admin.sock");
    assert_eq!(named("/var/lib/other", &nothing, true), "/var/lib/other/run/admin.sock");
    assert_eq!(named("/here", &nothing, false), "/here/run/admin.sock");
}

#[test]
fn is_made_private_and_again_without_a_change() {
    let (_scratch, state) = folder();
    drop(state.open(Purpose::Command, Duration::ZERO).unwrap());
    assert_eq!(mode(state.root()), 0o700);
    assert_eq!(mode(&state.identity("admin")), 0o700);
    assert_eq!(fs::read_to_string(state.version_file()).unwrap(), "1\n");
    let before = fs::metadata(state.version_file()).unwrap().modified().unwrap();
    fs::set_permissions(state.root(), fs::Permissions::from_mode(0o755)).unwrap();
    drop(state.open(Purpose::Up, Duration::ZERO).unwrap());
    assert_eq!(mode(state.root()), 0o700, "closed to others again");
    assert_eq!(fs::metadata(state.version_file()).unwrap().modified().unwrap(), before);
}

#[test]
fn two_exclude_one_another_and_the_second_names_the_first() {
    let (_scratch, state) = folder();
    let held = state.open(Purpose::Up, Duration::ZERO).unwrap();
    let error = state.open(Purpose::Up, Duration::from_secs(60)).unwrap_err();
    let pid = std::process::id().to_string();
    assert!(error.to_string().contains(&format!("process {pid} (up)")), "{error}");
    assert!(error.hint().contains("daemon"));
    drop(held);
    state.open(Purpose::Up, Duration::ZERO).unwrap();
}

#[test]
fn a_command_waits_for_a_command() {
    let (_scratch, state) = folder();
    let held = state.open(Purpose::Command, Duration::ZERO).unwrap();
    let (sent, received) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| sent.send(state.open(Purpose::Command, COMMAND_WAIT).map(drop)).unwrap());
        assert!(received.try_recv().is_err());
        drop(held);
        received.recv().unwrap().unwrap();
    });
    let held = state.open(Purpose::Command, Duration::ZERO).unwrap();
    let error = state.open(Purpose::Command, Duration::from_millis(1)).unwrap_err();
    assert!(matches!(error, StateError::InUse { .. }));
    drop(held);
}

#[test]
fn other_versions_are_left_alone() {
    let (_scratch, state) = folder();
    drop(state.open(Purpose::Command, Duration::ZERO).unwrap());
    fs::write(state.version_file(), "2\n").unwrap();
    let error = state.open(Purpose::Command, Duration::ZERO).unwrap_err();
    assert!(matches!(error, StateError::OtherVersion { found: 2, .. }), "{error:?}");
    assert!(error.hint().contains("newer"));
    assert_eq!(fs::read_to_string(state.version_file()).unwrap(), "2\n");
    fs::write(state.version_file(), "\x1b").unwrap();
    assert!(matches!(
        state.open(Purpose::Command, Duration::ZERO),
        Err(StateError::NoVersion { .. })
    ));
    fs::remove_file(state.version_file()).unwrap();
    fs::write(state.database(), "x").unwrap();
    assert!(matches!(
        state.open(Purpose::Command, Duration::ZERO),
        Err(StateError::NoVersion { .. })
    ));
}

#[test]
fn a_file_in_the_way_is_one_clear_error() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    let state = StateFolder::locate(Some(&file), &Environment::default()).unwrap();
    let error = state.open(Purpose::Command, Duration::ZERO).unwrap_err();
    assert!(error.to_string().starts_with("cannot use "), "{error}");
    assert!(!error.hint().is_empty());
}

#[test]
fn long_socket_paths_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("x".repeat(100));
    let state = StateFolder::locate(Some(&root), &Environment::default()).unwrap();
    assert!(matches!(state.prepare_run(), Err(StateError::SocketPathTooLong { .. })));
}

#[test]
fn files_are_replaced_whole() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("tls.key");
    write_atomically(&path, b"one", 0o400).unwrap();
    assert_eq!(mode(&path), 0o400);
    write_atomically(&path, b"two", 0o444).unwrap();
    assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o444));
    let before = fs::metadata(&path).unwrap().ino();
    write_atomically(&path, b"two", 0o444).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), before, "the same content is left alone");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing is left beside it");
    assert!(read_small(&path, 2).is_err());
}
