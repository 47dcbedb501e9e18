//! What a sidecar's container is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use sealock_core::Identity;
use sealock_delivery::labels::guard::{ForwarderRequest, GatekeeperRequest};
use sealock_delivery::watcher::SCOPE_LABEL;
use sealock_engine::Sidecar;

use super::image::PROGRAM;
use super::plan::App;
use super::record::Role;
use crate::client::WORKLOAD_SOCKET;

/// The labels of a sidecar: beside which container it stands, what it is, and how it was made.
pub(super) const BESIDE: &str = "sealock.sidecar.beside";
pub(super) const ROLE: &str = "sealock.sidecar.role";
pub(super) const MADE_BY: &str = "sealock.sidecar.made-by";
pub(super) const SERVICES: &str = "sealock.sidecar.services";
/// Nobody's on most hosts: a process that has it can do nothing to others, nor others to it.
const USER: &str = "64207:64207";
/// Where its certificate is delivered, in memory.
const CERTIFICATES: &str = "/run/sealock/certs";
const IDENTITY: &str = "/run/sealock/certs/guard";
const MEMORY: i64 = 512 << 20;
const PROCESSES: i64 = 1024;

/// Those who may be called, with their Gatekeepers.
pub(super) type Services = BTreeMap<String, BTreeSet<String>>;

/// Where sidecars are made.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    /// The image's id.
    pub(super) image: &'a str,
    /// The folder of the workload socket, on the host.
    pub(super) workload: &'a Path,
    /// The installation's scope on a shared engine.
    pub(super) scope: Option<&'a str>,
}

/// A sidecar as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) role: Role,
    /// As whom it acts.
    pub(super) identity: Identity,
    /// Where it is to listen.
    pub(super) listens: Vec<u16>,
    /// By what it is known that it was made so; whom it may call is left out.
    pub(super) made_by: String,
    /// Whom it may call.
    pub(super) services: Services,
    pub(super) container: Sidecar,
}

/// The Gatekeeper before an app.
pub(super) fn gatekeeper(
    app: &App,
    request: &GatekeeperRequest,
    identity: &Identity,
    place: &Place<'_>,
) -> Spec {
    let scheme = if request.http2 { "h2c" } else { "http" };
    let (listen, upstream) =
        (request.listen.to_string(), format!("{scheme}://{}", request.upstream));
    let mut command = words(["gatekeeper", "--service", &identity.to_string()]);
    command.extend(words(["--listen", &listen, "--upstream", &upstream]));
    if request.plain {
        command.push("--plain".to_owned());
    } else {
        command.extend(words(["--identity", IDENTITY, "--await-identity"]));
    }
    let mut draft = Draft::new(app, Role::Gatekeeper, identity, command, place);
    if !request.plain {
        draft.certificate("server,client");
        draft.label("sealock.cert.guard.verify", &format!("tls:{}", request.listen.port()));
    }
    draft.finish(app, vec![request.listen.port()], Services::new())
}

/// The Forwarder behind an app.
pub(super) fn forwarder(
    app: &App,
    request: &ForwarderRequest,
    services: Services,
    identity: &Identity,
    place: &Place<'_>,
) -> Spec {
    let mut command = words(["forwarder", "--identity", IDENTITY, "--await-identity"]);
    let mut listens = Vec::new();
    if let Some(proxy) = request.proxy {
        command.extend(words(["--listen", &proxy.to_string()]));
        listens.push(proxy.port());
    }
    let mut draft = Draft::new(app, Role::Forwarder, identity, command, place);
    draft.certificate("client");
    draft.routes.clone_from(&request.forward);
    draft.finish(app, listens, services)
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}

struct Draft {
    role: Role,
    identity: Identity,
    container: Sidecar,
    /// Local ports; those of services that are not there have to wait.
    routes: Vec<(SocketAddr, String)>,
}

