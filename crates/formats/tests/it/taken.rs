//! What we write, each format taken by each program that can, for each kind of key.

use sealock_formats::{ChainOrder, KeyPlace, Protection, Target, write};
use sealock_testkit::clients::skip_without;

use crate::scene::{KINDS, PASSWORD, Scene, password};

const MODERN: Target = Target::Pkcs12 { protection: Protection::Modern, with_root: true };
const LEGACY: Target = Target::Pkcs12 { protection: Protection::Legacy, with_root: true };

impl Scene {
    fn make(&self, kind: &str, target: Target, name: &str) {
        let made = write(&self.material(kind), target, Some(&password())).unwrap();
        self.write(name, made.expose());
    }
}

#[test]
fn openssl_takes_pem_der_pkcs7_and_pkcs12() {
    if skip_without(&["openssl"]) {
        return;
    }
    let scene = Scene::new();
    for (kind, _) in KINDS {
        let public = scene.public_key(kind);
        for (place, order) in [
            (KeyPlace::First, ChainOrder::LeafFirst),
            (KeyPlace::Last, ChainOrder::LeafFirst),
            (KeyPlace::Last, ChainOrder::RootFirst),
        ] {
            scene.make(kind, Target::Pem { key: place, order, with_root: false }, "all.pem");
            let half = scene.ok("openssl", &["pkey", "-in", "all.pem", "-pubout"]);
            assert_eq!(half, public, "{kind} {place:?}");
            let first = scene.ok("openssl", &["x509", "-in", "all.pem", "-noout", "-subject"]);
            let leaf = order == ChainOrder::LeafFirst;
            assert_eq!(first.trim() == format!("subject=CN = {kind}"), leaf, "{first}");
        }
        scene.make(kind, Target::Der, "leaf.der");
        let leaf = ["x509", "-inform", "DER", "-in", "leaf.der", "-noout", "-pubkey"];
        assert_eq!(scene.ok("openssl", &leaf), public);
        scene.make(kind, Target::Pkcs7 { with_root: true }, "chain.p7b");
        let chain = scene.ok("openssl", &["pkcs7", "-in", "chain.p7b", "-print_certs", "-noout"]);
        let subjects: Vec<&str> =
            chain.lines().filter_map(|line| line.strip_prefix("subject=CN = ")).collect();
        assert_eq!(subjects, [kind, "chain", "root"]);
        for (target, flags, says) in [
            (MODERN, &[][..], ["PBES2, PBKDF2, AES-256-CBC", "MAC: sha256"]),
            (LEGACY, &["-legacy"][..], ["pbeWithSHA1And3-KeyTripleDES-CBC", "MAC: sha1"]),
        ] {
            scene.make(kind, target, "key.p12");
            let info = ["pkcs12", "-in", "key.p12", "-info", "-nokeys", "-passin", "pass:changeit"];
            let info = scene.ok("openssl", &[&info[..], flags].concat());
            for part in says {
                assert!(info.contains(part), "{info}");
            }
            assert!(info.contains("friendlyName: shop"), "{info}");
            assert_eq!(info.matches("BEGIN CERTIFICATE").count(), 3);
            assert_eq!(scene.public_half("key.p12", PASSWORD), public);
        }
    }
}

#[test]
fn gnutls_takes_pem_pkcs7_and_pkcs12() {
    if skip_without(&["openssl", "certtool"]) {
        return;
    }
    let scene = Scene::new();
    for (kind, _) in KINDS {
        for target in [MODERN, LEGACY] {
            scene.make(kind, target, "key.p12");
            let open = ["--p12-info", "--inder", "--infile", "key.p12", "--password", PASSWORD];
            let info = scene.ok("certtool", &open);
            assert_eq!(info.matches("BEGIN CERTIFICATE").count(), 3, "{info}");
            assert!(info.contains("PRIVATE KEY") && info.contains("Friendly name: shop"), "{info}");
        }
        scene.make(kind, Target::Pkcs7 { with_root: true }, "chain.p7b");
        let info = scene.ok("certtool", &["--p7-info", "--infile", "chain.p7b"]);
        assert!(info.contains("Number of certificates: 3"), "{info}");
        let key = KeyPlace::Absent;
        let order = ChainOrder::LeafFirst;
        scene.make(kind, Target::Pem { key, order, with_root: true }, "chain.pem");
        scene.ok("certtool", &["--verify-chain", "--infile", "chain.pem"]);
    }
}

