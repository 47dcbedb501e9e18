//! How validation is set up.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sealock_core::{DnsName, Network};

/// For one question, with all its redirects and looks at the DNS.
const DEADLINE: Duration = Duration::from_secs(10);
/// Where resolvers listen.
const DNS_PORT: u16 = 53;

/// How applicants' hosts are asked.
#[derive(Debug, Clone)]
pub(crate) struct ValidateSettings {
    /// Where http-01 begins. RFC 8555 has 80 and nothing else: another is for tests and odd networks.
    pub(crate) http_port: u16,
    /// Where tls-alpn-01 asks. RFC 8737 has 443 and nothing else.
    pub(crate) tls_port: u16,
    /// The DNS resolvers, in the order in which they are asked. Without any, those of `/etc/resolv.conf`.
    pub(crate) resolvers: Vec<SocketAddr>,
    /// Whether `/etc/hosts` is looked at for addresses, before the DNS.
    pub(crate) hosts_file: bool,
    /// The names by which CAA records mean us. Without any, CAA is not asked for.
    pub(crate) caa_identities: Vec<DnsName>,
    /// Where loopback addresses may be dialled. It opens nothing else of what is never dialled.
    pub(crate) allow: Vec<Network>,
    /// If it is set, only addresses in these are dialled.
    pub(crate) networks: Option<Vec<Network>>,
    /// What controls us, and is never dialled, whatever is allowed. An unspecified address means all of this host's.
    pub(crate) own: Vec<SocketAddr>,
    /// For one question.
    pub(crate) deadline: Duration,
}

impl Default for ValidateSettings {
    fn default() -> Self {
        Self {
            http_port: 80,
            tls_port: 443,
            resolvers: Vec::new(),
            hosts_file: true,
            caa_identities: Vec::new(),
            allow: Vec::new(),
            networks: None,
            own: Vec::new(),
            deadline: DEADLINE,
        }
    }
}

/// A resolver as it is written down: an address, with a port if that is not 53.
pub(crate) fn resolver(text: &str) -> Option<SocketAddr> {
    let alone = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, DNS_PORT));
    alone.or_else(|_| text.parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_has_a_port_if_it_is_another() {
        for (text, read) in [
            ("192.0.2.1", Some("192.0.2.1:53")),
            ("192.0.2.1:5353", Some("192.0.2.1:5353")),
            ("2001:db8::1", Some("[2001:db8::1]:53")),
            ("[2001:db8::1]:5353", Some("[2001:db8::1]:5353")),
            ("dns.example", None),
            ("192.0.2.1:", None),
            ("", None),
        ] {
            assert_eq!(resolver(text), read.map(|read| read.parse().unwrap()), "{text}");
        }
    }
}