impl Draft {
    fn new(
        app: &App,
        role: Role,
        identity: &Identity,
        command: Vec<String>,
        place: &Place<'_>,
    ) -> Self {
        let inside = Path::new(WORKLOAD_SOCKET).parent().unwrap_or(Path::new("/"));
        let mut labels = BTreeMap::from([
            (BESIDE.to_owned(), app.container.id.clone()),
            (ROLE.to_owned(), role.as_str().to_owned()),
        ]);
        if let Some(scope) = place.scope {
            labels.insert(SCOPE_LABEL.to_owned(), scope.to_owned());
        }
        let short = |text: &str, most| text.chars().take(most).collect::<String>();
        let (name, id) = (short(&app.container.name, 60), short(&app.container.id, 8));
        let container = Sidecar {
            name: format!("sealock-{}-{name}-{id}", role.as_str()),
            image: place.image.to_owned(),
            command: [vec![PROGRAM.to_owned()], command].concat(),
            labels,
            beside: app.container.id.clone(),
            binds: vec![format!("{}:{}:ro", place.workload.display(), inside.display())],
            tmpfs: vec![(
                CERTIFICATES.to_owned(),
                "rw,noexec,nosuid,nodev,size=1m,mode=0755".to_owned(),
            )],
            user: USER.to_owned(),
            memory: MEMORY,
            processes: PROCESSES,
        };
        Self { role, identity: identity.clone(), container, routes: Vec::new() }
    }

    fn label(&mut self, key: &str, text: &str) {
        self.container.labels.insert(key.to_owned(), text.to_owned());
    }

    /// A certificate of its own, by the delivery plane, as any container may have one.
    fn certificate(&mut self, usage: &str) {
        self.label("sealock.cert.guard.usage", usage);
        self.label("sealock.cert.guard.owner", USER);
    }

    fn finish(mut self, app: &App, mut listens: Vec<u16>, services: Services) -> Spec {
        // The life of the container belongs to it: a new one has another network.
        let life = app.container.started_at.as_ref().map_or("", |start| start.as_str());
        let made_of = format!("{} {life} {:?} {:?}", self.identity, self.container, self.routes);
        let made_by = HEXLOWER.encode(digest(&SHA256, made_of.as_bytes()).as_ref());
        for (at, name) in self.routes.iter().filter(|(_, name)| services.contains_key(name)) {
            self.container.command.extend(words(["--route", &format!("{at}={name}")]));
            listens.push(at.port());
        }
        let of = |name: &String| services.get(name).into_iter().flatten();
        for (name, at) in services.keys().flat_map(|name| of(name).map(move |at| (name, at))) {
            self.container.command.extend(words(["--service", &format!("{name}={at}")]));
        }
        if self.role == Role::Forwarder {
            self.label(SERVICES, &written(&services));
        }
        self.label(MADE_BY, &made_by);
        // The names are as they were when it was made: a network that is joined later is no reason to make it anew.
        if self.container.labels.contains_key("sealock.cert.guard.usage") {
            let own: Vec<&str> = app.facts.own_names.iter().map(String::as_str).collect();
            if !own.is_empty() {
                self.label("sealock.cert.guard.dns", &own.join(","));
            }
        }
        let Self { role, identity, container, .. } = self;
        Spec { role, identity, listens, made_by, services, container }
    }
}

/// Those who may be called, as a label.
pub(super) fn written(services: &Services) -> String {
    let of = |(name, at): (&String, &BTreeSet<String>)| {
        let at: Vec<&str> = at.iter().map(String::as_str).collect();
        format!("{name}={}", at.join(","))
    };
    services.iter().map(of).collect::<Vec<_>>().join(" ")
}

/// The same, read again.
pub(super) fn read(label: &str) -> Services {
    let one = |part: &str| {
        let (name, at) = part.split_once('=')?;
        Some((name.to_owned(), at.split(',').map(str::to_owned).collect()))
    };
    label.split(' ').filter_map(one).collect()
}
