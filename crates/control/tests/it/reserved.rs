//! Names by which the doors are known, and hosts of services by the settings: who may have a certificate for them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sealock_control::command::{Init, Issue, Names, Sign};
use sealock_control::config::ServiceSettings;
use sealock_control::service::PolicySource;
use sealock_control::{Caller, Command, Door, ErrorCode, Service, ServiceError};
use sealock_core::SubjectName;
use sealock_core::audit::Fact;
use sealock_core::policy::ContainerFacts;
use sealock_delivery::labels::{KeyType, Layout, Usages};
use sealock_delivery::watcher::{CertificateSource, Refusal, WantedCertificate};

use crate::scratch::{Scratch, call, person, records};

/// Everybody may have every certificate; but the names that are reserved are another matter.
const ALL_CERTIFICATES: &str = r#"permit(principal, action in Sealock::Action::"Cert", resource);"#;

/// By the settings of `world`, or by how it is overlapped.
const RESERVED: [&str; 12] = [
    "h1.corp.example",
    "H1.corp.example.",
    "*.corp.example",
    "localhost",
    "127.0.0.1",
    "::ffff:127.0.0.1",
    "api.corp.example",
    "10.0.0.5",
    "docker.corp.example",
    "keys.corp.example",
    "orders.shop.example",
    "*.shop.example",
];

const FREE: [&str; 4] = ["web.corp.example", "h1", "10.0.0.6", "billing.shop.example"];

async fn world(scratch: &Scratch) -> Arc<Service> {
    let mut opening = scratch.opening();
    opening.hostname = "h1.corp.example".to_owned();
    let settings = &mut opening.config.settings;
    settings.api.names = vec!["api.corp.example".to_owned(), "10.0.0.5".to_owned()];
    settings.gateway.names = vec!["docker.corp.example".to_owned()];
    settings.traffic.issuer = Some("https://keys.corp.example:8443/sealock".to_owned());
    let orders = ServiceSettings { tls: Some("orders.shop.example".into()), ..Default::default() };
    settings.services.insert("orders".to_owned(), orders);
    let service = Scratch::open(opening);
    call(&service, Command::Init(Init::default())).await.unwrap();
    service
}

async fn permit(scratch: &Scratch, service: &Arc<Service>, file: &str, rule: &str) {
    std::fs::write(scratch.rule_file(file), rule).unwrap();
    call(service, Command::PolicyReload).await.unwrap();
}

fn name(text: &str) -> SubjectName {
    SubjectName::ip(text).or_else(|_| SubjectName::dns(text)).unwrap()
}

/// A container that has taken `own` for its host name.
fn wanted(own: &str, names: &[&str]) -> WantedCertificate {
    WantedCertificate {
        container: ContainerFacts {
            id: "ef".repeat(32),
            name: "web".into(),
            own_names: BTreeSet::from(["web".into(), own.to_owned()]),
            ..ContainerFacts::default()
        },
        certificate: "x".parse().unwrap(),
        names: names.iter().map(|text| name(text)).collect(),
        imported: None,
        issuer: None,
        layout: Layout::Tls,
        usages: Usages { server: true, client: false },
        profile: None,
        ttl: Some(Duration::from_secs(600)),
        key_type: KeyType::P256,
        stores: None,
        replaces: None,
        request: "label-1".into(),
    }
}

