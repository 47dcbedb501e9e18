//! `sealock demo`, whole and interrupted.

use std::process::Stdio;

use sealock_testkit::docker::docker;
use sealock_testkit::wait::until;

use crate::support::{Home, PATIENCE, signal, text};

fn left(process: u32) -> String {
    let label = format!("label=sealock-demo={process}");
    docker(&["ps", "-aq", "--filter", &label]) + &docker(&["images", "-q", "--filter", &label])
}

#[test]
fn the_demo_passes_and_removes_all_it_made() {
    if sealock_testkit::clients::skip_without_engine()
        || sealock_testkit::clients::skip_without_root()
    {
        return;
    }
    let home = Home::new();
    let child = Home::command(&home)
        .arg("demo")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let process = child.id();
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.contains("payments.example") && said.contains("permit"), "{said}");
    assert!(said.contains("Docker::Mount on host path /etc is denied"), "{said}");
    assert!(said.contains("No such container: shop-"), "{said}");
    assert!(said.contains("the program is process 1 and has its password"), "{said}");
    assert!(said.contains("asked for the same password and was refused"), "{said}");
    assert!(
        said.contains("is told who calls") && said.contains("tokens were revoked: 401"),
        "{said}"
    );
    assert!(said.contains("Sealock::Action::\"Http::Call\""), "{said}");
    assert!(
        said.contains("its request went to the company's CA, and came back as")
            && said.contains("the company signed the next one, which is served without a restart"),
        "{said}"
    );
    assert_eq!(left(process), "");
    assert!(!std::path::Path::new(&format!("/tmp/sealock-demo-{process}")).exists());
}

#[test]
fn an_interrupted_demo_removes_all_it_made() {
    if sealock_testkit::clients::skip_without_engine()
        || sealock_testkit::clients::skip_without_root()
    {
        return;
    }
    let home = Home::new();
    let mut child =
        home.command().arg("demo").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let process = child.id();
    until("the demo's containers", PATIENCE, || (!left(process).is_empty()).then_some(()));
    signal(process, "INT");
    let code = until("the demo to end", PATIENCE, || child.try_wait().unwrap()).code();
    assert_eq!(code, Some(130));
    assert_eq!(left(process), "");
}
