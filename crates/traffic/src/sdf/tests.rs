//! Files as they were, and as they should not be.

use super::{Carried, Sdf, SdfError, fuzz};

const GATEKEEPER: &str = "
global:
  conjur:
    hostname: conjur.corp.example
    certificate_path: /etc/conjur.pem
gatekeeper:
  port: 80
  service: service:4567
  conjur_account:  demo
  conjur_resource: webservice/production/orders
";

const BOTH: &str = "
global:
  conjur:
    hostname: conjur

gatekeeper:
  port: 8000
  service: unix:/tmp/nginx.socket fail_timeout=0
  conjur_account: demo
  conjur_resource: webservice/production/asgard

forward:
-
  id: eureka
  listen: 127.0.0.2
  service: https://eureka
- id: edda
  listen: 5000
  service: http://edda.corp.example:7001/base
";

const FORWARDS: &str = "
forward:
  orders: { listen: '127.0.0.1:5000', service: 'orders.corp.example:8443' }
  Big_Bank:
    listen: \"*:5001\"
    service: https://169.254.169.254
";

fn carried(text: &str, name: Option<&str>) -> Carried {
    fuzz(text.as_bytes());
    Sdf::read(text.as_bytes()).unwrap().carry(name).unwrap()
}

fn noted(carried: &Carried, what: &str) -> bool {
    carried.notes.iter().any(|note| note.contains(what))
}

#[test]
fn a_gatekeeper_and_its_privileges() {
    let carried = carried(GATEKEEPER, None);
    assert_eq!(
        carried.gatekeeper.as_ref().unwrap().join(" "),
        "--service orders --listen 0.0.0.0:80 --upstream http://service:4567 --identity /run/sealock/certs/orders"
    );
    assert_eq!((&carried.forwarder, carried.settings.as_str()), (&None, ""));
    for rule in [
        "principal in Sealock::Group::\"orders-read\"",
        "[\"GET\", \"HEAD\", \"OPTIONS\"].contains(context.method)",
        "context.method == \"POST\"",
        "![\"GET\", \"HEAD\", \"OPTIONS\", \"POST\"].contains(context.method)",
    ] {
        assert!(carried.policy.contains(rule), "{}", carried.policy);
    }
    for what in [
        "conjur.corp.example",
        "/etc/conjur.pem",
        "account demo",
        "webservice/production/orders",
        "sealock group add orders-read",
        "over TLS now",
    ] {
        assert!(noted(&carried, what), "{what}: {:#?}", carried.notes);
    }
    assert!(carried.compose.contains("container_name: \"orders\""), "{}", carried.compose);
}

#[test]
fn both_with_a_socket() {
    let carried = carried(BOTH, None);
    let gatekeeper = carried.gatekeeper.as_ref().unwrap().join(" ");
    assert!(gatekeeper.contains("--upstream unix:/tmp/nginx.socket"), "{gatekeeper}");
    assert_eq!(
        carried.forwarder.as_ref().unwrap().join(" "),
        "--route 127.0.0.2:80=eureka --route 127.0.0.1:5000=edda --identity /run/sealock/certs/asgard-forwarder"
    );
    assert!(carried.settings.contains("[services.\"eureka\"]\naddresses = [\"eureka:443\"]"));
    assert!(carried.settings.contains("addresses = [\"edda.corp.example:7001\"]"));
    assert!(carried.policy.contains("principal == Sealock::Service::\"asgard-forwarder\""));
    for what in
        ["fail_timeout=0", "`/base`", "0.0.0.0:5000", "calls as asgard-forwarder", "plain HTTP"]
    {
        assert!(noted(&carried, what), "{what}: {:#?}", carried.notes);
    }
    assert_eq!(carried.compose.matches("network_mode").count(), 2);
}

#[test]
fn forwards_alone_are_somebodys() {
    let sdf = Sdf::read(FORWARDS.as_bytes()).unwrap();
    assert_eq!(sdf.carry(None), Err(SdfError::NoName));
    for name in
        ["", "Shop", "a b", "127.0.0.1", "-a", "a..b", "shop\"", "0x7f.0x1", &"a".repeat(64)]
    {
        assert!(matches!(sdf.carry(Some(name)), Err(SdfError::Name(_))), "{name}");
    }
    let carried = carried(FORWARDS, Some("shop"));
    assert_eq!(
        carried.forwarder.as_ref().unwrap().join(" "),
        "--route 127.0.0.1:5000=orders --route 127.0.0.1:5001=big-bank --identity /run/sealock/certs/shop"
    );
    assert!(carried.settings.contains("orders.corp.example:8443"));
    assert!(!carried.settings.contains("169.254"), "{}", carried.settings);
    assert!(noted(&carried, "link-local") && noted(&carried, "`Big_Bank`"), "{:#?}", carried.notes);
    assert!(carried.gatekeeper.is_none() && !carried.policy.contains("Http::Call"));
}

