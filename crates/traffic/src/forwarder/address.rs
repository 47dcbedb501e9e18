//! Which addresses are dialled. A name is somebody else's to point where they like, so it is the address that is looked
//! at, at the moment at which it is dialled, and not the name.
//!
//! | never | because |
//! |---|---|
//! | `169.254/16`, `fe80::/10` | link-local; the metadata of most clouds |
//! | `fd00:ec2::254`, `fd20:ce::254`, `168.63.129.16`, `192.0.0/24` | metadata of others |
//! | `100.64/10` | shared (RFC 6598): the inside of clouds and overlay networks |
//! | `0/8`, `::` | this host, to the kernel |
//! | multicast, broadcast, `240/4`, `fec0::/10` | nobody's |
//! | `127/8`, `::1` | this host; only where the directory names that very address |
//! | a listener of ours, or what the owner adds ([`Own`]), such as the broker | a loop, or a way to what controls us |
//!
//! An IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4) is looked at as what it is. Private networks
//! (`10/8`, `fd00::/8` and so on) are where services are, and are dialled.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::net::TcpStream;

/// Why an address is not dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Forbidden {
    /// Link-local.
    #[error("the address is link-local")]
    LinkLocal,
    /// Where a cloud tells machines their secrets.
    #[error("the address is that of a metadata service")]
    Metadata,
    /// RFC 6598.
    #[error("the address is in the shared range")]
    Shared,
    /// The address of no host.
    #[error("the address is unspecified")]
    Unspecified,
    /// Multicast, broadcast or reserved.
    #[error("the address is not that of one host")]
    NoHost,
    /// This host, and not named as such.
    #[error("the address is this host's loopback")]
    Loopback,
    /// A listener of ours, or one that the owner keeps from everybody.
    #[error("the address is our own, or the broker's")]
    Own,
}

/// Whether an address may be dialled. `named`: the directory, or the owner elsewhere, has this very address.
pub fn check(address: IpAddr, named: bool) -> Result<(), Forbidden> {
    match address {
        IpAddr::V4(address) => check_v4(address, named),
        IpAddr::V6(address) => match inside(address) {
            // Through a translator this host's loopback is somebody else's; only the mapped form is our own.
            Some(inside) => check_v4(inside, named && address.to_canonical().is_ipv4()),
            None => check_v6(address, named),
        },
    }
}

fn check_v4(address: Ipv4Addr, named: bool) -> Result<(), Forbidden> {
    match address.octets() {
        [0, ..] => Err(Forbidden::Unspecified),
        [127, ..] if named => Ok(()),
        [127, ..] => Err(Forbidden::Loopback),
        [169, 254, ..] => Err(Forbidden::LinkLocal),
        [192, 0, 0, _] | [168, 63, 129, 16] => Err(Forbidden::Metadata),
        [100, 64..=127, ..] => Err(Forbidden::Shared),
        [224..=255, ..] => Err(Forbidden::NoHost),
        _ => Ok(()),
    }
}

fn check_v6(address: Ipv6Addr, named: bool) -> Result<(), Forbidden> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Err(Forbidden::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] if named => Ok(()),
        [0, 0, 0, 0, 0, 0, 0, 1] => Err(Forbidden::Loopback),
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => {
            Err(Forbidden::Metadata)
        }
        [0xfe80..=0xfebf, ..] => Err(Forbidden::LinkLocal),
        [0xfec0..=0xfeff | 0xff00.., ..] => Err(Forbidden::NoHost),
        _ => Ok(()),
    }
}

/// The IPv4 address that is reached by an IPv6 one, as hosts, translators and tunnels take it.
fn inside(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // Mapped, compatible, and translated (RFC 2765).
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            Some(v4(high, low))
        }
        // NAT64, the well-known and the local prefix (RFC 6052, RFC 8215).
        [0x64, 0xff9b, 0 | 1, _, _, _, high, low] => Some(v4(high, low)),
        // 6to4.
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

/// What is ours, and so not dialled. A listener that is unspecified is at every address of this host.
#[derive(Debug, Default)]
pub struct Own {
    /// As the owner has it.
    kept: Vec<SocketAddr>,
    /// What was found out since.
    found: Mutex<Vec<SocketAddr>>,
    /// By which the kernel knows our connections.
    pub(super) mark: Option<u32>,
    listening: Mutex<Vec<SocketAddr>>,
}

impl Own {
    /// What the owner has set. `mark`: by which the kernel knows our connections, if it should.
    pub fn new(kept: Vec<SocketAddr>, mark: Option<u32>) -> Self {
        Self { kept, mark, found: Mutex::default(), listening: Mutex::default() }
    }

    /// Replaces what was found out, beside what was set.
    pub fn find(&self, addresses: Vec<SocketAddr>) {
        *self.found.lock() = addresses;
    }

    /// A listener of ours that begins.
    pub(super) fn add(&self, address: SocketAddr) {
        self.listening.lock().push(address);
    }

    /// One that has ended.
    pub(super) fn remove(&self, address: SocketAddr) {
        let mut listening = self.listening.lock();
        if let Some(at) = listening.iter().position(|kept| *kept == address) {
            listening.swap_remove(at);
        }
    }

    /// Before dialling, as [`check`] and that it is not ours.
    pub fn check(&self, address: SocketAddr, named: bool) -> Result<(), Forbidden> {
        check(address.ip(), named)?;
        let ip = effective(address.ip());
        let is_here = ip.is_loopback();
        if self.holds(address.port(), ip, is_here) { Err(Forbidden::Own) } else { Ok(()) }
    }

