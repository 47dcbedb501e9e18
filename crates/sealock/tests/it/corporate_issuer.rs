//! An issuing CA of ours under the company's root (openssl here), from the CSR to a handshake with that root alone; chosen by
//! policy for containers; and at no door of ours.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use sealock_testkit::clients::{skip_without, skip_without_engine, skip_without_root};
use sealock_testkit::docker::Image;

use crate::corporate::{Company, container_name, trusting};
use crate::support::{Home, text, tool};

/// The company has signed it, and it is imported.
fn with_issuer() -> Home {
    let home = trusting();
    let company = Company { home: &home };
    let csr = home.path("ours.csr").display().to_string();
    let subject = "CN=Docker Issuing CA,OU=Hosts,DC=corp,DC=example";
    home.ok(&["ca", "request", "corp", "--subject", subject, "--csr", &csr]);
    let status = home.ok(&["status"]);
    assert!(status.contains("issuer corp: the CSR of this issuing CA waits"), "{status}");
    let report = home.json(&["cert", "report"]);
    assert!(report["to_do"].to_string().contains("issuer corp"), "{}", report["to_do"]);
    company.certify(&csr, "root", "issuing", "DNS:none", "ours.pem", &["-days", "365"]);
    let (ours, root) = (company.path("ours.pem"), company.path("root.pem"));
    // As a bundle, the other way round, with what is not needed among it.
    let p7b = home.path("ours.p7b").display().to_string();
    let parts = ["-certfile", &root, "-certfile", &ours, "-certfile", &company.path("issuing.pem")];
    let make = ["crl2pkcs7", "-nocrl", "-outform", "DER", "-out", &p7b];
    tool("openssl", &[&make[..], &parts[..]].concat());
    let said = home.ok(&["ca", "import", "corp", &p7b]);
    assert!(said.contains("CN=Docker Issuing CA") && said.contains("CN=root"), "{said}");
    assert!(home.ok(&["ca", "import", "corp", &ours]).contains("imported before"));
    home
}

