//! http-01.

use rcgen::{CertificateParams, KeyPair};
use rustls::version::TLS13;

use super::host::{Host, Reply, shown};
use super::*;

async fn http(host: &Host, name: &str) -> Result<(), Failure> {
    ask(settings(&resolver().await, host.port), Method::Http01, name).await
}

#[tokio::test]
async fn who_has_the_key_authorization_controls_the_name() {
    for after in ["", "\n", " \r\n\t\r\n"] {
        let host = Host::http(move |_, _| Reply::ok(&format!("{KEY_AUTHORIZATION}{after}"))).await;
        for name in ["a.test", "127.0.0.1"] {
            http(&host, name).await.unwrap();
            let head = host.heads.lock().pop().unwrap().to_ascii_lowercase();
            let first = format!("get /.well-known/acme-challenge/{TOKEN} http/1.1\r\n");
            assert!(head.starts_with(&first.to_ascii_lowercase()), "{head}");
            assert!(head.contains(&format!("\r\nhost: {name}:{}\r\n", host.port)), "{head}");
        }
    }
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{KEY_AUTHORIZATION}\r\n0\r\n\r\n",
        KEY_AUTHORIZATION.len()
    );
    let until_the_end = format!("HTTP/1.0 200 OK\r\n\r\n{KEY_AUTHORIZATION}");
    for text in [chunked, until_the_end] {
        let host = Host::http(move |_, _| Reply::Bytes(text.clone().into_bytes())).await;
        http(&host, "a.test").await.unwrap();
    }
}

#[tokio::test]
async fn who_has_something_else_does_not() {
    let cut = format!("HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{KEY_AUTHORIZATION}");
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "hunter2".repeat(4000));
    for (reply, expected) in [
        (Reply::ok("hunter2"), "unauthorized"),
        (Reply::ok(""), "unauthorized"),
        (Reply::ok(TOKEN), "unauthorized"),
        (Reply::ok(&format!(" {KEY_AUTHORIZATION}")), "unauthorized"),
        (Reply::ok(&format!("{KEY_AUTHORIZATION}x")), "unauthorized"),
        (Reply::ok(&KEY_AUTHORIZATION.to_ascii_lowercase()), "unauthorized"),
        (Reply::page(404, "", KEY_AUTHORIZATION.as_bytes()), "incorrectResponse"),
        (Reply::page(206, "", KEY_AUTHORIZATION.as_bytes()), "incorrectResponse"),
        (Reply::page(304, "", b""), "incorrectResponse"),
        (Reply::page(302, "", b""), "incorrectResponse"),
        (Reply::page(200, "", &[b' '; (8 << 10) + 1]), "incorrectResponse"),
        (Reply::page(200, "", &[b'x'; 1 << 20]), "incorrectResponse"),
        (Reply::Bytes(b"SSH-2.0-hunter2\r\n".to_vec()), "incorrectResponse"),
        (Reply::Bytes(head.into_bytes()), "incorrectResponse"),
        (Reply::Bytes(cut.into_bytes()), "connection"),
        (Reply::Bytes(Vec::new()), "connection"),
        (Reply::Bytes(b"HTTP/1.1 200 OK\r\n".to_vec()), "connection"),
    ] {
        let case = format!("{reply:?}").chars().take(60).collect::<String>();
        let host = Host::http(move |_, _| reply.clone()).await;
        assert_eq!(kind(http(&host, "a.test").await), expected, "{case}");
    }
    let host = Host::http(|_, _| Reply::page(503, "", b"hunter2")).await;
    let told = http(&host, "a.test").await.unwrap_err();
    assert_eq!(told.to_string(), "a.test answered with status 503 in place of 200");
    let (resolver, port) = (resolver().await, host.port);
    drop(host);
    assert_eq!(kind(ask(settings(&resolver, port), Method::Http01, "a.test").await), "connection");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_not_waited_for_and_nothing_is_left() {
    let body = b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n".to_vec();
    for reply in
        [Reply::Silence, Reply::Slowly(body), Reply::Slowly(b"HTTP/1.1 200 OK\r\nx: ".to_vec())]
    {
        let mut host = Host::http(move |_, _| reply.clone()).await;
        let resolver = resolver().await;
        let settings = ValidateSettings { deadline: SHORT, ..settings(&resolver, host.port) };
        assert_eq!(kind(ask(settings, Method::Http01, "a.test").await), "connection");
        assert!(host.seen.recv().await.unwrap().starts_with("GET "));
        assert_eq!(host.seen.recv().await.unwrap(), "gone");
    }
}

/// `/.well-known/…` leads to `/1`, and so on, to `/last`, where it is.
fn steps(last: usize) -> impl Fn(&str, u16) -> Reply {
    move |head: &str, port: u16| {
        let path = head.split(' ').nth(1).unwrap();
        let step: usize = path.trim_start_matches('/').parse().unwrap_or(0);
        if step == last {
            return Reply::ok(KEY_AUTHORIZATION);
        }
        // By a path, by another host, and by a reference that has only the host.
        match step % 3 {
            0 => Reply::to(&format!("/{}", step + 1)),
            1 => Reply::to(&format!("http://b.test:{port}/{}#x", step + 1)),
            _ => Reply::to(&format!("//a.test:{port}/{}", step + 1)),
        }
    }
}

