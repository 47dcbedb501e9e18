//! Against a real engine, with containers of our own.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use sealock_engine::{Engine, EngineError, EngineUrl, EventKind, Exec, ExecRequest, Output, Ran};
use sealock_testkit::clients::skip_without_engine;
use sealock_testkit::docker::{Image, Network, docker};
use sealock_testkit::{unique_name, wait};
use tokio::io::AsyncWriteExt;

const PATIENCE: Duration = Duration::from_secs(30);

async fn engine() -> Engine {
    Engine::connect(&EngineUrl::standard()).await.unwrap()
}

fn command(argv: &[&str], stdin: bool) -> ExecRequest {
    ExecRequest { argv: argv.iter().map(ToString::to_string).collect(), user: None, stdin }
}

async fn run(engine: &Engine, container: &str, argv: &[&str], input: &[u8]) -> Ran {
    engine.run(container, &command(argv, true), input, PATIENCE, 1 << 24).await.unwrap()
}

#[tokio::test]
async fn the_facts_of_a_container_are_all_there() {
    if skip_without_engine() {
        return;
    }
    let engine = engine().await;
    assert!(engine.is_local());
    assert!(engine.version().await.unwrap().api_version.starts_with("1."));
    let image = Image::busybox();
    let network = Network::create(&[]);
    let container = image.start(&[
        "--network",
        network.name(),
        "--network-alias",
        "other",
        "--hostname",
        "inside",
        "--label",
        "sealock.x=y",
        "--user",
        "app",
        "--read-only",
        "--tmpfs",
        "/run:size=64k",
        "--volume",
        "/data",
        "--pid",
        "host",
    ]);
    let facts = engine.inspect_running(&container.id()[..12]).await.unwrap();
    assert_eq!(facts.id, container.id());
    assert_eq!(format!("/{}", facts.name), container.inspect("{{.Name}}"));
    assert_eq!(facts.image, image.name());
    assert_eq!(facts.image_id, image.id());
    assert_eq!(facts.pid, Some(container.pid()));
    assert_eq!(facts.started_at.unwrap().as_str(), container.inspect("{{.State.StartedAt}}"));
    assert_eq!(facts.labels.get("sealock.x").map(String::as_str), Some("y"));
    assert_eq!((facts.hostname.as_str(), facts.user.as_str()), ("inside", "app"));
    assert_eq!((facts.read_only, facts.running, facts.paused), (true, true, false));
    assert_eq!(facts.pid_mode, "host");
    let [attached] = facts.networks.as_slice() else { panic!("{:?}", facts.networks) };
    assert_eq!(attached.name, network.name());
    assert!(attached.ip.is_some() && attached.gateway.is_some());
    assert!(attached.aliases.contains(&"other".to_owned()));
    let at = |path: &str| facts.mounts.iter().find(|mount| mount.destination == path).unwrap();
    assert_eq!((at("/run").kind.as_str(), at("/run").writable), ("tmpfs", true));
    assert_eq!(at("/data").kind, "volume");

    let running = engine.list_running().await.unwrap();
    assert!(running.iter().any(|other| other.id == facts.id));
}

#[tokio::test]
async fn containers_that_cannot_be_used_are_told_apart() {
    if skip_without_engine() {
        return;
    }
    let engine = engine().await;
    let image = Image::busybox();
    let container = image.start(&[]);
    let id = container.id();
    let unknown = engine.inspect("sealock-test-never").await.unwrap_err();
    assert!(matches!(unknown, EngineError::NoSuchContainer { .. }), "{unknown:?}");
    assert!(matches!(engine.inspect("../x").await, Err(EngineError::BadReference { .. })));
    let _ = docker(&["pause", id]);
    let paused = engine.inspect_running(id).await.unwrap_err();
    assert!(matches!(paused, EngineError::Paused { .. }), "{paused:?}");
    let paused = engine.exec(id, &command(&["true"], false)).await.unwrap_err();
    assert!(matches!(paused, EngineError::Paused { .. }), "{paused:?}");
    let _ = docker(&["unpause", id]);
    container.kill();
    for stopped in [
        engine.inspect_running(id).await.unwrap_err(),
        engine.exec(id, &command(&["true"], false)).await.unwrap_err(),
        engine.kill(id, "HUP").await.unwrap_err(),
    ] {
        assert!(matches!(stopped, EngineError::NotRunning { .. }), "{stopped:?}");
    }
    let gone = engine.exec("sealock-test-never", &command(&["true"], false)).await.unwrap_err();
    assert!(matches!(gone, EngineError::NoSuchContainer { .. }), "{gone:?}");
}

