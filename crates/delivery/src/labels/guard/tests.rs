use super::*;

fn read(labels: &[(&str, &str)]) -> Result<Option<GuardRequest>, Vec<GuardFault>> {
    let keys: Vec<(String, &str)> =
        labels.iter().map(|(key, text)| (format!("sealock.guard.{key}"), *text)).collect();
    parse(keys.iter().map(|(key, text)| (key.as_str(), *text)))
}

fn refused(labels: &[(&str, &str)]) -> String {
    let faults = read(labels).unwrap_err();
    let texts = faults.iter().map(|fault| {
        fault.reason.hint().map_or(fault.to_string(), |hint| format!("{fault}; {hint}"))
    });
    texts.collect::<Vec<_>>().join("\n")
}

#[test]
fn three_labels_are_enough_for_both() {
    let labels =
        [("service", "orders"), ("listen", "0.0.0.0:8000"), ("upstream", "http://127.0.0.1:8080")];
    let request = read(&labels).unwrap().unwrap();
    let (listen, upstream) = ("0.0.0.0:8000".parse().unwrap(), "127.0.0.1:8080".parse().unwrap());
    assert_eq!(request.service, "orders");
    assert_eq!(
        request.gatekeeper,
        Some(GatekeeperRequest { listen, upstream, http2: false, plain: false })
    );
    let grpc = [labels[0], labels[1], ("upstream", "h2c://127.0.0.1:50051")];
    let gatekeeper = read(&grpc).unwrap().unwrap().gatekeeper.unwrap();
    assert!(gatekeeper.http2 && gatekeeper.upstream == "127.0.0.1:50051".parse().unwrap());
    let forwarder = request.forwarder.unwrap();
    assert_eq!(forwarder.proxy, Some("127.0.0.1:3128".parse().unwrap()));
    assert!(forwarder.forward.is_empty() && forwarder.call.is_empty());
}

#[test]
fn all_settings_are_read() {
    let labels = [
        ("service", "shop"),
        ("listen", "[::]:8000"),
        ("upstream", "http://localhost:8080/"),
        ("plain", "true"),
        ("proxy", "off"),
        ("forward", "127.0.0.1:5000=orders, [::1]:5001=billing"),
        ("call", "billing=billing.corp.example:8443,billing=[fd00::1]:8443"),
    ];
    let request = read(&labels).unwrap().unwrap();
    let gatekeeper = request.gatekeeper.unwrap();
    assert!(gatekeeper.plain && gatekeeper.upstream == "127.0.0.1:8080".parse().unwrap());
    let forwarder = request.forwarder.unwrap();
    assert_eq!(forwarder.proxy, None);
    assert_eq!(forwarder.forward[1], ("[::1]:5001".parse().unwrap(), "billing".to_owned()));
    assert_eq!(forwarder.call[1], ("billing".to_owned(), "[fd00::1]:8443".to_owned()));
    let only = read(&[("service", "shop"), ("proxy", "off")]).unwrap().unwrap();
    assert!(only.gatekeeper.is_none() && only.forwarder.is_none());
}

#[test]
fn others_are_passed_over_and_slips_are_not() {
    let labels = [("com.docker.compose.service", "x"), ("sealock.cert.web.dns", "x"), ("a", "")];
    assert_eq!(parse(labels), Ok(None));
    assert_eq!(parse([("sealock.scope", "x"), ("sealock.secret.a.ref", "x")]), Ok(None));
    for slip in ["sealock.gaurd.service", "sealock.guards.service", "sealock.guard"] {
        let faults = parse([(slip, "orders")]).unwrap_err();
        assert_eq!(faults[0].reason, GuardError::Prefix, "{slip}");
    }
    let said = refused(&[("service", "orders"), ("lisen", "0.0.0.0:1")]);
    assert!(said.contains("`lisen` is not a setting") && said.contains("`listen`"), "{said}");
    assert!(refused(&[("service", "x"), ("colour", "red")]).contains("the settings are service"));
}

