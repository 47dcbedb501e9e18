//! One Sealock gets its certificates from another one.

use sealock_testkit::clients::skip_without;
use sealock_testkit::wait::until;

use super::{Scene, leaked};
use crate::support::{Home, PATIENCE, tool};

#[test]
fn a_sealock_gets_its_certificates_from_another_one_and_renews_them() {
    if skip_without(&["openssl"]) {
        return;
    }
    let scene = Scene::start();
    let mut other = Home::new();
    other.ok(&["init", "--trust-domain", "other.sealock"]);
    let settings = format!(
        "[upstream.above]\nkind = \"acme\"\nurl = \"{}\"\nca_file = \"{}\"\nhttp01 = \"127.0.0.1:{}\"\n",
        scene.server, scene.root, scene.http
    );
    let path = other.write("sealock.toml", &settings);
    other.set(&[("SEALOCK_CONFIG", leaked(path))]);
    other.ok(&["trust", "add", &scene.root, "--name", "above"]);
    let _daemon = other.spawn();
    let name = "below.acme.test";
    let ask =
        ["cert", "request", "below", "--dns", name, "--usage", "server", "--upstream", "above"];
    let serial = |before: &str| {
        until("the certificate from above", PATIENCE, || {
            let all = other.json(&["cert", "requests"]);
            let serial = all[0]["held"]["serial"].as_str()?;
            (all[0]["state"] == "in use" && serial != before).then(|| serial.to_owned())
        })
    };
    until("the daemon to answer", PATIENCE, || other.run(&ask).status.success().then_some(()));
    let first = serial("");
    assert_eq!(scene.serial(name), first);
    other.ok(&["cert", "files", "below", "--out", "files"]);
    let files = |file: &str| other.path("files").join(file).display().to_string();
    let (crt, ca) = (files("tls.crt"), files("ca.crt"));
    tool(
        "openssl",
        &["verify", "-CAfile", &ca, "-untrusted", &crt, "-verify_hostname", name, &crt],
    );
    // It says when to renew, and that is not now; whoever wants another one has it.
    let tried = other.json(&["upstream", "try", "above"]);
    assert_eq!(tried[0]["answer"]["renewal_information"], true, "{tried}");
    other.ok(&[&ask[..], &["--replace"]].concat());
    let second = serial(&first);
    assert_eq!(scene.serial(name), second);
}
