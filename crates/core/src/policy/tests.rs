use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::Authorizer;

use super::*;
use crate::name::SubjectName;

fn source(text: &str) -> Vec<(String, String)> {
    vec![("test.cedar".to_owned(), text.to_owned())]
}

fn load(text: &str) -> PolicySet {
    PolicySet::load(&source(text), 7).unwrap_or_else(|error| panic!("{}", error.render()))
}

fn default_set() -> PolicySet {
    PolicySet::load(&[(DEFAULT_POLICY_FILE.to_owned(), DEFAULT_POLICY.to_owned())], 1).unwrap()
}

fn problem(text: &str) -> Problem {
    let error = PolicySet::load(&source(text), 1).unwrap_err();
    error.problems().first().unwrap().clone()
}

fn human(name: &str) -> Principal {
    Principal::new(format!("spiffe://t.sealock/human/{name}").parse().unwrap())
}

fn service(name: &str) -> Principal {
    Principal::new(format!("spiffe://t.sealock/service/{name}").parse().unwrap())
}

fn facts() -> ContainerFacts {
    ContainerFacts {
        id: "ab".repeat(32),
        name: "shop-api-1".into(),
        image: "registry.example/shop:2".into(),
        service: Some("api".into()),
        project: Some("shop".into()),
        labels: BTreeMap::from([("env".into(), "prod".into()), ("token".into(), "hunter2".into())]),
        own_names: BTreeSet::from(["shop-api-1".into(), "api".into()]),
        ..ContainerFacts::default()
    }
}

fn dns(name: &str) -> Resource {
    Resource::Name(SubjectName::dns(name).unwrap())
}

fn ip(address: &str) -> Resource {
    Resource::Name(SubjectName::ip(address).unwrap())
}

fn resource_for(action: Action) -> Resource {
    match action {
        Action::CertIssue
        | Action::CertSign
        | Action::CertRenew
        | Action::CertReserved
        | Action::CertPurpose
        | Action::CertUnproved
        | Action::CertUnder => dns("www.corp.example"),
        Action::CertRevoke | Action::CertRead | Action::DirectoryPublish => {
            Resource::Certificate { serial: "0a1b".into(), name: "www".into() }
        }
        Action::CertRequest
        | Action::CertImport
        | Action::CertUse
        | Action::DirectoryPublishImported => Resource::ImportedCertificate("www".into()),
        Action::CaManage
        | Action::CaRead
        | Action::AcmeManage
        | Action::TrustManage
        | Action::TrustDeliver => Resource::Authority,
        Action::TransferSend => Resource::Container(facts()),
        Action::TransferOffer | Action::TransferReceive => Resource::Offer,
        Action::StatusRead => Resource::Status,
        Action::AuditRead => Resource::Audit,
        Action::PolicyRead | Action::PolicyReload | Action::PolicyAssign | Action::PolicyUse => {
            Resource::Policy
        }
        other => resource_by_schema(other),
    }
}

/// The kinds are the schema's: what does not fit is found by `every_action_has_an_allow_and_a_deny`.
fn resource_by_schema(action: Action) -> Resource {
    let words = entities::Vocabulary::shared().unwrap();
    let uid = words.action(action).unwrap().uid();
    let mut kinds = words.schema.resources_for_action(&uid).unwrap();
    match kinds.next().unwrap().basename() {
        "Container" => Resource::Container(facts()),
        "DockerEngine" => Resource::DockerEngine,
        "DockerImage" => image("registry.example/shop", "2"),
        "DockerNetwork" => Resource::DockerNetwork(object("front")),
        "DockerVolume" => Resource::DockerVolume(object("data")),
        "DockerObject" => Resource::DockerObject { kind: "service".into(), name: "web".into() },
        "HostPath" => Resource::HostPath("/srv/ci/cache".into()),
        "Secret" => Resource::Secret("prod/db/password".parse().unwrap()),
        "Vault" => Resource::Vault,
        "Service" => called("orders"),
        "Broker" => Resource::Broker,
        other => panic!("{action} is about {other}"),
    }
}

fn called(name: &str) -> Resource {
    Resource::Service { identity: service(name).identity, groups: vec!["backends".into()] }
}