#[test]
fn what_has_no_counterpart_is_noted() {
    let text = "
global: { conjur: { hostname: c, timeout: 5 }, more: 1 }
gatekeeper: { port: 80, service: 'https://app:443', conjur_resource: webservice/a, extra: x }
forward:
- { id: s, listen: 'unix:/run/x', service: b }
- { id: t, listen: 80, service: 'unix:/run/y', weight: 2 }
- { id: u, listen: 80, service: c }
- { id: x/u, listen: 81, service: d }
- { id: a, listen: 82, service: e }
other: 1
nothing:
";
    let carried = carried(text, None);
    for what in [
        "`timeout`",
        "`more`",
        "`extra`",
        "`weight`",
        "`other`",
        "over TLS, which a Gatekeeper",
        "not at a socket",
        "behind a socket",
        "listens at 127.0.0.1:80",
        "leads to u already",
        "would call itself",
    ] {
        assert!(noted(&carried, what), "{what}: {:#?}", carried.notes);
    }
    assert_eq!(carried.gatekeeper, None);
    assert_eq!(carried.forwarder.unwrap().first().map(String::as_str), Some("--route"));
}

#[test]
fn what_is_no_such_file_is_refused_with_its_line() {
    let gatekeeper = |rest: &str| format!("gatekeeper:\n  {rest}\n");
    for (text, error) in [
        (String::new(), "there is neither"),
        ("global: { conjur: { hostname: x } }".to_owned(), "there is neither"),
        ("- a".to_owned(), "line 1: `the file` must be a map"),
        ("gatekeeper: 80".to_owned(), "line 1: `gatekeeper` must be a map"),
        (gatekeeper("service: a:1"), "`gatekeeper.port` is missing"),
        (gatekeeper("port: 80"), "`gatekeeper.service` is missing"),
        (gatekeeper("port: 0\n  service: a:1"), "line 2: `gatekeeper.port` must be a port"),
        (gatekeeper("port: +80\n  service: a:1"), "must be a port"),
        (gatekeeper("port: 65536\n  service: a:1"), "must be a port"),
        (gatekeeper("port: 80\n  service: [a]"), "line 3: `gatekeeper.service` must be a text"),
        (gatekeeper("port: 80\n  service: 'unix:tmp/x'"), "HOST:PORT or unix:/PATH"),
        (gatekeeper("port: 80\n  service: \"unix:/tmp/\\\"x\""), "HOST:PORT or unix:/PATH"),
        (gatekeeper("port: 80\n  service: 'user@host:1'"), "HOST:PORT or unix:/PATH"),
        (gatekeeper("port: 80\n  port: 81\n  service: a:1"), "line 3: `port` stands there twice"),
        (gatekeeper("port: &a 80\n  service: *a"), "an anchor or a tag cannot be"),
        (gatekeeper("port: !!int 80\n  service: a:1"), "an anchor or a tag cannot be"),
        ("a: 1\n---\nb: 2".to_owned(), "a second document cannot be"),
        ("? [a]\n: b".to_owned(), "a key that is no text"),
        ("a: [".to_owned(), "line"),
        ("forward: [{ listen: 1, service: a }]".to_owned(), "`forward.id` is missing"),
        ("forward: [{ id: a, service: a }]".to_owned(), "`forward.listen` is missing"),
        ("forward: [{ id: a, listen: 1 }]".to_owned(), "`forward.service` is missing"),
        ("forward: [{ id: a, listen: nowhere, service: a }]".to_owned(), "ADDRESS, PORT"),
        ("forward: [{ id: a, listen: 0, service: a }]".to_owned(), "ADDRESS, PORT"),
        ("forward: [{ id: a, listen: 1, service: 'a b:1 c@' }, { id: a, listen: 1, service: b }]".to_owned(), "twice"),
        ("forward: [{ id: a, listen: 1, service: 'ftp://a' }]".to_owned(), "https://HOST[:PORT]"),
        ("[".repeat(100), "line"),
        ("a: ".repeat(40_000), "longer than"),
    ] {
        fuzz(text.as_bytes());
        let said = Sdf::read(text.as_bytes()).unwrap_err().to_string();
        assert!(said.contains(error), "{text}: {said}");
    }
    let many = format!("a: [{}]", "1,".repeat(5000));
    assert!(Sdf::read(many.as_bytes()).unwrap_err().to_string().contains("so many keys"));
    assert_eq!(Sdf::read(b"a: \xff"), Err(SdfError::Text));
}

#[test]
fn no_text_of_the_file_becomes_a_rule_or_an_option() {
    for id in [
        "x\\\"); permit(principal,action,resource); //",
        "--config",
        "../../etc",
        "a\\nb",
        "💥",
        ".",
    ] {
        let text = format!(
            "gatekeeper: {{ port: 1, service: 'a:1', conjur_resource: \"w/{id}\" }}\nforward: [{{ id: \"{id}x\", listen: 2, service: b }}]"
        );
        let carried = carried(&text, None);
        assert!(!carried.policy.contains("permit(principal"), "{}", carried.policy);
    }
}
