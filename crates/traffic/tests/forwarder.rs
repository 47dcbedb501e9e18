//! Calls that arrive, with their caller's identity, through a real Gatekeeper.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod forwarder_support;

use std::sync::Arc;

use forwarder_support::{
    Door, Gate, NOW, Scene, Seen, closed_port, directory, exchange, expect, expect_head, header,
    identity, listed, refusal, request, rest, send, soon, status, until,
};
use sealock_core::Timestamp;
use sealock_traffic::forwarder::{Hop, Service, Settings, Trust};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const SHOP: &str = "spiffe://t.sealock/service/shop";

#[tokio::test]
async fn a_plain_call_through_the_proxy_arrives_with_our_identity() {
    let mut scene = Scene::start().await;
    let fields = "authorization: Basic YXBwOnNlY3JldA==\r\nproxy-authorization: Basic cDpx\r\n\
                  x-sealock-identity: spiffe://t.sealock/service/root\r\nx-request-id: call-7\r\n\
                  cookie: a=b\r\nkeep-alive: 5\r\n";
    let answer = scene.door.call("POST", "http://orders/v1/a?q=1", fields, "body").await;
    assert!(status(&answer) == 200 && answer.ends_with("\r\n\r\nok"), "{answer}");
    assert_eq!(header(&answer, "x-request-id"), Some("call-7"));
    let Seen { head, body } = scene.app.last();
    assert!(head.starts_with("POST /v1/a?q=1 HTTP/1.1\r\n"), "{head}");
    assert_eq!(body, b"body");
    for (name, value) in [
        ("x-sealock-identity", Some(SHOP)),
        ("x-request-id", Some("call-7")),
        ("x-forwarded-proto", Some("https")),
        ("host", Some("orders")),
        ("cookie", Some("a=b")),
        ("authorization", None),
        ("proxy-authorization", None),
        ("proxy-connection", None),
        ("keep-alive", None),
    ] {
        assert_eq!(header(&head, name), value, "{name}");
    }
    assert_eq!(*scene.broker.asked.lock(), [identity("orders").to_string()]);
    let line = soon(scene.door.lines.recv()).await.unwrap();
    let json: serde_json::Value = serde_json::from_str(&line.to_json()).unwrap();
    for (name, value) in [
        ("service", "orders"),
        ("destination", "orders:80"),
        ("method", "POST"),
        ("path", "/v1/a"),
        ("request_id", "call-7"),
        ("instance", &scene.gate.address.to_string()),
    ] {
        assert_eq!(json[name], value, "{json}");
    }
    assert!(json["status"] == 200 && json["bytes"] == 2, "{json}");
    assert!(!json.to_string().contains("q=1"), "a query may hold a secret: {json}");
    for host in ["orders.internal", "orders.internal:8080", "ORDERS:80"] {
        assert_eq!(status(&scene.door.get(&format!("http://{host}/v1/b")).await), 200, "{host}");
    }
    let denied = refusal(&scene.door.get("http://orders/v2/a").await);
    assert_eq!(denied, (403, "denied".to_owned()), "the Gatekeeper's answers come back");
}

#[tokio::test]
async fn one_connection_carries_many_calls_and_so_does_the_one_behind_it() {
    let scene = Scene::start().await;
    let mut app = TcpStream::connect(scene.door.proxy).await.unwrap();
    for number in 0..20 {
        let text = format!("GET http://orders/v1/{number} HTTP/1.1\r\nhost: orders\r\n\r\n");
        send(&mut app, text.as_bytes()).await;
        expect_head(&mut app, 200).await;
        expect(&mut app, b"ok").await;
    }
    assert_eq!((scene.app.calls(), scene.broker.asked()), (20, 1));
    let figures = scene.door.forwarder.figures();
    assert_eq!((figures.requests, figures.forwarded, figures.failed), (20, 20, 0));
}

