//! What goes wrong around a Forwarder: brokers that are slow or come and go, thousands of clients that never finish, a
//! Gatekeeper that is killed in the middle of an answer.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod forwarder_support;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use forwarder_support::{
    App, Authority, Broker, Door, Gate, LONG, NOW, Scene, directory, expect, expect_head, header,
    listed, read_head, refusal, request, rest, send, server, soon, status, until,
};
use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit, setrlimit};
use sealock_core::{Identity, ManualClock, Timestamp};
use sealock_net::Limits;
use sealock_traffic::forwarder::{
    Access, Entry, Forwarder, Fresh, Hop, Report, Settings, SourceError, TokenSource, Trust,
};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Good,
    /// It answers when it is let to, and then that it cannot.
    Slow,
    Down,
}

/// A broker that goes away and comes back.
struct Flapping {
    broker: Arc<Broker>,
    mode: Mutex<Mode>,
    /// A permit lets one slow question be answered.
    go_on: Semaphore,
    asked: AtomicUsize,
    flying: Mutex<HashMap<Identity, usize>>,
    most: AtomicUsize,
}

impl TokenSource for Flapping {
    fn token<'a>(
        &'a self,
        audience: &'a Identity,
        trust: &'a Trust,
    ) -> Pin<Box<dyn Future<Output = Result<Fresh, SourceError>> + Send + 'a>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let now = {
                let mut flying = self.flying.lock();
                let now = flying.entry(audience.clone()).or_default();
                *now += 1;
                *now
            };
            self.most.fetch_max(now, Ordering::SeqCst);
            let mode = *self.mode.lock();
            if mode != Mode::Down {
                self.go_on.acquire().await.unwrap().forget();
            }
            *self.flying.lock().get_mut(audience).unwrap() -= 1;
            match mode {
                Mode::Good => self.broker.token(audience, trust).await,
                _ => Err(SourceError::Unavailable("it has just gone away".into())),
            }
        })
    }
}

struct Silent;

impl Report for Silent {
    fn access(&self, _: &Access) {}
}