#[tokio::test]
async fn a_command_gets_its_input_and_both_outputs_come_apart() {
    if skip_without_engine() {
        return;
    }
    let engine = engine().await;
    let image = Image::busybox();
    let container = image.start(&[]);
    let id = container.id();
    // More than all the buffers on the way hold, through a command that echoes: both directions
    // have to move at once, and the end of input must get through while output still comes.
    let input: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let ran = run(&engine, id, &["cat"], &input).await;
    assert_eq!(ran.code, 0);
    assert!(ran.stdout == input, "{} of {} bytes came back", ran.stdout.len(), input.len());

    let script = "n=$(wc -c); echo out $n; echo err >&2; exit 7";
    let ran = run(&engine, id, &["sh", "-c", script], &[0; 70_000]).await;
    let expected = Ran { code: 7, stdout: b"out 70000\n".to_vec(), stderr: b"err\n".to_vec() };
    assert_eq!(ran, expected);

    // One that does not care for its input.
    let ran = run(&engine, id, &["sh", "-c", "echo x; exit 3"], &input).await;
    assert_eq!((ran.code, ran.stdout.as_slice()), (3, &b"x\n"[..]));

    let refused = engine.run(id, &command(&["cat"], true), &input, PATIENCE, 1000).await;
    assert!(matches!(refused, Err(EngineError::TooMuchOutput { .. })), "{refused:?}");
    let slow = engine
        .run(id, &command(&["sleep", "100"], false), b"", Duration::from_millis(300), 1000)
        .await;
    assert!(matches!(slow, Err(EngineError::Deadline { .. })), "{slow:?}");
}

#[tokio::test]
async fn input_stays_open_until_it_is_shut_down() {
    if skip_without_engine() {
        return;
    }
    let engine = engine().await;
    let image = Image::busybox();
    let container = image.start(&[]);
    let script = "read line; echo got $line; cat; echo end";
    let exec = engine.exec(container.id(), &command(&["sh", "-c", script], true)).await.unwrap();
    let Exec { mut input, mut output, handle } = exec;
    input.write_all(b"one\n").await.unwrap();
    let first = output.next().await.unwrap().unwrap();
    assert_eq!(first, Output::Stdout(Bytes::from_static(b"got one\n")));
    input.write_all(b"two\n").await.unwrap();
    let second = output.next().await.unwrap().unwrap();
    assert_eq!(second, Output::Stdout(Bytes::from_static(b"two\n")));
    input.shutdown().await.unwrap();
    let third = output.next().await.unwrap().unwrap();
    assert_eq!(third, Output::Stdout(Bytes::from_static(b"end\n")));
    assert!(output.next().await.is_none());
    assert_eq!(handle.exit_code().await.unwrap(), 0);
}

#[tokio::test]
async fn a_command_that_cannot_start_says_so() {
    if skip_without_engine() {
        return;
    }
    let engine = engine().await;
    let image = Image::busybox();
    let container = image.start(&[]);
    let missing = run(&engine, container.id(), &["/no/such/program"], b"").await;
    assert!([126, 127].contains(&missing.code), "{missing:?}");
    let nobody = ExecRequest { user: Some("nobody-here".to_owned()), ..command(&["true"], false) };
    let refused = engine.run(container.id(), &nobody, b"", PATIENCE, 1000).await;
    assert!(matches!(refused, Err(EngineError::NoSuchUser { .. })), "{refused:?}");
    let app = ExecRequest { user: Some("app".to_owned()), ..command(&["id", "-u"], false) };
    let ran = engine.run(container.id(), &app, b"", PATIENCE, 1000).await.unwrap();
    assert_eq!(ran.stdout, b"1000\n");
}

#[tokio::test]
async fn a_container_that_dies_ends_its_commands() {
    if skip_without_engine() {
        return;
    }
    let engine = engine().await;
    let image = Image::busybox();
    let container = image.start(&[]);
    let exec = engine.exec(container.id(), &command(&["cat"], true)).await.unwrap();
    container.kill();
    let mut output = exec.output;
    let rest = tokio::time::timeout(PATIENCE, async { while output.next().await.is_some() {} });
    rest.await.unwrap();
    let code = exec.handle.exit_code().await;
    assert!(!matches!(code, Ok(0)), "{code:?}");
}

