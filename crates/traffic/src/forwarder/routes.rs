//! The directory at work: where each destination leads, with the connections there.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use sealock_core::Timestamp;
use sealock_net::proxy::{Address, Upstream, UpstreamSettings, Versions};
use sealock_net::tls::{LiveClient, ServerIdentity, TlsError, peer_client_config, server_name};

use super::address::Own;
use super::balance::Balance;
use super::destination::Destination;
use super::dial::Dialler;
use super::directory::{Directory, Hop, Listed};
use super::interception::{Intercepted, Interception};
use super::live::To;
use super::range::Range;
use super::settings::Settings;
use super::trust::Trusts;

/// A service, or a destination that is called without a token.
#[derive(Debug)]
pub(super) struct Outlet {
    /// None without a token.
    pub(super) service: Option<Listed>,
    pub(super) balance: Balance,
    tls: Option<Arc<LiveClient>>,
}

/// Where each destination leads.
#[derive(Debug, Default)]
pub(super) struct Routes {
    outlets: HashMap<Destination, Arc<Outlet>>,
    services: HashMap<String, Arc<Outlet>>,
    tunnels: HashSet<Destination>,
    direct: Vec<Range>,
    pub(super) interception: Option<Arc<Interception>>,
}

/// What routes are made with.
pub(super) struct Means<'a> {
    pub(super) settings: &'a Settings,
    pub(super) trust: &'a Trusts,
    pub(super) own: &'a Arc<Own>,
    pub(super) now: Timestamp,
}

impl Routes {
    /// What has not changed keeps its connections, and what is known of how its instances are.
    pub(super) fn new(
        directory: Directory,
        means: &Means<'_>,
        before: &Self,
    ) -> Result<Self, TlsError> {
        let same = before.interception.as_ref();
        let interception = match same.filter(|it| it.is_for(&directory.intercept)) {
            Some(same) => Some(Arc::clone(same)),
            None if directory.intercept.is_empty() => None,
            None => Some(Arc::new(Interception::new(directory.intercept, means.now)?)),
        };
        let mut routes = Self {
            tunnels: directory.connect.into_iter().collect(),
            direct: directory.direct,
            interception,
            ..Self::default()
        };
        for service in directory.services {
            let same = before.services.get(&service.name);
            let outlet = match same.filter(|it| it.service.as_ref() == Some(&service)) {
                Some(same) => Arc::clone(same),
                None => Arc::new(means.service(service)?),
            };
            let Some(service) = &outlet.service else { continue };
            for host in &service.hosts {
                routes.outlets.insert(host.clone(), Arc::clone(&outlet));
            }
            routes.services.insert(service.name.clone(), outlet);
        }
        for host in directory.pass {
            let same = before.outlets.get(&host).filter(|outlet| outlet.service.is_none());
            let outlet = match same {
                Some(same) => Arc::clone(same),
                None => Arc::new(Outlet::without_token(&host, means.settings, means.own)),
            };
            routes.outlets.insert(host, outlet);
        }
        Ok(routes)
    }

    pub(super) fn outlet(&self, to: &Destination) -> Option<&Arc<Outlet>> {
        self.outlets.get(to)
    }

    pub(super) fn service(&self, name: &str) -> Option<&Arc<Outlet>> {
        self.services.get(name)
    }

    pub(super) fn may_tunnel(&self, to: &Destination) -> bool {
        self.tunnels.contains(to)
    }

    /// Whether what is on its way to this address may go on there as it is.
    pub(super) fn may_direct(&self, to: SocketAddr) -> bool {
        self.direct.iter().any(|range| range.has(to))
    }

    /// The host that we speak for in a tunnel to there.
    pub(super) fn intercepted(&self, to: &Destination) -> Option<&Arc<Intercepted>> {
        self.interception.as_ref()?.hosts.get(to)
    }

    /// Whether this host is of a destination or an instance.
    pub(super) fn has_name(&self, name: &str) -> bool {
        let mut instances = self.services().flat_map(|service| &service.instances);
        self.outlets.keys().any(|to| to.host() == name) || instances.any(|to| to.host() == name)
    }

