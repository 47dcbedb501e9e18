//! The directory of services: those of the settings, and the Gatekeepers that have joined.
//!
//! What a Forwarder is told is decided here: the services for which policy would give it a token (`Token::Issue`), and
//! of these the instances that mean something where it is. What joins and leaves is recorded; a place that cannot be
//! recorded is not given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use sealock_core::audit::{Actor, Fact};
use sealock_core::policy::{Action, Question, Resource};
use sealock_core::{Identity, IdentityKind, Timestamp};
use sealock_store::Change;
use sealock_traffic::broker::{ClientName, LONGEST};
use sealock_traffic::forwarder::{Directory, Hop, Service as Checked};
use sealock_traffic::registry::{
    Address, GRACE, Instance, Listed, Listing, Registry, SETTLING, Ticket,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Service, budget, convert};
use crate::caller::Caller;
use crate::command::{InstanceReport, Reply, ServiceReport};
use crate::config::ServiceSettings;
use crate::error::{ErrorCode, ServiceError};

/// Who has joined.
pub(super) struct Registrar {
    registry: Mutex<Registry>,
    joins: Mutex<budget::Budgets>,
    changed: watch::Sender<u64>,
    /// Before it, those who were here before a restart may not be back yet.
    settled: Instant,
}

impl Registrar {
    pub(super) fn new() -> Self {
        Self {
            registry: Mutex::default(),
            joins: Mutex::new(budget::Budgets::new(budget::JOINS)),
            changed: watch::Sender::new(0),
            settled: Instant::now() + SETTLING,
        }
    }
}

/// A Gatekeeper's place in the directory. When it is dropped, the place is kept for a while, and is given up then.
pub(crate) struct Seat {
    service: Arc<Service>,
    ticket: Ticket,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Seat").field(&self.ticket).finish()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.service.registrar.registry.lock().let_go(&self.ticket) {
            return;
        }
        // Without a runtime the process ends, and everybody's place with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        // Not held: a service that nobody else needs is closed, and its lock goes.
        let (service, ticket) = (Arc::downgrade(&self.service), self.ticket.clone());
        runtime.spawn(async move {
            tokio::time::sleep(GRACE).await;
            let Some(service) = service.upgrade() else { return };
            let work = move || service.give_up(&ticket);
            if let Err(error) = tokio::task::spawn_blocking(work).await {
                tracing::error!(%error, "a place in the directory was not given up in order");
            }
        });
    }
}

impl Service {
    /// Counts the changes of who has joined.
    pub(crate) fn joined(&self) -> watch::Receiver<u64> {
        self.registrar.changed.subscribe()
    }

    /// From when on a listing is whole.
    pub(crate) fn whole_from(&self) -> Instant {
        self.registrar.settled
    }

    /// Takes a Gatekeeper into the directory. Whether it may be one was asked before. `here`: it is in our own network
    /// namespace. `None`: there is no room for more of its kind, and it serves without being listed. Blocking.
    pub(crate) fn join(
        self: &Arc<Self>,
        caller: &Caller,
        request: &str,
        of: &Identity,
        address: &str,
        here: bool,
    ) -> Result<Option<Seat>, ServiceError> {
        let address = Address::read(address, here).map_err(|error| {
            ServiceError::of(ErrorCode::Usage, &error)
                .hint("advertise the HOST:PORT at which others reach this Gatekeeper")
        })?;
        if !can_be_called(of) {
            let text = format!("no URL can have the host `{}`", of.name());
            return Err(ServiceError::new(ErrorCode::Usage, text).hint(
                "a service in the directory has a name of lower-case letters, digits, `-` and dots",
            ));
        }
        let now = self.journal.clock().now();
        let who = &caller.who;
        // Held until it is recorded: of two at once, one is new.
        let mut registry = self.registrar.registry.lock();
        let is_new = registry.is_new(of, &address, who);
        if is_new && !self.registrar.joins.lock().take(who, 1, now) {
            tracing::warn!(%of, %address, who, "an instance is not listed: it came and went too often");
            return Ok(None);
        }
        let ticket = match registry.join(of, &address, who, now) {
            Ok(ticket) => ticket,
            Err(error) => {
                tracing::warn!(%of, %address, who, %error, "an instance is not listed");
                return Ok(None);
            }
        };
        if is_new {
            let fact =
                Fact::GatekeeperJoined { service: of.to_string(), address: address.to_string() };
            let actor = Actor { who: who.clone(), request: request.to_owned(), decision: None };
            if let Err(error) = self.record(&actor, now, fact) {
                registry.let_go(&ticket);
                registry.give_up(&ticket);
                return Err(error);
            }
            self.registrar.changed.send_modify(|count| *count += 1);
        }
        drop(registry);
        Ok(Some(Seat { service: Arc::clone(self), ticket }))
    }

    /// Blocking.
    fn give_up(&self, ticket: &Ticket) {
        let Some(left) = self.registrar.registry.lock().give_up(ticket) else { return };
        self.registrar.changed.send_modify(|count| *count += 1);
        let fact =
            Fact::GatekeeperLeft { service: left.service.to_string(), address: left.address };
        let actor = Actor { who: left.who, request: "directory".to_owned(), decision: None };
        if let Err(error) = self.record(&actor, self.journal.clock().now(), fact) {
            tracing::error!(%error, causes = ?error.causes, "that an instance has left is not recorded");
        }
    }

