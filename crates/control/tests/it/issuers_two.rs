//! Issuing CAs under the roots of two companies, side by side: each signs for its own, and neither is taken for the other.

use std::path::PathBuf;
use std::process::Command as Program;
use std::sync::Arc;

use sealock_authority::{OcspRequest, Publication};
use sealock_control::command::{
    CaImport, CaRequest, IssuerChange, IssuingReport, Reply, RevocationReason,
};
use sealock_control::service::PolicySource;
use sealock_control::{Command, ErrorCode, Service};
use sealock_core::IssuerName;
use sealock_core::audit::Fact;
use sealock_delivery::watcher::{
    CertificateSource, DeliveredCertificate, Refusal, WantedCertificate,
};
use sealock_testkit::clients::skip_without;

use crate::issuers::{ask, der, listed, openssl, signed_by, signed_by_its_company, wanted};
use crate::scratch::{Scratch, call, records};

const BOTH: [&str; 2] = ["alpha", "beta"];

/// Each company's issuer for what is below its own domain, and both for what they share.
fn rules() -> String {
    let rule = |name: &str, domain: &str| {
        format!(
            "permit (principal, action in [Sealock::Action::\"Cert::Issue\", Sealock::Action::\"Cert::Renew\",
             Sealock::Action::\"Cert::Under\"], resource in Sealock::Domain::\"{domain}\")
             when {{ context has issuer && context.issuer == \"{name}\" }};\n"
        )
    };
    let all =
        BOTH.map(|name| rule(name, &format!("{name}.example")) + &rule(name, "shared.example"));
    all.concat()
}

struct World {
    scratch: Scratch,
    service: Arc<Service>,
}

impl World {
    /// Orders that name nobody go to `alpha` first, then to `beta`.
    async fn new() -> Self {
        let scratch = Scratch::new();
        drop(scratch.initialised().await);
        std::fs::write(scratch.rule_file("companies.cedar"), rules()).unwrap();
        let mut opening = scratch.opening();
        let issuers = ["alpha", "beta", "own"].map(|name| name.parse().unwrap());
        opening.config.settings.authority.issuers = issuers.to_vec();
        let service = Scratch::open(opening);
        let world = Self { scratch, service };
        for name in BOTH {
            std::fs::create_dir(world.folder(name)).unwrap();
            signed_by_its_company(&world.service, &world.folder(name), name, "").await;
        }
        world
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.scratch.folder.path().join(name)
    }

    async fn report(&self, name: &str) -> IssuingReport {
        listed(&self.service).await.into_iter().find(|one| one.name == name).unwrap()
    }

    async fn order(&self, order: WantedCertificate) -> Result<DeliveredCertificate, Refusal> {
        PolicySource(Arc::clone(&self.service)).request(order).await
    }

    /// Ordered, and signed by this one.
    async fn given_by(&self, issuer: &str, order: WantedCertificate) -> DeliveredCertificate {
        let made = self.order(order).await.unwrap();
        assert_eq!(signed_by(&self.service, &made).await, (issuer.to_owned(), false));
        let root = std::fs::read_to_string(self.folder(issuer).join("root.pem")).unwrap();
        let first = String::from_utf8(made.ca_crt.clone()).unwrap();
        assert!(first.starts_with(root.trim()), "the root of {issuer} is first");
        made
    }

    fn denials(&self) -> usize {
        let all = records(&self.service);
        all.iter().filter(|it| matches!(it.event.fact, Fact::Denied { .. })).count()
    }
}

fn under(issuer: &str, names: &[&str]) -> WantedCertificate {
    WantedCertificate { issuer: Some(issuer.parse().unwrap()), ..wanted(names) }
}

fn again(made: &DeliveredCertificate, names: &[&str]) -> WantedCertificate {
    WantedCertificate { replaces: Some(made.serial.clone()), ..wanted(names) }
}

fn denied(refused: Result<DeliveredCertificate, Refusal>) -> String {
    match refused.unwrap_err() {
        Refusal::Denied { reason, hint } => format!("{reason} {}", hint.unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

const ALPHA: &[&str] = &["web.alpha.example"];
const BETA: &[&str] = &["web.beta.example"];
const SHARED: &[&str] = &["web.shared.example"];

#[tokio::test]
async fn two_companies_sign_for_their_own_names_only() {
    if skip_without(&["openssl"]) {
        return;
    }
    let world = World::new().await;
    let all = listed(&world.service).await;
    let told: Vec<_> = all.iter().map(|it| (it.name.as_str(), it.state.as_str())).collect();
    assert_eq!(told, [("own", "in use"), ("alpha", "in use"), ("beta", "in use")]);
    for one in &all[1..] {
        assert!(one.held.as_ref().unwrap().root.contains(&one.name), "{one:?}");
    }
    let before = world.denials();
    let of_alpha = world.given_by("alpha", wanted(ALPHA)).await;
    let of_beta = world.given_by("beta", wanted(BETA)).await;
    // Of what both may sign, the first of the settings.
    let shared = world.given_by("alpha", wanted(SHARED)).await;
    assert_eq!(world.denials(), before, "what was only tried is no denial");
    // Neither signs for the other, also not a name beside its own.
    for (issuer, names) in [("beta", ALPHA), ("alpha", BETA), ("alpha", &[ALPHA[0], BETA[0]][..])] {
        let said = denied(world.order(under(issuer, names)).await);
        assert!(said.contains("Cert::Under"), "{issuer} {names:?}: {said}");
    }
    denied(world.order(wanted(&[ALPHA[0], BETA[0]])).await);
    // A renewal stays with its line, whoever comes first, and does not change to another.
    world.given_by("alpha", again(&of_alpha, ALPHA)).await;
    world.given_by("beta", again(&of_beta, BETA)).await;
    let moved =
        WantedCertificate { issuer: Some("beta".parse().unwrap()), ..again(&of_alpha, ALPHA) };
    denied(world.order(moved).await);
    // One is disabled: what it has signed is not renewed by the other, though that may sign such names.
    let change = |change| Command::CaIssuerChange { name: "alpha".into(), change };
    call(&world.service, change(IssuerChange::Disable)).await.unwrap();
    let refused = world.order(again(&shared, SHARED)).await.unwrap_err();
    assert!(refused.to_string().contains("disabled"), "{refused:?}");
    world.given_by("beta", wanted(SHARED)).await;
    call(&world.service, change(IssuerChange::Enable)).await.unwrap();
    world.given_by("alpha", again(&shared, SHARED)).await;
}

#[tokio::test]
async fn a_new_key_of_one_company_changes_nothing_of_the_other() {
    if skip_without(&["openssl"]) {
        return;
    }
    let world = World::new().await;
    let id = |report: &IssuingReport| report.held.as_ref().unwrap().id.clone();
    let (alpha, beta) = (world.report("alpha").await, world.report("beta").await);
    let old = world.given_by("alpha", wanted(ALPHA)).await;
    let folder = world.folder("alpha");
    ask(&world.service, &folder, "alpha").await;
    assert!(world.report("alpha").await.waiting.is_some());
    assert!(world.report("beta").await.waiting.is_none());
    // What is for one is not taken for the other.
    let sign = ["x509", "-req", "-in", "ours.csr", "-CA", "root.pem", "-CAkey", "root.key"];
    let more = ["-CAcreateserial", "-days", "60", "-extfile", "ext", "-out", "next.pem"];
    openssl(&folder, &[&sign[..], &more].concat());
    let import = |name: &str| {
        let certificates = vec![der(&folder, "next.pem")];
        Command::CaImport(CaImport { name: name.into(), certificates })
    };
    let error = call(&world.service, import("beta")).await.unwrap_err();
    assert!(error.causes[0].contains("no certificate is for this key"), "{error:?}");
    call(&world.service, import("alpha")).await.unwrap();
    let next = world.report("alpha").await;
    assert_ne!(id(&next), id(&alpha));
    assert_eq!(next.retired, [id(&alpha)]);
    let same = world.report("beta").await;
    assert_eq!((id(&same), same.retired.len()), (id(&beta), 0));
    // The line goes on under the new key.
    let renewed = world.order(again(&old, ALPHA)).await.unwrap();
    let certificate = renewed.serial.clone();
    let shown = call(&world.service, Command::CertShow { certificate }).await.unwrap();
    let Reply::Certificate(shown) = shown else { panic!("{shown:?}") };
    assert_eq!(shown.issuer, id(&next));
    world.given_by("beta", wanted(BETA)).await;
}

/// Whether an issuer's list, and its responder, say that a certificate is revoked; openssl's word, by the company's root.
fn is_revoked(world: &World, issuer: &str, made: &DeliveredCertificate) -> (bool, bool) {
    let folder = world.folder(issuer);
    let authority = world.service.authority().unwrap();
    let name: IssuerName = issuer.parse().unwrap();
    let held = authority.issuer_standing(&name).unwrap().held.unwrap();
    let file = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    file("leaf.pem", &made.tls_crt);
    file("issuer.pem", held.chain.as_bytes());
    file("list.pem", authority.crl_of(held.id).unwrap().unwrap().pem().as_bytes());
    let run = |arguments: &[&str]| {
        let output = Program::new("openssl").args(arguments).current_dir(&folder).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let fixed = ["verify", "-no-CApath", "-no-CAstore", "-CAfile", "root.pem", "-untrusted"];
    let more = ["issuer.pem", "-crl_check", "-CRLfile", "list.pem", "leaf.pem"];
    let (good, said) = run(&[&fixed[..], &more].concat());
    let listed = said.contains("certificate revoked");
    assert_eq!(good, !listed, "{said}");
    let ask = ["ocsp", "-issuer", "issuer.pem", "-cert", "leaf.pem", "-no_nonce"];
    run(&[&ask[..], &["-reqout", "ask.der"]].concat());
    let request = OcspRequest::read(&std::fs::read(folder.join("ask.der")).unwrap()).unwrap();
    file("answer.der", &authority.ocsp(&request).unwrap().der);
    let trust = ["-respin", "answer.der", "-CAfile", "root.pem", "-verify_other", "issuer.pem"];
    let (_, said) = run(&[&ask[..], &trust].concat());
    assert!(said.contains("Response verify OK"), "{said}");
    let told = said.contains("leaf.pem: revoked");
    assert!(told || said.contains("leaf.pem: good"), "{said}");
    (listed, told)
}

#[tokio::test]
async fn lists_and_ocsp_of_both_companies_say_what_is_revoked_below_each() {
    if skip_without(&["openssl"]) {
        return;
    }
    let world = World::new().await;
    let published = Publication {
        url: Some("http://pki.corp.example:8480".to_owned()),
        ocsp: true,
        ..Publication::default()
    };
    world.service.authority().unwrap().publish(published).unwrap();
    let Reply::Crl(lists) = call(&world.service, Command::CaCrl).await.unwrap() else { panic!() };
    // The root's and the intermediate's of our own, and one of each company's.
    assert_eq!(lists.pem.matches("BEGIN X509 CRL").count(), 4, "{}", lists.pem);
    let of_alpha = world.given_by("alpha", wanted(ALPHA)).await;
    let of_beta = world.given_by("beta", wanted(BETA)).await;
    assert_eq!(is_revoked(&world, "alpha", &of_alpha), (false, false));
    assert_eq!(is_revoked(&world, "beta", &of_beta), (false, false));
    let revoke = |made: &DeliveredCertificate| Command::CertRevoke {
        serial: made.serial.clone(),
        reason: RevocationReason::KeyCompromise,
    };
    call(&world.service, revoke(&of_alpha)).await.unwrap();
    assert_eq!(is_revoked(&world, "alpha", &of_alpha), (true, true));
    assert_eq!(is_revoked(&world, "beta", &of_beta), (false, false));
    call(&world.service, revoke(&of_beta)).await.unwrap();
    assert_eq!(is_revoked(&world, "beta", &of_beta), (true, true));
}

#[tokio::test]
async fn the_label_issuer_chooses_among_those_that_policy_gives_and_no_other() {
    if skip_without(&["openssl"]) {
        return;
    }
    let world = World::new().await;
    let first = world.given_by("alpha", wanted(SHARED)).await;
    let second = world.given_by("beta", under("beta", SHARED)).await;
    // The label was changed: the next one is of the other company, and again.
    let moved =
        WantedCertificate { issuer: Some("beta".parse().unwrap()), ..again(&first, SHARED) };
    world.given_by("beta", moved).await;
    let back =
        WantedCertificate { issuer: Some("alpha".parse().unwrap()), ..again(&second, SHARED) };
    world.given_by("alpha", back).await;
    // Ours, by whose name nothing of this was given.
    denied(world.order(under("own", SHARED)).await);
    // One that is not there, that waits, or that is disabled: told to nobody who may not have it.
    denied(world.order(under("gamma", SHARED)).await);
    let gamma = CaRequest {
        name: "gamma".into(),
        subject: Some("CN=Gamma".into()),
        ..CaRequest::default()
    };
    call(&world.service, Command::CaRequest(gamma)).await.unwrap();
    denied(world.order(under("gamma", SHARED)).await);
    let rules = rules()
        + "permit (principal, action, resource) when { context has issuer && context.issuer == \"gamma\" };";
    std::fs::write(world.scratch.rule_file("companies.cedar"), rules).unwrap();
    call(&world.service, Command::PolicyReload).await.unwrap();
    let refused = world.order(under("gamma", SHARED)).await.unwrap_err().to_string();
    assert!(refused.contains("waits for its own certificate"), "{refused}");
    let name = "beta".to_owned();
    let change = IssuerChange::Disable;
    call(&world.service, Command::CaIssuerChange { name, change }).await.unwrap();
    let refused = world.order(under("beta", SHARED)).await.unwrap_err().to_string();
    assert!(refused.contains("disabled"), "no other takes its place: {refused}");
    let none = Command::CaIssuerChange { name: "delta".into(), change };
    assert_eq!(call(&world.service, none).await.unwrap_err().code, ErrorCode::NotFound);
}
