//! Transfers straight into real containers.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sealock_core::{SecretBytes, SystemClock};
use sealock_delivery::carriers::{Carrier, CarrierChoice, CarrierError, Silent};
use sealock_delivery::labels::Reload;
use sealock_delivery::send::{Receipt, SendError, SendRequest, send};
use sealock_delivery::sources::Source;
use sealock_engine::{Engine, EngineError, EngineUrl};
use sealock_testkit::clients::{skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Container, Image, docker};
use sealock_testkit::{scratch_folder, wait};
use sealock_transfer::landing::LandingError;

const PATIENCE: Duration = Duration::from_secs(30);

fn skip() -> bool {
    skip_without_engine() || skip_without_root()
}

async fn engine() -> Engine {
    Engine::connect(&EngineUrl::standard()).await.unwrap()
}

fn request(container: &str, destination: &str, sources: Vec<Source>) -> SendRequest {
    SendRequest {
        sources,
        container: container.to_owned(),
        destination: destination.to_owned(),
        carrier: CarrierChoice::Only(Carrier::Direct),
        owner: None,
        mode: None,
        memory_only: false,
        after: None,
    }
}

async fn send_request(request: SendRequest) -> Result<Receipt, SendError> {
    send(&engine().await, &SystemClock, request, &Silent).await
}

async fn send_text(to: &Container, destination: &str, text: &str) -> Result<Receipt, SendError> {
    let stream = Source::Stream(Box::new(std::io::Cursor::new(text.to_owned())));
    send_request(request(to.id(), destination, vec![stream])).await
}

async fn send_tree(
    to: &Container,
    destination: &str,
    files: &[(&str, &str)],
) -> Result<Receipt, SendError> {
    let sources = files.iter().map(|(name, content)| Source::Content {
        name: (*name).to_owned(),
        mode: 0o644,
        content: SecretBytes::new(content.as_bytes().to_vec()),
    });
    send_request(request(to.id(), destination, sources.collect())).await
}

/// The error of the landing inside of a failed send.
fn landing(outcome: Result<Receipt, SendError>) -> LandingError {
    match outcome {
        Err(SendError::Carrier { source: CarrierError::Landing(error), .. }) => error,
        other => panic!("{other:?}"),
    }
}

/// A file of this size that takes no space and is quick to make.
fn sparse(folder: &Path, gigabytes: u64) -> PathBuf {
    let path = folder.join("large");
    fs::File::create(&path).unwrap().set_len(gigabytes << 30).unwrap();
    path
}

#[tokio::test]
async fn files_reach_what_docker_cp_does_not() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let to = image.start(&[
        "--read-only",
        "--tmpfs",
        "/run:size=1m",
        "--volume",
        "/data",
        "--tmpfs",
        "/certs",
    ]);
    let receipt = send_text(&to, "/run/a/b/secret", "one").await.unwrap();
    assert_eq!(to.output(&["cat", "/run/a/b/secret"]), "one");
    assert_eq!(to.output(&["stat", "-c", "%u:%g %a", "/run/a/b/secret"]), "0:0 600\n");
    assert_eq!((receipt.carrier, receipt.changed, receipt.bytes), (Carrier::Direct, true, 3));
    assert_eq!(receipt.container, to.id());
    let sum = to.output(&["sha256sum", "/run/a/b/secret"]);
    assert!(sum.starts_with(&receipt.sha256), "{sum} is not {}", receipt.sha256);

    // A volume, a folder that is a mount itself, and once more without a change.
    for destination in ["/data/certs", "/certs", "/data"] {
        let files = [("tls.crt", "certificate"), ("tls.key", "key")];
        let receipt = send_tree(&to, destination, &files).await.unwrap();
        assert_eq!(to.output(&["cat", &format!("{destination}/tls.key")]), "key");
        assert_eq!((receipt.changed, receipt.files), (true, 2));
        let again = send_tree(&to, destination, &files).await.unwrap();
        assert_eq!((again.changed, &again.sha256), (false, &receipt.sha256));
    }
}

