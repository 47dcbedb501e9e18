//! What is to be done, as a function of what there is. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use sealock_core::Identity;
use sealock_core::policy::ContainerFacts;
use sealock_delivery::labels::guard::{GuardFault, GuardRequest};
use sealock_engine::Container;
use sealock_traffic::forwarder::{Directory, Hop, Service};

use super::record::Role;
use super::spec::{self, Place, Services, Spec};

/// The most services that a Forwarder is told of.
const MOST: usize = 256;
/// Why one goes that is not as it would be made now.
const REPLACED: &str = "another takes its place";

/// A container that asks to be guarded.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) container: Container,
    pub(super) facts: ContainerFacts,
    pub(super) asked: Asked,
}

/// What it asks for, and the answer.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    /// Its labels cannot be read.
    Bad(Vec<GuardFault>),
    /// It cannot be guarded, whoever it is.
    Impossible { reason: String, hint: String },
    /// Policy says no.
    Denied { reason: String, hint: Option<String> },
    /// Policy could not be asked: what there is, stays.
    Undecided { reason: String },
    /// Policy lets the container be guarded as the service.
    Granted { request: GuardRequest, service: Identity, own: Identity },
}

/// A sidecar that is there.
#[derive(Debug, Clone)]
pub(super) struct There {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) beside: String,
    pub(super) role: Option<Role>,
    pub(super) made_by: String,
    pub(super) services: Services,
    /// Written down by us.
    pub(super) recorded: bool,
    pub(super) running: bool,
    /// The engine's words for its state.
    pub(super) status: String,
    /// The ports that something listens at in its network; `None` where that could not be seen.
    pub(super) open: Option<BTreeSet<u16>>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask it to end, where calls may run through it, and remove it.
    Remove { id: String, reason: &'static str, gently: bool },
    /// Make and start it.
    Make(Box<Spec>),
    /// Start it: it has ended.
    Start { id: String },
}

impl Step {
    /// Whether it makes room for another.
    pub(super) fn replaces(&self) -> bool {
        matches!(self, Self::Remove { reason, .. } if *reason == REPLACED)
    }
}

/// The state of one sidecar of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It listens.
    Serving,
    /// It runs, and does not listen yet.
    Starting,
    /// It is to be made, or to be started again.
    Missing { status: Option<String> },
    /// There is nobody to be called.
    NobodyToCall,
}

/// What is to be done about one sidecar, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) app: String,
    pub(super) role: Role,
    pub(super) state: State,
    /// The name of the container that is there.
    pub(super) name: Option<String>,
    pub(super) step: Option<Step>,
}

/// What is to be done: first what has to go, then the rest by container and role.
pub(super) fn plan(apps: &[App], there: &[There], place: &Place<'_>) -> (Vec<Step>, Vec<Plan>) {
    let (mut plans, mut kept) = (Vec::new(), BTreeSet::new());
    let mut wanted: BTreeMap<(&str, Role), Spec> = BTreeMap::new();
    for app in apps.iter().filter(|app| app.container.running) {
        match &app.asked {
            Asked::Granted { request, service, own } => {
                let id = app.container.id.as_str();
                if let Some(asked) = &request.gatekeeper {
                    let spec = spec::gatekeeper(app, asked, service, place);
                    wanted.insert((id, Role::Gatekeeper), spec);
                }
                if let Some(asked) = &request.forwarder {
                    let services = services(app, &asked.call, apps);
                    let spec = spec::forwarder(app, asked, services, own, place);
                    wanted.insert((id, Role::Forwarder), spec);
                }
            }
            Asked::Undecided { .. } => {
                let of = there.iter().filter(|it| it.recorded && it.beside == app.container.id);
                kept.extend(of.map(|it| it.id.as_str()));
            }
            Asked::Bad(_) | Asked::Impossible { .. } | Asked::Denied { .. } => {}
        }
    }
    for ((app, role), spec) in wanted {
        let found = there.iter().find(|it| {
            it.recorded && (it.beside.as_str(), it.role) == (app, Some(role)) && it.is_as(&spec)
        });
        kept.extend(found.map(|it| it.id.as_str()));
        plans.push(one(app, role, spec, found));
    }
    let gone = there.iter().filter(|it| !kept.contains(it.id.as_str()));
    (gone.map(|it| remove(it, apps)).collect(), plans)
}

