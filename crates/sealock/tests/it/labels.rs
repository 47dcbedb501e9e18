//! Certificates by label, with a real engine: the "done when", as a user sees it.

use std::fs;

use sealock_testkit::docker::{Container, Image, docker};

use crate::support::{Home, tool};

fn own_image() -> Image {
    let program = fs::read(env!("CARGO_BIN_EXE_sealock")).unwrap();
    Image::with_files(&[("sealock", &program, 0o755)])
}

fn name(container: &Container) -> String {
    container.inspect("{{.Name}}").trim_start_matches('/').to_owned()
}

fn delivered(container: &Container, home: &Home, folder: &str) -> (String, String) {
    let leaf = home.write("leaf.pem", &container.output(&["cat", &format!("{folder}/tls.crt")]));
    let root = home.write("root.pem", &container.output(&["cat", &format!("{folder}/ca.crt")]));
    (leaf, root)
}

#[test]
fn a_busybox_container_gets_files_that_openssl_verifies_and_new_ones_before_they_expire() {
    if sealock_testkit::clients::skip_without_engine()
        || sealock_testkit::clients::skip_without_root()
    {
        return;
    }
    let home = Home::new();
    let _daemon = home.up();
    let image = Image::busybox();
    let scope = home.scope_label();
    let options = ["--tmpfs", "/run", "--read-only", &scope, "--label", "sealock.cert.web.ttl=15s"];
    let container = image.start(&options);
    let name = name(&container);
    let first =
        home.await_certificate(&name, "web", "delivered", |found| found["state"] == "delivered");
    let (leaf, root) = delivered(&container, &home, "/run/sealock/certs/web");
    tool(
        "openssl",
        &["verify", "-verify_hostname", &name, "-CAfile", &root, "-untrusted", &leaf, &leaf],
    );
    let listing = container.output(&["ls", "-lL", "/run/sealock/certs/web"]);
    let has = |mode: &str, file: &str| {
        listing.lines().any(|line| line.starts_with(mode) && line.ends_with(file))
    };
    assert!(has("-r--------", "tls.key") && has("-r--r--r--", "ca.crt"), "{listing}");
    assert!(has("-r--------", "bundle.pem") && has("-r--r--r--", "tls.crt"), "{listing}");

    let started = container.inspect("{{.State.StartedAt}}");
    home.await_certificate(&name, "web", "renewed", |found| {
        found["state"] == "delivered" && found["serial"] != first["serial"]
    });
    let (newer, root) = delivered(&container, &home, "/run/sealock/certs/web");
    tool("openssl", &["verify", "-CAfile", &root, "-untrusted", &newer, &newer]);
    assert_eq!(container.inspect("{{.State.StartedAt}}"), started, "it was not restarted");
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
}

/// The key of a certificate that is revoked may be somebody else's: the container has another at once.
#[test]
fn a_revoked_certificate_is_replaced_in_its_container() {
    if sealock_testkit::clients::skip_without_engine()
        || sealock_testkit::clients::skip_without_root()
    {
        return;
    }
    let home = Home::new();
    let daemon = home.up();
    let image = Image::busybox();
    let options = ["--tmpfs", "/run", &home.scope_label(), "--label", "sealock.cert.web.ttl=30d"];
    let container = image.start(&options);
    let name = name(&container);
    let delivered = |found: &serde_json::Value| found["state"] == "delivered";
    let first = home.await_certificate(&name, "web", "delivered", delivered);
    let revoke = |serial: &serde_json::Value| {
        home.ok(&["cert", "revoke", serial.as_str().unwrap(), "--reason", "key-compromise"]);
    };
    let fresh = |old: &serde_json::Value| {
        let old = old["serial"].clone();
        home.await_certificate(&name, "web", "another", move |found| {
            delivered(found) && found["serial"] != old
        })
    };
    revoke(&first["serial"]);
    let second = fresh(&first);
    let (leaf, _) = super::labels::delivered(&container, &home, "/run/sealock/certs/web");
    let shown = tool("openssl", &["x509", "-noout", "-serial", "-in", &leaf]).to_lowercase();
    assert!(shown.contains(second["serial"].as_str().unwrap()), "{shown}");
    // Also one that was revoked while no daemon ran.
    daemon.stop();
    revoke(&second["serial"]);
    let _daemon = home.up();
    let third = fresh(&second);
    assert_ne!(third["serial"], first["serial"]);
}

#[test]
fn a_server_that_ignores_its_reload_raises_the_alarm() {
    if sealock_testkit::clients::skip_without_engine()
        || sealock_testkit::clients::skip_without_root()
    {
        return;
    }
    let home = Home::new();
    fs::create_dir_all(home.path(".config/sealock")).unwrap();
    let settings = home.write("sealock.toml", "[watch]\ngrace = \"3s\"\n");
    let mut command = home.command();
    command.args(["--config", &settings, "up", "--api", "off", "--gateway", "off"]);
    let log = fs::File::create(home.path("daemon.log")).unwrap();
    let mut child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let image = own_image();
    let scope = home.scope_label();
    let options = [
        &scope,
        "--tmpfs",
        "/run",
        "--network",
        "none",
        "--label",
        "sealock.cert.web.ttl=20s",
        "--label",
        "sealock.cert.web.reload=signal:HUP",
        "--label",
        "sealock.cert.web.verify=tls:8443",
    ];
    let certs = "/run/sealock/certs/web";
    let good = image.start_command(&options, &["/sealock", "demo-server", "--certs", certs]);
    let bad = image
        .start_command(&options, &["/sealock", "demo-server", "--certs", certs, "--ignore-reload"]);
    let (good, bad) = (name(&good), name(&bad));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let first =
            home.await_certificate(&good, "web", "served", |found| found["state"] == "served");
        home.await_certificate(&bad, "web", "served", |found| found["state"] == "served");
        home.await_certificate(&good, "web", "served anew", |found| {
            found["state"] == "served" && found["serial"] != first["serial"]
        });
        sealock_testkit::wait::until("the alarm", crate::support::PATIENCE, || {
            let status = home.json(&["status"]);
            let alarms = status["alarms"].as_array()?.clone();
            alarms.into_iter().find(|alarm| {
                alarm["alarm"] == "not-served" && alarm["subject"].as_str().unwrap().contains(&bad)
            })
        });
        let check = home.run(&["status", "--check"]);
        assert_eq!(check.status.code(), Some(1));
        let log = home.ok(&["--json", "audit", "export"]);
        assert!(
            log.lines().any(|line| line.contains("alarm-raised") && line.contains(&bad)),
            "{log}"
        );
        assert!(
            !log.lines().any(|line| line.contains("alarm-raised") && line.contains(&good)),
            "{log}"
        );
    }));
    let _ = child.kill();
    let _ = child.wait();
    outcome.unwrap();
}

