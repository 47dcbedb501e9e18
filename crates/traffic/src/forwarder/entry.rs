//! What an app asks for, read from the head of its request, without I/O.
//!
//! A head that names two destinations, or a service by a name that a browser could have been led to, is refused here:
//!
//! - At the proxy the target is a whole `http` URL, or that of a CONNECT. `Host` must say the same.
//! - At a local port the target is a path, and `Host` is this port of this host, or the service. Any other name was made
//!   to point here by somebody (DNS rebinding), whose page would else call the service as we do. Pages of other
//!   sites that call by the right name are told apart elsewhere ([`super::cross_site`]).

use hyper::header::{AUTHORIZATION, CONNECTION, HeaderMap, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};

use super::destination::Destination;
use crate::gatekeeper::Protocol;
use crate::http::grpc;
use crate::http::host::Host;
use crate::http::path::PathFault;
use crate::http::problem::Problem;

/// The port of a URL that has none.
const HTTP: u16 = 80;
/// The same over TLS.
const HTTPS: u16 = 443;

/// What is asked of the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// A request for this destination.
    Call(Destination),
    /// A tunnel to it.
    Connect(Destination),
}

/// What is asked of the proxy.
pub(super) fn proxy(head: &Parts) -> Result<Asked, Problem> {
    let host = Host::of(&head.headers)?;
    let authority = head.uri.authority().map(|authority| authority.as_str());
    if head.method == Method::CONNECT {
        let is_bare = head.uri.scheme().is_none() && head.uri.path_and_query().is_none();
        let to = authority.filter(|_| is_bare).and_then(|text| Destination::read(text, None));
        let to = to.ok_or_else(|| bad_target("CONNECT is for HOST:PORT"))?;
        return agree(&to, host.as_ref(), to.port()).map(|()| Asked::Connect(to));
    }
    let Some(authority) = authority else {
        return Err(bad_target("this is a proxy: the target must be a whole URL"));
    };
    if head.uri.scheme_str() != Some("http") {
        return Err(bad_target("only http URLs are taken here: for others there is CONNECT"));
    }
    let to = Destination::read(authority, Some(HTTP));
    let to = to.ok_or_else(|| bad_target("the URL has no host that can be read"))?;
    agree(&to, host.as_ref(), HTTP).map(|()| Asked::Call(to))
}

/// Whether `Host` means the same as the target.
fn agree(to: &Destination, host: Option<&Host>, usual: u16) -> Result<(), Problem> {
    let Some(host) = host else { return Ok(()) };
    if Destination::of(host, Some(usual)).as_ref() == Some(to) {
        return Ok(());
    }
    let detail = "the Host header and the target name two destinations";
    Err(Problem::new(StatusCode::BAD_REQUEST, "two_destinations", detail))
}

/// Whether a request at a local port is meant for the service, which is also called by `hosts`.
pub(super) fn local(head: &Parts, port: u16, hosts: &[Destination]) -> Result<(), Problem> {
    if head.uri.scheme().is_some() || head.uri.authority().is_some() {
        return Err(PathFault::Form.into());
    }
    let foreign = |detail| Problem::new(StatusCode::FORBIDDEN, "foreign_host", detail);
    let host = Host::of(&head.headers)?.and_then(|host| Destination::of(&host, Some(HTTP)));
    let host = host.ok_or_else(|| foreign("the request has no Host"))?;
    let is_here = host.host() == "localhost"
        || host.address().is_some_and(|address| address.to_canonical().is_loopback());
    let is_service = || {
        let is_it = |known: &Destination| {
            known.host() == host.host() && [known.port(), port].contains(&host.port())
        };
        hosts.iter().any(is_it)
    };
    let is_meant = (is_here && host.port() == port) || is_service();
    if !is_meant {
        return Err(foreign("the Host header is neither this port of this host nor the service"));
    }
    Ok(())
}

/// Whether a request within a tunnel to `to` that we end is meant for that host.
pub(super) fn within(head: &Parts, to: &Destination) -> Result<(), Problem> {
    if head.uri.scheme().is_some() || head.uri.authority().is_some() {
        return Err(PathFault::Form.into());
    }
    let host = Host::of(&head.headers)?.ok_or_else(|| bad_target("the request has no Host"))?;
    agree(to, Some(&host), HTTPS)
}

/// The destination of a request on a connection to this port of somebody else, as its `Host` has it.
pub(super) fn taken(head: &Parts, port: u16) -> Result<Destination, Problem> {
    if head.uri.scheme().is_some() || head.uri.authority().is_some() {
        return Err(PathFault::Form.into());
    }
    let host = Host::of(&head.headers)?;
    let to = host.as_ref().and_then(|host| Destination::of(host, Some(port)));
    let to = to.ok_or_else(|| bad_target("the request has no Host"))?;
    if to.port() == port {
        return Ok(to);
    }
    let detail = "the Host header names another port than was dialled";
    Err(Problem::new(StatusCode::BAD_REQUEST, "two_destinations", detail))
}

/// An app's own credentials for a service go, and ours take their place: the Gatekeeper would take them out in any case,
/// and nobody else is to have them. Several are a sign of two readings.
pub(super) fn check_credentials(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get_all(AUTHORIZATION).iter().count() > 1 {
        let detail = "there is more than one Authorization header";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "many_credentials", detail));
    }
    Ok(())
}