fn image(repository: &str, tag: &str) -> Resource {
    Resource::DockerImage(ImageFacts {
        reference: format!("{repository}:{tag}"),
        repository: repository.into(),
        tag: Some(tag.into()),
        ..ImageFacts::default()
    })
}

fn object(name: &str) -> ObjectFacts {
    ObjectFacts { id: name.into(), name: name.into(), ..ObjectFacts::default() }
}

/// A question with the circumstances that the schema wants.
fn question(principal: Principal, action: Action) -> Question {
    let question = Question::new(principal, action, resource_for(action));
    let wants_settings = [
        Action::DockerContainerCreate,
        Action::DockerContainerUpdate,
        Action::DockerContainerExec,
        Action::DockerImageCommit,
        Action::DockerImageBuild,
        Action::DockerNetworkCreate,
        Action::DockerNetworkConnect,
        Action::DockerVolumeCreate,
        Action::DockerVolumeUpdate,
        Action::DockerServiceCreate,
        Action::DockerServiceUpdate,
    ];
    let nothing = || serde_json::json!([]);
    match action {
        Action::DockerMount => question.with("readOnly", true),
        Action::HttpCall => question.with("method", "GET").with("path", "/v1/orders"),
        action if wants_settings.contains(&action) => {
            question.with("risks", nothing()).with("unknownFields", nothing())
        }
        _ => question,
    }
}

/// Every action there is, with a rule that permits it and one question that is permitted by exactly this
/// rule and not by the one of any other action. The match above makes a new action fail to compile, this
/// makes it fail to pass.
#[test]
fn every_action_has_an_allow_and_a_deny() {
    for action in Action::ALL {
        let question = self::question(human("jo"), *action);
        let text = format!(
            "permit(principal == Sealock::Human::\"jo\", \
             action == Sealock::Action::\"{action}\", resource);"
        );
        let set = load(&text);
        assert!(set.decide(&question).allowed, "{action} is allowed by its rule");
        for other in Action::ALL.iter().filter(|other| *other != action) {
            let question = self::question(human("jo"), *other);
            assert!(!set.decide(&question).allowed, "{other} is not allowed by {action}'s rule");
        }
        let stranger = self::question(human("al"), *action);
        let denied = set.decide(&stranger);
        assert!(!denied.allowed && denied.fault.is_none(), "{action} is denied to others");
        let forbidden = load(&format!(
            "{text} forbid(principal, action == Sealock::Action::\"{action}\", resource);"
        ));
        let denied = forbidden.decide(&question);
        assert_eq!((denied.allowed, denied.rules), (false, vec!["test.cedar#2".to_owned()]));
    }
}

#[test]
fn the_schema_and_the_actions_are_the_same() {
    let words = entities::Vocabulary::shared().unwrap();
    let mut schema: Vec<String> =
        words.schema.actions().map(|uid| uid.id().unescaped().to_owned()).collect();
    schema.retain(|id| id.contains("::"));
    schema.sort();
    let mut ours: Vec<String> = Action::ALL.iter().map(|action| action.to_string()).collect();
    ours.sort();
    assert_eq!(schema, ours);
    for action in Action::ALL {
        assert_eq!(action.as_str().parse::<Action>(), Ok(*action));
        let json = serde_json::to_string(action).unwrap();
        assert_eq!(serde_json::from_str::<Action>(&json).unwrap(), *action);
    }
}

#[test]
fn the_schema_in_json_is_the_schema() {
    let (fragment, _) =
        cedar_policy::SchemaFragment::from_cedarschema_str(entities::SCHEMA).unwrap();
    let committed: serde_json::Value = serde_json::from_str(entities::SCHEMA_JSON).unwrap();
    assert!(fragment.to_json_value().unwrap() == committed, "see examples/schema_json.rs");
}

