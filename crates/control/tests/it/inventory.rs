//! `cert list` by its questions, and `cert report`.

use sealock_control::command::{
    CertificateList, CertificateState, InventoryReport, Issue, List, Names, RevocationReason,
};
use sealock_control::{Command, ErrorCode, Reply, Service};
use std::sync::Arc;

use crate::scratch::{Scratch, call, issue, issued, person, records};

async fn list(service: &Arc<Service>, list: List) -> CertificateList {
    match call(service, Command::CertList(list)).await.unwrap() {
        Reply::Certificates(found) => found,
        other => panic!("{other:?}"),
    }
}

async fn report(service: &Arc<Service>, limit: Option<usize>) -> InventoryReport {
    match call(service, Command::CertReport { limit }).await.unwrap() {
        Reply::Inventory(report) => *report,
        other => panic!("{other:?}"),
    }
}

fn names(found: &CertificateList) -> Vec<&str> {
    found.certificates.iter().map(|one| one.name.as_str()).collect()
}

/// As it is called when a label asks for it.
async fn delivered(service: &Arc<Service>, name: &str) {
    let names = Names { dns: vec!["web.example".into()], ..Names::default() };
    let wanted = Issue { name: name.into(), names, ..Issue::default() };
    call(service, Command::CertIssue(wanted)).await.unwrap();
}

#[tokio::test]
async fn a_list_is_of_one_container_issuer_or_state() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let old = issued(&service, "web").await;
    call(&service, Command::CertRenew { certificate: old.serial.clone(), ttl: None })
        .await
        .unwrap();
    let gone = issued(&service, "gone").await;
    let reason = RevocationReason::Superseded;
    call(&service, Command::CertRevoke { serial: gone.serial.clone(), reason }).await.unwrap();
    delivered(&service, "shop/tls").await;
    delivered(&service, "shopping/tls").await;
    let container = List { container: Some("shop".into()), ..List::default() };
    assert_eq!(names(&list(&service, container).await), ["shop/tls"]);
    let state = |state| List { state: Some(state), ..List::default() };
    let replaced = list(&service, state(CertificateState::Replaced)).await;
    assert_eq!(
        replaced.certificates.iter().map(|one| &one.serial).collect::<Vec<_>>(),
        [&old.serial]
    );
    assert_eq!(names(&list(&service, state(CertificateState::Revoked)).await), ["gone"]);
    assert_eq!(names(&list(&service, state(CertificateState::Expired)).await), [""; 0]);
    let valid = list(&service, List::default()).await;
    assert!(valid.certificates.iter().all(|one| one.state == "valid"));
    assert!(valid.certificates.is_sorted_by_key(|one| one.not_after));
    // What `ca show` says of the issuer is what lists are asked by.
    let Reply::Ca(ca) = call(&service, Command::CaShow).await.unwrap() else { panic!() };
    let by = |id: &str| List { issuer: Some(id.to_owned()), all: true, ..List::default() };
    let all = list(&service, List { all: true, ..List::default() }).await;
    assert_eq!(list(&service, by(&ca.intermediates[0].id)).await, all);
    assert!(all.certificates.iter().all(|one| one.issuer == ca.intermediates[0].id));
    assert_eq!(names(&list(&service, by(&ca.roots[0].id)).await), [""; 0]);
    let refused = |wrong: List| {
        let service = Arc::clone(&service);
        async move { call(&service, Command::CertList(wrong)).await.unwrap_err() }
    };
    assert_eq!(refused(by("00112233aabbccdd")).await.code, ErrorCode::NotFound);
    assert_eq!(refused(by("web")).await.code, ErrorCode::Usage);
    let both = List { all: true, ..state(CertificateState::Valid) };
    assert_eq!(refused(both).await.code, ErrorCode::Usage);
    for name in ["", "a\0b"] {
        let wrong = List { container: Some(name.into()), ..List::default() };
        assert_eq!(refused(wrong).await.code, ErrorCode::Usage);
    }
}

#[tokio::test]
async fn a_report_has_everything_or_says_what_it_leaves_out() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let web = issued(&service, "web").await;
    call(&service, Command::CertRenew { certificate: web.serial.clone(), ttl: None })
        .await
        .unwrap();
    let gone = issued(&service, "gone").await;
    let reason = RevocationReason::KeyCompromise;
    call(&service, Command::CertRevoke { serial: gone.serial, reason }).await.unwrap();
    delivered(&service, "shop/tls").await;
    let whole = report(&service, None).await;
    let all = list(&service, List { all: true, ..List::default() }).await;
    assert_eq!(whole.certificates.len(), all.certificates.len());
    assert_eq!((whole.totals.all, whole.left_out), (all.certificates.len() as u64, 0));
    assert_eq!((whole.totals.revoked, whole.totals.replaced, whole.totals.expired), (1, 1, 0));
    assert_eq!(whole.keys.iter().map(|key| key.certificates).sum::<u64>(), whole.totals.all);
    let shop = whole.certificates.iter().find(|one| one.certificate.name == "shop/tls").unwrap();
    assert_eq!(
        (shop.container.as_deref(), shop.algorithm.as_str(), shop.bits),
        (Some("shop"), "ECDSA", 256)
    );
    assert!((86_000..=86_400).contains(&shop.seconds_left), "{}", shop.seconds_left);
    assert_eq!(
        whole.issuers.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>(),
        ["root", "intermediate"]
    );
    assert_eq!(whole.issuers[1].in_force, whole.totals.all);
    // No daemon, nothing late, good keys.
    assert_eq!(whole.to_do, []);
    assert!(whole.notes[0].contains("does not run"), "{:?}", whole.notes);
    // Valid ones first; the rest is counted.
    let short = report(&service, Some(2)).await;
    assert_eq!((short.certificates.len(), short.left_out), (2, whole.totals.all - 2));
    assert_eq!(short.totals, whole.totals);
    assert!(short.certificates.iter().all(|one| one.certificate.state == "valid"));
}

/// Alarms are the status's: who may read the inventory alone is told that there may be some, and is not denied for it.
#[tokio::test]
async fn alarms_are_for_those_who_may_see_the_status() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let rule = |action: &str| {
        format!(
            "permit(principal == Sealock::Human::\"jo\", action == Sealock::Action::\"{action}\", resource);\n"
        )
    };
    std::fs::write(scratch.rule_file("jo.cedar"), rule("Cert::Read")).unwrap();
    call(&service, Command::PolicyReload).await.unwrap();
    std::fs::write(scratch.rule_file("broken.cedar"), "permit(").unwrap();
    call(&service, Command::PolicyReload).await.unwrap_err();
    let before = records(&service).len();
    let Reply::Inventory(seen) =
        service.handle(&person("jo"), Command::CertReport { limit: None }).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(seen.to_do, []);
    assert!(seen.notes[0].contains("alarms are not shown"), "{:?}", seen.notes);
    assert_eq!(records(&service).len(), before, "nothing was denied");
    let kinds: Vec<String> =
        report(&service, None).await.to_do.into_iter().map(|it| it.kind).collect();
    assert_eq!(kinds, ["policy-rejected"]);
    let denied = service.handle(&person("eve"), Command::CertReport { limit: None }).await;
    assert_eq!(denied.unwrap_err().code, ErrorCode::Denied);
    call(&service, issue("late")).await.unwrap();
}
