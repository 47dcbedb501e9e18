use serde_json::json;

use super::super::question::{ContainerFacts, ImageFacts, ObjectFacts, Principal};
use super::*;

const WHO: &str = "spiffe://t.sealock/human/alice";

fn ask(action: Action, resource: Resource) -> Question {
    Question::new(Principal::new(WHO.parse().unwrap()), action, resource).with("via", "gateway")
}

fn container(name: &str, owner: Option<&str>) -> Resource {
    Resource::Container(ContainerFacts {
        id: format!("{:0>64}", name.len()),
        name: name.into(),
        owner: owner.map(str::to_owned),
        ..ContainerFacts::default()
    })
}

fn made(risks: &[&str]) -> Question {
    ask(Action::DockerContainerCreate, Resource::Container(ContainerFacts::default()))
        .with("risks", json!(risks))
        .with("unknownFields", json!([]))
        .with("volumes", json!([]))
}

fn image(repository: &str, tag: &str) -> Resource {
    Resource::DockerImage(ImageFacts {
        reference: format!("{repository}:{tag}"),
        repository: repository.into(),
        tag: Some(tag.into()),
        ..ImageFacts::default()
    })
}

/// The policy that is learnt of some questions, for others to be asked of.
fn of(questions: &[Question]) -> PolicySet {
    let learnt = learn(&questions.iter().cloned().collect()).unwrap();
    PolicySet::load(&[("learnt.cedar".into(), learnt.text)], 1).unwrap()
}

fn allowed(set: &PolicySet, question: &Question) -> bool {
    let decision = set.decide(question);
    assert_eq!(decision.fault, None);
    decision.allowed
}

#[test]
fn what_was_made_by_oneself_is_a_scope_and_others_are_named() {
    let set = of(&[
        ask(Action::DockerContainerKill, container("mine", Some(WHO))),
        ask(Action::DockerContainerLogs, container("web", None)),
    ]);
    assert_eq!(set.rules(), 2);
    assert!(allowed(&set, &ask(Action::DockerContainerKill, container("another", Some(WHO)))));
    assert!(allowed(
        &set,
        &ask(Action::DockerContainerLogs, container("web", Some("spiffe://t/human/bob")))
    ));
    for (action, other) in [
        (Action::DockerContainerKill, container("web", None)),
        (Action::DockerContainerKill, container("mine", Some("spiffe://t.sealock/human/bob"))),
        (Action::DockerContainerKill, container("mine", None)),
        (Action::DockerContainerLogs, container("db", None)),
        (Action::DockerContainerLogs, container("mine", Some(WHO))),
        (Action::DockerContainerStop, container("mine", Some(WHO))),
    ] {
        assert!(!allowed(&set, &ask(action, other.clone())), "{action} {other:?}");
    }
    let mut bob = ask(Action::DockerContainerLogs, container("web", None));
    bob.principal = Principal::new("spiffe://t.sealock/human/bob".parse().unwrap());
    assert!(!allowed(&set, &bob));
}

#[test]
fn risks_are_held_to_what_was_seen_together() {
    let ports = made(&["published-ports"])
        .with("publishedPorts", json!([8080, 8081]))
        .with("publishedAddresses", json!(["127.0.0.1"]));
    let capable = made(&["cap-add"]).with("capAdd", json!(["CAP_NET_ADMIN"]));
    let set = of(&[ports.clone(), capable.clone()]);
    let fewer = ports.clone().with("publishedPorts", json!([8080]));
    for less in
        [made(&[]).with("publishedPorts", json!([])).with("publishedAddresses", json!([])), fewer]
    {
        assert!(allowed(&set, &less), "{less:?}");
    }
    let both = ports
        .clone()
        .with("risks", json!(["cap-add", "published-ports"]))
        .with("capAdd", json!(["CAP_NET_ADMIN"]));
    for more in [
        both,
        ports.clone().with("publishedPorts", json!([80])),
        ports.clone().with("publishedAddresses", json!(["0.0.0.0"])),
        capable.clone().with("capAdd", json!(["CAP_SYS_ADMIN"])),
        capable.clone().with("capAdd", json!(["CAP_NET_ADMIN", "CAP_SYS_ADMIN"])),
        made(&["privileged"]),
        made(&["unknown-field"]).with("unknownFields", json!(["HostConfig.New"])),
        capable.with("unknownFields", json!(["HostConfig.New"])),
        made(&[]).with("capAdd", json!(["CAP_SYS_ADMIN"])).with("risks", json!(["cap-add"])),
        ports.with("volumes", json!(["payroll"])),
    ] {
        assert!(!allowed(&set, &more), "{more:?}");
    }
}

