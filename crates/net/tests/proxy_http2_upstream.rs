//! HTTP/2 as a client, and from one version to the other.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod support;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::Connection;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Request, Response};
use sealock_net::Incoming;
use sealock_net::proxy::{
    Address, Answer, Cut, RequestBody, Terms, Upstream, UpstreamError, UpstreamSettings, Versions,
    serve_either,
};
use support::http2::{GOAWAY, HEADERS, PREFACE, SETTINGS, frame, next};
use support::{Server, forward, noise, rest, send, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::unbounded_channel;

fn upstream(address: &str) -> Upstream {
    let settings = UpstreamSettings { versions: Versions::Http2, ..UpstreamSettings::default() };
    Upstream::new(Address::Tcp(address.to_owned()), settings)
}

/// A server of HTTP/2 that does with each connection, of this number, what the script says.
async fn server<F, S>(script: F) -> (String, Arc<AtomicUsize>)
where
    F: Fn(usize, TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (connections, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(script(count.fetch_add(1, Ordering::SeqCst), stream));
        }
    });
    (address, connections)
}

/// Answers with what it was asked, and as a trailer with the trailers that came.
async fn echo(_: usize, stream: TcpStream) {
    serve_either(stream, Terms::default(), |request: Request<Incoming>| async move {
        let (head, body) = request.into_parts();
        let text = format!("{} {} {:?}\n", head.method, head.uri, head.headers);
        let body = body.collect().await.unwrap();
        let mut trailers = HeaderMap::new();
        let came = format!("{:?}", body.trailers());
        trailers.insert("x-came", HeaderValue::from_str(&came).unwrap());
        trailers.insert("content-length", HeaderValue::from_static("7"));
        let text = Bytes::from([text.as_bytes(), &body.to_bytes()].concat());
        let frames = [Frame::data(text), Frame::trailers(trailers)].map(Ok::<_, std::io::Error>);
        let body = StreamBody::new(futures_util::stream::iter(frames));
        Answer::Response(Response::new(body))
    })
    .await;
}

/// All requests of a connection, each by this.
async fn all<F, S>(stream: TcpStream, each: F)
where
    F: Fn(Request<h2::RecvStream>, h2::server::SendResponse<Bytes>) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let mut connection: Connection<TcpStream, Bytes> = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(each(request, respond));
    }
}

async fn say_ok(_: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let mut body = respond.send_response(Response::new(()), false).unwrap();
    body.send_data(Bytes::from_static(b"ok"), true).unwrap();
}

async fn refuse(_: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    respond.send_reset(h2::Reason::REFUSED_STREAM);
}

fn request(method: Method, body: RequestBody) -> Request<RequestBody> {
    let request = Request::builder().method(method).uri("/v1").header("host", "orders");
    request.body(body).unwrap()
}

fn post() -> Request<RequestBody> {
    request(Method::POST, Bytes::from_static(b"body").into())
}

