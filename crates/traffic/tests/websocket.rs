//! WebSockets through a Gatekeeper, and through a Forwarder and a Gatekeeper: what one side says arrives at the other
//! byte for byte and in its order, whether it means anything or not, and an end is an end at the other side.
//!
//! The cases are of the classes of Autobahn's test suite, which itself runs on Python 2 only. That judges a speaker of
//! the protocol; our proxies speak none of it, so here both ends are raw sockets.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod forwarder_support;
#[path = "websocket/frames.rs"]
mod frames;

use std::sync::Arc;
use std::time::Duration;

use forwarder_support::{
    Authority, Broker, Door, Gate, NOW, directory, expect_head, header, listed, read_head, send,
    server, soon, until,
};
use frames::{CLOSE, CONTINUATION, FIN, From, PING, PONG, TEXT, cases, close, frame, noise};
use sealock_core::{ManualClock, Timestamp};
use sealock_traffic::forwarder::{Hop, Settings, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Through which of ours a WebSocket goes.
struct Way {
    name: &'static str,
    gate: Gate,
    door: Option<Door>,
    token: String,
    /// The app's ends, and the heads with which each began.
    ends: UnboundedReceiver<(TcpStream, String)>,
}

/// The two ends of a WebSocket.
struct Socket {
    near: TcpStream,
    far: TcpStream,
    asked: String,
    answered: String,
}

const ANSWER: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: chat\r\n\
    sec-websocket-extensions: permessage-deflate; server_no_context_takeover\r\n\r\n";

impl Way {
    async fn start(through_forwarder: bool) -> Self {
        let (sender, ends) = unbounded_channel();
        let app = server(move |mut stream| {
            let sender = sender.clone();
            async move {
                let head = read_head(&mut stream).await.unwrap();
                send(&mut stream, ANSWER).await;
                let _ = sender.send((stream, head));
            }
        })
        .await;
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
        let (broker, authority) = (Broker::new(&clock), Authority::new());
        let token = broker.unbound("orders").await;
        if !through_forwarder {
            let gate = Gate::start("orders", app, &broker, None).await;
            return Self { name: "Gatekeeper", gate, door: None, token, ends };
        }
        let tls = Some(authority.server_of_both("orders"));
        let gate = Gate::start("orders", app, &broker, tls).await;
        let services = directory(vec![listed("orders", &[gate.address], Hop::Tls)]);
        let trust = Trust { roots: vec![authority.root()], ..Trust::default() };
        let door = Door::start(Settings::default(), services, trust, &broker).await;
        Self { name: "Forwarder and Gatekeeper", gate, door: Some(door), token, ends }
    }

    /// A WebSocket, open at both ends.
    async fn open(&mut self) -> Socket {
        let (target, at) = match &self.door {
            Some(door) => ("http://orders/v1/ws", door.proxy),
            None => ("/v1/ws", self.gate.address),
        };
        let token = match &self.door {
            Some(_) => String::new(),
            None => format!("authorization: Bearer {}\r\n", self.token),
        };
        let mut near = TcpStream::connect(at).await.unwrap();
        near.set_nodelay(true).unwrap();
        let head = format!(
            "GET {target} HTTP/1.1\r\nhost: orders\r\n{token}connection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\
             sec-websocket-protocol: chat, superchat\r\n\
             sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
        );
        send(&mut near, head.as_bytes()).await;
        let answered = expect_head(&mut near, 101).await;
        let (far, asked) = soon(self.ends.recv()).await.unwrap();
        far.set_nodelay(true).unwrap();
        Socket { near, far, asked, answered }
    }

    /// Nothing of it is left.
    async fn is_over(&self) {
        until(|| self.gate.gatekeeper.figures().running == 0).await;
        if let Some(door) = &self.door {
            until(|| door.forwarder.figures().running == 0).await;
        }
    }
}

impl Socket {
    /// Who says it, and who hears it.
    fn ends(&mut self, from: From) -> (&mut TcpStream, &mut TcpStream) {
        match from {
            From::Client => (&mut self.near, &mut self.far),
            From::Server => (&mut self.far, &mut self.near),
        }
    }

    /// Says it at one side, and it is heard at the other.
    async fn carries(&mut self, from: From, said: &[u8]) {
        let (speaker, hearer) = self.ends(from);
        send(speaker, said).await;
        let mut heard = vec![0; said.len()];
        soon(hearer.read_exact(&mut heard)).await.unwrap();
        assert!(heard == said, "{from:?}: something else arrives");
    }
}

async fn through_both(test: impl AsyncFn(Way)) {
    for through_forwarder in [false, true] {
        test(Way::start(through_forwarder).await).await;
    }
}

/// All that comes until the end, be it an orderly one or not.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = soon(stream.read_to_end(&mut all)).await;
    all
}

