//! Labels request, policy grants.

use std::collections::BTreeSet;
use std::time::Duration;

use sealock_control::service::PolicySource;
use sealock_control::{Command, Reply};
use sealock_core::SubjectName;
use sealock_core::audit::Fact;
use sealock_core::policy::ContainerFacts;
use sealock_delivery::labels::{KeyType, Layout, Usages};
use sealock_delivery::watcher::{CertificateSource, Refusal, WantedCertificate};

use crate::scratch::{Scratch, records};

fn wanted(names: &[&str]) -> WantedCertificate {
    WantedCertificate {
        container: ContainerFacts {
            id: "ef".repeat(32),
            name: "shop-api-1".into(),
            own_names: BTreeSet::from(["shop-api-1".into(), "api".into()]),
            ..ContainerFacts::default()
        },
        certificate: "web".parse().unwrap(),
        names: names.iter().map(|name| SubjectName::dns(name).unwrap()).collect(),
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

#[tokio::test]
async fn own_names_are_granted_and_renewed() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let source = PolicySource(service.clone());
    let first = source.request(wanted(&["api", "shop-api-1"])).await.unwrap();
    let text = String::from_utf8(first.tls_crt.clone()).unwrap();
    assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2);
    let renewal = WantedCertificate { replaces: Some(first.serial.clone()), ..wanted(&["api"]) };
    let second = source.request(renewal).await.unwrap();
    assert_ne!(first.serial, second.serial);
    let facts: Vec<Fact> = records(&service).into_iter().map(|record| record.event.fact).collect();
    assert!(facts.iter().any(|fact| matches!(fact,
        Fact::CertRenewed { serial, replaces, .. }
            if *serial == second.serial && *replaces == first.serial)));
    assert_eq!(source.trust().anchors.len(), 1);
    assert_eq!(source.policy_epoch(), 1);
}

#[tokio::test]
async fn other_names_need_a_rule_which_is_named() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let source = PolicySource(service.clone());
    let refusal = source.request(wanted(&["api", "payroll.corp.example"])).await.unwrap_err();
    let Refusal::Denied { reason, hint } = refusal else { panic!("{refusal:?}") };
    assert!(reason.contains("payroll.corp.example"), "{reason}");
    let hint = hint.unwrap();
    assert!(hint.contains("sealock policy explain label-1"), "{hint}");
    assert!(hint.contains("principal == Sealock::Service::\"shop-api-1\""), "{hint}");
    assert!(hint.contains("resource == Sealock::DnsName::\"payroll.corp.example\""), "{hint}");
    let last = records(&service).pop().unwrap();
    assert_eq!(last.event.request, "label-1");
    assert!(matches!(last.event.fact, Fact::Denied { .. }));
}

#[tokio::test]
async fn a_revoked_certificate_is_followed_by_a_new_one() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let source = PolicySource(service.clone());
    let first = source.request(wanted(&["api"])).await.unwrap();
    let revoke = Command::CertRevoke { serial: first.serial.clone(), reason: Default::default() };
    crate::scratch::call(&service, revoke).await.unwrap();
    let renewal = WantedCertificate { replaces: Some(first.serial), ..wanted(&["api"]) };
    source.request(renewal).await.unwrap();
}

#[tokio::test]
async fn the_identity_is_decided_on_with_all_that_is_told_about_the_other_names() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let source = PolicySource(service.clone());
    let permit = async |rule: &str| {
        std::fs::write(scratch.rule_file("more.cedar"), rule).unwrap();
        crate::scratch::call(&service, Command::PolicyReload).await.unwrap();
    };
    let identity = async |wanted: WantedCertificate| {
        let made = source.request(wanted).await.unwrap();
        let show = Command::CertShow { certificate: made.serial };
        match crate::scratch::call(&service, show).await.unwrap() {
            Reply::Certificate(found) => found.identity,
            other => panic!("{other:?}"),
        }
    };
    assert!(identity(wanted(&["api"])).await.is_some());
    // Each of these is about what is known of the order, and about identities only.
    for when in [
        "context has profile && context.profile == \"server\"",
        "context has ttl && context.ttl >= 600",
        "context has usages && context.usages.contains(\"server\")",
        "context has keyType && context.keyType == \"p256\"",
        "context has name && context.name == \"web\"",
        "context has issuer && context.issuer == \"own\"",
        "context has via && context.via == \"label\"",
    ] {
        permit(&format!(
            "forbid (principal, action, resource is Sealock::Uri) when {{ {when} }};\n"
        ))
        .await;
        assert_eq!(identity(wanted(&["api"])).await, None, "{when}");
        let other = WantedCertificate {
            certificate: "other".parse().unwrap(),
            usages: Usages { server: false, client: true },
            ttl: Some(Duration::from_secs(300)),
            key_type: KeyType::P384,
            ..wanted(&["api"])
        };
        let always = when.contains("issuer") || when.contains("via");
        assert_eq!(identity(other).await.is_some(), !always, "{when}");
    }
}

#[tokio::test]
async fn the_longest_life_of_the_settings_holds_for_labels() {
    let scratch = Scratch::new();
    let mut opening = scratch.opening();
    opening.config.settings.authority.longest_life = Duration::from_secs(3600);
    let service = Scratch::open(opening);
    crate::scratch::call(&service, Command::Init(Default::default())).await.unwrap();
    let source = PolicySource(service);
    let with = |ttl: Option<u64>| WantedCertificate {
        ttl: ttl.map(Duration::from_secs),
        ..wanted(&["api"])
    };
    let refused = source.request(with(Some(3601))).await.unwrap_err();
    let Refusal::Denied { reason, hint } = refused else { panic!("{refused:?}") };
    assert!(reason.contains("too long"), "{reason}");
    assert!(hint.unwrap().contains("authority.longest_life"));
    source.request(with(Some(3600))).await.unwrap();
    // Whoever says nothing has no more.
    let made = source.request(with(None)).await.unwrap();
    let now = sealock_core::Clock::now(&sealock_core::SystemClock);
    assert!(made.not_after <= now.plus(Duration::from_secs(3600)), "{}", made.not_after);
}
