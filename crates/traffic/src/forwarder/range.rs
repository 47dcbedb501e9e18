//! Addresses with a port, as the owner writes them down: `ADDRESS[/BITS]:PORT`.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

/// The text is not `ADDRESS[/BITS]:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not ADDRESS[/BITS]:PORT, with no bits set beyond BITS")]
pub struct NoRange(String);

/// One port of the addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    address: IpAddr,
    bits: u32,
    port: u16,
}

impl Range {
    /// The first address that is in it.
    pub(super) const fn first(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// Whether this address and port are in it. An IPv4 address in IPv6's clothes is taken for what it is.
    pub fn has(&self, at: SocketAddr) -> bool {
        self.port == at.port() && prefix(at.ip().to_canonical(), self.bits) == Some(self.address)
    }
}

/// The address with all bits cleared but the first. None if it has not as many.
fn prefix(address: IpAddr, bits: u32) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(bits)?).unwrap_or(0);
            Some(IpAddr::V4((u32::from(v4) & mask).into()))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits)?).unwrap_or(0);
            Some(IpAddr::V6((u128::from(v6) & mask).into()))
        }
    }
}

impl FromStr for Range {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        let read = || {
            let (range, port) = text.rsplit_once(':')?;
            let (address, bits) = match range.split_once('/') {
                Some((address, bits)) => (address, Some(number(bits)?)),
                None => (range, None),
            };
            let address = match address.strip_prefix('[') {
                Some(rest) => IpAddr::V6(rest.strip_suffix(']')?.parse().ok()?),
                None => IpAddr::V4(address.parse().ok()?),
            };
            // It would never be met: what is dialled is looked at in its own form.
            if address.to_canonical() != address {
                return None;
            }
            let all = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.unwrap_or(all);
            let port = u16::try_from(number(port)?).ok().filter(|port| *port != 0)?;
            (prefix(address, bits)? == address).then_some(Self { address, bits, port })
        };
        read().ok_or_else(|| NoRange(text.chars().take(300).collect()))
    }
}

/// Digits only: no sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_its_addresses_at_its_port() {
        for (range, inside, outside) in [
            ("10.0.0.0/8:80", "10.255.0.1:80", "11.0.0.1:80"),
            ("10.0.0.0/8:80", "[::ffff:10.0.0.1]:80", "10.0.0.1:81"),
            ("10.1.2.3:80", "10.1.2.3:80", "10.1.2.2:80"),
            ("0.0.0.0/0:80", "1.2.3.4:80", "[::1]:80"),
            ("[fd00::]/8:443", "[fdff::1]:443", "[fe00::1]:443"),
            ("[::1]:1", "[::1]:1", "[::2]:1"),
        ] {
            let read: Range = range.parse().unwrap();
            assert!(read.has(inside.parse().unwrap()), "{range} {inside}");
            assert!(!read.has(outside.parse().unwrap()), "{range} {outside}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "10.0.0.1",
            "10.0.0.1/8:80",
            "10.0.0.0/33:80",
            "10.0.0.0/+8:80",
            "10.0.0.0/8:0",
            "10.0.0.0/8:65536",
            "10.0.0.0/8:+80",
            "10.0.0.0/:80",
            "orders:80",
            "127.1:80",
            "fd00::/8:80",
            "[fd00::1]/8:80",
            "[::ffff:10.0.0.1]:80",
        ] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }
}
