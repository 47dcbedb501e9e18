//! The authority's own certificates, as settings want them: `[profiles.intermediate]` and `[profiles.ocsp]`.

use std::process::Command;

use super::{Scene, leaked};
use crate::support::tool;

/// Whether the certificate ends after so many days.
fn outlives(file: &str, days: u32) -> bool {
    let seconds = (days * 86_400).to_string();
    let asked = ["x509", "-noout", "-in", file, "-checkend", &seconds];
    Command::new("openssl").args(asked).output().unwrap().status.success()
}

#[test]
fn intermediates_and_responders_are_made_as_the_settings_say() {
    let mut scene = Scene::new();
    let settings = "[profiles.intermediate]\nlife = \"2y\"\nkey_types = [\"p384\"]\n\
                    [profiles.ocsp]\nlife = \"45d\"\nkey_types = [\"rsa3072\"]\n";
    let file = scene.home.write("sealock.toml", settings);
    scene.home.set(&[("SEALOCK_CONFIG", leaked(file))]);
    let daemon = scene.home.up();
    scene.issue(&[]);
    let issuer = scene.file("issuer.pem");
    let shown = tool("openssl", &["x509", "-noout", "-text", "-in", &issuer]);
    assert!(shown.contains("secp384r1"), "{shown}");
    assert!(outlives(&issuer, 729) && !outlives(&issuer, 731));
    let said = scene.ocsp(&["-no_nonce", "-resp_text"]);
    assert!(said.contains("tls.crt: good") && said.contains("Response verify OK"), "{said}");
    let responder = scene.home.write("responder.pem", &first_certificate(&said));
    let shown = tool("openssl", &["x509", "-noout", "-text", "-in", &responder]);
    assert!(shown.contains("OCSP Signing") && shown.contains("Public-Key: (3072 bit)"), "{shown}");
    assert!(outlives(&responder, 44) && !outlives(&responder, 46));
    daemon.stop();

    // The next ones are as they are wanted then; those that there are stay.
    scene.home.write("sealock.toml", "[profiles.intermediate]\nlife = \"300d\"\n");
    let _daemon = scene.home.up();
    scene.issue(&[]);
    let same = tool("openssl", &["x509", "-noout", "-text", "-in", &scene.file("issuer.pem")]);
    assert!(same.contains("secp384r1"), "{same}");
    scene.home.ok(&["ca", "rotate"]);
    scene.issue(&[]);
    let next = scene.file("issuer.pem");
    let shown = tool("openssl", &["x509", "-noout", "-text", "-in", &next]);
    assert!(shown.contains("prime256v1"), "{shown}");
    assert!(outlives(&next, 299) && !outlives(&next, 301));
    let said = scene.ocsp(&["-no_nonce"]);
    assert!(said.contains("tls.crt: good") && said.contains("Response verify OK"), "{said}");
}

fn first_certificate(text: &str) -> String {
    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    let from = text.find(begin).unwrap();
    let to = from + text[from..].find(end).unwrap() + end.len();
    text[from..to].to_owned() + "\n"
}
