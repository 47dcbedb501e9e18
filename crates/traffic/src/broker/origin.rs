//! Where somebody comes from who wants to be let in, as far as people can be told apart.

use std::fmt;
use std::net::IpAddr;

/// Where somebody comes from. Places are counted for it, and for the network around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceOrigin {
    shown: String,
    pub(super) network: Option<Network>,
}

/// What one customer of a provider may have as a whole: a /48 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network([u16; 3]);

impl DeviceOrigin {
    /// Of an address. Whoever has one of IPv6 has all that share its first half.
    pub fn at(address: IpAddr) -> Self {
        let six = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => None,
            IpAddr::V6(six) => Some(six.segments()),
        };
        match six {
            None => Self::named(address.to_canonical().to_string()),
            Some([a, b, c, d, ..]) => Self {
                shown: format!("{a:x}:{b:x}:{c:x}:{d:x}::/64"),
                network: Some(Network([a, b, c])),
            },
        }
    }

    /// Of somebody who is known otherwise.
    pub fn named(name: impl Into<String>) -> Self {
        Self { shown: name.into(), network: None }
    }
}

impl fmt::Display for DeviceOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_who_can_be_told_apart() {
        let at = |text: &str| DeviceOrigin::at(text.parse().unwrap());
        assert_eq!(at("10.0.0.1").to_string(), "10.0.0.1");
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
        assert_eq!(at("2001:db8:1:2:3:4:5:6").to_string(), "2001:db8:1:2::/64");
        assert_eq!(at("2001:db8:1:2::9"), at("2001:db8:1:2:3:4:5:6"));
        assert_ne!(at("2001:db8:1:3::9"), at("2001:db8:1:2::9"));
        assert_eq!(at("2001:db8:1:3::9").network, at("2001:db8:1:2::9").network);
        assert_ne!(at("2001:db8:2:2::9").network, at("2001:db8:1:2::9").network);
        assert_eq!(at("10.0.0.1").network, None);
    }
}