#[tokio::test]
async fn a_local_port_is_the_service() {
    let scene = Scene::start().await;
    let port = scene.door.port("orders").await;
    let call = |host: String, fields: &'static str| async move {
        let text = format!(
            "GET /v1/a HTTP/1.1\r\nhost: {host}\r\norigin: http://localhost:3000\r\n\
             connection: close\r\n{fields}\r\n"
        );
        exchange(port, &text).await
    };
    for host in [format!("localhost:{}", port.port()), port.to_string(), "orders".to_owned()] {
        let answer = call(host.clone(), "").await;
        assert!(status(&answer) == 200 && answer.ends_with("ok"), "{host}: {answer}");
        let head = scene.app.last().head;
        assert_eq!(header(&head, "x-sealock-identity"), Some(SHOP));
        assert_eq!(header(&head, "host"), Some("orders"));
        assert_eq!(header(&head, "origin"), Some("http://localhost:3000"));
    }
    let calls = scene.app.calls();
    for host in [format!("evil.example:{}", port.port()), "evil.example".to_owned()] {
        let answer = call(host.clone(), "").await;
        assert_eq!(refusal(&answer), (403, "foreign_host".to_owned()), "{host}");
    }
    let answer = call(port.to_string(), "sec-fetch-site: cross-site\r\n").await;
    assert_eq!(refusal(&answer), (403, "cross_site".to_owned()));
    let whole = exchange(port, &request("GET", "http://orders/v1/a", "", "")).await;
    assert_eq!(refusal(&whole), (400, "bad_target".to_owned()));
    let connect = exchange(port, "CONNECT orders:80 HTTP/1.1\r\nhost: orders:80\r\n\r\n").await;
    assert_eq!(status(&connect), 400);
    assert_eq!(scene.app.calls(), calls, "none of these arrived");
    let nowhere = scene.door.port("billing").await;
    let answer =
        exchange(nowhere, &request("GET", "/", "", "").replace("host: ", "host: billing")).await;
    assert_eq!(refusal(&answer), (403, "not_listed".to_owned()));
}

#[tokio::test]
async fn a_hundred_calls_at_once_make_one_flight() {
    let scene = Arc::new(Scene::start().await);
    let calls = (0..100).map(|number| {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move { scene.door.get(&format!("http://orders/v1/{number}")).await })
    });
    let calls: Vec<_> = calls.collect();
    for call in calls {
        let answer = call.await.unwrap();
        assert_eq!(status(&answer), 200, "{answer}");
    }
    assert_eq!((scene.app.calls(), scene.broker.asked()), (100, 1));
}

#[tokio::test]
async fn while_the_broker_is_away_a_token_is_used_until_it_expires() {
    let scene = Scene::start().await;
    assert_eq!(status(&scene.door.get("http://orders/v1/a").await), 200);
    *scene.broker.is_down.lock() = true;
    scene.clock.set(Timestamp::from_secs(forwarder_support::NOW + 299));
    for _ in 0..5 {
        assert_eq!(status(&scene.door.get("http://orders/v1/a").await), 200);
    }
    scene.clock.set(Timestamp::from_secs(forwarder_support::NOW + 301));
    let asked = scene.broker.asked();
    for _ in 0..5 {
        let answer = scene.door.get("http://orders/v1/a").await;
        assert_eq!(refusal(&answer), (503, "no_token".to_owned()));
        assert_eq!(header(&answer, "retry-after"), Some("5"));
    }
    assert!(scene.broker.asked() <= asked + 1, "it is not asked for each request");
    *scene.broker.is_down.lock() = false;
    scene.clock.set(Timestamp::from_secs(forwarder_support::NOW + 320));
    assert_eq!(status(&scene.door.get("http://orders/v1/a").await), 200);
}

#[tokio::test]
async fn a_service_for_which_no_token_is_given_is_403() {
    let scene = Scene::start().await;
    let services = vec![listed("forbidden", &[scene.gate.address], Hop::Tls)];
    scene.door.forwarder.replace(directory(services)).unwrap();
    let answer = scene.door.get("http://forbidden/v1/a").await;
    assert_eq!(refusal(&answer), (403, "token_refused".to_owned()));
    assert_eq!(scene.app.calls(), 0);
}

