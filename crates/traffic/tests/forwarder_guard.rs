//! Where nothing goes: destinations that are not listed, addresses that are not dialled, servers that are somebody else,
//! and requests with two readings.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod forwarder_support;

use std::net::SocketAddr;
use std::sync::Arc;

use forwarder_support::{
    App, Authority, Broker, Door, Gate, NOW, Scene, closed_port, directory, exchange, expect,
    expect_head, header, identity, listed, read_body, read_head, refusal, request, rest, send,
    server, status, until,
};
use parking_lot::Mutex;
use sealock_core::{ManualClock, Timestamp};
use sealock_traffic::forwarder::{Directory, Entry, Hop, Service, Settings, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A Forwarder to whom this directory is given, and who has tokens.
async fn door(directory: Directory) -> (Door, Arc<Broker>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
    let broker = Broker::new(&clock);
    (Door::start(Settings::default(), directory, Trust::default(), &broker).await, broker)
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

/// Answers each request with 200, and notes its head and body.
async fn recorder() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&seen);
    let address = server(move |mut stream| {
        let heads = Arc::clone(&heads);
        async move {
            while let Some(head) = read_head(&mut stream).await {
                let Some(_) = read_body(&mut stream, &head).await else { return };
                heads.lock().push(head);
                send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nthey").await;
            }
        }
    })
    .await;
    (address, seen)
}

#[tokio::test]
async fn what_is_not_listed_is_refused() {
    let scene = Scene::start().await;
    let (other, seen) = recorder().await;
    for url in [
        format!("http://{other}/"),
        "http://billing/v1/a".to_owned(),
        "http://orders:81/v1/a".to_owned(),
        "http://orders.example/v1/a".to_owned(),
        format!("http://{}/v1/a", scene.gate.address),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ] {
        let answer = scene.door.get(&url).await;
        assert_eq!(refusal(&answer), (403, "not_listed".to_owned()), "{url}");
    }
    assert!(seen.lock().is_empty() && scene.app.calls() == 0 && scene.broker.asked() == 0);
    assert_eq!(scene.door.forwarder.figures().denied, 6);
}

