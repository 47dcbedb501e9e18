//! A round: what there is, what is to be done, and the doing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use sealock_core::Timestamp;
use sealock_core::audit::{Actor, Fact};
use sealock_core::policy::ContainerFacts;
use sealock_delivery::labels::guard;
use sealock_delivery::watcher::{SCOPE_LABEL, container_facts};
use sealock_engine::{Container, Engine, EngineError, Listed};
use sealock_store::Change;

use super::image::{self, of_engine};
use super::listening;
use super::plan::{App, Asked, Plan, State, Step, There, plan};
use super::record::{Role, SidecarRecord};
use super::spec::{self, Place, Spec};
use super::status::{self, Shown, Trouble};
use crate::daemon::blocking;
use crate::error::{ErrorCode, ServiceError};
use crate::service::{Service, new_request_id};

/// For the calls that run through one that is replaced.
const DRAIN: u8 = 10;
/// So long a sidecar has to serve before an earlier failure is forgotten.
const STEADY: std::time::Duration = std::time::Duration::from_secs(10);

/// What an answer of policy depended on, and the answer.
struct Decided {
    policy: (u64, u64),
    facts: ContainerFacts,
    service: String,
    reason: String,
    hint: Option<String>,
}

/// What is kept between rounds. None of it is needed to begin anew.
pub(super) struct Work {
    service: Arc<Service>,
    engine: Engine,
    workload: Option<PathBuf>,
    shown: Arc<ArcSwap<Shown>>,
    image: Option<String>,
    tidied: bool,
    denied: BTreeMap<String, Decided>,
    /// What was said of a container's labels, so that it is said once.
    told: BTreeMap<String, String>,
    troubles: BTreeMap<(String, Role), Trouble>,
}

impl Work {
    pub(super) fn new(
        service: Arc<Service>,
        engine: Engine,
        workload: Option<PathBuf>,
        shown: Arc<ArcSwap<Shown>>,
    ) -> Self {
        Self {
            service,
            engine,
            workload,
            shown,
            image: None,
            tidied: false,
            denied: BTreeMap::new(),
            told: BTreeMap::new(),
            troubles: BTreeMap::new(),
        }
    }

    /// One round; whether everything is as it should be.
    pub(super) async fn round(&mut self) -> Result<bool, ServiceError> {
        let listed = self.engine.list_all().await.map_err(|error| of_engine(&error))?;
        let apps = self.apps(&listed).await?;
        let there = self.there(&listed).await?;
        self.forget(&listed).await?;
        let scope = self.service.config().settings.watch.scope.clone();
        let image = self.image_for(&apps).await;
        let workload = self.workload.clone();
        let place = Place {
            // Without one nothing is made; what there is would not be known by it.
            image: image.as_deref().unwrap_or_default(),
            workload: workload.as_deref().and_then(Path::parent).unwrap_or(Path::new("/")),
            scope: scope.as_deref(),
        };
        let (mut gone, mut plans) = plan(&apps, &there, &place);
        if image.is_err() {
            // What has to go, goes; what there is of the rest stays as it is.
            gone.retain(|step| !step.replaces());
            plans.clear();
        }
        for step in gone {
            self.removed(step).await?;
        }
        let mut settled = image.is_ok();
        for one in &plans {
            settled &= self.act(one, &apps).await?;
        }
        self.follow_facts(&apps, &there).await?;
        self.show(&apps, &plans, image.err());
        if let (true, false, Some(current)) = (settled, self.tidied, self.image.clone()) {
            image::tidy(&self.engine, scope.as_deref().unwrap_or_default(), &current, &listed)
                .await;
            self.tidied = true;
        }
        Ok(settled)
    }

