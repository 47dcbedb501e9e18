//! The headers of a call on their way to the app.
//!
//! In this order, which is the point of it:
//!
//! 1. What `Connection` nominates goes, with what concerns the connection (RFC 9110 §7.6.1). Were it done later, or by
//!    the app's server, a caller could have our headers taken out by naming them.
//! 2. The token goes: an app that has it could act as its caller elsewhere.
//! 3. Everything goes by which a caller could pass for somebody else, or for a request that policy was not asked about:
//!    identities and certificates, addresses (`Forwarded` and `X-Forwarded-*` too: whoever called us through proxies
//!    calls with their own token), other methods and other paths.
//! 4. Ours are added.
//!
//! **Aliases.** Servers that hand headers over as variables (CGI, WSGI, PHP) write `_` for every character that is no
//! letter or digit. So `X_Sealock.Identity` is the same header to them, and is treated as the same here.

use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use sealock_net::proxy::strip_hop_by_hop;

use super::ids::{Ids, REQUEST_ID, TRACEPARENT, TRACESTATE};

/// The header that says who calls: a SPIFFE ID.
pub const IDENTITY: HeaderName = HeaderName::from_static("x-sealock-identity");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How a name begins that is not a caller's to send.
const PREFIXES: [&[u8]; 12] = [
    b"x-sealock-",
    // `X-Forwarded-Client-Cert`, `-User`, `-Host` and so on.
    b"x-forwarded-",
    // Where some frameworks look for another path or method than that of the request.
    b"x-original-",
    b"x-rewrite-",
    b"x-envoy-",
    // Who somebody is, according to other proxies.
    b"x-auth-request-",
    b"x-authenticated-",
    b"x-remote-",
    b"x-ssl-",
    b"x-client-cert",
    b"ssl-client-",
    b"client-cert",
];

/// Names that are not a caller's to send.
const NAMES: [&[u8]; 17] = [
    // The token.
    b"authorization",
    b"forwarded",
    b"x-forwarded",
    b"x-real-ip",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"true-client-ip",
    b"cf-connecting-ip",
    b"remote-user",
    b"remote-addr",
    b"x-http-method",
    b"x-http-method-override",
    b"x-method-override",
    // A variable HTTP_PROXY makes programs send their own requests there.
    b"proxy",
    b"x-sealock",
    // That the caller has come over TLS.
    b"front-end-https",
    b"x-url-scheme",
];

/// Names that are a caller's in their own spelling only.
const SPELT: [&[u8]; 8] = [
    b"content-length",
    b"content-type",
    b"transfer-encoding",
    b"keep-alive",
    b"proxy-authorization",
    b"proxy-connection",
    b"x-request-id",
    b"sec-websocket-protocol",
];

/// The longest of the above; of a longer name its beginning decides.
const LOOKED_AT: usize = 32;

/// What we know about a call and tell the app.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Who calls.
    pub identity: &'a HeaderValue,
    /// The call's number and trace.
    pub ids: &'a Ids,
    /// The host in its one spelling.
    pub host: Option<&'a HeaderValue>,
    /// The address that the connection comes from.
    pub peer: &'a HeaderValue,
    /// Whether it is TLS.
    pub is_tls: bool,
}

/// Leaves what a caller may tell the app.
pub fn clean(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    if headers.keys().any(is_forged) {
        let forged: Vec<HeaderName> =
            headers.keys().filter(|name| is_forged(name)).cloned().collect();
        for name in forged {
            headers.remove(name);
        }
    }
}

/// Tells the app what we know, instead of whatever was said before.
pub fn tell(headers: &mut HeaderMap, told: &Told<'_>) {
    headers.insert(IDENTITY, told.identity.clone());
    headers.insert(REQUEST_ID, told.ids.request.clone());
    headers.insert(TRACEPARENT, told.ids.traceparent.clone());
    if !told.ids.is_traced {
        headers.remove(TRACESTATE);
    }
    headers.insert(FORWARDED_FOR, told.peer.clone());
    let proto = HeaderValue::from_static(if told.is_tls { "https" } else { "http" });
    headers.insert(FORWARDED_PROTO, proto);
    if let Some(host) = told.host {
        headers.insert(HOST, host.clone());
    }
}

