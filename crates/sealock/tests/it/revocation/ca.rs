//! An intermediate is revoked: seen by those who check, shut out at doors of ours, replaced where it was delivered.

use sealock_testkit::clients::{skip_without_engine, skip_without_root};
use sealock_testkit::docker::Image;

use super::*;

impl Scene {
    fn intermediate(&self) -> String {
        let shown = self.home.json(&["ca", "show"]);
        shown["intermediates"][0]["id"].as_str().unwrap().to_owned()
    }

    /// What openssl makes of the chain of `web`, by the lists of all issuers.
    fn check_all(&self) -> (bool, String) {
        let lists = self.home.write("lists.pem", &self.home.ok(&["ca", "crl"]));
        let (leaf, roots) = (self.file("web/tls.crt"), self.file("web/ca.crt"));
        let output = Command::new("openssl")
            .args(["verify", "-crl_check_all", "-CRLfile", &lists, "-CAfile", &roots])
            .args(["-untrusted", &leaf, &leaf])
            .output()
            .unwrap();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }
}

/// The status that the API answers somebody with the certificate in `folder`.
fn asked(home: &Home, folder: &str) -> String {
    let api = home.json(&["status"])["api"].as_str().unwrap().to_owned();
    let file = |name: &str| format!("{folder}/{name}");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "30"])
        .args(["--cacert", &file("ca.crt"), "--cert", &file("tls.crt"), "--key", &file("tls.key")])
        .args(["--output", "/dev/null", "--write-out", "%{http_code}"])
        .args(["--data", r#"{"command":"whoami"}"#, &format!("https://{api}/v1/call")])
        .output()
        .unwrap();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn everybody_who_checks_sees_it_and_issuing_goes_on() {
    let scene = Scene::new();
    let home = &scene.home;
    let daemon = home.up();
    scene.issue(&[]);
    assert!(scene.check_all().0 && scene.ocsp(&["-no_nonce"]).contains("tls.crt: good"));
    let admin = home.state().join("identities/admin");
    let before = home.path("before");
    std::fs::create_dir(&before).unwrap();
    for name in ["tls.crt", "tls.key", "ca.crt"] {
        std::fs::copy(admin.join(name), before.join(name)).unwrap();
    }
    let before = before.display().to_string();
    assert_eq!(asked(home, &before), "200");

    let id = scene.intermediate();
    let said = home.ok(&["ca", "revoke", &id, "--reason", "key-compromise"]);
    assert!(said.contains("revoked") && said.contains("ca-compromise"), "{said}");
    let (fine, said) = scene.check_all();
    assert!(!fine && said.contains("certificate revoked"), "{said}");
    let said = scene.ocsp(&["-no_nonce"]);
    assert!(said.contains("tls.crt: revoked") && said.contains("cACompromise"), "{said}");
    // The root's list, where the intermediate says it is.
    let url = tool("openssl", &["x509", "-noout", "-text", "-in", &scene.file("issuer.pem")]);
    let url = url.split_whitespace().find(|word| word.ends_with(".crl")).unwrap();
    let path = url.strip_prefix("URI:").unwrap().strip_prefix(&scene.url).unwrap();
    let fetched = scene.file("fetched");
    let shown = until("the root's list", PATIENCE, || {
        scene.get(path, &["--output", &fetched]);
        let shown = tool("openssl", &["crl", "-inform", "DER", "-noout", "-text", "-in", &fetched]);
        shown.contains("Serial Number").then_some(shown)
    });
    assert!(shown.contains("CA Compromise"), "{shown}");

    // At our own door nobody is let in by what it has signed; the administrator has another certificate.
    assert_eq!(asked(home, &before), "401");
    let admin = admin.display().to_string();
    until("the administrator's new one", PATIENCE, || (asked(home, &admin) == "200").then_some(()));

    // What is to be done is said, and the record of it is there.
    assert_eq!(home.json(&["cert", "show", "web"])["state"], "revoked");
    let report = home.json(&["cert", "report"]);
    let todo = report["to_do"].as_array().unwrap();
    assert!(todo.iter().any(|one| one["kind"] == "ca-revoked"), "{todo:?}");
    let issuers = report["issuers"].as_array().unwrap();
    let gone = issuers.iter().find(|one| one["id"] == id.as_str()).unwrap();
    assert_eq!(gone["reason"], "ca-compromise");
    assert!(home.ok(&["ca", "show"]).contains("ca-compromise"));
    assert!(home.ok(&["status"]).contains("revoked"));
    assert!(home.ok(&["audit", "tail"]).contains("ca-revoked"));

    home.ok(&["cert", "renew", "web"]);
    scene.issuer_again();
    let (fine, said) = scene.check_all();
    assert!(fine, "{said}");
    assert!(scene.ocsp(&["-no_nonce"]).contains("tls.crt: good"));
    assert_ne!(scene.intermediate(), id);
    assert_eq!(daemon.stop(), Some(0));
}

impl Scene {
    fn issuer_again(&self) {
        let chain = std::fs::read_to_string(self.home.path("web/tls.crt")).unwrap();
        let issuer = chain.split_inclusive("-----END CERTIFICATE-----\n").nth(1).unwrap();
        self.home.write("issuer.pem", issuer);
    }
}

#[test]
fn what_cannot_be_revoked_so_is_refused_with_what_to_do() {
    let home = Home::initialised();
    let shown = home.json(&["ca", "show"]);
    let of = |kind: &str| shown[kind][0]["id"].as_str().unwrap().to_owned();
    let (root, intermediate) = (of("roots"), of("intermediates"));
    let said = home.fails(1, &["ca", "revoke", &root]);
    assert!(said.contains("hint: `sealock ca rotate root`"), "{said}");
    let said = home.fails(1, &["ca", "revoke", "0123456789abcdef"]);
    assert!(said.contains("no CA certificate") && said.contains("ca show"), "{said}");
    let key = home.path("root.key").display().to_string();
    home.ok(&["ca", "export-root-key", "--out", &key, "--remove"]);
    let said = home.fails(1, &["ca", "revoke", &intermediate, "--reason", "superseded"]);
    assert!(said.contains("--root-key FILE"), "{said}");
    home.ok(&["ca", "revoke", &intermediate, "--reason", "superseded", "--root-key", &key]);
    // Its serial number names it, too; and twice is once.
    let serial = shown["intermediates"][0]["serial"].as_str().unwrap();
    home.ok(&["ca", "revoke", serial]);
    let revoked = home.json(&["ca", "show"]);
    let all = revoked["intermediates"].as_array().unwrap();
    assert!(
        all.iter().any(|one| one["id"] == intermediate.as_str() && one["reason"] == "superseded")
    );
}

#[test]
fn what_was_delivered_by_label_is_replaced_at_once() {
    if skip_without_engine() || skip_without_root() {
        return;
    }
    let home = Home::initialised();
    let daemon = home.up();
    let image = Image::busybox();
    let scope = home.scope_label();
    let container =
        image.start(&["--tmpfs", "/run", &scope, "--label", "sealock.cert.web.ttl=24h"]);
    let name = container.inspect("{{.Name}}").trim_start_matches('/').to_owned();
    let is_there = |found: &Value| found["state"] == "delivered";
    let first = home.await_certificate(&name, "web", "delivered", is_there);
    let shown = home.json(&["ca", "show"]);
    let id = shown["intermediates"][0]["id"].as_str().unwrap();
    home.ok(&["ca", "revoke", id, "--reason", "key-compromise"]);
    let next = home.await_certificate(&name, "web", "replaced", |found| {
        is_there(found) && found["serial"] != first["serial"]
    });
    let issuer = |serial: &Value| {
        home.json(&["cert", "show", serial.as_str().unwrap()])["issuer"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(issuer(&first["serial"]), id);
    assert_ne!(issuer(&next["serial"]), id);
    drop(container);
    assert_eq!(daemon.stop(), Some(0));
}