    /// The containers that ask to be guarded, and are this installation's.
    async fn apps(&mut self, listed: &[Listed]) -> Result<Vec<App>, ServiceError> {
        let scope = self.service.config().settings.watch.scope.clone();
        let mut apps = Vec::new();
        let ours = |it: &&Listed| {
            it.labels.get(SCOPE_LABEL) == scope.as_ref() && !it.labels.contains_key(spec::BESIDE)
        };
        for it in listed.iter().filter(ours) {
            let pairs = it.labels.iter().map(|(key, text)| (key.as_str(), text.as_str()));
            let asked = match guard::parse(pairs) {
                Ok(None) => continue,
                asked => asked,
            };
            let Some(container) = self.inspect(&it.id).await? else { continue };
            let facts = container_facts(&container);
            let asked = match asked {
                Ok(Some(request)) => self.answer(&container, &facts, request).await,
                Err(faults) => Asked::Bad(faults),
                Ok(None) => continue,
            };
            let app = App { container, facts, asked };
            self.tell(&app).await?;
            apps.push(app);
        }
        let known = |id: &String| apps.iter().any(|app| app.container.id == *id);
        self.denied.retain(|id, _| known(id));
        self.told.retain(|id, _| known(id));
        self.troubles.retain(|(id, _), _| known(id));
        Ok(apps)
    }

    async fn answer(
        &mut self,
        container: &Container,
        facts: &ContainerFacts,
        request: guard::GuardRequest,
    ) -> Asked {
        let impossible = |reason: &str, hint: &str| {
            let (reason, hint) = (reason.to_owned(), hint.to_owned());
            Asked::Impossible { reason, hint }
        };
        let network = container.network_mode.as_str();
        if network == "host" {
            let hint = "give it a network of its own; on the host's everybody could call as it";
            return impossible("its network is the host's", hint);
        }
        if network.starts_with("container:") {
            let hint = "put the labels on the container whose network it shares";
            return impossible("its network is another container's", hint);
        }
        if self.workload.is_none() || !self.engine.is_local() {
            let hint = "it needs an engine on this host, Linux 6.5, and workload.socket not off";
            return impossible("there is no socket for containers", hint);
        }
        let policy = (self.service.policy().current().epoch(), self.service.regrouped());
        if let Some(last) = self.denied.get(&container.id) {
            let same =
                last.policy == policy && last.service == request.service && last.facts == *facts;
            if same {
                return Asked::Denied { reason: last.reason.clone(), hint: last.hint.clone() };
            }
        }
        let (service, own, name) =
            (Arc::clone(&self.service), facts.clone(), request.service.clone());
        let asked = blocking(move || {
            let number = new_request_id()?;
            service.may_be_guarded(&own, &name, &number)
        });
        match asked.await {
            Ok((service, own)) => {
                self.denied.remove(&container.id);
                Asked::Granted { request, service, own }
            }
            Err(error) => {
                let causes = error.causes.iter();
                let reason = causes.fold(error.message.clone(), |text, it| format!("{text}: {it}"));
                if error.code != ErrorCode::Denied {
                    return Asked::Undecided { reason };
                }
                let (hint, facts) = (error.hint, facts.clone());
                let (service, answer) =
                    (request.service, Asked::Denied { reason: reason.clone(), hint: hint.clone() });
                let decided = Decided { policy, facts, service, reason, hint };
                self.denied.insert(container.id.clone(), decided);
                answer
            }
        }
    }

    /// What was refused is in the log, once.
    async fn tell(&mut self, app: &App) -> Result<(), ServiceError> {
        let id = &app.container.id;
        let Some(refusal) = status::of_refusal(app).filter(|it| it.state != "undecided") else {
            self.told.remove(id);
            return Ok(());
        };
        let reason = refusal.reason.unwrap_or_default();
        if self.told.get(id) == Some(&reason) {
            return Ok(());
        }
        tracing::warn!(container = %app.container.name, reason, hint = refusal.hint, "no guard");
        let label = match &app.asked {
            Asked::Bad(faults) => faults.first().map(|fault| fault.label.clone()),
            _ => None,
        };
        let fact = Fact::LabelRefused {
            container: app.container.name.clone(),
            label: label.unwrap_or_else(|| format!("{}service", guard::PREFIX)),
            reason: reason.clone(),
            hint: refusal.hint.unwrap_or_default(),
        };
        let service = Arc::clone(&self.service);
        blocking(move || {
            let now = service.journal().clock().now();
            let event = Actor::daemon("sidecars").event(now, fact);
            let written = service.journal().commit_blocking(Change::event(event));
            written.map(|_| ()).map_err(|error| ServiceError::of(ErrorCode::State, &error))
        })
        .await?;
        self.told.insert(id.clone(), reason);
        Ok(())
    }