async fn text(upstream: &Upstream, request: Request<RequestBody>) -> Result<String, UpstreamError> {
    let response = soon(upstream.forward(request)).await?;
    let body = soon(response.into_body().collect()).await?;
    Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn requests_share_a_connection_and_keep_their_trailers() {
    let (address, connections) = server(echo).await;
    let upstream = upstream(&address);
    let mut trailers = HeaderMap::new();
    for (name, value) in [("x-sum", "1"), ("host", "evil"), ("authorization", "x"), ("te", "gzip")]
    {
        trailers.insert(name, HeaderValue::from_static(value));
    }
    let frames = [Frame::data(Bytes::from_static(b"hi")), Frame::trailers(trailers)];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok)));
    let mut request = request(Method::POST, RequestBody::new(body));
    request.headers_mut().insert("connection", "x-hop".parse().unwrap());
    request.headers_mut().insert("x-hop", "1".parse().unwrap());
    let response = soon(upstream.forward(request)).await.unwrap();
    let body = soon(response.into_body().collect()).await.unwrap();
    let trailers = body.trailers().cloned().unwrap();
    let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    assert_eq!(text, "POST /v1 {\"host\": \"orders\"}\nhi");
    assert_eq!(trailers["x-came"], "Some({\"x-sum\": \"1\"})");
    assert!(!trailers.contains_key("content-length"));
    let many = (0..50).map(|_| self::text(&upstream, post()));
    for text in futures_util::future::join_all(many).await {
        assert!(text.unwrap().ends_with("\nbody"));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_was_refused_is_sent_once_more_and_whole() {
    // The first connection refuses every stream, the second one does not.
    let (address, connections) = server(|number, stream| async move {
        if number == 0 { all(stream, refuse).await } else { echo(number, stream).await }
    })
    .await;
    let upstream = upstream(&address);
    assert!(text(&upstream, post()).await.unwrap().ends_with("\nbody"));
    assert_eq!(connections.load(Ordering::SeqCst), 2);

    // One that says that it takes none: GOAWAY with 0 as the last.
    let (address, connections) = server(|number, mut stream| async move {
        if number > 0 {
            return echo(number, stream).await;
        }
        let mut preface = vec![0; PREFACE.len()];
        stream.read_exact(&mut preface).await.unwrap();
        send(&mut stream, &frame(SETTINGS, 0, 0, &[])).await;
        next(&mut stream, &[HEADERS]).await.unwrap();
        send(&mut stream, &frame(GOAWAY, 0, 0, &[0; 8])).await;
        rest(&mut stream).await;
    })
    .await;
    let upstream = self::upstream(&address);
    assert!(text(&upstream, post()).await.unwrap().ends_with("\nbody"));
    assert_eq!(connections.load(Ordering::SeqCst), 2);

    // But not without end.
    let (address, connections) = server(|_, stream| all(stream, refuse)).await;
    let error = text(&self::upstream(&address), post()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Broken { .. }), "{error:?}");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_may_have_been_acted_on_is_not_sent_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let (address, _) = server(move |_, stream| {
        let counted = Arc::clone(&counted);
        all(stream, move |_, mut respond| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move { respond.send_reset(h2::Reason::INTERNAL_ERROR) }
        })
    })
    .await;
    let error = text(&upstream(&address), post()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Broken { .. }), "{error:?}");
    assert_eq!(calls.load(Ordering::SeqCst), 1);

    // Refused, but so much of its body is gone that it is not here any more.
    let (tell, mut told) = unbounded_channel();
    let (address, connections) = server(move |_, stream| {
        let tell = tell.clone();
        all(stream, move |request, mut respond| {
            let tell = tell.clone();
            async move {
                let (mut body, mut have) = (request.into_body(), 0);
                while have < 80_000 {
                    let piece = body.data().await.unwrap().unwrap();
                    have += piece.len();
                    body.flow_control().release_capacity(piece.len()).unwrap();
                }
                let _ = tell.send(());
                respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
        })
    })
    .await;
    let (pieces, body) = unbounded_channel();
    for _ in 0..2 {
        pieces.send(Ok(Frame::data(Bytes::from(noise(40_000))))).unwrap();
    }
    let body =
        futures_util::stream::unfold(body, |mut body| async { Some((body.recv().await?, body)) });
    let request = request(Method::POST, RequestBody::new(StreamBody::new(Box::pin(body))));
    let error = text(&upstream(&address), request).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Broken { .. }), "{error:?}");
    told.recv().await.unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_died_is_replaced() {
    let (address, connections) = server(|number, stream| async move {
        if number > 0 {
            return all(stream, say_ok).await;
        }
        let mut connection: Connection<TcpStream, Bytes> =
            h2::server::handshake(stream).await.unwrap();
        let (request, respond) = connection.accept().await.unwrap().unwrap();
        say_ok(request, respond).await;
        connection.graceful_shutdown();
        while connection.accept().await.is_some() {}
    })
    .await;
    let upstream = upstream(&address);
    for _ in 0..3 {
        let request = request(Method::GET, RequestBody::empty());
        assert_eq!(text(&upstream, request).await.unwrap(), "ok");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    upstream.forget_idle();
    assert_eq!(text(&upstream, post()).await.unwrap(), "ok");
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn who_does_not_speak_it_and_who_is_away_are_told_apart() {
    let (address, _) = server(|_, mut stream| async move {
        send(&mut stream, b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        rest(&mut stream).await;
    })
    .await;
    let error = text(&upstream(&address), post()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Broken { .. }), "{error:?}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut request = post();
    let error = soon(upstream(&address).try_forward(&mut request)).await.unwrap_err();
    assert!(error.is_unreached(), "{error:?}");
    let whole = request.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(whole, "body", "it can be sent elsewhere");
    let upstream = upstream(&address);
    let asked = upstream.upgrade(post(), HeaderValue::from_static("websocket"));
    assert!(matches!(soon(asked).await.unwrap_err(), UpstreamError::NoUpgrade { .. }));
}

#[tokio::test]
async fn who_leaves_takes_the_stream_with_them_and_nothing_else() {
    let (tell, mut told) = unbounded_channel();
    let (address, connections) = server(move |_, stream| {
        let tell = tell.clone();
        all(stream, move |request, mut respond| {
            let tell = tell.clone();
            async move {
                if request.uri().path() != "/v1" {
                    return say_ok(request, respond).await;
                }
                let _ = tell.send("begun".to_owned());
                let mut body = request.into_body();
                while let Some(Ok(piece)) = body.data().await {
                    let _ = body.flow_control().release_capacity(piece.len());
                }
                let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                let _ = tell.send(format!("{:?}", reason.unwrap()));
            }
        })
    })
    .await;
    let upstream = upstream(&address);
    // With a body that goes on for ever, and without one.
    for body in [RequestBody::new(endless()), RequestBody::empty()] {
        let mut asked = Box::pin(upstream.forward(request(Method::POST, body)));
        tokio::select! {
            _ = &mut asked => panic!("an answer"),
            begun = soon(told.recv()) => assert_eq!(begun.unwrap(), "begun"),
        }
        drop(asked);
        assert_eq!(soon(told.recv()).await.unwrap(), "CANCEL");
        let mut other = request(Method::GET, RequestBody::empty());
        *other.uri_mut() = "/other".parse().unwrap();
        assert_eq!(text(&upstream, other).await.unwrap(), "ok");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

/// A piece, and then nothing any more.
fn endless()
-> impl hyper::body::Body<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>> {
    let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"piece")))]);
    use futures_util::StreamExt as _;
    StreamBody::new(first.chain(futures_util::stream::pending()))
}