#[tokio::test]
async fn one_file_goes_where_cp_would_put_it() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let to = image.start(&[]);
    let folder = scratch_folder();
    let file = folder.path().join("name.txt");
    fs::write(&file, "content").unwrap();
    for (destination, path) in
        [("/tmp", "/tmp/name.txt"), ("/new/", "/new/name.txt"), ("/other/x", "/other/x")]
    {
        let sources = vec![Source::Path(file.clone())];
        let receipt = send_request(request(to.id(), destination, sources)).await.unwrap();
        assert_eq!(receipt.path, path);
        assert_eq!(to.output(&["cat", path]), "content");
    }
    // A folder stands for what is in it; several keep their names.
    let sources = || vec![Source::Path(folder.path().to_owned())];
    let _ = send_request(request(to.id(), "/tree", sources())).await.unwrap();
    assert_eq!(to.output(&["cat", "/tree/name.txt"]), "content");
    let both = vec![Source::Path(file), Source::Path("/etc/hostname".into())];
    let _ = send_request(request(to.id(), "/both", both)).await.unwrap();
    assert_eq!(to.output(&["ls", "/both"]), "hostname\nname.txt\n");
    // A stream has no name that could go into a folder.
    let nameless = send_text(&to, "/tmp/", "x").await.unwrap_err();
    assert!(matches!(nameless, SendError::Nameless { .. }), "{nameless:?}");
    let nameless = landing(send_text(&to, "/tmp", "x").await);
    assert!(matches!(nameless, LandingError::IsAFolder { .. }), "{nameless:?}");
}

#[tokio::test]
async fn owners_are_the_containers_own() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let to = image.start(&[]);
    let _ = to.output(&["sh", "-c", "echo www:x:33: >> /etc/group"]);
    for (owner, expected) in [
        ("app", "1000:1000 440\n"),
        ("app:www", "1000:33 440\n"),
        ("1234:4321", "1234:4321 440\n"),
        ("0", "0:0 440\n"),
    ] {
        let mut request =
            request(to.id(), "/tmp/x", vec![Source::Stream(Box::new(owner.as_bytes()))]);
        request.owner = Some(owner.parse().unwrap());
        request.mode = Some(0o440);
        let _ = send_request(request).await.unwrap();
        assert_eq!(to.output(&["stat", "-c", "%u:%g %a", "/tmp/x"]), expected);
    }
    let mut request = request(to.id(), "/tmp/x", vec![Source::Stream(Box::new(&b"new"[..]))]);
    request.owner = Some("nobody-here".parse().unwrap());
    let refused = send_request(request).await;
    assert!(matches!(landing(refused), LandingError::NoSuchUser { .. }));
    assert_eq!(to.output(&["cat", "/tmp/x"]), "0");
}

#[tokio::test]
async fn what_stands_in_the_way_is_named_and_the_old_content_stays() {
    if skip() {
        return;
    }
    let folder = scratch_folder();
    let host_file = folder.path().join("single");
    fs::write(&host_file, "host").unwrap();
    let image = Image::busybox();
    let bind = format!("{}:/tmp/single", host_file.display());
    let to = image.start(&[
        "--read-only",
        "--tmpfs",
        "/run:size=64k",
        "--volume",
        &bind,
        "--tmpfs",
        "/tmp",
    ]);

    let error = landing(send_text(&to, "/etc/x", "x").await);
    assert!(matches!(error, LandingError::ReadOnly { .. }), "{error:?}");
    let error = landing(send_tree(&to, "/new", &[("a", "1")]).await);
    assert!(matches!(error, LandingError::ReadOnly { .. }), "{error:?}");
    let error = landing(send_text(&to, "/tmp/single", "x").await);
    assert!(matches!(error, LandingError::MountPoint { .. }), "{error:?}");
    assert!(error.hint().is_some());
    assert_eq!(fs::read_to_string(&host_file).unwrap(), "host");
    let error = landing(send_text(&to, "/etc/passwd/x", "x").await);
    assert!(matches!(error, LandingError::NotAFolder { .. }), "{error:?}");
    let error = landing(send_text(&to, "/proc/self/root/tmp/x", "x").await);
    assert!(matches!(error, LandingError::LinkRefused { .. }), "{error:?}");

    // A file system that is too small.
    let (old, large) = ("old".repeat(5000), "new".repeat(40_000));
    let _ = send_text(&to, "/run/file", &old).await.unwrap();
    let _ = send_tree(&to, "/run/certs", &[("a", "old")]).await.unwrap();
    let before = to.output(&["find", "/run"]);
    for error in [
        landing(send_text(&to, "/run/file", &large).await),
        landing(send_tree(&to, "/run/certs", &[("a", "new"), ("b", &large)]).await),
    ] {
        assert!(matches!(error, LandingError::NoSpace { .. }), "{error:?}");
    }
    assert_eq!(to.output(&["find", "/run"]), before);
    assert_eq!(to.output(&["cat", "/run/file"]), old);
    assert_eq!(to.output(&["cat", "/run/certs/a"]), "old");
}

