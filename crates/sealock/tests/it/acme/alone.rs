//! The listener where there is ACME and nothing else.

use sealock_testkit::wait::until;

use crate::chain::free;
use crate::gateway::home;
use crate::support::{PATIENCE, tool};

#[test]
fn its_own_listener_has_acme_and_nothing_else() {
    let mut home = home();
    let port = free();
    home.set(&[
        ("SEALOCK_ACME_LISTEN", super::leaked(format!("127.0.0.1:{port}"))),
        ("SEALOCK_ACME_NAMES", "acme.test"),
    ]);
    let _daemon = home.up();
    let root = home.write("root.pem", &home.ok(&["ca", "bundle"]));
    let get = |host: &str, path: &str, more: &[&str]| {
        let url = format!("https://{host}:{port}{path}");
        let resolve = format!("{host}:{port}:127.0.0.1");
        let usual = ["--silent", "--show-error", "--noproxy", "*", "--max-time", "30"];
        let usual = [&usual[..], &["--cacert", &root, "--resolve", &resolve]].concat();
        tool("curl", &[&usual, more, &[url.as_str()]].concat())
    };
    let directory = get("acme.test", "/acme/directory", &[]);
    let directory: serde_json::Value = serde_json::from_str(&directory).unwrap();
    let base = format!("https://acme.test:{port}/acme/");
    for name in ["newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "renewalInfo"] {
        assert!(directory[name].as_str().unwrap().starts_with(&base), "{name}: {directory}");
    }
    let head = get("acme.test", "/acme/new-nonce", &["--head"]).to_ascii_lowercase();
    assert!(head.contains("replay-nonce: "), "{head}");
    let status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    for path in ["/ca.crt", "/healthz"] {
        assert_eq!(get("localhost", path, &status), "200", "{path}");
    }
    for path in [
        "/v1/call",
        "/v1/traffic/feed",
        "/metrics",
        "/oauth/jwks",
        "/login",
        "/.well-known/openid-configuration",
        "/",
    ] {
        assert_eq!(get("localhost", path, &status), "404", "{path}");
    }
    let posted = [&status[..], &["--data", "{}"]].concat();
    for path in ["/v1/call", "/oauth/token", "/oauth/enroll"] {
        assert_eq!(get("localhost", path, &posted), "404", "{path}");
    }
    until("an account's door", PATIENCE, || {
        (get("acme.test", "/acme/new-account", &posted) == "415").then_some(())
    });
}