/// Hangs up without a word.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

#[tokio::test]
async fn what_both_sides_agree_on_in_their_heads_passes() {
    through_both(async |mut way| {
        let socket = way.open().await;
        for (name, value) in [
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "chat, superchat"),
            ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
        ] {
            assert_eq!(header(&socket.asked, name), Some(value), "{}", socket.asked);
        }
        for (name, value) in [
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("sec-websocket-protocol", "chat"),
            ("sec-websocket-extensions", "permessage-deflate; server_no_context_takeover"),
        ] {
            assert_eq!(header(&socket.answered, name), Some(value), "{}", socket.answered);
        }
        assert!(!socket.asked.contains("authorization"), "{}", socket.asked);
    })
    .await;
}

#[tokio::test]
async fn every_frame_arrives_byte_for_byte_whatever_it_means() {
    through_both(async |mut way| {
        let mut socket = way.open().await;
        for from in [From::Client, From::Server] {
            let cases = cases(from);
            assert!(cases.len() > 90, "{}", cases.len());
            for (_, bytes) in cases {
                socket.carries(from, &bytes).await;
            }
        }
        // None of it was taken for an end, or for a request.
        socket.carries(From::Client, b"still").await;
        socket.carries(From::Server, b"there").await;
        assert!(way.ends.try_recv().is_err(), "{}: another request arrived", way.name);
    })
    .await;
}