    /// The sidecars of this installation, and what looks like some.
    async fn there(&self, listed: &[Listed]) -> Result<Vec<There>, ServiceError> {
        let scope = &self.service.config().settings.watch.scope;
        let mut all = Vec::new();
        for it in listed {
            let Some(beside) = it.labels.get(spec::BESIDE) else { continue };
            if it.labels.get(SCOPE_LABEL) != scope.as_ref() {
                continue;
            }
            let label = |key: &str| it.labels.get(key).cloned().unwrap_or_default();
            let role = label(spec::ROLE);
            let recorded = self.service.sidecars().get(&it.id);
            let mut open = None;
            if it.running && recorded.is_some() {
                let inspected = self.inspect(&it.id).await?;
                open = inspected.and_then(|found| listening::ports(found.pid?));
            }
            all.push(There {
                id: it.id.clone(),
                name: it.name.clone(),
                beside: beside.clone(),
                role: Role::ALL.into_iter().find(|known| known.as_str() == role),
                made_by: label(spec::MADE_BY),
                services: spec::read(&label(spec::SERVICES)),
                recorded: recorded.is_some_and(|record| record.beside.id == *beside),
                running: it.running,
                status: it.status.clone(),
                open,
            });
        }
        Ok(all)
    }

    /// Records of containers that are gone.
    async fn forget(&self, listed: &[Listed]) -> Result<(), ServiceError> {
        for id in self.service.sidecars().ids() {
            if !listed.iter().any(|it| it.id == id) {
                let service = Arc::clone(&self.service);
                blocking(move || service.sidecar_removed(&id, "somebody has removed it")).await?;
            }
        }
        Ok(())
    }

    /// The image, as soon as anybody needs it.
    async fn image_for(&mut self, apps: &[App]) -> Result<String, ServiceError> {
        let needed = apps.iter().any(|app| matches!(app.asked, Asked::Granted { .. }));
        match (&self.image, needed) {
            (Some(image), _) => Ok(image.clone()),
            (None, false) => Ok(String::new()),
            (None, true) => {
                let image = image::ensure(&self.service, &self.engine).await?;
                self.image = Some(image.clone());
                Ok(image)
            }
        }
    }

    async fn removed(&self, step: Step) -> Result<(), ServiceError> {
        let Step::Remove { id, reason, gently } = step else { return Ok(()) };
        if gently {
            // Its identity ends after it, so that what runs through it can come to its end.
            let _ = self.engine.stop(&id, DRAIN).await;
        }
        let (service, own) = (Arc::clone(&self.service), id.clone());
        blocking(move || service.sidecar_removed(&own, reason)).await?;
        tracing::info!(sidecar = %id, reason, "a sidecar is removed");
        self.engine.remove_container(&id).await.map_err(|error| of_engine(&error))
    }

    /// Does what is due for one; whether nothing is on its way.
    async fn act(&mut self, one: &Plan, apps: &[App]) -> Result<bool, ServiceError> {
        let now = self.service.journal().clock().now();
        let key = (one.app.clone(), one.role);
        let trouble = self.troubles.entry(key.clone()).or_default();
        if matches!(one.state, State::Serving | State::NobodyToCall) {
            let steady = trouble.since.is_none_or(|since| now.since(since) > STEADY);
            if steady {
                *trouble = Trouble::default();
            }
            return Ok(steady);
        }
        trouble.since.get_or_insert(now);
        let Some(step) = &one.step else { return Ok(false) };
        if trouble.next.is_some_and(|next| next > now) {
            return Ok(false);
        }
        let done = match step {
            Step::Make(spec) => self.make(spec, apps).await,
            Step::Start { id } => match &one.state {
                // That it ended is the trouble; the first time may be a start that was cut short.
                State::Missing { status: Some(status) } if !status.starts_with("Created") => {
                    let hint =
                        one.name.as_ref().map(|name| format!("`docker logs {name}` says why"));
                    self.failed(&key, now, status.clone(), hint);
                    self.engine.start(id).await.map_err(|error| of_engine(&error))
                }
                _ => self.engine.start(id).await.map_err(|error| of_engine(&error)),
            },
            Step::Remove { .. } => Ok(()),
        };
        if let Err(error) = done {
            let causes = error.causes.iter();
            let reason = causes.fold(error.message.clone(), |text, it| format!("{text}: {it}"));
            let is_without_image = reason.contains("No such image");
            tracing::warn!(container = %one.app, role = one.role.as_str(), reason, "no sidecar");
            self.failed(&key, now, reason, error.hint);
            if is_without_image {
                self.image = None;
            }
        }
        Ok(false)
    }

