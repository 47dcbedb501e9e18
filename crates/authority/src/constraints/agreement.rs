//! Our verdict on names under constraints against OpenSSL's, over a table of both: what we sign, OpenSSL
//! must accept; what OpenSSL accepts and we refuse, must be on the list of where we are stricter.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::Issuer;
use sealock_core::{Clock, SubjectName, SystemClock};

use super::NameConstraints;
use crate::certificate::{self, LeafPlan};
use crate::key::{AuthorityKey, KeyType, NewKey};
use crate::make::{self, Home, NewIntermediate};
use crate::order::Usages;
use crate::pem;

const NAMES: [&str; 27] = [
    "dns:corp.example",
    "dns:a.corp.example",
    "dns:a.b.corp.example",
    "dns:*.corp.example",
    "dns:*.a.corp.example",
    "dns:xcorp.example",
    "dns:corp.example.org",
    "dns:example",
    "dns:secret.corp.example",
    "dns:x.secret.corp.example",
    "dns:db",
    "ip:10.0.0.1",
    "ip:10.9.1.1",
    "ip:192.0.2.1",
    "ip:fd00::1",
    "ip:2001:db8::1",
    "email:jo@corp.example",
    "email:Jo@corp.example",
    "email:jo@a.corp.example",
    "email:ann@corp.example",
    "email:jo@other.example",
    "uri:spiffe://corp.example/service/a",
    "uri:https://a.corp.example/x",
    "uri:https://corp.example:8443/x",
    "uri:https://other.example/",
    "uri:https://10.0.0.1/",
    "uri:urn:example:a",
];

/// Permitted, then excluded.
const SETS: [(&[&str], &[&str]); 12] = [
    (&["dns:corp.example"], &[]),
    (&["dns:.corp.example"], &[]),
    (&["dns:corp.example", "dns:db"], &["dns:secret.corp.example"]),
    (&[], &["dns:corp.example"]),
    (&["ip:10.0.0.0/8", "ip:fd00::/8"], &["ip:10.9.0.0/16"]),
    (&[], &["ip:0.0.0.0/0", "ip:::/0"]),
    (&["email:corp.example"], &[]),
    (&["email:.corp.example"], &["email:jo@a.corp.example"]),
    (&["email:jo@corp.example"], &[]),
    (&["uri:corp.example"], &[]),
    (&["uri:.corp.example"], &[]),
    (&["dns:a.corp.example", "ip:10.0.0.1/32"], &["uri:other.example", "email:other.example"]),
];

/// Where a constraint set (by its index) makes us refuse a name that OpenSSL accepts, and why.
const STRICTER: [(usize, &str, &str); 2] = [
    (2, "dns:*.corp.example", "it stands for the excluded secret.corp.example"),
    (11, "uri:https://10.0.0.1/", "RFC 5280 wants a host name where a URI constraint applies"),
];

#[test]
fn what_we_sign_openssl_accepts() {
    if sealock_testkit::clients::skip_without(&["openssl"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let now = SystemClock.now();
    let trust_domain = "corp.example".parse().unwrap();
    let root = make::root(&trust_domain, (KeyType::P256, &Home::Store), 1, now, None).unwrap();
    let root_issuer = root.issuer().unwrap();
    write(folder.path(), "root.pem", &root.record.der.0);
    for (index, (permitted, excluded)) in SETS.iter().enumerate() {
        let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        let constraints =
            NameConstraints { permitted: parse(permitted), excluded: parse(excluded) };
        let new = NewIntermediate {
            home: &Home::Store,
            trust_domain: &trust_domain,
            key_type: KeyType::P256,
            life: crate::INTERMEDIATE_LIFE,
            number: 1,
            constraints: &constraints,
            urls: &crate::publication::Urls::default(),
        };
        let made = make::intermediate(&new, &root.record, &root_issuer, now).unwrap();
        write(folder.path(), "intermediate.pem", &made.record.der.0);
        let issuer = made.issuer().unwrap();
        for text in NAMES {
            let name = name(text);
            sign_unchecked(folder.path(), &name, &issuer);
            let theirs = openssl_accepts(folder.path());
            let ours = constraints.check(&name).is_ok();
            let stricter = STRICTER.iter().any(|(set, name, _)| *set == index && *name == text);
            assert_eq!(ours, theirs && !stricter, "{text} under {permitted:?}, not {excluded:?}");
        }
    }
}

fn name(text: &str) -> SubjectName {
    let (kind, value) = text.split_once(':').unwrap();
    match kind {
        "dns" => SubjectName::dns(value).unwrap(),
        "ip" => SubjectName::ip(value).unwrap(),
        "email" => SubjectName::email(value).unwrap(),
        _ => SubjectName::uri(value).unwrap(),
    }
}

fn write(folder: &Path, file: &str, der: &[u8]) {
    fs::write(folder.join(file), pem::encode("CERTIFICATE", der)).unwrap();
}

/// A leaf that the authority might refuse to sign.
fn sign_unchecked(folder: &Path, name: &SubjectName, issuer: &Issuer<'_, AuthorityKey>) {
    let public = NewKey::generate(KeyType::P256).unwrap().public;
    let plan = LeafPlan {
        serial: make::new_serial().unwrap(),
        validity: make::validity(SystemClock.now(), Duration::from_secs(3600), None),
        common_name: None,
        names: std::slice::from_ref(name),
        // For a server some of these names would not do.
        usages: Usages::CLIENT,
        public: &public,
        urls: &crate::publication::Urls::default(),
    };
    write(folder, "leaf.pem", &certificate::leaf(&plan, issuer).unwrap());
}

fn openssl_accepts(folder: &Path) -> bool {
    Command::new("openssl")
        .args(["verify", "-CAfile", "root.pem", "-untrusted", "intermediate.pem", "leaf.pem"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
        .status
        .success()
}
