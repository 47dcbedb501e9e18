use std::path::Path;

use sealock_delivery::labels::guard;
use sealock_engine::{Network, StartedAt};

use super::*;

const IMAGE: &str = "sha256:1";

fn place() -> Place<'static> {
    Place { image: IMAGE, workload: Path::new("/run/sealock/workload"), scope: Some("blue") }
}

fn identity(name: &str) -> Identity {
    format!("spiffe://test.sealock/service/{name}").parse().unwrap()
}

fn container(name: &str, life: u8) -> Container {
    let network = Network {
        name: "shared".to_owned(),
        id: "1".to_owned(),
        ip: Some("172.18.0.2".parse().unwrap()),
        gateway: None,
        prefix_length: None,
        aliases: Vec::new(),
    };
    Container {
        id: format!("{name:0<64}"),
        name: name.to_owned(),
        image: String::new(),
        image_id: String::new(),
        running: true,
        paused: false,
        pid: Some(1),
        started_at: StartedAt::parse(&format!("2026-01-01T00:00:{life:02}Z")),
        labels: BTreeMap::new(),
        hostname: String::new(),
        user: String::new(),
        pid_mode: String::new(),
        network_mode: "shared".to_owned(),
        userns_mode: String::new(),
        read_only: false,
        privileged: false,
        networks: vec![network],
        mounts: Vec::new(),
    }
}

/// A container of that name that is granted to be the service.
fn app(name: &str, service: &str, more: &[(&str, &str)]) -> App {
    let first = [("service", service)];
    let labels = first.iter().chain(more);
    let labels = labels.map(|(key, text)| (format!("sealock.guard.{key}"), (*text).to_owned()));
    let labels: Vec<(String, String)> = labels.collect();
    let request = guard::parse(labels.iter().map(|(key, text)| (key.as_str(), text.as_str())));
    let asked = Asked::Granted {
        request: Box::new(request.unwrap().unwrap()),
        service: identity(service),
        own: identity(name),
    };
    let own_names = [name.to_owned()].into();
    let container = container(name, 1);
    let facts = ContainerFacts {
        id: container.id.clone(),
        name: name.to_owned(),
        own_names,
        ..ContainerFacts::default()
    };
    App { container, facts, asked }
}

const GATE: [(&str, &str); 2] = [("listen", "0.0.0.0:8000"), ("upstream", "http://127.0.0.1:8080")];

fn orders() -> App {
    app("orders", "orders", &GATE)
}

fn shop() -> App {
    app("shop", "shop", &[])
}

/// What there is after this was made.
fn made(spec: &Spec) -> There {
    let label = |key: &str| spec.container.labels.get(key).cloned().unwrap_or_default();
    There {
        id: format!("{}-{}", spec.role.as_str(), spec.container.beside),
        name: spec.container.name.clone(),
        beside: label(spec::BESIDE),
        role: Some(spec.role),
        made_by: label(spec::MADE_BY),
        services: spec::read(&label(spec::SERVICES)),
        recorded: true,
        running: true,
        status: "Up 1 second".to_owned(),
        open: Some(spec.listens.iter().copied().collect()),
    }
}

fn to_make(plans: &[Plan]) -> Vec<Spec> {
    let spec = |plan: &Plan| match &plan.step {
        Some(Step::Make(spec)) => Some(Spec::clone(spec)),
        _ => None,
    };
    plans.iter().filter_map(spec).collect()
}

/// All that these want, made.
fn settled(apps: &[App]) -> Vec<There> {
    let there: Vec<There> = to_make(&plan(apps, &[], &place()).1).iter().map(made).collect();
    let (gone, plans) = plan(apps, &there, &place());
    assert!(gone.is_empty() && plans.iter().all(|plan| plan.step.is_none()), "{gone:?} {plans:?}");
    there
}

fn removed(apps: &[App], there: &[There]) -> Vec<(&'static str, bool)> {
    let steps = plan(apps, there, &place()).0;
    let of = |step: &Step| match step {
        Step::Remove { reason, gently, .. } => Some((*reason, *gently)),
        _ => None,
    };
    steps.iter().filter_map(of).collect()
}

