//! Labels of trust bundles, and profiles of certificates.

use super::super::*;

#[test]
fn a_bundle_exists_by_any_label() {
    let parsed = parse([("sealock.trust.company.mode", "0440")]);
    let [trust] = &parsed.trusts[..] else { panic!("{parsed:?}") };
    assert_eq!(trust.path.as_str(), "/run/sealock/trust/company");
    assert_eq!((trust.mode, &trust.owner, &trust.reload), (0o440, &None, &None));
    let parsed = parse([
        ("sealock.trust.company.path", "/etc/ssl/certs/company.pem"),
        ("sealock.trust.company.owner", "1000:1000"),
        ("sealock.trust.company.reload", "signal:HUP"),
    ]);
    let [trust] = &parsed.trusts[..] else { panic!("{parsed:?}") };
    assert_eq!((trust.path.as_str(), trust.mode), ("/etc/ssl/certs/company.pem", 0o444));
    assert!(trust.owner.is_some() && trust.reload.is_some());
    assert!(parsed.faults.is_empty() && parsed.certificates.is_empty());
}

#[test]
fn what_is_wrong_about_a_bundle_is_said() {
    for (label, value, part) in [
        ("sealock.trust.company.path", "etc/ca.pem", "not a path"),
        ("sealock.trust.company.path", "/etc/../ca.pem", "not a path"),
        ("sealock.trust.company.path", "/", "not a path"),
        ("sealock.trust.company.mode", "0666", "group and others must not write"),
        ("sealock.trust.company.mode", "4444", "no setuid"),
        ("sealock.trust.company.reload", "kill", "not a way to reload"),
        ("sealock.trust.company.on-disk", "allowed", "not a setting of a trust bundle"),
        ("sealock.trust.company", "x", "names no setting"),
        ("sealock.trusts.company.path", "/a", "begin with `sealock.trust.`"),
        ("sealock.trust.../../etc.path", "/a", "not a name"),
    ] {
        let parsed = parse([(label, value)]);
        let [fault] = &parsed.faults[..] else { panic!("{label}: {parsed:?}") };
        assert!(fault.to_string().contains(part), "{fault}");
        assert!(parsed.trusts.is_empty(), "{label}");
    }
    let many: Vec<String> = (0..20).map(|n| format!("sealock.trust.t{n:02}.mode")).collect();
    let parsed = parse(many.iter().map(|key| (key.as_str(), "0444")));
    assert_eq!((parsed.trusts.len(), parsed.faults.len()), (16, 4));
}

#[test]
fn a_bundle_takes_no_others_place() {
    let parsed = parse([
        ("sealock.trust.a.path", "/run/sealock/certs/web/ca.crt"),
        ("sealock.trust.b.path", "/run/sealock/secrets/db"),
        ("sealock.trust.c.path", "/run/sealock/trust/d/c.pem"),
        ("sealock.trust.d.mode", "0444"),
        ("sealock.cert.web.ttl", "1h"),
        ("sealock.secret.db.ref", "db"),
    ]);
    let kept: Vec<&str> = parsed.trusts.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(kept, ["c"]);
    assert_eq!((parsed.certificates.len(), parsed.secrets.len()), (1, 1));
    assert!(parsed.faults.iter().all(|fault| fault.kind == Kind::Trust));
}

#[test]
fn a_profile_is_named_in_place_of_usages() {
    let parsed = parse([("sealock.cert.web.profile", "vpn-short")]);
    let [certificate] = &parsed.certificates[..] else { panic!("{parsed:?}") };
    assert_eq!(certificate.profile.as_ref().map(LabelName::as_str), Some("vpn-short"));
    assert_eq!(certificate.ttl, None);
    for other in [("sealock.cert.web.usage", "client"), ("sealock.cert.web.imported", "web")] {
        let parsed = parse([("sealock.cert.web.profile", "vpn"), other]);
        assert_eq!((parsed.certificates.len(), parsed.faults.len()), (0, 1), "{parsed:?}");
    }
    for bad in ["", "VPN", "a b", "../etc", &"a".repeat(65)] {
        assert_eq!(parse([("sealock.cert.web.profile", bad)]).faults.len(), 1, "{bad}");
    }
}
