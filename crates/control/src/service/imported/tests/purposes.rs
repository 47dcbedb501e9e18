//! E-mail and code of the company's CA: who may ask for it, with which names, and what is asked for.

use std::fs;

use sealock_core::{Identity, IdentityKind};

use super::World;
use crate::caller::{Caller, Door};
use crate::command::{CertRequest, Command, Names, Reply, RequestReport, Usages};
use crate::error::{ErrorCode, ServiceError};

const NONE: Usages = Usages { server: false, client: false, code: false, email: false };
const EMAIL: Usages = Usages { email: true, ..NONE };
const CODE: Usages = Usages { code: true, ..NONE };

/// A request for these usages, with these addresses.
pub(super) fn mail(usages: Usages, addresses: &[&str]) -> CertRequest {
    let email = addresses.iter().map(|address| (*address).to_owned()).collect();
    let names = Names { email, ..Names::default() };
    CertRequest { name: "web".into(), names, usages, ..CertRequest::default() }
}

fn jo() -> Caller {
    let domain = "test.sealock".parse().unwrap();
    let identity = Identity::new(&domain, IdentityKind::Human, "jo").unwrap();
    let mut caller = Caller::identified(identity, Vec::new());
    caller.door = Door::Process;
    caller
}

fn by_jo(world: &World, wanted: CertRequest) -> Result<RequestReport, ServiceError> {
    match world.service().run(&jo(), "r", Command::CertRequest(wanted))? {
        Reply::Requested(report) => Ok(*report),
        other => panic!("{other:?}"),
    }
}

fn permit(world: &World, rules: &str) {
    fs::write(world.path("s/policy/jo.cedar"), rules).unwrap();
    world.call(Command::PolicyReload).unwrap();
}

fn whole(error: &ServiceError) -> String {
    format!("{}; {}; {:?}", error.message, error.causes.join("; "), error.hint)
}

const REQUESTS: &str = r#"permit(principal == Sealock::Human::"jo", action == Sealock::Action::"Cert::Request", resource);"#;

#[test]
fn to_sign_in_a_name_takes_the_right_to_that_whoever_signs_the_certificate() {
    let world = World::new();
    let own = || mail(EMAIL, &["jo@corp.example"]);
    assert_eq!(by_jo(&world, own()).unwrap_err().code, ErrorCode::Denied);
    // As people wrote it when requests were for TLS.
    permit(&world, REQUESTS);
    by_jo(&world, World::wanted()).unwrap();
    let card = Usages { client: true, ..EMAIL };
    let replacing = |wanted: CertRequest| CertRequest { replace: true, ..wanted };
    for wanted in [own(), mail(CODE, &["jo@corp.example"]), mail(card, &["jo@corp.example"])] {
        let error = by_jo(&world, replacing(wanted)).unwrap_err();
        assert_eq!(error.code, ErrorCode::Denied, "{error:?}");
        assert!(whole(&error).contains("Cert::Purpose"), "{}", whole(&error));
    }
    assert_eq!(world.standing().usages, ["server", "client"], "nothing has changed");
    // The purpose alone, without the request, is nothing either.
    let purpose = r#"permit(principal == Sealock::Human::"jo", action == Sealock::Action::"Cert::Purpose",
        resource == Sealock::Email::"jo@corp.example") when { context has profile && context.profile == "email" };"#;
    permit(&world, purpose);
    assert_eq!(by_jo(&world, replacing(own())).unwrap_err().code, ErrorCode::Denied);
    permit(&world, &format!("{REQUESTS}\n{purpose}"));
    let asked = by_jo(&world, replacing(own())).unwrap();
    assert_eq!(
        (asked.usages, asked.subject.as_str()),
        (vec!["email".to_owned()], "CN=jo@corp.example")
    );
    // In nobody else's name, not beside the own one, and not for code.
    for wanted in [
        mail(EMAIL, &["al@corp.example"]),
        mail(EMAIL, &["jo@corp.example", "al@corp.example"]),
        mail(CODE, &["jo@corp.example"]),
    ] {
        let error = by_jo(&world, replacing(wanted)).unwrap_err();
        assert_eq!(error.code, ErrorCode::Denied, "{error:?}");
    }
    assert_eq!(world.standing().names.len(), 1);
}

