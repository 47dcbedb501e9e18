use super::*;

fn constraints(permitted: &[&str], excluded: &[&str]) -> NameConstraints {
    let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
    NameConstraints { permitted: parse(permitted), excluded: parse(excluded) }
}

fn name(text: &str) -> SubjectName {
    let (kind, value) = text.split_once(' ').unwrap();
    match kind {
        "dns" => SubjectName::dns(value).unwrap(),
        "ip" => SubjectName::ip(value).unwrap(),
        "email" => SubjectName::email(value).unwrap(),
        _ => SubjectName::uri(value).unwrap(),
    }
}

#[test]
fn permitted_subtrees_bind_only_their_kind() {
    let dns = constraints(&["dns:corp.example"], &[]);
    for good in ["dns corp.example", "dns a.corp.example", "dns *.corp.example", "ip 10.0.0.1"] {
        assert_eq!(dns.check(&name(good)), Ok(()), "{good}");
    }
    for bad in ["dns example", "dns xcorp.example", "dns *.example", "dns corp.example.org"] {
        assert!(matches!(dns.check(&name(bad)), Err(Violation::NotPermitted(_))), "{bad}");
    }
    assert!(constraints(&["dns:.corp.example"], &[]).check(&name("dns corp.example")).is_err());
}

#[test]
fn excluded_wins_and_wildcards_are_read_strictly() {
    let both = constraints(&["dns:corp.example"], &["dns:secret.corp.example"]);
    assert!(both.check(&name("dns a.corp.example")).is_ok());
    for bad in ["dns secret.corp.example", "dns a.secret.corp.example", "dns *.corp.example"] {
        assert!(matches!(both.check(&name(bad)), Err(Violation::Excluded(_))), "{bad}");
    }
    assert!(both.check(&name("dns *.other.corp.example")).is_ok());
}

#[test]
fn addresses() {
    let ip = constraints(&["ip:10.1.0.0/16", "ip:fd00::/8"], &["ip:10.1.2.0/24"]);
    assert!(ip.check(&name("ip 10.1.3.4")).is_ok());
    assert!(ip.check(&name("ip fd12::1")).is_ok());
    for bad in ["ip 10.2.0.1", "ip 10.1.2.3", "ip ::1", "ip ::ffff:10.1.3.4"] {
        assert!(ip.check(&name(bad)).is_err(), "{bad}");
    }
    let none = constraints(&[], &["ip:0.0.0.0/0", "ip:::/0"]);
    assert!(none.check(&name("ip 1.2.3.4")).is_err() && none.check(&name("ip 1::")).is_err());
}

#[test]
fn mail_and_uri() {
    let mail =
        constraints(&["email:corp.example", "email:.sub.example", "email:jo@x.example"], &[]);
    for good in ["email a@corp.example", "email a@b.sub.example", "email jo@x.example"] {
        assert!(mail.check(&name(good)).is_ok(), "{good}");
    }
    for bad in ["email a@b.corp.example", "email a@sub.example", "email Jo@x.example"] {
        assert!(mail.check(&name(bad)).is_err(), "{bad}");
    }
    let uri = constraints(&["uri:corp.example", "uri:.sub.example"], &[]);
    for good in ["uri spiffe://corp.example/service/a", "uri https://a.sub.example:8443/x"] {
        assert!(uri.check(&name(good)).is_ok(), "{good}");
    }
    for bad in [
        "uri https://a.corp.example/",
        "uri urn:a:b",
        "uri https://10.0.0.1/",
        "uri https://corp.example@evil.example/",
        "uri https://corp.example:x@evil.example/",
    ] {
        assert!(uri.check(&name(bad)).is_err(), "{bad}");
    }
    assert!(constraints(&[], &["uri:a.example"]).check(&name("uri urn:a:b")).is_err());
}

#[test]
fn what_is_no_constraint_is_refused() {
    for bad in [
        "corp.example",
        "dns:*.corp.example",
        "dns:a b",
        "ip:10.0.0.0/33",
        "ip:10.0.0.1/8",
        "ip:x",
        "email:a@",
        "uri:https://a",
        "dir:CN=x",
    ] {
        assert!(bad.parse::<Constraint>().is_err(), "{bad}");
    }
    let all = ["dns:a.example", "dns:.a", "ip:10.0.0.0/8", "ip:fd00::/8", "email:a@b.c", "uri:.b"];
    for good in all {
        assert_eq!(good.parse::<Constraint>().unwrap().to_string(), good);
    }
}

#[test]
fn der_reads_back() {
    let many: Vec<String> = (0..40).map(|n| format!("dns:host-{n}.corp.example")).collect();
    let mut permitted: Vec<&str> = many.iter().map(String::as_str).collect();
    permitted.extend(["ip:10.0.0.0/8", "ip:1.2.3.4/32", "ip:fc00::/7", "uri:.c", "email:a@b.c"]);
    let wanted = constraints(&permitted, &["ip:0.0.0.0/0", "ip:::/0", "dns:"]);
    let mut parameters = rcgen::CertificateParams::default();
    let value = wanted.to_der();
    parameters
        .custom_extensions
        .push(rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 30], value));
    let certificate = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    assert_eq!(NameConstraints::of_certificate(certificate.der()).unwrap(), wanted);
}