struct Served {
    child: Child,
    port: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `openssl s_server` with what `cert issue` has written, at any free port.
fn serve(folder: &str) -> Served {
    let (crt, key) = (format!("{folder}/tls.crt"), format!("{folder}/tls.key"));
    let mut child = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert", &crt, "-key", &key])
        .args(["-cert_chain", &crt])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = said.map_while(Result::ok);
    let port =
        said.find_map(|line| Some(line.strip_prefix("ACCEPT ")?.rsplit_once(':')?.1.to_owned()));
    // What it says from here on nobody reads; it says little.
    Served { port: port.unwrap(), child }
}

fn curl(arguments: &[&str]) -> std::process::Output {
    let fixed = ["--silent", "--show-error", "--max-time", "20", "--noproxy", "*"];
    Command::new("curl").args(fixed).args(arguments).output().unwrap()
}

#[test]
fn what_our_issuing_ca_signs_is_served_to_who_knows_the_companys_root_alone() {
    if skip_without(&["openssl", "curl"]) {
        return;
    }
    let home = with_issuer();
    let company = Company { home: &home };
    let listed = home.json(&["ca", "list"]);
    assert_eq!(listed[0]["name"], "own");
    assert_eq!((&listed[1]["name"], &listed[1]["state"]), (&"corp".into(), &"in use".into()));
    let out = home.path("web").display().to_string();
    let issue = ["cert", "issue", "web.corp.example", "--issuer", "corp", "--usage", "server"];
    home.ok(&[&issue[..], &["--out", &out]].concat());
    let served = serve(&out);
    let url = format!("https://web.corp.example:{}/", served.port);
    let resolve = format!("web.corp.example:{}:127.0.0.1", served.port);
    let root = company.path("root.pem");
    let seen = curl(&["--cacert", &root, "--resolve", &resolve, &url]);
    assert!(seen.status.success(), "{}", text(&seen.stderr));
    let own = home.write("own.pem", &home.ok(&["ca", "bundle", "--own"]));
    let unseen = curl(&["--cacert", &own, "--resolve", &resolve, &url]);
    assert_eq!(unseen.status.code(), Some(60), "{}", text(&unseen.stderr));
    // What is somebody else's is not taken, and no key from elsewhere.
    let said = home.fails(1, &["ca", "import", "corp", &company.path("issuing.pem")]);
    assert!(said.contains("no certificate is for this key"), "{said}");
    let said = home.fails(1, &["ca", "import", "corp", &format!("{out}/bundle.pem")]);
    assert!(said.contains("private key"), "{said}");
    let own = home.run(&["ca", "request", "own", "--subject", "CN=x"]);
    assert!(!own.status.success() && text(&own.stderr).contains("own root"), "{own:?}");
    // Disabled, it signs nothing; revoked, its list says so.
    home.ok(&["ca", "disable", "corp"]);
    let said = home.fails(1, &[&issue[..], &["--out", &out]].concat());
    assert!(said.contains("disabled"), "{said}");
    home.ok(&["ca", "enable", "corp"]);
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
}

#[test]
fn what_our_issuing_ca_signs_opens_no_door_of_ours() {
    if skip_without(&["openssl", "curl"]) || skip_without_engine() {
        return;
    }
    let home = with_issuer();
    let _daemon = home.up();
    let api = home.json(&["status"])["api"].as_str().unwrap().to_owned();
    let url = format!("https://{api}/");
    let out = |name: &str| home.path(name).display().to_string();
    home.ok(&[
        "cert",
        "issue",
        "spy",
        "--issuer",
        "corp",
        "--usage",
        "client",
        "--out",
        &out("spy"),
    ]);
    home.ok(&["cert", "issue", "friend", "--usage", "client", "--out", &out("friend")]);
    let knock = |folder: &str| {
        let (crt, key) = (format!("{folder}/tls.crt"), format!("{folder}/tls.key"));
        curl(&["--insecure", "--cert", &crt, "--key", &key, "--output", "/dev/null", &url])
    };
    let friend = knock(&out("friend"));
    assert!(friend.status.success(), "{}", text(&friend.stderr));
    let spy = knock(&out("spy"));
    assert!(!spy.status.success(), "{}", text(&spy.stderr));
    let said = text(&spy.stderr);
    assert!(said.contains("alert"), "the handshake itself is refused: {said}");
}

#[test]
fn a_container_gets_the_companys_issuer_where_a_rule_gives_it() {
    if skip_without_engine() || skip_without_root() || skip_without(&["openssl"]) {
        return;
    }
    let mut home = with_issuer();
    home.set(&[("SEALOCK_AUTHORITY_ISSUERS", "corp,own")]);
    let rule = "permit (principal is Sealock::Service, action in [Sealock::Action::\"Cert::Issue\", \
         Sealock::Action::\"Cert::Renew\", Sealock::Action::\"Cert::Under\"], resource in Sealock::Domain::\"corp.example\")\n\
         when { context has issuer && context.issuer == \"corp\" };\n";
    fs::write(home.state().join("policy/corp.cedar"), rule).unwrap();
    let home = home;
    let company = Company { home: &home };
    let _daemon = home.up();
    let program = fs::read(env!("CARGO_BIN_EXE_sealock")).unwrap();
    let image = Image::with_files(&[("sealock", &program, 0o755)]);
    let scope = home.scope_label();
    let labels = [
        "web.dns=web.corp.example",
        "web.issuer=corp",
        "chosen.dns=chosen.corp.example",
        "plain.usage=server",
        "forbidden.issuer=corp",
    ];
    let labels: Vec<String> =
        labels.iter().map(|label| format!("--label=sealock.cert.{label}")).collect();
    let mut options = vec![scope.as_str(), "--tmpfs", "/run", "--network", "none"];
    options.extend(labels.iter().map(String::as_str));
    let serve = ["/sealock", "demo-server", "--certs", "/run/sealock/certs/web"];
    let container = image.start_command(&options, &serve);
    let name = container_name(&container);
    let refused = home.await_certificate(&name, "forbidden", "refused", |found| {
        found["state"] == "refused" && found["hint"].is_string()
    });
    assert!(refused["hint"].as_str().unwrap().contains("Cert::Under"), "{refused}");
    let root = company.path("root.pem");
    let own = home.write("own.pem", &home.ok(&["ca", "bundle", "--own"]));
    for (label, roots) in [("web", &root), ("chosen", &root), ("plain", &own)] {
        let found =
            home.await_certificate(&name, label, "delivered", |found| found["serial"].is_string());
        let serial = found["serial"].as_str().unwrap();
        let shown = home.ok(&["cert", "show", serial, "--pem"]);
        let leaf = home.write("leaf.pem", &shown[shown.find("-----BEGIN").unwrap()..]);
        let chain = home.json(&["ca", "list"]);
        let chain: String = chain
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one["held"]["chain"].as_str())
            .collect();
        let chain = home.write("chain.pem", &chain);
        let verify =
            ["verify", "-no-CApath", "-no-CAstore", "-CAfile", roots, "-untrusted", &chain];
        tool("openssl", &[&verify[..], &[&leaf]].concat());
        let text = tool("openssl", &["x509", "-in", &leaf, "-noout", "-text"]);
        assert_eq!(text.contains("spiffe://"), label == "plain", "{text}");
    }
}