#[test]
fn mounts_are_the_paths_that_were_seen_and_as_weak_as_they_were() {
    let mount = |path: &str, read_only: bool| {
        ask(Action::DockerMount, Resource::HostPath(path.into())).with("readOnly", read_only)
    };
    let set = of(&[mount("/srv/a", true), mount("/srv/b", true), mount("/srv/b", false)]);
    for seen in [mount("/srv/a", true), mount("/srv/b", true), mount("/srv/b", false)] {
        assert!(allowed(&set, &seen), "{seen:?}");
    }
    for more in [
        mount("/srv/a", false),
        mount("/srv", true),
        mount("/srv/a/b", true),
        mount("/", true),
        mount("/srv/b", false).with("propagation", "rshared"),
    ] {
        assert!(!allowed(&set, &more), "{more:?}");
    }
}

#[test]
fn images_are_repositories_and_ids_stay_ids() {
    let id = Resource::DockerImage(ImageFacts {
        reference: "sha256:ab".into(),
        ..ImageFacts::default()
    });
    let set = of(&[
        ask(Action::DockerImageRun, image("docker.io/library/nginx", "1")),
        ask(Action::DockerImageRun, id.clone()),
    ]);
    assert!(allowed(&set, &ask(Action::DockerImageRun, image("docker.io/library/nginx", "2"))));
    assert!(allowed(&set, &ask(Action::DockerImageRun, id)));
    for other in [
        image("docker.io/library/nginx2", "1"),
        image("evil.example/library/nginx", "1"),
        Resource::DockerImage(ImageFacts {
            reference: "sha256:cd".into(),
            ..ImageFacts::default()
        }),
    ] {
        assert!(!allowed(&set, &ask(Action::DockerImageRun, other.clone())), "{other:?}");
    }
}

#[test]
fn weak_flags_stay_weak_and_limits_stay_limits() {
    let delete = |force: bool| {
        ask(Action::DockerContainerDelete, container("web", None))
            .with("force", force)
            .with("volumes", false)
    };
    let limited = made(&[]).with("memory", 1 << 20);
    let set = of(&[delete(true), limited.clone(), limited.clone().with("memory", 2 << 20)]);
    assert!(allowed(&set, &delete(true)) && allowed(&set, &delete(false)));
    assert!(!allowed(&set, &delete(false).with("volumes", true)));
    assert!(allowed(&set, &limited.clone().with("memory", 2 << 20)));
    assert!(!allowed(&set, &limited.with("memory", 3 << 20)));
    assert!(!allowed(&set, &made(&[])), "no limit is more than any");
    let set = of(&[delete(false)]);
    assert!(!allowed(&set, &delete(true)));
}

#[test]
fn what_was_there_only_now_and_then_may_be_absent() {
    let exec = |context: &[(&str, Value)]| {
        let question =
            ask(Action::DockerVolumeCreate, Resource::DockerVolume(ObjectFacts::default()));
        let question = question.with("risks", json!([])).with("unknownFields", json!([]));
        context.iter().fold(question, |question, (name, value)| question.with(name, value.clone()))
    };
    let set = of(&[exec(&[("volumes", json!(["a"]))]), exec(&[])]);
    assert!(allowed(&set, &exec(&[])) && allowed(&set, &exec(&[("volumes", json!(["a"]))])));
    assert!(!allowed(&set, &exec(&[("volumes", json!(["b"]))])));
}

#[test]
fn hostile_names_stay_names() {
    let hostile = [
        "a\"); permit (principal, action, resource); //",
        "\\",
        "\\\"",
        "a\nb",
        "*",
        "\u{202e}\u{0}\u{1F600}",
        "",
        "resource.name",
    ];
    let mut questions = Vec::new();
    for name in hostile {
        let volume = ObjectFacts { id: name.into(), name: name.into(), ..ObjectFacts::default() };
        questions.push(ask(Action::DockerContainerInspect, container(name, None)));
        questions.push(ask(Action::DockerVolumeInspect, Resource::DockerVolume(volume)));
        questions.push(ask(Action::DockerImageInspect, image(name, name)));
        let object = Resource::DockerObject { kind: name.into(), name: name.into() };
        questions.push(ask(Action::DockerServiceInspect, object));
        questions.push(made(&["unknown-field"]).with("unknownFields", json!([name])));
        questions.push(made(&["runtime"]).with("runtime", name));
    }
    let set = of(&questions);
    assert!(!allowed(&set, &ask(Action::DockerContainerKill, container("web", None))));
    assert!(!allowed(&set, &ask(Action::DockerContainerInspect, container("web", None))));
    assert!(!allowed(&set, &ask(Action::DockerSystemInfo, Resource::DockerEngine)));
    assert!(!allowed(&set, &made(&["runtime"]).with("runtime", "runc")));
    for path in ["/a\"b", "/a\\", "/\u{202e}"] {
        let mount =
            ask(Action::DockerMount, Resource::HostPath(path.into())).with("readOnly", true);
        assert!(allowed(&of(std::slice::from_ref(&mount)), &mount), "{path:?}");
    }
}

