//! A container that runs, and serves what the company has signed, in turn and in whatever it comes.

use std::fs;
use std::process::{Command, Stdio};

use sealock_testkit::clients::{skip_without, skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Container, Image};
use sealock_testkit::wait::until;

use super::{Company, NAMES, container_name, request, trusting};
use crate::support::{Home, PATIENCE, text};

fn with_drop_folder() -> Home {
    let mut home = trusting();
    let drop = home.path("drop");
    fs::create_dir(&drop).unwrap();
    home.set(&[("SEALOCK_AUTHORITY_DROP_FOLDER", drop.display().to_string().leak())]);
    home
}

/// A TLS server in a container, whose labels ask for `shop`.
fn server(home: &Home) -> (Image, Container) {
    let program = fs::read(env!("CARGO_BIN_EXE_sealock")).unwrap();
    let image = Image::with_files(&[("sealock", &program, 0o755)]);
    let scope = home.scope_label();
    let labels = ["imported=shop", "reload=signal:HUP", "verify=tls:8443"];
    let labels = labels.map(|label| format!("--label=sealock.cert.web.{label}"));
    let options =
        [&scope, "--tmpfs", "/run", "--network", "none", &labels[0], &labels[1], &labels[2]];
    let command = ["/sealock", "demo-server", "--certs", "/run/sealock/certs/web"];
    let container = image.start_command(&options, &command);
    (image, container)
}

/// A serial number without what programs write it with.
fn plain(serial: &str) -> String {
    let digits = serial.trim().rsplit('=').next().unwrap_or_default();
    digits.trim_start_matches('0').to_ascii_lowercase()
}

/// The serial of the first certificate of a PEM text.
fn serial(home: &Home, pem: &str) -> Option<String> {
    let file = home.write("seen.pem", pem);
    let said = Command::new("openssl").args(["x509", "-noout", "-serial", "-in", &file]).output();
    let said = said.unwrap();
    said.status.success().then(|| plain(&text(&said.stdout)))
}

/// The serial that openssl is shown in a handshake, made in the container's network; it verifies up to the company's root.
fn seen(home: &Home, company: &Company<'_>, container: &Container) -> Option<String> {
    let pid = container.pid().to_string();
    let root = company.path("root.pem");
    let output = Command::new("nsenter")
        .args(["--target", &pid, "--net", "openssl", "s_client", "-connect", "127.0.0.1:8443"])
        .args(["-servername", "www.corp.example", "-verify_hostname", "www.corp.example"])
        .args(["-verify_return_error", "-CAfile", &root])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    output.status.success().then(|| serial(home, &text(&output.stdout))).flatten()
}