#[tokio::test]
async fn a_broker_that_is_slow_and_comes_and_goes_stops_nothing_while_tokens_live() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
    let (app, broker, authority) = (App::start().await, Broker::new(&clock), Authority::new());
    let tls = Some(authority.server("orders", false));
    let gate = Gate::start("orders", app.address, &broker, tls).await;
    let source = Arc::new(Flapping {
        broker: Arc::clone(&broker),
        go_on: Semaphore::new(0),
        asked: AtomicUsize::new(0),
        flying: Mutex::default(),
        most: AtomicUsize::new(0),
        mode: Mutex::new(Mode::Good),
    });
    let services = directory(vec![listed("orders", &[gate.address], Hop::Tls)]);
    let trust = Trust { roots: vec![authority.root()], ..Trust::default() };
    let settings = Settings::default();
    let asked = Arc::clone(&source);
    let forwarder =
        Forwarder::new(settings, services, trust, asked, Arc::new(Silent), clock.clone()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let shutdown = sealock_net::Shutdown::default();
    tokio::spawn(Arc::clone(&forwarder).serve(listener, Entry::Proxy, shutdown.clone()));
    let get = move || async move {
        let text = request("GET", "http://orders/v1/a", "", "");
        status(&forwarder_support::exchange(proxy, &text).await)
    };
    // Many wait for the first one, which is one.
    let waiting: Vec<_> = (0..50).map(|_| tokio::spawn(get())).collect();
    until(|| forwarder.figures().running == 50).await;
    source.go_on.add_permits(1);
    for call in waiting {
        assert_eq!(soon(call).await.unwrap(), 200);
    }
    assert_eq!(source.asked.load(Ordering::SeqCst), 1);
    // From two thirds of its life on the next one is asked for. It does not come, or comes to nothing, and calls go on.
    for (second, mode) in [
        (210, Mode::Down),
        (225, Mode::Slow),
        (240, Mode::Down),
        (255, Mode::Slow),
        (270, Mode::Down),
        (299, Mode::Slow),
    ] {
        *source.mode.lock() = mode;
        clock.set(Timestamp::from_secs(NOW + second));
        let (asked, unfetched) =
            (source.asked.load(Ordering::SeqCst), forwarder.figures().unfetched);
        for _ in 0..10 {
            assert_eq!(get().await, 200, "{second}");
        }
        until(|| source.asked.load(Ordering::SeqCst) == asked + 1).await;
        source.go_on.add_permits(usize::from(mode == Mode::Slow));
        until(|| forwarder.figures().unfetched == unfetched + 1).await;
    }
    assert_eq!(source.most.load(Ordering::SeqCst), 1, "one flight for each audience");
    // When the token has died there is nothing to go on with, and when the broker is back there is.
    *source.mode.lock() = Mode::Down;
    clock.set(Timestamp::from_secs(NOW + 310));
    assert_eq!(get().await, 503);
    *source.mode.lock() = Mode::Good;
    clock.set(Timestamp::from_secs(NOW + 330));
    source.go_on.add_permits(1);
    assert_eq!(get().await, 200);
    shutdown.trigger();
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_slow_clients_cost_little_and_are_ended_in_time() {
    const CLIENTS: usize = 5_000;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    assert!(limit.maximum.is_none_or(|most| most > 12_000), "{limit:?}");
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
    let (app, broker) = (App::start().await, Broker::new(&clock));
    let gate = Gate::start("orders", app.address, &broker, None).await;
    let services = directory(vec![listed("orders", &[gate.address], Hop::Plain)]);
    let head = Duration::from_secs(8);
    let settings =
        Settings { limits: Limits { head, ..Settings::default().limits }, ..Settings::default() };
    let door = Door::start(settings, services, Trust::default(), &broker).await;
    assert_eq!(status(&door.get("http://orders/v1/a").await), 200);
    let before = resident();
    let began = Instant::now();
    let mut slow = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        let mut stream = soon(TcpStream::connect(door.proxy)).await.unwrap();
        stream
            .write_all(b"GET http://orders/v1/slow HTTP/1.1\r\nhost: orders\r\nx: ")
            .await
            .unwrap();
        slow.push(stream);
    }
    // Each says a byte now and then. Meanwhile a good client is served as ever.
    let (mut most, mut longest) = (0, Duration::ZERO);
    while began.elapsed() < head / 2 {
        for stream in &slow {
            let _ = stream.try_write(b"a");
        }
        let asked = Instant::now();
        assert_eq!(status(&soon(door.get("http://orders/v1/a")).await), 200);
        longest = longest.max(asked.elapsed());
        most = most.max(resident());
    }
    let each = most.saturating_sub(before) / CLIENTS;
    assert!(each < 20 * 1024, "{each} bytes for each of them");
    assert!(longest < LONG / 4, "a good client waited for {longest:?}");
    // However they dribble, a head has its deadline; and no call was made of any of them.
    let calls = app.calls();
    for stream in &mut slow {
        let dribble = async {
            loop {
                if stream
                    .try_write(b"a")
                    .is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock)
                {
                    return;
                }
                if read_head(stream).await.is_none_or(|head| !head.contains(" 200 ")) {
                    return;
                }
            }
        };
        tokio::time::timeout(3 * head, dribble).await.expect("a slow client is held for ever");
    }
    assert_eq!((app.calls(), door.forwarder.figures().running), (calls, 0));
    assert_eq!(status(&door.get("http://orders/v1/a").await), 200);
}

