//! S/MIME and code signing by the company's CA: by a CSR that asks for that, and by our issuing CA below its root; and
//! what its CA adds to names.

use std::fs;

use sealock_testkit::clients::skip_without;

use super::{Company, trusting};
use crate::support::{Home, text, tool};

/// A leaf of the company's for this, with these names.
fn kind(name: &str, purposes: &str, usage: &str) -> String {
    format!(
        "[{name}]\nbasicConstraints = critical, CA:FALSE\nkeyUsage = critical, {usage}\n\
         extendedKeyUsage = {purposes}\nsubjectAltName = ${{ENV::NAMES}}\nauthorityKeyIdentifier = keyid\n"
    )
}

const ADDRESS: &str = "email:jo@corp.example";

impl Company<'_> {
    fn with_kinds(&self) {
        let path = self.path("ext.cnf");
        let mut whole = fs::read_to_string(&path).unwrap();
        whole.push_str(&kind("mail", "emailProtection", "digitalSignature, keyAgreement"));
        whole.push_str(&kind("software", "codeSigning", "digitalSignature"));
        whole.push_str(&kind("upn", "serverAuth", "digitalSignature"));
        whole.push_str("[person]\nO = Corp\nCN = Jo\n");
        fs::write(path, whole).unwrap();
    }

    /// What it signs of this kind; the certificate's file.
    fn signed(&self, csr: &str, kind: &str, names: &str) -> String {
        self.certify(csr, "issuing", kind, names, "special.pem", &["-days", "90"]);
        self.path("special.pem")
    }
}

fn csr_of(home: &Home, name: &str, more: &[&str]) -> String {
    let report = home.json(&[&["cert", "request", name], more].concat());
    report["csr_file"].as_str().unwrap().to_owned()
}

/// Signs a message by what is in a folder, and has openssl look at it as whoever knows the company's root alone.
fn signs(home: &Home, folder: &str, purpose: &str, company: &Company<'_>) {
    let message = home.write("message", "hello\n");
    let crt = format!("{folder}/tls.crt");
    let signed = home.path("message.p7s").display().to_string();
    let key = format!("{folder}/tls.key");
    // Without the certificate itself, which `-signer` gives.
    let above = fs::read_to_string(&crt).unwrap();
    let (_, above) = above.split_once("-----END CERTIFICATE-----\n").unwrap();
    let above = home.write("above.pem", above);
    let sign = ["cms", "-sign", "-binary", "-md", "sha256", "-in", &message, "-signer", &crt];
    let more = ["-inkey", &key, "-certfile", &above, "-outform", "DER", "-out", &signed];
    tool("openssl", &[&sign[..], &more].concat());
    let root = company.path("root.pem");
    let fixed = ["-no-CApath", "-no-CAstore", "-CAfile", &root, "-purpose", purpose];
    let verify = ["cms", "-verify", "-binary", "-inform", "DER", "-in", &signed];
    let content = ["-content", &message, "-out", "/dev/null"];
    tool("openssl", &[&verify[..], &content, &fixed].concat());
}

#[test]
fn an_s_mime_and_a_code_signing_certificate_of_the_company_are_asked_for_and_taken() {
    if skip_without(&["openssl"]) {
        return;
    }
    let home = trusting();
    let company = Company { home: &home };
    company.with_kinds();
    let issuing = company.path("issuing.pem");
    for mixed in ["server,email", "client,code", "code,email"] {
        let asked = ["cert", "request", "jo", "--usage", mixed, "--email", "jo@corp.example"];
        let said = home.fails(64, &asked);
        assert!(said.contains("no certificate is for") && said.contains("hint:"), "{said}");
    }
    home.fails(64, &["cert", "request", "jo", "--usage", "email", "--dns", "www.corp.example"]);

    let csr = csr_of(&home, "jo", &["--usage", "email", "--email", "jo@corp.example"]);
    let shown = tool("openssl", &["req", "-in", &csr, "-noout", "-verify", "-text"]);
    for part in ["E-mail Protection", ADDRESS, "Digital Signature, Key Agreement"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("TLS Web"), "{shown}");
    // For a server, or for code: not what was asked for.
    for kind in ["leaf", "software"] {
        let other = company.signed(&csr, kind, ADDRESS);
        let said = home.fails(1, &["cert", "import", "jo", &other, &issuing]);
        assert!(said.contains("does not permit the usage email"), "{kind}: {said}");
    }
    let leaf = company.signed(&csr, "mail", ADDRESS);
    home.ok(&["cert", "import", "jo", &leaf, &issuing]);
    let out = home.path("jo").display().to_string();
    home.ok(&["cert", "files", "jo", "--out", &out]);
    signs(&home, &out, "smimesign", &company);

    let asked = ["--usage", "code", "--subject", "CN=Release,O=Corp", "--dns", "corp.example"];
    let csr = csr_of(&home, "release", &[&asked[..], &["--key-type", "p384"]].concat());
    let shown = tool("openssl", &["req", "-in", &csr, "-noout", "-text"]);
    assert!(shown.contains("Code Signing") && !shown.contains("E-mail Protection"), "{shown}");
    let other = company.signed(&csr, "mail", "DNS:corp.example");
    let said = home.fails(1, &["cert", "import", "release", &other, &issuing]);
    assert!(said.contains("does not permit the usage code"), "{said}");
    let leaf = company.signed(&csr, "software", "DNS:corp.example");
    home.ok(&["cert", "import", "release", &leaf, &issuing]);
    let out = home.path("release").display().to_string();
    home.ok(&["cert", "files", "release", "--out", &out]);
    signs(&home, &out, "any", &company);
    let report = home.json(&["cert", "report"]);
    for (name, usage) in [("jo", "email"), ("release", "code")] {
        let all = report["certificates"].as_array().unwrap();
        let one = all.iter().find(|one| one["name"] == name).unwrap();
        assert_eq!(one["usages"], serde_json::json!([usage]));
    }
    // A CA that is for servers alone has signed it: that CA is named.
    let csr = csr_of(&home, "al", &["--usage", "email", "--email", "al@corp.example"]);
    let ext = company.path("ext.cnf");
    let servers = "[servers]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n\
                   extendedKeyUsage = serverAuth\nsubjectKeyIdentifier = hash\n";
    fs::write(&ext, fs::read_to_string(&ext).unwrap() + servers).unwrap();
    company.authority("tls-only", "root", &["-days", "30"]);
    let again = company.path("tls-only.csr");
    company.certify(&again, "root", "servers", "DNS:none", "tls-only.pem", &["-days", "30"]);
    company.certify(&csr, "tls-only", "mail", "email:al@corp.example", "al.pem", &["-days", "9"]);
    let (al, above) = (company.path("al.pem"), company.path("tls-only.pem"));
    let said = home.fails(1, &["cert", "import", "al", &al, &above]);
    assert!(said.contains("CN=tls-only does not permit the usage email"), "{said}");
}

