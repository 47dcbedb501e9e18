//! The entry for fuzzing.

use std::net::{IpAddr, Ipv6Addr};

use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};

use super::address;
use super::begun;
use super::destination::Destination;
use super::entry::{self, Asked};
use super::range::Range;

/// Of the local port.
const PORT: u16 = 5000;

/// `METHOD TARGET` on the first line, and header lines after it; checks what must hold of every result. The first bytes
/// are taken for an address too.
pub fn fuzz(data: &[u8]) {
    if let Some(bytes) = data.first_chunk::<16>() {
        dialled(IpAddr::from(*bytes));
        dialled(IpAddr::from(
            Ipv6Addr::from(*bytes).to_ipv4().map_or(*bytes, |it| it.to_ipv6_mapped().octets()),
        ));
    }
    if let Some(bytes) = data.first_chunk::<4>() {
        dialled(IpAddr::from(*bytes));
    }
    beginning(data);
    let text = String::from_utf8_lossy(data);
    if let Some(range) = text.lines().next().and_then(|line| line.parse::<Range>().ok()) {
        assert!(range.has(range.first()), "{range:?} has not what it begins with");
    }
    let mut lines = text.lines();
    let Some((method, target)) = lines.next().and_then(|line| line.split_once(' ')) else { return };
    let (Ok(method), Ok(uri)) = (Method::from_bytes(method.as_bytes()), Uri::try_from(target))
    else {
        return;
    };
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    for (name, value) in lines.take(32).filter_map(|line| line.split_once(':')) {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value.trim())) {
            request.headers_mut().append(name, value);
        }
    }
    asked(&request.into_parts().0);
}

/// What is clear stays so, whatever comes after it, and however it comes.
fn beginning(data: &[u8]) {
    let mut known = None;
    for length in 0..=data.len().min(64) {
        let now = begun::kind(data.get(..length).unwrap_or_default());
        assert!(known.is_none() || known == now, "it was {known:?}, and is {now:?}");
        known = now;
    }
    assert!(known.is_some() || data.len() < 64, "it is never clear");
}

fn dialled(ip: IpAddr) {
    let canonical = ip.to_canonical();
    let is_loopback = canonical.is_loopback();
    let link_local = match canonical {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let never = canonical.is_unspecified() || canonical.is_multicast() || link_local;
    for named in [false, true] {
        let may = address::check(ip, named).is_ok();
        assert!(!(may && never), "{ip} is dialled");
        assert!(!(may && is_loopback && !named), "{ip} is dialled without being named");
        assert!(!named || !is_loopback || may, "{ip} is named and not dialled");
        assert_eq!(may, address::check(canonical, named).is_ok(), "{ip} has two readings");
    }
}

fn asked(head: &hyper::http::request::Parts) {
    let hosts: Vec<&str> =
        head.headers.get_all(HOST).iter().filter_map(|host| host.to_str().ok()).collect();
    let named = |usual| hosts.first().map(|host| Destination::read(host, Some(usual)));
    let taken = match entry::proxy(head) {
        Ok(Asked::Call(to)) => {
            assert!(head.method != Method::CONNECT && head.uri.scheme_str() == Some("http"));
            assert!(named(80).is_none_or(|host| host.as_ref() == Some(&to)), "two destinations");
            Some(to)
        }
        Ok(Asked::Connect(to)) => {
            assert!(head.method == Method::CONNECT, "a tunnel that nobody asked for");
            let host = named(to.port());
            assert!(host.is_none_or(|host| host.as_ref() == Some(&to)), "two destinations");
            Some(to)
        }
        Err(problem) => {
            assert_eq!(problem.status.as_u16(), 400, "a fault that is no 400");
            None
        }
    };
    if let Some(to) = taken {
        assert!(hosts.len() <= 1 && to.port() != 0, "of several hosts one");
        assert_eq!(to.to_string().parse().as_ref(), Ok(&to), "not idempotent");
        assert_eq!(Destination::read(&to.header(), Some(80)), Some(to), "another destination");
    }
    if let Ok(to) = entry::taken(head, PORT) {
        assert!(head.uri.authority().is_none() && hosts.len() == 1 && to.port() == PORT);
        assert_eq!(named(PORT).flatten(), Some(to), "another destination");
    }
    if let Ok(to) = "orders:443".parse()
        && entry::within(head, &to).is_ok()
    {
        assert!(head.uri.authority().is_none() && hosts.len() == 1);
        assert_eq!(named(443).flatten(), Some(to), "another destination");
    }
    let orders: Vec<Destination> = "orders:80".parse().into_iter().collect();
    if entry::local(head, PORT, &orders).is_ok() {
        assert!(head.uri.scheme().is_none() && head.uri.authority().is_none() && hosts.len() == 1);
        let host = hosts.first().map(|host| host.to_ascii_lowercase()).unwrap_or_default();
        let name = host.strip_suffix(":5000").or(host.strip_suffix(":80")).unwrap_or(&host);
        let is_here = name == "localhost"
            || name
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.to_canonical().is_loopback());
        assert!(name == "orders" || (is_here && host.ends_with(":5000")), "{host} is served");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator (xorshift), so that a failure can be repeated.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
            of[usize::try_from(self.next() % of.len() as u64).unwrap()]
        }
    }

    #[test]
    fn pieces_of_targets_and_hosts_in_any_order() {
        let methods = ["GET ", "POST ", "CONNECT ", "OPTIONS "];
        let pieces = [
            "http://",
            "https://",
            "//",
            "/",
            "10.0.0.0/8:80",
            ":443",
            "orders",
            "Orders",
            "evil.example",
            "localhost",
            ":80",
            ":5000",
            ":0",
            ":",
            "@",
            "[::1]",
            "127.0.0.1",
            "127.1",
            "[::ffff:127.0.0.1]",
            ".",
            "a",
            "?q",
            "#",
            "*",
            "%2e",
            "[",
            "]",
            "\\",
        ];
        let mut random = Random(0x5ea1_0c4b);
        for _ in 0..60_000 {
            let mut text = random.one(&methods).to_owned();
            for _ in 0..=random.next() % 5 {
                text.push_str(random.one(&pieces));
            }
            for _ in 0..random.next() % 3 {
                text.push_str("\nhost: ");
                for _ in 0..=random.next() % 2 {
                    text.push_str(random.one(&pieces));
                }
            }
            fuzz(text.as_bytes());
        }
    }

    #[test]
    fn addresses_near_those_that_are_never_dialled() {
        let mut random = Random(0xf00d_5ea1);
        let bytes =
            [0, 1, 2, 10, 64, 100, 127, 128, 168, 169, 192, 224, 254, 255, 0xfd, 0xfe, 0x9b];
        let zero: [u8; 12] = [0; 12];
        for round in 0..60_000_u32 {
            let mut all = [0_u8; 16];
            for byte in &mut all {
                *byte = bytes[usize::try_from(random.next() % bytes.len() as u64).unwrap()];
            }
            // Half of them are mapped or compatible.
            if round % 2 == 0 {
                all[..12].copy_from_slice(&zero);
                if round % 4 == 0 {
                    all[10..12].copy_from_slice(&[0xff, 0xff]);
                }
            }
            fuzz(&all);
        }
    }
}
