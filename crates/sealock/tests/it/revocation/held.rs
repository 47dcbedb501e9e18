//! A list that lacks a revocation is given to nobody, whenever the daemon was killed.

use super::*;

/// So many entries a full list has at once; beyond that, of many revocations the last ones wait for a minute.
const AT_ONCE: usize = 256;

impl Scene {
    /// Certificates in force, by the daemon; their serial numbers.
    fn many(&self, count: usize) -> Vec<String> {
        let named: Vec<usize> = (0..count).collect();
        std::thread::scope(|scope| {
            let some = named.chunks(count.div_ceil(4));
            let issuing: Vec<_> = some.map(|some| scope.spawn(|| self.some(some))).collect();
            issuing.into_iter().flat_map(|some| some.join().unwrap()).collect()
        })
    }

    fn some(&self, named: &[usize]) -> Vec<String> {
        let issued = named.iter().map(|number| {
            let name = format!("n{number}");
            self.home.ok(&["cert", "issue", &name, "--out", &self.file(&name)]);
            let said = self.home.json(&["cert", "show", &name]);
            said["serial"].as_str().unwrap().to_owned()
        });
        issued.collect()
    }

    /// The status of an answer, and when to ask again.
    fn asked(&self, path: &str) -> (String, String) {
        let wanted = "%{http_code} %header{retry-after}";
        let said = self.get(path, &["--output", "/dev/null", "--write-out", wanted]);
        let (status, after) = said.split_once(' ').unwrap();
        (status.to_owned(), after.to_owned())
    }

    fn entries(&self, path: &str) -> usize {
        let fetched = self.file("fetched");
        self.get(path, &["--fail", "--output", &fetched]);
        let shown = tool("openssl", &["crl", "-inform", "DER", "-noout", "-text", "-in", &fetched]);
        shown.matches("Serial Number:").count()
    }
}

#[test]
fn killed_right_after_a_revocation_no_list_says_that_it_is_good() {
    let scene = Scene::new();
    let home = &scene.home;
    let passphrase = home.write("passphrase", "correct horse battery");
    let with = ["--passphrase-file", passphrase.as_str()];
    let init = ["init", "--trust-domain", "test.sealock", "--key-protection", "passphrase"];
    home.ok(&[&with[..], &init].concat());
    let daemon = home.up_with(&with);
    scene.issue(&with);
    let serials = scene.many(AT_ONCE);
    let issuer = issuer_of(&scene);
    let (full, delta) = (format!("/crl/{issuer}.crl"), format!("/crl/{issuer}-delta.crl"));
    for serial in &serials {
        home.ok(&["cert", "revoke", serial]);
    }
    // One more within the minute, and nothing of the daemon is left.
    home.ok(&["cert", "revoke", &scene.serial()]);
    daemon.kill();

    let away = home.path("passphrase.away");
    std::fs::rename(&passphrase, &away).unwrap();
    let said = home.ok(&["status"]);
    assert!(said.contains("list-held-back") && said.contains(&issuer), "{said}");
    let mut locked = home.spawn_with(&with);
    until("the locked door", PATIENCE, || {
        scene.ocsp(&["-no_nonce"]).contains("tls.crt: revoked").then_some(())
    });
    for _ in 0..3 {
        assert_eq!(scene.asked(&full), ("503".to_owned(), "60".to_owned()));
    }
    assert_eq!(scene.entries(&delta), AT_ONCE + 1);
    assert_eq!(home.log().matches("a list is held back").count(), 1, "{}", home.log());
    assert!(locked.runs(), "{}", home.log());

    // Of what comes with the passphrase, nothing is served before it is caught up.
    std::fs::rename(&away, &passphrase).unwrap();
    until("the list", PATIENCE, || (scene.asked(&full).0 == "200").then_some(()));
    assert_eq!(scene.entries(&full), AT_ONCE + 1);
    until("the daemon to answer", PATIENCE, || {
        let status = home.run(&["--json", "status"]);
        let status: Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["daemon"] == true).then_some(())
    });
    assert!(!home.ok(&["status"]).contains("list-held-back"));

    // Who is stopped leaves nothing behind, however little time it has.
    for serial in scene.many(2) {
        home.ok(&["cert", "revoke", &serial]);
    }
    assert_eq!(locked.stop(), Some(0));
    std::fs::remove_file(&passphrase).unwrap();
    let locked = home.spawn_with(&with);
    until("the locked door", PATIENCE, || {
        scene.ocsp(&["-no_nonce"]).contains("tls.crt: revoked").then_some(())
    });
    assert_eq!(scene.entries(&full), AT_ONCE + 3);
    drop(locked);
}
