//! `sealock token` and `sealock client`, and the broker as clients by others find it.

use std::fs;
use std::process::{Command, Output};

use sealock_testkit::clients::{skip_without, skip_without_engine, skip_without_root};
use sealock_testkit::docker::Image;
use serde_json::Value;

use crate::gateway::{home, permit};
use crate::gateway_socket::name;
use crate::secrets::fed;
use crate::support::{Home, mode, text};

/// A rule that lets a service have tokens for another.
pub(crate) fn gets(who: &str, audience: &str) -> String {
    format!(
        "permit (principal == Sealock::Service::\"{who}\", action == Sealock::Action::\"Token::Issue\", resource == Sealock::Service::\"{audience}\");\n"
    )
}

pub(crate) fn api(home: &Home) -> String {
    home.json(&["status"])["api"].as_str().unwrap().to_owned()
}

/// curl at the daemon's API, with what its certificate is checked by.
pub(crate) fn curl(home: &Home, path: &str, arguments: &[&str]) -> Output {
    let root = home.path("root.pem");
    fs::write(&root, home.ok(&["ca", "bundle"])).unwrap();
    let address = api(home);
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", "--cacert"]).arg(root);
    curl.args(arguments).arg(format!("https://{address}{path}"));
    curl.output().unwrap()
}

