//! Thousands of clients of a Gatekeeper that never finish: with their heads, with their bodies, with taking an answer.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod support;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use sealock_net::Limits;
use sealock_net::proxy::Address;
use support::{App, POLICY, Scene, read_head, request, rest, soon, status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Of each kind.
const EACH: usize = 1_667;

/// For each of what they are slow with.
const DEADLINE: Duration = Duration::from_secs(5);

/// Where nobody comes from but the good one: what strangers at one address may have is nothing to those at another.
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0);

/// An app that costs little: at `/v1/big` it says more than sockets hold, and anything else that it is told whole gets
/// two bytes. Counted are those that it was told whole.
async fn app(whole: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(behave(stream, Arc::clone(&whole)));
        }
    });
    address
}

async fn behave(mut stream: TcpStream, whole: Arc<AtomicUsize>) {
    static PIECE: [u8; 1 << 16] = [b'*'; 1 << 16];
    while let Some(head) = read_head(&mut stream).await {
        if head.contains("content-length: 9\r\n") && stream.read_exact(&mut [0; 9]).await.is_err() {
            return;
        }
        if head.starts_with("GET /v1/big ") {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
            if stream.write_all(head.as_bytes()).await.is_err() {
                return;
            }
            while stream.write_all(&PIECE).await.is_ok() {}
            return;
        }
        whole.fetch_add(1, Ordering::SeqCst);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn allow_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    assert!(limit.maximum.is_none_or(|most| most > 18_000), "{limit:?}");
}

/// The status of a good call, from an address of its own.
async fn good(scene: &Scene) -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(ELSEWHERE).unwrap();
    let mut stream = soon(socket.connect(scene.address)).await.unwrap();
    let sent = request("GET /v1/a", Some(&scene.token("web")), "");
    stream.write_all(sent.as_bytes()).await.unwrap();
    status(&rest(&mut stream).await)
}

/// One that says this and then nothing of use. It may be refused, by a cap on those who have not said who they are.
async fn slow(scene: &Scene, said: &str) -> Option<TcpStream> {
    let mut stream = soon(scene.connect()).await;
    stream.write_all(said.as_bytes()).await.ok().map(|()| stream)
}

/// A byte more, which may be one too many.
fn dribble(streams: &[TcpStream]) {
    for stream in streams {
        let _ = stream.try_write(b"a");
    }
}

/// Until the Gatekeeper has hung up, whatever comes before that.
async fn is_ended(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await {
            Ok(1..) => {}
            Ok(0) => return,
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock);
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_slow_callers_cost_little_and_a_good_one_is_served() {
    allow_descriptors();
    let whole = Arc::new(AtomicUsize::new(0));
    let app = Address::Tcp(app(Arc::clone(&whole)).await.to_string());
    let limits = Limits {
        head: DEADLINE,
        body: DEADLINE,
        write: DEADLINE,
        connections: 20_000,
        ..Limits::default()
    };
    let slowly = |settings: &mut sealock_traffic::gatekeeper::Settings| {
        settings.limits = limits;
        // The worst that a caller could be allowed.
        settings.concurrent = 3 * EACH;
    };
    let scene = Scene::before(App::start().await, app, slowly, None).await;
    scene.gatekeeper.know(scene.known(POLICY, 1));
    assert_eq!(good(&scene).await, 200);
    let before = resident();
    let token = scene.token("shop");
    let head = "GET /v1/slow HTTP/1.1\r\nhost: orders\r\nx: ";
    let body = request("PUT /v1/slow", Some(&token), "content-length: 9\r\n") + "half";
    let reader = request("GET /v1/big", Some(&token), "");
    let (mut heads, mut bodies, mut readers) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..EACH {
        heads.extend(slow(&scene, head).await);
        bodies.extend(slow(&scene, &body).await);
        readers.extend(slow(&scene, &reader).await);
        if number % 100 == 0 {
            assert_eq!(good(&scene).await, 200, "after {number} of each");
        }
    }
    let mut most = resident();
    for _ in 0..20 {
        dribble(&heads);
        assert_eq!(good(&scene).await, 200);
        most = most.max(resident());
    }
    let each = most.saturating_sub(before) / (3 * EACH);
    assert!(each < 64 * 1024, "{each} bytes for each of them");
    // Each has its deadline: those that run end by themselves, also who never reads, and the others are hung up on.
    let all_ended = async {
        while scene.gatekeeper.figures().running > 0 {
            dribble(&heads);
            tokio::task::yield_now().await;
        }
        for stream in heads.iter_mut().chain(&mut bodies) {
            is_ended(stream).await;
        }
    };
    tokio::time::timeout(12 * DEADLINE, all_ended).await.expect("a slow one is held for ever");
    // Of none of them the app was told the whole.
    let calls = whole.load(Ordering::SeqCst);
    assert_eq!(calls, 1 + EACH.div_ceil(100) + 20);
    assert_eq!(good(&scene).await, 200);
}
