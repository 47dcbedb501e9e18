mod secrets;
mod stores;
mod trusts;

use std::time::Duration;

use proptest::prelude::*;
use sealock_core::DnsName;

use super::certificate::SETTINGS;
use super::*;

fn one(setting: &str, text: &str) -> Result<CertificateRequest, LabelError> {
    let key = format!("sealock.cert.web.{setting}");
    let mut parsed = parse([(key.as_str(), text)]);
    match (parsed.certificates.pop(), parsed.faults.pop()) {
        (Some(request), None) => Ok(request),
        (None, Some(fault)) => {
            assert_eq!((fault.kind, fault.name), (Kind::Certificate, Some("web".parse().unwrap())));
            assert_eq!(fault.label, key);
            Err(fault.reason)
        }
        other => panic!("neither a request nor a fault: {other:?}"),
    }
}

#[test]
fn one_label_is_enough_and_the_rest_is_default() {
    let request = one("ttl", "90m").unwrap();
    assert_eq!(request.ttl, Some(Duration::from_secs(5400)));
    assert_eq!(request.dns, None);
    assert_eq!(request.path.as_str(), "/run/sealock/certs/web");
    assert_eq!(request.usages, Usages { server: true, client: true });
    assert_eq!((request.mode, request.key_type), (0o400, KeyType::P256));
    assert_eq!((request.owner, request.reload, request.verify), (None, None, None));
}

#[test]
fn every_setting_is_read() {
    let parsed = parse([
        ("sealock.cert.my.web.dns", "Web.corp.example, web,web"),
        ("sealock.cert.my.web.ip", "10.0.0.1,::1"),
        ("sealock.cert.my.web.usage", "server"),
        ("sealock.cert.my.web.ttl", "30s"),
        ("sealock.cert.my.web.path", "/etc/nginx/.certs"),
        ("sealock.cert.my.web.owner", "101:nginx"),
        ("sealock.cert.my.web.mode", "0440"),
        ("sealock.cert.my.web.key-type", "ed25519"),
        ("sealock.cert.my.web.layout", "docker"),
        ("sealock.cert.my.web.reload", "exec:nginx -s 'reload now'"),
        ("sealock.cert.my.web.verify", "tls:8443/web"),
        ("sealock.cert.my.web.publish", "corp"),
        ("com.docker.compose.service", "web"),
        ("sealock.scope", "another room's"),
        ("sealock.test", "another program's"),
    ]);
    assert_eq!(parsed.faults, []);
    let [request] = &parsed.certificates[..] else { panic!("one certificate: {parsed:?}") };
    assert_eq!(request.name.as_str(), "my.web");
    let dns: Vec<&str> = request.dns.iter().flatten().map(DnsName::as_str).collect();
    assert_eq!(dns, ["web.corp.example", "web"]);
    assert_eq!(request.ip.len(), 2);
    assert_eq!(request.usages, Usages { server: true, client: false });
    assert_eq!(request.path.as_str(), "/etc/nginx/.certs");
    assert_eq!(request.owner.as_ref().map(ToString::to_string).as_deref(), Some("101:nginx"));
    assert_eq!((request.mode, request.layout), (0o440, Layout::Docker));
    let words = ["nginx", "-s", "reload now"].map(str::to_owned).to_vec();
    assert_eq!(request.reload, Some(Reload::Exec(words)));
    let endpoint = Endpoint { port: 8443, server_name: Some("web".parse().unwrap()) };
    assert_eq!(request.verify, Some(endpoint));
    assert_eq!(request.publish.as_ref().map(LabelName::as_str), Some("corp"));
}

#[test]
fn a_bad_label_refuses_its_certificate_only() {
    let parsed = parse([
        ("sealock.cert.bad.ttl", "soon"),
        ("sealock.cert.bad.dns", "fine.example"),
        ("sealock.cert.bad.mode", "4755"),
        ("sealock.cert.good.dns", "fine.example"),
    ]);
    let names: Vec<&str> =
        parsed.certificates.iter().map(|request| request.name.as_str()).collect();
    assert_eq!(names, ["good"]);
    let labels: Vec<&str> = parsed.faults.iter().map(|fault| fault.label.as_str()).collect();
    assert_eq!(labels, ["sealock.cert.bad.mode", "sealock.cert.bad.ttl"]);
    assert!(
        parsed.faults[1].to_string().starts_with("label `sealock.cert.bad.ttl`: `soon` is not")
    );
}