#[test]
fn by_default_only_administrators_and_own_names() {
    let set = default_set();
    assert!(set.warnings().is_empty(), "{:?}", set.warnings());
    let may = |principal: Principal, resource| {
        set.decide(&Question::new(principal, Action::CertIssue, resource)).allowed
    };
    let shop = || service("api").of_container(facts());
    assert!(may(human("admin").in_group(ADMIN_GROUP), dns("anything.example")));
    assert!(!may(human("admin"), dns("anything.example")));
    assert!(may(shop(), dns("api")));
    assert!(may(shop(), dns("shop-api-1")));
    assert!(!may(shop(), dns("payroll")));
    assert!(!may(shop(), ip("10.0.0.1")));
    assert!(!may(service("api"), dns("api")), "a service that is no container has no own names");
    let uri = |text: &str| Resource::Name(SubjectName::uri(text).unwrap());
    assert!(may(shop(), uri("spiffe://t.sealock/service/api")));
    assert!(!may(shop(), uri("spiffe://t.sealock/service/payroll")));
    let revoke = Question::new(shop(), Action::CertRevoke, resource_for(Action::CertRevoke));
    assert!(!set.decide(&revoke).allowed);
}

#[test]
fn what_is_reserved_is_not_among_all_certificates() {
    let certificates = r#"permit(principal, action in Sealock::Action::"Cert", resource);"#;
    let own_names = service("shop-api-1").of_container(facts());
    for (set, principal) in [(load(certificates), human("jo")), (default_set(), own_names)] {
        let may = |action| {
            set.decide(&Question::new(principal.clone(), action, dns("shop-api-1"))).allowed
        };
        assert!(may(Action::CertIssue) && may(Action::CertRenew));
        assert!(!may(Action::CertReserved) && !may(Action::CertUnder));
        assert!(!may(Action::CertPurpose));
        for action in [Action::CertRequest, Action::CertImport, Action::CertUse] {
            let foreign = Question::new(principal.clone(), action, resource_for(action));
            assert!(!set.decide(&foreign).allowed, "{action}");
        }
    }
    let admin = human("admin").in_group(ADMIN_GROUP);
    let asked = Question::new(admin, Action::CertReserved, dns("host.corp.example"));
    assert!(default_set().decide(&asked).allowed);
    let admin = human("admin").in_group(ADMIN_GROUP);
    let under = Question::new(admin, Action::CertUnder, dns("x.example")).with("issuer", "corp");
    assert!(default_set().decide(&under).allowed);
}

#[test]
fn by_default_a_container_may_trust_and_sign_nothing() {
    let set = default_set();
    let may = |principal: Principal, action, resource| {
        set.decide(&Question::new(principal, action, resource)).allowed
    };
    let shop = || service("shop-api-1").of_container(facts());
    assert!(may(shop(), Action::TrustDeliver, Resource::Authority));
    assert!(!may(service("shop-api-1"), Action::TrustDeliver, Resource::Authority));
    assert!(!may(human("jo"), Action::TrustDeliver, Resource::Authority));
    assert!(!may(shop(), Action::TrustManage, Resource::Authority));
    // The names are its own, and yet it signs neither code nor e-mail by them.
    let purpose = Action::CertPurpose;
    assert!(may(shop(), Action::CertIssue, dns("shop-api-1")));
    assert!(!may(shop(), purpose, dns("shop-api-1")));
    let identity = SubjectName::uri("spiffe://t.sealock/service/shop-api-1").unwrap();
    assert!(!may(shop(), purpose, Resource::Name(identity)));
    let mail = Resource::Name(SubjectName::email("jo@corp.example").unwrap());
    assert!(!may(shop(), purpose, mail.clone()));
    assert!(may(human("admin").in_group(ADMIN_GROUP), purpose, mail));
}

#[test]
fn domains_networks_and_labels() {
    let set = load(
        r#"permit(principal, action in Sealock::Action::"Cert", resource in Sealock::Domain::"corp.example");
           permit(principal, action, resource in Sealock::Network::"10.1.0.0/16");
           permit(principal, action, resource in Sealock::Network::"fd00::/8");
           permit(principal, action == Sealock::Action::"Transfer::Send", resource)
             when { resource.hasTag("env") && resource.getTag("env") == "prod" };"#,
    );
    let may = |action, resource| set.decide(&Question::new(human("jo"), action, resource)).allowed;
    for good in ["corp.example", "a.corp.example", "a.b.corp.example", "*.corp.example"] {
        assert!(may(Action::CertIssue, dns(good)), "{good}");
    }
    for bad in ["xcorp.example", "example", "corp.example.org", "*.example"] {
        assert!(!may(Action::CertIssue, dns(bad)), "{bad}");
    }
    assert!(may(Action::CertSign, ip("10.1.255.1")));
    assert!(!may(Action::CertSign, ip("10.2.0.1")));
    assert!(may(Action::CertSign, ip("fd12::1")));
    assert!(!may(Action::CertSign, ip("fe80::1")));
    let mail = Resource::Name(SubjectName::email("jo@mail.corp.example").unwrap());
    assert!(may(Action::CertIssue, mail));
    assert!(may(Action::TransferSend, Resource::Container(facts())));
    let mut other = facts();
    other.labels.insert("env".into(), "test".into());
    assert!(!may(Action::TransferSend, Resource::Container(other)));
}