#[test]
fn each_gets_what_it_asks_for_and_acts_as_whom_it_may() {
    let mut replica = app("orders-2", "orders", &GATE);
    replica.facts.own_names = ["orders-2".to_owned()].into();
    let specs = to_make(&plan(&[shop(), replica], &[], &place()).1);
    let [gatekeeper, forwarder] = &specs[..] else { panic!("{specs:?}") };
    // The Gatekeeper is the service's, and calls of the container are its own.
    assert_eq!((gatekeeper.role, &gatekeeper.identity), (Role::Gatekeeper, &identity("orders")));
    assert_eq!((forwarder.role, &forwarder.identity), (Role::Forwarder, &identity("shop")));
    let line = gatekeeper.container.command.join(" ");
    assert_eq!(
        line,
        "/sealock gatekeeper --service spiffe://test.sealock/service/orders --listen 0.0.0.0:8000 \
         --upstream http://127.0.0.1:8080 --identity /run/sealock/certs/guard --await-identity"
    );
    let line = forwarder.container.command.join(" ");
    assert!(line.ends_with("--listen 127.0.0.1:3128 --service orders=orders-2:8000"), "{line}");
    let grpc = app("stock", "stock", &[GATE[0], ("upstream", "h2c://127.0.0.1:50051")]);
    let of_grpc = to_make(&plan(&[grpc], &[], &place()).1);
    let line = of_grpc[0].container.command.join(" ");
    assert!(line.contains("--upstream h2c://127.0.0.1:50051 "), "{line}");
    let labels = &gatekeeper.container.labels;
    assert_eq!(labels["sealock.cert.guard.dns"], "orders-2");
    assert_eq!(labels["sealock.cert.guard.verify"], "tls:8000");
    assert_eq!(labels["sealock.scope"], "blue");
    assert_eq!(forwarder.container.labels["sealock.cert.guard.usage"], "client");
}

#[test]
fn nobody_calls_themselves_and_who_has_nobody_to_call_has_no_forwarder() {
    let (_, plans) = plan(&[orders()], &[], &place());
    let states: Vec<(Role, &State)> = plans.iter().map(|plan| (plan.role, &plan.state)).collect();
    let missing = State::Missing { status: None };
    let expected = [(Role::Gatekeeper, &missing), (Role::Forwarder, &State::NobodyToCall)];
    assert_eq!(states, expected);
    // A replica of the same service is not somebody else; one in clear text is nobody.
    let plain = app("plain", "plain", &[GATE[0], GATE[1], ("plain", "true")]);
    let apps = [orders(), app("orders-2", "orders", &GATE), plain];
    let roles: Vec<Role> = to_make(&plan(&apps, &[], &place()).1).iter().map(|s| s.role).collect();
    assert_eq!(roles.iter().filter(|role| **role == Role::Gatekeeper).count(), 3);
    // The plain one may call the others.
    assert_eq!(roles.iter().filter(|role| **role == Role::Forwarder).count(), 1);
}

#[test]
fn who_shares_no_network_is_not_found_and_labels_name_others() {
    let mut far = orders();
    far.container.networks[0].name = "other".to_owned();
    let caller = |more: &[(&str, &str)]| app("shop", "shop", more);
    assert!(
        to_make(&plan(&[caller(&[]), far.clone()], &[], &place()).1)
            .iter()
            .all(|spec| spec.role == Role::Gatekeeper)
    );
    let calls =
        caller(&[("call", "orders=orders.corp:8443"), ("forward", "127.0.0.1:5000=orders")]);
    let specs = to_make(&plan(&[calls, orders()], &[], &place()).1);
    let forwarder = specs.iter().find(|spec| spec.role == Role::Forwarder).unwrap();
    let line = forwarder.container.command.join(" ");
    // What the label says holds, not what is found beside it.
    assert!(line.ends_with("--service orders=orders.corp:8443"), "{line}");
    assert!(line.contains("--route 127.0.0.1:5000=orders"), "{line}");
    assert_eq!(forwarder.listens, [3128, 5000]);
    // On the engine's first network there are no names.
    let (mut shop, mut near) = (caller(&[]), orders());
    shop.container.networks[0].name = "bridge".to_owned();
    near.container.networks[0].name = "bridge".to_owned();
    let specs = to_make(&plan(&[shop, near], &[], &place()).1);
    let forwarder = specs.iter().find(|spec| spec.role == Role::Forwarder).unwrap();
    assert!(forwarder.container.command.ends_with(&["orders=172.18.0.2:8000".to_owned()]));
}

