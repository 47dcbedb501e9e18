use super::*;

const HEADERS: usize = 8;

/// Judges a head without its empty line.
fn judged(lines: &str) -> Result<Framing, Refusal> {
    let bytes = format!("{lines}\r\n\r\n");
    let end = end_of_head(bytes.as_bytes(), 0)?.expect("the head is whole");
    assert_eq!(end, bytes.len(), "{lines:?} ends early");
    head(bytes.as_bytes(), HEADERS, false)
}

#[test]
fn ordinary_heads_say_how_the_body_ends() {
    assert_eq!(judged("GET /_ping HTTP/1.1\r\nHost: docker"), Ok(Framing::Fixed(0)));
    assert_eq!(judged("GET / HTTP/1.1\r\nHost:\r\nX:  \ta\tb "), Ok(Framing::Fixed(0)));
    assert_eq!(judged("GET / HTTP/1.0"), Ok(Framing::Fixed(0)));
    assert_eq!(judged("GET http://a/b HTTP/1.1\r\nhost: a"), Ok(Framing::Fixed(0)));
    let length = "POST / HTTP/1.1\r\nhost: a\r\ncontent-LENGTH: 007";
    assert_eq!(judged(length), Ok(Framing::Fixed(7)));
    let chunked = "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked";
    assert_eq!(judged(chunked), Ok(Framing::Chunked(Chunk::START)));
}

#[test]
fn heads_with_two_readings_are_refused() {
    let start = "POST / HTTP/1.1\r\nhost: a";
    for (lines, why) in [
        ("content-length: 3\r\ntransfer-encoding: chunked", Refusal::TwoLengths),
        ("transfer-encoding: chunked\r\ncontent-length: 3", Refusal::TwoLengths),
        ("content-length: 3\r\ncontent-length: 4", Refusal::Length),
        ("content-length: 3\r\nContent-Length: 3", Refusal::Length),
        ("content-length: 3, 3", Refusal::Length),
        ("content-length: +3", Refusal::Length),
        ("content-length: 0x3", Refusal::Length),
        ("content-length: -3", Refusal::Length),
        ("content-length:", Refusal::Length),
        ("content-length: 9999999999999999999", Refusal::Length),
        ("transfer-encoding: gzip, chunked", Refusal::Encoding),
        ("transfer-encoding: chunked, chunked", Refusal::Encoding),
        ("transfer-encoding: xchunked", Refusal::Encoding),
        ("transfer-encoding: identity", Refusal::Encoding),
        ("transfer-encoding:", Refusal::Encoding),
        ("transfer-encoding: \u{b}chunked", Refusal::Value),
        // What others may take for whitespace is none.
        ("transfer-encoding:\u{c}chunked", Refusal::Value),
        ("transfer-encoding: chunked\u{c}", Refusal::Value),
        ("transfer-encoding: chunked\r", Refusal::Value),
        ("content-length: 3 \r", Refusal::Value),
        ("content-length: \u{c}3", Refusal::Value),
        ("x:\r", Refusal::Value),
        ("x: a\u{c}\t", Refusal::Value),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", Refusal::Encoding),
        ("transfer-encoding : chunked", Refusal::Name),
        ("content-length\t: 3", Refusal::Name),
        ("x: a\r\n b", Refusal::Folded),
        ("x: a\r\n\tb", Refusal::Folded),
        ("x: a\rb", Refusal::Value),
        ("x: a\0b", Refusal::Value),
        ("x\r: b", Refusal::Name),
        (": b", Refusal::Name),
        ("no colon", Refusal::Name),
        ("x: a\ncontent-length: 3", Refusal::LineEnd),
        ("host: b", Refusal::Host),
    ] {
        assert_eq!(judged(&format!("{start}\r\n{lines}")), Err(why), "{lines:?}");
    }
    let many = "\r\nx: y".repeat(HEADERS);
    assert_eq!(judged(&format!("{start}{many}")), Err(Refusal::TooManyHeaders));
}