#[test]
fn what_would_lead_elsewhere_or_let_others_in_is_refused() {
    let gate =
        |upstream| refused(&[("service", "x"), ("listen", "0.0.0.0:80"), ("upstream", upstream)]);
    for upstream in [
        "http://10.0.0.1:80",
        "http://db:80",
        "https://127.0.0.1:8080",
        "h2c://10.0.0.1:80",
        "h2c+unix:/run/app.sock",
        "h2://127.0.0.1:80",
        "unix:/run/app.sock",
        "127.0.0.1:8080",
        "http://127.0.0.1:0",
        "http://127.0.0.1:8080/path",
        "http://user@127.0.0.1:8080",
        "http://127.0.0.1.evil.example:80",
        "http://localhost:http",
        "",
    ] {
        assert!(gate(upstream).contains("loopback"), "{upstream}");
    }
    for proxy in ["0.0.0.0:3128", "10.0.0.1:3128", "[::]:3128", "172.17.0.2:3128"] {
        let said = refused(&[("service", "x"), ("proxy", proxy)]);
        assert!(said.contains("on loopback"), "{said}");
        let said = refused(&[("service", "x"), ("forward", &format!("{proxy}=orders"))]);
        assert!(said.contains("on loopback"), "{said}");
    }
}

#[test]
fn half_a_guard_and_two_at_one_port_are_refused() {
    for (labels, part) in [
        (&[("listen", "0.0.0.0:80"), ("upstream", "http://127.0.0.1:1")][..], "which service"),
        (&[("service", "x"), ("listen", "0.0.0.0:80")], "guard.upstream`, which is not there"),
        (&[("service", "x"), ("upstream", "http://127.0.0.1:1")], "guard.listen`, which is not"),
        (&[("service", "x"), ("plain", "true")], "guard.listen`"),
        (&[("service", "x"), ("plain", "yes")], "`true` or `false`"),
        (&[("service", "x"), ("proxy", "off"), ("call", "y=y:1")], "no Forwarder"),
        (&[("service", "x"), ("call", "x=x:1")], "own"),
        (&[("service", "x"), ("forward", "127.0.0.1:3128=y")], "port 3128"),
        (&[("service", "x"), ("forward", "127.0.0.1:1=y,127.0.0.2:1=z")], "port 1 "),
        (
            &[("service", "x"), ("listen", "0.0.0.0:80"), ("upstream", "http://127.0.0.1:80")],
            "port 80",
        ),
        (&[("service", "x"), ("call", "y=y:1,y=y:1")], "twice"),
        (&[("service", "x"), ("call", "y=y")], "`SERVICE=HOST:PORT`"),
        (&[("service", "x"), ("call", "y=http://y:1")], "`SERVICE=HOST:PORT`"),
        (&[("service", "x"), ("call", "")], "`SERVICE=HOST:PORT`"),
        (&[("service", "x"), ("forward", "5000=y")], "an address with a port"),
    ] {
        let said = refused(labels);
        assert!(said.contains(part), "{labels:?}: {said}");
    }
    for name in ["", "Orders", "a b", "../x", "spiffe://x/service/y", "x.", "-x", "10.0.0.1", "é"]
    {
        assert!(refused(&[("service", name)]).contains("a service's name"), "{name}");
    }
    let long = "x".repeat(5000);
    assert!(refused(&[("service", &long)]).contains("longer than"));
    let many = (1..=65).map(|n| format!("s{n}=h:1")).collect::<Vec<_>>().join(",");
    assert!(refused(&[("service", "x"), ("call", &many)]).contains("more than 64"));
}

#[test]
fn a_hostile_key_is_shown_short_and_clean() {
    let key = format!("sealock.guard.{}\u{1b}[31m\n", "x".repeat(200));
    let faults = parse([(key.as_str(), "1")]).unwrap_err();
    assert!(faults[0].to_string().len() < 300 && !faults[0].to_string().contains('\u{1b}'));
}
