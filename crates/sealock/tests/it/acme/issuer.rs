//! A client of others, and the company's CA: a profile whose certificates come from our issuing CA under its root.

use sealock_testkit::clients::skip_without;

use super::{RULE, Scene, good};
use crate::corporate::Company;
use crate::support::tool;

const UNDER: &str = "permit (principal in Sealock::Group::\"acme\", action == Sealock::Action::\"Cert::Under\", resource in Sealock::Domain::\"acme.test\");\n";

#[test]
fn lego_gets_a_certificate_that_whoever_knows_the_companys_root_accepts() {
    if skip_without(&["lego", "openssl"]) {
        return;
    }
    let scene = Scene::with("[acme.profiles.server]\nissuer = \"corp\"\n");
    let company = Company::new(&scene.home);
    let root = company.path("root.pem");
    scene.home.ok(&["trust", "add", &root, "--name", "corp"]);
    let csr = scene.home.path("ours.csr").display().to_string();
    let subject = "CN=Docker Issuing CA,DC=corp,DC=example";
    scene.home.ok(&["ca", "request", "corp", "--subject", subject, "--csr", &csr]);
    company.certify(&csr, "root", "issuing", "DNS:none", "ours.pem", &["-days", "365"]);
    scene.home.ok(&["ca", "import", "corp", &company.path("ours.pem")]);
    let (name, http) = ("corp.acme.test", format!("127.0.0.1:{}", scene.http));
    let lego = |folder: &str, action: &[&str]| {
        let mut command = scene.client("lego");
        command.args(["--server", &scene.server, "--accept-tos", "--email", "jo@corp.example"]);
        command.arg("--path").arg(scene.path(folder)).args(["--domains", name]);
        command.args(["--http", "--http.port", &http]).args(action);
        command.env("LEGO_CA_CERTIFICATES", &scene.root).output().unwrap()
    };
    // The right to the certificate alone does not give the company's issuer.
    let refused = lego("refused", &["run"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("rejectedIdentifier"), "{said}");
    crate::gateway::permit(&scene.home, &[RULE, UNDER].concat());
    good(&lego("lego", &["run"]));
    let chain = scene.path(&format!("lego/certificates/{name}.crt"));
    let chain = chain.to_str().unwrap();
    let fixed = ["verify", "-no-CApath", "-no-CAstore", "-purpose", "sslserver"];
    let with = ["-verify_hostname", name, "-CAfile", &root, "-untrusted", chain, chain];
    tool("openssl", &[&fixed[..], &with].concat());
    let issuer = tool("openssl", &["x509", "-noout", "-issuer", "-in", chain]);
    assert!(issuer.contains("Docker Issuing CA"), "{issuer}");
    let first = scene.serial(name);
    good(&lego("lego", &["renew", "--days", "1000", "--no-random-sleep"]));
    tool("openssl", &[&fixed[..], &with].concat());
    assert_ne!(scene.serial(name), first);
    good(&lego("lego", &["revoke"]));
}
