//! `[revocation]` from the settings to what is answered.

use super::*;

/// The part of `openssl ocsp -resp_text` behind a title, as seconds.
fn moment(said: &str, title: &str) -> i64 {
    let line = said.lines().find_map(|line| line.trim().strip_prefix(title)).unwrap();
    let seconds = tool("date", &["--utc", "--date", line.trim(), "+%s"]);
    seconds.trim().parse().unwrap()
}

#[test]
fn a_nonce_is_answered_and_an_answer_lives_as_long_as_is_set() {
    let mut scene = Scene::new();
    scene.home.set(&[("SEALOCK_REVOCATION_NONCE", "true"), ("SEALOCK_REVOCATION_OCSP_LIFE", "2h")]);
    let daemon = scene.home.up();
    scene.issue(&[]);
    let said = scene.ocsp(&["-nonce", "-resp_text"]);
    assert!(said.contains("tls.crt: good") && said.contains("OCSP Nonce"), "{said}");
    assert!(!said.contains("no nonce in response"), "{said}");
    let said = scene.ocsp(&["-no_nonce", "-resp_text"]);
    let life = moment(&said, "Next Update:") - moment(&said, "This Update:");
    assert!((7200..=7320).contains(&life), "it begins a little before: {life}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn without_ocsp_no_certificate_names_it_and_nobody_answers() {
    let mut scene = Scene::new();
    scene.home.set(&[("SEALOCK_REVOCATION_OCSP", "false")]);
    let daemon = scene.home.up();
    scene.issue(&[]);
    let (issuer, leaf) = (scene.file("issuer.pem"), scene.file("web/tls.crt"));
    let shown = tool("openssl", &["x509", "-noout", "-text", "-in", &leaf]);
    assert!(!shown.contains("OCSP") && shown.contains(".crl"), "{shown}");
    let (request, answer) = (scene.file("request.der"), scene.file("answer.der"));
    let asked = ["ocsp", "-issuer", &issuer, "-cert", &leaf, "-no_nonce", "-reqout", &request];
    tool("openssl", &asked);
    let data = format!("@{request}");
    let kind = "Content-Type: application/ocsp-request";
    scene.get("/ocsp", &["--data-binary", &data, "--header", kind, "--output", &answer]);
    assert_eq!(read_status(&answer), 6, "unauthorized");
    assert_eq!(daemon.stop(), Some(0));
}

/// The daemon makes answers in advance, for as many as the settings say: of what nobody has asked about before.
#[test]
fn locked_it_says_good_of_what_nobody_has_asked_about() {
    let mut scene = Scene::new();
    scene.home.set(&[("SEALOCK_REVOCATION_PRESIGNED", "1")]);
    let home = &scene.home;
    let passphrase = home.write("passphrase", "correct horse battery");
    let with = ["--passphrase-file", passphrase.as_str()];
    let init = ["init", "--trust-domain", "test.sealock", "--key-protection", "passphrase"];
    home.ok(&[&with[..], &init].concat());
    // Soonest to expire first, so that one is in advance and the other is not.
    home.ok(&[&with[..], &["cert", "issue", "later", "--ttl", "12h"]].concat());
    home.ok(&[&with[..], &["cert", "issue", "web", "--ttl", "6h"]].concat());
    let chain = std::fs::read_to_string(home.path("web/tls.crt")).unwrap();
    let issuer = chain.split_inclusive("-----END CERTIFICATE-----\n").nth(1).unwrap();
    home.write("issuer.pem", issuer);
    let daemon = home.up_with(&[&with[..], &["-v"]].concat());
    until("answers in advance", PATIENCE, || home.log().contains("OCSP answers").then_some(()));
    daemon.kill();

    std::fs::remove_file(&passphrase).unwrap();
    let mut locked = home.spawn_with(&with);
    let said = until("the locked door", PATIENCE, || {
        let said = scene.ocsp(&["-no_nonce"]);
        said.contains("tls.crt:").then_some(said)
    });
    assert!(said.contains("tls.crt: good") && said.contains("Response verify OK"), "{said}");
    let (issuer, leaf) = (scene.file("issuer.pem"), scene.file("later/tls.crt"));
    let (request, answer) = (scene.file("request.der"), scene.file("answer.der"));
    let asked = ["ocsp", "-issuer", &issuer, "-cert", &leaf, "-no_nonce", "-reqout", &request];
    tool("openssl", &asked);
    let data = format!("@{request}");
    let kind = "Content-Type: application/ocsp-request";
    scene.get("/ocsp", &["--data-binary", &data, "--header", kind, "--output", &answer]);
    assert_eq!(read_status(&answer), 3, "tryLater");
    assert!(locked.runs(), "{}", home.log());
}
