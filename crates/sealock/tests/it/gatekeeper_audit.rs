//! What of calls comes into the audit log, from a Gatekeeper's process: denials, and what a mode lets pass.

use std::fs;

use sealock_testkit::wait::until;
use serde_json::Value;

use crate::chain::free;
use crate::gatekeeper::rules;
use crate::gatekeeper_alone::{World, skip};
use crate::gateway::home;
use crate::support::{Home, PATIENCE};

/// The records of calls, as `audit export` has them.
fn calls(home: &Home) -> Vec<Value> {
    let all = home.ok(&["audit", "export"]);
    let all = all.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|record| record["decision"]["action"] == "Http::Call").collect()
}

/// The same with these events, as soon as there are so many.
fn until_recorded(home: &Home, event: &str, count: usize) -> Vec<Value> {
    until("the calls to be recorded", PATIENCE, || {
        let found: Vec<Value> =
            calls(home).into_iter().filter(|record| record["event"] == event).collect();
        (found.len() >= count).then_some(found)
    })
}

fn path_of(record: &Value) -> &str {
    record["decision"]["question"]["context"]["path"].as_str().unwrap()
}

#[test]
fn what_is_learnt_of_calls_lets_them_pass_and_nothing_else() {
    if skip() {
        return;
    }
    let mut home = home();
    home.set(&[("SEALOCK_POLICY_TRAFFIC", "learn")]);
    let said = home.fails(1, &["policy", "learn", "--for", "service/shop"]);
    assert!(said.contains("policy.traffic"), "{said}");
    // No rule permits anything to `shop`.
    let world = World::of(home, "");
    let port = free();
    let listen = format!("127.0.0.1:{port}");
    let guard = world.gatekeeper("guard.log", &["--listen", &listen]);
    world.until_served(port);
    for path in ["/v1/a", "/v1/b?c=d", "/v1/a", "/v1/b"] {
        assert!(world.call(port, path).unwrap().starts_with("HTTP/1.1 200 "), "{path}");
    }
    let passed = until_recorded(&world.home, "call-passed", 2);
    let paths: Vec<&str> = passed.iter().map(path_of).collect();
    assert_eq!(paths, ["/v1/a", "/v1/b"], "each once");
    assert_eq!(calls(&world.home).len(), 2, "nothing was denied");
    for record in &passed {
        assert_eq!(
            (&record["method"], record["decision"]["allowed"].as_bool()),
            (&"GET".into(), Some(false))
        );
    }
    let tail = world.home.ok(&["audit", "tail", "-n", "50"]);
    let shown: Vec<&str> = tail.lines().filter(|line| line.contains("Http::Call")).collect();
    assert!(shown.len() == 2 && shown.iter().all(|line| !line.contains("denied")), "{tail}");

    let printed = world.home.ok(&["policy", "learn", "--for", "service/shop"]);
    assert!(
        printed.contains("Http::Call") && printed.contains("[\"/v1/a\", \"/v1/b\"]"),
        "{printed}"
    );
    let file = world.home.state().join("policy/shop.cedar").display().to_string();
    world.home.ok(&["policy", "learn", "--for", "service/shop", "--out", &file]);
    assert_eq!(guard.stop(), Some(0));

    let world = world.restarted(&[("SEALOCK_POLICY_TRAFFIC", "enforce")]);
    let guard = world.gatekeeper("guard-2.log", &["--listen", &listen]);
    world.until_served(port);
    assert!(world.call(port, "/v1/b").unwrap().starts_with("HTTP/1.1 200 "));
    let refused = world.call(port, "/v1/c").unwrap();
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    let denied = until_recorded(&world.home, "denied", 1);
    assert_eq!((denied.len(), path_of(&denied[0])), (1, "/v1/c"));
    let learnt = world.home.ok(&["policy", "learn", "--for", "service/shop"]);
    assert!(!learnt.contains("/v1/c"), "what was refused is not learnt: {learnt}");
    assert_eq!(guard.stop(), Some(0));
    assert_eq!(world.daemon.stop(), Some(0));
}

#[test]
fn no_path_keeps_a_denial_out_of_the_audit_log() {
    if skip() {
        return;
    }
    let forbid = "forbid (principal, action == Sealock::Action::\"Http::Call\", resource)\n\
                  when { context.path like \"*/secret\" };\n";
    let world = World::of(home(), &(rules("orders") + forbid));
    let port = free();
    let listen = format!("127.0.0.1:{port}");
    let guard = world.gatekeeper("guard.log", &["--listen", &listen]);
    world.until_served(port);
    // The beginning of the second is permitted.
    let paths = [format!("/{}", "x".repeat(20_000)), format!("/v1/{}/secret", "y".repeat(10_000))];
    for path in paths.iter().map(String::as_str).chain(["/admin"]) {
        let answer = world.call(port, path).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    let denied = until_recorded(&world.home, "denied", 3);
    assert_eq!(denied.len(), 3);
    for (record, path) in denied.iter().zip(&paths) {
        let recorded = path_of(record);
        let beginning = recorded.strip_suffix('…').expect("the mark is missing");
        assert!(path.starts_with(beginning) && recorded.len() <= 8192, "{}", recorded.len());
        assert!(record["reason"].as_str().unwrap().contains("only the beginning"), "{record}");
        assert_eq!(record["decision"]["allowed"], false);
    }
    assert_eq!(path_of(&denied[2]), "/admin");
    // Its number explains it still.
    let number = denied[1]["request"].as_str().unwrap();
    let explained = world.home.ok(&["policy", "explain", number]);
    assert!(explained.contains("only the beginning of the path"), "{explained}");
    assert_eq!(guard.stop(), Some(0));
    let log = fs::read_to_string(world.home.path("guard.log")).unwrap();
    assert!(!log.contains("does not take a report"), "{log}");
    assert_eq!(world.daemon.stop(), Some(0));
}