#[test]
fn errors_show_the_place() {
    let broken = problem("// fine\npermit (principal, action resource);\n");
    assert_eq!((broken.line, broken.column), (2, 27));
    assert_eq!(
        broken.render().lines().skip(1).take(3).collect::<Vec<_>>(),
        [
            "  |",
            "2 | permit (principal, action resource);",
            "  |                           ^^^^^^^^"
        ]
    );
    let unknown = problem(
        "permit(principal, action, resource)\nwhen { resource is Sealock::Container && resource.nmae == \"x\" };",
    );
    assert_eq!((unknown.file.as_str(), unknown.line), ("test.cedar", 2));
    assert!(unknown.message.contains("nmae"), "{}", unknown.message);
    let wrong =
        problem("permit(principal, action, resource in Sealock::Domain::\"Corp.example\");");
    assert_eq!(wrong.column, 56);
    assert!(wrong.message.contains("write \"corp.example\""));
    let network =
        problem("permit(principal, action, resource in Sealock::Network::\"10.0.0.0/33\");");
    assert!(network.message.contains("is not a network"));
    let template = problem("permit(principal == ?principal, action, resource);");
    assert!(template.message.contains("templates"));
    let twice = problem(
        "@id(\"a\") permit(principal,action,resource);\n@id(\"a\") forbid(principal,action,resource);",
    );
    assert_eq!(twice.line, 2);
    assert!(twice.message.contains("already at test.cedar:1:1"), "{}", twice.message);
    assert!(problem("@id(\"a b\") permit(principal,action,resource);").message.contains("@id"));
    assert!(
        problem("permit(principal == Sealock::Robot::\"x\", action, resource);")
            .message
            .contains("Robot")
    );
}

#[test]
fn errors_hold_no_control_characters() {
    for text in [
        "\x1b[2J permit",
        "permit(principal, action, resource) when { \"\x07\" };",
        "\u{0}",
        "@id(\"\x1b\") permit(principal,action,resource);",
    ] {
        let error = PolicySet::load(&[("a\x1b.cedar".to_owned(), text.to_owned())], 1).unwrap_err();
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
        assert!(!error.render().contains(|c: char| c.is_control() && c != '\n'), "{error:?}");
    }
}

#[test]
fn a_question_that_does_not_fit_is_denied_in_every_mode() {
    let modes = Modes::default().with(Plane::Authority, Mode::Audit);
    let set = load("permit(principal, action, resource);").with_modes(modes);
    for question in [
        Question::new(human("jo"), Action::CertIssue, Resource::Audit),
        Question::new(human("jo"), Action::CertIssue, dns("a")).with("ttl", "a day"),
        Question::new(human("jo"), Action::CertIssue, dns("a")).with("colour", "red"),
    ] {
        let decision = set.decide(&question);
        assert!(!decision.allowed && !decision.permits(), "{question:?}");
        assert!(decision.fault.is_some());
        assert!(set.explain(&question).summary.contains("does not fit the schema"));
    }
    let fits = Question::new(human("jo"), Action::CertIssue, dns("a")).with("ttl", 60);
    assert!(set.decide(&fits).allowed);
}

#[test]
fn modes_record_and_let_pass() {
    let modes = Modes::default().with(Plane::Delivery, Mode::Learn);
    let set = load("").with_modes(modes);
    let send =
        set.decide(&Question::new(human("jo"), Action::TransferSend, Resource::Container(facts())));
    assert_eq!((send.allowed, send.permits(), send.mode), (false, true, Mode::Learn));
    let issue = set.decide(&Question::new(human("jo"), Action::CertIssue, dns("a")));
    assert_eq!((issue.allowed, issue.permits(), issue.mode), (false, false, Mode::Enforce));
}

