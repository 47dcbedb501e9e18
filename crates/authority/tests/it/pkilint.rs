//! What pkilint (digicert's linter for RFC 5280) says. It is found in the folder that `SEALOCK_PKILINT`
//! names, or on the path.

use std::path::PathBuf;
use std::time::Duration;

use sealock_authority::{CreateOptions, KeySource, KeyType, NameConstraints, Order, Usages};
use sealock_core::SubjectName;

use crate::common::{Place, actor, available, options, order, run, text};

const URI: [&str; 1] = ["pkix.invalid_uri_syntax"];
const DNS: [&str; 1] = ["pkix.invalid_domain_name_syntax"];

fn linter(program: &str) -> Option<String> {
    let folder = std::env::var_os("SEALOCK_PKILINT").map(PathBuf::from).unwrap_or_default();
    let program = folder.join(program).to_str()?.to_owned();
    available(&program).then_some(program)
}

/// Nothing above a notice, but for these findings. RFC 5280 leaves the meaning of `*` in DNS names to
/// others (RFC 6125 took it up), and pkilint knows no URI scheme `spiffe`; it says both.
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