    fn record(&self, actor: &Actor, now: Timestamp, fact: Fact) -> Result<(), ServiceError> {
        let committed = self.journal.commit_blocking(Change::event(actor.event(now, fact)));
        committed.map(|_| ()).map_err(|error| convert::journal_error(&error))
    }

    /// What the caller is told: the services that it may have tokens for. `client`: it has shown the secret of this one,
    /// and no certificate. Blocking.
    pub(crate) fn listing(
        &self,
        caller: &Caller,
        client: Option<&ClientName>,
        here: bool,
    ) -> Result<Listing, ServiceError> {
        // Before who is there is looked at: whoever comes until then is among them.
        let settled = self.registrar.settled <= Instant::now();
        let mut services = Vec::new();
        for (identity, of_settings, instances) in self.all_services()? {
            let listed = listed(identity, of_settings, &instances, here);
            if listed.addresses.is_empty() {
                continue;
            }
            if self.may_have_tokens(caller, client, &listed.service)? {
                services.push(listed);
            }
        }
        Ok(Listing { settled, services, cas: self.revoked_cas()? })
    }

    /// By identity: what the settings say, and who has joined.
    fn all_services(
        &self,
    ) -> Result<Vec<(Identity, ServiceSettings, Vec<Instance>)>, ServiceError> {
        let domain = self.trust_domain();
        let mut all: BTreeMap<Identity, ServiceSettings> = BTreeMap::new();
        for (name, service) in &self.config().settings.services {
            let identity = Identity::new(&domain, IdentityKind::Service, name)
                .map_err(|error| ServiceError::of(ErrorCode::Usage, &error))?;
            all.insert(identity, service.clone());
        }
        let registry = self.registrar.registry.lock();
        for identity in registry.services() {
            all.entry(identity).or_default();
        }
        let with_instances = |(identity, service): (Identity, ServiceSettings)| {
            let instances = registry.of(&identity).collect();
            (identity, service, instances)
        };
        Ok(all.into_iter().map(with_instances).collect())
    }

    /// Whether policy would give the caller a token for this service, bound to a certificate or not; a client without
    /// one gets none that is bound. It is a question of ours, and none that anybody has asked: a denial is not recorded.
    fn may_have_tokens(
        &self,
        caller: &Caller,
        client: Option<&ClientName>,
        of: &Identity,
    ) -> Result<bool, ServiceError> {
        let resource = self.service_resource(of)?;
        let policy = self.policy.current();
        let bindings = if client.is_some() { &[false][..] } else { &[true, false] };
        Ok(bindings.iter().any(|bound| {
            let mut question =
                Question::new(caller.principal.clone(), Action::TokenIssue, resource.clone())
                    .with("via", caller.door.as_str())
                    .with("ttl", LONGEST.as_secs())
                    .with("bound", *bound);
            if let Some(client) = client {
                question = question.with("client", client.as_str());
            }
            policy.decide_again(&question).permits()
        }))
    }

    pub(super) fn service_list(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<Reply, ServiceError> {
        self.authorize(caller, request, Action::StatusRead, Resource::Status, &[])?;
        let all = self.all_services()?.into_iter();
        Ok(Reply::Services(
            all.map(|(identity, of_settings, joined)| report(&identity, of_settings, joined))
                .collect(),
        ))
    }
}

/// A service as a Forwarder takes it. Where the settings say for which host its certificates are, only their addresses
/// count: who joins has a certificate of the service.
fn listed(
    service: Identity,
    of_settings: ServiceSettings,
    joined: &[Instance],
    here: bool,
) -> Listed {
    let ServiceSettings { addresses, hosts, tls } = of_settings;
    let own = addresses.iter().filter_map(|text| Address::read(text, true).ok());
    let joined = joined.iter().filter(|_| tls.is_none()).map(|it| it.address.clone());
    let told = own.chain(joined).filter(|address| address.is_told(here));
    // In one order, so that Forwarders see no change where there is none.
    let addresses: BTreeSet<String> = told.map(|address| address.to_string()).collect();
    Listed { service, hosts, addresses: addresses.into_iter().collect(), tls }
}

fn report(
    identity: &Identity,
    of_settings: ServiceSettings,
    joined: Vec<Instance>,
) -> ServiceReport {
    let ServiceSettings { addresses, hosts, tls } = of_settings;
    let is_told = tls.is_none();
    let of_settings = addresses.into_iter().map(|address| InstanceReport {
        address,
        who: None,
        since: None,
        parting: false,
        told: true,
    });
    let joined = joined.into_iter().map(|instance| InstanceReport {
        address: instance.address.to_string(),
        who: Some(instance.who),
        since: Some(instance.since),
        parting: instance.is_parting,
        told: is_told,
    });
    let instances = of_settings.chain(joined).collect();
    let (name, identity) = (identity.name().to_owned(), identity.to_string());
    ServiceReport { name, identity, hosts, tls, instances }
}

/// Whether the service's name can stand in a URL, in its one spelling.
fn can_be_called(service: &Identity) -> bool {
    let one = Checked {
        name: service.name().to_owned(),
        audience: service.clone(),
        aliases: Vec::new(),
        instances: vec!["somewhere:1".to_owned()],
        hop: Hop::Tls,
    };
    Directory::new(vec![one], &[], &[]).is_ok()
}
