//! What must hold of every byte that comes from a client or from a server.

use std::cell::RefCell;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use super::framing::{self, Chunk, Framing};
use super::upstream::fuzz_head;
use super::{Answer, Terms, serve, serve_http2};
use crate::{Incoming, Limits};

/// A request as it was understood.
#[derive(Debug, PartialEq, Eq)]
struct Understood {
    method: Vec<u8>,
    target: Vec<u8>,
    /// None if it is malformed or breaks off.
    body: Option<Vec<u8>>,
}

thread_local! {
    static RUNTIME: Option<Runtime> = Builder::new_current_thread().enable_time().build().ok();
}

/// The entry for fuzzing requests: the bytes of a client's connection. A handler sees the requests that were
/// judged, in their order and with their bodies, and nothing behind what was refused: this is what a smuggled
/// request would break.
pub fn requests(data: &[u8]) {
    requests_with(data, false);
    requests_with(data, true);
}

/// `connect`: whether CONNECT is served. It is always answered by 403.
fn requests_with(data: &[u8], connect: bool) {
    let judged = judged(data, connect);
    let whole = judged.iter().filter(|request| request.body.is_some()).count();
    let handled = handled(data, whole, connect);
    let handled = RUNTIME.with(|runtime| Some(runtime.as_ref()?.block_on(handled)));
    let Some((handled, answers)) = handled else { return };
    assert!(handled.len() <= judged.len(), "{handled:?}, but only {judged:?}");
    for (handled, judged) in handled.iter().zip(&judged) {
        // hyper writes a target of another form than `/path` in its own way, and drops a fragment.
        let comparable = judged.target.starts_with(b"/") && !judged.target.contains(&b'#');
        assert_eq!(handled.method, judged.method, "{handled:?}");
        assert!(!comparable || handled.target == judged.target, "{handled:?}, {judged:?}");
        assert!(handled.body == judged.body, "{handled:?}: {}", data.escape_ascii());
    }
    let begins = |window: &&[u8]| window.starts_with(b"HTTP/1.") && window.ends_with(b" ");
    let heads = answers.windows(9).filter(begins).count();
    // Each may have had a `100 Continue`; a refusal is one more, and may name the version in its text.
    assert!(heads <= 2 * handled.len() + 2, "{heads} answers to {handled:?}");
}

/// What the handler gets to see of a connection, and what its client, who ends its side when it has this many
/// answers or none will come: earlier would be taken for its leaving.
async fn handled(data: &[u8], whole: usize, connect: bool) -> (Vec<Understood>, Vec<u8>) {
    let seen = RefCell::new(Vec::new());
    let handler = async |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let place = seen.borrow().len();
        seen.borrow_mut().push(Understood {
            method: head.method.as_str().into(),
            target: head.uri.to_string().into(),
            body: None,
        });
        let body = body.collect().await.ok().map(|body| body.to_bytes().to_vec());
        if let Some(seen) = seen.borrow_mut().get_mut(place) {
            seen.body = body;
        }
        let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
        if head.method == Method::CONNECT {
            *response.status_mut() = StatusCode::FORBIDDEN;
        }
        Answer::Response(response)
    };
    let terms = Terms { connect, ..Terms::default() };
    let (client, server) = duplex(4096);
    let (mut reader, mut writer) = split(client);
    let (mut answers, answered) = (Vec::new(), Notify::new());
    let sending = async {
        // Whoever is refused is hung up on.
        let _ = writer.write_all(data).await;
        answered.notified().await;
        let _ = writer.shutdown().await;
    };
    let reading = async {
        loop {
            let is_answer = |part: &&[u8]| [&b" 200 OK\r\n"[..], b" 403 Forb"].contains(part);
            if answers.windows(9).filter(is_answer).count() >= whole {
                answered.notify_one();
            }
            if !matches!(reader.read_buf(&mut answers).await, Ok(1..)) {
                break;
            }
        }
        answered.notify_one();
    };
    tokio::join!(serve(server, terms, handler), sending, reading);
    (seen.into_inner(), answers)
}

/// The entry for fuzzing HTTP/2: the bytes of a client's connection after its preface and first settings. However they
/// are, a handler sees requests in the one form, each with as much of a body as was said, and the connection ends with
/// its client.
pub fn http2(data: &[u8]) {
    RUNTIME.with(|runtime| {
        if let Some(runtime) = runtime {
            runtime.block_on(over_http2(data));
        }
    });
}

async fn over_http2(data: &[u8]) {
    let handler = |request: Request<Incoming>| async move {
        let (head, body) = request.into_parts();
        let (fields, target) = (&head.headers, head.uri.to_string());
        assert!(target.starts_with('/') || target == "*", "a target of {target}");
        assert_eq!(fields.get_all(HOST).iter().count(), 1, "{fields:?}");
        let foreign = [CONNECTION, UPGRADE, TRANSFER_ENCODING, TE];
        assert!(!foreign.iter().any(|name| fields.contains_key(name)), "{fields:?}");
        assert!(head.method != Method::CONNECT, "a CONNECT");
        let length =
            fields.get(CONTENT_LENGTH).and_then(|length| framing::decimal(length.as_bytes()));
        if let Ok(body) = body.collect().await {
            let body = body.to_bytes().len() as u64;
            assert!(length.is_none_or(|length| length == body), "{length:?}, but {body} bytes");
        }
        Answer::Response(Response::new(Full::new(Bytes::from_static(b"{}"))))
    };
    let (client, server) = duplex(1 << 16);
    let (mut reader, mut writer) = split(client);
    let sending = async {
        let first: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        // Whoever is refused is hung up on.
        let _ = writer.write_all(first).await;
        let _ = writer.write_all(data).await;
        let _ = writer.shutdown().await;
    };
    let reading = async {
        let mut answers = Vec::new();
        let _ = reader.read_to_end(&mut answers).await;
    };
    tokio::join!(serve_http2(server, Terms::default(), handler), sending, reading);
}

