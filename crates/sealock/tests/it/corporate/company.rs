//! A company with a CA of its own (openssl), and how it sends back what it has signed.

use std::fs;

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

    pub(super) fn openssl(&self, names: &str, arguments: &[&str]) {
        let mut command = std::process::Command::new("openssl");
        let output = command.args(arguments).env("NAMES", names).output().unwrap();
        assert!(output.status.success(), "openssl {arguments:?}: {}", text(&output.stderr));
    }

    pub(super) fn key(&self, name: &str) -> String {
        let key = self.path(&format!("{name}.key"));
        if !std::path::Path::new(&key).exists() {
            self.openssl(
                "",
                &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key],
            );
        }
        key
    }

    pub(super) fn root(&self, name: &str) {
        let (key, out) = (self.key(name), self.path(&format!("{name}.pem")));
        let (config, subject) = (self.path("ext.cnf"), format!("/O=Corp/CN={name}"));
        let arguments = ["req", "-x509", "-new", "-key", &key, "-subj", &subject, "-days", "3650"];
        let more = ["-config", &config, "-extensions", "root", "-out", &out];
        self.openssl("DNS:none", &[&arguments[..], &more[..]].concat());
    }

    /// A CA below another one.
    pub(super) fn authority(&self, name: &str, above: &str, more: &[&str]) {
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

    pub(crate) fn der(&self, name: &str) -> String {
        let (pem, der) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.cer")));
        self.openssl("", &["x509", "-in", &pem, "-outform", "DER", "-out", &der]);
        der
    }
}

/// What certificates of these tests are for.
pub(crate) const NAMES: &str = "DNS:www.corp.example,IP:10.0.0.5";

impl Company<'_> {
    /// An intermediate from when to when; only `openssl ca` can say that.
    pub(super) fn dated(&self, name: &str, from: &str, to: &str) {
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

impl Company<'_> {
    /// What the company has signed comes back, in one form or another, and is imported.
    pub(crate) fn send_back(&self, form: &str, name: &str, leaf: &str) {
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
            "p7b" => import(&[&self.p7b("web.p7b", "DER", leaf)]),
            "p7b-pem" => import(&[&self.p7b("web.pem", "PEM", leaf)]),
            // Into the folder that the daemon looks into.
            "drop" => {
                let p7b = self.p7b("dropped.p7b", "DER", leaf);
                fs::copy(p7b, home.path("drop/shop.p7b")).unwrap();
                String::new()
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
                let (key, csr) = (self.key(form), self.path("theirs.csr"));
                let config = self.path("ext.cnf");
                let make = ["req", "-new", "-key", &key, "-subj", "/CN=www.corp.example"];
                let make = [&make[..], &["-config", &config, "-out", &csr]].concat();
                self.openssl("DNS:none", &make);
                let leaf = self.sign(&csr, NAMES);
                // RC2 and Triple DES, as old programs write it.
                let old: &[&str] = if form.contains("legacy") { &["-legacy"] } else { &[] };
                let pfx = self.pfx("own.pfx", &[&["-inkey", &key, "-in", &leaf], old].concat());
                import(&[&pfx, "--password-file", &home.path("password").display().to_string()])
            }
        };
    }

    fn p7b(&self, name: &str, form: &str, leaf: &str) -> String {
        let (issuing, root) = (self.path("issuing.pem"), self.path("root.pem"));
        let p7b = self.home.path(name).display().to_string();
        let parts = ["-certfile", leaf, "-certfile", &issuing, "-certfile", &root];
        let make = ["crl2pkcs7", "-nocrl", "-outform", form, "-out", &p7b];
        tool("openssl", &[&make[..], &parts[..]].concat());
        p7b
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