#[tokio::test]
async fn what_is_passed_on_gets_no_token_and_keeps_what_the_app_sends() {
    let (other, seen) = recorder().await;
    let pass = [other.to_string()];
    let (door, broker) = door(Directory::new(Vec::new(), &pass, &[]).unwrap()).await;
    let fields = "authorization: Bearer theirs\r\nproxy-authorization: Basic cDpx\r\n";
    let url = format!("http://{other}/a//b;c?d");
    let answer = door.call("GET", &url, fields, "").await;
    assert!(status(&answer) == 200 && answer.ends_with("they"), "{answer}");
    let head = seen.lock().pop().unwrap();
    assert!(head.starts_with("GET /a//b;c?d HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "authorization"), Some("Bearer theirs"));
    assert_eq!(header(&head, "host"), Some(other.to_string().as_str()));
    for gone in ["proxy-authorization", "proxy-connection", "x-request-id"] {
        assert_eq!(header(&head, gone), None, "{gone}");
    }
    assert_eq!((broker.asked(), door.forwarder.figures().passed), (0, 1));
}

#[tokio::test]
async fn what_nobody_has_listed_goes_on_by_patterns_but_not_to_this_host_or_for_a_bare_name() {
    let scene = Scene::start().await;
    let (other, seen) = recorder().await;
    let all = ["*:*".to_owned()];
    let own = listed("orders", &[scene.gate.address], Hop::Tls);
    scene.door.forwarder.replace(Directory::new(vec![own], &all, &all).unwrap()).unwrap();
    // A service stays one.
    assert_eq!(status(&scene.door.get("http://orders/v1/a").await), 200);
    let port = other.port();
    let (forbidden, unlisted) = ("address_forbidden", "not_listed");
    for (to, code) in [
        (other.to_string(), forbidden),
        (format!("127.9.9.9:{port}"), forbidden),
        (format!("[::1]:{port}"), forbidden),
        (format!("[::ffff:127.0.0.1]:{port}"), forbidden),
        // A name with a dot for the resolver, and an address for who reads it so.
        (format!("127.1:{port}"), forbidden),
        ("169.254.169.254:80".to_owned(), forbidden),
        ("[fd00:ec2::254]:80".to_owned(), forbidden),
        ("100.100.100.200:80".to_owned(), forbidden),
        ("0.0.0.0:80".to_owned(), forbidden),
        (scene.door.proxy.to_string(), forbidden),
        ("billing:80".to_owned(), unlisted),
        (format!("localhost:{port}"), unlisted),
    ] {
        let expected = (403, code.to_owned());
        let answer = scene.door.get(&format!("http://{to}/latest/meta-data")).await;
        assert_eq!(refusal(&answer), expected, "{to}");
        assert_eq!(refusal(&connect(scene.door.proxy, &to).await), expected, "CONNECT {to}");
    }
    assert!(seen.lock().is_empty());
    // Whoever names the address means it.
    let named = [other.to_string(), "*:*".to_owned()];
    scene.door.forwarder.replace(Directory::new(Vec::new(), &named, &[]).unwrap()).unwrap();
    assert_eq!(status(&scene.door.get(&format!("http://{other}/")).await), 200);
    assert_eq!(seen.lock().len(), 1);
}

#[tokio::test]
async fn nobody_is_led_to_our_own_listeners_or_what_controls_us() {
    let (control, seen) = recorder().await;
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
    let settings = Settings { own: vec![control], ..Settings::default() };
    let broker = Broker::new(&clock);
    let trust = Trust::default();
    let door = Door::start(settings, Directory::default(), trust, &broker).await;
    let local = door.port("orders").await;
    // Whoever names them in the directory does not know better.
    for address in [door.proxy, local, control] {
        let all = [address.to_string()];
        door.forwarder.replace(Directory::new(Vec::new(), &all, &all).unwrap()).unwrap();
        let answer = door.get(&format!("http://{address}/")).await;
        assert_eq!(refusal(&answer), (403, "address_forbidden".to_owned()), "{address}");
        let answer = connect(door.proxy, &address.to_string()).await;
        assert_eq!(refusal(&answer), (403, "address_forbidden".to_owned()), "{address}");
    }
    assert!(seen.lock().is_empty());
}

#[tokio::test]
async fn what_is_found_out_to_control_us_is_not_dialled_as_a_service_either() {
    let scene = Scene::start().await;
    assert_eq!(status(&scene.door.get("http://orders/v1/a").await), 200);
    let services =
        || directory(vec![listed("billing", &[scene.gate.address], Hop::DangerousPlain)]);
    scene.door.forwarder.never_dial(vec![scene.gate.address]);
    scene.door.forwarder.replace(services()).unwrap();
    let answer = scene.door.get("http://billing/v1/a").await;
    assert_eq!(refusal(&answer), (403, "address_forbidden".to_owned()));
    scene.door.forwarder.never_dial(Vec::new());
    let answer = scene.door.get("http://billing/v1/a").await;
    assert_ne!(status(&answer), 403, "{answer}");
}

#[tokio::test]
async fn a_listener_on_all_addresses_is_our_own_at_each_of_them() {
    let (door, _) = door(Directory::default()).await;
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (forwarder, shutdown) = (Arc::clone(&door.forwarder), door.shutdown.clone());
    tokio::spawn(forwarder.serve(listener, Entry::Proxy, shutdown));
    let all = texts(&[&format!("127.0.0.1:{port}"), &format!("127.3.2.1:{port}")]);
    door.forwarder.replace(Directory::new(Vec::new(), &[], &all).unwrap()).unwrap();
    for to in all {
        // It answers, but not through itself.
        let direct = exchange(to.parse().unwrap(), &request("GET", "/", "", "")).await;
        assert_eq!(status(&direct), 400);
        let answer = connect(door.proxy, &to).await;
        assert_eq!(refusal(&answer), (403, "address_forbidden".to_owned()), "{to}");
    }
}

async fn connect(proxy: SocketAddr, to: &str) -> String {
    let text = format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n\r\n");
    exchange(proxy, &text).await
}

#[tokio::test]
async fn a_tunnel_leads_to_what_is_listed_for_it_and_to_no_forbidden_address() {
    let echo = server(|mut stream| async move {
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        let _ = writer.shutdown().await;
    })
    .await;
    let name = format!("localhost:{}", echo.port());
    // What a resolver takes for this host, though it is no address by its spelling.
    let odd = ["127.1", "0x7f000001", "2130706433", "017700000001"];
    let odd: Vec<String> = odd.iter().map(|host| format!("{host}:{}", echo.port())).collect();
    let forbidden = ["169.254.169.254:80", "[fd00:ec2::254]:80", "[::ffff:169.254.169.254]:80"];
    let all = [&forbidden[..], &["100.100.100.200:80", "0.0.0.0:80", &name]].concat();
    let all: Vec<&str> = all.into_iter().chain(odd.iter().map(String::as_str)).collect();
    let open = texts(&[&all[..], &[&echo.to_string()]].concat());
    let (door, broker) = door(Directory::new(Vec::new(), &[], &open).unwrap()).await;
    // A name that leads to this host was pointed there by somebody.
    for to in all {
        let answer = connect(door.proxy, to).await;
        assert_eq!(refusal(&answer), (403, "address_forbidden".to_owned()), "{to}");
    }
    for to in ["10.0.0.1:443", "example.com:443", &format!("127.0.0.1:{}", echo.port() ^ 1)] {
        let answer = connect(door.proxy, to).await;
        assert_eq!(refusal(&answer), (403, "not_listed".to_owned()), "{to}");
    }
    // What is listed for tunnels is not listed for requests.
    let answer = door.get(&format!("http://{echo}/")).await;
    assert_eq!(refusal(&answer), (403, "not_listed".to_owned()));
    let mut app = TcpStream::connect(door.proxy).await.unwrap();
    let head = format!("CONNECT {echo} HTTP/1.1\r\nhost: {echo}\r\n\r\nfirst");
    send(&mut app, head.as_bytes()).await;
    expect_head(&mut app, 200).await;
    expect(&mut app, b"first").await;
    send(&mut app, b"GET / HTTP/1.1\r\n\r\n").await;
    expect(&mut app, b"GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!((door.forwarder.figures().tunnels, door.forwarder.figures().running), (1, 1));
    app.shutdown().await.unwrap();
    assert_eq!(rest(&mut app).await, "");
    until(|| door.forwarder.figures().running == 0).await;
    // One whose destination is taken from the list ends at once.
    let mut app = TcpStream::connect(door.proxy).await.unwrap();
    send(&mut app, head.as_bytes()).await;
    expect_head(&mut app, 200).await;
    expect(&mut app, b"first").await;
    door.forwarder.replace(Directory::default()).unwrap();
    assert_eq!(rest(&mut app).await, "");
    assert_eq!((door.forwarder.figures().cut, broker.asked()), (1, 0));
}

#[tokio::test]
async fn a_service_that_is_at_a_forbidden_address_is_not_dialled() {
    let scene = Scene::start().await;
    for instance in ["169.254.169.254:443", "localhost:443", "[64:ff9b::7f00:1]:443"] {
        let service = Service { instances: texts(&[instance]), ..listed("orders", &[], Hop::Tls) };
        scene.door.forwarder.replace(directory(vec![service])).unwrap();
        let answer = scene.door.get("http://orders/v1/a").await;
        assert_eq!(refusal(&answer), (403, "address_forbidden".to_owned()), "{instance}");
    }
}

#[tokio::test]
async fn no_token_goes_to_a_server_with_another_certificate() {
    let scene = Scene::start().await;
    let stranger = Authority::new();
    for (server, hop) in [
        (scene.authority.server("billing", false), Hop::Tls),
        (scene.authority.server("billing", false), Hop::TlsAs("orders.test".to_owned())),
        (stranger.server("orders", false), Hop::Tls),
        (stranger.server("orders", false), Hop::TlsAs("gate.test".to_owned())),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // All that it gets after a handshake, if there is one.
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = server.accept(stream, forwarder_support::LONG).await else {
                return Vec::new();
            };
            let mut got = Vec::new();
            let _ = stream.read_to_end(&mut got).await;
            got
        });
        let services = vec![listed("orders", &[address], hop.clone())];
        scene.door.forwarder.replace(directory(services)).unwrap();
        let answer = scene.door.get("http://orders/v1/a").await;
        assert_eq!(refusal(&answer), (502, "handshake_failed".to_owned()), "{hop:?}");
        assert_eq!(serving.await.unwrap(), b"", "{hop:?}");
    }
    // Nor to one that does not speak TLS at all.
    let got = Arc::new(Mutex::new(Vec::new()));
    let bytes = Arc::clone(&got);
    let plain = server(move |mut stream| {
        let bytes = Arc::clone(&bytes);
        async move {
            send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all).await;
            bytes.lock().extend(all);
        }
    })
    .await;
    scene.door.forwarder.replace(directory(vec![listed("orders", &[plain], Hop::Tls)])).unwrap();
    let answer = scene.door.get("http://orders/v1/a").await;
    assert_eq!(refusal(&answer), (502, "handshake_failed".to_owned()));
    until(|| !got.lock().is_empty()).await;
    let got = String::from_utf8_lossy(&got.lock()).into_owned();
    assert!(!got.contains("Bearer") && !got.contains("HTTP"), "{got}");
}