/// A proxy before a server.
async fn proxy(upstream: Upstream) -> String {
    let proxy = move |_, stream| {
        let upstream = upstream.clone();
        async move {
            serve_either(stream, Terms::default(), |request| forward(upstream.clone(), request))
                .await;
        }
    };
    server(proxy).await.0
}

#[tokio::test]
async fn one_version_becomes_the_other() {
    // HTTP/1.1 outside, HTTP/2 inside.
    let (address, _) = server(echo).await;
    let outside = proxy(upstream(&address)).await;
    let mut client = TcpStream::connect(&outside).await.unwrap();
    client
        .write_all(
            b"POST /v1 HTTP/1.1\r\nhost: Orders\r\nconnection: close, x-hop\r\nx-hop: 1\r\n\
              transfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\nx-late: 1\r\n\r\n",
        )
        .await
        .unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("POST /v1 {\"host\": \"Orders\"}\n"), "{answer}");
    assert!(!answer.contains("x-came") && !answer.contains("HTTP/2"), "{answer}");

    // The other way round.
    let inside = Server::echo().await;
    let outside = proxy(inside.upstream.clone()).await;
    let upstream = upstream(&outside);
    let mut asked = request(Method::POST, Bytes::from(noise(300_000)).into());
    for cookie in ["a=b", "c=d"] {
        asked.headers_mut().append("cookie", HeaderValue::from_static(cookie));
    }
    let response = soon(upstream.forward(asked)).await.unwrap();
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    let end = body.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let head = std::str::from_utf8(&body[..end]).unwrap();
    assert!(head.starts_with("POST /v1 HTTP/1.1\r\n"), "{head}");
    for line in ["host: orders\r\n", "content-length: 300000\r\n", "cookie: a=b; c=d\r\n"] {
        assert!(head.contains(line), "{head}");
    }
    assert!(!head.contains(":authority") && !head.contains("te:"), "{head}");
    assert!(body[end..] == noise(300_000));
}

#[tokio::test]
async fn a_cut_reaches_through_to_the_server() {
    let (tell, mut told) = unbounded_channel();
    let (address, _) = server(move |_, stream| {
        let tell = tell.clone();
        all(stream, move |request, mut respond| {
            let tell = tell.clone();
            async move {
                let mut answer = respond.send_response(Response::new(()), false).unwrap();
                answer.send_data(Bytes::from_static(b"first"), false).unwrap();
                let reason = std::future::poll_fn(|cx| answer.poll_reset(cx)).await.unwrap();
                let _ = tell.send(format!("{} {reason:?}", request.uri().path()));
            }
        })
    })
    .await;
    let (upstream, cuts) = (upstream(&address), Arc::new(parking_lot::Mutex::new(Vec::new())));
    let noted = Arc::clone(&cuts);
    let (outside, _) = server(move |_, stream| {
        let (upstream, noted) = (upstream.clone(), Arc::clone(&noted));
        async move {
            serve_either(stream, Terms::default(), |request| {
                let cut = Cut::of_stream(request.extensions()).cloned();
                noted.lock().extend(cut.map(|cut| (request.uri().to_string(), cut)));
                forward(upstream.clone(), request)
            })
            .await;
        }
    })
    .await;
    let client = self::upstream(&outside);
    let mut answers = Vec::new();
    for path in ["/a", "/b"] {
        // Both bodies stay open, so that all four ends are.
        let mut asked = request(Method::POST, RequestBody::new(endless()));
        *asked.uri_mut() = path.parse().unwrap();
        let mut body = soon(client.forward(asked)).await.unwrap().into_body();
        let frame = soon(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "first");
        answers.push(body);
    }
    let cut = cuts.lock().iter().find(|(path, _)| path == "/a").unwrap().1.clone();
    cut.now();
    assert!(soon(answers[0].frame()).await.unwrap().is_err());
    assert_eq!(soon(told.recv()).await.unwrap(), "/a CANCEL");
    let still = tokio::time::timeout(std::time::Duration::from_millis(200), answers[1].frame());
    assert!(still.await.is_err(), "the other one goes on");
}
