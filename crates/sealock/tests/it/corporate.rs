//! Where the company has its own CA (openssl here): the CSR goes out, and what comes back is served, whatever it comes
//! in.

mod company;
mod purposes;
mod served;

use std::fs;

use sealock_testkit::clients::skip_without;
use sealock_testkit::docker::Container;

pub(crate) use self::company::{Company, NAMES};
use crate::support::{Home, tool};

pub(crate) fn request(home: &Home, name: &str, more: &[&str]) -> String {
    let wanted = ["cert", "request", name, "--subject", "CN=www.corp.example,OU=Shop,O=Corp"];
    let names = ["--dns", "www.corp.example", "--ip", "10.0.0.5"];
    let report = home.json(&[&wanted[..], &names[..], more].concat());
    report["csr_file"].as_str().unwrap().to_owned()
}

pub(crate) fn trusting() -> Home {
    let home = Home::initialised();
    let company = Company::new(&home);
    let root = company.path("root.pem");
    let added = home.json(&["trust", "add", &root, "--name", "corp"]);
    let shown = tool("openssl", &["x509", "-in", &root, "-noout", "-fingerprint", "-sha256"]);
    let shown = shown.trim().split_once('=').unwrap().1.replace(':', "").to_lowercase();
    assert_eq!(added[0]["fingerprint"], shown);
    home
}

/// What `cert files` writes is what openssl verifies, and key and certificate belong together.
fn files_verify(home: &Home, name: &str) -> String {
    let out = home.path(&format!("files-{name}")).display().to_string();
    home.ok(&["cert", "files", name, "--out", &out]);
    let (crt, key, ca) =
        (format!("{out}/tls.crt"), format!("{out}/tls.key"), format!("{out}/ca.crt"));
    let verify = ["verify", "-purpose", "sslserver", "-verify_hostname", "www.corp.example"];
    tool("openssl", &[&verify[..], &["-CAfile", &ca, "-untrusted", &crt, &crt]].concat());
    let of_key = tool("openssl", &["pkey", "-in", &key, "-pubout"]);
    assert_eq!(tool("openssl", &["x509", "-in", &crt, "-noout", "-pubkey"]), of_key);
    crt
}

pub(crate) fn container_name(container: &Container) -> String {
    container.inspect("{{.Name}}").trim_start_matches('/').to_owned()
}

#[test]
fn a_csr_goes_out_as_asked_for_and_what_comes_back_is_taken_in_every_form() {
    if skip_without(&["openssl"]) {
        return;
    }
    let home = trusting();
    let company = Company { home: &home };
    let csr = request(&home, "web", &[]);
    assert_eq!(csr, home.state().join("requests/web.csr").display().to_string());
    let shown = tool("openssl", &["req", "-in", &csr, "-noout", "-verify", "-text"]);
    for wanted in ["DNS:www.corp.example, IP Address:10.0.0.5", "TLS Web Server Authentication"] {
        assert!(shown.contains(wanted), "{shown}");
    }
    let subject = ["req", "-in", &csr, "-noout", "-subject", "-nameopt", "RFC2253"];
    let subject = tool("openssl", &subject);
    assert_eq!(subject.trim(), "subject=CN=www.corp.example,OU=Shop,O=Corp");
    let status = home.ok(&["status"]);
    assert!(status.contains("To do:") && status.contains("web: waits for a signature"), "{status}");
    assert!(home.ok(&["cert", "request", "web", "--show"]).contains("BEGIN CERTIFICATE REQUEST"));

    let forms = ["pem", "der", "p7b", "chain-in-pem", "scan", "pfx", "pfx-own-key"];
    for form in forms {
        let name = format!("web-{form}");
        let out = home.path("out").display().to_string();
        let csr = request(&home, &name, &["--out", &out]);
        let leaf = company.sign(&csr, NAMES);
        company.send_back(form, &name, &leaf);
        let crt = files_verify(&home, &name);
        assert_eq!(fs::read_to_string(&crt).unwrap().matches("BEGIN CERT").count(), 2, "{form}");
    }
    let log = home.ok(&["--json", "audit", "export"]);
    assert_eq!(log.matches("\"cert-imported\"").count(), forms.len());
    assert!(!log.contains("hunter"));
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
    let bundle = home.ok(&["ca", "bundle"]);
    assert!(bundle.contains(fs::read_to_string(company.path("root.pem")).unwrap().trim()));
    assert_eq!(home.ok(&["ca", "bundle", "--own"]).matches("BEGIN CERT").count(), 1);
}