#[test]
fn a_bad_label_is_named_and_a_foreign_name_is_refused_with_its_rule() {
    if sealock_testkit::clients::skip_without_engine()
        || sealock_testkit::clients::skip_without_root()
    {
        return;
    }
    let home = Home::new();
    let _daemon = home.up();
    let image = Image::busybox();
    let container = image.start(&[
        &home.scope_label(),
        "--tmpfs",
        "/run",
        "--label",
        "sealock.cert.bad.ttl=soon",
        "--label",
        "sealock.cert.foreign.dns=bank.example",
        "--label",
        "sealock.cert.good.ttl=1h",
    ]);
    let name = name(&container);
    home.await_certificate(&name, "good", "delivered", |found| found["state"] == "delivered");
    let status =
        home.await_certificate(&name, "foreign", "refused", |found| found["state"] == "refused");
    let hint = status["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("permit") && hint.contains("bank.example"), "{hint}");
    let bad = home.await_certificate(&name, "bad", "invalid", |found| !found["reason"].is_null());
    assert!(bad["reason"].as_str().unwrap().contains("sealock.cert.bad.ttl"), "{bad}");

    // The rule that was suggested is the rule that is needed.
    let rule = hint.split_at(hint.find("permit").unwrap()).1;
    let rule = rule.split_inclusive("};").next().unwrap_or(rule);
    let rule = if rule.contains("};") { rule } else { rule.split_inclusive(");").next().unwrap() };
    fs::write(home.state().join("policy/bank.cedar"), rule).unwrap();
    home.ok(&["policy", "reload"]);
    home.await_certificate(&name, "foreign", "delivered", |found| found["state"] == "delivered");
    assert_eq!(container.inspect("{{.State.Running}}"), "true");
}

#[test]
fn a_container_that_takes_the_brokers_host_name_gets_no_certificate_for_it() {
    if sealock_testkit::clients::skip_without_engine()
        || sealock_testkit::clients::skip_without_root()
    {
        return;
    }
    let home = Home::new();
    let settings = home.write("sealock.toml", "[api]\nnames = [\"broker.corp.example\"]\n");
    let _daemon = home.up_with(&["--config", &settings]);
    let image = Image::busybox();
    let scope = home.scope_label();
    let options = [
        "--hostname",
        "broker.corp.example",
        &scope,
        "--tmpfs",
        "/run",
        "--label",
        "sealock.cert.own.usage=server",
        "--label",
        "sealock.cert.other.dns=web.corp.example",
    ];
    let container = image.start(&options);
    let name = name(&container);
    let status =
        home.await_certificate(&name, "own", "refused", |found| found["state"] == "refused");
    let (reason, hint) = (status["reason"].as_str().unwrap(), status["hint"].as_str().unwrap());
    assert!(reason.contains("broker.corp.example is a name of the broker"), "{reason}");
    assert!(hint.contains("another name, host name or alias"), "{hint}");
    let files = container.output(&["ls", "-A", "/run"]);
    assert!(files.trim().is_empty(), "{files}");
    // With another name the container may have one.
    let rule = format!(
        "permit(principal == Sealock::Service::\"{name}\", action in Sealock::Action::\"Cert\", resource);"
    );
    fs::write(home.state().join("policy/all.cedar"), rule).unwrap();
    home.ok(&["policy", "reload"]);
    home.await_certificate(&name, "other", "delivered", |found| found["state"] == "delivered");
    let after = home.certificate(&name, "own").unwrap();
    assert_eq!(after["state"], "refused", "a rule about all certificates is not about this one");
}

#[test]
fn a_container_that_is_made_again_gets_a_certificate_again() {
    if sealock_testkit::clients::skip_without_engine()
        || sealock_testkit::clients::skip_without_root()
    {
        return;
    }
    let home = Home::new();
    let daemon = home.up();
    let image = Image::busybox();
    let container = image.start(&[
        &home.scope_label(),
        "--tmpfs",
        "/run",
        "--label",
        "sealock.cert.web.ttl=1h",
    ]);
    let name = name(&container);
    let first =
        home.await_certificate(&name, "web", "there", |found| found["state"] == "delivered");
    // While the daemon is away, the container is restarted: its tmpfs is empty then.
    daemon.kill();
    let _ = docker(&["restart", "--time", "0", container.id()]);
    assert!(!container.exec(&["cat", "/run/sealock/certs/web/tls.crt"]).status.success());
    let _daemon = home.up();
    home.await_certificate(&name, "web", "there again", |found| {
        found["state"] == "delivered" && found["serial"] != first["serial"]
    });
    assert!(container.output(&["cat", "/run/sealock/certs/web/tls.crt"]).contains("BEGIN"));
}