#[tokio::test]
async fn redirects_are_followed_up_to_ten() {
    let host = Host::http(steps(10)).await;
    http(&host, "a.test").await.unwrap();
    let heads = host.heads.lock().clone();
    assert_eq!(heads.len(), 11);
    assert!(heads[2].to_ascii_lowercase().contains(&format!("host: b.test:{}\r\n", host.port)));
    for host in [Host::http(steps(11)).await, Host::http(|_, _| Reply::to("/again")).await] {
        assert_eq!(kind(http(&host, "a.test").await), "incorrectResponse");
        assert_eq!(host.heads.lock().len(), 11, "a circle has an end");
    }
}

#[tokio::test]
async fn https_is_followed_whatever_the_certificate() {
    let (params, key) = (CertificateParams::new(["x.test".to_owned()]), KeyPair::generate());
    let (params, key) = (params.unwrap(), key.unwrap());
    let config = shown(&params, &key, &key, &["h2", "http/1.1"], &[&TLS13]);
    let to = Host::https(config, |_, _| Reply::ok(KEY_AUTHORIZATION)).await;
    let port = to.port;
    let from = Host::http(move |_, _| Reply::to(&format!("https://b.test:{port}/x?y"))).await;
    let resolver = resolver().await;
    let both = || ValidateSettings { tls_port: port, ..settings(&resolver, from.port) };
    ask(both(), Method::Http01, "a.test").await.unwrap();
    assert!(to.heads.lock()[0].starts_with("GET /x?y HTTP/1.1\r\n"));
    // Whoever answers must have the key of what it shows, and speak HTTP/1.1 or not choose.
    let other = KeyPair::generate().unwrap();
    for (signer, protocols) in [(&other, &["http/1.1"][..]), (&key, &["h2"])] {
        let config = shown(&params, &key, signer, protocols, &[&TLS13]);
        let to = Host::https(config, |_, _| Reply::ok(KEY_AUTHORIZATION)).await;
        let port = to.port;
        let from = Host::http(move |_, _| Reply::to(&format!("https://b.test:{port}/"))).await;
        let settings = ValidateSettings { tls_port: port, ..settings(&resolver, from.port) };
        assert_eq!(kind(ask(settings, Method::Http01, "a.test").await), "tls");
    }
}

#[tokio::test]
async fn nobody_is_led_elsewhere() {
    let target = Host::http(|_, _| Reply::ok(KEY_AUTHORIZATION)).await;
    let elsewhere = format!("http://a.test:{}/", target.port);
    let port = target.port;
    for (location, expected) in [
        ("file:///etc/passwd", "incorrectResponse"),
        ("gopher://a.test/", "incorrectResponse"),
        (elsewhere.as_str(), "incorrectResponse"),
        ("http://user:hunter2@a.test/", "incorrectResponse"),
        ("http://169.254.169.254/latest/meta-data/", "rejectedIdentifier"),
        ("http://[::ffff:a9fe:a9fe]/", "rejectedIdentifier"),
        ("http://2852039166/", "rejectedIdentifier"),
        ("http://0/", "rejectedIdentifier"),
        ("http://[::]/", "rejectedIdentifier"),
        ("http://[::1]/", "rejectedIdentifier"),
        ("http://100.100.100.200/", "rejectedIdentifier"),
        ("http://nobody.test/", "dns"),
    ] {
        let to = location.to_owned();
        let host = Host::http(move |_, _| Reply::to(&to)).await;
        assert_eq!(kind(http(&host, "a.test").await), expected, "{location}");
    }
    let host = Host::http(move |_, _| Reply::to(&format!("http://a.test:{port}/"))).await;
    let resolver = resolver().await;
    let own = ValidateSettings {
        tls_port: port,
        own: vec![target.address()],
        ..settings(&resolver, host.port)
    };
    assert_eq!(kind(ask(own, Method::Http01, "a.test").await), "rejectedIdentifier");
    assert!(target.heads.lock().is_empty());
}

#[tokio::test]
async fn after_a_redirect_nobody_is_told_what_there_was() {
    let mut told = Vec::new();
    for (status, body) in [(200, "hunter2"), (200, ""), (404, ""), (500, "hunter2")] {
        let host = Host::http(move |head, _| {
            if head.starts_with("GET /inside ") {
                Reply::page(status, "", body.as_bytes())
            } else {
                Reply::to("/inside")
            }
        })
        .await;
        told.push(http(&host, "a.test").await.unwrap_err());
    }
    assert!(told.iter().all(|failure| *failure == told[0]), "{told:?}");
    assert_eq!(told[0].kind().name(), "unauthorized");
}