    fn failed(
        &mut self,
        key: &(String, Role),
        now: Timestamp,
        reason: String,
        hint: Option<String>,
    ) {
        self.troubles.entry(key.clone()).or_default().again(now, reason, hint);
    }

    /// Made, written down, started: in this order, so that it is somebody before it asks, and nobody if we die in between.
    async fn make(&self, spec: &Spec, apps: &[App]) -> Result<(), ServiceError> {
        let beside = apps.iter().find(|app| app.container.id == spec.container.beside);
        let Some(app) = beside else { return Ok(()) };
        let id = self.engine.create_sidecar(&spec.container).await;
        let id = id.map_err(|error| of_engine(&error))?;
        let (role, identity) = (spec.role, spec.identity.clone());
        let record = SidecarRecord { role, identity, beside: app.facts.clone() };
        let (service, own) = (Arc::clone(&self.service), id.clone());
        blocking(move || service.sidecar_made(&own, record)).await?;
        tracing::info!(container = %app.container.name, role = role.as_str(), sidecar = %id, "a sidecar is started");
        self.engine.start(&id).await.map_err(|error| of_engine(&error))
    }

    /// Policy is told what the container is now.
    async fn follow_facts(&self, apps: &[App], there: &[There]) -> Result<(), ServiceError> {
        for it in there.iter().filter(|it| it.recorded) {
            let Some(app) = apps.iter().find(|app| app.container.id == it.beside) else { continue };
            let Some(mut record) = self.service.sidecars().get(&it.id) else { continue };
            if record.beside != app.facts {
                record.beside = app.facts.clone();
                let (service, id) = (Arc::clone(&self.service), it.id.clone());
                blocking(move || service.sidecar_follows(&id, record)).await?;
            }
        }
        Ok(())
    }

    async fn inspect(&self, id: &str) -> Result<Option<Container>, ServiceError> {
        match self.engine.inspect(id).await {
            Ok(found) => Ok(Some(found)),
            Err(EngineError::NoSuchContainer { .. }) => Ok(None),
            Err(error) => Err(of_engine(&error)),
        }
    }

    fn show(&self, apps: &[App], plans: &[Plan], no_image: Option<ServiceError>) {
        let now = self.service.journal().clock().now();
        let mut shown = Shown::default();
        let none = Trouble::default();
        for app in apps.iter().filter(|app| app.container.running) {
            let place = (app.container.name.clone(), app.container.id.clone());
            if let Some(refusal) = status::of_refusal(app) {
                shown.sidecars.push((place.clone(), refusal));
            }
            for plan in plans.iter().filter(|plan| plan.app == app.container.id) {
                let key = (plan.app.clone(), plan.role);
                let trouble = self.troubles.get(&key).unwrap_or(&none);
                shown.sidecars.push((place.clone(), status::of_plan(app, plan, trouble)));
                shown.alarms.extend(status::alarm(app, plan, trouble, now));
            }
        }
        if let Some(error) = no_image {
            shown.alarms.push(crate::command::Alarm {
                alarm: "sidecar-failed".to_owned(),
                subject: "image of sidecars".to_owned(),
                reason: error.to_string(),
                hint: error.hint,
                since: now,
            });
        }
        self.shown.store(Arc::new(shown));
    }
}