#[tokio::test]
async fn when_an_instance_is_down_the_other_one_gets_the_call_with_its_body() {
    let scene = Scene::start().await;
    let instances = [closed_port().await, scene.gate.address];
    let services = vec![listed("orders", &instances, Hop::Tls)];
    scene.door.forwarder.replace(directory(services)).unwrap();
    for number in 0..10 {
        let url = format!("http://orders/v1/{number}");
        let answer = scene.door.call("POST", &url, "", "the body").await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert_eq!(scene.app.last().body, b"the body");
    }
    let figures = scene.door.forwarder.figures();
    assert_eq!((scene.app.calls(), figures.ejected, figures.failed), (10, 1, 0));
    let none = vec![listed("orders", &[closed_port().await, closed_port().await], Hop::Tls)];
    scene.door.forwarder.replace(directory(none)).unwrap();
    let answer = scene.door.get("http://orders/v1/a").await;
    assert_eq!(refusal(&answer), (503, "service_unreachable".to_owned()));
}

#[tokio::test]
async fn a_websocket_goes_through_both_ways() {
    let scene = Scene::start().await;
    let mut app = TcpStream::connect(scene.door.proxy).await.unwrap();
    send(
        &mut app,
        b"GET http://orders/v1/ws HTTP/1.1\r\nhost: orders\r\nconnection: Upgrade\r\n\
          upgrade: websocket\r\nsec-websocket-key: eA==\r\nsec-websocket-version: 13\r\n\r\n",
    )
    .await;
    let head = expect_head(&mut app, 101).await;
    assert_eq!(header(&head, "upgrade"), Some("websocket"));
    assert_eq!(header(&head, "sec-websocket-accept"), Some("x"));
    for _ in 0..3 {
        send(&mut app, b"\x81\x05hello").await;
        expect(&mut app, b"\x81\x05hello").await;
    }
    assert_eq!(scene.door.forwarder.figures().running, 1);
    assert_eq!(header(&scene.app.last().head, "x-sealock-identity"), Some(SHOP));
    app.shutdown().await.unwrap();
    assert_eq!(rest(&mut app).await, "");
}

#[tokio::test]
async fn answers_and_bodies_stream() {
    let scene = Scene::start().await;
    let mut app = TcpStream::connect(scene.door.proxy).await.unwrap();
    send(&mut app, b"GET http://orders/v1/stream HTTP/1.1\r\nhost: orders\r\n\r\n").await;
    expect_head(&mut app, 200).await;
    expect(&mut app, b"5\r\ndata1\r\n").await;
    scene.app.go_on.add_permits(1);
    expect(&mut app, b"5\r\ndata2\r\n0\r\n\r\n").await;
    // The same connection, and a body that is sent only when it is asked for.
    send(
        &mut app,
        b"PUT http://orders/v1/b HTTP/1.1\r\nhost: orders\r\ntransfer-encoding: chunked\r\n\
          expect: 100-continue\r\n\r\n",
    )
    .await;
    expect_head(&mut app, 100).await;
    send(&mut app, b"4\r\nbody\r\n").await;
    send(&mut app, b"5\r\n more\r\n0\r\nx-trailer: 1\r\n\r\n").await;
    expect_head(&mut app, 200).await;
    expect(&mut app, b"ok").await;
    assert_eq!(scene.app.last().body, b"body more");
}

/// With a certificate of ours, to a Gatekeeper that wants one, with tokens that are bound to it.
async fn bound() -> (Scene, Door, Gate) {
    let scene = Scene::start().await;
    *scene.broker.binds.lock() = true;
    let tls = Some(scene.authority.server("billing", true));
    let gate = Gate::start("billing", scene.app.address, &scene.broker, tls).await;
    let services = vec![listed("billing", &[gate.address], Hop::Tls)];
    let trust = Trust { own: Some(scene.authority.leaf("shop", &[])), ..scene.trust() };
    let settings = Settings::default();
    let door = Door::start(settings, directory(services), trust, &scene.broker).await;
    (scene, door, gate)
}

