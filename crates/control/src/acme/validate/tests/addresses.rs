//! Where questions go, and how many.

use std::net::SocketAddr;

use super::host::{Host, Reply, mute};
use super::*;
use crate::acme::validate::dial::{Dialler, Guard};
use crate::acme::validate::names::Names;

async fn host() -> Host {
    Host::http(|_, _| Reply::ok(KEY_AUTHORIZATION)).await
}

#[tokio::test]
async fn a_name_leads_only_where_somebody_may_be_asked() {
    let host = host().await;
    for (v4, v6) in [
        (&["169.254.169.254"][..], &[][..]),
        (&["0.0.0.0"], &[]),
        (&["100.64.0.1", "224.0.0.1", "255.255.255.255"], &[]),
        (&["168.63.129.16"], &["fd00:ec2::254"]),
        (&["127.0.0.1"], &[]),
        (&[], &["::ffff:127.0.0.1"]),
        (&[], &["::1"]),
        (&[], &["::"]),
        (&[], &["64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1"]),
    ] {
        let zone = Zone::default().a("bad.test", v4).aaaa("bad.test", v6);
        let resolver = Resolver::start(zone).await;
        let settings = ValidateSettings { allow: Vec::new(), ..settings(&resolver, host.port) };
        for method in [Method::Http01, Method::TlsAlpn01] {
            let answer = ask(settings.clone(), method, "bad.test").await;
            assert_eq!(kind(answer), "rejectedIdentifier", "{v4:?} {v6:?}");
        }
    }
    let resolver = resolver().await;
    for address in ["169.254.169.254", "0.0.0.0", "::", "::1", "::ffff:169.254.169.254"] {
        let answer = ask(settings(&resolver, host.port), Method::Http01, address).await;
        assert_eq!(kind(answer), "rejectedIdentifier", "{address}");
    }
    assert!(host.heads.lock().is_empty());
}

#[tokio::test]
async fn of_several_addresses_those_are_tried_that_may_be() {
    let host = host().await;
    for (v4, v6) in [
        (&["169.254.169.254", "127.0.0.1"][..], &["fe80::1"][..]),
        // Where nobody listens. At most four are tried, and two places of those are left to IPv4.
        (&["127.0.0.1"], &["::1", "::1", "::ffff:127.0.0.2", "::ffff:127.0.0.3"]),
        (&["0.0.0.0", "127.0.0.9", "127.0.0.1"], &["::1"]),
    ] {
        let zone = Zone::default().a("a.test", v4).aaaa("a.test", v6);
        let resolver = Resolver::start(zone).await;
        let mut settings = settings(&resolver, host.port);
        settings.allow.push("::1/128".parse().unwrap());
        ask(settings, Method::Http01, "a.test").await.unwrap();
    }
}

#[tokio::test]
async fn a_name_that_is_pointed_elsewhere_in_between_is_looked_at_again() {
    let host = Host::http(|_, _| Reply::to("/again")).await;
    let zone = Zone::default().a("a.test", &["127.0.0.1"]).a("a.test", &["169.254.169.254"]);
    let resolver = Resolver::start(zone).await;
    let answer = ask(settings(&resolver, host.port), Method::Http01, "a.test").await;
    assert_eq!(kind(answer), "rejectedIdentifier");
    assert_eq!(host.heads.lock().len(), 1);
}

#[tokio::test]
async fn what_controls_us_is_not_asked_whatever_is_allowed() {
    let (host, resolver) = (host().await, resolver().await);
    let own = |own: &[String]| {
        let own: Vec<SocketAddr> = own.iter().map(|text| text.parse().unwrap()).collect();
        Validator::new(ValidateSettings { own, ..settings(&resolver, host.port) }).unwrap()
    };
    let asked = question(Method::Http01, "a.test");
    for address in ["127.0.0.1", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]"] {
        let own = own(&[format!("{address}:{}", host.port)]);
        assert_eq!(kind(own.ask(&asked).await), "rejectedIdentifier", "{address}");
    }
    assert!(host.heads.lock().is_empty());
    own(&["127.0.0.1:1".to_owned()]).ask(&asked).await.unwrap();
}