/// What the pure functions make of a connection, up to what is refused.
fn judged(mut bytes: &[u8], connect: bool) -> Vec<Understood> {
    let limits = Limits::default();
    let mut requests = Vec::new();
    while let Ok(Ok(length)) = framing::end_of_head(bytes, 0) {
        assert_eq!(piecewise(bytes), length, "the end of the head depends on the pieces");
        let Some((head, rest)) = bytes.split_at_checked(length) else { break };
        let Ok(body) = framing::head(head, limits.headers, connect) else { break };
        if length > limits.head_bytes {
            break;
        }
        let mut words = head.split(|byte| byte.is_ascii_whitespace());
        let mut word = || words.next().unwrap_or_default().to_vec();
        let (method, target) = (word(), word());
        let read = content(body, rest);
        let whole = read.is_some();
        let (body, left) = read.unzip();
        requests.push(Understood { method, target, body });
        bytes = left.unwrap_or_default();
        if !whole {
            break;
        }
    }
    requests
}

/// The entry for fuzzing answers: a byte for the method, then what a server says. However it is cut into pieces,
/// it is understood in the same way, and what is written of it says the same.
pub fn answers(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let method = if first & 1 == 1 { Method::HEAD } else { Method::GET };
    fuzz_head(data, &method);
}

/// As [`framing::end_of_head`], a byte more at a time.
fn piecewise(bytes: &[u8]) -> usize {
    let mut from = 0;
    for have in 0..=bytes.len() {
        match framing::end_of_head(bytes.get(..have).unwrap_or_default(), from) {
            Ok(Ok(length)) => return length,
            Ok(Err(line)) => from = line,
            Err(_) => break,
        }
    }
    0
}

/// The body at the beginning of `bytes` and what follows it; none if it is malformed or breaks off. The same
/// is read byte by byte.
pub(super) fn content(framing: Framing, bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let at_once = read_body(framing, bytes, usize::MAX);
    assert_eq!(at_once, read_body(framing, bytes, 1), "a body depends on its pieces");
    let (body, used) = at_once?;
    Some((body, bytes.get(used..).unwrap_or_default()))
}

fn read_body(mut framing: Framing, bytes: &[u8], most: usize) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0_usize);
    while !framing.is_done() {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let piece = rest.get(..most.min(rest.len())).unwrap_or_default();
        let is_data = matches!(framing, Framing::Fixed(_) | Framing::Chunked(Chunk::Data { .. }));
        let used = match &mut framing {
            Framing::Chunked(chunk) if is_data => chunk.advance_data(piece.len()),
            Framing::Chunked(chunk) => chunk.advance_control(piece).ok()?,
            fixed @ Framing::Fixed(_) => fixed.advance(piece).ok()?,
        };
        if is_data {
            body.extend_from_slice(piece.get(..used).unwrap_or_default());
        }
        at += used;
    }
    Some((body, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seeds of a fuzz target.
    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let folder = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(folder).unwrap();
        files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    /// Each seed as it is, cut at any place, and with other bytes in it.
    fn variations(seed: &[u8], mut check: impl FnMut(&[u8])) {
        check(seed);
        for place in 0..seed.len() {
            check(&seed[..place]);
            for byte in [b'\r', b'\n', b' ', b':', b'0', 0] {
                let mut other = seed.to_vec();
                other[place] = byte;
                check(&other);
                other.insert(place, seed[place]);
                check(&other);
            }
        }
    }

    #[test]
    fn a_handler_sees_what_was_judged_and_nothing_else() {
        for seed in seeds("net_requests") {
            variations(&seed, requests);
        }
        let connect =
            b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n";
        assert_eq!((judged(connect, true).len(), judged(connect, false).len()), (2, 0));
        variations(connect, requests);
    }

    #[test]
    fn a_handler_sees_requests_of_http2_in_the_one_form() {
        for seed in seeds("net_http2") {
            variations(&seed, http2);
        }
    }

    #[test]
    fn an_answer_is_understood_in_one_way_however_it_comes() {
        for seed in seeds("net_answers") {
            variations(&seed, answers);
        }
    }

    #[test]
    fn a_seed_is_what_it_says() {
        let understood = judged(
            b"POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
            2\r\nhi\r\n0\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\nGET /c HTTP/1.1\n\n",
            false,
        );
        let bodies: Vec<_> = understood.iter().map(|request| request.body.as_deref()).collect();
        assert_eq!(bodies, [Some(b"hi".as_slice()), Some(b"".as_slice())]);
    }
}
