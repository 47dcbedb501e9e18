//! A folder with certificates that openssl has made, and the programs that are run on it.

use std::path::PathBuf;
use std::process::{Command, Output};

use sealock_core::SecretBytes;
use sealock_formats::{Contents, Material, read};

pub(crate) const PASSWORD: &str = "changeit";

/// The kinds of keys, and how openssl is asked for them.
pub(crate) const KINDS: [(&str, &[&str]); 4] = [
    ("p256", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ("p384", &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]),
    ("ed25519", &["ed25519"]),
    ("rsa", &["rsa:2048"]),
];

pub(crate) fn password() -> SecretBytes {
    SecretBytes::new(PASSWORD.into())
}

/// A scratch folder. In it, for each kind of key: `KIND.key`, `KIND.crt`, and `chain.crt`, `root.crt` over them.
pub(crate) struct Scene(tempfile::TempDir);

impl Scene {
    pub(crate) fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        let authority = "basicConstraints=critical,CA:TRUE";
        let ec = KINDS[0].1;
        let root = ["req", "-x509", "-nodes", "-subj", "/CN=root", "-addext", authority];
        let files = ["-keyout", "root.key", "-out", "root.crt", "-newkey"];
        scene.ok("openssl", &[&root[..], &files, ec].concat());
        scene.sign("chain", ec, "root", Some(authority));
        for (kind, key) in KINDS {
            scene.sign(kind, key, "chain", None);
        }
        scene
    }

    fn sign(&self, name: &str, key: &[&str], by: &str, extension: Option<&str>) {
        let [secret, request, made, ca, ca_key] = [
            format!("{name}.key"),
            format!("{name}.csr"),
            format!("{name}.crt"),
            format!("{by}.crt"),
            format!("{by}.key"),
        ];
        let subject = format!("/CN={name}");
        let mut ask = vec!["req", "-new", "-nodes", "-subj", &subject, "-keyout", &secret];
        ask.extend(["-out", &request]);
        ask.extend(extension.iter().flat_map(|extension| ["-addext", extension]));
        ask.push("-newkey");
        ask.extend(key);
        self.ok("openssl", &ask);
        let sign = ["x509", "-req", "-copy_extensions", "copy", "-in", &request, "-out", &made];
        self.ok("openssl", &[&sign[..], &["-CA", &ca, "-CAkey", &ca_key, "-days", "30"]].concat());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Contents {
        read(&self.bytes(name), Some(&password()))
            .unwrap_or_else(|error| panic_on(name, &error.to_string()))
    }

    /// What is in the folder of one kind, as we write it.
    pub(crate) fn material(&self, kind: &str) -> Material {
        let take = |name: &str| self.read(name).certificates;
        Material {
            key: self.read(&format!("{kind}.key")).keys.pop(),
            leaf: take(&format!("{kind}.crt")).pop(),
            intermediates: take("chain.crt"),
            roots: take("root.crt"),
            alias: "shop".to_owned(),
        }
    }

    /// A program, standing in the folder.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.0.path()).env("HOME", self.0.path());
        command.output().unwrap()
    }

    /// The same, which has to succeed; all that it says.
    pub(crate) fn ok(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if !output.status.success() {
            panic_on(&format!("{program} {arguments:?}"), &said);
        }
        said
    }

    /// The public key of a certificate.
    pub(crate) fn public_key(&self, kind: &str) -> String {
        let certificate = format!("{kind}.crt");
        self.ok("openssl", &["x509", "-noout", "-pubkey", "-in", &certificate])
    }

    /// The public half of the private key in a PKCS#12 file.
    pub(crate) fn public_half(&self, pkcs12: &str, password: &str) -> String {
        let password = format!("pass:{password}");
        let open = ["pkcs12", "-legacy", "-in", pkcs12, "-nocerts", "-nodes", "-passin", &password];
        self.ok("openssl", &[&open[..], &["-out", "opened.key"]].concat());
        self.ok("openssl", &["pkey", "-in", "opened.key", "-pubout"])
    }

    /// An empty database of NSS.
    pub(crate) fn nss(&self, name: &str) -> String {
        std::fs::create_dir(self.path(name)).unwrap();
        let database = format!("sql:{}", self.path(name).display());
        self.ok("certutil", &["-N", "-d", &database, "--empty-password"]);
        database
    }
}

#[expect(clippy::panic, reason = "a test fails by panicking")]
pub(crate) fn panic_on(what: &str, why: &str) -> ! {
    panic!("{what}: {why}")
}