#[tokio::test]
async fn a_bound_token_goes_over_mutual_tls() {
    let (scene, door, gate) = bound().await;
    let answer = door.get("http://billing/v1/a").await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(header(&scene.app.last().head, "x-sealock-identity"), Some(SHOP));
    assert!(scene.broker.bound.lock().iter().all(Option::is_some));
    // Without a certificate nobody answers, and with one that comes later somebody does.
    let services = directory(vec![listed("billing", &[gate.address], Hop::Tls)]);
    let bare = Door::start(Settings::default(), services, scene.trust(), &scene.broker).await;
    let answer = bare.get("http://billing/v1/a").await;
    assert!(status(&answer) >= 500, "{answer}");
    let own = Some(scene.authority.leaf("shop", &[]));
    bare.forwarder.renew(Trust { own, ..scene.trust() }).unwrap();
    assert_eq!(status(&bare.get("http://billing/v1/a").await), 200);
}

#[tokio::test]
async fn a_renewed_certificate_stops_no_call_also_while_the_broker_is_away() {
    let (scene, door, gate) = bound().await;
    let post = async || status(&door.call("POST", "http://billing/v1/a", "", "body").await);
    assert_eq!(post().await, 200);
    let mut socket = TcpStream::connect(door.proxy).await.unwrap();
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    let head = format!("GET http://billing/v1/ws HTTP/1.1\r\nhost: billing\r\n{upgrade}\r\n");
    send(&mut socket, head.as_bytes()).await;
    expect_head(&mut socket, 101).await;

    // The broker is there: the next call goes out, whichever certificate it goes with.
    let renewed = || Trust { own: Some(scene.authority.leaf("shop", &[])), ..scene.trust() };
    let second = renewed();
    let wanted = second.thumbprint();
    door.forwarder.renew(second).unwrap();
    assert_eq!(post().await, 200);
    until(|| scene.broker.bound.lock().last() == Some(&wanted)).await;
    assert_eq!(post().await, 200);

    // It is away: the old certificate and its token go on, also to a service that is listed anew meanwhile.
    *scene.broker.is_down.lock() = true;
    let third = renewed();
    let wanted = third.thumbprint();
    door.forwarder.renew(third).unwrap();
    for _ in 0..3 {
        assert_eq!(post().await, 200);
    }
    let moved = Service { aliases: Vec::new(), ..listed("billing", &[gate.address], Hop::Tls) };
    door.forwarder.replace(directory(vec![moved])).unwrap();
    assert_eq!(post().await, 200);

    // Back again, and away again: what is there now is for the new certificate, and the old token has ended.
    *scene.broker.is_down.lock() = false;
    scene.clock.set(Timestamp::from_secs(NOW + 200));
    assert_eq!(post().await, 200);
    until(|| scene.broker.bound.lock().last() == Some(&wanted)).await;
    *scene.broker.is_down.lock() = true;
    scene.clock.set(Timestamp::from_secs(NOW + 310));
    assert_eq!(post().await, 200);
    send(&mut socket, b"hello").await;
    expect(&mut socket, b"hello").await;
    // And when all have ended there is none.
    scene.clock.set(Timestamp::from_secs(NOW + 510));
    assert_eq!(post().await, 503);
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_not_gone_on_with() {
    let (scene, door, _gate) = bound().await;
    let own = || Some(scene.authority.leaf("shop", &[]));
    let ends = Some(Timestamp::from_secs(NOW + 60));
    door.forwarder.renew(Trust { own: own(), ends, ..scene.trust() }).unwrap();
    assert_eq!(status(&door.get("http://billing/v1/a").await), 200);
    *scene.broker.is_down.lock() = true;
    door.forwarder.renew(Trust { own: own(), ..scene.trust() }).unwrap();
    assert_eq!(status(&door.get("http://billing/v1/a").await), 200);
    scene.clock.set(Timestamp::from_secs(NOW + 60));
    assert_eq!(refusal(&door.get("http://billing/v1/a").await), (503, "no_token".to_owned()));
    *scene.broker.is_down.lock() = false;
    scene.clock.set(Timestamp::from_secs(NOW + 70));
    assert_eq!(status(&door.get("http://billing/v1/a").await), 200);
}

#[tokio::test]
async fn the_directory_is_replaced_while_calls_are_made() {
    let mut scene = Scene::start().await;
    let tls = Some(scene.authority.server("billing", false));
    let gate = Gate::start("billing", scene.app.address, &scene.broker, tls).await;
    let orders = || listed("orders", &[scene.gate.address], Hop::Tls);
    let billing = || listed("billing", &[gate.address], Hop::Tls);
    scene.door.forwarder.replace(directory(vec![orders(), billing()])).unwrap();
    let mut running = Vec::new();
    for name in ["orders", "billing"] {
        let mut app = TcpStream::connect(scene.door.proxy).await.unwrap();
        let text = format!("GET http://{name}/v1/stream HTTP/1.1\r\nhost: {name}\r\n\r\n");
        send(&mut app, text.as_bytes()).await;
        expect_head(&mut app, 200).await;
        expect(&mut app, b"5\r\ndata1\r\n").await;
        running.push(app);
    }
    let fewer = vec![Service { aliases: Vec::new(), ..billing() }];
    scene.door.forwarder.replace(directory(fewer)).unwrap();
    let gone = scene.door.get("http://orders/v1/a").await;
    assert_eq!(refusal(&gone), (403, "not_listed".to_owned()));
    assert_eq!(status(&scene.door.get("http://billing/v1/a").await), 200);
    assert_eq!(scene.door.forwarder.figures().cut, 1);
    scene.app.go_on.add_permits(2);
    // What led to the one that is gone has ended, in a way that is no orderly one; the other goes on.
    assert_eq!(rest(running.first_mut().unwrap()).await, "");
    expect(running.last_mut().unwrap(), b"5\r\ndata2\r\n0\r\n\r\n").await;
    let cut = loop {
        let line = soon(scene.door.lines.recv()).await.unwrap();
        if line.cut {
            break line;
        }
    };
    assert_eq!((cut.service.as_deref(), cut.status, cut.sent), (Some("orders"), 200, 5));
    // What cannot be used changes nothing.
    assert!(scene.door.forwarder.renew(Trust::default()).is_err());
    assert_eq!(status(&scene.door.get("http://billing/v1/a").await), 200);
}

#[tokio::test]
async fn what_is_under_way_is_finished_before_the_end() {
    let mut scene = Scene::start().await;
    let mut running = TcpStream::connect(scene.door.proxy).await.unwrap();
    send(&mut running, b"GET http://orders/v1/wait HTTP/1.1\r\nhost: orders\r\n\r\n").await;
    until(|| scene.app.calls() > 0).await;
    scene.door.shutdown.trigger();
    scene.app.go_on.add_permits(1);
    expect_head(&mut running, 200).await;
    expect(&mut running, b"late").await;
    assert_eq!(rest(&mut running).await, "");
    drop(running);
    soon(&mut scene.door.serving).await.unwrap().unwrap();
    assert!(TcpStream::connect(scene.door.proxy).await.is_err());
    let line = soon(scene.door.lines.recv()).await.unwrap();
    assert_eq!((line.status, line.sent), (200, 4));
}

#[tokio::test]
async fn too_many_at_once_are_refused() {
    let scene = Scene::start().await;
    let settings = Settings { concurrent: 1, ..Settings::default() };
    let services = vec![listed("orders", &[scene.gate.address], Hop::Tls)];
    let door = Door::start(settings, directory(services), scene.trust(), &scene.broker).await;
    let mut running = TcpStream::connect(door.proxy).await.unwrap();
    send(&mut running, b"GET http://orders/v1/wait HTTP/1.1\r\nhost: orders\r\n\r\n").await;
    until(|| scene.app.calls() > 0).await;
    let answer = door.get("http://orders/v1/a").await;
    assert_eq!(refusal(&answer), (503, "too_many_requests".to_owned()));
    scene.app.go_on.add_permits(1);
    expect_head(&mut running, 200).await;
    expect(&mut running, b"late").await;
    assert_eq!(status(&door.get("http://orders/v1/a").await), 200);
}