#[test]
fn slips_of_the_hand_are_answered_with_what_was_meant() {
    let hint = |key: &str| {
        let mut parsed = parse([(key, "x")]);
        assert_eq!(parsed.certificates, []);
        parsed.faults.pop().and_then(|fault| fault.reason.hint()).unwrap_or_default()
    };
    assert_eq!(hint("sealock.cert.web.dsn"), "did you mean `dns`?");
    assert_eq!(hint("sealock.cert.web.keytype"), "did you mean `key-type`?");
    assert!(hint("sealock.cert.web.colour").starts_with("the settings are dns, ip"));
    assert!(hint("sealock.cert.web").contains("sealock.cert.web.dns"));
    assert_eq!(hint("sealock.certs.web.dns"), "write sealock.cert.NAME.SETTING");
    assert_eq!(one("reload", "signal:HPU").unwrap_err().hint().unwrap(), "did you mean `HUP`?");
    assert_eq!(one("key-type", "p265").unwrap_err().hint().unwrap(), "did you mean `p256`?");
}

#[test]
fn bad_values_are_refused_by_setting() {
    for (setting, values) in [
        ("dns", &["", ",", "a,,b", "a b", "-a", "10.0.0.1"][..]),
        ("ip", &["", "1.2.3", "::g", "web"]),
        ("usage", &["", "sever", "server,"]),
        ("ttl", &["", "0s", "4s", "399d", "1d1", "-1h"]),
        (
            "path",
            &["", "/", "certs", "/a/../b", "/a/./b", "//a", "/a/", "/a\0", "/proc/self", "/sys"],
        ),
        ("owner", &["", ":", "1:", ":1", "4294967295", "a b", "1:2:3", "-1"]),
        ("mode", &["", "4", "0o400", "888", "4755", "0777", "0660", "0222", "00400", "+400"]),
        ("key-type", &["", "rsa", "P256"]),
        ("layout", &["", "pem", "Docker", "tls,docker"]),
        (
            "reload",
            &[
                "",
                "HUP",
                "signal:",
                "signal:KILL",
                "signal:9",
                "signal:0",
                "signal:65",
                "signal:32",
                "signal:+1",
                "exec:",
                "exec: ",
                "exec:'a",
                "exec:''",
                "exec:a\0b",
                "run:x",
            ],
        ),
        (
            "verify",
            &["", "8443", "tls:", "tls:0", "tls:65536", "tls:+1", "tls:1/", "tls:1/*.a", "tcp:1"],
        ),
        // Only a name of the settings: neither a URL nor a DN.
        ("publish", &["", "ldaps://evil.example", "cn=web,dc=corp", "Corp", "a,b", "../corp"]),
    ] {
        for text in values {
            assert!(one(setting, text).is_err(), "{setting}={text:?}");
        }
    }
    let long = "a,".repeat(101);
    assert_eq!(one("dns", &long), Err(LabelError::TooManyNames { limit: 100 }));
    assert_eq!(one("dns", &"a".repeat(5000)), Err(LabelError::TooLong { limit: 4096 }));
}

#[test]
fn signals_by_name_and_number() {
    for (text, number, shown) in
        [("HUP", 1, "HUP"), ("sighup", 1, "HUP"), ("10", 10, "USR1"), ("40", 40, "40")]
    {
        let signal: Signal = text.parse().unwrap();
        assert_eq!((signal.number(), signal.to_string().as_str()), (number, shown));
    }
}

#[test]
fn bad_names_of_certificates() {
    for name in ["Web", "", "-a", "a-", ".a", "..", "a/b", "ä", &"a".repeat(65)] {
        let key = format!("sealock.cert.{name}.dns");
        let parsed = parse([(key.as_str(), "a")]);
        assert_eq!(parsed.certificates, [], "{name}");
        assert_eq!(parsed.faults.len(), 1, "{name}");
        assert_eq!(parsed.faults[0].name, None, "{name}");
    }
}

