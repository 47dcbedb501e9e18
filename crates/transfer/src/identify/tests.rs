use proptest::prelude::*;

use super::*;

const A: &str = "39d0f1fa089579c77691d09545e2ed607302a6fa436b6f48252d665d5b2577bd";
const B: &str = "1111111111111111111111111111111111111111111111111111111111111111";

fn id(text: &str) -> ContainerId {
    ContainerId::parse(text).unwrap()
}

fn cgroup(text: &str) -> Result<Option<ContainerId>, IdentifyError> {
    from_cgroup(text.as_bytes())
}

fn mount(root: &str, point: &str) -> String {
    format!("86 69 254:0 {root} {point} rw,relatime - ext4 /dev/vda rw\n")
}

#[test]
fn cgroup_paths_of_every_driver_are_read() {
    for text in [
        format!("9:name=systemd:/docker/{A}\n8:pids:/docker/{A}\n0::/docker/{A}\n"),
        format!("0::/system.slice/docker-{A}.scope\n"),
        format!("0::/my.slice/my-own.slice/docker-{A}.scope"),
        format!("4:memory:/custom/parent/{A}\n"),
        format!("4:memory:/docker/{B}/docker/{A}\n"),
        format!("0::/docker/{A}/system.slice/some.service\n"),
        format!("1:name=systemd:/docker/{A}/init.scope\n0::/\n"),
        format!("0::/user.slice/user-1000.slice/user@1000.service/libpod-{A}.scope/container\n"),
    ] {
        assert_eq!(cgroup(&text), Ok(Some(id(A))), "{text}");
    }
}

#[test]
fn cgroup_paths_without_a_container_say_nothing() {
    for text in [
        "".to_owned(),
        "0::/\n".to_owned(),
        "0::/user.slice/user-0.slice/session-1.scope\n".to_owned(),
        format!("0::/../docker-{A}.scope\n"),
        format!("0::/docker-{A}\n"),
        format!("0::/docker/{}\n", &A[..63]),
        format!("0::/docker/{}\n", A.to_uppercase()),
        format!("0::/evil-{A}.scope\n"),
    ] {
        assert_eq!(cgroup(&text), Ok(None), "{text}");
    }
}

#[test]
fn cgroup_lines_that_disagree_or_are_broken_are_refused() {
    let contradiction = cgroup(&format!("2:a:/docker/{A}\n1:b:/docker/{B}\n"));
    assert!(matches!(contradiction, Err(IdentifyError::Contradiction { .. })));
    for text in ["0:/x\n", "x::/\n", ":a:/\n", "0::relative\n", "0::/\n\n0::/\n"] {
        assert!(matches!(cgroup(text), Err(IdentifyError::Malformed { .. })), "{text}");
    }
    assert!(matches!(from_cgroup(&vec![b'a'; CGROUP_LIMIT + 1]), Err(IdentifyError::TooLong(_))));
}

#[test]
fn only_the_three_files_of_docker_are_asked() {
    let folder = format!("/var/lib/docker/containers/{A}");
    let text = ["hostname", "hosts", "resolv.conf"]
        .map(|name| mount(&format!("{folder}/{name}"), &format!("/etc/{name}")))
        .concat();
    assert_eq!(from_mountinfo(text.as_bytes()), Ok(Some(id(A))));
    let elsewhere = mount(&format!("{folder}/hosts"), "/data/hosts");
    assert_eq!(from_mountinfo(elsewhere.as_bytes()), Ok(None));
    let crossed = mount(&format!("{folder}/hosts"), "/etc/hostname");
    assert_eq!(from_mountinfo(crossed.as_bytes()), Ok(None));
    let own = mount("/home/me/hosts", "/etc/hosts");
    assert_eq!(from_mountinfo(own.as_bytes()), Ok(None));
    let other_folder = mount(&format!("/srv/{A}/hosts"), "/etc/hosts");
    assert_eq!(from_mountinfo(other_folder.as_bytes()), Ok(None));
}