#[tokio::test]
async fn in_clear_text_a_token_goes_to_this_host_only() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
    let (app, broker) = (App::start().await, Broker::new(&clock));
    let gate = Gate::start("orders", app.address, &broker, None).await;
    let here = directory(vec![listed("orders", &[gate.address], Hop::Plain)]);
    let door = Door::start(Settings::default(), here, Trust::default(), &broker).await;
    assert_eq!(status(&door.get("http://orders/v1/a").await), 200);
    for instance in ["192.0.2.1:80", "orders.example:80", "localhost:80"] {
        let service =
            Service { instances: texts(&[instance]), ..listed("orders", &[], Hop::Plain) };
        let error = Directory::new(vec![service], &[], &[]).unwrap_err().to_string();
        assert!(error.contains("in clear text"), "{error}");
    }
}

#[tokio::test]
async fn a_request_with_two_readings_goes_nowhere() {
    let scene = Scene::start().await;
    let smuggled = "GET http://orders/v1/smuggled HTTP/1.1\r\nhost: orders\r\n\r\n";
    let long = smuggled.len();
    let line = "POST http://orders/v1/a HTTP/1.1\r\n";
    for text in [
        format!(
            "{line}host: orders\r\ncontent-length: {long}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "{line}host: orders\r\ncontent-length: 0\r\ncontent-length: {long}\r\n\r\n{smuggled}"
        ),
        format!(
            "{line}host: orders\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!("{line}host: orders\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        format!("{line}host: orders\r\nx: a\r\n content-length: {long}\r\n\r\n{smuggled}"),
        format!("{line}host: orders\r\nx: a\ncontent-length: {long}\r\n\r\n{smuggled}"),
        format!("{line}host: orders\r\nhost: billing\r\n\r\n"),
        format!("{line}host: billing\r\n\r\n"),
        format!("{line}\r\n"),
        "POST  http://orders/v1/a HTTP/1.1\r\nhost: orders\r\n\r\n".to_owned(),
        "POST http://orders@billing/v1/a HTTP/1.1\r\nhost: billing\r\n\r\n".to_owned(),
        "POST /v1/a HTTP/1.1\r\nhost: orders\r\n\r\n".to_owned(),
        format!(
            "CONNECT orders:80 HTTP/1.1\r\nhost: orders:80\r\ncontent-length: {long}\r\n\r\n{smuggled}"
        ),
        request(
            "GET",
            "http://orders/v1/a",
            "authorization: Bearer a\r\nauthorization: Bearer b\r\n",
            "",
        ),
        request("GET", "http://orders/v1/..%2fadmin", "", ""),
        request("GET", "http://orders/v1//admin", "", ""),
        request("GET", "http://orders/v1/;x/admin", "", ""),
        request("GET", "http://orders/../admin", "", ""),
    ] {
        let mut app = TcpStream::connect(scene.door.proxy).await.unwrap();
        send(&mut app, text.as_bytes()).await;
        let _ = app.shutdown().await;
        let answer = rest(&mut app).await;
        assert_eq!(status(&answer), 400, "{text:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{text:?}: {answer}");
    }
    assert_eq!(scene.app.calls(), 0);
}

#[tokio::test]
async fn nobody_can_have_our_token_taken_out() {
    let (gate, seen) = recorder().await;
    let (door, _) = door(directory(vec![listed("orders", &[gate], Hop::Plain)])).await;
    let fields = "connection: authorization, x-request-id, host\r\nauthorization: Bearer theirs\r\n\
                  Authorization_: x\r\n";
    let sent = request("GET", "http://orders/v1/a", fields, "");
    assert_eq!(status(&exchange(door.proxy, &sent).await), 200);
    let head = seen.lock().pop().unwrap();
    let token = header(&head, "authorization").expect("there is a token");
    assert!(token.starts_with("Bearer ey") && !head.contains("theirs"), "{head}");
    assert_eq!(header(&head, "host"), Some("orders"));
    assert_eq!(head.matches("authorization: ").count(), 1, "{head}");
}

/// Refuses the first token that it sees, with this challenge.
async fn choosy(challenge: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::<String>::new()));
    let heads = Arc::clone(&seen);
    let address = server(move |mut stream| {
        let heads = Arc::clone(&heads);
        async move {
            while let Some(head) = read_head(&mut stream).await {
                let Some(_) = read_body(&mut stream, &head).await else { return };
                let token = header(&head, "authorization").unwrap().to_owned();
                heads.lock().push(token.clone());
                let is_first = heads.lock().first() == Some(&token);
                let answer = match is_first {
                    true => format!(
                        "HTTP/1.1 401 No\r\nwww-authenticate: {challenge}\r\ncontent-length: 0\r\n\r\n"
                    ),
                    false => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(),
                };
                send(&mut stream, answer.as_bytes()).await;
            }
        }
    })
    .await;
    (address, seen)
}