#[test]
fn what_goes_together_is_as_for_our_own() {
    let world =
        World::with("[upstream.acme]\nkind = \"acme\"\nurl = \"https://127.0.0.1:1/dir\"\n");
    let address = &["jo@corp.example"][..];
    let dns = |usages: Usages| {
        let names = Names { dns: vec!["www.corp.example".into()], ..Names::default() };
        CertRequest { names, ..mail(usages, &[]) }
    };
    let mut both = dns(EMAIL);
    both.names.email = vec!["jo@corp.example".into()];
    let ip = Names { ip: vec!["10.0.0.5".into()], ..Names::default() };
    let named = CertRequest { subject: Some("CN=Release,O=Corp".into()), ..mail(CODE, &[]) };
    for (wanted, part) in [
        (mail(NONE, address), "no usage"),
        (mail(Usages { client: true, ..CODE }, address), "code and something else"),
        (mail(Usages { email: true, ..CODE }, address), "code and something else"),
        (mail(Usages { server: true, ..EMAIL }, address), "e-mail and a server"),
        (mail(EMAIL, &[]), "no name"),
        (dns(EMAIL), "needs an e-mail address"),
        (both, "do not go with the usage email"),
        (CertRequest { names: ip, ..named }, "do not go with the usage code"),
        (mail(Usages { server: true, ..NONE }, address), "needs a DNS name"),
        (CertRequest { upstream: Some("acme".into()), ..dns(CODE) }, "for TLS alone"),
    ] {
        let error = world.request(wanted).unwrap_err();
        assert_eq!(error.code, ErrorCode::Usage, "{error:?}");
        assert!(whole(&error).contains(part), "{} is not about {part}", whole(&error));
    }
    // Code is signed in somebody's name.
    let long = format!("{}@corp.example", "x".repeat(60));
    let error = world.request(mail(CODE, &[long.as_str()])).unwrap_err();
    assert!(whole(&error).contains("needs a subject") && whole(&error).contains("--subject"));
    let subject = Some("CN=Release".into());
    assert!(world.request(CertRequest { subject, ..mail(CODE, &[long.as_str()]) }).is_ok());
}

#[test]
fn what_the_company_signs_for_e_mail_is_taken_renewed_and_nothing_in_its_stead() {
    let mut world = World::new();
    world.trust_root();
    let asked = world.request(mail(EMAIL, &["jo@corp.example"])).unwrap();
    let text = fs::read_to_string(world.path("s/requests/web.txt")).unwrap();
    assert!(text.contains("Usage         email"), "{text}");
    let csr = asked.waiting.unwrap().csr;
    // A server's, for that key and address, is not what was asked for.
    let other = world.sign_for(&csr, 90, rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let error = world.import(&[other, world.issuing.2.clone()]).unwrap_err();
    assert!(whole(&error).contains("does not permit the usage email"), "{}", whole(&error));
    assert!(world.standing().held.is_none());
    let leaf = world.sign(&csr, 90);
    world.import(&[leaf, world.issuing.2.clone()]).unwrap();
    world.reopen();
    let listed = world.report();
    let shown = listed.certificates.iter().find(|it| it.certificate.name == "web").unwrap();
    assert_eq!(shown.certificate.usages, ["email"]);
    // The next one is asked for as the first one was.
    world.clock.advance(std::time::Duration::from_secs(61 * super::DAY));
    world.service().keep_imported().unwrap();
    let next = world.standing();
    assert_eq!(
        (next.state.as_str(), next.usages),
        ("waiting for signature (renewal)", vec!["email".to_owned()])
    );
    let leaf = world.sign(&next.waiting.unwrap().csr, 90);
    world.import(&[leaf, world.issuing.2.clone()]).unwrap();
    assert_eq!(world.standing().state, "in use");
}