/// Whether a header is not a caller's to send.
pub fn is_forged(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    let mut space = [0; LOOKED_AT];
    let mut is_own_spelling = true;
    for (place, byte) in space.iter_mut().zip(name) {
        *place = if byte.is_ascii_alphanumeric() { *byte } else { b'-' };
        is_own_spelling &= place == byte;
    }
    let alias = space.get(..name.len().min(LOOKED_AT)).unwrap_or_default();
    PREFIXES.iter().any(|prefix| alias.starts_with(prefix))
        || (name.len() <= LOOKED_AT
            && (NAMES.contains(&alias) || (!is_own_spelling && SPELT.contains(&alias))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn left(fields: &[(&str, &str)]) -> Vec<String> {
        let mut headers = headers(fields);
        clean(&mut headers);
        headers.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn nobody_passes_for_somebody_else() {
        for name in [
            "X-Sealock-Identity",
            "x_sealock_identity",
            "X-Sealock_Identity",
            "x.sealock.identity",
            "x~sealock!identity",
            "X-Sealock-Anything-That-Is-Longer-Than-Those-That-We-Know-Of",
            "X-Forwarded-Client-Cert",
            "x_forwarded_client_cert",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-User",
            "Forwarded",
            "X-Real-IP",
            "x_real_ip",
            "Client-Cert",
            "Client-Cert-Chain",
            "SSL-Client-Verify",
            "X-SSL-Client-DN",
            "X-Auth-Request-Email",
            "Remote_User",
            "X-Remote-User",
            "X-Original-URL",
            "X_Original_URL",
            "X-Rewrite-URL",
            "X-HTTP-Method-Override",
            "x_http_method_override",
            "Proxy",
            "Front-End-Https",
            "Authorization",
            "Proxy-Authorization",
            "proxy_authorization",
            "content_length",
            "transfer_encoding",
            "content.type",
            "x_request_id",
        ] {
            assert!(left(&[(name, "1")]).is_empty(), "{name}");
        }
    }

    #[test]
    fn the_rest_stays() {
        for name in [
            "accept",
            "cookie",
            "content-type",
            "content-length",
            "host",
            "x-request-id",
            "traceparent",
            "x-api-key",
            "x-forward",
            "x_custom_header",
            "sec-websocket-key",
            "proxy-status",
        ] {
            assert_eq!(left(&[(name, "1")]), [name]);
        }
    }

    #[test]
    fn naming_a_header_of_ours_in_connection_does_not_take_it_out() {
        let mut headers = headers(&[
            ("connection", "x-sealock-identity, x-request-id, X-Hop, host"),
            ("x-sealock-identity", "spiffe://t.sealock/service/root"),
            ("x-hop", "1"),
            ("x-kept", "1"),
            ("tracestate", "a=b"),
            ("host", "Orders"),
        ]);
        let ids = Ids::of(&headers).unwrap();
        clean(&mut headers);
        let identity = HeaderValue::from_static("spiffe://t.sealock/service/shop");
        let host = HeaderValue::from_static("orders");
        let peer = HeaderValue::from_static("10.0.0.1");
        tell(
            &mut headers,
            &Told { identity: &identity, ids: &ids, host: Some(&host), peer: &peer, is_tls: true },
        );
        let all = |name| -> Vec<&[u8]> {
            headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
        };
        assert_eq!(all("x-sealock-identity"), [b"spiffe://t.sealock/service/shop"]);
        assert_eq!(all("x-request-id"), [ids.request.as_bytes()]);
        assert_eq!(all("x-forwarded-for"), [b"10.0.0.1"]);
        assert_eq!(all("x-forwarded-proto"), [b"https"]);
        assert_eq!(all("host"), [b"orders"]);
        assert_eq!(all("x-kept"), [b"1"]);
        for gone in ["connection", "x-hop", "tracestate"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
    }
}
