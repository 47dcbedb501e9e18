//! A request of HTTP/2 in the form that one of HTTP/1.1 has, or why it has none. Without I/O.
//!
//! `h2` has refused by then what RFC 9113 §8.2 and §8.3 call malformed: pseudo-headers that are missing, unknown,
//! repeated or late, names with capital letters, headers that concern a connection, and a body of another length
//! than `content-length` says. What it does not look at is refused here, by the same rules as over HTTP/1.1: what
//! two servers could read in two ways has no meaning.

use bytes::Bytes;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::StatusCode;
use hyper::http::uri::{Authority, Uri};
use hyper::{Method, Request, Response};

use crate::Limits;
use crate::proxy::framing::{Refusal, decimal};

/// Headers that a connection of HTTP/2 does not have (§8.2.2).
const FOREIGN: [HeaderName; 5] = [
    CONNECTION,
    UPGRADE,
    TRANSFER_ENCODING,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Among the extensions of a request: its client takes trailers (`te: trailers`).
#[derive(Debug, Clone, Copy)]
pub(in crate::proxy) struct TakesTrailers;

/// Judges a request, and puts it into the form that it would have over HTTP/1.1.
pub(super) fn as_http1<B>(request: &mut Request<B>, limits: &Limits) -> Result<(), Refusal> {
    if *request.method() == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    let (target, authority) = target(request.method(), request.uri())?;
    let headers = request.headers();
    if headers.len() > limits.headers {
        return Err(Refusal::TooManyHeaders);
    }
    if FOREIGN.iter().any(|name| headers.contains_key(name)) {
        return Err(Refusal::Foreign);
    }
    if headers.values().any(|value| value.as_bytes().trim_ascii().len() != value.len()) {
        return Err(Refusal::Value);
    }
    check_length(headers)?;
    let host = host(headers, authority.as_ref())?;
    let takes_trailers = takes_trailers(headers)?;
    let cookies = cookies(headers);
    *request.uri_mut() = target;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.remove(TE);
    if let Some(cookies) = cookies {
        headers.insert(COOKIE, cookies);
    }
    if takes_trailers {
        request.extensions_mut().insert(TakesTrailers);
    }
    Ok(())
}

/// The target in the origin form, or `*` of OPTIONS, and the authority.
fn target(method: &Method, uri: &Uri) -> Result<(Uri, Option<Authority>), Refusal> {
    if uri.scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
        return Err(Refusal::Scheme);
    }
    let path = uri.path_and_query().ok_or(Refusal::Target)?.clone();
    let is_asterisk = path.as_str() == "*" && *method == Method::OPTIONS;
    if !path.as_str().starts_with('/') && !is_asterisk {
        return Err(Refusal::Target);
    }
    Ok((Uri::from(path), uri.authority().cloned()))
}

/// The one host of a request. `:authority` is what `Host` is elsewhere (§8.3.1); both may be there if they agree.
fn host(headers: &HeaderMap, authority: Option<&Authority>) -> Result<HeaderValue, Refusal> {
    let mut hosts = headers.get_all(HOST).into_iter();
    match (authority, hosts.next(), hosts.next()) {
        (_, _, Some(_)) | (None, None, _) => Err(Refusal::Host),
        (None, Some(host), None) => Ok(host.clone()),
        (Some(authority), None, _) => {
            HeaderValue::from_str(authority.as_str()).map_err(|_| Refusal::Host)
        }
        (Some(authority), Some(host), None) => {
            if host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) {
                Ok(host.clone())
            } else {
                Err(Refusal::TwoHosts)
            }
        }
    }
}

fn check_length(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).into_iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(()),
        (Some(length), None) => decimal(length.as_bytes()).map(|_| ()).ok_or(Refusal::Length),
        _ => Err(Refusal::Length),
    }
}

/// `te` may be there with the value `trailers` and no other one (§8.2.2).
fn takes_trailers(headers: &HeaderMap) -> Result<bool, Refusal> {
    let mut all = headers.get_all(TE).into_iter().peekable();
    let is_there = all.peek().is_some();
    if all.all(|value| value == "trailers") { Ok(is_there) } else { Err(Refusal::Foreign) }
}