    /// Whether something that runs would be let through now. Who gets a token for another one than before is somebody
    /// else.
    pub(super) fn lead_to(&self, to: &To) -> bool {
        match to {
            To::Service(name, audience) => {
                let now = self.services.get(name).and_then(|outlet| outlet.service.as_ref());
                now.is_some_and(|now| now.audience == *audience)
            }
            To::Pass(to) => self.outlets.get(to).is_some_and(|outlet| outlet.service.is_none()),
            To::Tunnel(to) => self.may_tunnel(to),
            To::Intercept(to) => self.intercepted(to).is_some(),
            To::Direct(to) => self.may_direct(*to),
        }
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &Listed> {
        self.services.values().filter_map(|outlet| outlet.service.as_ref())
    }

    /// From now on connections are made with this, or, if it cannot be used, as before.
    pub(super) fn renew(&self, trust: &Trusts) -> Result<(), TlsError> {
        let mut renewed = Vec::new();
        for outlet in self.services.values() {
            if let (Some(service), Some(client)) = (&outlet.service, &outlet.tls) {
                renewed.push((outlet, client, client_config(service, trust)?));
            }
        }
        for (outlet, client, config) in renewed {
            client.replace(config);
            outlet.balance.instances().iter().for_each(|it| it.upstream.forget_idle());
        }
        Ok(())
    }
}

impl Means<'_> {
    fn service(&self, service: Listed) -> Result<Outlet, TlsError> {
        let tls = match service.hop.is_tls() {
            true => Some(LiveClient::new(client_config(&service, self.trust)?)),
            false => None,
        };
        let upstreams = service.instances.iter().map(|instance| {
            let asked = match &service.hop {
                Hop::TlsAs(host) => format!("{host}:{}", instance.port()),
                _ => instance.to_string(),
            };
            let tls = tls.clone().map(|client| (client, asked));
            let only_here = service.hop == Hop::Plain;
            let versions = if tls.is_some() { Versions::Agreed } else { Versions::AsAsked };
            (instance.to_string(), self.upstream(instance, tls, only_here, versions))
        });
        let balance = Balance::new(upstreams);
        Ok(Outlet { service: Some(service), balance, tls })
    }

    fn upstream(
        &self,
        to: &Destination,
        tls: Option<(Arc<LiveClient>, String)>,
        only_here: bool,
        versions: Versions,
    ) -> Upstream {
        let (settings, own) = (self.settings, self.own);
        upstream(to, settings, own, Reach { tls, only_here, versions })
    }
}

impl Outlet {
    /// Where requests go on as they came.
    pub(super) fn without_token(host: &Destination, settings: &Settings, own: &Arc<Own>) -> Self {
        let reach = Reach { tls: None, only_here: false, versions: Versions::Http1 };
        let upstream = upstream(host, settings, own, reach);
        let balance = Balance::new([(host.to_string(), upstream)]);
        Self { service: None, balance, tls: None }
    }
}

/// How somebody is spoken to.
struct Reach {
    tls: Option<(Arc<LiveClient>, String)>,
    only_here: bool,
    versions: Versions,
}

fn upstream(to: &Destination, settings: &Settings, own: &Arc<Own>, reach: Reach) -> Upstream {
    let Reach { tls, only_here, versions } = reach;
    let deadline = settings.connect;
    let dialler = Dialler { to: to.clone(), own: Arc::clone(own), deadline, tls, only_here };
    let settings = UpstreamSettings { connect: deadline, idle: settings.idle, versions };
    Upstream::new(Address::Dialled(Arc::new(dialler)), settings)
}

/// For connections to a service and nobody else.
fn client_config(service: &Listed, trust: &Trusts) -> Result<ClientConfig, TlsError> {
    let trust = trust.of(service.audience.trust_domain());
    let identity = || ServerIdentity::Uri(service.audience.to_string());
    let server = match &service.hop {
        // The directory has made sure that it can be.
        Hop::TlsAs(host) => server_name(host).map_or_else(identity, ServerIdentity::Host),
        _ => identity(),
    };
    peer_client_config(&trust.roots, trust.identity(), server)
}
