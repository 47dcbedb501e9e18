//! Labels that ask for secrets.

use super::super::*;

/// The one secret of these labels, each `setting=value` of `db`, or the last fault.
fn one(labels: &[(&str, &str)]) -> Result<SecretRequest, LabelError> {
    let keys: Vec<(String, &str)> = labels
        .iter()
        .map(|(setting, text)| (format!("sealock.secret.db.{setting}"), *text))
        .collect();
    let mut parsed = parse(keys.iter().map(|(key, text)| (key.as_str(), *text)));
    assert_eq!(parsed.certificates, []);
    match (parsed.secrets.pop(), parsed.faults.pop()) {
        (Some(request), None) => Ok(request),
        (None, Some(fault)) => {
            assert_eq!((fault.kind, fault.name), (Kind::Secret, Some("db".parse().unwrap())));
            Err(fault.reason)
        }
        other => panic!("neither a request nor a fault: {other:?}"),
    }
}

#[test]
fn a_ref_is_enough_and_the_rest_is_default() {
    let request = one(&[("ref", "prod/db/password")]).unwrap();
    assert_eq!((request.name.as_str(), request.secret.as_str()), ("db", "prod/db/password"));
    assert_eq!(request.path.as_str(), "/run/sealock/secrets/db");
    assert_eq!((request.owner, request.mode, request.reload), (None, 0o400, None));
    assert!(!request.on_disk);
}

#[test]
fn every_setting_is_read() {
    let request = one(&[
        ("ref", "prod/db/password"),
        ("path", "/etc/app/db.password"),
        ("owner", "app:998"),
        ("mode", "0440"),
        ("reload", "signal:USR1"),
        ("on-disk", "allowed"),
    ])
    .unwrap();
    assert_eq!(request.path.as_str(), "/etc/app/db.password");
    assert_eq!(request.owner.as_ref().map(ToString::to_string).as_deref(), Some("app:998"));
    assert_eq!(request.mode, 0o440);
    assert_eq!(request.reload.as_ref().map(ToString::to_string).as_deref(), Some("signal:USR1"));
    assert!(request.on_disk);
}

#[test]
fn bad_values_are_refused_by_setting() {
    for (setting, values) in [
        ("ref", &["", "/a", "a/", "a//b", "a/../b", "a b", "ä", "a\nb", "*"][..]),
        ("path", &["", "/", "secrets", "/a/../b", "/a/", "/proc/1/x", "/sys/x"]),
        ("owner", &["", ":", "1:2:3", "a b"]),
        ("mode", &["", "0777", "0660", "4755", "0222", "0500"]),
        ("reload", &["", "HUP", "signal:KILL", "exec:", "run:x"]),
        ("on-disk", &["", "yes", "true", "Allowed", "forbidden", "allowed "]),
    ] {
        for text in values {
            assert!(one(&[("ref", "a"), (setting, text)]).is_err(), "{setting}={text:?}");
        }
    }
    assert_eq!(one(&[("ref", "")]), Err(LabelError::Empty));
    let long = "a".repeat(5000);
    assert_eq!(one(&[("ref", &long)]), Err(LabelError::TooLong { limit: 4096 }));
}

#[test]
fn without_a_ref_nothing_is_asked_for_and_the_label_that_is_missing_is_named() {
    assert_eq!(one(&[("path", "/etc/x")]), Err(LabelError::NoRef));
    let parsed = parse([("sealock.secret.db.path", "/etc/x")]);
    assert_eq!(parsed.faults[0].label, "sealock.secret.db.ref");
    // One fault is enough: the ref is there, only not as it should be.
    let parsed = parse([("sealock.secret.db.reff", "prod/db")]);
    assert_eq!(parsed.faults.len(), 1);
}

#[test]
fn slips_of_the_hand_are_answered_with_what_was_meant() {
    for (label, hint) in [
        ("sealock.secrets.db.ref", "write sealock.secret.NAME.SETTING"),
        ("sealock.secert.db.ref", "write sealock.secret.NAME.SETTING"),
        ("sealock.secret", "write sealock.secret.NAME.SETTING"),
        ("sealock.secret.db.reference", "the settings are ref, path, owner, mode, reload, on-disk"),
        ("sealock.secret.db.onDisk", "did you mean `on-disk`?"),
        ("sealock.secret.db.raf", "did you mean `ref`?"),
        ("sealock.secret.db", "sealock.secret.db.ref"),
    ] {
        let mut parsed = parse([(label, "prod/db")]);
        assert_eq!(parsed.secrets, [], "{label}");
        let shown = parsed.faults.pop().and_then(|fault| fault.reason.hint()).unwrap_or_default();
        assert!(shown.contains(hint), "{label}: {shown}");
    }
    for others in ["sealock.scope", "sealock.owner", "sealock.server.x", "com.secret.db.ref"] {
        assert!(parse([(others, "x")]).is_empty(), "{others}");
    }
}

#[test]
fn what_has_the_same_name_is_still_two() {
    let parsed = parse([("sealock.secret.web.ref", "web"), ("sealock.cert.web.ttl", "1h")]);
    assert_eq!((parsed.certificates.len(), parsed.secrets.len()), (1, 1));
    // And the fault of one is not the other's.
    let parsed = parse([("sealock.secret.web.ref", "/"), ("sealock.cert.web.ttl", "1h")]);
    assert_eq!((parsed.certificates.len(), parsed.secrets.len()), (1, 0));
}

#[test]
fn nothing_is_at_the_path_of_another_or_below_it() {
    for (path, taken) in [
        ("/run/sealock/certs/web", true),
        ("/run/sealock/certs/web/tls.key", true),
        ("/run/sealock/certs", true),
        ("/run/sealock/certs/web2", false),
        ("/run/sealock/certs/we", false),
        ("/run/sealock/secrets/a", true),
        ("/run/sealock/secrets/a/b", true),
        ("/run/sealock/secrets/ab", false),
    ] {
        let parsed = parse([
            ("sealock.cert.web.ttl", "1h"),
            ("sealock.secret.a.ref", "one"),
            ("sealock.secret.b.ref", "two"),
            ("sealock.secret.b.path", path),
        ]);
        assert_eq!(parsed.certificates.len(), 1, "{path}");
        assert_eq!(parsed.secrets.len(), if taken { 1 } else { 2 }, "{path}");
        let labels: Vec<&str> = parsed.faults.iter().map(|fault| fault.label.as_str()).collect();
        let expected: &[&str] = if taken { &["sealock.secret.b.path"] } else { &[] };
        assert_eq!(labels, expected, "{path}");
    }
    let parsed = parse([
        ("sealock.cert.web.path", "/certs"),
        ("sealock.secret.db.ref", "db"),
        ("sealock.secret.db.path", "/certs/db"),
    ]);
    let shown = parsed.faults[0].reason.to_string();
    assert_eq!(shown, "certificate `web` of this container goes to `/certs`");
    assert_eq!(parsed.faults[0].reason.hint().unwrap(), "give one of the two another .path");
}

#[test]
fn the_number_of_secrets_is_bounded() {
    let keys: Vec<String> = (0..70).map(|n| format!("sealock.secret.s{n:02}.ref")).collect();
    let parsed = parse(keys.iter().map(|key| (key.as_str(), "prod/db")));
    assert_eq!(parsed.secrets.len(), 64);
    assert_eq!(parsed.faults.len(), 6);
    assert_eq!(
        parsed.faults[0].to_string(),
        "label `sealock.secret.s64.*`: the container asks for more than 64 secrets"
    );
}