#[tokio::test]
async fn containers_that_do_not_run_are_named() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let to = image.start(&[]);
    to.kill();
    let refused = send_text(&to, "/tmp/x", "x").await.unwrap_err();
    let stopped =
        matches!(&refused, SendError::Container { source: EngineError::NotRunning { .. }, .. });
    assert!(stopped, "{refused:?}");
    let stream = Source::Stream(Box::new(&b"x"[..]));
    let refused = send_request(request("sealock-test-never", "/x", vec![stream])).await;
    let unknown = matches!(
        &refused,
        Err(SendError::Container { source: EngineError::NoSuchContainer { .. }, .. })
    );
    assert!(unknown, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_stops_meanwhile_keeps_its_old_content() {
    if skip() {
        return;
    }
    let folder = scratch_folder();
    let large = sparse(folder.path(), 16);
    let image = Image::busybox();
    let to = image.start(&["--volume", "/data"]);
    for destination in ["/data/file", "/srv/file"] {
        let _ = send_text(&to, destination, "old").await.unwrap();
        let sending = tokio::spawn(send_request(request(
            to.id(),
            destination,
            vec![Source::Path(large.clone())],
        )));
        let folder = Path::new(destination).parent().unwrap().to_str().unwrap();
        wait::until("the transfer to begin", PATIENCE, || {
            to.output(&["ls", "-A", folder]).contains(".sealock.").then_some(())
        });
        to.kill();
        let failed = sending.await.unwrap().unwrap_err();
        let noticed =
            matches!(&failed, SendError::Carrier { source: CarrierError::Stopped { .. }, .. });
        assert!(noticed, "{failed:?}");
        let _ = docker(&["start", to.id()]);
        assert_eq!(to.output(&["cat", destination]), "old");
        assert_eq!(to.output(&["ls", "-A", folder]), "file\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_sends_at_once_is_refused() {
    if skip() {
        return;
    }
    let folder = scratch_folder();
    let large = sparse(folder.path(), 16);
    let image = Image::busybox();
    let to = image.start(&[]);
    let _ = send_text(&to, "/srv/file", "old").await.unwrap();
    let first =
        tokio::spawn(send_request(request(to.id(), "/srv/file", vec![Source::Path(large)])));
    wait::until("the transfer to begin", PATIENCE, || {
        to.output(&["ls", "-A", "/srv"]).contains(".lock").then_some(())
    });
    let second = landing(send_text(&to, "/srv/file", "second").await);
    assert!(matches!(second, LandingError::Busy { .. }), "{second:?}");
    // Elsewhere it goes on; and who gives up leaves nothing behind.
    let _ = send_text(&to, "/srv/other", "other").await.unwrap();
    first.abort();
    wait::until("the first to be cleaned up", PATIENCE, || {
        (to.output(&["ls", "-A", "/srv"]) == "file\nother\n").then_some(())
    });
    assert_eq!(to.output(&["cat", "/srv/file"]), "old");
    let _ = send_text(&to, "/srv/file", "third").await.unwrap();
    assert_eq!(to.output(&["cat", "/srv/file"]), "third");
}

#[tokio::test]
async fn a_killed_sender_leaves_the_old_content_and_the_next_send_heals() {
    const VARIABLE: &str = "SEALOCK_TEST_SENDS";
    if skip() {
        return;
    }
    if let Ok(task) = std::env::var(VARIABLE) {
        let (container, rest) = task.split_once(' ').unwrap();
        let (destination, source) = rest.split_once(' ').unwrap();
        let sources = vec![Source::Path(source.into())];
        let never = send_request(request(container, destination, sources)).await;
        panic!("{never:?}");
    }
    let folder = scratch_folder();
    fs::create_dir(folder.path().join("tree")).unwrap();
    let large = sparse(&folder.path().join("tree"), 16);
    let image = Image::busybox();
    let to = image.start(&[]);
    let _ = send_text(&to, "/srv/file", "old").await.unwrap();
    let _ = send_tree(&to, "/certs", &[("a", "old")]).await.unwrap();
    let trees = [
        ("/srv/file", large.as_path(), "/srv", ".sealock."),
        ("/certs", large.parent().unwrap(), "/certs", "..sealock.lock"),
    ];
    for (destination, source, list, sign) in trees {
        let mut sender = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_sender_leaves_the_old_content_and_the_next_send_heals"])
            .env(VARIABLE, format!("{} {destination} {}", to.id(), source.display()))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        wait::until("the transfer to begin", PATIENCE, || {
            to.output(&["ls", "-A", list]).contains(sign).then_some(())
        });
        sender.kill().unwrap();
        sender.wait().unwrap();
        assert!(to.output(&["ls", "-A", list]).contains(sign), "nothing was left to heal");
    }
    assert_eq!(to.output(&["cat", "/srv/file", "/certs/a"]), "oldold");
    let _ = send_text(&to, "/srv/file", "new").await.unwrap();
    let version = send_tree(&to, "/certs", &[("a", "new")]).await.unwrap().version.unwrap();
    assert_eq!(to.output(&["cat", "/srv/file", "/certs/a"]), "newnew");
    assert_eq!(to.output(&["ls", "-A", "/srv"]), "file\n");
    assert_eq!(to.output(&["ls", "-A", "/certs"]), format!("{version}\n..data\na\n"));
}

/// Links that lead to the host's files when they are followed from outside, swapped by a process in
/// the container all the time.
#[tokio::test]
async fn links_planted_in_the_container_lead_to_its_own_files_only() {
    if skip() {
        return;
    }
    let host = scratch_folder();
    let marker = host.path().join("marker");
    fs::write(&marker, "untouched").unwrap();
    let image = Image::busybox();
    let outside = host.path().to_str().unwrap();
    let swap = format!(
        "mkdir -p /place/real; ln -s {outside} /place/link; ln -s /../../..{outside} /place/up; \
         ln -s /../../../etc /dest; touch /ready; while :; do \
         for l in link up; do mv -T /place/real /place/dest; mv -T /place/dest /place/real; \
         mv -T /place/$l /place/dest; mv -T /place/dest /place/$l; done; done 2>/dev/null"
    );
    let to = image.start_command(&[], &["sh", "-c", &swap]);
    wait::until("the links", PATIENCE, || {
        to.exec(&["test", "-e", "/ready"]).status.success().then_some(())
    });
    let _ = send_text(&to, "/dest/marker", "evil").await.unwrap();
    assert_eq!(to.output(&["cat", "/etc/marker"]), "evil");
    assert!(!Path::new("/etc/marker").exists());
    let error = landing(send_text(&to, "/place/link/../marker", "evil").await);
    assert!(matches!(error, LandingError::Destination(_)), "{error:?}");

    let (mut landed, mut refused) = (0, 0);
    for round in 0..60 {
        let text = round.to_string();
        for outcome in [
            send_text(&to, "/place/dest/marker", &text).await,
            send_tree(&to, "/place/dest", &[("marker2", &text)]).await,
        ] {
            match outcome {
                Ok(_) => landed += 1,
                Err(SendError::Carrier { source: CarrierError::Landing(_), .. }) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    assert!(landed > 0, "none of {refused} landings got through");
    assert_eq!(fs::read_to_string(&marker).unwrap(), "untouched");
    assert_eq!(fs::read_dir(host.path()).unwrap().count(), 1);
    // What landed is in the container, where the links lead for its own processes.
    assert!(!to.output(&["find", "/", "-xdev", "-name", "marker*"]).is_empty());
}

/// The engine here cannot be remapped, so the container's first process goes into a user namespace
/// by itself, with a map that we write.
#[tokio::test]
async fn ids_are_translated_into_the_containers_user_namespace() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let options = [
        "--security-opt",
        "seccomp=unconfined",
        "--security-opt",
        "apparmor=unconfined",
        "--cap-add",
        "SYS_ADMIN",
        "--tmpfs",
        "/run:mode=1777",
    ];
    let to = image.start_command(&options, &["unshare", "-U", "sleep", "100000"]);
    let process = PathBuf::from(format!("/proc/{}", to.pid()));
    let own = fs::read_link("/proc/self/ns/user").unwrap();
    wait::until("the user namespace", PATIENCE, || {
        (fs::read_link(process.join("ns/user")).unwrap() != own).then_some(())
    });
    fs::write(process.join("uid_map"), "0 200000 65536\n").unwrap();
    fs::write(process.join("gid_map"), "0 300000 65536\n").unwrap();
    let _ = send_text(&to, "/run/made/plain", "x").await.unwrap();
    let mut owned = request(to.id(), "/run/owned", vec![Source::Stream(Box::new(&b"x"[..]))]);
    owned.owner = Some("1000:33".parse().unwrap());
    let _ = send_request(owned).await.unwrap();
    let owner = |path: &str| {
        let is = fs::metadata(process.join("root/run").join(path)).unwrap();
        (is.uid(), is.gid())
    };
    assert_eq!(owner("made"), (200_000, 300_000));
    assert_eq!(owner("made/plain"), (200_000, 300_000));
    assert_eq!(owner("owned"), (201_000, 300_033));
    let mut nobody = request(to.id(), "/run/owned", vec![Source::Stream(Box::new(&b"y"[..]))]);
    nobody.owner = Some("70000:0".parse().unwrap());
    let refused = send_request(nobody).await;
    let not_mapped = matches!(
        &refused,
        Err(SendError::Carrier { source: CarrierError::NotMapped { id: 70_000 }, .. })
    );
    assert!(not_mapped, "{refused:?}");
}

#[tokio::test]
async fn what_was_to_be_done_afterwards_is_done_or_said() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let to = image.start(&[]);
    let with = |after: &str| SendRequest {
        after: Some(Reload::Exec(after.split(' ').map(str::to_owned).collect())),
        ..request(to.id(), "/tmp/x", vec![Source::Stream(Box::new(&b"x"[..]))])
    };
    let _ = send_request(with("cp /tmp/x /tmp/y")).await.unwrap();
    assert_eq!(to.output(&["cat", "/tmp/y"]), "x");
    let failed = send_request(with("false")).await.unwrap_err();
    let SendError::After { receipt, .. } = failed else { panic!("{failed:?}") };
    assert_eq!((receipt.path.as_str(), receipt.changed), ("/tmp/x", false));
}

#[tokio::test]
async fn a_remote_engine_is_not_for_this_carrier() {
    if skip() {
        return;
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: EngineUrl = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        while let Ok((mut outer, _)) = listener.accept().await {
            let mut inner = tokio::net::UnixStream::connect("/var/run/docker.sock").await.unwrap();
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
            });
        }
    });
    let image = Image::busybox();
    let to = image.start(&[]);
    let engine = Engine::connect(&url).await.unwrap();
    let request = request(to.id(), "/tmp/x", vec![Source::Stream(Box::new(&b"x"[..]))]);
    let refused = send(&engine, &SystemClock, request, &Silent).await.unwrap_err();
    let SendError::NoWay { passed_over, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(passed_over.len(), 1);
}

#[tokio::test]
async fn what_may_only_be_in_memory_is_refused_where_a_disk_would_have_it() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let to = image.start(&["--tmpfs", "/run/here", "--volume", "/data"]);
    let secret = |path: &str| {
        let content = SecretBytes::new(b"hunter2".to_vec());
        let sources = vec![Source::OneFile { mode: 0o440, content }];
        SendRequest { memory_only: true, ..request(to.id(), path, sources) }
    };
    // The container's own layer, a volume, and a folder that is still to be made on the way there.
    for path in ["/etc/secret", "/data/secret", "/run/new/folder/secret"] {
        let refused = landing(send_request(secret(path)).await);
        assert!(matches!(refused, LandingError::OnDisk { .. }), "{path}: {refused:?}");
    }
    assert_eq!(to.output(&["ls", "/run"]), "here\n");
    let _ = send_request(secret("/run/here/app/secret")).await.unwrap();
    assert_eq!(to.output(&["cat", "/run/here/app/secret"]), "hunter2");
    assert_eq!(to.output(&["stat", "-c", "%a", "/run/here/app/secret"]), "440\n");
    // A link to a disk is not followed: it is what is replaced.
    let _ = to.output(&["ln", "-sf", "/etc/secret", "/run/here/app/secret"]);
    let _ = send_request(secret("/run/here/app/secret")).await.unwrap();
    assert_eq!(to.output(&["stat", "-c", "%F", "/run/here/app/secret"]), "regular file\n");
    // One that leads a folder there is.
    let _ = to.output(&["ln", "-s", "/etc", "/run/here/etc"]);
    let refused = landing(send_request(secret("/run/here/etc/secret")).await);
    assert!(matches!(refused, LandingError::OnDisk { .. }), "{refused:?}");
    assert_eq!(to.output(&["sh", "-c", "ls /etc /data | grep secret || true"]), "");
}