#[test]
fn a_forbid_that_cannot_be_evaluated_denies() {
    let set = load(
        "permit(principal, action, resource); @id(\"sum\") forbid(principal, \
         action == Sealock::Action::\"Cert::Issue\", resource) \
         when { context has ttl && context.ttl + 1 < 0 };",
    );
    let ask = |ttl: i64| Question::new(human("jo"), Action::CertIssue, dns("a")).with("ttl", ttl);
    assert!(set.decide(&ask(60)).allowed);
    let broken = set.decide(&ask(i64::MAX));
    assert_eq!((broken.allowed, broken.rules), (false, vec!["test.cedar#sum".to_owned()]));
    assert!(set.explain(&ask(i64::MAX)).rules[0].broken);
}

#[test]
fn explain_names_the_forbidding_rule_and_what_it_read() {
    let set = load(
        "permit(principal, action, resource);\n@id(\"short\") forbid(principal, \
         action == Sealock::Action::\"Cert::Issue\", resource) \
         when { context has ttl && context.ttl > 3600 };",
    );
    let question = Question::new(human("jo"), Action::CertIssue, dns("a")).with("ttl", 7200);
    let explanation = set.explain(&question);
    assert!(!explanation.allowed && explanation.suggestion.is_none());
    assert!(explanation.summary.contains("test.cedar#short"));
    let rule = &explanation.rules[0];
    assert_eq!(
        (rule.rule.as_str(), rule.position.as_str()),
        ("test.cedar#short", "test.cedar:2:1")
    );
    let ttl = AttributeValue { path: "context.ttl".into(), value: "7200".into() };
    assert_eq!(rule.attributes, [ttl]);
}

#[test]
fn explain_names_the_condition_that_failed() {
    let set = default_set();
    let shop = service("api").of_container(facts());
    let explanation = set.explain(&Question::new(shop, Action::CertIssue, dns("payroll")));
    assert_eq!(explanation.near.len(), 1, "{explanation:?}");
    let near = &explanation.near[0];
    assert_eq!(near.rule, "default.cedar#own-names");
    assert!(
        near.condition.contains("principal.container.ownNames.contains(resource.name)")
            || near.condition.contains("ownNames"),
        "{}",
        near.condition
    );
    let paths: Vec<&str> =
        near.attributes.iter().map(|attribute| attribute.path.as_str()).collect();
    assert_eq!(paths, ["principal.container.ownNames", "resource.name"]);
    assert_eq!(near.attributes[1].value, "\"payroll\"");
}

/// The suggestion for a denial allows exactly what was asked, whatever the names in it are.
#[test]
fn the_suggested_rule_allows_the_question_even_with_hostile_names() {
    let hostile = "x\" }; permit(principal, action, resource) when { \"\\\n\u{202e}é*\u{0}";
    let mut evil = facts();
    evil.name = hostile.to_owned();
    let mut questions: Vec<Question> =
        Action::ALL.iter().map(|action| question(human("jo"), *action)).collect();
    let mut ask = |action, resource| questions.push(Question::new(human("jo"), action, resource));
    ask(Action::TransferSend, Resource::Container(evil));
    let certificate = Resource::Certificate { serial: hostile.into(), name: hostile.into() };
    ask(Action::CertRevoke, certificate);
    let uri = SubjectName::uri("x:\"});permit(principal,action,resource);//\\").unwrap();
    ask(Action::CertIssue, Resource::Name(uri));
    ask(Action::CertIssue, ip("fd00::1"));
    ask(Action::DockerImageCreate, image(hostile, hostile));
    ask(Action::DockerVolumeDelete, Resource::DockerVolume(object(hostile)));
    let risky = question(human("jo"), Action::DockerContainerCreate);
    questions.push(
        risky
            .with("risks", serde_json::json!(["cap-add", hostile]))
            .with("capAdd", serde_json::json!(["CAP_NET_ADMIN", hostile]))
            .with("networkMode", hostile),
    );
    for question in questions {
        let explanation = load("").explain(&question);
        assert!(!explanation.summary.contains(char::is_control), "{}", explanation.summary);
        let text = explanation.suggestion.unwrap();
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        let set = load(&text);
        assert_eq!(set.rules(), 1, "{text}");
        assert!(set.decide(&question).allowed, "{text}");
        let mut other = question.clone();
        other.principal = human("al");
        assert!(!set.decide(&other).allowed, "{text}");
    }
}

