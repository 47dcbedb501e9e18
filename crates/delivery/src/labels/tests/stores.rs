//! Labels of key stores and trust stores.

use super::super::*;

/// What the settings of one certificate come to.
fn asked(settings: &[(&str, &str)]) -> ParsedLabels {
    let keys: Vec<(String, &str)> = settings
        .iter()
        .map(|(setting, text)| (format!("sealock.cert.web.{setting}"), *text))
        .collect();
    parse(keys.iter().map(|(key, text)| (key.as_str(), *text)))
}

fn formats(text: &str) -> String {
    let parsed = asked(&[("format", text)]);
    let [certificate] = &parsed.certificates[..] else { panic!("{text}: {parsed:?}") };
    let names: Vec<String> = certificate.formats.iter().map(ToString::to_string).collect();
    names.join(" ")
}

#[test]
fn formats_are_read_in_any_order_and_each_once() {
    for (text, read) in [
        ("pkcs12", "pkcs12"),
        ("jks , pkcs12,jks", "pkcs12 jks"),
        ("pkcs12-legacy", "pkcs12-legacy"),
        ("der,p7b,pkcs7", "der p7b"),
        ("pem", ""),
        ("pem,jks", "jks"),
    ] {
        assert_eq!(formats(text), read, "{text}");
    }
    let parsed = asked(&[("format", "pkcs12"), ("password", "shop/keystore")]);
    let [certificate] = &parsed.certificates[..] else { panic!("{parsed:?}") };
    assert_eq!(certificate.password.as_ref().map(|it| it.as_str()), Some("shop/keystore"));
    assert!(certificate.has_store());
    // The company's, too, and with a layout that is said.
    let more = [("format", "jks"), ("imported", "web"), ("layout", "tls")];
    assert_eq!(asked(&more).certificates.len(), 1);
}

#[test]
fn each_format_has_files_of_its_own() {
    let mut names = std::collections::BTreeSet::new();
    let all = asked(&[("format", "pkcs12,pkcs12-legacy,jks,der,p7b")]);
    let files = all.certificates[0].files();
    let doubled: Vec<&&str> = files.iter().filter(|name| !names.insert(**name)).collect();
    assert_eq!(doubled, [&"truststore.jks"], "it has one content for both");
    assert!(names.contains(PASSWORD_FILE));
    let named = asked(&[("format", "pkcs12"), ("password", "shop/keystore")]);
    assert!(!named.certificates[0].files().contains(&PASSWORD_FILE));
    let without = asked(&[("format", "der")]);
    assert!(!without.certificates[0].files().contains(&PASSWORD_FILE));
}

#[test]
fn what_is_wrong_about_a_store_is_said_and_refuses_its_certificate_only() {
    for (settings, at, says, hint) in [
        (
            &[("format", "pkcs21")][..],
            "format",
            "`pkcs21` is not a format",
            "did you mean `pkcs12`",
        ),
        (&[("format", "keystore")], "format", "(pem, pkcs12, pkcs12-legacy, jks, der", ""),
        (&[("format", "PKCS12")], "format", "is not a format of a certificate", ""),
        (&[("format", "")], "format", "empty", "leave the label out"),
        (&[("format", "pkcs12,,jks")], "format", "`` is not a format", ""),
        (&[("format", "truststore-p12")], "format", "is not a format", ""),
        (&[("password", "shop/keystore")], "password", "no key store", "add .format=pkcs12"),
        (&[("format", "der"), ("password", "a/b")], "password", "no key store", ".format=jks"),
        (&[("format", "pem"), ("password", "a/b")], "password", "no key store", ""),
        (&[("format", "jks"), ("password", "")], "password", "empty", ""),
        (&[("format", "jks"), ("password", "Gr8 pa$$!")], "password", "no name", "into the vault"),
        (&[("format", "jks"), ("layout", "docker")], "format", "layout `docker`", ".layout"),
    ] {
        let mut parsed = asked(settings);
        assert!(parsed.certificates.is_empty(), "{settings:?}");
        let fault = parsed.faults.pop().unwrap();
        assert_eq!(
            (fault.label.as_str(), parsed.faults.len()),
            (&*format!("sealock.cert.web.{at}"), 0)
        );
        let told = fault.to_string();
        assert!(told.contains(says), "{told}");
        assert!(
            fault.reason.hint().unwrap_or_default().contains(hint),
            "{:?}",
            fault.reason.hint()
        );
        // What stands there may be the password.
        assert!(!told.contains("Gr8"), "{told}");
    }
    let parsed = parse([
        ("sealock.cert.bad.format", "pkcs21"),
        ("sealock.cert.good.format", "pkcs12"),
        ("sealock.trust.good.format", "pkcs12"),
    ]);
    assert_eq!((parsed.certificates.len(), parsed.trusts.len(), parsed.faults.len()), (1, 1, 1));
}

#[test]
fn a_bundle_is_a_store_where_a_label_says_so() {
    let one = |settings: &[(&str, &str)]| {
        let keys: Vec<(String, &str)> = settings
            .iter()
            .map(|(setting, text)| (format!("sealock.trust.company.{setting}"), *text))
            .collect();
        let mut parsed = parse(keys.iter().map(|(key, text)| (key.as_str(), *text)));
        parsed.trusts.pop().ok_or_else(|| parsed.faults.pop().unwrap().to_string())
    };
    assert_eq!(one(&[("mode", "0444")]).unwrap().format, TrustFormat::Pem);
    assert_eq!(one(&[("format", "pem")]).unwrap().format, TrustFormat::Pem);
    let store = one(&[("format", "pkcs12")]).unwrap();
    assert_eq!((store.format, store.password), (TrustFormat::Pkcs12, None));
    let store = one(&[("password", "shop/trust"), ("format", "jks")]).unwrap();
    assert_eq!(store.password.as_ref().map(|it| it.as_str()), Some("shop/trust"));
    for (settings, says) in [
        (&[("format", "p12")][..], "not a format of a trust bundle (pem, pkcs12, jks)"),
        (&[("format", "")], "empty"),
        (&[("password", "shop/trust")], "trust.company.password"),
        (&[("format", "pem"), ("password", "shop/trust")], "no key store or trust store"),
        (&[("format", "jks"), ("password", "so secret!")], "no name of a secret"),
    ] {
        let told = one(settings).unwrap_err();
        assert!(told.contains(says) && !told.contains("so secret"), "{told}");
    }
}

#[test]
fn nothing_is_put_where_a_certificate_has_a_store() {
    let parsed = parse([
        ("sealock.cert.a.format", "pkcs12"),
        ("sealock.cert.a.path", "/certs"),
        ("sealock.cert.b.path", "/certs/keystore.p12"),
        ("sealock.cert.c.path", "/certs/keystore.jks"),
        ("sealock.cert.d.path", "/certs/truststore.p12/d"),
        ("sealock.cert.e.path", "/certs/tls.key"),
        ("sealock.cert.f.path", "/certs/keystore.password"),
        ("sealock.secret.s.ref", "a"),
        ("sealock.secret.s.path", "/certs/keystore.password"),
        ("sealock.trust.t.path", "/certs/truststore.p12"),
    ]);
    let kept: Vec<&str> = parsed.certificates.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(kept, ["a", "c"], "{:?}", parsed.faults);
    assert_eq!((parsed.secrets.len(), parsed.trusts.len(), parsed.faults.len()), (0, 0, 6));
    let told = parsed.faults[0].to_string();
    assert!(told.contains("certificate `a` of this container goes to `/certs`"), "{told}");
}
