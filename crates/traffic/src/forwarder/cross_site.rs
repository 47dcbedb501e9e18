//! Whether a page of another site may be behind a request for a service.
//!
//! A browser on this host sends what any page wants to any port and any name that leads here, and the service would take
//! it for ours: it comes with our token. Two things say whose page it is, and no page can forge or omit them:
//!
//! - `Origin` is in every handshake of a WebSocket, in every preflight, and in whatever may change something. It must be
//!   the very host that the request is for; `null` is nobody's.
//! - `Sec-Fetch-Site` says it of reading too, but is sent only to where the browser holds a connection for trustworthy:
//!   `localhost`, and not `http://orders`.
//!
//! A GET or HEAD with somebody else's `Origin` goes on: the browser shows the answer only to pages that the service names
//! (CORS). Following a link goes on as well, for its answer is not shown to the site that it was on. A preflight does not,
//! and gets no headers of CORS: what it asks for is refused in any case. Programs that are no browsers send neither.

use hyper::header::{HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::destination::Destination;
use crate::gatekeeper::Protocol;
use crate::http::host::Host;
use crate::http::problem::Problem;

/// The ports of URLs that have none.
const SCHEMES: [(&str, u16); 2] = [("http://", 80), ("https://", 443)];

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Refuses what a page of another site may be behind.
pub(super) fn check(head: &Parts, protocol: Protocol) -> Result<(), Problem> {
    let only_reads = matches!(head.method, Method::GET | Method::HEAD);
    let is_harmless = only_reads && protocol != Protocol::WebSocket;
    let is_foreign = !is_harmless && !is_of_this_host(&head.headers);
    if is_foreign || is_said_to_be_of_another_site(head) {
        let detail = "a page of another site may not call this service";
        return Err(Problem::new(StatusCode::FORBIDDEN, "cross_site", detail));
    }
    Ok(())
}

/// Whether each `Origin`, if there is one, is this very host.
fn is_of_this_host(headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter().peekable();
    if origins.peek().is_none() {
        return true;
    }
    let Ok(Some(host)) = Host::of(headers) else { return false };
    origins.all(|origin| is_origin_of(origin, &host))
}

/// Whether it is `http` or `https` at this host and port (RFC 6454 §6.2).
fn is_origin_of(origin: &HeaderValue, host: &Host) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    SCHEMES.iter().any(|(scheme, port)| {
        let from = origin.strip_prefix(scheme).and_then(|at| Destination::read(at, Some(*port)));
        from.is_some() && from == Destination::of(host, Some(*port))
    })
}

fn is_said_to_be_of_another_site(head: &Parts) -> bool {
    let says = |name: &HeaderName, value: &[u8]| {
        head.headers.get_all(name).iter().any(|said| said.as_bytes().eq_ignore_ascii_case(value))
    };
    let is_link = says(&FETCH_MODE, b"navigate") && head.method == Method::GET;
    says(&FETCH_SITE, b"cross-site") && !is_link
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn refused(method: &str, protocol: Protocol, fields: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method).uri("/a");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let checked = check(&request.body(()).unwrap().into_parts().0, protocol);
        checked.is_err_and(|problem| (problem.status.as_u16(), problem.code) == (403, "cross_site"))
    }

    #[test]
    fn what_may_change_something_comes_from_this_very_host_or_no_page() {
        let of = |method, host, origin| {
            refused(method, Protocol::Http, &[("host", host), ("origin", origin)])
        };
        for (host, origin) in [
            ("localhost:5000", "http://localhost:5000"),
            ("LOCALHOST:5000", "http://localhost:5000"),
            ("[::1]:5000", "http://[::1]:5000"),
            ("orders", "http://orders"),
            ("orders:80", "http://orders"),
            ("orders", "http://orders:80"),
            ("orders.internal", "https://orders.internal"),
            ("orders.internal:443", "https://orders.internal"),
        ] {
            assert!(!of("POST", host, origin), "{host} {origin}");
        }
        for (host, origin) in [
            ("localhost:5000", "http://localhost:3000"),
            ("localhost:5000", "http://localhost"),
            ("localhost:5000", "http://127.0.0.1:5000"),
            ("localhost:5000", "null"),
            ("localhost:5000", ""),
            ("localhost:5000", "localhost:5000"),
            ("localhost:5000", "file://localhost:5000"),
            ("localhost:5000", "chrome-extension://localhost:5000"),
            ("localhost:5000", "http://localhost:5000/"),
            ("localhost:5000", "http://localhost:5000.evil.example"),
            ("localhost:5000", "http://evil@localhost:5000"),
            ("localhost:5000", "http://evil.example http://localhost:5000"),
            ("orders", "http://orders.evil.example"),
            ("orders", "http://evil.example"),
            ("orders:80", "https://orders"),
        ] {
            for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"] {
                assert!(of(method, host, origin), "{method} {host} {origin}");
            }
            assert!(!of("GET", host, origin) && !of("HEAD", host, origin), "{host} {origin}");
        }
        let two = [("host", "orders"), ("origin", "http://orders"), ("origin", "http://evil")];
        assert!(refused("POST", Protocol::Http, &two));
        assert!(refused("POST", Protocol::Grpc, &two[1..2]), "without a Host it is nobody's");
        assert!(!refused("POST", Protocol::Http, &two[..1]), "no browser has sent it");
    }

    #[test]
    fn a_websocket_is_opened_by_pages_of_this_very_host_and_by_programs() {
        let of = |fields: &[(&str, &str)]| refused("GET", Protocol::WebSocket, fields);
        let host = ("host", "localhost:5000");
        assert!(!of(&[host]));
        assert!(!of(&[host, ("origin", "http://localhost:5000")]));
        for origin in ["http://evil.example", "http://localhost:3000", "https://localhost", "null"]
        {
            assert!(of(&[host, ("origin", origin)]), "{origin}");
        }
    }

    #[test]
    fn a_page_of_another_site_gets_no_further_than_a_link() {
        let of = |method, fields: &[(&str, &str)]| {
            refused(method, Protocol::Http, &[&[("host", "localhost:5000")], fields].concat())
        };
        let (cross, link) = (("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"));
        assert!(!of("POST", &[]));
        assert!(!of("POST", &[("sec-fetch-site", "same-origin")]));
        assert!(!of("GET", &[cross, link]));
        assert!(of("POST", &[cross, link]));
        assert!(of("GET", &[cross, ("sec-fetch-mode", "no-cors")]));
        assert!(of("GET", &[cross]));
    }
}
