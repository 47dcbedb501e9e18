//! What pkilint (digicert's linter for RFC 5280) says. It is found in the folder that `SEALOCK_PKILINT`
//! names, or on the path.

use std::path::PathBuf;
use std::time::Duration;

use sealock_authority::{
    CreateOptions, KeySource, KeyType, NameConstraints, OcspRequest, Order, Publication, Usages,
};
use sealock_core::SubjectName;

use crate::common::{Place, Scratch, actor, available, options, order, run, succeed, text};
use crate::issuers::{Company, corp};

/// pkilint knows no URI scheme `spiffe`: the standard leaves the authority part to the trust domain (SPIFFE ID §2).
const URI: [&str; 1] = ["pkix.invalid_uri_syntax"];
/// RFC 5280 leaves the meaning of `*` in DNS names to others (RFC 6125 took it up).
const DNS: [&str; 1] = ["pkix.invalid_domain_name_syntax"];

fn linter(program: &str) -> Option<String> {
    let folder = std::env::var_os("SEALOCK_PKILINT").map(PathBuf::from).unwrap_or_default();
    let program = folder.join(program).to_str()?.to_owned();
    available(&program).then_some(program)
}

/// Nothing above a notice, but for these findings: exactly these, so that one that goes away is noticed, too.
fn clean_but(program: &str, arguments: &[&str], known: &[&str]) {
    let all = [&["lint", "--severity", "WARNING"], arguments].concat();
    let output = run(program, &all);
    let said = text(&output);
    let severe = |line: &&str| ["(WARNING)", "(ERROR)", "(FATAL)"].iter().any(|s| line.contains(s));
    let findings: Vec<&str> = said.lines().filter(severe).map(str::trim).collect();
    let as_known = findings.len() == known.len()
        && known.iter().all(|code| findings.iter().any(|finding| finding.starts_with(code)));
    // Its exit code is the number of findings.
    let code = output.status.code().and_then(|code| usize::try_from(code).ok());
    assert!(as_known && code == Some(known.len()), "{program} {arguments:?}: {said}");
}

fn clean(program: &str, arguments: &[&str]) {
    clean_but(program, arguments, &[]);
}

/// With everything that can be in a certificate about where more is found, or without any of it.
fn published(urls: bool) -> Publication {
    let url = urls.then(|| "http://pki.corp.example:8480".to_owned());
    Publication { url, ocsp: urls, ..Publication::default() }
}

/// One order of each profile, and what pkilint has against it that is not so.
fn one_of_each_profile() -> Vec<(Order, &'static [&'static str])> {
    let of = |usages: Usages, order: Order| Order {
        usages,
        profile: Some(usages.usual_profile().to_owned()),
        ..order
    };
    let service = |name: &str| {
        let identity = format!("spiffe://corp.example/service/{name}").parse().unwrap();
        Order { name: name.into(), identity: Some(identity), ..order(&[]) }
    };
    let address = vec![SubjectName::email("jo@corp.example").unwrap()];
    let mail = Order { name: "jo".into(), names: address.clone(), ..order(&[]) };
    let card = Usages { client: true, ..Usages::EMAIL };
    let person = Order {
        name: "jo".into(),
        identity: Some("spiffe://corp.example/human/jo".parse().unwrap()),
        names: address.clone(),
        ..order(&[])
    };
    let release = Order { name: "release".into(), names: address, ..order(&[]) };
    vec![
        (of(Usages::SERVER, order(&["web.corp.example", "db.corp.example"])), &[]),
        (of(Usages::BOTH, order(&["web.corp.example"])), &[]),
        (of(Usages::CLIENT, service("shop")), &URI),
        (of(Usages::CODE, service("release")), &URI),
        (of(Usages::CODE, release), &[]),
        (of(Usages::EMAIL, mail), &[]),
        (of(card, person), &URI),
    ]
}

/// Each run of pkilint takes a second, so they are made side by side.
fn every_profile_is_clean(urls: bool, kinds: &[KeyType]) {
    let Some(program) = linter("lint_pkix_cert") else { return };
    let scratch = Place::new().create(&CreateOptions { publication: published(urls), ..options() });
    let mut leaves = Vec::new();
    for kind in kinds {
        for (order, known) in one_of_each_profile() {
            let order = Order { key: KeySource::Generate(*kind), ..order };
            let issued = scratch.issue(&order).unwrap();
            let leaf = scratch.authority.show(&issued.serial.to_string()).unwrap().pem;
            leaves.push((scratch.file(&format!("{}.pem", issued.serial), leaf), known));
        }
    }
    for some in leaves.chunks(4) {
        std::thread::scope(|scope| {
            for (file, known) in some {
                scope.spawn(|| clean_but(&program, &[file], known));
            }
        });
    }
}

#[test]
fn every_profile_is_clean_on_curves() {
    every_profile_is_clean(false, &[KeyType::P256, KeyType::P384]);
}

#[test]
fn every_profile_is_clean_on_curves_with_urls() {
    every_profile_is_clean(true, &[KeyType::P256, KeyType::P384]);
}

