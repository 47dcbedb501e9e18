//! The broker as an OAuth library by others finds it: Authlib over real TLS, its tokens verified by joserfc and PyJWT.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use sealock_testkit::clients::skip_without;
use serde_json::{Value, json};

use crate::gateway::{home, permit};
use crate::support::{text, tool};
use crate::tokens::{api, gets};

const PYTHON: &str = "python-with-oauth";

#[test]
fn a_library_by_others_gets_tokens_in_every_way_and_people_in() {
    if crate::gateway::skip() || skip_without(&[PYTHON, "openssl"]) {
        return;
    }
    let home = home();
    let daemon = home.up();
    permit(
        &home,
        &(gets("shop", "orders")
            + "permit (principal == Sealock::Service::\"orders\", \
               action == Sealock::Action::\"Token::Introspect\", \
               resource == Sealock::Service::\"orders\");\n"),
    );
    let path = |name: &str| home.path(name).display().to_string();
    let (key, public) = (path("shop.key"), path("shop.pub"));
    tool(
        "openssl",
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &key],
    );
    tool("openssl", &["pkey", "-in", &key, "-pubout", "-out", &public]);
    let refused = home.fails(64, &["client", "add", "shop", "--public-key", &key]);
    assert!(refused.contains("private key"), "{refused}");
    home.ok(&["client", "add", "shop", "--secret-out", &path("secret"), "--public-key", &public]);
    home.ok(&["client", "add", "orders", "--secret-out", &path("other")]);
    let shown = home.ok(&["client", "list"]);
    assert!(shown.contains("KEYS"), "{shown}");
    let port = api(&home).rsplit_once(':').unwrap().1.to_owned();
    let question = json!({
        "url": format!("https://localhost:{port}"),
        "ca": home.write("ca.pem", &home.ok(&["ca", "bundle"])),
        "secret": fs::read_to_string(home.path("secret")).unwrap().trim(),
        "other": fs::read_to_string(home.path("other")).unwrap().trim(),
        "key": key,
        "audience": "spiffe://test.sealock/service/orders",
    });
    let mut command = Command::new(PYTHON);
    // requests would take roots and proxies from there before those that it is given.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.args(["-c", include_str!("oauth/peer.py")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut peer = command.spawn().unwrap();
    writeln!(peer.stdin.take().unwrap(), "{question}").unwrap();
    let mut lines = BufReader::new(peer.stdout.take().unwrap()).lines();
    let mut next = || -> Option<Value> {
        lines.next().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
    };
    let told = (|| {
        let begun = next()?;
        assert!(begun["uri"].as_str().unwrap().ends_with("/login"), "{begun}");
        assert_eq!(next()?["waits"], "authorization_pending");
        let code = begun["user_code"].as_str().unwrap().to_owned();
        let waiting = home.ok(&["login", "list"]);
        assert!(waiting.contains(&code) && waiting.contains("a-tool"), "{waiting}");
        let said = home.ok(&["login", "confirm", &code.to_lowercase(), "--as", "alice"]);
        assert!(said.contains("spiffe://test.sealock/human/alice"), "{said}");
        next()
    })();
    let output = peer.wait_with_output().unwrap();
    let said = told.unwrap_or_else(|| panic!("{}", text(&output.stderr)));
    for method in ["client_secret_basic", "client_secret_post", "private_key_jwt"] {
        let got = &said[method];
        assert_eq!(got["claims"]["sub"], "spiffe://test.sealock/service/shop", "{method}: {said}");
        assert_eq!((&got["claims"]["client_id"], &got["active"]), (&"shop".into(), &false.into()));
        assert_eq!(got["revoked"], 200);
    }
    assert_eq!(said["key"], "invalid_client");
    assert_eq!(said["secret"], "invalid_client");
    assert_eq!(said["audience"], "access_denied");
    assert_eq!(said["introspected"][0], "spiffe://test.sealock/service/shop");
    assert_eq!(said["introspected"][1], json!({"active": false}));
    let given = &said["device"];
    assert_eq!(given["type"], "Bearer");
    let code = given["code"].as_str().unwrap();
    assert!(code.starts_with("sealock_lc_"), "{given}");
    let log = home.ok(&["--json", "audit", "tail", "-n", "1000"]);
    assert!(log.contains("client-keys-changed") && !log.contains(code), "{log}");
    assert_eq!(daemon.stop(), Some(0));
    assert!(!home.log().contains(code));
}
