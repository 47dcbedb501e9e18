//! Connections to the instances of a service, apart for each certificate that we show there.
//!
//! A token is worth something only beside the certificate that it is bound to. When ours is renewed, calls go on with the
//! old one until there is a token for the new one; so for a while both have connections.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ClientConfig;
use sealock_net::proxy::{Address, Upstream, UpstreamSettings, Versions};
use sealock_net::tls::{LiveClient, ServerIdentity, TlsError, peer_client_config, server_name};

use super::address::Own;
use super::destination::Destination;
use super::dial::{Dialler, Secured};
use super::directory::{Hop, Listed};
use super::settings::Settings;
use super::trust::Trust;

/// How connections are made.
#[derive(Debug, Clone)]
pub(super) struct Dialling {
    own: Arc<Own>,
    connect: Duration,
    idle: usize,
}

impl Dialling {
    pub(super) fn new(settings: &Settings, own: &Arc<Own>) -> Self {
        Self { own: Arc::clone(own), connect: settings.connect, idle: settings.idle }
    }

    fn upstream(&self, to: &Destination, how: How) -> Upstream {
        let How { tls, only_here, versions } = how;
        let (own, deadline) = (Arc::clone(&self.own), self.connect);
        let dialler = Dialler { to: to.clone(), own, deadline, tls, only_here };
        let settings = UpstreamSettings { connect: deadline, idle: self.idle, versions };
        Upstream::new(Address::Dialled(Arc::new(dialler)), settings)
    }
}

/// How somebody is spoken to.
struct How {
    tls: Option<Secured>,
    only_here: bool,
    versions: Versions,
}

/// The connections to each instance, in their order, with one certificate or none.
#[derive(Debug)]
pub(super) struct Lane(Vec<Upstream>);

impl Lane {
    pub(super) fn to(&self, instance: usize) -> Option<&Upstream> {
        self.0.get(instance)
    }

    fn passed(to: &Destination, dialling: &Dialling) -> Self {
        let how = How { tls: None, only_here: false, versions: Versions::Http1 };
        Self(vec![dialling.upstream(to, how)])
    }

    fn plain(service: &Listed, dialling: &Dialling) -> Self {
        let only_here = service.hop == Hop::Plain;
        let how = || How { tls: None, only_here, versions: Versions::AsAsked };
        Self(service.instances.iter().map(|to| dialling.upstream(to, how())).collect())
    }

    fn tls(service: &Listed, trust: &Trust, dialling: &Dialling) -> Result<Self, TlsError> {
        let client = LiveClient::new(client_config(service, trust)?);
        let upstreams = service.instances.iter().map(|to| {
            let asked = match &service.hop {
                Hop::TlsAs(host) => format!("{host}:{}", to.port()),
                _ => to.to_string(),
            };
            let (client, revoked) = (Arc::clone(&client), Arc::clone(&trust.revoked));
            let tls = Some(Secured { client, asked, revoked });
            dialling.upstream(to, How { tls, only_here: false, versions: Versions::Agreed })
        });
        Ok(Self(upstreams.collect()))
    }
}

/// The lanes to a service, or to a destination that is called without a token.
#[derive(Debug)]
pub(super) enum Lanes {
    /// No certificate of ours is shown.
    One(Arc<Lane>),
    /// For each certificate that is in use, and mostly that is one.
    Each(Box<Each>),
}

#[derive(Debug)]
pub(super) struct Each {
    service: Listed,
    dialling: Dialling,
    made: Mutex<Vec<(Weak<Trust>, Arc<Lane>)>>,
}

impl Lanes {
    pub(super) fn passed(to: &Destination, dialling: &Dialling) -> Self {
        Self::One(Arc::new(Lane::passed(to, dialling)))
    }

    pub(super) fn to_service(service: &Listed, dialling: Dialling) -> Self {
        if !service.hop.is_tls() {
            return Self::One(Arc::new(Lane::plain(service, &dialling)));
        }
        let (service, made) = (service.clone(), Mutex::default());
        Self::Each(Box::new(Each { service, dialling, made }))
    }

    /// The one with this certificate, made if it is not there yet.
    pub(super) fn lane(&self, trust: &Arc<Trust>) -> Result<Arc<Lane>, TlsError> {
        let each = match self {
            Self::One(lane) => return Ok(Arc::clone(lane)),
            Self::Each(each) => each,
        };
        let mut made = each.made.lock();
        let is_it = |of: &Weak<Trust>| std::ptr::eq(of.as_ptr(), Arc::as_ptr(trust));
        if let Some((_, lane)) = made.iter().find(|(of, _)| is_it(of)) {
            return Ok(Arc::clone(lane));
        }
        let lane = Arc::new(Lane::tls(&each.service, trust, &each.dialling)?);
        made.push((Arc::downgrade(trust), Arc::clone(&lane)));
        Ok(lane)
    }

    /// Gives up all connections over TLS: the next ones are made anew, and looked at. What is under way goes on.
    pub(super) fn clear(&self) {
        if let Self::Each(each) = self {
            each.made.lock().clear();
        }
    }

    /// Gives up the connections with certificates that nobody holds any more. What is under way on them goes on.
    pub(super) fn prune(&self) {
        if let Self::Each(each) = self {
            each.made.lock().retain(|(of, _)| of.strong_count() > 0);
        }
    }
}

/// For connections to a service and nobody else.
fn client_config(service: &Listed, trust: &Trust) -> Result<ClientConfig, TlsError> {
    let identity = || ServerIdentity::Uri(service.audience.to_string());
    let server = match &service.hop {
        // The directory has made sure that it can be.
        Hop::TlsAs(host) => server_name(host).map_or_else(identity, ServerIdentity::Host),
        _ => identity(),
    };
    peer_client_config(&trust.roots, trust.identity(), server)
}