#[test]
fn the_same_running_container_serves_what_comes_in_every_form() {
    let absent = skip_without_engine() || skip_without_root();
    if absent || skip_without(&["openssl", "nsenter"]) {
        return;
    }
    let home = with_drop_folder();
    let company = Company { home: &home };
    let _daemon = home.up();
    let rule = "permit (principal, action == Sealock::Action::\"Cert::Use\", resource == Sealock::ImportedCertificate::\"shop\");\n";
    fs::write(home.state().join("policy/shop.cedar"), rule).unwrap();
    home.ok(&["policy", "reload"]);
    let (_image, container) = server(&home);
    let name = container_name(&container);
    let running = || container.inspect("{{.State.StartedAt}} {{.State.Pid}} {{.RestartCount}}");
    let begun = running();
    let mut all = Vec::new();
    // The chain before the leaf and the root among it; with and without a key of its own, in new and in old encryption;
    // files, a folder, and the folder that the daemon looks into.
    let forms = [
        "chain-in-pem",
        "der",
        "p7b",
        "p7b-pem",
        "pfx",
        "pfx-own-key",
        "pfx-legacy-own-key",
        "scan",
        "drop",
    ];
    for form in forms {
        let csr = request(&home, "shop", &["--replace"]);
        let leaf = company.sign(&csr, NAMES);
        company.send_back(form, "shop", &leaf);
        // Where the key is their own, another leaf is signed for it.
        let signed = fs::read_to_string(company.path("leaf.pem")).unwrap();
        let wanted = serial(&home, &signed).unwrap();
        assert!(!all.contains(&wanted), "{form}");
        home.await_certificate(&name, "web", &format!("served from {form}"), |found| {
            let shown = found["serial"].as_str().map(plain);
            found["state"] == "served" && shown.as_deref() == Some(&*wanted)
        });
        until(&format!("a handshake with what came as {form}"), PATIENCE, || {
            (seen(&home, &company, &container)? == wanted).then_some(())
        });
        assert_eq!(running(), begun, "it was restarted for {form}");
        all.push(wanted);
    }

    // The inventory has it beside our own, and says who has it.
    let last = all.last().unwrap().as_str();
    for more in [["--container", &*name], ["--issuer", "corp"], ["--name", "shop"]] {
        let found = home.json(&[&["cert", "list"][..], &more[..]].concat());
        let found = found["certificates"].as_array().unwrap();
        assert_eq!(found.len(), 1, "{more:?}: {found:?}");
        let one = &found[0];
        assert_eq!(plain(one["serial"].as_str().unwrap()), last);
        assert_eq!(one["imported"]["containers"], serde_json::json!([name]));
        assert_eq!(one["imported"]["root"], "corp");
    }
    let table = home.ok(&["cert", "list"]);
    let row = table.lines().find(|line| line.starts_with("shop ")).unwrap();
    assert!(row.contains("O=Corp, CN=issuing") && row.contains(&name), "{table}");
    for format in ["text", "html"] {
        let report = home.ok(&["cert", "report", "--format", format]);
        let row = report.lines().find(|line| line.contains("O=Corp, CN=issuing")).unwrap();
        assert!(row.contains(&name) && row.contains("OU=Shop"), "{format}: {row}");
    }
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
}

#[test]
fn a_running_container_serves_it_and_then_the_next_one_without_a_restart() {
    if skip_without_engine() || skip_without_root() || skip_without(&["openssl"]) {
        return;
    }
    let home = with_drop_folder();
    let drop = home.path("drop");
    let company = Company { home: &home };
    let _daemon = home.up();
    let csr = request(&home, "shop", &[]);
    let (_image, container) = server(&home);
    let name = container_name(&container);
    home.await_certificate(&name, "web", "waiting for the signature", |found| {
        found["reason"].as_str().is_some_and(|reason| reason.contains("waits for the signature"))
    });
    let leaf = company.sign(&csr, NAMES);
    home.ok(&["cert", "import", "shop", &leaf, &company.path("issuing.pem")]);
    // Nobody has permitted it yet; the hint is the rule.
    let refused = home.await_certificate(&name, "web", "refused", |found| {
        found["state"] == "refused" && found["hint"].is_string()
    });
    let hint = refused["hint"].as_str().unwrap();
    let rule = hint.split_once("allow it:\n").unwrap().1;
    assert!(rule.contains("Sealock::ImportedCertificate::\"shop\""), "{hint}");
    fs::write(home.state().join("policy/shop.cedar"), rule).unwrap();
    let first = home.await_certificate(&name, "web", "served", |found| found["state"] == "served");
    let begun = container.inspect("{{.State.StartedAt}}");

    // The next one, by the drop folder.
    let csr = request(&home, "shop", &["--replace"]);
    let leaf = company.sign(&csr, NAMES);
    fs::copy(company.path("issuing.pem"), drop.join("issuing.pem")).unwrap();
    fs::copy(&leaf, drop.join("shop.crt")).unwrap();
    home.await_certificate(&name, "web", "served anew", |found| {
        found["state"] == "served" && found["serial"] != first["serial"]
    });
    assert_eq!(container.inspect("{{.State.StartedAt}}"), begun, "it was not restarted");
    let moved = drop.join("imported/shop.crt.txt");
    assert!(fs::read_to_string(moved).unwrap().contains("CN=root"));
    fs::write(drop.join("rubbish.txt"), "hello").unwrap();
    sealock_testkit::wait::until("the refusal", crate::support::PATIENCE, || {
        drop.join("refused/rubbish.txt.txt").exists().then_some(())
    });
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
}