#[test]
fn mount_points_are_unescaped() {
    let spaced = mount(&format!("/data\\040root/containers/{A}/hosts"), "/etc/hosts");
    assert_eq!(from_mountinfo(spaced.as_bytes()), Ok(Some(id(A))));
    let replaced = mount(&format!("/docker/containers/{A}/hosts//deleted"), "/etc/hosts");
    assert_eq!(from_mountinfo(replaced.as_bytes()), Ok(Some(id(A))));
    for broken in [
        "1 2 3:4 /a\\0 /b rw - x y z\n",
        "1 2 3:4 /a\\999 /b rw - x y z\n",
        "1 2 3:4 /a\\071 /b rw - x y z\n",
        "1 2 3\n",
    ] {
        assert!(from_mountinfo(broken.as_bytes()).is_err(), "{broken}");
    }
    assert!(from_mountinfo(b"1 2 3:4 /a /b rw\n").is_err(), "without its separator");
}

#[test]
fn mounts_of_two_containers_contradict() {
    let text = mount(&format!("/d/containers/{A}/hosts"), "/etc/hosts")
        + &mount(&format!("/d/containers/{B}/hostname"), "/etc/hostname");
    assert!(matches!(from_mountinfo(text.as_bytes()), Err(IdentifyError::Contradiction { .. })));
}

fn sources(cgroup: &str, mounts: Option<&str>, hostname: &str) -> Sources {
    Sources {
        cgroup: Some(cgroup.into()),
        mountinfo: mounts
            .map(|id| mount(&format!("/d/containers/{id}/hosts"), "/etc/hosts").into()),
        hostname: Some(hostname.into()),
    }
}

#[test]
fn strong_sources_must_agree_and_are_named() {
    let in_a = format!("0::/docker/{A}\n");
    let found = identify(&sources(&in_a, Some(A), "web"), None).unwrap();
    assert_eq!(found.container, Known::Id(id(A)));
    assert_eq!(found.evidence.to_string(), "cgroup+mountinfo");
    let found = identify(&sources("0::/\n", Some(A), "web"), None).unwrap();
    assert_eq!(found.evidence.to_string(), "mountinfo");
    assert!(matches!(
        identify(&sources(&in_a, Some(B), "web"), None),
        Err(IdentifyError::Contradiction { .. })
    ));
}

#[test]
fn the_files_of_the_container_that_lends_its_network_say_nothing() {
    let in_a = format!("0::/docker/{A}\n");
    let found = identify(&sources(&in_a, Some(B), &B[..12]), Some(&id(B))).unwrap();
    assert_eq!((found.container, found.evidence.to_string()), (Known::Id(id(A)), "cgroup".into()));
    assert_eq!(
        identify(&sources("0::/\n", Some(B), &B[..12]), Some(&id(B))),
        Err(IdentifyError::Unknown)
    );
}

#[test]
fn the_host_name_is_asked_last() {
    let found = identify(&sources("0::/\n", None, &A[..12]), None).unwrap();
    assert_eq!(found.container, Known::Prefix(id(A).prefix()));
    assert!(found.container.fits(&id(A)) && !found.container.fits(&id(B)));
    assert_eq!(found.evidence.to_string(), "hostname");
    // A re-created container may keep the host name of the one before it.
    let in_a = format!("0::/docker/{A}\n");
    let found = identify(&sources(&in_a, None, &B[..12]), None).unwrap();
    assert_eq!(found.container, Known::Id(id(A)));
    assert_eq!(identify(&sources("0::/\n", None, "web"), None), Err(IdentifyError::Unknown));
}

#[test]
fn the_start_is_read_behind_any_process_name() {
    let stat = b"1 (a) b (c)) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 0\n";
    let system = b"cpu 1 2 3\nctxt 5\nbtime 1700000000\nprocesses 7\n";
    assert_eq!(started(stat, system), Some(1_700_000_123_450));
    assert_eq!(started(b"1 sleep S", system), None);
    assert_eq!(started(stat, b"cpu 1\n"), None);
    assert_eq!(pid_namespace(b"pid:[4026531836]"), Some(HOST_PID_NAMESPACE));
    assert_eq!(pid_namespace(b"4026531836"), None);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_fail_otherwise_than_by_an_error(bytes: Vec<u8>) {
        let _ = from_cgroup(&bytes);
        let _ = from_mountinfo(&bytes);
        let _ = started(&bytes, &bytes);
    }

    #[test]
    fn escaping_as_the_kernel_does_is_undone(bytes in proptest::collection::vec(1_u8.., 0..40)) {
        let mut escaped = Vec::new();
        for byte in &bytes {
            match byte {
                b' ' | b'\t' | b'\n' | b'\\' => escaped.extend(format!("\\{byte:03o}").bytes()),
                _ => escaped.push(*byte),
            }
        }
        prop_assert_eq!(unescape(&escaped), Some(bytes));
    }
}
