//! Who signs: the issuer that is named, or the first of the settings that policy permits.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command as Program;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use sealock_control::command::{
    CaImport, CaRequest, Issue, IssuerChange, IssuingReport, Names, Reply, TrustAdd,
};
use sealock_control::service::PolicySource;
use sealock_control::{Command, ErrorCode, Service};
use sealock_core::SubjectName;
use sealock_core::audit::Fact;
use sealock_core::policy::ContainerFacts;
use sealock_delivery::labels::{KeyType, Layout, Usages};
use sealock_delivery::watcher::{
    CertificateSource, DeliveredCertificate, Refusal, WantedCertificate,
};
use sealock_testkit::clients::skip_without;

use crate::scratch::{Scratch, call, person, records};

/// The company's issuer for what is below its domain, and only for servers.
const RULES: &str = "
permit (principal, action in [Sealock::Action::\"Cert::Issue\", Sealock::Action::\"Cert::Renew\", Sealock::Action::\"Cert::Under\"],
  resource in Sealock::Domain::\"corp.example\")
when { context has issuer && context.issuer == \"corp\" };
";

pub(crate) fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Program::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn der(folder: &Path, name: &str) -> String {
    openssl(folder, &["x509", "-in", name, "-outform", "DER", "-out", "out.der"]);
    BASE64.encode(&std::fs::read(folder.join("out.der")).unwrap())
}

/// A service with the issuer `corp`, whose root is openssl's. Orders that name nobody go to it first.
async fn service(scratch: &Scratch) -> Arc<Service> {
    service_with(scratch, &["corp", "own"], "").await
}

/// The same with these issuers in the settings, and these constraints in the CA.
async fn service_with(scratch: &Scratch, issuers: &[&str], constraints: &str) -> Arc<Service> {
    drop(scratch.initialised().await);
    std::fs::write(scratch.rule_file("corp.cedar"), RULES).unwrap();
    let mut opening = scratch.opening();
    let issuers = issuers.iter().map(|name| name.parse().unwrap()).collect();
    opening.config.settings.authority.issuers = issuers;
    let service = Scratch::open(opening);
    corp_signed(&service, scratch.folder.path(), constraints).await;
    service
}

/// Has the CA `corp` signed by a company whose root is known from then on, with these extensions beside; again: for the
/// same key.
pub(crate) async fn corp_signed(service: &Arc<Service>, folder: &Path, more: &str) {
    signed_by_its_company(service, folder, "corp", more).await;
}

/// The same for an issuer of any name, whose company has the folder to itself.
pub(crate) async fn signed_by_its_company(
    service: &Arc<Service>,
    folder: &Path,
    name: &str,
    more: &str,
) {
    std::fs::write(
        folder.join("ext"),
        format!("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n{more}\n"),
    )
    .unwrap();
    if !folder.join("ours.csr").exists() {
        ask(service, folder, name).await;
    }
    let sign = ["x509", "-req", "-in", "ours.csr", "-CA", "root.pem", "-CAkey", "root.key"];
    let more = ["-CAcreateserial", "-days", "60", "-extfile", "ext", "-out", "ours.pem"];
    openssl(folder, &[&sign[..], &more].concat());
    let import = CaImport { name: name.into(), certificates: vec![der(folder, "ours.pem")] };
    call(service, Command::CaImport(import)).await.unwrap();
}

/// Has the company make its root, where there is none, and the CSR go out: for a new key, where one signs already.
pub(crate) async fn ask(service: &Arc<Service>, folder: &Path, name: &str) {
    if !folder.join("root.pem").exists() {
        let make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key"];
        let root = format!("/O={name}/CN=Root");
        let more = ["-subj", &root, "-days", "99", "-out", "root.pem"];
        openssl(folder, &[&make[..], &more].concat());
        let trust = TrustAdd {
            certificate: der(folder, "root.pem"),
            name: Some(name.into()),
            intermediate: false,
        };
        call(service, Command::TrustAdd(trust)).await.unwrap();
    }
    let wanted = CaRequest {
        name: name.into(),
        subject: Some(format!("CN=Docker Issuing CA,O={name}")),
        ..CaRequest::default()
    };
    let Reply::Issuer(waiting) = call(service, Command::CaRequest(wanted)).await.unwrap() else {
        panic!("no request")
    };
    std::fs::write(folder.join("ours.csr"), waiting.waiting.unwrap().csr).unwrap();
}

pub(crate) fn wanted(names: &[&str]) -> WantedCertificate {
    WantedCertificate {
        container: ContainerFacts {
            id: "ef".repeat(32),
            name: "web".into(),
            own_names: BTreeSet::from(["web".into()]),
            ..ContainerFacts::default()
        },
        certificate: "main".parse().unwrap(),
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

pub(crate) async fn listed(service: &Arc<Service>) -> Vec<IssuingReport> {
    match call(service, Command::CaIssuers).await.unwrap() {
        Reply::Issuers(all) => all,
        other => panic!("{other:?}"),
    }
}

/// Whose name stands in a certificate as its issuer, and whether it has an identity.
pub(crate) async fn signed_by(
    service: &Arc<Service>,
    made: &DeliveredCertificate,
) -> (String, bool) {
    let certificate = made.serial.clone();
    let Reply::Certificate(report) =
        call(service, Command::CertShow { certificate }).await.unwrap()
    else {
        panic!("no certificate")
    };
    let all = listed(service).await;
    let is_of = |one: &&IssuingReport| one.held.as_ref().is_some_and(|it| it.id == report.issuer);
    (all.iter().find(is_of).unwrap().name.clone(), report.identity.is_some())
}

#[tokio::test]
async fn policy_chooses_and_a_rule_about_certificates_gives_our_own_only() {
    if skip_without(&["openssl"]) {
        return;
    }
    let scratch = Scratch::new();
    let service = service(&scratch).await;
    let source = PolicySource(service.clone());
    let denials = || {
        let all = records(&service);
        all.iter().filter(|it| matches!(it.event.fact, Fact::Denied { .. })).count()
    };
    let before = denials();
    // Its own name: the default policy, and so our own issuer, whatever comes first in the settings.
    let own = source.request(wanted(&["web"])).await.unwrap();
    assert_eq!(signed_by(&service, &own).await, ("own".to_owned(), true));
    // Below the company's domain: by the rule.
    let corp = source.request(wanted(&["web.corp.example"])).await.unwrap();
    assert_eq!(signed_by(&service, &corp).await, ("corp".to_owned(), false));
    assert_eq!(denials(), before, "what was only tried is no denial");
    let first = String::from_utf8(corp.ca_crt.clone()).unwrap();
    let root = std::fs::read_to_string(scratch.folder.path().join("root.pem")).unwrap();
    assert!(first.starts_with(root.trim()), "the root above it is first: {first}");
    assert_eq!(first.matches("BEGIN CERT").count(), 2, "and none is there twice");
    // Both: neither permits it, and the last is the one that is recorded.
    let refused = source.request(wanted(&["web", "web.corp.example"])).await.unwrap_err();
    assert!(matches!(refused, Refusal::Denied { .. }), "{refused:?}");
    assert_eq!(denials(), before + 1);
    // Named, its own name does not come from the company's issuer: only `Cert::Under` gives that.
    let named = WantedCertificate { issuer: Some("corp".parse().unwrap()), ..wanted(&["web"]) };
    let refused = source.request(named).await.unwrap_err();
    let Refusal::Denied { reason, hint } = refused else { panic!("{refused:?}") };
    assert!(reason.contains("Cert::Under"), "{reason}");
    assert!(hint.unwrap().contains("Cert::Under"));
    // A renewal stays where it was, though the first of the settings could have it now.
    let rule = "permit (principal, action == Sealock::Action::\"Cert::Under\", resource);";
    std::fs::write(scratch.rule_file("more.cedar"), rule).unwrap();
    call(&service, Command::PolicyReload).await.unwrap();
    let renewal = WantedCertificate { replaces: Some(own.serial), ..wanted(&["web"]) };
    let renewed = source.request(renewal).await.unwrap();
    assert_eq!(signed_by(&service, &renewed).await.0, "own");
    let renewal =
        WantedCertificate { replaces: Some(corp.serial), ..wanted(&["web.corp.example"]) };
    let renewed = source.request(renewal).await.unwrap();
    assert_eq!(signed_by(&service, &renewed).await.0, "corp");
    // By what lies there its clients are let in: ours only.
    let docker = WantedCertificate { layout: Layout::Docker, ..wanted(&["web"]) };
    let made = source.request(docker.clone()).await.unwrap();
    assert_eq!(signed_by(&service, &made).await.0, "own");
    let docker = WantedCertificate { issuer: Some("corp".parse().unwrap()), ..docker };
    let refused = source.request(docker).await.unwrap_err();
    assert!(matches!(refused, Refusal::Denied { .. }), "{refused:?}");
}

#[tokio::test]
async fn an_order_names_its_issuer_and_an_identity_is_our_own_only() {
    if skip_without(&["openssl"]) {
        return;
    }
    let scratch = Scratch::new();
    let service = service(&scratch).await;
    let issue = |issuer: Option<&str>, names: Names| {
        let issuer = issuer.map(ToOwned::to_owned);
        Command::CertIssue(Issue { name: "db".into(), names, issuer, ..Issue::default() })
    };
    let identity = "spiffe://test.sealock/service/db".to_owned();
    let with = || Names { uri: vec![identity.clone()], ..Names::default() };
    let error = call(&service, issue(Some("corp"), with())).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Usage, "{error:?}");
    assert!(error.message.contains("identity"), "{error:?}");
    let of = |reply: Reply| match reply {
        Reply::Files(files) => *files,
        other => panic!("{other:?}"),
    };
    // Asked for by its identity it is ours, whatever comes first.
    let files = of(call(&service, issue(None, with())).await.unwrap());
    assert_eq!(files.names.len(), 1);
    // The administrator may have it from the first; the identity that nobody asked for is left out.
    let files = of(call(&service, issue(None, Names::default())).await.unwrap());
    assert_eq!(files.names, [SubjectName::dns("db").unwrap()]);
    let files = of(call(&service, issue(Some("own"), Names::default())).await.unwrap());
    assert_eq!(files.names.len(), 2);
    for (issuer, code) in [("nobody", ErrorCode::NotFound), ("No Name", ErrorCode::Usage)] {
        let error = call(&service, issue(Some(issuer), Names::default())).await.unwrap_err();
        assert_eq!(error.code, code, "{error:?}");
    }
    // To those who may not, it is not said which issuers there are.
    let error = service.handle(&person("jo"), issue(Some("nobody"), Names::default())).await;
    assert_eq!(error.unwrap_err().code, ErrorCode::Denied);
}

#[tokio::test]
async fn settings_without_our_own_issuer_do_not_fall_back_to_it() {
    if skip_without(&["openssl"]) {
        return;
    }
    let scratch = Scratch::new();
    let constraints = "nameConstraints=critical,permitted;DNS:corp.example";
    let service = service_with(&scratch, &["corp"], constraints).await;
    let issued = || {
        let all = records(&service);
        all.iter().filter(|it| matches!(it.event.fact, Fact::CertIssued { .. })).count()
    };
    let before = issued();
    let issue = |name: &str, names: Names| {
        Command::CertIssue(Issue { name: name.into(), names, ..Issue::default() })
    };
    let dns = |name: &str| Names { dns: vec![name.to_owned()], ..Names::default() };
    let error = call(&service, issue("web", dns("web.other.example"))).await.unwrap_err();
    assert!(error.message.contains("outside the name constraints"), "{error:?}");
    let identity = "spiffe://test.sealock/service/db".to_owned();
    let names = Names { uri: vec![identity], ..Names::default() };
    let error = call(&service, issue("db", names)).await.unwrap_err();
    assert!(error.message.contains("identity") && error.message.contains("corp"), "{error:?}");
    // Whoever may have nothing is told nothing of that.
    let order = issue("web", dns("web.other.example"));
    let error = service.handle(&person("jo"), order).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied, "{error:?}");
    assert!(!error.message.contains("constraints"), "{error:?}");
    // A label, too.
    let source = PolicySource(service.clone());
    std::fs::write(scratch.rule_file("all.cedar"), "permit (principal, action, resource);")
        .unwrap();
    call(&service, Command::PolicyReload).await.unwrap();
    let refused = source.request(wanted(&["web"])).await.unwrap_err();
    assert!(format!("{refused:?}").contains("constraints"), "{refused:?}");
    assert_eq!(issued(), before, "nothing was issued, by whomever");
    // Disabled, it is not replaced by ours either.
    let change = IssuerChange::Disable;
    call(&service, Command::CaIssuerChange { name: "corp".into(), change }).await.unwrap();
    let error = call(&service, issue("web", dns("web.corp.example"))).await.unwrap_err();
    assert!(error.message.contains("disabled"), "{error:?}");
    let change = IssuerChange::Enable;
    call(&service, Command::CaIssuerChange { name: "corp".into(), change }).await.unwrap();
    let made = source.request(wanted(&["web.corp.example"])).await.unwrap();
    assert_eq!(signed_by(&service, &made).await.0, "corp");
    // In the audit log stands who has renewed it.
    let renewal =
        WantedCertificate { replaces: Some(made.serial), ..wanted(&["web.corp.example"]) };
    let renewed = source.request(renewal).await.unwrap();
    let all = records(&service);
    let named = all.iter().find_map(|it| match &it.event.fact {
        Fact::CertRenewed { serial, issuer, .. } if *serial == renewed.serial => issuer.clone(),
        _ => None,
    });
    assert_eq!(named.as_deref(), Some("corp"));
}
