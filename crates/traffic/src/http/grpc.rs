//! Answers of our own to calls of gRPC.
//!
//! A client of gRPC looks for the outcome in the trailers of an answer of 200, and takes any other answer for a fault of
//! the network, of which it knows no more than a code. So it is told by a head that is the trailers too (`Trailers-Only`,
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>): `grpc-status`, and in `grpc-message` the code, the
//! sentence, the reason and the number of the call, of which a person is shown all.
//!
//! | of ours | for gRPC |
//! |---|---|
//! | 401 | 16 UNAUTHENTICATED |
//! | 403 | 7 PERMISSION_DENIED |
//! | 404, 501 | 12 UNIMPLEMENTED |
//! | 429 | 8 RESOURCE_EXHAUSTED |
//! | 502, 503 | 14 UNAVAILABLE |
//! | 504 | 4 DEADLINE_EXCEEDED |
//! | any other | 13 INTERNAL |
//!
//! The other headers stay, the challenge among them.

use std::fmt::Write as _;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode, Version};

use super::ids::Ids;
use super::problem::Problem;

/// The outcome of a call.
pub const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether a request is a call of gRPC: a POST over HTTP/2 of `application/grpc`, with or without a suffix. Not gRPC-Web,
/// which has another name and is made for HTTP/1.1.
pub fn is_call(head: &Parts) -> bool {
    if head.version != Version::HTTP_2 || head.method != Method::POST {
        return false;
    }
    let mut types = head.headers.get_all(CONTENT_TYPE).into_iter();
    let (Some(one), None) = (types.next(), types.next()) else { return false };
    let (name, rest) =
        one.as_bytes().split_at_checked(b"application/grpc".len()).unwrap_or_default();
    name.eq_ignore_ascii_case(b"application/grpc") && matches!(rest, [] | [b'+' | b';', ..])
}

/// `answer`, which says `problem`, as a client of gRPC understands it.
pub fn of(problem: &Problem, ids: Option<&Ids>, answer: Response<Bytes>) -> Response<Bytes> {
    let (mut head, _) = answer.into_parts();
    head.status = StatusCode::OK;
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    head.headers.insert(STATUS, HeaderValue::from(status(problem.status)));
    if let Ok(message) = HeaderValue::from_maybe_shared(message(problem, ids)) {
        head.headers.insert(MESSAGE, message);
    }
    Response::from_parts(head, Bytes::new())
}

/// The code of an outcome, as in the table above.
const fn status(of: StatusCode) -> u16 {
    match of {
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED => 12,
        StatusCode::TOO_MANY_REQUESTS => 8,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => 14,
        StatusCode::GATEWAY_TIMEOUT => 4,
        _ => 13,
    }
}

fn message(problem: &Problem, ids: Option<&Ids>) -> String {
    let mut text = format!("{}: {}", problem.code, problem.detail);
    for (name, value) in [("reason", problem.reason.as_deref()), ("request", ids.map(Ids::request))]
    {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = write!(text, "; {name}={value}");
        }
    }
    encoded(&text)
}

/// Visible characters and spaces as they are, but for the percent sign; all others as `%XX`.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | ..0x20 | 0x7f.. => {
                let _ = write!(encoded, "%{byte:02X}");
            }
            visible => encoded.push(char::from(visible)),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::Request;

    use super::*;
    use crate::http::bearer::BearerFault;

    fn is_call_of(method: &str, version: Version, types: &[&str]) -> bool {
        let mut request = Request::builder().method(method).version(version);
        for one in types {
            request = request.header("content-type", *one);
        }
        is_call(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_call_is_known_by_its_type() {
        for one in ["application/grpc", "application/grpc+proto", "Application/gRPC;a=b"] {
            assert!(is_call_of("POST", Version::HTTP_2, &[one]), "{one}");
            assert!(!is_call_of("POST", Version::HTTP_11, &[one]), "{one}");
            assert!(!is_call_of("GET", Version::HTTP_2, &[one]), "{one}");
            assert!(!is_call_of("POST", Version::HTTP_2, &[one, one]), "{one}");
        }
        for other in ["application/grpc-web", "application/grpcx", "application/grp", "text/plain"]
        {
            assert!(!is_call_of("POST", Version::HTTP_2, &[other]), "{other}");
        }
        assert!(!is_call_of("POST", Version::HTTP_2, &[]));
    }

    #[test]
    fn an_outcome_is_told_in_the_head() {
        let told = |problem: &Problem| {
            let answer = of(problem, None, problem.answer(None, "spiffe://t/service/orders"));
            assert_eq!((answer.status().as_u16(), answer.body().len()), (200, 0));
            assert_eq!(answer.headers()["content-type"], "application/grpc");
            let word = |name| answer.headers()[name].to_str().unwrap().to_owned();
            (word("grpc-status"), word("grpc-message"), answer)
        };
        let (status, message, _) = told(&Problem::denied("abc".to_owned()));
        assert_eq!(status, "7");
        let text = "denied: no rule permits this call; the reason explains why; reason=abc";
        assert_eq!(message, text);
        let (status, _, answer) = told(&BearerFault::Missing.into());
        assert_eq!(status, "16");
        assert!(answer.headers().contains_key("www-authenticate"));
        let wait = Duration::from_secs(5);
        assert_eq!(told(&Problem::unavailable("stale", "not now", wait)).0, "14");
        for (code, status) in
            [(400, "13"), (404, "12"), (429, "8"), (501, "12"), (502, "14"), (504, "4")]
        {
            let problem =
                Problem::new(StatusCode::from_u16(code).unwrap(), "code", "100% \u{e9}\n");
            let told = told(&problem);
            assert_eq!((told.0.as_str(), told.1.as_str()), (status, "code: 100%25 %C3%A9%0A"));
        }
    }
}