#[tokio::test]
async fn signals_arrive_and_unknown_ones_are_refused() {
    if skip_without_engine() {
        return;
    }
    let engine = engine().await;
    let image = Image::busybox();
    let script = "trap 'echo hup >> /tmp/seen' HUP; touch /tmp/ready; while :; do sleep 0.05; done";
    let container = image.start_command(&[], &["sh", "-c", script]);
    let seen = |file: &str| {
        wait::until(file, PATIENCE, || {
            container.exec(&["test", "-e", file]).status.success().then_some(())
        });
    };
    seen("/tmp/ready");
    engine.kill(container.id(), "HUP").await.unwrap();
    seen("/tmp/seen");
    for bad in ["NOPE", "", "HUP;x", "99999999999999999"] {
        let refused = engine.kill(container.id(), bad).await.unwrap_err();
        assert!(matches!(refused, EngineError::BadSignal { .. }), "{bad}: {refused:?}");
    }
}

#[tokio::test]
async fn an_archive_is_unpacked_where_that_can_be() {
    if skip_without_engine() {
        return;
    }
    let engine = engine().await;
    let image = Image::busybox();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o755);
    archive.append_data(&mut header, "program", &b"hello"[..]).unwrap();
    let archive = Bytes::from(archive.into_inner().unwrap());
    let put = async |id: &str, folder: &str| {
        engine.put_archive(id, folder, archive.clone(), PATIENCE).await
    };
    let writable = image.start(&[]);
    put(writable.id(), "/tmp").await.unwrap();
    assert_eq!(writable.output(&["cat", "/tmp/program"]), "hello");
    let missing = put(writable.id(), "/no/such").await.unwrap_err();
    assert!(matches!(missing, EngineError::NoSuchPath { .. }), "{missing:?}");
    let read_only = image.start(&["--read-only"]);
    let refused = put(read_only.id(), "/tmp").await.unwrap_err();
    assert!(matches!(refused, EngineError::ReadOnly { .. }), "{refused:?}");
}

#[tokio::test]
async fn events_come_in_order_and_can_be_continued() {
    if skip_without_engine() {
        return;
    }
    let engine = engine().await;
    let image = Image::busybox();
    let network = Network::create(&[]);
    let mut events = engine.events(None);
    // The stream begins when it is first polled; an event of our own shows that it has.
    let name = unique_name();
    let (id, first) = {
        let starting = tokio::task::spawn_blocking({
            let (network, image) = (network.name().to_owned(), image.name().to_owned());
            let name = name.clone();
            move || {
                let id = docker(&["create", "--name", &name, "--network", &network, &image]);
                std::thread::sleep(Duration::from_millis(300));
                let _ = docker(&["start", &id]);
                let _ = docker(&["rename", &id, &format!("{name}-b")]);
                let _ = docker(&["network", "disconnect", &network, &id]);
                let _ = docker(&["rm", "--force", &id]);
                id
            }
        });
        let first = events.next().await.unwrap().unwrap();
        (starting.await.unwrap(), first)
    };
    let mut seen = Vec::new();
    let mut event = first;
    let mut since = 0;
    let collect = async {
        loop {
            if event.container == id {
                if event.kind == EventKind::Started {
                    since = event.at;
                }
                seen.push(event.kind);
            }
            if seen.last() == Some(&EventKind::Destroyed) {
                break;
            }
            event = events.next().await.unwrap().unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, collect).await.unwrap();
    for kind in [
        EventKind::NetworkConnected,
        EventKind::Started,
        EventKind::Renamed,
        EventKind::NetworkDisconnected,
        EventKind::Died,
        EventKind::Destroyed,
    ] {
        assert!(seen.contains(&kind), "{kind:?} is not in {seen:?}");
    }
    let mut again = engine.events(Some(since));
    let replayed = tokio::time::timeout(PATIENCE, async {
        loop {
            let event = again.next().await.unwrap().unwrap();
            if event.container == id {
                break event;
            }
        }
    });
    let replayed = replayed.await.unwrap();
    assert_eq!((replayed.kind, replayed.at), (EventKind::Started, since));
}