#[test]
fn java_takes_pkcs7_pkcs12_and_its_own_key_stores() {
    if skip_without(&["openssl", "keytool"]) {
        return;
    }
    let scene = Scene::new();
    for (kind, _) in KINDS {
        let public = scene.public_key(kind);
        for (target, name, java) in [
            (MODERN, "key.p12", "PKCS12"),
            (LEGACY, "legacy.p12", "PKCS12"),
            (Target::Jks { with_root: true }, "key.jks", "JKS"),
        ] {
            scene.make(kind, target, name);
            let list = ["-list", "-v", "-keystore", name, "-storepass", PASSWORD];
            let list = scene.ok("keytool", &list);
            for part in [
                format!("Keystore type: {java}"),
                "Alias name: shop".to_owned(),
                "Entry type: PrivateKeyEntry".to_owned(),
                "Certificate chain length: 3".to_owned(),
            ] {
                assert!(list.contains(&part), "{kind} {name}: {part}\n{list}");
            }
            // That Java opens the key, its copy of it shows.
            let copy = format!("copy-of-{name}.p12");
            let from = ["-srckeystore", name, "-srcstoretype", java, "-srcstorepass", PASSWORD];
            let to = ["-destkeystore", &copy, "-deststoretype", "PKCS12", "-deststorepass"];
            let verb = ["-importkeystore", "-noprompt"];
            scene.ok("keytool", &[&verb[..], &from, &to, &["changed-it"]].concat());
            assert_eq!(scene.public_half(&copy, "changed-it"), public, "{kind} {name}");
            std::fs::remove_file(scene.path(&copy)).unwrap();
        }
        scene.make(kind, Target::Pkcs7 { with_root: true }, "chain.p7b");
        let printed = scene.ok("keytool", &["-printcert", "-file", "chain.p7b"]);
        assert_eq!(printed.matches("Owner: ").count(), 3, "{printed}");
        scene.make(kind, Target::Der, "leaf.der");
        let (key, order) = (KeyPlace::Absent, ChainOrder::LeafFirst);
        scene.make(kind, Target::Pem { key, order, with_root: true }, "chain.pem");
        for (name, certificates) in [("leaf.der", 1), ("chain.pem", 3)] {
            let printed = scene.ok("keytool", &["-printcert", "-file", name]);
            assert_eq!(printed.matches("Owner: ").count(), certificates, "{name}: {printed}");
            assert!(printed.contains(&format!("Owner: CN={kind}")), "{name}: {printed}");
        }
    }
    for (target, name, java) in [
        (Target::TrustStorePkcs12, "trust.p12", "PKCS12"),
        (Target::TrustStoreJks, "trust.jks", "JKS"),
    ] {
        scene.make("p256", target, name);
        let list = scene.ok("keytool", &["-list", "-v", "-keystore", name, "-storepass", PASSWORD]);
        assert!(list.contains(&format!("Keystore type: {java}")), "{list}");
        assert!(list.contains("Entry type: trustedCertEntry"), "{list}");
        assert!(list.contains("contains 1 entry") && list.contains("Owner: CN=root"), "{list}");
    }
    let info = ["pkcs12", "-in", "trust.p12", "-nokeys", "-passin", "pass:changeit"];
    let opened = scene.ok("openssl", &info);
    assert_eq!(opened.matches("BEGIN CERTIFICATE").count(), 1, "{opened}");
    assert!(opened.contains("friendlyName: shop") && opened.contains("CN = root"), "{opened}");
    let wrong = scene.run("keytool", &["-list", "-keystore", "trust.jks", "-storepass", "another"]);
    assert!(!wrong.status.success());
}

#[test]
fn nss_takes_pkcs12() {
    if skip_without(&["openssl", "pk12util", "certutil"]) {
        return;
    }
    let scene = Scene::new();
    // The NSS of Debian 12 imports no Ed25519 keys, whoever has written them.
    for kind in ["p256", "p384", "rsa"] {
        for (target, name) in [(MODERN, "modern"), (LEGACY, "legacy")] {
            scene.make(kind, target, "key.p12");
            let database = scene.nss(&format!("{kind}-{name}"));
            scene.ok("pk12util", &["-i", "key.p12", "-d", &database, "-W", PASSWORD]);
            let keys = scene.ok("certutil", &["-K", "-d", &database]);
            assert!(keys.contains("shop"), "{keys}");
            let list = scene.ok("certutil", &["-L", "-d", &database]);
            assert!(list.contains("u,u,u") && list.contains("chain"), "{list}");
        }
    }
}