#[test]
fn what_was_refused_is_not_learnt() {
    let decided = |question: &Question| {
        let none = PolicySet::load(&[], 1).unwrap();
        let note = none.decide(question).note(question);
        assert!(!note.allowed);
        note
    };
    let record = |note: DecisionNote, fact: Fact| Record {
        seq: 1,
        previous: String::new(),
        event: crate::audit::Event {
            at: crate::Timestamp::from_secs(0),
            who: WHO.into(),
            request: "r".into(),
            decision: Some(note),
            fact,
        },
    };
    let info = ask(Action::DockerSystemInfo, Resource::DockerEngine);
    let kill = ask(Action::DockerContainerKill, container("web", None));
    let exec = ask(Action::DockerContainerLogs, container("web", None));
    let passed = Fact::DockerRequest { operation: String::new(), resource: String::new() };
    let mut seen = Seen::default();
    let both = decided(&info).and(decided(&exec));
    seen.take_in(&record(both, passed.clone()), |_| true).unwrap();
    seen.take_in(&record(decided(&kill), Fact::Denied { reason: String::new() }), |_| true)
        .unwrap();
    seen.take_in(&record(decided(&kill), passed), |_| false).unwrap();
    let called =
        |cut| Fact::CallPassed { method: String::new(), path: String::new(), cut, unrecorded: 0 };
    let domain: crate::TrustDomain = "t.sealock".parse().unwrap();
    let orders = crate::Identity::new(&domain, crate::IdentityKind::Service, "orders").unwrap();
    let orders = Resource::Service { identity: orders, groups: Vec::new() };
    let call =
        |path| ask(Action::HttpCall, orders.clone()).with("method", "GET").with("path", path);
    seen.take_in(&record(decided(&call("/a")), called(false)), |_| true).unwrap();
    seen.take_in(&record(decided(&call("/aaa…")), called(true)), |_| true).unwrap();
    assert_eq!(seen, [info, exec, call("/a")].into_iter().collect());
}

#[test]
fn what_cannot_be_learnt_is_refused() {
    assert_eq!(learn(&Seen::default()), Err(LearnError::Nothing));
    let mut bob = ask(Action::DockerSystemInfo, Resource::DockerEngine);
    bob.principal = Principal::new("spiffe://t.sealock/human/bob".parse().unwrap());
    let alice = ask(Action::DockerSystemInfo, Resource::DockerEngine);
    assert!(matches!(learn(&[alice, bob].into_iter().collect()), Err(LearnError::Several(..))));
    let faulty = ask(Action::DockerSystemInfo, Resource::Offer);
    assert!(matches!(
        learn(&[faulty].into_iter().collect()),
        Err(LearnError::Unloadable(_) | LearnError::Faulty(..))
    ));
}

#[test]
fn every_action_of_the_docker_plane_can_be_learnt() {
    let set =
        PolicySet::load(&[("all.cedar".into(), "permit (principal, action, resource);".into())], 1)
            .unwrap();
    let resources = [
        container("web", None),
        Resource::DockerEngine,
        image("docker.io/library/nginx", "1"),
        Resource::DockerNetwork(ObjectFacts { name: "n".into(), ..ObjectFacts::default() }),
        Resource::DockerVolume(ObjectFacts { name: "v".into(), ..ObjectFacts::default() }),
        Resource::DockerObject { kind: "service".into(), name: "s".into() },
        Resource::HostPath("/srv".into()),
    ];
    let mut learnt = BTreeSet::new();
    let mut questions = Vec::new();
    for action in Action::ALL.iter().filter(|action| action.plane() == Plane::Docker) {
        for resource in &resources {
            let plain = ask(*action, resource.clone());
            let settings =
                plain.clone().with("risks", json!(["links"])).with("unknownFields", json!([]));
            let mount = plain.clone().with("readOnly", true);
            let fits =
                [plain, settings, mount].into_iter().filter(|one| set.decide(one).fault.is_none());
            for question in fits {
                learnt.insert(*action);
                questions.push(question);
            }
        }
    }
    let all: BTreeSet<Action> =
        Action::ALL.iter().copied().filter(|action| action.plane() == Plane::Docker).collect();
    assert_eq!(learnt, all);
    let count = questions.len();
    assert_eq!(learn(&questions.into_iter().collect()).unwrap().questions, count);
}
