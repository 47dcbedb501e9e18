//! Java's trust stores, changed by us and read by keytool.

use sealock_formats::TrustStore;
use sealock_testkit::clients::{skip, skip_without};

use crate::scene::{PASSWORD, Scene, password};

impl Scene {
    /// Puts a root into a store, as somebody does who trusts it.
    fn trust(&self, store: &str, java: &str, open: bool) {
        let base = ["-importcert", "-noprompt", "-alias", "corp", "-file", "chain.crt"];
        let to = ["-keystore", store, "-storetype", java, "-storepass", PASSWORD];
        // As the JDK's own is since 18.
        let plain = [
            "-J-Dkeystore.pkcs12.macAlgorithm=NONE",
            "-J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE",
        ];
        self.ok("keytool", &[&base[..], &to, if open { &plain } else { &[] }].concat());
    }

    fn add(&self, store: &str) {
        let mut changed = TrustStore::read(&self.bytes(store), &password()).unwrap();
        changed.add("sealock-1", &self.material("p256").roots[0]).unwrap();
        self.write(store, changed.write(&password()).unwrap().expose());
    }

    fn list(&self, store: &str) -> String {
        self.ok("keytool", &["-list", "-keystore", store, "-storepass", PASSWORD])
    }
}

#[test]
fn java_trusts_what_was_added_to_a_store_and_all_that_was_there() {
    if skip_without(&["openssl", "keytool"]) {
        return;
    }
    let scene = Scene::new();
    for (store, java, open) in
        [("a.jks", "JKS", false), ("a.p12", "PKCS12", false), ("open.p12", "PKCS12", true)]
    {
        scene.trust(store, java, open);
        scene.add(store);
        let list = scene.list(store);
        assert!(list.contains(&format!("Keystore type: {java}")), "{list}");
        assert!(list.contains("contains 2 entries"), "{list}");
        for alias in ["corp, ", "sealock-1, "] {
            let entry = list.lines().find(|line| line.starts_with(alias)).unwrap_or_default();
            assert!(entry.ends_with("trustedCertEntry, "), "{store}: {list}");
        }
        // A store without a password stays one.
        let without = scene.run("keytool", &["-list", "-keystore", store, "-storepass", "another"]);
        assert_eq!(without.status.success(), open, "{store}");
        // Java changes it in turn, and we read that.
        scene.ok(
            "keytool",
            &["-delete", "-alias", "corp", "-keystore", store, "-storepass", PASSWORD],
        );
        let left = TrustStore::read(&scene.bytes(store), &password()).unwrap();
        assert_eq!(left.trusted(), [("sealock-1", &*scene.material("p256").roots[0])]);
    }
}

#[test]
fn a_private_key_in_a_store_is_opened_by_java_after_it_was_changed() {
    if skip_without(&["openssl", "keytool"]) {
        return;
    }
    let scene = Scene::new();
    for (store, java) in [("a.jks", "JKS"), ("a.p12", "PKCS12")] {
        let made = ["-genkeypair", "-alias", "own", "-keyalg", "EC", "-dname", "CN=own"];
        let to = ["-keystore", store, "-storetype", java, "-storepass", PASSWORD];
        scene.ok("keytool", &[&made[..], &to, &["-keypass", PASSWORD]].concat());
        scene.add(store);
        let list = scene.list(store);
        assert!(list.contains("PrivateKeyEntry") && list.contains("trustedCertEntry"), "{list}");
        let ask = ["-certreq", "-alias", "own", "-keystore", store, "-storepass", PASSWORD];
        assert!(scene.ok("keytool", &ask).contains("BEGIN NEW CERTIFICATE REQUEST"));
    }
}

#[test]
fn the_store_of_this_system_is_read_and_a_copy_of_it_changed() {
    if skip_without(&["openssl", "keytool"]) {
        return;
    }
    let Ok(cacerts) = std::fs::read("/etc/ssl/certs/java/cacerts") else {
        skip("no /etc/ssl/certs/java/cacerts");
        return;
    };
    let scene = Scene::new();
    scene.write("cacerts", &cacerts);
    let count = |list: &str| list.matches("trustedCertEntry").count();
    let before = count(&scene.list("cacerts"));
    scene.add("cacerts");
    let list = scene.list("cacerts");
    assert_eq!(count(&list), before + 1);
    assert!(before > 50 && list.contains("sealock-1, "), "{before}");
    let mut changed = TrustStore::read(&scene.bytes("cacerts"), &password()).unwrap();
    changed.remove("sealock-1");
    assert_eq!(changed.write(&password()).unwrap().expose(), cacerts);
}