#[test]
fn what_does_not_fit_is_refused_with_what_is_wrong_and_changes_nothing() {
    if skip_without(&["openssl"]) {
        return;
    }
    let home = trusting();
    let company = Company { home: &home };
    let csr = request(&home, "web", &[]);
    let before = home.json(&["cert", "requests"]);
    let issuing = company.path("issuing.pem");
    let refused = |files: &[&str], wanted: &str| {
        let said = home.fails(1, &[&["cert", "import", "web"], files].concat());
        assert!(said.contains(wanted), "{wanted}: {said}");
        assert_eq!(home.json(&["cert", "requests"]), before, "{wanted}");
    };
    let leaf = company.sign(&csr, NAMES);
    refused(&[&leaf], "the certificate of O=Corp, CN=issuing");
    company.root("unknown");
    company.authority("elsewhere", "unknown", &["-days", "30"]);
    company.certify(&csr, "elsewhere", "leaf", NAMES, "stray.pem", &["-days", "9"]);
    let (stray, elsewhere) = (company.path("stray.pem"), company.path("elsewhere.pem"));
    refused(&[&stray, &elsewhere, &company.path("unknown.pem")], "a root that is not known");
    // Two CAs that certify each other.
    company.authority("one", "unknown", &["-days", "30"]);
    company.authority("two", "one", &["-days", "30"]);
    let one_csr = company.path("one.csr");
    company.certify(&one_csr, "two", "issuing", "DNS:none", "one-by-two.pem", &["-days", "30"]);
    company.certify(&csr, "one", "leaf", NAMES, "round.pem", &["-days", "9"]);
    let round = ["round.pem", "one-by-two.pem", "two.pem"].map(|name| company.path(name));
    refused(&[&round[0], &round[1], &round[2]], "in a loop");
    let other = company.key("other");
    let (config, other_csr) = (company.path("ext.cnf"), company.path("other.csr"));
    let make = ["req", "-new", "-key", &other, "-subj", "/CN=x", "-config", &config];
    company.openssl("DNS:none", &[&make[..], &["-out", &other_csr]].concat());
    company.certify(&other_csr, "issuing", "leaf", NAMES, "other.pem", &["-days", "9"]);
    refused(&[&company.path("other.pem"), &issuing], "no certificate is for this key");
    company.certify(&csr, "issuing", "leaf", "DNS:www.corp.example", "few.pem", &["-days", "9"]);
    refused(&[&company.path("few.pem"), &issuing], "lacks names that were asked for: 10.0.0.5");
    let more = format!("{NAMES},DNS:bank.example");
    company.certify(&csr, "issuing", "leaf", &more, "more.pem", &["-days", "9"]);
    refused(&[&company.path("more.pem"), &issuing], "names that were not asked for: bank.example");
    // The issuer's own certificate is over, or not begun.
    for (name, from, to, wanted) in [
        ("late", "20200101000000Z", "20210101000000Z", "has expired"),
        ("early", "20980101000000Z", "20990101000000Z", "is valid only from"),
    ] {
        company.dated(name, from, to);
        company.certify(&csr, name, "leaf", NAMES, "dated.pem", &["-days", "9"]);
        let files = [company.path("dated.pem"), company.path(&format!("{name}.pem"))];
        let subject = format!("CN={name} {wanted}");
        refused(&[&files[0], &files[1]], &subject);
    }
    let rubbish = home.write("rubbish", "no certificate");
    refused(&[&rubbish], "no file of certificates");
    home.ok(&["cert", "import", "web", &company.path("more.pem"), &issuing, "--accept-names"]);
}
