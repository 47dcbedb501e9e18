//! The directory at work: where each destination leads, with the connections there.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use sealock_core::{Timestamp, TrustDomain};
use sealock_net::tls::TlsError;

use super::address::Own;
use super::balance::Balance;
use super::destination::Destination;
use super::directory::{Directory, Listed};
use super::interception::{Intercepted, Interception};
use super::lanes::{Dialling, Lanes};
use super::live::To;
use super::pattern::Pattern;
use super::range::Range;
use super::settings::Settings;
use super::trust::Trusts;

/// A service, or a destination that is called without a token.
#[derive(Debug)]
pub(super) struct Outlet {
    /// None without a token.
    pub(super) service: Option<Listed>,
    pub(super) balance: Balance,
    pub(super) lanes: Lanes,
}

/// Where each destination leads.
#[derive(Debug, Default)]
pub(super) struct Routes {
    outlets: HashMap<Destination, Arc<Outlet>>,
    services: HashMap<String, Arc<Outlet>>,
    tunnels: HashSet<Destination>,
    pass_also: Vec<Pattern>,
    tunnels_also: Vec<Pattern>,
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
            pass_also: directory.pass_also,
            tunnels_also: directory.connect_also,
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

    /// Whether what is not listed may go on to there.
    pub(super) fn may_pass(&self, to: &Destination) -> bool {
        !self.outlets.contains_key(to) && self.pass_also.iter().any(|pattern| pattern.has(to))
    }

    /// Whether somebody has named this destination of tunnels.
    pub(super) fn has_tunnel(&self, to: &Destination) -> bool {
        self.tunnels.contains(to)
    }

    pub(super) fn may_tunnel(&self, to: &Destination) -> bool {
        self.has_tunnel(to) || self.tunnels_also.iter().any(|pattern| pattern.has(to))
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
            To::Pass(to) => match self.outlets.get(to) {
                Some(outlet) => outlet.service.is_none(),
                None => self.may_pass(to),
            },
            To::Tunnel(to) => self.may_tunnel(to),
            To::Intercept(to) => self.intercepted(to).is_some(),
            To::Direct(to) => self.may_direct(*to),
        }
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &Listed> {
        self.services.values().filter_map(|outlet| outlet.service.as_ref())
    }

    /// Whether the service of this name is of the domain, and spoken to over TLS.
    pub(super) fn is_secured_in(&self, domain: &TrustDomain, name: &str) -> bool {
        self.services.get(name).is_some_and(|outlet| outlet.is_secured_in(domain))
    }

    /// Gives up the connections over TLS to the services of a domain.
    pub(super) fn clear(&self, domain: &TrustDomain) {
        let of_domain = self.services.values().filter(|outlet| outlet.is_secured_in(domain));
        of_domain.for_each(|outlet| outlet.lanes.clear());
    }

    /// Makes ready for these, or says that they cannot be used.
    pub(super) fn renew(&self, trusts: &Trusts) -> Result<(), TlsError> {
        self.services.values().try_for_each(|outlet| outlet.make_ready(trusts))
    }

    /// Gives up connections whose certificate nobody holds any more.
    pub(super) fn prune(&self) {
        self.services.values().for_each(|outlet| outlet.lanes.prune());
    }
}

impl Means<'_> {
    fn service(&self, service: Listed) -> Result<Outlet, TlsError> {
        let balance = Balance::new(service.instances.iter().map(ToString::to_string));
        let lanes = Lanes::to_service(&service, Dialling::new(self.settings, self.own));
        let outlet = Outlet { service: Some(service), balance, lanes };
        outlet.make_ready(self.trust)?;
        Ok(outlet)
    }
}

impl Outlet {
    /// Where requests go on as they came.
    pub(super) fn without_token(host: &Destination, settings: &Settings, own: &Arc<Own>) -> Self {
        let balance = Balance::new([host.to_string()]);
        let lanes = Lanes::passed(host, &Dialling::new(settings, own));
        Self { service: None, balance, lanes }
    }

    fn is_secured_in(&self, domain: &TrustDomain) -> bool {
        let service = self.service.as_ref();
        service.is_some_and(|it| it.hop.is_tls() && it.audience.trust_domain() == domain)
    }

    fn make_ready(&self, trusts: &Trusts) -> Result<(), TlsError> {
        let Some(service) = &self.service else { return Ok(()) };
        self.lanes.lane(trusts.of(service.audience.trust_domain())).map(|_| ())
    }
}