/// What a client has cut into several fields is one for everybody else (§8.2.3).
fn cookies(headers: &HeaderMap) -> Option<HeaderValue> {
    let pieces: Vec<&[u8]> =
        headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes).collect();
    if pieces.len() < 2 {
        return None;
    }
    HeaderValue::from_bytes(&pieces.join(&b"; "[..])).ok()
}

/// A fault of ours.
pub(super) fn failed() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<Request<()>, Refusal> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        as_http1(&mut request, &Limits::default()).map(|()| request)
    }

    #[test]
    fn a_request_has_the_form_of_the_other_version() {
        let cookies = [("cookie", "a=b"), ("te", "trailers"), ("cookie", "c=d"), ("x", "y")];
        let request = judged("GET", "http://Orders:80/v1/a?b=c", &cookies).unwrap();
        assert_eq!(request.uri(), "/v1/a?b=c");
        assert_eq!(request.headers()["host"], "Orders:80");
        assert_eq!(request.headers().get_all("cookie").iter().collect::<Vec<_>>(), ["a=b; c=d"]);
        assert!(!request.headers().contains_key("te"));
        assert!(request.extensions().get::<TakesTrailers>().is_some());
        let request = judged("OPTIONS", "*", &[("host", "orders")]).unwrap();
        assert_eq!(
            (request.uri().path(), &request.headers()["host"]),
            ("*", &"orders".parse().unwrap())
        );
        assert!(request.extensions().get::<TakesTrailers>().is_none());
        assert!(judged("GET", "https://a/", &[("host", "A"), ("content-length", "3")]).is_ok());
    }

    #[test]
    fn what_has_two_meanings_has_none() {
        let many: Vec<(&str, &str)> = (0..100).map(|_| ("x", "y")).collect();
        for (method, uri, fields, refusal) in [
            ("CONNECT", "a:1", &[][..], Refusal::Connect),
            ("GET", "ftp://a/", &[], Refusal::Scheme),
            ("GET", "*", &[("host", "a")], Refusal::Target),
            ("GET", "/", &[], Refusal::Host),
            ("GET", "/", &[("host", "a"), ("host", "a")], Refusal::Host),
            ("GET", "http://a/", &[("host", "b")], Refusal::TwoHosts),
            ("GET", "http://a/", &[("host", "a:80")], Refusal::TwoHosts),
            ("GET", "http://a/", &[("host", "a"), ("host", "b")], Refusal::Host),
            ("GET", "http://a/", &[("connection", "close")], Refusal::Foreign),
            ("GET", "http://a/", &[("upgrade", "h2c")], Refusal::Foreign),
            ("GET", "http://a/", &[("transfer-encoding", "chunked")], Refusal::Foreign),
            ("GET", "http://a/", &[("keep-alive", "1")], Refusal::Foreign),
            ("GET", "http://a/", &[("proxy-connection", "close")], Refusal::Foreign),
            ("GET", "http://a/", &[("te", "gzip")], Refusal::Foreign),
            ("GET", "http://a/", &[("te", "trailers"), ("te", "deflate")], Refusal::Foreign),
            ("GET", "http://a/", &[("te", "trailers, gzip")], Refusal::Foreign),
            ("POST", "http://a/", &[("content-length", "x")], Refusal::Length),
            ("POST", "http://a/", &[("content-length", "+3")], Refusal::Length),
            (
                "POST",
                "http://a/",
                &[("content-length", "3"), ("content-length", "3")],
                Refusal::Length,
            ),
            ("GET", "http://a/", &[("x", " y")], Refusal::Value),
            ("GET", "http://a/", &[("x", "y\t")], Refusal::Value),
            ("GET", "http://a/", &many, Refusal::TooManyHeaders),
        ] {
            assert_eq!(
                judged(method, uri, fields).unwrap_err(),
                refusal,
                "{method} {uri} {fields:?}"
            );
        }
    }
}