#[test]
fn our_issuing_ca_below_the_companys_root_signs_e_mail_and_code() {
    if skip_without(&["openssl"]) {
        return;
    }
    let home = trusting();
    let company = Company { home: &home };
    let csr = home.path("ours.csr").display().to_string();
    home.ok(&["ca", "request", "corp", "--subject", "CN=Issuing,O=Corp", "--csr", &csr]);
    company.certify(&csr, "root", "issuing", "DNS:none", "ours.pem", &["-days", "365"]);
    home.ok(&["ca", "import", "corp", &company.path("ours.pem")]);
    let listed = home.json(&["ca", "list"]);
    let permits = serde_json::json!(["server", "client", "code", "email", "ocsp"]);
    assert_eq!(listed[1]["held"]["permits"], permits);
    let out = |name: &str| home.path(name).display().to_string();
    let (jo, release) = (out("jo"), out("release"));
    let issue = ["cert", "issue", "jo", "--profile", "email", "--email", "jo@corp.example"];
    home.ok(&[&issue[..], &["--issuer", "corp", "--out", &jo]].concat());
    signs(&home, &jo, "smimesign", &company);
    let issue = ["cert", "issue", "release", "--usage", "code", "--dns", "release.corp.example"];
    home.ok(&[&issue[..], &["--issuer", "corp", "--out", &release]].concat());
    signs(&home, &release, "any", &company);
    // The same key, signed for servers alone: from then on the refusal is true.
    let ext = company.path("ext.cnf");
    let servers = "[tls]\nbasicConstraints = critical, CA:TRUE, pathlen:0\nkeyUsage = critical, keyCertSign, cRLSign\n\
                   subjectKeyIdentifier = hash\nextendedKeyUsage = serverAuth, clientAuth\n";
    fs::write(&ext, fs::read_to_string(&ext).unwrap() + servers).unwrap();
    company.certify(&csr, "root", "tls", "DNS:none", "ours.pem", &["-days", "365"]);
    home.ok(&["ca", "import", "corp", &company.path("ours.pem")]);
    let issue = ["cert", "issue", "jo", "--profile", "email", "--email", "jo@corp.example"];
    let said = home.fails(1, &[&issue[..], &["--issuer", "corp", "--out", &jo]].concat());
    assert!(said.contains("does not permit the usage email"), "{said}");
    assert!(said.contains("extended key usage of a CA in it lacks that"), "{said}");
}

#[test]
fn a_users_principal_name_that_the_company_adds_is_named_and_taken_when_that_is_said() {
    if skip_without(&["openssl"]) {
        return;
    }
    let home = trusting();
    let company = Company { home: &home };
    company.with_kinds();
    let csr = csr_of(&home, "web", &["--dns", "www.corp.example", "--usage", "server"]);
    let names = "DNS:www.corp.example,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:jo@corp.example,\
                 dirName:person,RID:1.2.3.4,URI:https://www.corp.example/";
    let leaf = company.signed(&csr, "upn", names);
    let issuing = company.path("issuing.pem");
    let import = ["cert", "import", "web", &leaf, &issuing];
    let said = home.fails(1, &import);
    let wanted =
        "were not asked for: https://www.corp.example/, otherName, directoryName, registeredID";
    assert!(said.contains(wanted) && said.contains("--accept-names"), "{said}");
    home.ok(&[&import[..], &["--accept-names"]].concat());
    let out = home.path("web").display().to_string();
    home.ok(&["cert", "files", "web", "--out", &out]);
    let crt = format!("{out}/tls.crt");
    let shown = tool("openssl", &["x509", "-in", &crt, "-noout", "-ext", "subjectAltName"]);
    assert!(shown.contains("othername") && shown.contains("Registered ID"), "{shown}");
    let output = home.run(&["cert", "requests"]);
    assert!(text(&output.stdout).contains("in use"), "{output:?}");
}