#[test]
fn one_folder_holds_one_certificate() {
    let parsed = parse([("sealock.cert.b.path", "/certs"), ("sealock.cert.a.path", "/certs")]);
    assert_eq!(parsed.certificates.len(), 1);
    assert_eq!(parsed.certificates[0].name.as_str(), "a");
    let (kind, by, path) = (Kind::Certificate, "a".into(), "/certs".into());
    assert_eq!(parsed.faults[0].reason, LabelError::PathTaken { kind, by, path });
}

#[test]
fn the_number_of_certificates_is_bounded() {
    let keys: Vec<String> = (0..40).map(|n| format!("sealock.cert.c{n:02}.ttl")).collect();
    let parsed = parse(keys.iter().map(|key| (key.as_str(), "1h")));
    assert_eq!(parsed.certificates.len(), Kind::Certificate.limit());
    assert_eq!(parsed.faults.len(), 8);
}

#[test]
fn hostile_texts_are_repeated_short_and_without_control_characters() {
    let fault = one("ttl", &format!("\x1b[31m\u{202e}{}", "x".repeat(300))).unwrap_err();
    let shown = fault.to_string();
    assert!(shown.len() < 250 && !shown.contains('\x1b') && !shown.contains('\u{202e}'), "{shown}");
}

fn setting() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(SETTINGS.to_vec()).prop_map(str::to_owned),
        3 => prop::sample::select(Kind::Secret.settings().to_vec()).prop_map(str::to_owned),
        1 => "[a-z-]{0,8}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,40}",
        "[a-z0-9.,*-]{0,40}",
        "(signal:|exec:|tls:)[A-Za-z0-9/' ]{0,12}",
        "(/[a-z.]{0,4}){0,5}",
        "(/[ab]){1,3}",
        "allowed|[a-z]{1,3}(/[a-z]{1,3}){0,2}",
        "[0-9]{0,5}[smhd:]?[0-9]{0,3}",
    ]
}

proptest! {
    #[test]
    fn any_labels_give_a_result_that_keeps_its_promises(
        labels in prop::collection::vec(
            ("cert|secret|certs|secrets", "[a-cA-Z._-]{0,3}|[ab]", setting(), text()),
            0..12,
        )
    ) {
        let lines: Vec<String> = labels
            .iter()
            .map(|(kind, name, setting, text)| format!("sealock.{kind}.{name}.{setting}={text}"))
            .collect();
        fuzz(lines.join("\n").as_bytes());
    }

    #[test]
    fn any_bytes_give_a_result(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz(&data);
    }

    #[test]
    fn what_is_shown_reads_back(number in 1u8..=64) {
        if let Ok(signal) = number.to_string().parse::<Signal>() {
            prop_assert_eq!(signal.to_string().parse::<Signal>().unwrap(), signal);
        }
    }
}

#[test]
fn an_imported_certificate_is_as_it_was_signed() {
    let parsed =
        parse([("sealock.cert.web.imported", "shop"), ("sealock.cert.web.verify", "tls:443")]);
    assert_eq!(parsed.faults, []);
    assert_eq!(parsed.certificates[0].imported.as_ref().unwrap().as_str(), "shop");
    let published =
        parse([("sealock.cert.web.imported", "shop"), ("sealock.cert.web.publish", "corp")]);
    assert_eq!(published.faults, []);
    assert_eq!(published.certificates[0].publish.as_ref().unwrap().as_str(), "corp");
    for (setting, text) in [
        ("dns", "a.example"),
        ("ip", "10.0.0.1"),
        ("usage", "server"),
        ("ttl", "1h"),
        ("key-type", "p384"),
    ] {
        let label = format!("sealock.cert.web.{setting}");
        let parsed = parse([("sealock.cert.web.imported", "shop"), (&*label, text)]);
        assert!(parsed.certificates.is_empty(), "{setting}");
        assert_eq!(parsed.faults[0].label, label);
        assert!(parsed.faults[0].reason.hint().unwrap().contains(".imported"));
    }
    for bad in ["", "../shop", "a b", ".shop"] {
        let parsed = parse([("sealock.cert.web.imported", bad)]);
        assert_eq!((parsed.certificates.len(), parsed.faults.len()), (0, 1), "{bad:?}");
    }
}