/// A rule that lets a container be made as it was asked for must not let a mightier one be made.
#[test]
fn the_suggested_rule_for_a_container_allows_no_more_risks() {
    let asked = question(human("jo"), Action::DockerContainerCreate)
        .with("risks", serde_json::json!(["cap-add", "network-mode"]))
        .with("capAdd", serde_json::json!(["CAP_NET_ADMIN"]))
        .with("networkMode", "host");
    let set = load(&load("").explain(&asked).suggestion.unwrap());
    assert!(set.decide(&asked).allowed);
    let less = asked.clone().with("risks", serde_json::json!(["network-mode"]));
    assert!(set.decide(&less).allowed);
    let mightier = [
        asked.clone().with("risks", serde_json::json!(["cap-add", "network-mode", "privileged"])),
        asked.clone().with("capAdd", serde_json::json!(["CAP_NET_ADMIN", "CAP_SYS_ADMIN"])),
        asked.clone().with("networkMode", "container:vault"),
        asked.clone().with("unknownFields", serde_json::json!(["HostConfig.New"])),
    ];
    for question in mightier {
        assert!(!set.decide(&question).allowed, "{question:?}");
    }
}

#[test]
fn repositories_and_host_paths_contain_what_is_below_them() {
    let set = load(
        r#"permit(principal, action == Sealock::Action::"Docker::ImageCreate",
             resource in Sealock::Repository::"registry.corp/team");
           permit(principal, action == Sealock::Action::"Docker::Mount",
             resource in Sealock::HostPath::"/srv/ci") when { context.readOnly };"#,
    );
    let may = |action, resource: Resource| {
        let question = Question::new(human("jo"), action, resource);
        let question =
            if action == Action::DockerMount { question.with("readOnly", true) } else { question };
        set.decide(&question).allowed
    };
    for good in ["registry.corp/team", "registry.corp/team/app", "registry.corp/team/a/b"] {
        assert!(may(Action::DockerImageCreate, image(good, "1")), "{good}");
    }
    for bad in ["registry.corp/teamster", "registry.corp", "evil/registry.corp/team", ""] {
        assert!(!may(Action::DockerImageCreate, image(bad, "1")), "{bad}");
    }
    let path = |path: &str| Resource::HostPath(path.into());
    for good in ["/srv/ci", "/srv/ci/cache", "/srv/ci/a/b"] {
        assert!(may(Action::DockerMount, path(good)), "{good}");
    }
    for bad in ["/", "/srv", "/srv/cix", "/etc/srv/ci", "srv/ci"] {
        assert!(!may(Action::DockerMount, path(bad)), "{bad}");
    }
    let writable = Question::new(human("jo"), Action::DockerMount, path("/srv/ci"));
    assert!(!set.decide(&writable.with("readOnly", false)).allowed);
    let all = load(
        r#"permit(principal, action == Sealock::Action::"Docker::Mount",
             resource in Sealock::HostPath::"/");"#,
    );
    let anywhere = Question::new(human("jo"), Action::DockerMount, path("/etc/shadow"));
    assert!(all.decide(&anywhere.with("readOnly", false)).allowed);
    for literal in ["/srv/../etc", "srv", "/srv/", "//srv", "/./srv"] {
        let text =
            format!("permit(principal, action, resource in Sealock::HostPath::\"{literal}\");");
        assert!(problem(&text).message.contains("can match no path"), "{literal}");
    }
    for literal in ["nginx", "library/nginx", "registry.corp/", "docker.io//x", "docker.io/Nginx"] {
        let text =
            format!("permit(principal, action, resource in Sealock::Repository::\"{literal}\");");
        assert!(problem(&text).message.contains("can match no image"), "{literal}");
    }
}