#[tokio::test]
async fn a_gatekeeper_that_is_killed_in_mid_stream_is_seen_to_break_and_its_successor_is_called() {
    let mut scene = Scene::start().await;
    // One in a process of its own, as far as that goes: a runtime that is dropped with all that runs in it.
    let own =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (app, broker) = (scene.app.address, Arc::clone(&scene.broker));
    let tls = Some(scene.authority.server("orders", false));
    let started = own.spawn(async move { Gate::start("orders", app, &broker, tls).await });
    let gate = soon(started).await.unwrap();
    let address = gate.address;
    let services = vec![listed("orders", &[address], Hop::Tls)];
    scene.door.forwarder.replace(directory(services)).unwrap();
    let mut stream = TcpStream::connect(scene.door.proxy).await.unwrap();
    send(&mut stream, request("GET", "http://orders/v1/stream", "", "").as_bytes()).await;
    let head = expect_head(&mut stream, 200).await;
    assert!(header(&head, "transfer-encoding").is_some(), "{head}");
    expect(&mut stream, b"5\r\ndata1\r\n").await;
    let mut socket = TcpStream::connect(scene.door.proxy).await.unwrap();
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n\
                   sec-websocket-version: 13\r\n";
    let text = format!("GET http://orders/v1/ws HTTP/1.1\r\nhost: orders\r\n{upgrade}\r\n");
    send(&mut socket, text.as_bytes()).await;
    expect_head(&mut socket, 101).await;
    send(&mut socket, b"ping").await;
    expect(&mut socket, b"ping").await;

    own.shutdown_background();
    // No end of the body: the client must not take it for the whole.
    assert_eq!(rest(&mut stream).await, "");
    assert_eq!(rest(&mut socket).await, "");
    let answer = scene.door.get("http://orders/v1/a").await;
    assert_eq!(refusal(&answer), (503, "service_unreachable".to_owned()));

    let listener = TcpListener::bind(address).await.unwrap();
    let tls = Some(scene.authority.server("orders", false));
    let gate = Gate::start_on(listener, "orders", scene.app.address, &scene.broker, tls);
    assert_eq!(status(&scene.door.get("http://orders/v1/b").await), 200);
    assert_eq!(scene.broker.asked(), 1, "the token is as good as before");
    scene.door.lines.close();
    drop(gate);
}

#[tokio::test]
async fn addresses_that_are_written_oddly_are_looked_at_as_what_they_are() {
    let metadata = server(|mut stream| async move {
        send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await;
    })
    .await;
    let port = metadata.port();
    // Each of these is a resolver's spelling of this host, of link-local or of metadata.
    let odd = [
        "127.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0x7f.1",
        "0177.0.0.1",
        "localhost",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
        "[fd00:ec2::254]",
        "169.254.169.254",
        "100.100.100.200",
        "0.0.0.0",
        "[::]",
    ];
    let hosts: Vec<String> = odd.iter().map(|host| format!("{host}:{port}")).collect();
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
    let broker = Broker::new(&clock);
    let listed: Vec<_> = hosts
        .iter()
        .enumerate()
        .map(|(number, host)| sealock_traffic::forwarder::Service {
            instances: vec![host.clone()],
            hop: Hop::DangerousPlain,
            ..listed(&format!("service-{number}"), &[], Hop::Plain)
        })
        .collect();
    let settings = Settings { connect: Duration::from_secs(2), ..Settings::default() };
    let directory = sealock_traffic::forwarder::Directory::new(listed, &hosts, &hosts).unwrap();
    let door = Door::start(settings, directory, Trust::default(), &broker).await;
    for (number, host) in hosts.iter().enumerate() {
        // That the owner has named it in this very spelling makes this host's mapped loopback its own, and nothing else.
        let is_named = host.starts_with("[::ffff:127.0.0.1]");
        let tunnel =
            format!("CONNECT {host} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        for answer in [
            door.get(&format!("http://{host}/")).await,
            door.get(&format!("http://service-{number}/v1/a")).await,
            forwarder_support::exchange(door.proxy, &tunnel).await,
        ] {
            if is_named {
                assert_eq!(status(&answer), 200, "{host}: {answer}");
            } else {
                assert_eq!(refusal(&answer).1, "address_forbidden", "{host}: {answer}");
            }
        }
    }
}
