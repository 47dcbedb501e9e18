//! The keys of issuing CAs under the company's root in a token (SoftHSM), by the real binary: made there, moved there, and the
//! token taken away, or we killed, in the middle.

use std::process::Stdio;
use std::time::Duration;

use sealock_testkit::wait::until;
use serde_json::Value;

use crate::corporate::Company;
use crate::hsm::Scene;
use crate::support::{PATIENCE, tool};

const SUBJECT: &str = "CN=Docker Issuing CA,DC=corp,DC=example";

impl Scene {
    /// An authority whose own keys are in the state folder, and a company whose root is known.
    fn with_company(&self) -> Company<'_> {
        self.ok(&["init", "--trust-domain", "test.sealock"]);
        let company = Company::new(&self.home);
        self.ok(&["trust", "add", &company.path("root.pem"), "--name", "corp"]);
        company
    }

    fn request(&self, more: &[&str]) -> String {
        let csr = self.home.path("ours.csr").display().to_string();
        let ask = ["ca", "request", "corp", "--subject", SUBJECT, "--csr", &csr];
        self.ok(&[&ask[..], more].concat());
        csr
    }

    fn signed(&self, company: &Company<'_>, csr: &str) -> String {
        company.certify(csr, "root", "issuing", "DNS:none", "ours.pem", &["-days", "365"]);
        company.path("ours.pem")
    }

    /// Where the key is of what waits and of what signs.
    fn issuer_keys(&self) -> [Option<String>; 2] {
        let all: Value = serde_json::from_str(&self.ok(&["--json", "ca", "list"])).unwrap();
        let all = all.as_array().unwrap().clone();
        let corp = all.into_iter().find(|one| one["name"] == "corp").unwrap_or_default();
        ["waiting", "held"].map(|which| Some(corp[which]["key"].as_str()?.to_owned()))
    }

    fn issue_under(&self, company: &Company<'_>, name: &str) {
        let out = self.home.path(name).display().to_string();
        let dns = format!("{name}.corp.example");
        let issue = ["cert", "issue", &dns, "--issuer", "corp", "--usage", "server"];
        self.ok(&[&issue[..], &["--out", &out]].concat());
        let (root, leaf) = (company.path("root.pem"), format!("{out}/tls.crt"));
        tool("openssl", &["verify", "-CAfile", &root, "-untrusted", &leaf, &leaf]);
    }
}

fn in_hsm(key: Option<&String>) -> bool {
    key.is_some_and(|key| key.starts_with("hsm "))
}

#[test]
fn an_issuing_ca_whose_key_is_in_the_token_signs_and_comes_back_after_it_was_unplugged() {
    for kind in ["p256", "rsa3072"] {
        let Some(scene) = Scene::new() else { return };
        let company = scene.with_company();
        let csr = scene.request(&["--key", "hsm", "--key-type", kind]);
        assert_eq!(scene.objects(), 1);
        assert!(in_hsm(scene.issuer_keys()[0].as_ref()), "{:?}", scene.issuer_keys());
        tool("openssl", &["req", "-in", &csr, "-noout", "-verify"]);
        let ours = scene.signed(&company, &csr);
        scene.token.unplug();
        let said = scene.fails(&["ca", "import", "corp", &ours]);
        assert!(said.contains("HSM") && said.contains("hint:"), "{said}");
        assert!(scene.issuer_keys()[1].is_none(), "nothing half done");
        scene.token.plug();
        scene.ok(&["ca", "import", "corp", &ours]);
        assert!(in_hsm(scene.issuer_keys()[1].as_ref()), "{:?}", scene.issuer_keys());
        scene.issue_under(&company, "one");
        if kind != "p256" {
            continue;
        }
        let daemon = scene.up();
        scene.issue_under(&company, "two");
        let before = scene.certificates();
        scene.token.unplug();
        let out = scene.home.path("three").display().to_string();
        let issue = ["cert", "issue", "three.corp.example", "--issuer", "corp", "--out", &out];
        let said = scene.fails(&issue);
        assert!(said.contains("HSM") && said.contains("hint:"), "{said}");
        assert_eq!(scene.certificates(), before);
        // Our own issuer needs no token.
        scene.issue("own");
        scene.token.plug();
        until("the HSM", PATIENCE, || {
            scene.home.run(&scene.all(&issue)).status.success().then_some(())
        });
        scene.issue_under(&company, "four");
        // The successor's key is where it is told, and the one before goes on until then.
        let csr = scene.request(&["--key", "store"]);
        scene.issue_under(&company, "five");
        scene.ok(&["ca", "import", "corp", &scene.signed(&company, &csr)]);
        assert_eq!(scene.issuer_keys()[1].as_deref(), Some("store"));
        scene.issue_under(&company, "six");
        assert_eq!(daemon.stop(), Some(0));
        assert!(scene.ok(&["audit", "verify"]).contains("unbroken"));
    }
}

#[test]
fn the_key_of_an_issuing_ca_is_moved_into_the_token_and_back() {
    let Some(scene) = Scene::new() else { return };
    let company = scene.with_company();
    let csr = scene.request(&[]);
    let migrate = ["ca", "migrate-key", "--issuer", "corp", "--to"];
    let said = scene.fails(&[&migrate[..], &["hsm"]].concat());
    assert!(said.contains("waits for its own certificate"), "{said}");
    scene.ok(&["ca", "import", "corp", &scene.signed(&company, &csr)]);
    let said = scene.ok(&[&migrate[..], &["hsm", "--extractable"]].concat());
    assert!(said.contains("issuer corp is in the HSM"), "{said}");
    assert_eq!(scene.objects(), 1);
    assert_eq!(scene.keys(), ["store", "store"], "our own are where they were");
    scene.issue_under(&company, "one");
    scene.ok(&[&migrate[..], &["store"]].concat());
    assert_eq!(scene.objects(), 0);
    scene.issue_under(&company, "two");
    // A key is one of our own, or an issuer's.
    for both in [&["root", "--issuer", "corp", "--to", "hsm"][..], &["--to", "hsm"]] {
        scene.home.fails(64, &scene.all(&[&["ca", "migrate-key"][..], both].concat()));
    }
    let said = scene.fails(&["ca", "migrate-key", "--issuer", "nobody", "--to", "hsm"]);
    assert!(said.contains("no issuer `nobody`"), "{said}");
}

#[test]
fn killed_at_any_moment_a_request_leaves_no_key_in_the_token_that_nobody_names() {
    let Some(scene) = Scene::new() else { return };
    scene.with_company();
    for round in 0..10_u64 {
        let ask = ["ca", "request", "corp", "--subject", SUBJECT, "--key", "hsm", "--replace"];
        let mut command = scene.home.command();
        command.args(scene.all(&ask)).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // At another moment of its work each time.
        std::thread::sleep(Duration::from_millis(5 + 25 * round));
        let _ = child.kill();
        child.wait().unwrap();
        // The next command that asks for something heals.
        scene.ok(&ask);
        assert_eq!(scene.objects(), 1, "round {round}");
        assert!(in_hsm(scene.issuer_keys()[0].as_ref()));
    }
    scene.ok(&["ca", "request", "corp", "--cancel"]);
    assert_eq!(scene.objects(), 0);
}
