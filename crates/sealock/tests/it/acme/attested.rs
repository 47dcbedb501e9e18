//! A container's own certificate by a client that knows nothing of us, without a challenge.

use std::process::Command;

use sealock_testkit::clients::{skip_without, skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Container, Image};

use super::good;
use crate::gateway::{home, permit};
use crate::gateway_socket::name;
use crate::support::{Home, mode, text};
use crate::tokens::api;

const FOLDER: &str = "/run/sealock/workload";

fn start(home: &Home, image: &Image, options: &[&str]) -> Container {
    let program = format!("--volume={}:/bin/sealock:ro", env!("CARGO_BIN_EXE_sealock"));
    let socket = home.state().join("run/workload").display().to_string();
    let socket = format!("--volume={socket}:{FOLDER}:ro");
    image.start(&[&[program.as_str(), &socket], options].concat())
}

#[test]
fn a_labelled_container_gets_and_renews_its_certificate_without_a_challenge() {
    if skip_without_engine() || skip_without_root() || skip_without(&["lego", "openssl"]) {
        return;
    }
    let (mut home, image) = (home(), Image::busybox());
    // Nobody could be asked for a challenge here.
    home.set(&[("SEALOCK_ACME_NETWORKS", "192.0.2.0/24"), ("SEALOCK_API_NAMES", "localhost")]);
    let daemon = home.up();
    let shared = home.path("shared");
    std::fs::create_dir(&shared).unwrap();
    let volume = format!("--volume={}:/run/acme", shared.display());
    let label = "--label=sealock.acme.names=web.corp.example,www.corp.example";
    let web = start(&home, &image, &[&volume, label]);
    let asks = ["sealock", "acme", "eab", "self", "--out", "/run/acme"];
    // Deny by default; what is said names the rule that would allow it.
    let refused = web.exec(&asks);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("Cert::Issue on dns:web.corp.example is denied"), "{said}");
    assert!(!shared.join("hmac").exists());
    let who = name(&web);
    permit(
        &home,
        &format!(
            "permit (principal == Sealock::Service::\"{who}\", action == Sealock::Action::\"Cert::Issue\", resource in Sealock::Domain::\"corp.example\");\n"
        ),
    );
    let made = web.exec(&asks);
    let said = text(&made.stderr);
    assert!(made.status.success(), "{said}");
    assert!(
        said.contains(&format!("service/{who}")) && said.contains("www.corp.example"),
        "{said}"
    );
    let read = |file: &str| std::fs::read_to_string(shared.join(file)).unwrap();
    for file in ["kid", "hmac", "directory", "ca.crt"] {
        assert_eq!(mode(&shared.join(file)), 0o600, "{file}");
    }
    let port = api(&home).rsplit_once(':').unwrap().1.to_owned();
    let directory = read("directory");
    assert_eq!(directory, format!("https://localhost:{port}/acme/directory"));
    assert!(!said.contains(&read("hmac")));

    // The client runs on the host here; in the container it would be the same.
    let lego = |arguments: &[&str]| {
        let mut command = Command::new("lego");
        for proxy in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(proxy).env_remove(proxy.to_uppercase());
        }
        command.env("LEGO_CA_CERTIFICATES", shared.join("ca.crt")).env("HOME", home.path("."));
        command.args(["--server", &directory, "--accept-tos", "--email", "jo@corp.example"]);
        command.args(["--eab", "--kid", &read("kid"), "--hmac", &read("hmac")]);
        command.arg("--path").arg(home.path("lego"));
        command.args(["--domains", "web.corp.example", "--domains", "www.corp.example"]);
        command.args(["--http", "--http.port", "127.0.0.1:1"]).args(arguments).output().unwrap()
    };
    good(&lego(&["run"]));
    let chain = home.path("lego/certificates/web.corp.example.crt");
    let chain = chain.to_str().unwrap();
    let root = shared.join("ca.crt").display().to_string();
    let arguments = ["verify", "-CAfile", &root, "-untrusted", chain, chain];
    assert!(crate::support::tool("openssl", &arguments).contains("OK"));
    let serial = |home: &Home| {
        home.json(&["cert", "show", "web.corp.example"])["serial"].as_str().unwrap().to_owned()
    };
    let first = serial(&home);
    good(&lego(&["renew", "--days", "1000", "--no-random-sleep"]));
    assert_ne!(serial(&home), first);
    // The binding is listed as used, with the container's id.
    let all = home.json(&["acme", "eab", "list"]);
    assert_eq!(all[0]["container"], web.id());
    assert!(all[0]["account"].is_string(), "{all}");
    // When the container is gone, nobody orders in its place.
    drop(web);
    let late = lego(&["renew", "--days", "1000", "--no-random-sleep"]);
    assert!(!late.status.success());
    let said = text(&late.stderr) + &text(&late.stdout);
    assert!(said.contains("does not run any more"), "{said}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn it_is_for_containers_and_prints_lines_for_a_shell() {
    if skip_without_engine() || skip_without_root() {
        return;
    }
    let (home, image) = (home(), Image::busybox());
    let daemon = home.up();
    let said = home.fails(1, &["acme", "eab", "self"]);
    assert!(said.contains("only a container has a binding for itself"), "{said}");
    assert!(said.contains("sealock acme eab add"), "{said}");
    let bare = start(&home, &image, &[]);
    let refused = bare.exec(&["sealock", "acme", "eab", "self"]);
    let said = text(&refused.stderr);
    assert!(said.contains("no label sealock.acme.names") && said.contains("hint: "), "{said}");
    // By its own name, which it may have anyway.
    let unique = sealock_testkit::unique_name();
    let label = format!("--label=sealock.acme.names={unique}");
    let own = start(&home, &image, &["--name", &unique, &label]);
    let command = "eval \"$(sealock acme eab self)\" && echo \"$ACME_EAB_KID $ACME_DIRECTORY ${#ACME_EAB_HMAC}\"";
    let said = own.output(&["sh", "-c", command]);
    let words: Vec<&str> = said.split_whitespace().collect();
    assert!(words[0].starts_with("container-") && words[1].starts_with("https://"), "{said}");
    assert_eq!(words[2], "43", "256 bits in base64url");
    assert_eq!(daemon.stop(), Some(0));
}
