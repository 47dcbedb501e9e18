//! Where a question goes: the addresses of a host, of which only those are dialled that may be.
//!
//! Who asks for a certificate says which host we connect to, by a name that they point where they like, and that host may
//! send us on. So it is each address that is looked at, at the moment at which it is dialled, and never the name.

use std::net::SocketAddr;

use sealock_core::Network;
use sealock_traffic::forwarder::address::{Forbidden, Own};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::Subject;
use super::failure::Failure;
use super::names::Names;
use super::settings::ValidateSettings;

/// Of the addresses of a name no more are tried.
const MOST_ADDRESSES: usize = 4;
/// So many of those are left to IPv4, where a name has any: there are networks where IPv6 leads nowhere.
const LEFT_TO_V4: usize = 2;

/// Why an address is not dialled. Only for our own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Refused {
    /// Nobody is led there.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The owner has named others.
    #[error("the address is in none of the networks that are set")]
    Outside,
}

/// Which addresses may be dialled.
#[derive(Debug)]
pub(super) struct Guard {
    own: Own,
    allow: Vec<Network>,
    networks: Option<Vec<Network>>,
}

impl Guard {
    pub(super) fn new(settings: &ValidateSettings) -> Self {
        Self {
            own: Own::new(settings.own.clone(), None),
            allow: settings.allow.clone(),
            networks: settings.networks.clone(),
        }
    }

    /// Before dialling.
    pub(super) fn check(&self, address: SocketAddr) -> Result<(), Refused> {
        let ip = address.ip().to_canonical();
        let has = |networks: &[Network]| networks.iter().any(|network| network.contains(ip));
        self.own.check(address, has(&self.allow))?;
        if self.networks.as_deref().is_none_or(has) { Ok(()) } else { Err(Refused::Outside) }
    }
}

/// Connects to hosts of applicants.
#[derive(Debug)]
pub(super) struct Dialler {
    pub(super) names: Names,
    pub(super) guard: Guard,
}

impl Dialler {
    /// A connection to an address of the host that may be dialled.
    pub(super) async fn dial(
        &self,
        host: &Subject,
        port: u16,
        until: Instant,
    ) -> Result<TcpStream, Failure> {
        let addresses = self.addresses(host, port, until).await?;
        let mut after = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let mut failure = Failure::Connection(format!("port {port} of {host} cannot be reached"));
        for address in addresses {
            // The last one has what is left, and the overall deadline for company.
            let share = until.saturating_duration_since(Instant::now()) / after.max(1);
            after = after.saturating_sub(1);
            match timeout(share, TcpStream::connect(address)).await {
                // Only now it is known whether it is one of this host's addresses.
                Ok(Ok(stream)) => match self.guard.own.check_dialled(&stream) {
                    Ok(()) => return Ok(stream),
                    Err(error) => {
                        tracing::debug!(%host, %address, %error, "not asked");
                        failure = rejected(host);
                    }
                },
                Ok(Err(error)) => tracing::debug!(%host, %address, %error, "no connection"),
                Err(_) => tracing::debug!(%host, %address, "no connection in time"),
            }
        }
        Err(failure)
    }

    /// Those that may be dialled, of which there is at least one.
    async fn addresses(
        &self,
        host: &Subject,
        port: u16,
        until: Instant,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let found = match host {
            Subject::Ip(address) => vec![address.to_canonical()],
            Subject::Dns(name) => self.names.addresses(name.as_str(), until).await?,
        };
        if found.is_empty() {
            return Err(Failure::Dns(format!("the DNS has no address of {host}")));
        }
        let may_be_dialled = |address: &SocketAddr| match self.guard.check(*address) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%host, %address, %error, "not asked");
                false
            }
        };
        let addresses = found.into_iter().map(|address| SocketAddr::new(address, port));
        let may: Vec<SocketAddr> = addresses.filter(may_be_dialled).collect();
        if may.is_empty() { Err(rejected(host)) } else { Ok(chosen(&may)) }
    }
}

fn rejected(host: &Subject) -> Failure {
    Failure::RejectedAddress(format!("{host} is at no address that this server asks"))
}

/// Those that are tried, IPv6 first.
fn chosen(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().partition(|address| address.is_ipv6());
    let v6 = v6.into_iter().take(MOST_ADDRESSES - v4.len().min(LEFT_TO_V4));
    v6.chain(v4).take(MOST_ADDRESSES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_comes_first_and_leaves_room() {
        let of = |v6: u16, v4: u8| {
            let v6 =
                (0..v6).map(|last| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 80)));
            let v4 = (0..v4).map(|last| SocketAddr::from(([192, 0, 2, last], 80)));
            let chosen = chosen(&v6.chain(v4).collect::<Vec<_>>());
            chosen.iter().map(|it| if it.is_ipv6() { '6' } else { '4' }).collect::<String>()
        };
        assert_eq!(of(9, 0), "6666");
        assert_eq!(of(9, 1), "6664");
        assert_eq!(of(9, 9), "6644");
        assert_eq!(of(1, 9), "6444");
        assert_eq!(of(0, 9), "4444");
        assert_eq!(of(1, 1), "64");
    }
}