const INVALID: &str =
    "Bearer realm=\"x\", error=\"invalid_token\", error_description=\"token_revoked\"";

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_and_only_harmless_requests_are_repeated() {
    for (method, body, statuses, seen_tokens) in [
        // Refused, and repeated with another one.
        ("GET", "", [200, 200], 3),
        ("DELETE", "", [200, 200], 3),
        // Refused; the next request has another one.
        ("POST", "", [401, 200], 2),
        ("GET", "body", [401, 200], 2),
        ("PUT", "body", [401, 200], 2),
    ] {
        let (gate, seen) = choosy(INVALID).await;
        let (door, broker) = door(directory(vec![listed("orders", &[gate], Hop::Plain)])).await;
        // A token that has just come is not dropped: another would fare no better.
        let first = door.call(method, "http://orders/v1/a", "", body).await;
        assert_eq!((status(&first), broker.asked()), (401, 1), "{method} {body}");
        broker.clock.set(Timestamp::from_secs(NOW + 10));
        for code in statuses {
            let answer = door.call(method, "http://orders/v1/a", "", body).await;
            assert_eq!(status(&answer), code, "{method} {body}");
        }
        assert_eq!((seen.lock().len(), broker.asked()), (1 + seen_tokens, 2), "{method} {body}");
        assert_eq!(door.forwarder.figures().refused_tokens, 2);
    }
}

