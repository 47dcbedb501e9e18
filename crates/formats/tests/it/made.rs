//! What others write, read by us: the key is the right one, and each certificate is there in its order.

use sealock_formats::{Format, ReadError, belongs, read};
use sealock_testkit::clients::skip_without;

use crate::scene::{KINDS, PASSWORD, Scene, password};

impl Scene {
    /// A file with a key, which is read under the password and under no other.
    fn holds(&self, name: &str, kind: &str, format: Format, certificates: usize) {
        let contents = self.read(name);
        let leaf = &self.read(&format!("{kind}.crt")).certificates[0];
        assert_eq!(contents.format, format, "{name} {kind}");
        assert_eq!(contents.certificates.len(), certificates, "{name} {kind}");
        assert_eq!(contents.keys.len(), 1, "{name} {kind}");
        assert!(belongs(&contents.keys[0], leaf), "{name} {kind}");
        if certificates > 0 {
            assert_eq!(&contents.certificates[0], leaf, "{name} {kind}");
        }
        let wrong = sealock_core::SecretBytes::new(b"another".to_vec());
        let refused = read(&self.bytes(name), Some(&wrong)).unwrap_err();
        assert_eq!(refused, ReadError::WrongPassword, "{name} {kind}");
    }
}

const UNDER: [&str; 2] = ["-passout", "pass:changeit"];

#[test]
fn openssl_has_written_it() {
    if skip_without(&["openssl"]) {
        return;
    }
    let scene = Scene::new();
    let chain = [scene.bytes("chain.crt"), scene.bytes("root.crt")].concat();
    scene.write("above.pem", &chain);
    for (kind, _) in KINDS {
        let (key, certificate) = (format!("{kind}.key"), format!("{kind}.crt"));
        let bundle = ["-inkey", &key, "-in", &certificate, "-certfile", "above.pem"];
        for flags in [
            &[][..],
            &["-legacy"],
            &["-legacy", "-keypbe", "PBE-SHA1-RC2-40", "-certpbe", "PBE-SHA1-RC2-128"],
            &["-keypbe", "AES-192-CBC", "-certpbe", "NONE", "-macalg", "sha384"],
            &["-iter", "100000"],
        ] {
            let verb = ["pkcs12", "-export", "-out", "key.p12"];
            scene.ok("openssl", &[&verb[..], &bundle, &UNDER, flags].concat());
            scene.holds("key.p12", kind, Format::Pkcs12, 3);
        }
        for flags in [
            &[][..],
            &["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"],
            &["-v2", "des3"],
            &["-v1", "PBE-SHA1-3DES"],
        ] {
            for form in ["PEM", "DER"] {
                let verb = ["pkcs8", "-topk8", "-in", &key, "-out", "shut.key", "-outform", form];
                scene.ok("openssl", &[&verb[..], &UNDER, flags].concat());
                let format = if form == "PEM" { Format::Pem } else { Format::Der };
                scene.holds("shut.key", kind, format, 0);
            }
        }
        let p7 = ["crl2pkcs7", "-nocrl", "-certfile", &certificate, "-certfile", "above.pem"];
        for form in ["PEM", "DER"] {
            scene.ok("openssl", &[&p7[..], &["-outform", form, "-out", "chain.p7b"]].concat());
            let contents = scene.read("chain.p7b");
            assert_eq!(contents.certificates.len(), 3);
            assert!(contents.keys.is_empty());
        }
    }
    for (verb, kind) in [("ec", "p256"), ("rsa", "rsa")] {
        let key = format!("{kind}.key");
        let old: &[&str] = if verb == "rsa" { &["-traditional"] } else { &[] };
        let out = ["-in", &key, "-out", "old.key"];
        scene.ok("openssl", &[&[verb][..], &out, old].concat());
        let text = String::from_utf8(scene.bytes("old.key")).unwrap();
        assert!(text.contains("BEGIN EC PRIVATE KEY") || text.contains("BEGIN RSA PRIVATE KEY"));
        assert_eq!(scene.read("old.key").keys, scene.read(&key).keys);
    }
}

#[test]
fn java_has_written_it() {
    if skip_without(&["openssl", "keytool"]) {
        return;
    }
    let scene = Scene::new();
    for (kind, _) in KINDS {
        let (key, certificate) = (format!("{kind}.key"), format!("{kind}.crt"));
        let bundle = ["-inkey", &key, "-in", &certificate, "-certfile", "chain.crt"];
        let name = ["pkcs12", "-export", "-out", "from.p12", "-name", "shop"];
        scene.ok("openssl", &[&name[..], &bundle, &UNDER].concat());
        for (options, out) in
            [(&[][..], "java.p12"), (&["-J-Dkeystore.pkcs12.legacy"], "java-legacy.p12")]
        {
            let from = ["-importkeystore", "-srckeystore", "from.p12", "-srcstorepass", PASSWORD];
            let to = ["-destkeystore", out, "-deststoretype", "PKCS12", "-deststorepass", PASSWORD];
            scene.ok("keytool", &[options, &from, &to].concat());
            scene.holds(out, kind, Format::Pkcs12, 2);
            std::fs::remove_file(scene.path(out)).unwrap();
        }
    }
    let import = ["-importcert", "-noprompt", "-alias", "root", "-file", "root.crt"];
    let trust = ["-keystore", "trust.p12", "-storetype", "PKCS12", "-storepass", PASSWORD];
    scene.ok("keytool", &[&import[..], &trust].concat());
    let contents = scene.read("trust.p12");
    assert_eq!(contents.certificates, scene.read("root.crt").certificates);
    let old = ["-keystore", "trust.jks", "-storetype", "JKS", "-storepass", PASSWORD];
    scene.ok("keytool", &[&import[..], &old].concat());
    let refused = read(&scene.bytes("trust.jks"), Some(&password())).unwrap_err();
    assert_eq!(refused, ReadError::JavaKeyStore);
}

#[test]
fn nss_has_written_it() {
    if skip_without(&["openssl", "pk12util", "certutil"]) {
        return;
    }
    let scene = Scene::new();
    for kind in ["p256", "p384", "rsa"] {
        let (key, certificate) = (format!("{kind}.key"), format!("{kind}.crt"));
        let bundle = ["-inkey", &key, "-in", &certificate, "-certfile", "chain.crt"];
        let name = ["pkcs12", "-export", "-out", "from.p12", "-name", "shop"];
        scene.ok("openssl", &[&name[..], &bundle, &UNDER].concat());
        let database = scene.nss(kind);
        scene.ok("pk12util", &["-i", "from.p12", "-d", &database, "-W", PASSWORD]);
        for cipher in [
            &[][..],
            &["-c", "AES-256-CBC", "-C", "AES-128-CBC"],
            &["-c", "PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC"],
        ] {
            let out = ["-o", "nss.p12", "-n", "shop", "-d", &database, "-W", PASSWORD];
            scene.ok("pk12util", &[&out[..], cipher].concat());
            let contents = scene.read("nss.p12");
            let leaf = &scene.read(&certificate).certificates[0];
            assert!(belongs(&contents.keys[0], leaf) && contents.certificates.contains(leaf));
            assert_eq!(scene.bytes("nss.p12").get(..2), Some(&[0x30, 0x80][..]), "BER");
        }
    }
}
