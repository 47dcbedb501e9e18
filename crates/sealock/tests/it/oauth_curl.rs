//! The broker's endpoints with curl: by certificate, by attestation, an exchange; and what `token revoke` ends.

use std::fs;

use sealock_core::Timestamp;
use sealock_testkit::clients::{skip_without, skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Container, Image};
use serde_json::Value;

use crate::gatekeeper::Caller;
use crate::gateway::{home, permit};
use crate::gateway_socket::name;
use crate::secrets::fed;
use crate::support::{Home, text, tool};
use crate::tokens::{answer, curl, gets};

const ASK: [&str; 4] = ["--data", "grant_type=client_credentials", "--data", "audience=orders"];

fn skip() -> bool {
    skip_without_engine() || skip_without(&["curl"])
}

/// What `token show` says.
fn state(home: &Home, token: &str) -> Value {
    let shown = fed(home, &["--json", "token", "show"], token.as_bytes());
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    serde_json::from_slice(&shown.stdout).unwrap()
}

fn is_good(home: &Home, token: &str) -> bool {
    state(home, token)["active"] == true
}

#[test]
fn a_certificate_that_curl_shows_is_the_proof_and_binds_the_token() {
    if skip() || skip_without(&["openssl"]) {
        return;
    }
    let home = home();
    let daemon = home.up();
    permit(&home, &gets("shop", "orders"));
    let uri = "spiffe://test.sealock/service/shop";
    home.ok(&["cert", "issue", "shop", "--usage", "client", "--uri", uri, "--out", "shop"]);
    let file = |name: &str| home.path(&format!("shop/{name}")).display().to_string();
    let (certificate, key) = (file("tls.crt"), file("tls.key"));
    let shown = ["--cert", certificate.as_str(), "--key", &key];
    let given = answer(&curl(&home, "/oauth/token", &[&shown[..], &ASK].concat()));
    let token = given["access_token"].as_str().unwrap();
    // RFC 8705 §3.1, as openssl has the certificate's SHA-256.
    let print = ["x509", "-in", &certificate, "-noout", "-fingerprint", "-sha256"];
    let print = tool("openssl", &print);
    let print = print.trim().rsplit('=').next().unwrap().replace(':', "");
    let print = data_encoding::HEXUPPER.decode(print.as_bytes()).unwrap();
    let payload = token.split('.').nth(1).unwrap();
    let payload = data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(claims["cnf"]["x5t#S256"], data_encoding::BASE64URL_NOPAD.encode(&print));
    assert_eq!((&claims["sub"], &claims["aud"].is_string()), (&uri.into(), &true));
    // The name has to be that of the certificate; without one nobody is anybody.
    let as_till = [&shown[..], &ASK, &["--data", "client_id=till"]].concat();
    assert_eq!(answer(&curl(&home, "/oauth/token", &as_till))["error"], "invalid_client");
    assert_eq!(answer(&curl(&home, "/oauth/token", &ASK))["error"], "invalid_client");
    // With it curl asks and revokes, too.
    let form = home.write("form", &format!("token={token}"));
    let form = format!("@{form}");
    let revoke = [&shown[..], &["--data", &form]].concat();
    assert_eq!(answer(&curl(&home, "/oauth/revoke", &revoke)), serde_json::json!({}));
    assert!(!is_good(&home, token));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn curl_exchanges_a_token_for_one_of_another_audience() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    permit(&home, &(gets("shop", "orders") + &gets("shop", "billing") + &gets("till", "orders")));
    let (shop, till) = (Caller::new(&home, "shop"), Caller::new(&home, "till"));
    let exchange = |subject: &str, audience: &str| {
        let config = home.path("shop.curlrc").display().to_string();
        let subject = home.write("subject", subject);
        let (subject, audience) =
            (format!("subject_token@{subject}"), format!("audience={audience}"));
        let arguments = [
            "--config",
            &config,
            "--data",
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange",
            "--data",
            "subject_token_type=urn:ietf:params:oauth:token-type:access_token",
            "--data-urlencode",
            &subject,
            "--data",
            &audience,
        ];
        answer(&curl(&home, "/oauth/token", &arguments))
    };
    let token = shop.token("orders");
    let given = exchange(&token, "billing");
    assert_eq!(given["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!(given["token_type"], "Bearer", "{given}");
    let (before, after) = (state(&home, &token), given["access_token"].as_str().unwrap());
    let after = state(&home, after);
    assert_eq!(after["claims"]["sub"], "spiffe://test.sealock/service/shop");
    assert_eq!(after["claims"]["aud"], "spiffe://test.sealock/service/billing");
    let end = |state: &Value| state["claims"]["exp"].as_u64().unwrap();
    assert!(end(&after) <= end(&before), "{before} {after}");
    // Neither to where policy does not lead, nor with somebody else's, nor with what is none.
    assert_eq!(exchange(&token, "vault")["error"], "access_denied");
    assert_eq!(exchange(&till.token("orders"), "orders")["error"], "invalid_grant");
    assert_eq!(exchange("made-up", "orders")["error"], "invalid_grant");
    assert_eq!(daemon.stop(), Some(0));
}

/// curl of this host in a container that has nothing but the workload socket.
fn curl_inside(container: &Container, path: &str, arguments: &[&str]) -> Value {
    let socket = "/run/sealock/workload/workload.sock";
    let url = format!("http://localhost{path}");
    let curl = ["/usr/bin/curl", "--silent", "--show-error", "--max-time", "20"];
    let output = container.exec(&[&curl[..], &["--unix-socket", socket, &url], arguments].concat());
    answer(&output)
}

#[test]
fn in_a_container_curl_gets_a_token_at_the_socket_by_who_it_is() {
    if skip() || skip_without_root() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let image = Image::busybox();
    let socket = home.state().join("run/workload");
    let socket = format!("--volume={}:/run/sealock/workload:ro", socket.display());
    // curl and its libraries are the host's: the image has neither.
    let host = ["--volume=/usr:/usr:ro", "--volume=/lib:/lib:ro", "--volume=/lib64:/lib64:ro"];
    let start = || image.start(&[&[socket.as_str()], &host[..]].concat());
    let (shop, thief) = (start(), start());
    permit(&home, &gets(&name(&shop), "orders"));
    let given = curl_inside(&shop, "/oauth/token", &ASK);
    let token = given["access_token"].as_str().unwrap();
    let said = state(&home, token);
    let who = format!("spiffe://test.sealock/service/{}", name(&shop));
    assert_eq!((&said["claims"]["sub"], &said["active"]), (&who.clone().into(), &true.into()));
    assert_eq!(said["claims"]["aud"], "spiffe://test.sealock/service/orders");
    // By its own name, or none; whatever else it says, it is who it is.
    let named =
        |name: &str| [&ASK[..], &["--data", &format!("client_id={name}")]].concat().join(" ");
    let asked = |container: &Container, line: &str| {
        curl_inside(container, "/oauth/token", &line.split(' ').collect::<Vec<_>>())
    };
    assert!(asked(&shop, &named(&name(&shop)))["access_token"].is_string());
    assert_eq!(asked(&thief, &named(&name(&shop)))["error"], "invalid_client");
    let denied = curl_inside(&thief, "/oauth/token", &ASK);
    assert_eq!(denied["error"], "access_denied");
    let explained = home.ok(&["policy", "explain", denied["request"].as_str().unwrap()]);
    assert!(explained.contains("Token::Issue") && explained.contains("orders"), "{explained}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn what_token_revoke_names_is_not_good_any_more_and_the_rest_is() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    permit(&home, &["shop", "till", "web", "desk"].map(|who| gets(who, "orders")).concat());
    let caller = |name| Caller::new(&home, name);
    let (shop, till, web, desk) = (caller("shop"), caller("till"), caller("web"), caller("desk"));
    let (shops, tills) = ([shop.token("orders"), shop.token("orders")], till.token("orders"));
    // By the id that `token show` and the audit log have.
    let id = state(&home, &shops[0])["claims"]["jti"].as_str().unwrap().to_owned();
    assert!(home.ok(&["--json", "audit", "tail", "-n", "1000"]).contains(&id));
    home.ok(&["token", "revoke", "--id", &id]);
    assert!(!is_good(&home, &shops[0]) && is_good(&home, &shops[1]));
    home.ok(&["token", "revoke", "--client", "shop"]);
    assert!(!is_good(&home, &shops[1]) && is_good(&home, &tills));
    // Before a time: tokens of that second and later are good.
    let webs = web.token("orders");
    let issued = state(&home, &webs)["claims"]["iat"].as_i64().unwrap();
    let at = |seconds: i64| Timestamp::from_secs(seconds).to_rfc3339();
    home.ok(&["token", "revoke", "--all", "--before", &at(issued)]);
    home.ok(&["token", "revoke", "--identity", "web", "--before", &at(issued)]);
    assert!(is_good(&home, &webs));
    home.ok(&["token", "revoke", "--identity", "service/web", "--before", &at(issued + 1)]);
    assert!(!is_good(&home, &webs));
    // By the key: what it has signed, and the key itself.
    let desks = desk.token("orders");
    let header = data_encoding::BASE64URL_NOPAD.decode(desks.split('.').next().unwrap().as_bytes());
    let header: Value = serde_json::from_slice(&header.unwrap()).unwrap();
    let key = header["kid"].as_str().unwrap();
    assert!(home.ok(&["token", "keys"]).contains(key) && is_good(&home, &desks));
    home.ok(&["token", "revoke", "--key", key]);
    assert!(!is_good(&home, &desks) && !home.ok(&["token", "keys"]).contains(key));
    assert!(is_good(&home, &desk.token("orders")), "another key signs");
    // What is not there, is none, or does not go together.
    for (code, arguments) in [
        (64, &["--id", "x"][..]),
        (64, &["--client", "No Name"]),
        (1, &["--key", key]),
        (64, &["--before", "2026-01-31T08:00:00Z"]),
        (64, &["--all", "--before", "yesterday"]),
        (64, &["--all", "--before", "2026-01-31"]),
        (64, &["--all", "--before", "9000-01-01T00:00:00Z"]),
        (64, &["--id", &id, "--before", "2026-01-31T08:00:00Z"]),
        (64, &["--client", "desk", "--before", "2026-01-31T08:00:00Z"]),
        (64, &["--all", "--identity", "web"]),
    ] {
        home.fails(code, &[&["token", "revoke"], arguments].concat());
    }
    let last = desk.token("orders");
    home.ok(&["token", "revoke", "--all", "--before", "2000-01-01T02:00:00+02:00"]);
    assert!(is_good(&home, &last));
    home.ok(&["token", "revoke", "--all"]);
    assert!(!is_good(&home, &last));
    assert_eq!(daemon.stop(), Some(0));
    assert!(!fs::read_to_string(home.path("daemon.log")).unwrap().contains(&last));
}