#[test]
fn request_lines_have_one_form() {
    for (line, why) in [
        ("", Refusal::RequestLine),
        ("GET /", Refusal::RequestLine),
        ("GET  / HTTP/1.1", Refusal::RequestLine),
        ("GET\t/ HTTP/1.1", Refusal::RequestLine),
        (" GET / HTTP/1.1", Refusal::RequestLine),
        ("GET / HTTP/1.1 ", Refusal::RequestLine),
        ("GET /a b HTTP/1.1", Refusal::RequestLine),
        ("G(T / HTTP/1.1", Refusal::RequestLine),
        ("GET /\u{e9} HTTP/1.1", Refusal::RequestLine),
        ("GET / HTTP/2.0", Refusal::Version),
        ("PRI * HTTP/2.0", Refusal::Version),
        ("GET / http/1.1", Refusal::Version),
        ("CONNECT a:443 HTTP/1.1", Refusal::Connect),
    ] {
        let bytes = format!("{line}\r\nhost: a\r\n\r\n");
        assert_eq!(head(bytes.as_bytes(), HEADERS, false), Err(why), "{line:?}");
    }
    let none = "GET / HTTP/1.1\r\nx: y";
    assert_eq!(judged(none), Err(Refusal::Host));
    for old in ["connection: a, Keep-Alive", "transfer-encoding: chunked"] {
        assert_eq!(judged(&format!("GET / HTTP/1.0\r\n{old}")), Err(Refusal::OldVersion));
    }
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let bytes = b"GET / HTTP/1.1\r\nhost: a\r\n\r\nmore\nthan that";
    let mut from = 0;
    for length in 0..bytes.len() {
        match end_of_head(&bytes[..length], from).unwrap() {
            Ok(end) => {
                assert_eq!((end, length), (27, 27));
                return;
            }
            Err(line) => from = line,
        }
    }
    panic!("the end was not found");
}

#[test]
fn chunks_are_read_over_to_their_end_however_they_come() {
    let body = b"5\r\nhello\r\n00A\r\n0123456789\r\n0\r\nx-sum: 1\r\ny: 2\r\n\r\n";
    let bytes = [body.as_slice(), b"GET /next"].concat();
    for piece in 1..bytes.len() {
        let (mut framing, mut read) = (Framing::Chunked(Chunk::START), 0);
        for part in bytes.chunks(piece) {
            read += framing.advance(part).unwrap();
            if framing.is_done() {
                break;
            }
        }
        assert_eq!(read, body.len(), "in pieces of {piece}");
    }
}

#[test]
fn malformed_chunks_are_refused() {
    for body in [
        "\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5;x=y\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r\r0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "0\r\n\n",
        "0\r\nx: y\n\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\nx: y\rz\r\n\r\n",
    ] {
        let mut framing = Framing::Chunked(Chunk::START);
        assert!(framing.advance(body.as_bytes()).is_err(), "{body:?}");
    }
    let endless = format!("0\r\nx: {}\r\n\r\n", "y".repeat(TRAILER_BYTES));
    assert!(Framing::Chunked(Chunk::START).advance(endless.as_bytes()).is_err());
}

#[test]
fn a_connect_is_taken_where_it_is_served_and_has_no_body() {
    let of = |fields: &str| {
        let bytes = format!("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n{fields}\r\n");
        head(bytes.as_bytes(), HEADERS, true)
    };
    assert_eq!(of(""), Ok(Framing::EMPTY));
    for body in ["content-length: 0\r\n", "content-length: 3\r\n", "transfer-encoding: chunked\r\n"]
    {
        assert_eq!(of(body), Err(Refusal::ConnectBody), "{body}");
    }
    assert_eq!(of("host: b\r\n"), Err(Refusal::Host));
    assert_eq!(judged("CONNECT a:443 HTTP/1.1\r\nhost: a:443"), Err(Refusal::Connect));
}
