//! `/etc/hosts` and `/etc/resolv.conf`, as far as validation reads them. Both are the owner's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::settings::resolver;

/// More resolvers than this are not read, as in the C library.
const MOST_RESOLVERS: usize = 3;

/// The addresses of a name in a hosts file.
pub(super) fn addresses_in(hosts: &str, name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in hosts.lines() {
        let line = line.split_once('#').map_or(line, |(before, _)| before);
        let mut words = line.split_ascii_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        let same = |word: &str| word.trim_end_matches('.').eq_ignore_ascii_case(name);
        if words.any(same) && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// The resolvers in a `resolv.conf`. Where there is none, the one of this host, as in the C library.
pub(super) fn resolvers_in(configuration: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        (words.next()? == "nameserver").then(|| words.next().and_then(resolver))?
    };
    let found: Vec<SocketAddr> =
        configuration.lines().filter_map(server).take(MOST_RESOLVERS).collect();
    if found.is_empty() { vec![(Ipv4Addr::LOCALHOST, 53).into()] } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_has_addresses_of_names() {
        let hosts = "127.0.0.1 localhost\n\
            # 10.0.0.9 web\n\
            10.0.0.1\tWeb.corp.example web # the first\n\
            2001:db8::1   web  \n\
            10.0.0.1 web\n\
            web 10.0.0.2\n\
            10.0.0.3\n\
            10.0.0.4 webs web2\n";
        let of = |name: &str| {
            addresses_in(hosts, name).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of("web"), ["10.0.0.1", "2001:db8::1"]);
        assert_eq!(of("web.corp.example"), ["10.0.0.1"]);
        assert!(of("first").is_empty() && of("corp.example").is_empty());
    }

    #[test]
    fn resolvers_are_those_of_the_host() {
        let of =
            |text: &str| resolvers_in(text).iter().map(ToString::to_string).collect::<Vec<_>>();
        let text = "# made by somebody\nsearch corp.example\nnameserver 192.0.2.1\n\
            nameserver fe80::1%eth0\nnameserver 2001:db8::1 \nnameservers 192.0.2.2\n;nameserver 192.0.2.3\n";
        assert_eq!(of(text), ["192.0.2.1:53", "[2001:db8::1]:53"]);
        assert_eq!(of("search corp.example"), ["127.0.0.1:53"]);
        let many: String = (1..9).map(|last| format!("nameserver 192.0.2.{last}\n")).collect();
        assert_eq!(of(&many).len(), MOST_RESOLVERS);
    }
}
