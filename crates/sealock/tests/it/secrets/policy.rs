//! Who may read what, over the API with a certificate.

use std::fs;
use std::process::Command;

use sealock_testkit::clients::skip_without;
use serde_json::{Value, json};

use super::{set, up};
use crate::gateway::permit;
use crate::support::{Home, text};

/// Somebody with a certificate, at the API.
struct Person {
    folder: String,
    api: String,
    roots: String,
}

impl Person {
    fn new(home: &Home, name: &str) -> Self {
        let folder = match name {
            "admin" => home.state().join("identities/admin").display().to_string(),
            name => {
                let out = home.path(name).display().to_string();
                let uri = format!("spiffe://test.sealock/human/{name}");
                home.ok(&[
                    "cert", "issue", name, "--uri", &uri, "--usage", "client", "--out", &out,
                ]);
                out
            }
        };
        let api = home.json(&["status"])["api"].as_str().unwrap().to_owned();
        let roots = home.write("roots.pem", &home.ok(&["ca", "bundle"]));
        Self { folder, api, roots }
    }

    /// Status and answer.
    fn call(&self, command: &str, with: &Value) -> (u16, Value) {
        let body = json!({ "command": command, "with": with }).to_string();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60", "--cacert", &self.roots]);
        curl.args(["--cert", &format!("{}/tls.crt", self.folder)]);
        curl.args(["--key", &format!("{}/tls.key", self.folder)]);
        curl.args(["--header", "Content-Type: application/json", "--write-out", "\n%{http_code}"]);
        let address = self.api.trim_start_matches("https://");
        let output = curl.args(["--data", &body, &format!("https://{address}/v1/call")]).output();
        let output = output.unwrap();
        let said = text(&output.stdout);
        let Some((answer, status)) = said.rsplit_once('\n') else {
            return (0, text(&output.stderr).into());
        };
        (status.parse().unwrap(), serde_json::from_str(answer).unwrap_or_default())
    }

    /// What became of one that was to be read.
    fn read(&self, name: &str) -> Value {
        let (status, reply) = self.call("secret-read", &json!({ "secrets": [{ "name": name }] }));
        assert_eq!(status, 200, "{reply}");
        reply["is"][0]["outcome"].clone()
    }
}

/// What is said of a refusal, without what differs between any two requests.
fn words(refusal: &Value, name: &str) -> String {
    let request = refusal["request"].as_str().unwrap_or("none");
    refusal.to_string().replace(request, "REQUEST").replace(name, "NAME")
}

const RULES: &str = r#"
@id("reader-of-prod")
permit (
  principal == Sealock::Human::"reader",
  action == Sealock::Action::"Secret::Read",
  resource in Sealock::Secret::"prod"
);
@id("not-the-root")
forbid (principal, action, resource == Sealock::Secret::"prod/root") unless { context has via && context.via == "socket" };
@id("lister")
permit (
  principal == Sealock::Human::"lister",
  action == Sealock::Action::"Secret::List",
  resource in Sealock::Secret::"prod/db"
);
@id("writer")
permit (
  principal == Sealock::Human::"writer",
  action == Sealock::Action::"Secret::Write",
  resource in Sealock::Secret::"ci"
) when { context has ttl && context.ttl <= 3600 };
"#;