#[test]
fn every_profile_is_clean_with_ed25519_and_rsa() {
    every_profile_is_clean(false, &[KeyType::Ed25519, KeyType::Rsa3072]);
}

#[test]
fn every_profile_is_clean_with_ed25519_and_rsa_with_urls() {
    every_profile_is_clean(true, &[KeyType::Ed25519, KeyType::Rsa3072]);
}

/// The responder's certificate, as it comes along with an answer.
fn responder(scratch: &Scratch, name: &str) -> (String, String) {
    responder_of(scratch, &order(&[name]))
}

fn responder_of(scratch: &Scratch, order: &Order) -> (String, String) {
    let issued = scratch.issue(order).unwrap();
    let issuer = scratch.file("issuer.pem", &*issued.intermediates[0].pem);
    let leaf = scratch.file("leaf.pem", issued.tls_crt());
    let asked = scratch.file("request.der", "");
    let ask = ["ocsp", "-issuer", &issuer, "-cert", &leaf, "-no_nonce", "-reqout", &asked];
    succeed("openssl", &ask);
    let request = OcspRequest::read(&std::fs::read(&asked).unwrap()).unwrap();
    let answer = scratch.file("answer.der", &scratch.authority.ocsp(&request).unwrap().der);
    let shown = succeed("openssl", &["ocsp", "-respin", &answer, "-noverify", "-resp_text"]);
    let begin = shown.find("-----BEGIN CERTIFICATE-----").unwrap();
    let pem = &shown[begin..];
    let end = pem.find("-----END CERTIFICATE-----").unwrap() + "-----END CERTIFICATE-----\n".len();
    (scratch.file("responder.pem", &pem[..end]), answer)
}

#[test]
fn responders_answers_and_deltas_are_clean() {
    let Some(program) = linter("lint_pkix_cert") else { return };
    let (lists, answers) = (linter("lint_crl").unwrap(), linter("lint_ocsp_response").unwrap());
    for key_type in KeyType::ALL {
        let publication = published(true);
        let scratch = Place::new().create(&CreateOptions { key_type, publication, ..options() });
        let (certificate, answer) = responder(&scratch, "web.corp.example");
        clean(&program, &[&certificate]);
        clean(&answers, &["--document-format", "DER", &answer]);
        for ca in &scratch.authority.ca_info().issuers {
            clean(&program, &[&scratch.file("ca.pem", &ca.pem)]);
        }
        let revoked = scratch.issue(&order(&["db.corp.example"])).unwrap().serial;
        let reason = sealock_authority::Reason::KeyCompromise;
        scratch.authority.revoke(revoked, reason, &actor()).unwrap();
        for list in scratch.authority.crls().unwrap() {
            let path = scratch.file("list.pem", list.pem());
            clean(&lists, &["--profile", "PKIX", "--type", "CRL", &path]);
            let delta = scratch.authority.delta_of(list.issuer).unwrap();
            let Some(delta) = delta else { continue };
            let path = scratch.file("delta.pem", delta.pem());
            clean(&lists, &["--profile", "PKIX", "--type", "CRL", &path]);
        }
    }
}

#[test]
fn certificates_and_lists_are_clean() {
    let Some(program) = linter("lint_pkix_cert") else { return };
    let crl_program = linter("lint_crl").unwrap();
    let name_constraints = NameConstraints {
        permitted: vec!["dns:corp.example".parse().unwrap(), "ip:10.0.0.0/8".parse().unwrap()],
        excluded: vec!["dns:secret.corp.example".parse().unwrap()],
    };
    let crl_url = Some("http://pki.corp.example/crl".to_owned());
    for key_type in [KeyType::P256, KeyType::Rsa3072] {
        let name_constraints = name_constraints.clone();
        let crl_url = crl_url.clone();
        let scratch = Place::new().create(&CreateOptions {
            key_type,
            name_constraints,
            crl_url,
            ..options()
        });
        for ca in &scratch.authority.ca_info().issuers {
            clean(&program, &[&scratch.file("ca.pem", &ca.pem)]);
        }
        let signer = scratch.authority.ca_info().audit_signer_pem;
        clean(&program, &[&scratch.file("signer.pem", signer)]);
        let named = order(&["web.corp.example", "db.corp.example"]);
        let nameless = Order {
            name: "x".into(),
            names: vec![SubjectName::ip("10.0.0.1").unwrap()],
            ttl: Duration::from_secs(600),
            ..order(&[])
        };
        let person = Order {
            name: "jo".into(),
            identity: Some("spiffe://corp.example/human/jo".parse().unwrap()),
            names: vec![SubjectName::email("jo@corp.example").unwrap()],
            usages: Usages::CLIENT,
            ..order(&[])
        };
        let any = order(&["*.web.corp.example"]);
        // Each run of pkilint takes a second: every kind of leaf under one kind of authority is enough.
        let kinds = if key_type == KeyType::P256 { &KeyType::ALL[..] } else { &[KeyType::P256] };
        for kind in kinds {
            for (order, known) in
                [(&named, &[][..]), (&nameless, &[]), (&person, &URI), (&any, &DNS)]
            {
                let order = Order { key: KeySource::Generate(*kind), ..order.clone() };
                let issued = scratch.issue(&order).unwrap();
                let leaf = scratch.authority.show(&issued.serial.to_string()).unwrap().pem;
                clean_but(&program, &[&scratch.file("leaf.pem", leaf)], known);
            }
        }
        let listed = scratch.authority.show("jo").unwrap().summary.serial;
        let reason = sealock_authority::Reason::KeyCompromise;
        scratch.authority.revoke(listed, reason, &actor()).unwrap();
        for list in scratch.authority.crls().unwrap() {
            let path = scratch.file("list.pem", list.pem());
            clean(&crl_program, &["--profile", "PKIX", "--type", "CRL", &path]);
        }
    }
}