/// How a request goes on. As the Gatekeeper has it: of upgrades only WebSocket (RFC 6455 §4.1).
pub(super) fn protocol(head: &Parts, is_bare: bool) -> Protocol {
    let mut asked = head.headers.get_all(UPGRADE).into_iter();
    let is_one = match (asked.next(), asked.next()) {
        (Some(asked), None) => asked.as_bytes().eq_ignore_ascii_case(b"websocket"),
        _ => false,
    };
    let is_meant = || {
        head.headers.get_all(CONNECTION).into_iter().any(|value| {
            let mut options = value.as_bytes().split(|byte| *byte == b',');
            options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        })
    };
    let is_request = is_bare && head.method == Method::GET && head.version == Version::HTTP_11;
    match () {
        () if is_one && is_request && is_meant() => Protocol::WebSocket,
        () if grpc::is_call(head) => Protocol::Grpc,
        () => Protocol::Http,
    }
}

pub(super) fn bad_target(detail: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_target", detail)
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn head(method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_proxy_takes_one_destination() {
        let of = |method, target, host| proxy(&head(method, target, &[("host", host)]));
        let to = |text: &str| text.parse::<Destination>().unwrap();
        for (target, host, expected) in [
            ("http://orders/a", "orders", "orders:80"),
            ("http://Orders/a", "oRDERS:80", "orders:80"),
            ("http://orders:80", "orders", "orders:80"),
            ("http://orders:8080/", "orders:8080", "orders:8080"),
            ("http://[::1]:81/", "[::1]:81", "[::1]:81"),
        ] {
            assert_eq!(of("GET", target, host), Ok(Asked::Call(to(expected))), "{target}");
        }
        let connect = Asked::Connect(to("example.com:443"));
        assert_eq!(of("CONNECT", "example.com:443", "example.com:443"), Ok(connect.clone()));
        assert_eq!(of("CONNECT", "example.com:443", "Example.com"), Ok(connect));
        for (method, target, host, code) in [
            ("GET", "http://orders/", "billing", "two_destinations"),
            ("GET", "http://orders/", "orders:81", "two_destinations"),
            ("GET", "http://orders:81/", "orders", "two_destinations"),
            ("GET", "http://orders/", "orders.", "bad_host"),
            ("GET", "http://orders./", "orders", "bad_target"),
            ("GET", "http://user@orders/", "orders", "bad_target"),
            ("GET", "http://orders:0/", "orders:0", "bad_target"),
            ("GET", "https://orders/", "orders", "bad_target"),
            ("GET", "ftp://orders/", "orders", "bad_target"),
            ("GET", "/a", "orders", "bad_target"),
            ("GET", "orders:80", "orders", "bad_target"),
            ("OPTIONS", "*", "orders", "bad_target"),
            ("CONNECT", "example.com", "example.com", "bad_target"),
            ("CONNECT", "http://example.com:443/", "example.com:443", "bad_target"),
            ("CONNECT", "example.com:443", "other:443", "two_destinations"),
            ("CONNECT", "example.com:443", "example.com:80", "two_destinations"),
        ] {
            let problem = of(method, target, host).unwrap_err();
            assert_eq!((problem.code, problem.status.as_u16()), (code, 400), "{method} {target}");
        }
    }

    #[test]
    fn a_local_port_is_called_by_its_own_name_or_the_services() {
        let hosts: Vec<Destination> =
            ["orders:80", "orders.internal:8080"].map(|text| text.parse().unwrap()).to_vec();
        let of = |host| local(&head("POST", "/a", &[("host", host)]), 5000, &hosts);
        for host in [
            "localhost:5000",
            "LOCALHOST:5000",
            "127.0.0.1:5000",
            "127.0.0.2:5000",
            "[::1]:5000",
            "orders",
            "orders:80",
            "orders:5000",
            "orders.internal:8080",
            "orders.internal:5000",
        ] {
            assert_eq!(of(host), Ok(()), "{host}");
        }
        for host in [
            "evil.example:5000",
            "evil.example",
            "localhost",
            "localhost:5001",
            "127.0.0.1",
            "localhost.evil.example:5000",
            "127.0.0.1.evil.example:5000",
            "orders.evil.example:5000",
            "orders:5001",
            "orders.internal",
            "10.0.0.1:5000",
            "0.0.0.0:5000",
        ] {
            let problem = of(host).unwrap_err();
            assert_eq!((problem.code, problem.status.as_u16()), ("foreign_host", 403), "{host}");
        }
        let bare = local(&head("GET", "/a", &[]), 5000, &hosts).unwrap_err();
        assert_eq!(bare.code, "foreign_host");
        let whole = head("GET", "http://localhost:5000/a", &[("host", "localhost:5000")]);
        assert_eq!(local(&whole, 5000, &hosts).unwrap_err().code, "bad_target");
    }

    #[test]
    fn only_a_websocket_is_an_upgrade() {
        let upgrade = [("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade")];
        let of = |method, fields: &[(&str, &str)], bare| protocol(&head(method, "/", fields), bare);
        assert_eq!(of("GET", &upgrade, true), Protocol::WebSocket);
        assert_eq!(of("GET", &upgrade, false), Protocol::Http);
        assert_eq!(of("POST", &upgrade, true), Protocol::Http);
        assert_eq!(of("GET", &upgrade[..1], true), Protocol::Http);
        assert_eq!(of("GET", &[("upgrade", "h2c"), upgrade[1]], true), Protocol::Http);
        assert_eq!(of("GET", &[upgrade[0], upgrade[0], upgrade[1]], true), Protocol::Http);
    }
}