#[tokio::test]
async fn pieces_of_a_frame_are_not_waited_for() {
    through_both(async |mut way| {
        let mut socket = way.open().await;
        for from in [From::Client, From::Server] {
            let said = [
                frame(from, TEXT, b"frag"),
                frame(from, FIN | PING, b"?"),
                frame(from, FIN, b"ment"),
            ];
            // Each byte is heard before the next one is said.
            for byte in said.concat() {
                socket.carries(from, &[byte]).await;
            }
        }
        // A message in pieces, between which the other side is heard.
        for _ in 0..20 {
            socket.carries(From::Client, &frame(From::Client, TEXT, b"one")).await;
            socket.carries(From::Server, &frame(From::Server, FIN | PING, b"?")).await;
            socket.carries(From::Client, &frame(From::Client, FIN | PONG, b"?")).await;
            socket.carries(From::Client, &frame(From::Client, FIN | CONTINUATION, b"two")).await;
            socket.carries(From::Server, &frame(From::Server, FIN | TEXT, b"onetwo")).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_speak_at_once_and_neither_waits_for_the_other() {
    through_both(async |mut way| {
        let Socket { near, far, .. } = way.open().await;
        let all = |from| cases(from).into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<_>>();
        let (up, down) = (all(From::Client), all(From::Server));
        let ((mut near_in, mut near_out), (mut far_in, mut far_out)) =
            (near.into_split(), far.into_split());
        // In pieces that fit no frame.
        let (one, other) = (up.clone(), down.clone());
        let speaking = tokio::spawn(async move {
            for piece in one.chunks(4093) {
                near_out.write_all(piece).await.unwrap();
            }
            near_out
        });
        let answering = tokio::spawn(async move {
            for piece in other.chunks(1021) {
                far_out.write_all(piece).await.unwrap();
            }
            far_out
        });
        let (mut heard_up, mut heard_down) = (vec![0; up.len()], vec![0; down.len()]);
        let (first, second) = tokio::join!(
            soon(far_in.read_exact(&mut heard_up)),
            soon(near_in.read_exact(&mut heard_down))
        );
        assert!(first.is_ok() && second.is_ok());
        assert!(heard_up == up && heard_down == down, "{}: something else arrives", way.name);
        drop((speaking.await.unwrap(), answering.await.unwrap()));
    })
    .await;
}

#[tokio::test]
async fn whoever_does_not_listen_holds_the_other_up_and_nothing_is_lost() {
    /// More than all sockets on the way hold.
    const MOST: usize = 256 << 20;
    through_both(async |mut way| {
        for from in [From::Client, From::Server] {
            let mut socket = way.open().await;
            let (speaker, hearer) = socket.ends(from);
            let (piece, mut said) = (noise(1 << 16), 0);
            while said < MOST {
                let held_up = Duration::from_secs(1);
                match tokio::time::timeout(held_up, speaker.write(&piece[said % piece.len()..]))
                    .await
                {
                    Ok(written) => said += written.unwrap(),
                    Err(_) => break,
                }
            }
            assert!(said < MOST, "{}: {from:?} says more than anybody holds", way.name);
            let (mut heard, mut buffer) = (0, vec![0; piece.len()]);
            while heard < said {
                let at = heard % piece.len();
                let count = (piece.len() - at).min(said - heard);
                soon(hearer.read_exact(&mut buffer[..count])).await.unwrap();
                assert!(buffer[..count] == piece[at..at + count], "{}: at {heard}", way.name);
                heard += count;
            }
            socket.carries(from, b"and on").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_close_is_answered_and_ends_both() {
    through_both(async |mut way| {
        for from in [From::Client, From::Server] {
            let other = if from == From::Client { From::Server } else { From::Client };
            let mut socket = way.open().await;
            socket.carries(from, &close(from, 4001, b"enough")).await;
            socket.carries(other, &close(other, 4001, b"enough")).await;
            // The server hangs up first (RFC 6455 §7.1.1).
            drop(socket.far);
            assert_eq!(rest(&mut socket.near).await, b"");
            drop(socket.near);
            way.is_over().await;
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_ends_its_side_is_still_told_what_the_other_has_to_say() {
    through_both(async |mut way| {
        for from in [From::Client, From::Server] {
            let other = if from == From::Client { From::Server } else { From::Client };
            let mut socket = way.open().await;
            let last = close(from, 1001, b"leaving");
            let (speaker, hearer) = socket.ends(from);
            send(speaker, &last).await;
            speaker.shutdown().await.unwrap();
            assert_eq!(rest(hearer).await, last, "{}: {from:?}", way.name);
            let answer =
                [frame(other, FIN | TEXT, &noise(1 << 20)), close(other, 1001, b"leaving")];
            let answer = answer.concat();
            let said = answer.clone();
            let saying = async {
                hearer.write_all(&said).await.unwrap();
                hearer.shutdown().await.unwrap();
            };
            let ((), heard) = tokio::join!(saying, rest(speaker));
            assert!(heard == answer, "{}: {from:?} hears something else", way.name);
            way.is_over().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_close_that_nobody_answers_waits_until_somebody_leaves() {
    through_both(async |mut way| {
        for from in [From::Client, From::Server] {
            let mut socket = way.open().await;
            socket.carries(from, &frame(from, FIN | CLOSE, b"")).await;
            // Nothing is cut by what we could think that it means.
            let other = if from == From::Client { From::Server } else { From::Client };
            socket.carries(other, &frame(other, FIN | TEXT, b"one more")).await;
            socket.carries(from, &frame(from, FIN | TEXT, b"and me")).await;
            assert_eq!(way.gate.gatekeeper.figures().running, 1);
            let Socket { near, far, .. } = socket;
            let (leaving, mut staying) =
                if from == From::Client { (near, far) } else { (far, near) };
            drop(leaving);
            assert_eq!(rest(&mut staying).await, b"");
            drop(staying);
            way.is_over().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_reset_is_an_end_at_the_other_side_too() {
    through_both(async |mut way| {
        for from in [From::Client, From::Server] {
            // Between two frames, and in the middle of one.
            for length in [5, 1 << 20] {
                let mut socket = way.open().await;
                let said = frame(from, FIN | TEXT, &noise(length));
                let half = &said[..said.len() / 2];
                socket.carries(from, half).await;
                let Socket { near, far, .. } = socket;
                let (leaving, mut staying) =
                    if from == From::Client { (near, far) } else { (far, near) };
                reset(leaving);
                assert_eq!(rest(&mut staying).await, b"", "{}: {from:?}", way.name);
                drop(staying);
                way.is_over().await;
            }
            // Who leaves while it is spoken to is noticed too.
            let Socket { near, far, .. } = way.open().await;
            let (leaving, mut staying) =
                if from == From::Client { (near, far) } else { (far, near) };
            reset(leaving);
            let speaking = async {
                let piece = noise(1 << 16);
                while staying.write_all(&piece).await.is_ok() {}
            };
            soon(speaking).await;
            way.is_over().await;
        }
    })
    .await;
}