#[tokio::test]
async fn another_401_is_the_callers_affair() {
    let (gate, _) = choosy("Bearer realm=\"x\", error=\"invalid_request\"").await;
    let (door, broker) = door(directory(vec![listed("orders", &[gate], Hop::Plain)])).await;
    for seconds in [0, 10, 20] {
        broker.clock.set(Timestamp::from_secs(NOW + seconds));
        assert_eq!(status(&door.get("http://orders/v1/a").await), 401);
    }
    assert_eq!(broker.asked(), 1);
}

#[tokio::test]
async fn a_token_goes_to_its_own_service_only() {
    let ((orders, at_orders), (billing, at_billing)) = (recorder().await, recorder().await);
    let services =
        vec![listed("orders", &[orders], Hop::Plain), listed("billing", &[billing], Hop::Plain)];
    let (door, broker) = door(directory(services)).await;
    for name in ["orders", "billing", "orders", "billing"] {
        assert_eq!(status(&door.get(&format!("http://{name}/v1/a")).await), 200);
    }
    let mut asked = broker.asked.lock().clone();
    asked.sort();
    assert_eq!(asked, [identity("billing").to_string(), identity("orders").to_string()]);
    let token = |seen: &Mutex<Vec<String>>| {
        header(seen.lock().first().unwrap(), "authorization").unwrap().to_owned()
    };
    assert_ne!(token(&at_orders), token(&at_billing));
}

#[tokio::test]
async fn what_the_app_is_told_names_no_address_and_no_token() {
    let scene = Scene::start().await;
    let closed = closed_port().await;
    scene.door.forwarder.replace(directory(vec![listed("orders", &[closed], Hop::Tls)])).unwrap();
    let answer = scene.door.get("http://orders/v1/a").await;
    assert_eq!(status(&answer), 503);
    assert!(!answer.contains(&closed.port().to_string()) && !answer.contains("ey"), "{answer}");
}

#[tokio::test]
async fn who_calls_the_port_of_taken_connections_is_led_nowhere() {
    let (door, broker) =
        door(directory(vec![listed("orders", &["127.0.0.1:1".parse().unwrap()], Hop::Plain)]))
            .await;
    for listen in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
        let Ok(listener) = TcpListener::bind(listen).await else { continue };
        let mut address = listener.local_addr().unwrap();
        if address.ip().is_unspecified() {
            address.set_ip("127.0.0.1".parse().unwrap());
        }
        let serving = Arc::clone(&door.forwarder);
        tokio::spawn(serving.serve(listener, Entry::Transparent, door.shutdown.clone()));
        let closed = door.forwarder.figures().closed;
        // By whatever name: it would be a call of itself.
        for host in ["orders", &address.to_string()] {
            let text = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            assert_eq!(exchange(address, &text).await, "", "{listen} {host}");
        }
        assert_eq!(door.forwarder.figures().closed, closed + 2, "{listen}");
    }
    assert_eq!((door.forwarder.figures().requests, broker.asked()), (0, 0));
}
