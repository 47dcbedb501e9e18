//! Joining and leaving, and what is told.

use sealock_core::{Identity, Timestamp};

use super::{Address, Full, Line, Listed, Listing, Registry};

fn service(name: &str) -> Identity {
    format!("spiffe://t.sealock/service/{name}").parse().unwrap()
}

fn address(text: &str) -> Address {
    Address::read(text, false).unwrap()
}

const NOW: fn() -> Timestamp = || Timestamp::from_secs(1000);

fn addresses(registry: &Registry, name: &str) -> Vec<String> {
    registry.of(&service(name)).map(|instance| instance.address.to_string()).collect()
}

#[test]
fn an_address_is_one_that_would_be_dialled() {
    for (text, spelt) in [
        ("10.0.0.5:8443", "10.0.0.5:8443"),
        ("Orders.Internal:443", "orders.internal:443"),
        ("[fd12::1]:8443", "[fd12::1]:8443"),
    ] {
        assert_eq!(Address::read(text, false).unwrap().to_string(), spelt);
    }
    for text in [
        "",
        "10.0.0.5",
        "10.0.0.5:0",
        "10.0.0.5:99999",
        "https://10.0.0.5:8443",
        "user@host:1",
        "a b:1",
        "host:1/path",
        "host:1?x",
        "host:1\r\nx:y",
        "0.0.0.0:8443",
        "[::]:8443",
        "169.254.169.254:80",
        "[::ffff:169.254.169.254]:80",
        "[fd00:ec2::254]:80",
        "100.100.100.200:80",
        "168.63.129.16:80",
        "224.0.0.1:80",
        "[fe80::1]:80",
        &format!("{}:1", "a".repeat(300)),
    ] {
        for here in [false, true] {
            assert!(Address::read(text, here).is_err(), "{text}");
        }
    }
    for text in ["127.0.0.1:8443", "[::1]:8443", "[::ffff:127.0.0.1]:8443"] {
        assert!(Address::read(text, false).is_err(), "{text}");
        let here = Address::read(text, true).unwrap();
        assert!(here.is_loopback() && here.is_told(true) && !here.is_told(false), "{text}");
    }
}

#[test]
fn a_place_is_held_by_a_feed_and_kept_for_the_next_one() {
    let mut registry = Registry::default();
    let (orders, at) = (service("orders"), address("10.0.0.5:8443"));
    assert!(registry.is_new(&orders, &at, "a"));
    let first = registry.join(&orders, &at, "a", NOW()).unwrap();
    assert!(!registry.is_new(&orders, &at, "a") && registry.is_new(&orders, &at, "b"));
    // One process takes over from another: the first one's end changes nothing.
    let second = registry.join(&orders, &at, "a", NOW()).unwrap();
    assert!(!registry.let_go(&first));
    assert_eq!(registry.give_up(&first), None);
    // A feed that begins anew within the grace.
    assert!(registry.let_go(&second) && !registry.let_go(&second));
    assert!(registry.of(&orders).all(|instance| instance.is_parting));
    let third = registry.join(&orders, &at, "a", Timestamp::from_secs(2000)).unwrap();
    assert_eq!(registry.give_up(&second), None);
    assert_eq!(registry.of(&orders).next().unwrap().since, NOW(), "it has never been away");
    // One that was let go and taken again twice is given up by the last one only.
    assert!(registry.let_go(&third));
    let fourth = registry.join(&orders, &at, "a", NOW()).unwrap();
    assert!(registry.let_go(&fourth));
    assert_eq!(registry.give_up(&third), None);
    let left = registry.give_up(&fourth).unwrap();
    assert_eq!((left.service, left.address.as_str()), (orders.clone(), "10.0.0.5:8443"));
    assert_eq!(registry.of(&orders).count(), 0);
    assert_eq!(registry.give_up(&fourth), None);
    assert!(registry.services().is_empty());
}

#[test]
fn instances_are_of_their_service() {
    let mut registry = Registry::default();
    for (name, at) in [("orders", "b:1"), ("orders", "a:1"), ("order", "c:1"), ("orders2", "d:1")] {
        registry.join(&service(name), &address(at), "x", NOW()).unwrap();
    }
    assert_eq!(addresses(&registry, "orders"), ["a:1", "b:1"]);
    assert_eq!(addresses(&registry, "order"), ["c:1"]);
    assert_eq!(registry.services().len(), 3);
}

#[test]
fn one_service_does_not_take_the_places_of_others() {
    let mut registry = Registry::default();
    let join = |registry: &mut Registry, name: &str, port: usize| {
        registry.join(&service(name), &address(&format!("host:{port}")), "x", NOW())
    };
    for port in 1..=256 {
        join(&mut registry, "greedy", port).unwrap();
    }
    assert_eq!(join(&mut registry, "greedy", 300), Err(Full::Service));
    // Who is there already may come again.
    join(&mut registry, "greedy", 1).unwrap();
    join(&mut registry, "other", 1).unwrap();
    for name in 0..40 {
        for port in 1..=256 {
            let _ = join(&mut registry, &format!("s{name}"), port);
        }
    }
    assert_eq!(join(&mut registry, "late", 1), Err(Full::All));
}

fn listed(name: &str, addresses: &[&str]) -> Listed {
    Listed {
        service: service(name),
        hosts: Vec::new(),
        addresses: addresses.iter().map(|at| (*at).to_owned()).collect(),
        tls: None,
    }
}

#[test]
fn while_a_broker_settles_nobody_is_missing() {
    let before = Listing {
        settled: true,
        services: vec![listed("billing", &["c:1"]), listed("orders", &["a:1", "b:1"])],
        ..Listing::default()
    };
    let first = Listing {
        settled: false,
        services: vec![listed("orders", &["b:1", "d:1"])],
        ..Listing::default()
    };
    let known = first.clone().after(Some(&before));
    assert_eq!(
        known.services,
        [listed("billing", &["c:1"]), listed("orders", &["a:1", "b:1", "d:1"])]
    );
    assert_eq!(first.clone().after(None), first);
    let settled = Listing { settled: true, ..first };
    assert_eq!(settled.clone().after(Some(&known)), settled);
    // Another certificate is asked for now: where it was asked for the old one is of no use.
    let other = Listed { tls: Some("orders.example".into()), ..listed("orders", &["d:1"]) };
    let changed = Listing { settled: false, services: vec![other.clone()], ..Listing::default() };
    assert_eq!(changed.after(Some(&before)).services[1], other);
}

#[test]
fn lines_are_read_strictly() {
    let listing =
        Listing { settled: true, services: vec![listed("orders", &["a:1"])], ..Listing::default() };
    for line in [Line::Services(listing), Line::Beat(1)] {
        let text = String::from_utf8(line.to_line()).unwrap();
        assert_eq!(Line::read(text.trim_end()), Some(line));
    }
    for bad in [
        "",
        "{}",
        r#"{"directory":"services"}"#,
        r#"{"directory":"services","is":{"settled":true}}"#,
        r#"{"directory":"services","is":{"settled":true,"services":[]}}"#,
        r#"{"directory":"services","is":{"settled":true,"services":[],"cas":[],"more":1}}"#,
        r#"{"directory":"services","is":{"settled":true,"services":[],"cas":[{"key":"AA","until":1}]}}"#,
        r#"{"directory":"services","is":{"settled":true,"services":[{"service":"orders","addresses":[]}],"cas":[]}}"#,
        r#"{"directory":"beat","is":-1}"#,
        r#"{"directory":"else","is":1}"#,
    ] {
        assert_eq!(Line::read(bad), None, "{bad}");
    }
}