#[test]
fn a_container_with_an_odd_name_does_not_keep_others_from_calling() {
    let mut odd = app("odd", "billing", &GATE);
    odd.container.name = "x".repeat(300);
    let apps = [shop(), orders(), odd];
    let specs = to_make(&plan(&apps, &[], &place()).1);
    let forwarder =
        specs.iter().find(|spec| spec.container.beside == apps[0].container.id).unwrap();
    assert_eq!(forwarder.services.keys().collect::<Vec<_>>(), ["orders"]);
}

#[test]
fn what_is_as_it_should_be_is_left_alone() {
    let apps = [shop(), orders()];
    let there = settled(&apps);
    assert_eq!(there.len(), 2);
    // A service that stops, or is made anew, is no reason to cut the calls to others.
    let mut stopped = apps.clone();
    stopped[1].container.running = false;
    assert_eq!(removed(&stopped, &there), [("its container has ended", false)]);
    assert_eq!(removed(&apps[..1], &there).len(), 1);
    // One more service is.
    let more = [shop(), orders(), app("billing", "billing", &GATE)];
    assert_eq!(removed(&more, &there), [(REPLACED, true)]);
}

#[test]
fn a_new_life_another_name_and_another_image_make_them_anew() {
    let there = settled(&[shop(), orders()]);
    let mut restarted = [shop(), orders()];
    restarted[1].container = container("orders", 2);
    assert_eq!(removed(&restarted, &there), [(REPLACED, true)]);
    let mut renamed = [shop(), orders()];
    renamed[0].asked = match app("boutique", "shop", &[]).asked {
        Asked::Granted { request, service, own } => Asked::Granted { request, service, own },
        other => other,
    };
    assert_eq!(removed(&renamed, &there), [(REPLACED, true)]);
    let newer = Place { image: "sha256:2", ..place() };
    let (gone, plans) = plan(&[shop(), orders()], &there, &newer);
    assert_eq!((gone.len(), to_make(&plans).len()), (2, 2));
    assert!(gone.iter().all(Step::replaces));
}

#[test]
fn what_only_looks_like_a_sidecar_is_removed_and_the_real_one_made() {
    let apps = [shop(), orders()];
    let mut there = settled(&apps);
    let forged: Vec<There> = there
        .iter()
        .map(|it| There { id: format!("f{}", it.id), recorded: false, ..it.clone() })
        .collect();
    let all: Vec<There> = forged.iter().chain(&there).cloned().collect();
    assert_eq!(removed(&apps, &all), [("nothing is known of it", false); 2]);
    assert_eq!(to_make(&plan(&apps, &forged, &place()).1).len(), 2);
    // Two of ours for one place: one goes.
    there.push(There { id: "twin".to_owned(), ..there[0].clone() });
    assert_eq!(removed(&apps, &there), [(REPLACED, true)]);
}

#[test]
fn a_no_takes_them_away_and_no_answer_does_not() {
    let mut apps = [shop(), orders()];
    let there = settled(&apps);
    apps[1].asked = Asked::Undecided { reason: "the disk".to_owned() };
    assert_eq!(removed(&apps, &there), []);
    apps[1].asked = Asked::Denied { reason: String::new(), hint: None };
    assert_eq!(removed(&apps, &there), [("policy does not allow it any more", false)]);
    apps[1].asked = Asked::Bad(Vec::new());
    assert_eq!(removed(&apps, &there), [("its container's labels do not ask for it", true)]);
    assert_eq!(removed(&[], &there).len(), 2);
}

#[test]
fn one_that_has_ended_is_started_and_one_that_does_not_listen_does_not_serve() {
    let apps = [orders()];
    let mut there = settled(&apps);
    there[0].open = Some(BTreeSet::from([8080]));
    assert_eq!(plan(&apps, &there, &place()).1[0].state, State::Starting);
    there[0].open = Some(BTreeSet::from([8080, 8000]));
    assert_eq!(plan(&apps, &there, &place()).1[0].state, State::Serving);
    there[0].running = false;
    let (gone, plans) = plan(&apps, &there, &place());
    assert_eq!(gone, []);
    assert_eq!(plans[0].step, Some(Step::Start { id: there[0].id.clone() }));
}