#[test]
fn each_reads_and_writes_what_a_rule_grants() {
    if skip_without(&["curl", "age-keygen"]) {
        return;
    }
    let home = Home::initialised();
    let daemon = up(&home);
    for name in ["prod/db/password", "prod/root", "prod", "production", "ci/key"] {
        set(&home, name, name);
    }
    permit(&home, RULES);
    let [admin, reader, lister, writer] =
        ["admin", "reader", "lister", "writer"].map(|name| Person::new(&home, name));

    let value = data_encoding::BASE64.encode(b"prod/db/password");
    assert_eq!(reader.read("prod/db/password")["read"]["value"], value);
    assert_eq!(reader.read("prod")["read"]["version"], 1);
    for name in ["production", "ci/key", "prod/root"] {
        assert_eq!(reader.read(name)["refused"]["code"], "denied", "{name}");
    }
    let (status, answer) = reader.call("secret-history", &json!({ "name": "prod/db/password" }));
    assert_eq!(status, 403, "who may read does not thereby see who has written: {answer}");
    let (_, list) = reader.call("secret-list", &json!({ "limit": 100 }));
    assert_eq!(list["is"], json!([]));
    let (_, list) = lister.call("secret-list", &json!({ "limit": 100 }));
    let names: Vec<_> = list["is"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["prod/db/password"], "what may not be listed is not counted either");
    assert_eq!(lister.read("prod/db/password")["refused"]["code"], "denied");

    let write = |name: &str, ttl: Option<u64>| {
        let with = json!({ "name": name, "value": { "generated": 8 }, "ttl": ttl });
        writer.call("secret-set", &with).0
    };
    let tried = [write("ci/new", Some(60)), write("ci/new", Some(9999)), write("ci/new", None)];
    assert_eq!((tried, write("prod/db/password", Some(60))), ([200, 403, 403], 403));
    for (command, with) in [
        ("secret-delete", json!({ "name": "ci/new" })),
        ("secret-undelete", json!({ "name": "ci/new" })),
        ("secret-purge", json!({ "name": "ci/new" })),
        ("vault-rotate-key", Value::Null),
    ] {
        assert_eq!(writer.call(command, &with).0, 403, "{command}");
    }

    // The administrator may do all of it, but take the vault away.
    assert_eq!(admin.read("production")["read"]["version"], 1);
    assert_eq!(admin.read("prod/root")["refused"]["code"], "denied");
    let (_, recipient) = super::backup::key(&home, "key");
    let (status, answer) = admin.call("vault-export", &json!({ "recipients": [recipient] }));
    assert_eq!(status, 403, "{answer}");
    assert!(answer.to_string().contains("vault-stays-here"), "{answer}");
    let import = json!({ "backup": "", "on_existing": "fail" });
    let (status, answer) = admin.call("vault-import", &import);
    assert_eq!(status, 403, "{answer}");
    assert!(answer.to_string().contains("vault-stays-here"), "{answer}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_denial_says_nothing_of_what_there_is_and_names_its_rule() {
    if skip_without(&["curl"]) {
        return;
    }
    let home = Home::initialised();
    let daemon = up(&home);
    set(&home, "ops/there", "value");
    home.ok(&["secret", "set", "ops/gone", "--generate"]);
    home.ok(&["secret", "delete", "ops/gone"]);
    permit(&home, RULES);
    let reader = Person::new(&home, "reader");
    let denials = |name: &str| {
        let with = json!({ "name": name });
        let list = json!({ "path": name, "limit": 10 });
        let mut all = vec![words(&reader.read(name)["refused"], name)];
        let version = json!({ "secrets": [{ "name": name, "version": 7 }] });
        all.push(words(
            &reader.call("secret-read", &version).1["is"][0]["outcome"]["refused"],
            name,
        ));
        for (command, with) in [
            ("secret-history", &with),
            ("secret-delete", &with),
            ("secret-undelete", &with),
            ("secret-purge", &with),
            ("secret-list", &list),
            ("secret-read-below", &json!({ "path": name })),
            ("secret-versions", &json!({ "secrets": [name] })),
            ("secret-set", &json!({ "name": name, "value": { "generated": 8 } })),
        ] {
            let (status, answer) = reader.call(command, with);
            assert_eq!(status, 403, "{command}: {answer}");
            all.push(format!("{command} {}", words(&answer, name)));
        }
        all
    };
    let there = denials("ops/there");
    assert_eq!(there, denials("ops/none"));
    assert_eq!(there, denials("ops/gone"));

    let refused = &reader.read("ops/there")["refused"];
    let request = refused["request"].as_str().unwrap();
    let explained = home.ok(&["policy", "explain", request]);
    assert!(explained.contains("human/reader") && explained.contains("ops/there"), "{explained}");
    assert!(explained.contains("permit ("), "the rule that is missing: {explained}");
    let refused = &reader.read("prod/root")["refused"];
    let explained = home.ok(&["policy", "explain", refused["request"].as_str().unwrap()]);
    assert!(explained.contains("not-the-root"), "{explained}");
    let log = home.ok(&["--json", "audit", "export"]);
    let denied = log.lines().filter(|line| line.contains("\"denied\"")).count();
    assert!(denied > 30 && log.contains("spiffe://test.sealock/human/reader"), "{log}");
    assert_eq!(daemon.stop(), Some(0));
}

const CASES: &str = r#"
principal = "service/shop"
trust-domain = "test.sealock"

[[case]]
name = "it reads its own"
action = "Secret::Read"
resource = { secret = "prod/shop/password" }
context = { via = "workload" }
expect = "allow"
rule = "shop"

[[case]]
name = "and nobody else's"
action = "Secret::Read"
resource = { secret = "prod/shopping/password" }
expect = "deny"

[[case]]
name = "it changes nothing"
action = "Secret::Write"
resource = { secret = "prod/shop/password" }
context = { generated = true, ttl = 60 }
expect = "deny"

[[case]]
name = "the vault stays here"
principal = "human/root"
groups = ["admin"]
action = "Vault::Manage"
resource = "vault"
context = { via = "api", operation = "export" }
expect = "deny"
rule = "vault-stays-here"
"#;

#[test]
fn rules_about_secrets_are_tried_before_they_are_used() {
    let home = Home::initialised();
    let rule = r#"@id("shop")
permit (principal == Sealock::Service::"shop", action == Sealock::Action::"Secret::Read", resource in Sealock::Secret::"prod/shop");"#;
    fs::write(home.state().join("policy/shop.cedar"), rule).unwrap();
    let cases = home.write("cases.toml", CASES);
    let said = home.ok(&["policy", "test", &cases]);
    assert_eq!(said.matches("ok    ").count(), 4, "{said}");
    let bad = home.write("bad.toml", &CASES.replace("prod/shopping/password", "prod//password"));
    let said = home.fails(1, &["policy", "test", &bad]);
    assert!(said.contains("prod//password"), "{said}");
    let file = home.write("bad.cedar", &rule.replace("Secret::Read", "Secret::Reed"));
    assert!(home.fails(1, &["policy", "check", &file]).contains("bad.cedar"));
}
