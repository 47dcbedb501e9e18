//! Names of kinds that are never asked for, as companies' CAs add them (AD CS the user's principal name), and as CSRs of
//! others have them.

use std::fmt::Write as _;

use sealock_authority::imported::{ImportError, Imported, Pile, RequestError, Wishes};
use sealock_authority::{KeyType, Usages, parse_csr};
use sealock_core::{ImportedName, SubjectName};

use crate::common::{Scratch, actor, available, succeed};
use crate::issuers::Company;

const HOST: &str = "www.corp.example";
/// `x400Address` with nothing in it, and an `ediPartyName`.
const X400: &[u8] = &[0xa3, 2, 0x30, 0];
const EDI: &[u8] = &[0xa5, 5, 0xa1, 3, 0x0c, 1, b'x'];

/// What openssl writes itself, and how it is told to people.
const KINDS: [(&str, &str); 4] = [
    ("URI:https://www.corp.example/", "https://www.corp.example/"),
    ("otherName:1.3.6.1.4.1.311.20.2.3;UTF8:jo@corp.example", "otherName"),
    ("dirName:person", "directoryName"),
    ("RID:1.2.3.4", "registeredID"),
];

/// A subjectAltName of these bytes beside the host's name, as openssl's settings have it.
fn raw(more: &[u8]) -> String {
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let host = [&[0x82, length(HOST.as_bytes())][..], HOST.as_bytes(), more].concat();
    let all = [&[0x30, length(&host)][..], &host].concat();
    let mut text = "DER:".to_owned();
    for byte in all {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

fn web() -> ImportedName {
    "web".parse().unwrap()
}

fn asked(scratch: &Scratch) -> (Company<'_>, String) {
    let company = Company::new(scratch);
    company.trusted("root");
    let wishes = Wishes {
        subject: "CN=www.corp.example,O=Corp".parse().unwrap(),
        names: vec![SubjectName::dns(HOST).unwrap()],
        usages: Usages::SERVER,
        key_type: KeyType::P256,
        upstream: None,
    };
    let made = scratch.authority.request(&web(), &wishes, false, &actor()).unwrap();
    let csr = scratch.file("web.csr", made.standing.waiting.unwrap().csr);
    (company, csr)
}

/// The company signs it with these names, and it is brought.
fn import(
    (company, csr): &(Company<'_>, String),
    names: &str,
    accept_names: bool,
) -> Result<Imported, RequestError> {
    let config = company.path("ext.cnf");
    let before = std::fs::read_to_string(&config).unwrap();
    let leaf = format!(
        "{before}[named-leaf]\nbasicConstraints = critical, CA:FALSE\nextendedKeyUsage = serverAuth\n\
         subjectAltName = {names}\n[person]\nO = Corp\nCN = Jo\n"
    );
    std::fs::write(&config, leaf).unwrap();
    company.certify(csr, "root", "named-leaf", "leaf", &["-days", "90"]);
    std::fs::write(&config, before).unwrap();
    company.in_time();
    let pile = Pile { certificates: vec![company.der("leaf")], accept_names, ..Pile::default() };
    company.scratch.authority.import(&web(), &pile, &actor())
}

fn added(taken: Result<Imported, RequestError>) -> Vec<String> {
    match taken.unwrap_err() {
        RequestError::Import { source: ImportError::NamesAdded { extra }, .. } => extra,
        other => panic!("{other}"),
    }
}

#[test]
fn names_of_every_kind_that_a_company_adds_are_named_and_taken_only_when_that_is_said() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let company = asked(&scratch);
    let host = format!("DNS:{HOST}");
    for (written, told) in KINDS {
        assert_eq!(added(import(&company, &format!("{host},{written}"), false)), [told]);
    }
    for (more, told) in [(X400, "x400Address"), (EDI, "ediPartyName")] {
        assert_eq!(added(import(&company, &raw(more), false)), [told]);
    }
    let all = KINDS.iter().fold(host, |all, (written, _)| format!("{all},{written}"));
    let told: Vec<&str> = KINDS.iter().map(|(_, told)| *told).collect();
    assert_eq!(added(import(&company, &all, false)), told);
    assert!(scratch.authority.standing(&web()).unwrap().held.is_none(), "nothing was taken");

    let taken = import(&company, &all, true).unwrap();
    let held = taken.standing.held.unwrap();
    let names: Vec<String> = held.names.iter().map(ToString::to_string).collect();
    assert_eq!(names, [HOST, "https://www.corp.example/"], "what is no name here is none of it");
    let shown = scratch.file("taken.pem", held.tls_crt());
    let shown = succeed("openssl", &["x509", "-in", &shown, "-noout", "-ext", "subjectAltName"]);
    for part in ["DNS:www.corp.example", "URI:https", "othername", "DirName", "Registered ID"] {
        assert!(shown.contains(part), "as the company has signed it: {part}: {shown}");
    }
    // What was asked for must be there, whatever else is.
    let without = "URI:https://www.corp.example/,RID:1.2.3.4";
    let error = import(&company, without, true).unwrap_err();
    let RequestError::Import { source, .. } = error else { panic!("{error}") };
    assert!(matches!(source, ImportError::NamesMissing { .. }), "{source}");
}

#[test]
fn what_a_csr_asks_for_beyond_our_kinds_of_names_is_told_and_never_a_name() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let read = |more: &[u8]| {
        let config = format!(
            "[req]\ndistinguished_name=dn\nprompt=no\nreq_extensions=ext\n[dn]\nO=x\n[ext]\nsubjectAltName={}\n",
            raw(more)
        );
        let (config, csr) = (scratch.file("odd.cnf", config), scratch.file("odd.csr", ""));
        let key = scratch.file("odd.key", "");
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let files = ["-config", &config, "-keyout", &key, "-out", &csr];
        succeed("openssl", &[&["req", "-new"], &curve[..], &files[..]].concat());
        parse_csr(&std::fs::read(csr).unwrap())
    };
    for (more, kind) in [(X400, "x400Address"), (EDI, "ediPartyName")] {
        let csr = read(more).unwrap();
        assert_eq!(csr.names, [SubjectName::dns(HOST).unwrap()]);
        assert_eq!(csr.ignored, [kind]);
    }
    // Tags that no kind has.
    for unknown in [&[0x8a, 1, b'x'][..], &[0xaf, 2, 0x30, 0], &[0x0c, 1, b'x']] {
        assert!(read(unknown).is_err(), "{unknown:?}");
    }
}
