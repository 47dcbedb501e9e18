//! http-01 (RFC 8555 §8.3): the applicant's host has the key authorization at a path of its port 80.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::failure::Failure;
use super::redirect::Place;
use super::{Question, Subject, Validator};

/// No more redirects are followed.
const REDIRECTS: usize = 10;
/// No longer body is read. A key authorization has about ninety bytes.
const LONGEST: usize = 8 << 10;
/// For the head of an answer.
const HEAD: usize = 16 << 10;

/// What a place answers.
enum Answer {
    Body(StatusCode, Bytes),
    Redirect(Option<Vec<u8>>),
}

/// Whether the host has it.
pub(super) async fn ask(
    validator: &Validator,
    question: &Question,
    until: Instant,
) -> Result<(), Failure> {
    let settings = &validator.settings;
    let mut place = Place::first(&question.subject, settings.http_port, &question.token)?;
    for redirects in 0..=REDIRECTS {
        match fetch(validator, &place, until).await? {
            Answer::Redirect(location) => place = place.follow(location.as_deref(), settings)?,
            Answer::Body(status, body) => {
                return judge(&place, redirects > 0, status, &body, question);
            }
        }
    }
    Err(Failure::IncorrectResponse(format!(
        "{} redirects more than {REDIRECTS} times",
        question.subject
    )))
}

/// Where others have sent us, an applicant is not told how much of the right answer it was: they could have us look around
/// in pages that they do not get to see themselves.
fn judge(
    place: &Place,
    was_led: bool,
    status: StatusCode,
    body: &[u8],
    question: &Question,
) -> Result<(), Failure> {
    let host = &place.host;
    let is_right = body.trim_ascii_end() == question.key_authorization.as_bytes();
    match status {
        StatusCode::OK if is_right => Ok(()),
        _ if was_led => Err(Failure::Unauthorized(format!(
            "{host}, where {} redirects to, does not have the key authorization",
            question.subject
        ))),
        StatusCode::OK => Err(Failure::Unauthorized(format!(
            "{host} has something else than the key authorization"
        ))),
        status => Err(Failure::IncorrectResponse(format!(
            "{host} answered with status {} in place of 200",
            status.as_u16()
        ))),
    }
}

/// One request on a connection of its own.
async fn fetch(validator: &Validator, place: &Place, until: Instant) -> Result<Answer, Failure> {
    let stream = validator.dialler.dial(&place.host, place.port, until).await?;
    if !place.is_tls {
        return exchange(stream, place).await;
    }
    let name = match &place.host {
        Subject::Dns(name) => ServerName::try_from(name.as_str().to_owned()).ok(),
        Subject::Ip(address) => Some(ServerName::from(*address)),
    };
    let name = name.ok_or_else(|| {
        Failure::Tls(format!("{} is no name that a handshake can be for", place.host))
    })?;
    exchange(validator.clients.page(&place.host, name, stream).await?, place).await
}

/// Connection and exchange are one task: when nobody waits any more, both are gone.
async fn exchange<S>(stream: S, place: &Place) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken = |error: hyper::Error| {
        tracing::debug!(host = %place.host, %error, "no answer");
        let host = &place.host;
        if error.is_parse() {
            Failure::IncorrectResponse(format!("{host} does not answer as HTTP"))
        } else {
            Failure::Connection(format!("{host} hung up before it had answered"))
        }
    };
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let request = request(place)?;
    let mut asked = std::pin::pin!(async {
        let response = sender.send_request(request).await.map_err(broken)?;
        answer(response, place).await
    });
    tokio::select! {
        answer = &mut asked => answer,
        // What has come until then can still be read.
        _ = connection => asked.await,
    }
}

fn request(place: &Place) -> Result<Request<Empty<Bytes>>, Failure> {
    let request = Request::builder()
        .uri(place.target())
        .header(HOST, place.authority())
        .header(USER_AGENT, "sealock-acme")
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::new());
    request.map_err(|_| {
        Failure::IncorrectResponse(format!("{} cannot be asked for such a page", place.host))
    })
}

async fn answer(
    response: Response<hyper::body::Incoming>,
    place: &Place,
) -> Result<Answer, Failure> {
    let status = response.status();
    if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        let location = response.headers().get(LOCATION);
        return Ok(Answer::Redirect(location.map(|value| value.as_bytes().to_vec())));
    }
    if status != StatusCode::OK {
        return Ok(Answer::Body(status, Bytes::new()));
    }
    let body = Limited::new(response.into_body(), LONGEST).collect().await;
    let body = body.map_err(|error| {
        let host = &place.host;
        if error.is::<LengthLimitError>() {
            Failure::IncorrectResponse(format!("{host} answers with more than {LONGEST} bytes"))
        } else {
            Failure::Connection(format!("{host} hung up in the middle of its answer"))
        }
    })?;
    Ok(Answer::Body(status, body.to_bytes()))
}
