//! One `GET /_ping` and its answer.
//!
//! Written by hand because of the order: a server that refuses a certificate sends its alert while our
//! request is still under way, and a client library that fails to write never reads why.

use std::error::Error;
use std::io;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::report::Outcome;

/// How much of an answer is read.
const LONGEST: u64 = 16 * 1024;
/// How much of a text of the other side is shown.
const SHOWN: usize = 200;

/// Sends the request and says what came of it. The deadline is the caller's.
pub(super) async fn ping<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, host: &str) -> Outcome {
    let request = format!(
        "GET /_ping HTTP/1.1\r\nHost: {host}\r\nUser-Agent: sealock-check\r\nConnection: close\r\n\r\n"
    );
    // Whether this fails shows in what is read: the other side may have refused already.
    let _ = async {
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await
    }
    .await;
    let mut answer = Vec::new();
    let mut ended = Ok(());
    let mut limited = stream.take(LONGEST);
    while !is_whole(&answer) {
        match limited.read_buf(&mut answer).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                ended = Err(error);
                break;
            }
        }
    }
    match (parse(&answer), ended) {
        (Some(outcome), _) => outcome,
        (None, Err(error)) => refused(&error),
        (None, Ok(())) if answer.is_empty() => Outcome::Closed,
        (None, Ok(())) => Outcome::NotHttp,
    }
}

/// Why a connection ended without an answer.
pub(super) fn refused(error: &io::Error) -> Outcome {
    let mut source: Option<&(dyn Error + 'static)> =
        error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    while let Some(inner) = source {
        match inner.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::AlertReceived(alert)) => {
                return Outcome::Refused { alert: format!("{alert:?}") };
            }
            Some(rustls::Error::InvalidMessage(_)) => return Outcome::NotTls,
            Some(other) => return Outcome::Failed { reason: shown(&other.to_string()) },
            None => source = inner.source(),
        }
    }
    match error.kind() {
        io::ErrorKind::TimedOut => Outcome::TimedOut,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Outcome::Closed,
        _ => Outcome::Failed { reason: shown(&error.to_string()) },
    }
}

struct Head<'a> {
    status: u16,
    lines: Vec<(&'a str, &'a str)>,
}

impl<'a> Head<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let mut first = lines.next()?.splitn(3, ' ');
        if !first.next()?.starts_with("HTTP/1.") {
            return None;
        }
        let status = first.next()?.parse().ok().filter(|status| (100..600).contains(status))?;
        let lines = lines.filter_map(|line| line.split_once(':'));
        Some(Self { status, lines: lines.map(|(name, value)| (name, value.trim())).collect() })
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        self.lines.iter().find(|line| line.0.eq_ignore_ascii_case(name)).map(|line| line.1)
    }
}

fn split(answer: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((answer.get(..at)?, answer.get(at + 4..)?))
}

/// Whether nothing more is to come, by its own length; a server may keep the connection open.
fn is_whole(answer: &[u8]) -> bool {
    let Some((head, body)) = split(answer) else { return false };
    let head = String::from_utf8_lossy(head);
    let length = Head::parse(&head).and_then(|head| head.value("content-length")?.parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}

fn parse(answer: &[u8]) -> Option<Outcome> {
    let (head, body) = split(answer)?;
    let text = String::from_utf8_lossy(head);
    let head = Head::parse(&text)?;
    let status = head.status;
    // 400 is what Go answers to HTTP on a port for TLS, and nginx and our gateway to a missing certificate.
    if matches!(status, 400 | 401 | 403 | 407 | 421 | 495 | 496) {
        return Some(Outcome::Status { status, message: message(body) });
    }
    Some(Outcome::Accepted {
        status,
        api_version: head.value("api-version").map(shown),
        server: head.value("server").map(shown),
    })
}

/// The engine's `message`, or the text as it is.
fn message(body: &[u8]) -> Option<String> {
    let message = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(object)) => object.get("message")?.as_str()?.to_owned(),
        _ => String::from_utf8_lossy(body).trim().to_owned(),
    };
    Some(shown(&message)).filter(|message| !message.is_empty())
}

/// A text of the other side, short and without what would move a terminal's cursor.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    async fn said(answer: &[u8]) -> Outcome {
        let (mut near, mut far) = duplex(1 << 16);
        far.write_all(answer).await.unwrap();
        drop(far);
        ping(&mut near, "host").await
    }

    #[tokio::test]
    async fn answers_are_told_apart() {
        let ok = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nServer: Docker/20\x1b[2J\r\n\r\nOK";
        assert_eq!(
            said(ok).await,
            Outcome::Accepted {
                status: 200,
                api_version: Some("1.41".into()),
                server: Some("Docker/20[2J".into()),
            }
        );
        let go =
            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
        let message = Some("Client sent an HTTP request to an HTTPS server.".into());
        assert_eq!(said(go).await, Outcome::Status { status: 400, message });
        let ours = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 16\r\n\r\n{\"message\":\"no\"}";
        assert_eq!(said(ours).await, Outcome::Status { status: 403, message: Some("no".into()) });
        assert_eq!(said(b"").await, Outcome::Closed);
        assert_eq!(said(b"SSH-2.0-x\r\n").await, Outcome::NotHttp);
        assert_eq!(said(b"HTTP/1.1 999 x\r\n\r\n").await, Outcome::NotHttp);
    }

    #[tokio::test]
    async fn an_endless_answer_is_cut() {
        let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
        answer.resize(60_000, b'x');
        assert_eq!(said(&answer).await, Outcome::NotHttp);
    }

    #[tokio::test]
    async fn a_connection_that_stays_open_does_not_hold_us_up() {
        let (mut near, mut far) = duplex(1 << 16);
        far.write_all(b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        assert!(matches!(ping(&mut near, "host").await, Outcome::Accepted { status: 204, .. }));
        drop(far);
    }
}
