//! By exec.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use sealock_delivery::carriers::sealed::SealedError;
use sealock_delivery::carriers::{Carrier, CarrierError, Progress};
use sealock_delivery::send::SendError;
use sealock_delivery::sources::Source;
use sealock_engine::{ExecRequest, Output};
use sealock_testkit::docker::{Image, docker, try_docker};
use sealock_testkit::{scratch_folder, wait};
use sealock_transfer::container::ContainerId;
use sealock_transfer::offer::{Bound, Offer, OneTimeSecret, Reach, TransferId, Wanted};
use sealock_transfer::plan::Announced;
use sealock_transfer::wire::{self, Kind, Reason, Refusal};
use tokio::io::AsyncWriteExt;

use crate::{Bare, Removed, content, engine, leftovers, request, sealed, sent, sent_watched};
use crate::{skip, sparse, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_arrives_with_owner_and_mode_and_nothing_stays_behind() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let container = image.start(&["--tmpfs", "/run"]);
    // Whole seconds, as the client makes of both ends: the end is one that has not come yet, or what
    // happened in the second that is running would be left out.
    let now = docker(&["info", "--format", "{{.SystemTime}}"]);
    let since = format!("{}Z", now.split('.').next().unwrap().trim_end_matches('Z'));
    let mut wanted =
        request(container.id(), "/run/certs/key.pem", Carrier::Exec, vec![text("very secret\n")]);
    wanted.owner = Some("app".parse().unwrap());
    wanted.mode = Some(0o400);
    let receipt = sent(wanted).await.unwrap();
    assert_eq!(container.output(&["cat", "/run/certs/key.pem"]), "very secret\n");
    assert_eq!(
        container.output(&["stat", "-c", "%u:%g %a", "/run/certs/key.pem"]),
        "1000:1000 400\n"
    );
    assert_eq!(receipt.path, "/run/certs/key.pem");
    let sum = container.output(&["sha256sum", "/run/certs/key.pem"]);
    assert!(sum.starts_with(&receipt.sha256), "{sum} {}", receipt.sha256);
    assert_eq!(leftovers(&container), "");
    // What everybody may see of it says nothing but which program was run.
    let events = docker(&[
        "events",
        "--since",
        &since,
        "--until",
        "-1s",
        "--filter",
        &format!("container={}", container.id()),
    ]);
    let starts: Vec<&str> = events.lines().filter(|line| line.contains("exec_create")).collect();
    assert!(starts.iter().any(|line| line.contains(".sealock-receiver-")), "{events}");
    for line in starts.iter().filter(|line| line.contains(".sealock-receiver-")) {
        let argv = line.split("exec_create: ").nth(1).unwrap();
        let words: Vec<&str> = argv.split(" (").next().unwrap().split(' ').collect();
        // The engine adds the container's id behind the arguments.
        assert_eq!(words[1..], ["stdio", container.id()], "{line}");
    }
    assert!(!events.contains("very secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_arrives_and_the_same_again_changes_nothing() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let container = image.start(&[]);
    let send = || {
        let sources = vec![content("a.pem", b"one"), content("b.pem", b"two")];
        sent(request(container.id(), "/etc/app", Carrier::Exec, sources))
    };
    let first = send().await.unwrap();
    assert_eq!(container.output(&["cat", "/etc/app/a.pem", "/etc/app/b.pem"]), "onetwo");
    assert!(container.output(&["readlink", "/etc/app/a.pem"]).starts_with("..data/"));
    let second = send().await.unwrap();
    assert!(first.changed && !second.changed);
    assert_eq!(first.sha256, second.sha256);
}

/// No shell, no libraries, nothing but the one program that runs there.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_from_scratch_is_enough() {
    if skip() {
        return;
    }
    let bare = Bare::new();
    let container = Removed(bare.start(&["--network", "none"]));
    let receipt =
        sent(request(&container.0, "/config/x", Carrier::Exec, vec![text("hi")])).await.unwrap();
    assert_eq!(receipt.bytes, 2);
    let diff = docker(&["diff", &container.0]);
    assert!(diff.contains("/config/x") && !diff.contains("sealock-receiver"), "{diff}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_container_gets_files_into_its_tmpfs() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let container = image.start(&["--read-only", "--tmpfs", "/run"]);
    sent(request(container.id(), "/run/x", Carrier::Exec, vec![text("hi")])).await.unwrap();
    assert_eq!(container.output(&["cat", "/run/x"]), "hi");
    assert_eq!(leftovers(&container), "");
    let outcome = sent(request(container.id(), "/etc/x", Carrier::Exec, vec![text("hi")])).await;
    let SealedError::Refused(refusal) = sealed(outcome) else { panic!("not refused") };
    assert_eq!(refusal.reason, Reason::Destination);
    assert!(refusal.text.contains("read-only") && refusal.hint.is_some(), "{refusal:?}");
}

/// Read-only, without a shell and without a receiver of its own: there is no way in.
#[tokio::test(flavor = "multi_thread")]
async fn where_no_receiver_can_run_the_carrier_says_so() {
    if skip() {
        return;
    }
    let bare = Bare::new();
    let container = Removed(bare.start(&["--read-only", "--tmpfs", "/run"]));
    match sent(request(&container.0, "/run/x", Carrier::Exec, vec![text("hi")])).await {
        Err(SendError::NoWay { passed_over, .. }) => {
            assert!(passed_over[0].reason.contains("no receiver can be run"), "{passed_over:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installed_receiver_is_taken_and_stays() {
    if skip() {
        return;
    }
    let path = "/usr/local/bin/sealock-receiver";
    let image = Image::with_files(&[(path, sealock_receiver_image::RECEIVER, 0o755)]);
    let container = image.start(&["--read-only", "--tmpfs", "/run"]);
    sent(request(container.id(), "/run/x", Carrier::Exec, vec![text("hi")])).await.unwrap();
    assert_eq!(container.output(&["cat", "/run/x"]), "hi");
    assert!(container.exec(&["test", "-x", path]).status.success());
    assert_eq!(leftovers(&container), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_namespaces_do_not_confuse_it() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let lender = image.start(&[]);
    let lent = format!("container:{}", lender.id());
    for options in [
        vec!["--pid", "host"],
        vec!["--network", "host"],
        vec!["--network", lent.as_str()],
        vec!["--pid", lent.as_str()],
        vec!["--hostname", "web", "--user", "app", "--cap-drop", "ALL", "--cap-add", "CHOWN"],
    ] {
        let container = image.start(&options);
        let mut wanted = request(container.id(), "/tmp/x", Carrier::Exec, vec![text("hi")]);
        wanted.mode = Some(0o444);
        let outcome = sent(wanted).await;
        assert!(outcome.is_ok(), "{options:?}: {outcome:?}");
        assert_eq!(container.output(&["cat", "/tmp/x"]), "hi");
    }
}

/// An offer that is carried into another container than the one it was made for.
#[tokio::test(flavor = "multi_thread")]
async fn an_offer_for_another_container_is_refused_there() {
    if skip() {
        return;
    }
    let path = "/receiver";
    let image = Image::with_files(&[(path, sealock_receiver_image::RECEIVER, 0o755)]);
    let (meant, other) = (image.start(&[]), image.start(&[]));
    let engine = engine().await;
    let facts = engine.inspect(meant.id()).await.unwrap();
    let started = facts.started_at.unwrap().unix_nanoseconds();
    let mut offer = Offer {
        transfer: TransferId::generate().unwrap(),
        secret: OneTimeSecret::generate().unwrap(),
        bound: Bound {
            container: ContainerId::parse(meant.id()).unwrap(),
            started: started.try_into().unwrap(),
            start_shows: true,
            network_of: None,
        },
        reach: Reach::Here,
        wanted: Wanted {
            path: "/tmp/x".into(),
            one_file: Some("x".into()),
            owner: None,
            mode: None,
            announced: Announced { bytes: 10, members: 1 },
            memory_only: false,
        },
    };
    let answer = |container: String, offer: Offer| {
        let engine = engine.clone();
        async move {
            let argv = vec![path.to_owned(), "stdio".to_owned()];
            let request = ExecRequest { argv, user: None, stdin: true };
            let mut exec = engine.exec(&container, &request).await.unwrap();
            let message = wire::message(Kind::Offer, &offer.encode()).unwrap();
            exec.input.write_all(&message).await.unwrap();
            exec.input.shutdown().await.unwrap();
            let mut said = Vec::new();
            while let Some(Ok(output)) = exec.output.next().await {
                if let Output::Stdout(bytes) = output {
                    said.extend_from_slice(&bytes);
                }
            }
            let mut body = Vec::new();
            let kind = wire::read(&mut said.as_slice(), &mut body).unwrap();
            (kind, body)
        }
    };
    let (kind, _) = answer(meant.id().to_owned(), offer.clone()).await;
    assert_eq!(kind, Kind::Hello, "where it is meant for, it is taken");
    let (kind, body) = answer(other.id().to_owned(), offer.clone()).await;
    let refusal = Refusal::decode(&body).unwrap();
    assert_eq!((kind, refusal.reason), (Kind::Refusal, Reason::Container));
    assert!(refusal.text.contains(&other.id()[..12]), "{}", refusal.text);
    // The same container in another run: the first process says when it began.
    offer.bound.started -= 3_600_000_000_000;
    let (kind, body) = answer(meant.id().to_owned(), offer).await;
    let refusal = Refusal::decode(&body).unwrap();
    assert_eq!((kind, refusal.reason), (Kind::Refusal, Reason::Run));
    assert!(refusal.text.contains("s away"), "{}", refusal.text);
    assert!(!other.exec(&["test", "-e", "/tmp/x"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_system_leaves_the_old_content() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let container = image.start(&["--tmpfs", "/run:size=1m"]);
    sent(request(container.id(), "/run/x", Carrier::Exec, vec![text("old")])).await.unwrap();
    let folder = scratch_folder();
    let large = vec![Source::Path(sparse(folder.path(), 8))];
    let outcome = sent(request(container.id(), "/run/x", Carrier::Exec, large)).await;
    let SealedError::Refused(refusal) = sealed(outcome) else { panic!("not refused") };
    assert_eq!(refusal.reason, Reason::NoSpace, "{refusal:?}");
    assert_eq!(container.output(&["cat", "/run/x"]), "old");
    assert_eq!(container.output(&["ls", "-A", "/run"]), "x\n", "no staging stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_a_reason() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let container = image.start(&[]);
    let mut wanted = request(container.id(), "/tmp/x", Carrier::Exec, vec![text("hi")]);
    wanted.owner = Some("nobody-there".parse().unwrap());
    let SealedError::Refused(refusal) = sealed(sent(wanted).await) else { panic!("not refused") };
    assert!(refusal.text.contains("nobody-there"), "{refusal:?}");
    let outcome = sent(request(container.id(), "tmp/x", Carrier::Exec, vec![text("hi")])).await;
    assert!(
        matches!(outcome, Err(SendError::Carrier { source: CarrierError::Landing(_), .. })),
        "{outcome:?}"
    );
    assert_eq!(leftovers(&container), "");
}

/// Does something once the first bytes are on their way.
struct AtFirst<F>(AtomicU64, F);

impl<F: Fn() + Send + Sync> Progress for AtFirst<F> {
    fn arrived(&self, bytes: u64) {
        if bytes > 8 << 20 && self.0.fetch_add(1, Ordering::SeqCst) == 0 {
            (self.1)();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_stops_in_the_middle_is_named() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let container = image.start(&[]);
    let folder = scratch_folder();
    let large = vec![Source::Path(sparse(folder.path(), 512))];
    let id = container.id().to_owned();
    let progress = AtFirst(AtomicU64::new(0), move || {
        let _ = docker(&["kill", &id]);
    });
    let outcome =
        sent_watched(request(container.id(), "/tmp/x", Carrier::Exec, large), &progress).await;
    assert!(
        matches!(outcome, Err(SendError::Carrier { source: CarrierError::Stopped { .. }, .. })),
        "{outcome:?}"
    );
}

/// As Ctrl-C does it: the future is dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_is_given_up_leaves_the_old_content_and_no_process() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let container = image.start(&[]);
    sent(request(container.id(), "/tmp/x", Carrier::Exec, vec![text("old")])).await.unwrap();
    let folder = scratch_folder();
    let large = vec![Source::Path(sparse(folder.path(), 512))];
    let begun = std::sync::Arc::new(tokio::sync::Notify::new());
    let notify = std::sync::Arc::clone(&begun);
    let progress = AtFirst(AtomicU64::new(0), move || notify.notify_one());
    tokio::select! {
        outcome = sent_watched(request(container.id(), "/tmp/x", Carrier::Exec, large), &progress) => {
            panic!("it came to an end: {outcome:?}");
        }
        () = begun.notified() => {}
    }
    wait::until("the receiver is gone", Duration::from_secs(30), || {
        (!container.output(&["ps", "-o", "args"]).contains("stdio")).then_some(())
    });
    assert_eq!(container.output(&["cat", "/tmp/x"]), "old");
    let names = container.output(&["ls", "-A", "/tmp"]);
    assert_eq!(names, ".keep\nx\n", "no staging stays");
    assert_eq!(leftovers(&container), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_told_to_end_cleans_up() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let container = image.start(&[]);
    let folder = scratch_folder();
    let large = vec![Source::Path(sparse(folder.path(), 512))];
    let id = container.id().to_owned();
    let progress = AtFirst(AtomicU64::new(0), move || {
        let script = "kill -TERM $(ps -o pid,args | grep ' [s]tdio$' | awk '{print $1}')";
        let _ = try_docker(&["exec", &id, "sh", "-c", script]);
    });
    let outcome =
        sent_watched(request(container.id(), "/tmp/x", Carrier::Exec, large), &progress).await;
    let SealedError::Refused(refusal) = sealed(outcome) else { panic!("not refused") };
    assert!(refusal.text.contains("signal"), "{refusal:?}");
    assert_eq!(container.output(&["ls", "-A", "/tmp"]), ".keep\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_only_be_in_memory_is_refused_by_the_receiver_before_it_is_sent() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let container = image.start(&["--tmpfs", "/run"]);
    let secret = |path: &str| {
        let mut wanted = request(container.id(), path, Carrier::Exec, vec![text("hunter2")]);
        wanted.memory_only = true;
        wanted
    };
    let SealedError::Refused(refusal) = sealed(sent(secret("/etc/secret")).await) else { panic!() };
    assert_eq!(refusal.reason, Reason::OnDisk);
    assert!(refusal.text.ends_with("/etc is not on a file system in memory"), "{}", refusal.text);
    let _ = sent(secret("/run/secrets/db")).await.unwrap();
    assert_eq!(container.output(&["cat", "/run/secrets/db"]), "hunter2");
}
