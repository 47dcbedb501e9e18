//! What a Forwarder can be told of services and of its broker, and what it leads nobody to.

use std::fs;
use std::process::Command;

use crate::chain::{App, Forwarder, broker, call, free, gatekeeper, identity, may_call};
use crate::gateway::{home, permit, skip};
use crate::secrets::fed;
use crate::support::Home;
use crate::tokens::api;

#[test]
fn two_instances_share_the_calls() {
    if skip() {
        return;
    }
    let (home, apps) = (home(), [App::start(), App::start()]);
    let daemon = home.up();
    permit(&home, &may_call("Service::\"shop\""));
    let ((orders, _), (shop, _)) =
        (identity(&home, "orders", "orders"), identity(&home, "shop", "shop"));
    let (to, ports) = (broker(&home), [free(), free()]);
    let guards: Vec<_> = ports
        .iter()
        .zip(&apps)
        .map(|(port, app)| gatekeeper(&home, &to, *port, app, &["--identity", &orders]))
        .collect();
    let at = ports.map(|port| format!("orders=127.0.0.1:{port}"));
    let more = ["--service", &at[0], "--service", &at[1], "--broker", &to, "--identity", &shop];
    let forwarder = Forwarder::start(&home, &more);
    // Both know their policy by the time both have let a call through.
    sealock_testkit::wait::until("both", crate::support::PATIENCE, || {
        forwarder.call("GET", "/v1/a");
        apps.iter().all(|app| app.calls() > 0).then_some(())
    });
    let before = [apps[0].calls(), apps[1].calls()];
    for _ in 0..10 {
        assert_eq!(forwarder.call("POST", "/v1/a").0, 200);
    }
    let each = [apps[0].calls() - before[0], apps[1].calls() - before[1]];
    assert_eq!(each, [5, 5]);
    assert_eq!(forwarder.process.stop(), Some(0));
    for guard in guards {
        assert_eq!(guard.stop(), Some(0));
    }
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_service_in_clear_text_is_called_with_a_certificate_at_a_broker_over_https() {
    if skip() {
        return;
    }
    let (home, app) = (home(), App::start());
    let daemon = home.up();
    permit(&home, &may_call("Service::\"shop\""));
    let ((orders, _), (shop, _)) =
        (identity(&home, "orders", "orders"), identity(&home, "shop", "shop"));
    let (guarded, to) = (free(), broker(&home));
    let guard = gatekeeper(&home, &to, guarded, &app, &["--identity", &orders, "--plain"]);
    let at = format!("orders=127.0.0.1:{guarded}");
    let forwarder =
        Forwarder::start(&home, &["--plain", &at, "--broker", &to, "--identity", &shop]);
    let seen = forwarder.until_served();
    assert!(seen.contains("spiffe://test.sealock/service/shop"), "{seen}");
    assert_eq!(forwarder.process.stop(), Some(0));
    assert_eq!(guard.stop(), Some(0));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn nobody_is_led_to_the_broker_or_its_daemon() {
    if skip() {
        return;
    }
    let (home, app) = (home(), App::start());
    let daemon = home.up();
    let (shop, _) = identity(&home, "shop", "shop");
    let port = |at: &str| at.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    let gateway = home.json(&["status"])["gateway"].as_str().unwrap().to_owned();
    let (api, gateway, to) = (port(&api(&home)), port(&gateway), broker(&home));
    let mut more = vec!["--broker".to_owned(), to, "--identity".to_owned(), shop];
    for at in [api, gateway, app.port] {
        // By address and by another name of this host.
        for host in ["127.0.0.1", "127.0.0.3"] {
            for way in ["--connect", "--pass"] {
                more.extend([way.to_owned(), format!("{host}:{at}")]);
            }
        }
    }
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let forwarder = Forwarder::start(&home, &more);
    for at in [api, gateway] {
        for host in [format!("127.0.0.1:{at}"), format!("127.0.0.3:{at}")] {
            for (method, target) in [("CONNECT", host.clone()), ("GET", format!("http://{host}/"))]
            {
                let (status, answer) = call(forwarder.proxy, method, &host, &target);
                assert_eq!(status, 403, "{method} {target}: {answer}");
                assert!(answer.contains("address_forbidden"), "{answer}");
            }
        }
    }
    let host = format!("127.0.0.1:{}", app.port);
    assert_eq!(call(forwarder.proxy, "GET", &host, &format!("http://{host}/")).0, 200);
    assert_eq!(forwarder.process.stop(), Some(0));
    assert_eq!(daemon.stop(), Some(0));
}

/// `sealock run` with this secret as a file, before the words of the Forwarder.
fn run_with(home: &Home, yaml: &str) -> Command {
    let mut command = home.command();
    command.args(["run", "--yaml", yaml, "--", env!("CARGO_BIN_EXE_sealock")]);
    command
}

#[test]
fn the_clients_secret_comes_from_the_vault_and_is_on_no_disk() {
    if skip() {
        return;
    }
    let (home, app) = (home(), App::start());
    let daemon = home.up();
    permit(&home, &may_call("Service::\"shop\""));
    let (orders, _) = identity(&home, "orders", "orders");
    let (guarded, to) = (free(), broker(&home));
    let guard = gatekeeper(&home, &to, guarded, &app, &["--identity", &orders]);
    let secret = home.ok(&["client", "add", "shop", "--secret-out", "-"]);
    assert!(fed(&home, &["secret", "set", "prod/forwarder"], secret.as_bytes()).status.success());
    let ca = home.write("ca.pem", &home.ok(&["ca", "bundle"]));
    let at = format!("orders=127.0.0.1:{guarded}");
    let more = ["--service", &at, "--broker", &to, "--client", "shop", "--ca", &ca];
    let more = [&more[..], &["--trust-domain", "test.sealock"]].concat();
    let command = run_with(&home, "SEALOCK_SECRET_FILE: !var:file prod/forwarder");
    let forwarder = Forwarder::of(&home, command, &more);
    let seen = forwarder.until_served();
    assert!(seen.contains("spiffe://test.sealock/service/shop"), "{seen}");
    assert_eq!(forwarder.process.stop(), Some(0));
    // Without the variable it says what is missing, both ways.
    let said = home.fails(64, &[&["forwarder", "--listen", "127.0.0.1:0"], &more[..]].concat());
    assert!(said.contains("--secret-file") && said.contains("SEALOCK_SECRET_FILE"), "{said}");
    assert_eq!(guard.stop(), Some(0));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_clients_secret_is_enough_to_find_a_service_that_a_gatekeeper_has_joined() {
    let (home, app) = (Home::initialised(), App::start());
    let daemon = crate::strangers::broker(&home, 1024, "127.0.0.1:0");
    permit(&home, &may_call("Service::\"shop\""));
    let (orders, _) = identity(&home, "orders", "orders");
    let (guarded, to) = (free(), broker(&home));
    let at = format!("127.0.0.1:{guarded}");
    let guard = gatekeeper(&home, &to, guarded, &app, &["--identity", &orders, "--advertise", &at]);
    let file = home.path("shop.secret").display().to_string();
    home.ok(&["client", "add", "shop", "--secret-out", &file]);
    let ca = home.write("ca.pem", &home.ok(&["ca", "bundle"]));
    let more = ["--broker", &to, "--client", "shop", "--secret-file", &file, "--ca", &ca];
    let more = [&more[..], &["--trust-domain", "test.sealock"]].concat();
    let forwarder = Forwarder::start(&home, &more);
    let seen = forwarder.until_served();
    assert!(seen.contains("spiffe://test.sealock/service/shop"), "{seen}");
    let (status, answer) = call(forwarder.proxy, "GET", "orders", "http://orders/v1/a");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(forwarder.process.stop(), Some(0));
    // Told not to ask, it knows of nobody.
    let alone = ["forwarder", "--no-directory", "--route", "127.0.0.1:0=orders"];
    let said = home.fails(64, &[&alone[..], &more].concat());
    assert!(said.contains("which is not listed"), "{said}");
    let secret = fs::read_to_string(&file).unwrap();
    let logs = home.log() + &fs::read_to_string(home.path("forwarder.log")).unwrap();
    assert!(!logs.contains(secret.trim()) && !logs.contains("directory from the broker"), "{logs}");
    assert_eq!(guard.stop(), Some(0));
    assert_eq!(daemon.stop(), Some(0));
}