#[test]
fn groups_of_actions_hold_their_members() {
    let set = load(
        r#"permit(principal, action in Sealock::Action::"DockerRead", resource);
           forbid(principal, action in [Sealock::Action::"DockerExec"], resource);"#,
    );
    let may = |action| set.decide(&question(human("jo"), action)).allowed;
    assert!(may(Action::DockerContainerList) && may(Action::DockerSystemPing));
    assert!(!may(Action::DockerContainerArchive), "reading files is no plain reading");
    assert!(!may(Action::DockerContainerStart));
    assert!(!may(Action::DockerContainerAttachWebsocket));
    let all = load(r#"permit(principal, action in Sealock::Action::"Docker", resource);"#);
    let docker = Action::ALL.iter().filter(|action| action.plane() == Plane::Docker);
    for action in docker {
        assert!(all.decide(&question(human("jo"), *action)).allowed, "{action}");
    }
    assert!(!all.decide(&question(human("jo"), Action::CertIssue)).allowed);
}

#[test]
fn a_recorded_denial_can_be_asked_again_and_holds_no_unread_label() {
    let set = load(
        r#"permit(principal, action == Sealock::Action::"Transfer::Send", resource)
           when { resource.hasTag("env") && resource.getTag("env") == "test" };"#,
    );
    let question = Question::new(human("jo"), Action::TransferSend, Resource::Container(facts()))
        .with("path", "/etc/x");
    let decision = set.decide(&question);
    let note = decision.note(&question);
    let recorded = note.question.unwrap();
    assert!(!recorded.to_string().contains("hunter2"));
    let again: Question = serde_json::from_value(recorded).unwrap();
    assert_eq!(set.decide(&again), decision);
    let Resource::Container(kept) = &again.resource else { panic!("not a container") };
    assert_eq!(kept.labels.keys().collect::<Vec<_>>(), ["env"]);
    let computed = load(
        "permit(principal, action == Sealock::Action::\"Transfer::Send\", resource) when { resource.hasTag(resource.name) };",
    );
    assert!(computed.mentioned.label_keys.is_none());
}

/// Slicing is an optimisation: over many rules and questions the answer is the one that Cedar gives for
/// all rules at once.
#[test]
fn slices_decide_as_the_whole_set_does() {
    let scopes = [
        "resource",
        "resource is Sealock::DnsName",
        "resource is Sealock::Container",
        "resource == Sealock::DnsName::\"a.corp.example\"",
        "resource in Sealock::Domain::\"corp.example\"",
        "resource in Sealock::Domain::\"example\"",
        "resource is Sealock::DnsName in Sealock::Domain::\"a.corp.example\"",
        "resource in Sealock::Network::\"10.0.0.0/8\"",
        "resource == Sealock::Authority::\"authority\"",
    ];
    let actions = [
        "action",
        "action == Sealock::Action::\"Cert::Issue\"",
        "action in Sealock::Action::\"Cert\"",
        "action in [Sealock::Action::\"Ca\", Sealock::Action::\"Transfer::Send\"]",
    ];
    let principals =
        ["principal", "principal in Sealock::Group::\"g\"", "principal is Sealock::Human"];
    let questions = [
        (Action::CertIssue, dns("a.corp.example")),
        (Action::CertIssue, dns("b.corp.example")),
        (Action::CertIssue, dns("x.example")),
        (Action::CertSign, dns("corp.example")),
        (Action::CertIssue, ip("10.9.9.9")),
        (Action::CertRevoke, resource_for(Action::CertRevoke)),
        (Action::CaRead, Resource::Authority),
        (Action::TransferSend, Resource::Container(facts())),
        (Action::StatusRead, Resource::Status),
    ];
    let mut valid = 0;
    for (number, scope) in scopes.iter().enumerate() {
        for (other, action) in actions.iter().enumerate() {
            let who = principals[(number + other) % principals.len()];
            let permit = format!("permit({who}, {action}, {scope});\n");
            let extra = scopes[(number * 5 + other) % scopes.len()];
            let effect = if (number + other) % 2 == 0 { "forbid" } else { "permit" };
            let text = format!("{permit}{effect}(principal, action, {extra});\n");
            let Ok(set) = PolicySet::load(&source(&text), 1) else { continue };
            valid += 1;
            for (action, resource) in &questions {
                for principal in [human("jo"), human("jo").in_group("g"), service("s")] {
                    let question = Question::new(principal, *action, resource.clone());
                    assert_eq!(
                        whole(&set, &question),
                        set.decide(&question).allowed,
                        "{text}{question:?}"
                    );
                }
            }
        }
    }
    assert!(valid >= 20, "only {valid} of the generated policies were valid");
}

fn whole(set: &PolicySet, question: &Question) -> bool {
    let asked = entities::ask(&set.words, &set.mentioned, question).unwrap();
    let all =
        cedar_policy::PolicySet::from_policies(set.rules.iter().map(|rule| rule.policy.clone()));
    let response = Authorizer::new().is_authorized(&asked.request, &all.unwrap(), &asked.entities);
    response.decision() == cedar_policy::Decision::Allow
}

#[test]
fn the_digest_tells_sources_apart() {
    let digest = |sources: &[(&str, &str)]| {
        let owned: Vec<_> = sources.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
        PolicySet::load(&owned, 1).unwrap().sha256().to_owned()
    };
    assert_ne!(digest(&[("a", "//b")]), digest(&[("a//", "//b")]));
    assert_eq!(digest(&[("a", "//b")]), digest(&[("a", "//b")]));
}

#[test]
fn an_owner_is_told_from_others() {
    let set = load(
        "permit(principal, action == Sealock::Action::\"Docker::ContainerStop\", resource) \
         when { resource has owner && resource.owner == principal.identity };",
    );
    let may = |who: &str, owner: Option<&str>| {
        let owner = owner.map(|name| human(name).identity.to_string());
        let resource = Resource::Container(ContainerFacts { owner, ..facts() });
        set.decide(&Question::new(human(who), Action::DockerContainerStop, resource)).allowed
    };
    assert!(may("jo", Some("jo")));
    assert!(!may("jo", Some("al")));
    assert!(!may("jo", None));
}

#[test]
fn everything_is_permitted_only_by_a_rule_without_conditions_and_without_forbids() {
    let see = "action == Sealock::Action::\"Docker::SeeOthers\"";
    let all = |text: &str, who: Principal| load(text).permits_all(&who, Action::DockerSeeOthers);
    let jo = || human("jo").in_group("team");
    let whole = format!("permit(principal in Sealock::Group::\"team\", {see}, resource);");
    assert!(all(&whole, jo()));
    assert!(!all(&whole, human("al")));
    assert!(all("permit(principal, action, resource);", human("al")));
    assert!(all("permit(principal is Sealock::Human, action, resource);", human("al")));
    assert!(!all("permit(principal is Sealock::Service, action, resource);", human("al")));
    for part in [
        format!("permit(principal, {see}, resource is Sealock::Container);"),
        format!("permit(principal, {see}, resource) when {{ context has via }};"),
        format!(
            "{whole} forbid(principal == Sealock::Human::\"jo\", {see}, resource)
            when {{ resource is Sealock::DockerVolume }};"
        ),
        String::new(),
    ] {
        assert!(!all(&part, jo()), "{part}");
    }
    let other = format!("{whole} forbid(principal == Sealock::Human::\"al\", {see}, resource);");
    assert!(all(&other, jo()), "somebody else's forbid");
}

#[test]
fn defaults_are_of_the_rules_in_whose_scope_somebody_is() {
    let set = load(
        "@defaults(\"memory=2g, label:team=ci\") \
         permit(principal in Sealock::Group::\"ci\", action in [Sealock::Action::\"Docker::ContainerCreate\", \
         Sealock::Action::\"Docker::VolumeCreate\"], resource) when { context.risks.isEmpty() };
         @defaults(\"memory=1g, no-new-privileges\") \
         permit(principal, action == Sealock::Action::\"Docker::ContainerCreate\", resource);",
    );
    let member = set.defaults(&human("jo").in_group("ci"), Action::DockerContainerCreate);
    assert_eq!(member.memory, Some(1 << 30));
    assert!(member.no_new_privileges && member.labels.len() == 1);
    let other = set.defaults(&human("al"), Action::DockerContainerCreate);
    assert!(other.labels.is_empty() && other.no_new_privileges);
    assert_eq!(set.defaults(&human("al"), Action::DockerVolumeCreate), Defaults::default());
    let bad = problem("@defaults(\"privileged\") permit(principal, action, resource);");
    assert!(bad.message.contains("@defaults is a list of"), "{}", bad.message);
    let bad = problem("@defaults(\"pids=1\") forbid(principal, action, resource);");
    assert!(bad.message.contains("a rule that permits"), "{}", bad.message);
}