fn one(app: &str, role: Role, spec: Spec, found: Option<&There>) -> Plan {
    let is_idle = role == Role::Forwarder && (spec.services.is_empty() || spec.listens.is_empty());
    let (state, step) = match found {
        None if is_idle => (State::NobodyToCall, None),
        None => (State::Missing { status: None }, Some(Step::Make(Box::new(spec)))),
        Some(it) if it.running => {
            let listens = |open: &BTreeSet<u16>| spec.listens.iter().all(|at| open.contains(at));
            let serves = it.open.as_ref().is_none_or(listens);
            (if serves { State::Serving } else { State::Starting }, None)
        }
        Some(it) => {
            let status = Some(it.status.clone());
            (State::Missing { status }, Some(Step::Start { id: it.id.clone() }))
        }
    };
    let (app, name) = (app.to_owned(), found.map(|it| it.name.clone()));
    Plan { app, role, state, name, step }
}

fn remove(it: &There, apps: &[App]) -> Step {
    let app = apps.iter().find(|app| app.container.id == it.beside);
    let (reason, gently) = match app {
        _ if !it.recorded => ("nothing is known of it", false),
        None => ("its container is gone", false),
        Some(app) if !app.container.running => ("its container has ended", false),
        Some(app) => match &app.asked {
            Asked::Denied { .. } => ("policy does not allow it any more", false),
            Asked::Granted { .. } => (REPLACED, true),
            _ => ("its container's labels do not ask for it", true),
        },
    };
    Step::Remove { id: it.id.clone(), reason, gently: gently && it.running }
}

impl There {
    /// Whether it was made as it would be now. A Forwarder that knows of more services than there are now stays: calls run
    /// through it, policy decides on each, and who comes back is known.
    fn is_as(&self, spec: &Spec) -> bool {
        let same = |(name, at): (&String, &BTreeSet<String>)| self.services.get(name) == Some(at);
        self.made_by == spec.made_by && spec.services.iter().all(same)
    }
}

/// Whom a container may call: whom its labels name, and the guarded services that share a network with it. Who may have
/// a token for them, and call them, is another question.
fn services(app: &App, call: &[(String, String)], apps: &[App]) -> Services {
    let mut all = Services::new();
    for (name, at) in call {
        all.entry(name.clone()).or_default().insert(at.clone());
    }
    let named: BTreeSet<&String> = call.iter().map(|(name, _)| name).collect();
    let own = match &app.asked {
        Asked::Granted { request, .. } => Some(&request.service),
        _ => None,
    };
    for other in apps {
        let Asked::Granted { request, .. } = &other.asked else { continue };
        let Some(gatekeeper) = request.gatekeeper.as_ref().filter(|it| !it.plain) else { continue };
        let is_other = Some(&request.service) != own && other.container.id != app.container.id;
        if !is_other || named.contains(&request.service) {
            continue;
        }
        let Some(host) = host_of(other, app, gatekeeper.listen.ip()) else { continue };
        let at = format!("{host}:{}", gatekeeper.listen.port());
        if is_listable(&request.service, &at) {
            all.entry(request.service.clone()).or_default().insert(at);
        }
    }
    while all.len() > MOST {
        all.pop_last();
    }
    all
}

/// By which host a container is reached from another, on a network that both are on.
fn host_of(other: &App, from: &App, listens: std::net::IpAddr) -> Option<String> {
    if listens.to_canonical().is_loopback() {
        return None;
    }
    let shared = other.container.networks.iter().filter(|network| {
        let none = ["none", "host"].contains(&network.name.as_str());
        !none && from.container.networks.iter().any(|own| own.name == network.name)
    });
    // The engine gives names to addresses on all networks but its own first one.
    let (mut addresses, mut names) = (None, None);
    for network in shared {
        match network.name.as_str() {
            "bridge" => addresses = network.ip.map(|ip| ip.to_string()),
            _ => names = Some(other.container.name.clone()),
        }
    }
    let specific = (!listens.is_unspecified()).then(|| listens.to_string());
    let found = names.or(addresses)?;
    Some(specific.unwrap_or(found))
}

/// One that a Forwarder does not take would keep it from starting, and another container would have done that.
fn is_listable(name: &str, at: &str) -> bool {
    let Ok(audience) = format!("spiffe://x/service/{name}").parse() else { return false };
    let (name, instances) = (name.to_owned(), vec![at.to_owned()]);
    let service = Service { name, audience, aliases: Vec::new(), instances, hop: Hop::Tls };
    Directory::new(vec![service], &[], &[]).is_ok()
}

#[cfg(test)]
mod tests;