/// `lint_pkix_signer_signee_cert_chain` is there with the others.
fn chain_linter() -> Option<String> {
    linter("lint_pkix_signer_signee_cert_chain")
}

/// What an issuing CA under a company's root signs: leaves, its responder, its lists; and what the company has signed for
/// it, as the issuer of those.
#[test]
fn what_an_issuing_ca_under_a_companys_root_signs_is_clean() {
    let Some(program) = linter("lint_pkix_cert") else { return };
    if !available("openssl") {
        return;
    }
    let (lists, answers) = (linter("lint_crl").unwrap(), linter("lint_ocsp_response").unwrap());
    for key_type in [KeyType::P256, KeyType::Rsa3072] {
        let scratch = Place::new().create(&options());
        scratch.authority.publish(published(true)).unwrap();
        let company = Company::new(&scratch);
        company.trusted("root");
        company.certify(&company.csr_of(key_type), "root", "issuing", "ours", &["-days", "365"]);
        let held = company.import(&["ours"]).unwrap().standing.held.unwrap();
        clean(&program, &[&company.path("ours.pem")]);
        let by = |usages: Usages, order: Order| Order { usages, issuer: Some(corp()), ..order };
        let mut leaves = Vec::new();
        for (usages, names) in [
            (Usages::SERVER, &["web.corp.example", "db.corp.example"][..]),
            (Usages::CLIENT, &["shop.corp.example"]),
            (Usages::BOTH, &["both.corp.example"]),
        ] {
            let issued = scratch.issue(&by(usages, order(names))).unwrap();
            let detail = scratch.authority.show(&issued.serial.to_string()).unwrap();
            leaves.push(scratch.file(&format!("{}.pem", issued.serial), detail.pem));
        }
        let address = vec![SubjectName::email("jo@corp.example").unwrap()];
        let mail = Order { name: "jo".into(), names: address, ..order(&[]) };
        for kind in [KeyType::P256, KeyType::Rsa3072] {
            let mail = Order { key: KeySource::Generate(kind), ..mail.clone() };
            let code = Order { name: "release".into(), ..mail.clone() };
            for signed in [by(Usages::EMAIL, mail), by(Usages::CODE, code)] {
                let issued = scratch.issue(&signed).unwrap();
                let detail = scratch.authority.show(&issued.serial.to_string()).unwrap();
                leaves.push(scratch.file(&format!("{}.pem", issued.serial), detail.pem));
            }
        }
        let nameless = Order {
            name: "x".into(),
            names: vec![SubjectName::ip("10.0.0.1").unwrap()],
            ..order(&[])
        };
        let issued = scratch.issue(&by(Usages::SERVER, nameless)).unwrap();
        let detail = scratch.authority.show(&issued.serial.to_string()).unwrap();
        leaves.push(scratch.file("nameless.pem", detail.pem));
        let (certificate, answer) =
            responder_of(&scratch, &by(Usages::BOTH, order(&["ocsp.corp.example"])));
        leaves.push(certificate);
        std::thread::scope(|scope| {
            for leaf in &leaves {
                scope.spawn(|| clean(&program, &[leaf]));
            }
        });
        clean(&answers, &["--document-format", "DER", &answer]);
        // A name and a key identifier that are the company's, byte for byte.
        if let Some(chains) = chain_linter() {
            let ours = company.path("ours.pem");
            for leaf in &leaves {
                clean(&chains, &[&ours, leaf]);
            }
            clean(&chains, &[&company.path("root.pem"), &ours]);
        }
        scratch
            .authority
            .revoke(issued.serial, sealock_authority::Reason::KeyCompromise, &actor())
            .unwrap();
        let list = scratch.authority.crl_of(held.id).unwrap().unwrap();
        let path = scratch.file("list.pem", list.pem());
        clean(&lists, &["--profile", "PKIX", "--type", "CRL", &path]);
        let delta = scratch.authority.delta_of(held.id).unwrap().unwrap();
        let path = scratch.file("delta.pem", delta.pem());
        clean(&lists, &["--profile", "PKIX", "--type", "CRL", &path]);
    }
}
