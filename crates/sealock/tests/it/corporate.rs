//! Where the company has its own CA (openssl here): the CSR goes out, and what comes back is served, whatever it comes
//! in.

use std::fs;

use sealock_testkit::clients::{skip_without, skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Container, Image};

use crate::support::{Home, text, tool};

/// What the company's CA adds to certificates.
const EXTENSIONS: &str = "\
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[issuing]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = ${ENV::NAMES}
authorityKeyIdentifier = keyid
[req]
distinguished_name = none
[none]
";

/// Root and intermediate of a company, in a folder of their own.
pub(crate) struct Company<'a> {
    pub(crate) home: &'a Home,
}

impl<'a> Company<'a> {
    pub(crate) fn new(home: &'a Home) -> Self {
        fs::create_dir(home.path("corp")).unwrap();
        fs::write(home.path("corp/ext.cnf"), EXTENSIONS).unwrap();
        let company = Self { home };
        company.root("root");
        company.authority("issuing", "root", &["-days", "3650"]);
        company
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.home.path("corp").join(name).display().to_string()
    }

    fn openssl(&self, names: &str, arguments: &[&str]) {
        let mut command = std::process::Command::new("openssl");
        let output = command.args(arguments).env("NAMES", names).output().unwrap();
        assert!(output.status.success(), "openssl {arguments:?}: {}", text(&output.stderr));
    }

    fn key(&self, name: &str) -> String {
        let key = self.path(&format!("{name}.key"));
        if !std::path::Path::new(&key).exists() {
            self.openssl(
                "",
                &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key],
            );
        }
        key
    }

    fn root(&self, name: &str) {
        let (key, out) = (self.key(name), self.path(&format!("{name}.pem")));
        let (config, subject) = (self.path("ext.cnf"), format!("/O=Corp/CN={name}"));
        let arguments = ["req", "-x509", "-new", "-key", &key, "-subj", &subject, "-days", "3650"];
        let more = ["-config", &config, "-extensions", "root", "-out", &out];
        self.openssl("DNS:none", &[&arguments[..], &more[..]].concat());
    }

    /// A CA below another one.
    fn authority(&self, name: &str, above: &str, more: &[&str]) {
        let (key, csr) = (self.key(name), self.path(&format!("{name}.csr")));
        let config = self.path("ext.cnf");
        let subject = format!("/O=Corp/CN={name}");
        let request = ["req", "-new", "-key", &key, "-subj", &subject, "-config", &config];
        self.openssl("DNS:none", &[&request[..], &["-out", &csr]].concat());
        self.certify(&csr, above, "issuing", "DNS:none", &format!("{name}.pem"), more);
    }

    pub(crate) fn certify(
        &self,
        csr: &str,
        above: &str,
        kind: &str,
        names: &str,
        out: &str,
        more: &[&str],
    ) {
        let (ca, key) = (self.path(&format!("{above}.pem")), self.path(&format!("{above}.key")));
        let (config, out) = (self.path("ext.cnf"), self.path(out));
        let sign = ["x509", "-req", "-in", csr, "-CA", &ca, "-CAkey", &key, "-CAcreateserial"];
        let as_ = ["-extfile", &config, "-extensions", kind, "-out", &out];
        self.openssl(names, &[&sign[..], &as_[..], more].concat());
    }

    /// Signs a CSR of ours; the certificate's file.
    pub(crate) fn sign(&self, csr: &str, names: &str) -> String {
        self.certify(csr, "issuing", "leaf", names, "leaf.pem", &["-days", "90"]);
        self.path("leaf.pem")
    }

    fn der(&self, name: &str) -> String {
        let (pem, der) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.cer")));
        self.openssl("", &["x509", "-in", &pem, "-outform", "DER", "-out", &der]);
        der
    }
}

pub(crate) const NAMES: &str = "DNS:www.corp.example,IP:10.0.0.5";

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