async fn denied(source: &PolicySource, wanted: WantedCertificate) -> (String, String) {
    match source.request(wanted).await.unwrap_err() {
        Refusal::Denied { reason, hint } => (reason, hint.unwrap()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_container_with_the_brokers_name_gets_no_certificate_for_it() {
    let scratch = Scratch::new();
    let service = world(&scratch).await;
    let source = PolicySource(Arc::clone(&service));
    let before = records(&service).len();
    // The default policy gives a container its own names; these are free to choose.
    let (reason, hint) =
        denied(&source, wanted("h1.corp.example", &["web", "h1.corp.example"])).await;
    assert!(reason.contains("h1.corp.example is a name of the broker"), "{reason}");
    assert!(hint.contains("another name, host name or alias"), "{hint}");
    assert!(hint.contains("sealock policy explain label-1"), "{hint}");
    assert!(!hint.contains("permit"), "a rule for this is not to be copied: {hint}");
    let new = records(&service).split_off(before);
    assert_eq!(new.len(), 1, "nothing was issued: {new:?}");
    assert!(matches!(new[0].event.fact, Fact::Denied { .. }), "{new:?}");
    source.request(wanted("h1.corp.example", &["web"])).await.unwrap();
}

#[tokio::test]
async fn what_is_reserved_is_in_no_certificate_by_a_rule_about_certificates() {
    let scratch = Scratch::new();
    let service = world(&scratch).await;
    let source = PolicySource(Arc::clone(&service));
    permit(&scratch, &service, "all.cedar", ALL_CERTIFICATES).await;
    for free in FREE {
        source.request(wanted("web", &[free])).await.unwrap();
    }
    for reserved in RESERVED {
        let (reason, _) = denied(&source, wanted("web", &["web", reserved])).await;
        assert!(reason.contains("is reserved"), "{reserved}: {reason}");
    }
    let (reason, _) = denied(&source, wanted("web", &["orders.shop.example"])).await;
    assert!(reason.contains("the service orders"), "{reason}");
    // Whoever means it says it, for one name; and it is renewed as long as that holds.
    let rule = r#"permit(principal == Sealock::Service::"web", action == Sealock::Action::"Cert::Reserved",
        resource == Sealock::DnsName::"orders.shop.example");"#;
    permit(&scratch, &service, "orders.cedar", rule).await;
    let made = source.request(wanted("web", &["orders.shop.example"])).await.unwrap();
    let again = || WantedCertificate {
        replaces: Some(made.serial.clone()),
        ..wanted("web", &["orders.shop.example"])
    };
    source.request(again()).await.unwrap();
    denied(&source, wanted("web", &["orders.shop.example", "h1.corp.example"])).await;
    permit(&scratch, &service, "orders.cedar", "").await;
    let (reason, _) = denied(&source, again()).await;
    assert!(reason.contains("is reserved"), "a renewal is refused: {reason}");
}

fn issue(text: &str) -> Command {
    Command::CertIssue(Issue { name: "x".into(), names: names(text), ..Issue::default() })
}

fn names(text: &str) -> Names {
    match name(text) {
        SubjectName::Ip(address) => Names { ip: vec![address.to_string()], ..Names::default() },
        other => Names { dns: vec![other.to_string()], ..Names::default() },
    }
}

fn sign(text: &str) -> Command {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![text.to_owned()]).unwrap();
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    Command::CertSign(Sign { csr, ..Sign::default() })
}

fn is_reserved(answer: Result<sealock_control::Reply, ServiceError>, what: &str) {
    let error = answer.unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied, "{what}: {error:?}");
    assert!(error.message.contains("is reserved"), "{what}: {error:?}");
    assert!(error.hint.as_ref().unwrap().contains("administrator"), "{what}: {error:?}");
}

/// Over HTTPS, and from a container at the workload socket.
fn callers() -> [Caller; 2] {
    let mut remote = person("jo");
    remote.door = Door::Api;
    let mut container = person("jo");
    let facts = wanted("h1.corp.example", &[]).container;
    let identity = "spiffe://test.sealock/service/web".parse().unwrap();
    container.principal = sealock_core::policy::Principal::new(identity).of_container(facts);
    container.door = Door::Workload;
    [remote, container]
}

#[tokio::test]
async fn who_may_have_certificates_may_not_have_the_brokers() {
    let scratch = Scratch::new();
    let service = world(&scratch).await;
    permit(&scratch, &service, "all.cedar", ALL_CERTIFICATES).await;
    for caller in callers() {
        for free in FREE {
            service.handle(&caller, issue(free)).await.unwrap();
        }
        for reserved in RESERVED {
            is_reserved(service.handle(&caller, issue(reserved)).await, reserved);
        }
        is_reserved(service.handle(&caller, sign("h1.corp.example")).await, "a CSR");
    }
    // The administrator may, and what they have made nobody else renews.
    let own = Issue { name: "front".into(), names: names("h1.corp.example"), ..Issue::default() };
    call(&service, Command::CertIssue(own)).await.unwrap();
    let renew = || Command::CertRenew { certificate: "front".into(), ttl: None };
    for caller in callers() {
        is_reserved(service.handle(&caller, renew()).await, "a renewal");
    }
    call(&service, renew()).await.unwrap();
}