#[test]
fn networks_and_what_is_allowed() {
    let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let may = |allow: &[&str], only: Option<&[&str]>, address: &str| {
        let settings = ValidateSettings {
            allow: networks(allow),
            networks: only.map(networks),
            own: vec!["10.0.0.1:443".parse().unwrap()],
            ..ValidateSettings::default()
        };
        Guard::new(&settings).check(address.parse().unwrap()).is_ok()
    };
    for (allow, only, address) in [
        (&[][..], None, "203.0.113.1:80"),
        (&[], None, "10.0.0.1:80"),
        (&["127.0.0.0/8"], None, "127.0.0.1:80"),
        (&["127.0.0.0/8"], None, "[::ffff:127.0.0.1]:80"),
        (&["::1/128"], None, "[::1]:80"),
        (&[], Some(&["10.0.0.0/8"][..]), "[::ffff:10.1.1.1]:80"),
        (&["127.0.0.1/32"], Some(&["127.0.0.0/8"]), "127.0.0.1:80"),
    ] {
        assert!(may(allow, only, address), "{allow:?} {only:?} {address}");
    }
    let all = ["0.0.0.0/0", "::/0"];
    for (allow, only, address) in [
        (&[][..], None, "127.0.0.1:80"),
        (&["127.0.0.0/8"], None, "[::1]:80"),
        // Through a translator, loopback is somebody else's.
        (&all, None, "[64:ff9b::7f00:1]:80"),
        (&all, None, "169.254.169.254:80"),
        (&all, None, "[fe80::1]:80"),
        (&all, None, "100.64.0.1:80"),
        (&all, None, "0.0.0.0:80"),
        (&all, None, "10.0.0.1:443"),
        (&[], Some(&["10.0.0.0/8"][..]), "10.0.0.1:443"),
        (&[], Some(&["10.0.0.0/8"]), "203.0.113.1:80"),
        (&[], Some(&["10.0.0.0/8"]), "[2001:db8::1]:80"),
        (&[], Some(&[]), "203.0.113.1:80"),
        (&["127.0.0.0/8"], Some(&["10.0.0.0/8"]), "127.0.0.1:80"),
    ] {
        assert!(!may(allow, only, address), "{allow:?} {only:?} {address}");
    }
}

#[tokio::test]
async fn a_file_of_this_host_names_hosts_before_the_dns() {
    let (host, resolver) = (host().await, resolver().await);
    let folder = tempfile::tempdir().unwrap();
    let (hosts, resolv_conf) = (folder.path().join("hosts"), folder.path().join("resolv.conf"));
    std::fs::write(&hosts, "127.0.0.1 web\n169.254.169.254 a.test\n").unwrap();
    std::fs::write(&resolv_conf, format!("search corp\nnameserver {}\n", resolver.address))
        .unwrap();
    let settings = ValidateSettings { resolvers: Vec::new(), ..settings(&resolver, host.port) };
    let validator = |hosts| {
        let names = Names { resolv_conf: resolv_conf.clone(), hosts, ..Names::new(&settings) };
        let dialler = Dialler { names, guard: Guard::new(&settings) };
        Validator { dialler, ..Validator::new(settings.clone()).unwrap() }
    };
    let with = validator(Some(hosts));
    with.ask(&question(Method::Http01, "web")).await.unwrap();
    assert!(resolver.asked().is_empty());
    let answer = with.ask(&question(Method::Http01, "a.test")).await;
    assert_eq!(kind(answer), "rejectedIdentifier");
    let without = validator(None);
    without.ask(&question(Method::Http01, "a.test")).await.unwrap();
    assert_eq!(kind(without.ask(&question(Method::Http01, "web")).await), "dns");
    assert!(resolver.asked().iter().all(|asked| !asked.contains("corp")), "no search domains");
}

#[tokio::test]
async fn one_name_is_not_asked_more_than_four_times_at_once() {
    let mut host = Host::http(|_, _| Reply::Silence).await;
    let resolver = resolver().await;
    let validator = std::sync::Arc::new(Validator::new(settings(&resolver, host.port)).unwrap());
    let mut asking = tokio::task::JoinSet::new();
    for name in ["a.test"; 9].into_iter().chain(["b.test"]) {
        let validator = std::sync::Arc::clone(&validator);
        asking.spawn(async move { validator.ask(&question(Method::Http01, name)).await });
    }
    let mut of_a = 0;
    for _ in 0..5 {
        of_a += usize::from(host.seen.recv().await.unwrap().contains("a.test"));
    }
    assert_eq!(of_a, 4);
    assert!(host.seen.is_empty());
}

#[tokio::test]
async fn a_port_that_says_nothing_is_left() {
    let (port, serving) = mute().await;
    let resolver = resolver().await;
    let settings = ValidateSettings { deadline: SHORT, ..settings(&resolver, port) };
    for method in [Method::Http01, Method::TlsAlpn01] {
        assert_eq!(kind(ask(settings.clone(), method, "a.test").await), "connection");
    }
    serving.abort();
}

#[tokio::test]
async fn a_wildcard_is_no_host() {
    let resolver = resolver().await;
    for method in [Method::Http01, Method::TlsAlpn01, Method::Dns01] {
        let answer = ask(settings(&resolver, 1), method, "*.a.test").await;
        assert_eq!(kind(answer), "unauthorized");
    }
    assert!(resolver.asked().is_empty());
}
