//! HTTP over `admin.sock`, as a client.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sealock_traffic::feed::MAXIMUM_LINE;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use crate::api::{CALL, FOLLOW, error_of};
use crate::command::{Command, Reply};
use crate::error::{ErrorCode, ServiceError};

/// How long a connection may take.
pub(super) const CONNECTING: Duration = Duration::from_secs(5);
/// How long an answer may take; checking a long audit log does.
pub(super) const ANSWERING: Duration = Duration::from_secs(600);
/// How long the answer of a server may take that may be anybody.
const GETTING: Duration = Duration::from_secs(15);
/// An inventory of a million certificates fits.
pub(super) const LONGEST: usize = 1 << 30;

pub(super) async fn connect(socket: &Path) -> io::Result<UnixStream> {
    tokio::time::timeout(CONNECTING, UnixStream::connect(socket))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

pub(super) fn broken(error: &(dyn std::error::Error + 'static)) -> ServiceError {
    ServiceError::new(ErrorCode::Unavailable, "the daemon went away before it had answered")
        .caused_by(error)
        .hint("whether it was done, `sealock audit tail` shows")
}

async fn send<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<Response<hyper::body::Incoming>, ServiceError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    tokio::spawn(connection);
    let answer = tokio::time::timeout(ANSWERING, sender.send_request(request)).await;
    let answer = answer
        .map_err(|_| ServiceError::new(ErrorCode::Timeout, "the daemon did not answer in time"))?;
    answer.map_err(|error| broken(&error))
}

async fn whole(response: Response<hyper::body::Incoming>) -> Result<Bytes, ServiceError> {
    let body = Limited::new(response.into_body(), LONGEST).collect();
    let body = tokio::time::timeout(ANSWERING, body)
        .await
        .map_err(|_| ServiceError::new(ErrorCode::Timeout, "the daemon did not answer in time"))?;
    body.map(|body| body.to_bytes()).map_err(|error| broken(error.as_ref()))
}

fn request(method: &str, path: &str, body: Vec<u8>) -> Result<Request<Full<Bytes>>, ServiceError> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "sealock")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))
}

pub(super) async fn call<S>(stream: S, command: &Command) -> Result<Reply, ServiceError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let response = send(stream, request("POST", CALL, encoded(command)?)?).await?;
    let status = response.status();
    reply(status.as_u16(), &whole(response).await?)
}

pub(super) fn encoded(command: &Command) -> Result<Vec<u8>, ServiceError> {
    serde_json::to_vec(command).map_err(|error| ServiceError::of(ErrorCode::Fault, &error))
}

/// What an answer says.
pub(super) fn reply(status: u16, body: &[u8]) -> Result<Reply, ServiceError> {
    if !(200..300).contains(&status) {
        return Err(error_of(status, body));
    }
    serde_json::from_slice(body).map_err(|error| {
        // What was read may be a key: only the place is told.
        let place = format!("line {}, column {}", error.line(), error.column());
        ServiceError::new(
            ErrorCode::Fault,
            format!("the daemon's answer cannot be read at {place}"),
        )
        .hint("daemon and command are of different versions; restart the daemon")
    })
}

pub(super) async fn follow(stream: UnixStream, after: u64) -> Result<Follower, ServiceError> {
    lines(stream, &format!("{FOLLOW}?after={after}"), None).await
}

/// Posts a form; status and answer.
pub(super) async fn form<S>(
    stream: S,
    path: &str,
    bearer: Option<&str>,
    fields: &[(&str, &str)],
) -> Result<(u16, Bytes), ServiceError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut request = Request::builder()
        .method("POST")
        .uri(path)
        .header(HOST, "sealock")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
    if let Some(bearer) = bearer {
        let mut value = HeaderValue::from_str(&format!("Bearer {bearer}"))
            .map_err(|_| ServiceError::new(ErrorCode::Usage, "that is no code"))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let response = send(stream, request).await?;
    let status = response.status().as_u16();
    Ok((status, whole(response).await?))
}

/// What a path answers, from a server that may be anybody.
pub(super) async fn get<S>(stream: S, path: &str, longest: usize) -> Result<Bytes, ServiceError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let asked = async {
        let response = send(stream, request("GET", path, Vec::new())?).await?;
        let body = Limited::new(response.into_body(), longest).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| broken(error.as_ref()))
    };
    tokio::time::timeout(GETTING, asked).await.unwrap_or_else(|_| {
        Err(ServiceError::new(ErrorCode::Timeout, "the server did not answer in time"))
    })
}

/// What a path answers, line by line, to who says so who it is.
pub(super) async fn lines<S>(
    stream: S,
    path: &str,
    authorization: Option<HeaderValue>,
) -> Result<Follower, ServiceError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut request = request("GET", path, Vec::new())?;
    request.headers_mut().extend(authorization.map(|value| (AUTHORIZATION, value)));
    let response = send(stream, request).await?;
    let status = response.status();
    if !status.is_success() {
        return Err(error_of(status.as_u16(), &whole(response).await?));
    }
    Ok(Follower { body: response.into_body(), buffer: BytesMut::new() })
}

/// Audit records as they happen.
#[derive(Debug)]
pub struct Follower {
    body: hyper::body::Incoming,
    buffer: BytesMut,
}

impl Follower {
    /// The next record's line; `None` when the daemon has stopped.
    pub async fn next(&mut self) -> Option<Result<String, ServiceError>> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                // An empty line only says that the connection is good.
                if !text.is_empty() {
                    return Some(Ok(text));
                }
            }
            if self.buffer.len() > MAXIMUM_LINE {
                let text = "the daemon sends a line without end";
                return Some(Err(ServiceError::new(ErrorCode::Fault, text)));
            }
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Err(error) => return Some(Err(broken(&error))),
            }
        }
    }
}
