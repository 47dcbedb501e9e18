//! Certificate profiles: who may have which, within which bounds, and that a renewal keeps to them. And who may have the
//! trust bundle.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealock_control::command::{CertificateReport, Files, Issue, KeyType, Names, Sign, Usages};
use sealock_control::config::{Config, Environment};
use sealock_control::service::PolicySource;
use sealock_control::{Command, Door, ErrorCode, Reply, Service, ServiceError};
use sealock_core::SubjectName;
use sealock_core::policy::ContainerFacts;
use sealock_delivery::labels::{self, Layout};
use sealock_delivery::watcher::{CertificateSource, Refusal, WantedCertificate, WantedTrust};

use crate::scratch::{Scratch, call, person};

const SETTINGS: &str = r#"
trust_domain = "test.sealock"
[api]
listen = "127.0.0.1:0"
[gateway]
listen = "127.0.0.1:0"
[profiles.vpn]
usages = ["client"]
life = "2h"
longest = "1d"
key_types = ["p384"]
names = ["identity"]
[profiles.server]
longest = "30d"
"#;

/// By a rule on names that people write today, and one about all certificates.
const NAMES: &str =
    r#"permit(principal == Sealock::Human::"jo", action in Sealock::Action::"Cert", resource);"#;

async fn world(scratch: &Scratch, settings: &str) -> Arc<Service> {
    let mut opening = scratch.opening();
    let engine = scratch.folder.path().join("no-engine.sock");
    let settings = format!("{settings}\n[docker]\nurl = \"unix://{}\"\n", engine.display());
    let file = (PathBuf::from("/etc/sealock/sealock.toml"), settings);
    let config = Config::from_parts(Some(&file), &Environment::default(), &vec![]).unwrap();
    opening.config = config;
    Scratch::open(opening)
}

async fn started(scratch: &Scratch) -> Arc<Service> {
    let service = world(scratch, SETTINGS).await;
    call(&service, Command::Init(Default::default())).await.unwrap();
    service
}

async fn permit(scratch: &Scratch, service: &Arc<Service>, rule: &str) {
    std::fs::write(scratch.rule_file("more.cedar"), rule).unwrap();
    call(service, Command::PolicyReload).await.unwrap();
}

fn order(name: &str, profile: &str, names: Names) -> Issue {
    Issue { name: name.into(), profile: Some(profile.into()), names, ..Issue::default() }
}

fn uri(text: &str) -> Names {
    Names { uri: vec![text.into()], ..Names::default() }
}

fn email() -> Names {
    Names { email: vec!["jo@corp.example".into()], ..Names::default() }
}

fn files(reply: Result<Reply, ServiceError>) -> Files {
    match reply.unwrap() {
        Reply::Files(files) => *files,
        other => panic!("{other:?}"),
    }
}

async fn show(service: &Arc<Service>, certificate: &str) -> CertificateReport {
    match call(service, Command::CertShow { certificate: certificate.into() }).await.unwrap() {
        Reply::Certificate(report) => *report,
        other => panic!("{other:?}"),
    }
}

async fn fails(service: &Arc<Service>, order: Issue) -> ServiceError {
    call(service, Command::CertIssue(order)).await.unwrap_err()
}

fn whole(error: &ServiceError) -> String {
    let hint = error.hint.clone().unwrap_or_default();
    format!("{} / {} / {hint}", error.message, error.causes.join(": "))
}

#[tokio::test]
async fn an_order_is_of_its_profile_or_is_none() {
    let scratch = Scratch::new();
    let service = started(&scratch).await;
    let identity = || uri("spiffe://test.sealock/service/laptop");
    let vpn = |change: fn(&mut Issue)| {
        let mut order = Issue { key_type: KeyType::P384, ..order("laptop", "vpn", identity()) };
        change(&mut order);
        order
    };
    let made = files(call(&service, Command::CertIssue(vpn(|_| {}))).await);
    let life = made.not_after.since(made.not_before);
    assert!(life >= Duration::from_secs(7200) && life < Duration::from_secs(7400), "{life:?}");
    let shown = show(&service, &made.serial).await;
    assert_eq!((shown.profile.as_str(), shown.usages), ("vpn", vec!["client".to_owned()]));

    for (order, part) in [
        (vpn(|it| it.key_type = KeyType::P256), "for p256 keys, but for p384"),
        (vpn(|it| it.ttl = Some(2 * 86_400)), "live for 1d at most"),
        (vpn(|it| it.names.dns = vec!["a.example".into()]), "with dns names, but with identity"),
        (vpn(|it| it.profile = Some("vnp".into())), "did you mean `vpn`"),
        (vpn(|it| it.profile = Some("ocsp".into())), "the authority's own"),
        (vpn(|it| it.profile = Some("intermediate".into())), "the authority's own"),
        (vpn(|it| it.usages = Some(Usages::default())), "not both"),
        (order("jo", "email", Names::default()), "with dns names"),
        (order("jo", "email", uri("spiffe://test.sealock/human/jo")), "e-mail address"),
        // Without a profile it is that of the usages: its bounds hold for who names none, too.
        (
            Issue {
                name: "web".into(),
                usages: Some(Usages { client: false, ..Usages::default() }),
                ttl: Some(60 * 86_400),
                ..Issue::default()
            },
            "live for 30d at most",
        ),
    ] {
        let error = fails(&service, order).await;
        assert_eq!(error.code, ErrorCode::Usage, "{error:?}");
        assert!(whole(&error).contains(part), "{} is not about {part}", whole(&error));
    }
    let web = files(call(&service, crate::scratch::issue("web")).await);
    assert_eq!(show(&service, &web.serial).await.profile, "both");
}

