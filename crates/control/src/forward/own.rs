//! Where brokers and their daemons listen: nobody is led there, whatever is listed or a name resolves to.
//!
//! Whoever can connect to a Forwarder calls by our address, and at such a port our address may be worth something. Names
//! are resolved when we start and every minute; what cannot be found out then stays as it was.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use sealock_core::TrustDomain;
use sealock_net::Shutdown;
use sealock_traffic::forwarder::Forwarder;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::options::{Asker, Site};
use crate::command::{Command, Reply};

/// For one look. A broker that says nothing does not keep us from starting.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(60);

/// What is known of one site.
#[derive(Default)]
struct Known {
    /// Of the broker's host.
    addresses: Vec<SocketAddr>,
    /// Of the daemon there.
    ports: Vec<u16>,
}

/// The sites, and what is known of them.
pub(super) struct Own {
    sites: Vec<(Site, Known)>,
}

impl Own {
    pub(super) fn of(sites: &[(TrustDomain, Site)]) -> Self {
        let sites = sites.iter().map(|(_, site)| (site.clone(), Known::default()));
        Self { sites: sites.collect() }
    }

    /// Finds out, and tells the Forwarder.
    pub(super) async fn look(&mut self, forwarder: &Forwarder) {
        for (site, known) in &mut self.sites {
            known.look(site).await;
        }
        let all = self.sites.iter().flat_map(|(_, known)| known.never_dialled());
        forwarder.never_dial(all.collect());
    }

    /// Goes on until the end.
    pub(super) async fn keep(mut self, forwarder: Arc<Forwarder>, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            self.look(&forwarder).await;
        }
    }
}

impl Known {
    async fn look(&mut self, site: &Site) {
        // At a socket the broker has no address, and its daemon, as a rule, is in another network than we are.
        let Some(broker) = site.asker.address() else { return };
        if let Ok(Ok(found)) = timeout(PATIENCE, lookup_host(broker)).await {
            self.addresses = found.collect();
        }
        // Who has a client's secret is told of services, and nothing of the daemon.
        if let Asker::Link(link) = &site.asker
            && let Ok(Ok(Reply::Whoami(told))) =
                timeout(PATIENCE, link.call(&Command::Whoami)).await
        {
            self.ports = told.ports;
        }
    }

    /// The ports at the addresses; of this host's, at all that it has.
    fn never_dialled(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses.iter().flat_map(|address| {
            let ip =
                if is_here(address.ip()) { Ipv4Addr::UNSPECIFIED.into() } else { address.ip() };
            let ports = self.ports.iter().copied().chain([address.port()]);
            ports.map(move |port| SocketAddr::new(ip, port))
        })
    }
}

/// Whether it is an address of this host.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never_dialled(addresses: &[&str], ports: &[u16]) -> Vec<String> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let known = Known { addresses, ports: ports.to_vec() };
        known.never_dialled().map(|address| address.to_string()).collect()
    }

    #[test]
    fn a_broker_on_this_host_is_at_all_its_addresses_and_another_where_it_is() {
        assert_eq!(never_dialled(&["127.0.0.1:8443"], &[]), ["0.0.0.0:8443"]);
        assert_eq!(
            never_dialled(&["192.0.2.1:443"], &[8443, 2376]),
            ["192.0.2.1:8443", "192.0.2.1:2376", "192.0.2.1:443"]
        );
        assert!(never_dialled(&[], &[8443]).is_empty(), "nobody knows whose port that is");
    }
}
