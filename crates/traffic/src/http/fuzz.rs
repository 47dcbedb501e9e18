//! The entry for fuzzing.

use std::collections::BTreeMap;

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONNECTION, HeaderMap, HeaderName, HeaderValue};

use super::headers::{self, IDENTITY, Told};
use super::host::Host;
use super::ids::Ids;
use super::path::Target;
use super::{bearer, problem::Problem};

/// A target on the first line, and header lines after it; checks what must hold of every result.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (target, rest) = text.split_once('\n').unwrap_or((&text, ""));
    for method in [Method::GET, Method::OPTIONS] {
        read(&method, target);
    }
    let mut headers = HeaderMap::new();
    for line in rest.lines().take(64) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value.trim().as_bytes()),
        ) {
            headers.append(name, value);
        }
    }
    forwarded(headers);
}

fn read(method: &Method, target: &str) {
    let read = match Target::read(method, target) {
        Ok(read) => read,
        Err(fault) => {
            assert_eq!(Problem::from(fault).status.as_u16(), 400, "a fault that is no 400");
            return;
        }
    };
    let path = read.path();
    if path == "*" {
        return;
    }
    assert!(path.starts_with('/'), "not a path: {path}");
    assert!(!path.contains("//") && !path.contains([';', '\\', '?', '#']), "two readings: {path}");
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "not printable: {path}");
    let dots = |segment: &str| segment == "." || segment == "..";
    assert!(!path.split('/').any(dots), "dot segments: {path}");
    let meant = decode(path);
    let more = meant.iter().filter(|byte| **byte == b'/').count();
    assert_eq!(more, path.matches('/').count(), "a hidden slash: {path}");
    assert!(!meant.iter().any(u8::is_ascii_control), "a control character: {path}");
    let twice = decode(&String::from_utf8_lossy(&meant));
    assert_eq!(twice, meant, "it can be decoded twice: {path}");
    let written = read.to_string();
    assert!(!read.is_as_it_came() || written == target, "it came otherwise: {target}");
    let again = Target::read(method, &written).map(|again| again.to_string());
    assert_eq!(again.as_deref(), Ok(written.as_str()), "not idempotent");
}

/// Every escape as the byte that it stands for.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut all = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let mut digit = || char::from(ahead.next()?).to_digit(16);
        match (byte, digit(), digit()) {
            (b'%', Some(high), Some(low)) => {
                all.push(u8::try_from(high * 16 + low).unwrap_or_default());
                bytes = ahead;
            }
            _ => all.push(byte),
        }
    }
    all
}

fn forwarded(mut all: HeaderMap) {
    let Some(ids) = Ids::of(&all) else { return };
    if let Ok(token) = bearer::token(&all) {
        assert_eq!(all.get_all(AUTHORIZATION).iter().count(), 1, "a token of several");
        assert!(token.bytes().all(|byte| byte.is_ascii_graphic()), "a token of other characters");
    }
    if let Ok(Some(host)) = Host::of(&all) {
        assert_eq!(Host::read(host.as_str().as_bytes()), Ok(host.clone()), "not idempotent");
        assert!(host.as_str().starts_with(host.name()), "another host");
    }
    headers::clean(&mut all);
    assert!(!all.keys().any(headers::is_forged), "a forged header is left");
    assert!(!all.contains_key(CONNECTION) && !all.contains_key(AUTHORIZATION));
    let mut again = all.clone();
    headers::clean(&mut again);
    assert_eq!(again, all, "not idempotent");
    let identity = HeaderValue::from_static("spiffe://example.org/service/shop");
    let peer = HeaderValue::from_static("127.0.0.1");
    headers::tell(
        &mut all,
        &Told { identity: &identity, ids: &ids, host: None, peer: &peer, is_tls: false },
    );
    // As a server sees them that makes variables of them.
    let mut variables: BTreeMap<String, usize> = BTreeMap::new();
    for (name, _) in &all {
        let name = name.as_str().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        *variables.entry(name).or_default() += 1;
    }
    for ours in ["x_sealock_identity", "x_request_id", "x_forwarded_for", "x_forwarded_proto"] {
        assert_eq!(variables.get(ours), Some(&1), "{ours} is not ours alone");
    }
    assert_eq!(all.get(IDENTITY), Some(&identity));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator (xorshift), so that a failure can be repeated.
    struct Random(u64);

    impl Random {
        fn below(&mut self, most: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % most as u64).unwrap()
        }
    }

    #[test]
    fn pieces_of_attacks_in_any_order() {
        let targets = [
            "/", "/", ".", "..", "%2e", "%2E", "%2f", "%25", "%5c", "%00", "%c3%a9", "%c0", "a",
            "Z", "~", ";", "\\", "?", "#", "*", "http://", ":", "@", "%", "2e", "é", " ", "%7e",
            "%3b", "admin",
        ];
        let names = [
            "authorization",
            "connection",
            "x-sealock-identity",
            "x_sealock_identity",
            "x-forwarded-for",
            "host",
            "x-request-id",
            "x_request.id",
            "traceparent",
            "cookie",
            "te",
            "forwarded",
        ];
        let values = [
            "Bearer a.b.c",
            "Basic x",
            "x-sealock-identity",
            "close, host",
            "a",
            "orders:80",
            "Orders.",
            "é",
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ];
        let mut random = Random(0x5ea1_0c4b);
        for _ in 0..30_000 {
            let mut text = String::new();
            for _ in 0..random.below(9) {
                text.push_str(targets[random.below(targets.len())]);
            }
            for _ in 0..random.below(6) {
                let (name, value) = (random.below(names.len()), random.below(values.len()));
                text.push_str(&format!("\n{}: {}", names[name], values[value]));
            }
            fuzz(text.as_bytes());
        }
    }
}