    /// After it: only then it is known whether an address is one of this host's.
    pub fn check_dialled(&self, stream: &TcpStream) -> io::Result<()> {
        let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
        let (here, there) = (effective(local.ip()), effective(peer.ip()));
        // A port of ours that was chosen by chance can be the one that is dialled.
        let is_itself = local == peer;
        if is_itself || self.holds(peer.port(), there, here == there) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, Forbidden::Own));
        }
        Ok(())
    }

    /// `is_here`: the address is one of this host's.
    fn holds(&self, port: u16, ip: IpAddr, is_here: bool) -> bool {
        let is_it = |own: &SocketAddr| {
            let listens = effective(own.ip());
            own.port() == port && (listens == ip || (listens.is_unspecified() && is_here))
        };
        self.kept.iter().any(is_it)
            || self.found.lock().iter().any(is_it)
            || self.listening.lock().iter().any(is_it)
    }
}

/// An address in its one form.
fn effective(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => inside(v6).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_dialled() {
        use Forbidden::{LinkLocal, Loopback, Metadata, NoHost, Shared, Unspecified};
        for (text, why) in [
            ("169.254.169.254", LinkLocal),
            ("169.254.0.0", LinkLocal),
            ("fe80::1", LinkLocal),
            ("febf:ffff::1", LinkLocal),
            ("fd00:ec2::254", Metadata),
            ("fd20:ce::254", Metadata),
            ("168.63.129.16", Metadata),
            ("192.0.0.192", Metadata),
            ("100.64.0.1", Shared),
            ("100.100.100.200", Shared),
            ("100.127.255.255", Shared),
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("::", Unspecified),
            ("224.0.0.1", NoHost),
            ("239.255.255.250", NoHost),
            ("240.0.0.1", NoHost),
            ("255.255.255.255", NoHost),
            ("ff02::1", NoHost),
            ("fec0::1", NoHost),
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("::1", Loopback),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:169.254.169.254", LinkLocal),
            ("::ffff:0.0.0.0", Unspecified),
            ("::169.254.169.254", LinkLocal),
            ("::ffff:0:169.254.169.254", LinkLocal),
            ("64:ff9b::169.254.169.254", LinkLocal),
            ("64:ff9b::a9fe:a9fe", LinkLocal),
            ("64:ff9b:1::127.0.0.1", Loopback),
            ("2002:a9fe:a9fe::", LinkLocal),
            ("2002:7f00:1::1", Loopback),
            ("::ffff:100.100.100.200", Shared),
        ] {
            assert_eq!(check(text.parse().unwrap(), false), Err(why), "{text}");
            // That the directory names it helps only this host itself.
            let address: IpAddr = text.parse().unwrap();
            let is_here = address.to_canonical().is_loopback();
            assert_eq!(check(address, true), if is_here { Ok(()) } else { Err(why) }, "{text}");
        }
    }

    #[test]
    fn where_services_are_is_dialled() {
        for text in [
            "10.0.0.1",
            "172.17.0.2",
            "192.168.1.1",
            "192.0.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "169.253.255.255",
            "169.255.0.1",
            "168.63.129.17",
            "126.255.255.255",
            "128.0.0.1",
            "223.255.255.255",
            "1.1.1.1",
            "2001:db8::1",
            "fd00:ec2::253",
            "fd12::1",
            "64:ff9b::10.0.0.1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(check(text.parse().unwrap(), false), Ok(()), "{text}");
        }
    }

    #[test]
    fn nobody_gets_to_our_own_listeners() {
        let own = Own::new(vec!["10.0.0.1:8443".parse().unwrap()], None);
        own.add("127.0.0.1:3128".parse().unwrap());
        own.add("[::]:5000".parse().unwrap());
        let may = |text: &str| own.check(text.parse().unwrap(), true);
        for text in [
            "127.0.0.1:3128",
            "[::ffff:127.0.0.1]:3128",
            "127.0.0.1:5000",
            "127.9.9.9:5000",
            "[::1]:5000",
            "10.0.0.1:8443",
        ] {
            assert_eq!(may(text), Err(Forbidden::Own), "{text}");
        }
        for text in ["127.0.0.2:3128", "127.0.0.1:3129", "10.0.0.2:5000", "10.0.0.1:8444"] {
            assert_eq!(may(text), Ok(()), "{text}");
        }
        // On all addresses means on those too that only turn out to be this host's when they are dialled.
        let there = "10.0.0.2".parse().unwrap();
        assert!(own.holds(5000, there, true) && !own.holds(5000, there, false));
        own.remove("127.0.0.1:3128".parse().unwrap());
        assert_eq!(may("127.0.0.1:3128"), Ok(()));
        own.find(vec!["10.0.0.9:8443".parse().unwrap(), "0.0.0.0:2376".parse().unwrap()]);
        for text in ["10.0.0.9:8443", "10.0.0.1:8443", "127.0.0.1:2376", "[::1]:2376"] {
            assert_eq!(may(text), Err(Forbidden::Own), "{text}");
        }
        own.find(Vec::new());
        assert_eq!((may("10.0.0.9:8443"), may("10.0.0.1:8443")), (Ok(()), Err(Forbidden::Own)));
    }
}