#[tokio::test]
async fn who_may_have_names_signs_neither_code_nor_e_mail() {
    let scratch = Scratch::new();
    let service = started(&scratch).await;
    permit(&scratch, &service, NAMES).await;
    let mut jo = person("jo");
    jo.door = Door::Api;
    let ask = |order: Issue| service.handle(&jo, Command::CertIssue(order));
    let names = || Names { dns: vec!["release.corp.example".into()], ..Names::default() };
    files(ask(order("release", "server", names())).await);
    for order in [order("release", "code", names()), order("jo", "email", email())] {
        let error = ask(order).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Denied, "{error:?}");
        assert!(whole(&error).contains("Cert::Purpose"), "{}", whole(&error));
    }
    // By a CSR it is the same, and the administrator's are renewed by nobody else.
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::new(vec!["release.corp.example".to_owned()]).unwrap();
    let csr = csr.serialize_request(&key).unwrap().pem().unwrap();
    let sign = Sign { csr, profile: Some("code".into()), ..Sign::default() };
    let refused = service.handle(&jo, Command::CertSign(sign.clone())).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Denied);
    let made = files(call(&service, Command::CertSign(sign)).await);
    assert_eq!(show(&service, &made.serial).await.usages, ["code"]);
    let renew = || Command::CertRenew { certificate: made.serial.clone(), ttl: None };
    assert_eq!(service.handle(&jo, renew()).await.unwrap_err().code, ErrorCode::Denied);

    // Whoever means it says it, by what it is for.
    let rule = format!(
        "{NAMES}\npermit(principal == Sealock::Human::\"jo\", action == Sealock::Action::\"Cert::Purpose\",
        resource is Sealock::Email) when {{ context has usages && context.usages == [\"email\"] &&
        context has profile && context.profile == \"email\" }};"
    );
    permit(&scratch, &service, &rule).await;
    files(ask(order("jo", "email", email())).await);
    let code = order("release", "code", Names { email: email().email, ..names() });
    assert_eq!(ask(code).await.unwrap_err().code, ErrorCode::Denied);
}

#[tokio::test]
async fn a_renewal_is_of_the_profile_of_now() {
    let scratch = Scratch::new();
    let service = started(&scratch).await;
    let laptop = Issue {
        key_type: KeyType::P384,
        ttl: Some(86_400),
        ..order("laptop", "vpn", uri("spiffe://test.sealock/service/laptop"))
    };
    let first = files(call(&service, Command::CertIssue(laptop)).await);
    let mail = files(call(&service, Command::CertIssue(order("jo", "email", email()))).await);
    let renew = |serial: &str| Command::CertRenew { certificate: serial.to_owned(), ttl: None };
    let second = files(call(&service, renew(&first.serial)).await);
    assert_eq!(show(&service, &second.serial).await.profile, "vpn");
    let again = files(call(&service, renew(&mail.serial)).await);
    let shown = show(&service, &again.serial).await;
    assert_eq!((shown.profile.as_str(), shown.usages), ("email", vec!["email".to_owned()]));
    drop(service);

    // What was ordered before may be too long by now: it is renewed for as long as may be.
    let shorter = SETTINGS.replace("longest = \"1d\"", "longest = \"3h\"");
    let service = world(&scratch, &shorter).await;
    let third = files(call(&service, renew(&second.serial)).await);
    assert!(third.not_after.since(third.not_before) < Duration::from_secs(4 * 3600));
    let too_long = Command::CertRenew { certificate: third.serial.clone(), ttl: Some(86_400) };
    assert_eq!(call(&service, too_long).await.unwrap_err().code, ErrorCode::Usage);
    drop(service);

    // The setting for all of them is no less a bound than the profile's own.
    let whole_host = format!("{SETTINGS}\n[authority]\nlongest_life = \"2h\"\n");
    let service = world(&scratch, &whole_host).await;
    let least = files(call(&service, renew(&second.serial)).await);
    assert!(least.not_after.since(least.not_before) < Duration::from_secs(3 * 3600));
    drop(service);

    // Other usages, other keys, or no such profile any more: it has to be issued anew.
    for (settings, part) in [
        (SETTINGS.replace("[\"client\"]", "[\"server\"]"), "is not for client any more"),
        (SETTINGS.replace("[\"p384\"]", "[\"p256\"]"), "for p384 keys"),
        (SETTINGS.replace("[profiles.vpn]", "[profiles.other]"), "no profile `vpn`"),
    ] {
        let service = world(&scratch, &settings).await;
        let error = call(&service, renew(&third.serial)).await.unwrap_err();
        assert!(whole(&error).contains(part), "{}", whole(&error));
    }
}

fn container() -> ContainerFacts {
    ContainerFacts {
        id: "ef".repeat(32),
        name: "shop".into(),
        own_names: BTreeSet::from(["shop".into()]),
        ..ContainerFacts::default()
    }
}

fn labelled(profile: &str) -> WantedCertificate {
    WantedCertificate {
        container: container(),
        certificate: "web".parse().unwrap(),
        names: vec![SubjectName::dns("shop").unwrap()],
        imported: None,
        issuer: None,
        layout: Layout::Tls,
        usages: labels::Usages { server: true, client: true },
        profile: Some(profile.parse().unwrap()),
        ttl: None,
        key_type: labels::KeyType::P256,
        stores: None,
        replaces: None,
        request: "label-1".into(),
    }
}

async fn refusal(source: &PolicySource, wanted: WantedCertificate) -> String {
    match source.request(wanted).await.unwrap_err() {
        Refusal::Denied { reason, hint } => format!("{reason} / {}", hint.unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn labels_name_profiles_and_get_what_policy_grants() {
    let scratch = Scratch::new();
    let service = started(&scratch).await;
    let source = PolicySource(Arc::clone(&service));
    let first = source.request(labelled("short")).await.unwrap();
    let shown = show(&service, &first.serial).await;
    assert_eq!((shown.profile.as_str(), shown.usages), ("short", vec!["server".to_owned()]));
    let life = first.not_after.since(shown.not_before);
    assert!(life >= Duration::from_secs(6 * 86_400), "as the profile says: {life:?}");
    // Another label, and the renewal is of that.
    let other = WantedCertificate { replaces: Some(first.serial.clone()), ..labelled("both") };
    let second = source.request(other).await.unwrap();
    let shown = show(&service, &second.serial).await;
    assert_eq!((shown.profile.as_str(), shown.usages.len()), ("both", 2));

    // The names are its own, by the default policy; that is no right to sign by them.
    let code = refusal(&source, labelled("code")).await;
    assert!(code.contains("Cert::Purpose"), "{code}");
    assert!(refusal(&source, labelled("email")).await.contains("dns names"));
    assert!(refusal(&source, labelled("vnp")).await.contains("did you mean `vpn`"));
    assert!(refusal(&source, labelled("ocsp")).await.contains("the authority's own"));
    // A rule about one name gives that one, and not the identity along with it.
    let rule = r#"permit(principal == Sealock::Service::"shop", action == Sealock::Action::"Cert::Purpose",
        resource == Sealock::DnsName::"shop");"#;
    permit(&scratch, &service, rule).await;
    let signs = source.request(labelled("code")).await.unwrap();
    let shown = show(&service, &signs.serial).await;
    assert_eq!((shown.usages, shown.identity), (vec!["code".to_owned()], None));
    let long =
        WantedCertificate { ttl: Some(Duration::from_secs(60 * 86_400)), ..labelled("server") };
    assert!(refusal(&source, long).await.contains("30d at most"));
}

#[tokio::test]
async fn a_container_may_have_the_trust_bundle_unless_policy_forbids_it() {
    let scratch = Scratch::new();
    let service = started(&scratch).await;
    let source = PolicySource(Arc::clone(&service));
    let wanted = |path: &str| WantedTrust {
        container: container(),
        name: "company".parse().unwrap(),
        path: path.parse().unwrap(),
        request: "label-2".into(),
    };
    source.may_have_trust(wanted("/etc/ssl/certs/company.pem")).await.unwrap();
    let rule = r#"forbid(principal, action == Sealock::Action::"Trust::Deliver", resource)
        unless { context has path && context.path like "/run/*" };"#;
    permit(&scratch, &service, rule).await;
    source.may_have_trust(wanted("/run/company.pem")).await.unwrap();
    let refused = source.may_have_trust(wanted("/etc/ssl/certs/company.pem")).await.unwrap_err();
    let Refusal::Denied { hint, .. } = refused else { panic!("{refused:?}") };
    assert!(hint.unwrap().contains("policy explain label-2"));
}