pub(crate) fn answer(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_client_asks_with_curl_for_what_policy_grants() {
    if skip_without_engine() || skip_without(&["curl"]) {
        return;
    }
    let home = home();
    let daemon = home.up();
    permit(&home, &gets("shop", "orders"));
    let file = home.path("shop.secret");
    let shown = file.display().to_string();
    home.ok(&["client", "add", "shop", "--group", "callers", "--secret-out", &shown]);
    assert_eq!(mode(&file), 0o600);
    let secret = fs::read_to_string(&file).unwrap();
    assert!(home.ok(&["group", "list"]).contains("service/shop"));
    let ask = |user: &str, audience: &str| {
        // The user comes from a file, as it should be: nobody sees it in the list of processes.
        let config = home.write("curlrc", &format!("user = \"{user}\"\n"));
        let audience = format!("audience={audience}");
        let data = ["--data-urlencode", "grant_type=client_credentials", "--data-urlencode"];
        let arguments = [&["--config", &config][..], &data, &[&audience]].concat();
        answer(&curl(&home, "/oauth/token", &arguments))
    };
    let given = ask(&format!("shop:{secret}"), "orders");
    let token = given["access_token"].as_str().unwrap();
    assert_eq!((&given["token_type"], &given["expires_in"]), (&"Bearer".into(), &300.into()));
    let said = text(&fed(&home, &["token", "show"], token.as_bytes()).stdout);
    assert!(said.contains("spiffe://test.sealock/service/shop"), "{said}");
    assert!(said.contains("spiffe://test.sealock/service/orders"), "{said}");

    let denied = ask(&format!("shop:{secret}"), "billing");
    assert_eq!(denied["error"], "access_denied");
    let explained = home.ok(&["policy", "explain", denied["request"].as_str().unwrap()]);
    assert!(explained.contains("Token::Issue") && explained.contains("billing"), "{explained}");
    assert_eq!(ask("shop:wrong", "orders")["error"], "invalid_client");

    // Revoked by its file, without standing in any argument.
    home.ok(&["token", "revoke", "--file", &home.write("token", token)]);
    let said = text(&fed(&home, &["token", "show"], token.as_bytes()).stdout);
    assert!(said.starts_with("It is not good"), "{said}");

    let next = home.path("next.secret").display().to_string();
    home.ok(&["client", "rotate", "shop", "--overlap", "none", "--secret-out", &next]);
    assert_eq!(ask(&format!("shop:{secret}"), "orders")["error"], "invalid_client");
    let secret = fs::read_to_string(&next).unwrap();
    assert!(ask(&format!("shop:{secret}"), "orders")["access_token"].is_string());
    home.ok(&["client", "remove", "shop"]);
    assert_eq!(ask(&format!("shop:{secret}"), "orders")["error"], "invalid_client");
    let log = home.ok(&["--json", "audit", "tail", "-n", "1000"]);
    assert!(!log.contains(&secret) && !log.contains(token));
    assert_eq!(daemon.stop(), Some(0));
    assert!(!home.log().contains(&secret) && !home.log().contains(token));
}

#[test]
fn a_container_gets_its_own_tokens_by_who_it_is() {
    if skip_without_engine() || skip_without_root() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let image = Image::busybox();
    let mounts = [
        format!("--volume={}:/bin/sealock:ro", env!("CARGO_BIN_EXE_sealock")),
        format!(
            "--volume={}:/run/sealock/workload:ro",
            home.state().join("run/workload").display()
        ),
    ];
    let start = || image.start(&[mounts[0].as_str(), &mounts[1]]);
    let (shop, thief) = (start(), start());
    permit(&home, &gets(&name(&shop), "orders"));
    let token = shop.output(&["sealock", "token", "--audience", "orders", "--ttl", "1m"]);
    let said = text(&fed(&home, &["--json", "token", "show"], token.as_bytes()).stdout);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["claims"]["sub"], format!("spiffe://test.sealock/service/{}", name(&shop)));
    let (exp, iat) = (&said["claims"]["exp"], &said["claims"]["iat"]);
    assert_eq!(exp.as_u64().unwrap() - iat.as_u64().unwrap(), 60);
    for (container, audience) in [(&thief, "orders"), (&shop, "billing")] {
        let output = container.exec(&["sealock", "token", "--audience", audience]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("Token::Issue on service") && said.contains("is denied"), "{said}");
        assert!(output.stdout.is_empty());
    }
    // And may do nothing else with the broker.
    for command in [
        &["client", "list"][..],
        &["client", "add", "x", "--secret-out", "-"],
        &["token", "keys"],
        &["token", "rotate-key"],
        &["token", "revoke", "--all"],
    ] {
        let output = shop.exec(&[&["sealock"], command].concat());
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(text(&output.stderr).contains("is denied"), "{command:?}");
    }
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn commands_say_what_is_wrong_and_leave_nothing() {
    let home = home();
    let told = home.fails(64, &["token"]);
    assert!(told.contains("--audience SERVICE"), "{told}");
    home.fails(64, &["token", "revoke"]);
    home.fails(64, &["token", "--audience", "human/alice"]);
    home.fails(64, &["token", "--audience", "orders", "--ttl", "1h"]);
    home.fails(64, &["client", "add", "Shop", "--secret-out", "x"]);
    home.fails(64, &["client", "add", "shop", "--secret-out", "."]);
    home.fails(1, &["client", "add", "shop", "--secret-out", "missing/x"]);
    assert!(home.ok(&["client", "list"]).contains("There are no clients"));
    home.ok(&["client", "add", "shop", "--secret-out", "x"]);
    let before = fs::read(home.path("x")).unwrap();
    let told = home.fails(1, &["client", "add", "shop", "--secret-out", "x"]);
    assert!(told.contains("client rotate"), "{told}");
    assert_eq!(fs::read(home.path("x")).unwrap(), before, "the file stays as it was");
    let left = fs::read_dir(home.path(".")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".part")), "{left:?}");
    let bound = home.ok(&["cert", "issue", "web", "--out", "web"]);
    drop(bound);
    let certificate = home.path("web/tls.crt").display().to_string();
    let made = home.json(&["token", "--audience", "orders", "--bind", &certificate]);
    assert_eq!(made["bound"], true);
    let keys: Value = serde_json::from_str(&home.ok(&["token", "keys", "--jwks"])).unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    home.ok(&["token", "rotate-key"]);
    let keys: Value = serde_json::from_str(&home.ok(&["token", "keys", "--jwks"])).unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2, "the next key is known before it signs");
}
