//! `sealock broker`, `service` and `import`.

use std::fs;

use sealock_testkit::wait::until;
use serde_json::Value;

use crate::support::{Daemon, Home, PATIENCE};

const SDF: &str = "
global: { conjur: { hostname: conjur.corp.example, certificate_path: /etc/conjur.pem } }
gatekeeper:
  port: 8443
  service: unix:/run/app.sock
  conjur_account: corp
  conjur_resource: webservice/production/orders
forward:
- { id: billing, listen: 5000, service: 'https://billing.corp.example' }
";

#[test]
fn an_sdf_yml_becomes_rules_and_settings_that_can_be_loaded() {
    let home = Home::initialised();
    let file = home.write("sdf.yml", SDF);
    let out = home.path("out");
    let folder = out.display().to_string();
    home.ok(&["import", &file, "--out", &folder]);
    home.ok(&["policy", "check", &format!("{folder}/sdf.cedar")]);
    let settings = format!("{folder}/sealock.toml");
    let shown = home.ok(&["--config", &settings, "config", "check"]);
    assert!(shown.contains("services.billing.addresses"), "{shown}");
    let notes = fs::read_to_string(out.join("NOTES.md")).unwrap();
    assert!(notes.contains("conjur.corp.example") && notes.contains("orders-read"), "{notes}");
    let compose = fs::read_to_string(out.join("compose.yml")).unwrap();
    assert!(compose.contains("\"--route\", \"127.0.0.1:5000=billing\""), "{compose}");

    // A second time nothing is touched.
    fs::remove_file(out.join("NOTES.md")).unwrap();
    let said = home.fails(1, &["import", &file, "--out", &folder]);
    assert!(said.contains("is there already") && said.contains("hint:"), "{said}");
    assert!(!out.join("NOTES.md").exists());
    // Without a folder it is printed.
    let printed = home.ok(&["import", &file]);
    assert!(printed.contains("# ==> sdf.cedar <==") && printed.contains("services.\"billing\""));
    let shown = home.json(&["import", &file, "--name", "shop"]);
    assert_eq!(shown["gatekeeper"][1], "shop");

    let forwards = home.write("f.yml", "forward: [{ id: a, listen: 1, service: b }]");
    let long = home.write("long.yml", &"# ".repeat(40_000));
    for (arguments, wanted) in [
        (&["import", &forwards][..], "--name"),
        (&["import", &long], "longer than"),
        (&["import", &file, "--name", "A B"], "lower-case letters"),
    ] {
        let said = home.fails(64, arguments);
        assert!(said.contains(wanted) && said.contains("hint:"), "{said}");
    }
    assert!(home.fails(1, &["import", "missing.yml"]).contains("cannot read"));
}

#[test]
fn a_broker_alone_runs_on_a_host_without_an_engine() {
    let home = Home::initialised();
    let log = fs::File::create(home.path("daemon.log")).unwrap();
    let settings = home.write(
        "sealock.toml",
        "workload.socket = \"off\"\n[services.orders]\naddresses = [\"10.0.0.5:8443\"]\nhosts = [\"orders.internal\"]\n",
    );
    let mut command = home.command();
    command.args(["--config", &settings, "--docker", "unix:///nonexistent/docker.sock"]);
    command.args(["broker", "--listen", "127.0.0.1:0"]);
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let daemon = Daemon::of(command.spawn().unwrap());
    let status: Value = until("the broker to answer", PATIENCE, || {
        let output = home.run(&["--json", "status"]);
        let status: Value = serde_json::from_slice(&output.stdout).ok()?;
        (status["daemon"] == true).then_some(status)
    });
    assert!(status["api"].is_string() && status["gateway"].is_null(), "{status}");
    assert!(home.log().contains("The Token Broker is up"), "{}", home.log());
    home.ok(&["status", "--check"]);
    let listed = home.ok(&["service", "list"]);
    for wanted in ["orders", "10.0.0.5:8443", "settings", "orders.internal"] {
        assert!(listed.contains(wanted), "{listed}");
    }
    home.ok(&["client", "add", "shop", "--secret-out", "shop.secret"]);
    let said = home.fails(1, &["up", "--api", "127.0.0.1:0"]);
    assert!(said.contains("(broker)") && said.contains("hint:"), "{said}");
    assert_eq!(daemon.stop(), Some(0));
    let said = home.fails(64, &["--config", &settings, "broker", "--listen", "off"]);
    assert!(said.contains("--listen ADDRESS:PORT"), "{said}");
}

#[test]
fn who_is_told_to_nobody_says_so() {
    let home = Home::new();
    let plain = ["gatekeeper", "--service", "x", "--listen", "127.0.0.1:0", "--plain"];
    let more = ["--upstream", "http://127.0.0.1:1", "--advertise", "10.0.0.5:80"];
    let said = home.fails(64, &[&plain[..], &more].concat());
    assert!(said.contains("--plain NAME=ADDRESS:PORT"), "{said}");
}
