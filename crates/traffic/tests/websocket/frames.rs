//! Frames of WebSocket (RFC 6455 §5.2) as bytes, good and bad: the classes of Autobahn's test suite.

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The last piece of a message.
pub(crate) const FIN: u8 = 0x80;

/// Who sends: a client masks what it says, and a server does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Client,
    Server,
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// With the shortest form of its length.
pub(crate) fn frame(from: From, first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let form = match length {
        0..126 => vec![length as u8],
        126..65536 => [&[126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[127][..], &(length as u64).to_be_bytes()].concat(),
    };
    with_length(from, first, &form, payload)
}

/// With this for a length.
fn with_length(from: From, first: u8, length: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = [&[first], length].concat();
    if from == From::Server {
        bytes.extend_from_slice(payload);
        return bytes;
    }
    bytes[1] |= 0x80;
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

pub(crate) fn close(from: From, code: u16, reason: &[u8]) -> Vec<u8> {
    frame(from, FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// Bytes that are nowhere the same for long.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let words = (0..u32::MAX).map(|number| number.wrapping_mul(2_654_435_761));
    words.flat_map(u32::to_le_bytes).take(length).collect()
}

/// What one side may say, or must not: a name, and the bytes.
pub(crate) fn cases(from: From) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    all.extend(lengths(from));
    all.extend(fragments(from));
    all.extend(control(from));
    all.extend(closes(from));
    all.extend(malformed(from));
    all
}

fn lengths(from: From) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for length in [0, 1, 124, 125, 126, 127, 128, 65535, 65536, 1 << 20] {
        let payload = noise(length);
        all.push((format!("binary of {length}"), frame(from, FIN | BINARY, &payload)));
        all.push((format!("text of {length}"), frame(from, FIN | TEXT, &vec![b'*'; length])));
    }
    // The same length in a longer form than it needs, and one that no frame can have.
    all.push(("5 in two bytes".into(), with_length(from, FIN | TEXT, &[126, 0, 5], b"hello")));
    let eight = [127, 0, 0, 0, 0, 0, 0, 0, 5];
    all.push(("5 in eight bytes".into(), with_length(from, FIN | TEXT, &eight, b"hello")));
    let endless = [127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    all.push(("more than there can be".into(), with_length(from, FIN | BINARY, &endless, b"some")));
    all
}

fn fragments(from: From) -> Vec<(String, Vec<u8>)> {
    let piece = |first: u8, payload: &[u8]| frame(from, first, payload);
    vec![
        ("two pieces".into(), [piece(TEXT, b"frag"), piece(FIN, b"ment")].concat()),
        (
            "pieces with ping and pong between".into(),
            [
                piece(TEXT, "\u{fc}\u{20ac}".as_bytes()),
                piece(FIN | PING, b"are you there"),
                piece(CONTINUATION, b"more"),
                piece(FIN | PONG, b"unasked"),
                piece(CONTINUATION, b""),
                piece(FIN | CONTINUATION, b"end"),
            ]
            .concat(),
        ),
        ("a character in two".into(), [piece(TEXT, b"\xce"), piece(FIN, b"\xba")].concat()),
        (
            "many pieces of a byte".into(),
            [piece(BINARY, b"a"), piece(0, b"b").repeat(1000), piece(FIN, b"c")].concat(),
        ),
        ("the end of nothing".into(), piece(FIN | CONTINUATION, b"lost")),
        ("a message within another".into(), [piece(TEXT, b"a"), piece(FIN | TEXT, b"b")].concat()),
        ("a ping in two".into(), [piece(PING, b"frag"), piece(FIN, b"ment")].concat()),
    ]
}

fn control(from: From) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (name, code) in [("ping", PING), ("pong", PONG), ("close", CLOSE)] {
        for length in [0, 1, 2, 125, 126, 127, 65535, 65536] {
            all.push((format!("{name} of {length}"), frame(from, FIN | code, &noise(length))));
        }
    }
    all
}

fn closes(from: From) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for code in [
        0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1011, 1012, 1015, 1100, 2999,
        3000, 3999, 4000, 4999, 5000, 65535,
    ] {
        all.push((format!("close {code}"), close(from, code, b"")));
    }
    all.push(("close with a reason".into(), close(from, 1000, "gen\u{fc}gt".as_bytes())));
    all.push(("close with the longest reason".into(), close(from, 1000, &[b'*'; 123])));
    all.push(("close with a bad reason".into(), close(from, 1000, b"\xce\xba\xe1\xed\xa0\x80")));
    let after = [close(from, 1000, b""), frame(from, FIN | TEXT, b"after the close")].concat();
    all.push(("a message after the close".into(), after));
    all
}

fn malformed(from: From) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for reserved in 1_u8..8 {
        let first = FIN | reserved << 4 | TEXT;
        all.push((format!("reserved bits {reserved:03b}"), frame(from, first, b"hello")));
    }
    for code in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        all.push((format!("opcode {code}"), frame(from, FIN | code, b"hello")));
    }
    for bad in
        [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"a\0b"]
    {
        all.push((format!("text {bad:x?}"), frame(from, FIN | TEXT, bad)));
    }
    // A client that does not mask, and a server that does.
    let other = if from == From::Client { From::Server } else { From::Client };
    all.push(("masked as the other side".into(), frame(other, FIN | TEXT, b"hello")));
    // What looks like HTTP is no request here.
    let http = b"GET /v1/smuggled HTTP/1.1\r\nhost: orders\r\n\r\nHTTP/1.1 200 OK\r\n\r\n0\r\n\r\n";
    all.push(("a request".into(), frame(From::Server, FIN | TEXT, http)));
    all.push(("no frames at all".into(), http.to_vec()));
    all
}
