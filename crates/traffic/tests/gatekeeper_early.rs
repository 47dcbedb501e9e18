//! An app that answers in the middle of an upload: its caller hears of it then, and what is left of the upload is nothing
//! but that.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod early;
mod support;

use sealock_net::proxy::Address;
use support::{App, POLICY, Scene, request, rest, send, soon, status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than the sockets on the way hold.
const LENGTH: usize = 16 << 20;

async fn scene() -> (Scene, early::Heads) {
    let (address, heads) = early::app().await;
    let app = App::start().await;
    let scene = Scene::before(app, Address::Tcp(address.to_string()), |_| {}, None).await;
    scene.gatekeeper.know(scene.known(POLICY, 1));
    (scene, heads)
}

/// What looks like requests, again and again.
fn upload(scene: &Scene) -> Vec<u8> {
    let one = request("GET /v1/smuggled", Some(&scene.token("shop")), "");
    one.as_bytes().iter().copied().cycle().take(LENGTH).collect()
}

/// The answer's head and body.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"too much") && !text.ends_with(b"}") {
        let mut byte = [0];
        if !matches!(soon(stream.read(&mut byte)).await, Ok(1)) {
            break;
        }
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

fn head(scene: &Scene, way: &str, fields: &str) -> String {
    let head = request(&format!("PUT /v1/{way}"), Some(&scene.token("shop")), fields);
    head.replace("connection: close\r\n", "")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_the_middle_of_an_upload_is_heard_then_and_the_rest_is_no_request() {
    let (scene, heads) = scene().await;
    let upload = upload(&scene);
    let length = format!("content-length: {LENGTH}\r\n");
    for (number, way) in early::WAYS.into_iter().enumerate() {
        let mut stream = scene.connect().await;
        send(&mut stream, head(&scene, way, &length).as_bytes()).await;
        let half = early::READ * 2;
        send(&mut stream, &upload[..half]).await;
        // Nothing more is said before the answer is there.
        let text = answer(&mut stream).await;
        // Whoever hangs up on what it has not read may take its own answer along.
        let may_break = ["hangs-up", "resets"].contains(&way);
        let code = status(&text);
        assert!(code == 413 || may_break && code == 502, "{way}: {text}");
        assert!(code == 502 || text.ends_with("\r\n\r\ntoo much"), "{way}: {text}");
        // The rest of it, as far as anybody takes it, and a request of which nobody could say where it begins.
        let (mut reader, mut writer) = stream.into_split();
        let next = request("GET /v1/next", Some(&scene.token("shop")), "");
        let saying = async {
            let _ = writer.write_all(&upload[half..]).await;
            let _ = writer.write_all(next.as_bytes()).await;
            let _ = writer.shutdown().await;
        };
        let ((), text) = tokio::join!(soon(saying), rest(&mut reader));
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 200 ") && way == "reads-on",
            "{way}: {text}"
        );
        // Others go on, and none of them on a connection with half an upload in it.
        for _ in 0..3 {
            assert_eq!(scene.status("/v1/other", "shop").await, 200, "{way}");
        }
        let others = heads.lock().iter().filter(|it| it.starts_with("GET /v1/other ")).count();
        assert_eq!(others, 3 * (number + 1));
    }
    let known = |head: &&String| {
        head.starts_with("PUT /v1/")
            || head.starts_with("GET /v1/other ")
            || head.starts_with("GET /v1/next ")
    };
    assert_eq!(heads.lock().iter().filter(|head| !known(head)).count(), 0, "{:?}", heads.lock());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_listens_only_when_it_has_said_all_hears_the_answer_too() {
    let (scene, _) = scene().await;
    // As much as may be under way before anybody can have heard of the answer.
    let upload = &upload(&scene)[..8 << 20];
    let length = format!("content-length: {}\r\n", upload.len());
    for way in early::WAYS {
        let mut stream = scene.connect().await;
        send(&mut stream, head(&scene, way, &length).as_bytes()).await;
        soon(stream.write_all(upload)).await.unwrap_or_else(|error| panic!("{way}: {error}"));
        let text = rest(&mut stream).await;
        let may_break = ["hangs-up", "resets"].contains(&way);
        assert!(status(&text) == 413 || may_break && status(&text) == 502, "{way}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_in_chunks_that_breaks_off_after_the_answer_is_no_request_either() {
    let (scene, heads) = scene().await;
    let upload = upload(&scene);
    for way in early::WAYS {
        let mut stream = scene.connect().await;
        let mut text = head(&scene, way, "transfer-encoding: chunked\r\n");
        for chunk in upload[..early::READ * 2].chunks(1000) {
            text += &format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk));
        }
        send(&mut stream, text.as_bytes()).await;
        let text = answer(&mut stream).await;
        let may_break = ["hangs-up", "resets"].contains(&way);
        assert!(status(&text) == 413 || may_break && status(&text) == 502, "{way}: {text}");
        // It breaks off, which is no end of the upload: nobody is told that this was all.
        drop(stream);
        assert_eq!(scene.status("/v1/other", "shop").await, 200, "{way}");
    }
    let smuggled = heads.lock().iter().filter(|head| head.contains("smuggled")).count();
    assert_eq!((heads.lock().len(), smuggled), (2 * early::WAYS.len(), 0));
}
