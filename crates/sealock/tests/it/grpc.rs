//! gRPC from a clean engine: grpcio calls an app of its own through a Gatekeeper that is a container.

use std::io::Write;
use std::process::{Command, Stdio};

use sealock_testkit::clients::skip_without;
use sealock_testkit::docker::{Image, Network, try_docker};
use sealock_testkit::unique_name;
use sealock_testkit::wait::until;
use serde_json::{Value, json};

use crate::gatekeeper::{Caller, InNetwork, guard, skip};
use crate::gateway::{home, permit};
use crate::support::{PATIENCE, text};
use crate::tokens::gets;

const PYTHON: &str = "python-with-grpc";
const CLIENT: &str = include_str!("../../../traffic/tests/grpc/client.py");
const SERVER: &str = include_str!("../../../traffic/tests/grpc/server.py");

/// What comes of what a client is asked to do.
fn ask(asked: &Value) -> Value {
    let mut python = Command::new(PYTHON);
    for name in ["http_proxy", "https_proxy", "grpc_proxy", "all_proxy"] {
        python.env_remove(name).env_remove(name.to_uppercase());
    }
    python.args(["-c", CLIENT]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = python.spawn().unwrap();
    client.stdin.take().unwrap().write_all(format!("{asked}\n").as_bytes()).unwrap();
    let output = client.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_client_of_grpc_calls_by_policy_and_is_told_why_not() {
    if skip() || skip_without(&[PYTHON]) {
        return;
    }
    let home = home();
    let daemon = home.up();
    let (image, network, name) = (Image::busybox(), Network::create(&[]), unique_name());
    let app = image.start(&[&format!("--network={}", network.name())]);
    let _program = InNetwork::start_with(PYTHON, &app, &[SERVER, "50051"]);
    let guard = guard(&home, &image, &app, &name, false, "h2c://127.0.0.1:50051");
    let address = app.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
    let rule = format!(
        "permit (principal == Sealock::Service::\"shop\", action == Sealock::Action::\"Http::Call\", resource == Sealock::Service::\"{name}\")\n\
         when {{ context has protocol && context.protocol == \"grpc\" && context.path like \"/v1/*\" }};\n"
    );
    permit(&home, &(gets("shop", &name) + &rule));
    let token = Caller::new(&home, "shop").token(&name);
    let asked = |what: &str, tokens: Value| {
        let target = format!("{address}:8000");
        ask(&json!({"do": what, "target": target, "authority": name.as_str(), "tokens": tokens}))
    };
    let said = until("the Gatekeeper and the app", PATIENCE, || {
        let said = asked("one", json!({"shop": token.as_str()}));
        said.get("say").cloned()
    });
    assert_eq!(said, "spiffe://test.sealock/service/shop says hi");
    let said = asked("one", json!({}));
    assert_eq!(said["code"], "UNAUTHENTICATED", "{said}");
    let said = asked("kinds", json!({"shop": token.as_str()}));
    assert_eq!(said["collect"], "a+b+c", "{said}");
    assert_eq!(said["admin"]["code"], "PERMISSION_DENIED", "{said}");
    // The number in it is explained by a rule.
    let details = said["admin"]["details"].as_str().unwrap();
    let number = details.split("reason=").nth(1).unwrap().split(';').next().unwrap();
    let explained = until("the denial in the log", PATIENCE, || {
        let output = home.run(&["policy", "explain", number]);
        output.status.success().then(|| text(&output.stdout))
    });
    assert!(explained.contains("\"/admin/Drop\""), "{explained}");
    let log = text(&try_docker(&["logs", guard.id()]).stdout);
    assert!(log.contains("\"protocol\":\"grpc\",\"version\":\"HTTP/2\""), "{log}");
    assert!(!log.contains(&token));
    assert_eq!(daemon.stop(), Some(0));
}
