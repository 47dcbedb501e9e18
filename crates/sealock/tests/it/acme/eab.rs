//! Accounts that somebody vouches for, and their end: the commands, and a client by others that registers with what they give.

use std::fs;
use std::process::Output;

use sealock_testkit::clients::skip_without;
use serde_json::Value;

use super::{Scene, good};
use crate::support::{mode, text};

/// What the service `web` may have, and need not prove.
const RULES: &str = "permit (principal == Sealock::Service::\"web\", action in [Sealock::Action::\"Cert::Issue\", Sealock::Action::\"Cert::Unproved\"], resource in Sealock::Domain::\"web.acme.test\");\n";

impl Scene {
    fn bindings(&self) -> Vec<Value> {
        self.home.json(&["acme", "eab", "list"]).as_array().unwrap().clone()
    }

    /// lego with an account of this mail address, by this binding.
    fn lego(&self, mail: &str, kid: &str, key: &str, name: &str) -> Output {
        let mut command = self.client("lego");
        command.args(["--server", &self.server, "--accept-tos", "--email", mail]);
        command.args(["--eab", "--kid", kid, "--hmac", key, "--domains", name]);
        let port = format!("127.0.0.1:{}", self.http);
        command.args(["--http", "--http.port", &port, "--path"]).arg(self.path("lego"));
        command.arg("run").env("LEGO_CA_CERTIFICATES", &self.root).output().unwrap()
    }
}

#[test]
fn a_client_registers_by_a_binding_and_its_account_is_ended() {
    if skip_without(&["lego", "openssl"]) {
        return;
    }
    let scene = Scene::with("[acme]\nexternal_account_required = true\n");
    crate::gateway::permit(&scene.home, RULES);
    let file = scene.path("web.eab");
    let out = file.to_str().unwrap();
    let add = ["acme", "eab", "add", "shop", "--identity", "service/web", "--life", "2h"];
    scene.home.ok(&[&add[..], &["--key-out", out]].concat());
    assert_eq!(mode(&file) & 0o777, 0o600);
    let key = fs::read_to_string(&file).unwrap();
    assert_eq!(key.trim().len(), 43, "256 bits in base64url");
    let [made] = &scene.bindings()[..] else { panic!("one binding") };
    assert_eq!((made["name"].as_str(), made["reusable"].as_bool()), (Some("shop"), Some(false)));
    assert!(made["identity"].as_str().unwrap().ends_with("/service/web"), "{made}");
    // In milliseconds.
    let moment = |member: &str| made[member].as_i64().unwrap();
    let life = (moment("until") - moment("made")) / 1000;
    assert!((7199..=7201).contains(&life), "{life}");
    // Nobody is shown the key again, and none is made in the place of one that is there.
    assert!(!scene.home.ok(&["--json", "acme", "eab", "list"]).contains(key.trim()));
    let other = scene.path("other.eab");
    let to_other = ["--key-out", other.to_str().unwrap()];
    let again = scene.home.fails(1, &[&add[..], &to_other].concat());
    assert!(again.contains("there is a binding of that name") && !other.exists(), "{again}");
    let over = scene.home.fails(1, &[&add[..], &["--key-out", out]].concat());
    assert!(over.contains("is there already"), "{over}");
    assert_eq!(fs::read_to_string(&file).unwrap(), key, "it is left as it was");

    // Its names need no challenge: nobody listens where it would be asked.
    let name = "a.web.acme.test";
    good(&scene.lego("jo@corp.example", "shop", key.trim(), name));
    scene.verifies(&scene.path(&format!("lego/certificates/{name}.crt")), name);
    let account = scene.bindings()[0]["account"].as_str().unwrap().to_owned();
    // It is used up.
    let refused = scene.lego("ann@corp.example", "shop", key.trim(), name);
    let said = text(&refused.stderr) + &text(&refused.stdout);
    assert!(!refused.status.success() && said.contains("unauthorized"), "{said}");

    // The account is ended by its id, and its client is told so.
    scene.home.ok(&["acme", "account", "revoke", &account]);
    let refused = scene.lego("jo@corp.example", "shop", key.trim(), "b.web.acme.test");
    let said = text(&refused.stderr) + &text(&refused.stdout);
    assert!(!refused.status.success() && said.contains("unauthorized"), "{said}");
    let log = scene.home.ok(&["--json", "audit", "tail"]);
    assert!(log.contains("revoked") && log.contains(&account), "{log}");
    let listed = scene.home.json(&["acme", "account", "list"]);
    let status =
        |one: &serde_json::Value| (one["id"] == account.as_str()).then(|| one["status"].clone());
    let found = listed["accounts"].as_array().unwrap().iter().find_map(status);
    assert_eq!(found.unwrap(), "revoked", "{listed}");
    scene.home.fails(1, &["acme", "account", "revoke", &account]);
    assert_eq!(scene.state(&scene.serial(name)), "valid", "its certificates stay");
}

#[test]
fn a_binding_that_may_be_used_again_is_until_it_is_removed() {
    if skip_without(&["lego"]) {
        return;
    }
    let scene = Scene::with("[acme]\nexternal_account_required = true\n");
    crate::gateway::permit(&scene.home, RULES);
    // To stdout, for whoever hands it on.
    let add = ["acme", "eab", "add", "web", "--reusable", "--key-out", "-"];
    let key = scene.home.ok(&add);
    assert_eq!(key.trim().len(), 43, "the key and nothing else");
    assert_eq!(scene.bindings()[0]["reusable"], true);
    for mail in ["one@corp.example", "two@corp.example"] {
        good(&scene.lego(mail, "web", key.trim(), "a.web.acme.test"));
    }
    scene.home.ok(&["acme", "eab", "remove", "web"]);
    assert!(scene.bindings().is_empty());
    let refused = scene.lego("three@corp.example", "web", key.trim(), "a.web.acme.test");
    assert!(!refused.status.success());
    // Accounts that were made with it stay.
    good(&scene.lego("one@corp.example", "web", key.trim(), "c.web.acme.test"));
    scene.home.fails(1, &["acme", "eab", "remove", "web"]);
}