impl Company<'_> {
    /// What the company has signed comes back, in one form or another, and is imported.
    fn send_back(&self, form: &str, name: &str, leaf: &str) {
        let home = self.home;
        let (issuing, root) = (self.path("issuing.pem"), self.path("root.pem"));
        let read = |path: &str| fs::read_to_string(path).unwrap();
        let import = |files: &[&str]| home.ok(&[&["cert", "import", name], files].concat());
        match form {
            "pem" => import(&[&root, &issuing, leaf]),
            "der" => import(&[&self.der("issuing"), &self.der("leaf")]),
            "chain-in-pem" => {
                let text = format!("hello\n{}{}{}", read(&issuing), read(&root), read(leaf));
                import(&[&home.write("chain.txt", &text)])
            }
            "p7b" => {
                let p7b = home.path("web.p7b").display().to_string();
                let parts = ["-certfile", leaf, "-certfile", &issuing, "-certfile", &root];
                let make = ["crl2pkcs7", "-nocrl", "-outform", "DER", "-out", &p7b];
                tool("openssl", &[&make[..], &parts[..]].concat());
                import(&[&p7b])
            }
            "scan" => {
                fs::create_dir(home.path("mail")).unwrap();
                fs::copy(leaf, home.path("mail/yours.crt")).unwrap();
                fs::copy(self.der("issuing"), home.path("mail/ca.cer")).unwrap();
                home.write("mail/README", "nothing of ours");
                home.ok(&["cert", "import", "--scan", &home.path("mail").display().to_string()])
            }
            // Some CAs put certificates into a PKCS#12 without the key, which they do not have.
            "pfx" => {
                let pfx = self.pfx("web.pfx", &["-nokeys", "-in", leaf]);
                let wrong = home.write("wrong", "hunter3\n");
                let said =
                    home.fails(1, &["cert", "import", name, &pfx, "--password-file", &wrong]);
                assert!(said.contains("password is wrong") && !said.contains("hunter"), "{said}");
                import(&[&pfx, "--password-file", &home.path("password").display().to_string()])
            }
            // And some make the key themselves, whatever was asked.
            _ => {
                let (key, csr) = (self.key("theirs"), self.path("theirs.csr"));
                let config = self.path("ext.cnf");
                let make = ["req", "-new", "-key", &key, "-subj", "/CN=www.corp.example"];
                let make = [&make[..], &["-config", &config, "-out", &csr]].concat();
                self.openssl("DNS:none", &make);
                let leaf = self.sign(&csr, NAMES);
                let pfx = self.pfx("own.pfx", &["-inkey", &key, "-in", &leaf]);
                import(&[&pfx, "--password-file", &home.path("password").display().to_string()])
            }
        };
    }

    fn pfx(&self, name: &str, what: &[&str]) -> String {
        let password = self.home.write("password", "hunter2\n");
        let (pfx, sealed) =
            (self.home.path(name).display().to_string(), format!("file:{password}"));
        let issuing = self.path("issuing.pem");
        let rest = ["-certfile", &issuing, "-passout", &sealed, "-out", &pfx];
        tool("openssl", &[&["pkcs12", "-export"], what, &rest[..]].concat());
        pfx
    }
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

impl Company<'_> {
    /// An intermediate from when to when; only `openssl ca` can say that.
    fn dated(&self, name: &str, from: &str, to: &str) {
        let (key, csr) = (self.key(name), self.path(&format!("{name}.csr")));
        let config = self.path("ext.cnf");
        let subject = format!("/O=Corp/CN={name}");
        let request = ["req", "-new", "-key", &key, "-subj", &subject, "-config", &config];
        self.openssl("DNS:none", &[&request[..], &["-out", &csr]].concat());
        let database = self.path(&format!("{name}.db"));
        fs::write(&database, "").unwrap();
        let own = format!(
            "[ca]\ndefault_ca = it\n[it]\ndatabase = {database}\nnew_certs_dir = {}\ndefault_md = sha256\n\
             policy = any\nrand_serial = yes\n[any]\norganizationName = optional\ncommonName = supplied\n{EXTENSIONS}",
            self.path("")
        );
        let ca_config = self.path(&format!("{name}.cnf"));
        fs::write(&ca_config, own).unwrap();
        let (root, root_key) = (self.path("root.pem"), self.path("root.key"));
        let out = self.path(&format!("{name}.pem"));
        let sign = ["ca", "-batch", "-notext", "-config", &ca_config, "-in", &csr, "-cert", &root];
        let more = ["-keyfile", &root_key, "-startdate", from, "-enddate", to];
        let rest = ["-extensions", "issuing", "-out", &out];
        self.openssl("DNS:none", &[&sign[..], &more[..], &rest[..]].concat());
    }
}

pub(crate) fn container_name(container: &Container) -> String {
    container.inspect("{{.Name}}").trim_start_matches('/').to_owned()
}

#[test]
fn a_running_container_serves_it_and_then_the_next_one_without_a_restart() {
    if skip_without_engine() || skip_without_root() || skip_without(&["openssl"]) {
        return;
    }
    let mut home = trusting();
    let drop = home.path("drop");
    fs::create_dir(&drop).unwrap();
    let setting: &'static str = drop.display().to_string().leak();
    home.set(&[("SEALOCK_AUTHORITY_DROP_FOLDER", setting)]);
    let home = home;
    let company = Company { home: &home };
    let _daemon = home.up();
    let csr = request(&home, "shop", &[]);
    let program = fs::read(env!("CARGO_BIN_EXE_sealock")).unwrap();
    let image = Image::with_files(&[("sealock", &program, 0o755)]);
    let scope = home.scope_label();
    let certs = "/run/sealock/certs/web";
    let labels = ["imported=shop", "reload=signal:HUP", "verify=tls:8443"];
    let labels = labels.map(|label| format!("--label=sealock.cert.web.{label}"));
    let options =
        [&scope, "--tmpfs", "/run", "--network", "none", &labels[0], &labels[1], &labels[2]];
    let container = image.start_command(&options, &["/sealock", "demo-server", "--certs", certs]);
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
