//! `init`, `ca` and `cert`, checked by openssl.

use std::fs;

use crate::support::{Home, mode, tool};

#[test]
fn init_makes_one_authority_however_often_it_runs() {
    let home = Home::new();
    let first = home.json(&["init", "--trust-domain", "test.sealock"]);
    assert_eq!(first["created"], true);
    let second = home.json(&["init", "--trust-domain", "test.sealock"]);
    assert_eq!(second["created"], false);
    assert_eq!(first["ca"]["roots"], second["ca"]["roots"]);
    assert_eq!(mode(&home.state()), 0o700);
    let other = home.fails(1, &["init", "--trust-domain", "other.sealock"]);
    assert!(other.contains("test.sealock"), "{other}");
}

#[test]
fn issued_files_are_what_servers_need_and_openssl_accepts() {
    let home = Home::initialised();
    home.ok(&["cert", "issue", "shop", "--dns", "shop.test,*.shop.test", "--ip", "10.1.2.3,::1"]);
    let at = |name: &str| home.path("shop").join(name);
    let modes = [("tls.crt", 0o444), ("ca.crt", 0o444), ("tls.key", 0o400), ("bundle.pem", 0o400)];
    for (name, wanted) in modes {
        assert_eq!(mode(&at(name)), wanted, "{name}");
    }
    let (leaf, root) = (at("tls.crt"), at("ca.crt"));
    let (leaf, root) = (leaf.to_str().unwrap(), root.to_str().unwrap());
    for name in ["shop.test", "a.shop.test"] {
        tool(
            "openssl",
            &[
                "verify",
                "-x509_strict",
                "-purpose",
                "sslserver",
                "-verify_hostname",
                name,
                "-CAfile",
                root,
                "-untrusted",
                leaf,
                leaf,
            ],
        );
    }
    tool(
        "openssl",
        &["verify", "-verify_ip", "10.1.2.3", "-CAfile", root, "-untrusted", leaf, leaf],
    );
    let shown = tool("openssl", &["x509", "-noout", "-text", "-in", leaf]);
    assert!(shown.contains("URI:spiffe://test.sealock/service/shop"), "{shown}");
    let key = tool("openssl", &["pkey", "-pubout", "-in", at("tls.key").to_str().unwrap()]);
    assert_eq!(key, tool("openssl", &["x509", "-noout", "-pubkey", "-in", leaf]));
    let bundle = fs::read_to_string(at("bundle.pem")).unwrap();
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 3, "leaf, intermediate, root");
    assert!(bundle.starts_with("-----BEGIN PRIVATE KEY"));
}

#[test]
fn nothing_is_left_behind_where_files_cannot_be_written() {
    let home = Home::initialised();
    fs::write(home.path("shop"), "a file in the way").unwrap();
    home.fails(1, &["cert", "issue", "shop"]);
    let list = home.json(&["cert", "list"]);
    let shop = |one: &&serde_json::Value| one["name"] == "shop";
    assert_eq!(list["certificates"].as_array().unwrap().iter().filter(shop).count(), 0, "{list}");
}

#[test]
fn renewing_replaces_and_revoking_shows_in_the_crl() {
    let home = Home::initialised();
    let first = home.json(&["cert", "issue", "shop"]);
    let second = home.json(&["cert", "renew", "shop"]);
    assert_eq!(second["replaces"], first["serial"]);
    assert_ne!(second["serial"], first["serial"]);

    let serial = second["serial"].as_str().unwrap();
    home.ok(&["cert", "revoke", serial, "--reason", "key-compromise"]);
    assert_eq!(home.json(&["cert", "show", serial])["state"], "revoked");
    home.ok(&["cert", "revoke", serial]);

    let crl = home.path("crl.pem");
    home.ok(&["ca", "crl", "--out", crl.to_str().unwrap()]);
    let leaf = home.path("shop").join("tls.crt");
    let root = home.path("shop").join("ca.crt");
    let verify = std::process::Command::new("openssl")
        .args(["verify", "-crl_check", "-CRLfile", crl.to_str().unwrap()])
        .args(["-CAfile", root.to_str().unwrap(), "-untrusted", leaf.to_str().unwrap()])
        .arg(&leaf)
        .output()
        .unwrap();
    let said = crate::support::text(&verify.stderr);
    assert!(!verify.status.success() && said.contains("revoked"), "{said}");
    let missing = home.fails(1, &["cert", "revoke", "00112233"]);
    assert!(missing.contains("00112233"), "{missing}");
}

#[test]
fn a_request_of_somebody_else_is_signed_for_its_key_only() {
    let home = Home::initialised();
    let (key, csr) = (home.path("k.pem"), home.path("r.csr"));
    let (key, csr) = (key.to_str().unwrap(), csr.to_str().unwrap());
    let subject = "/CN=web.test/O=Ignored";
    let extension = "basicConstraints=critical,CA:TRUE";
    tool(
        "openssl",
        &[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            key,
            "-out",
            csr,
            "-subj",
            subject,
            "-addext",
            "subjectAltName=DNS:web.test,IP:10.9.8.7",
            "-addext",
            extension,
        ],
    );
    let chain = home.ok(&["cert", "sign", "--csr", csr]);
    let leaf = home.write("leaf.pem", &chain);
    let shown = tool("openssl", &["x509", "-noout", "-text", "-in", &leaf]);
    assert!(shown.contains("DNS:web.test") && shown.contains("10.9.8.7"), "{shown}");
    assert!(!shown.contains("CA:TRUE"), "{shown}");
    let broken = home.write(
        "broken.csr",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
    );
    let said = home.fails(64, &["cert", "sign", "--csr", &broken]);
    assert!(said.contains("request"), "{said}");
}

#[test]
fn the_root_key_can_leave_and_come_back_for_a_new_intermediate() {
    let home = Home::initialised();
    let out = home.path("root.key");
    let out = out.to_str().unwrap();
    home.ok(&["ca", "export-root-key", "--out", out, "--remove"]);
    assert_eq!(mode(home.path("root.key").as_path()), 0o400);
    home.ok(&["cert", "issue", "still-works"]);
    let said = home.fails(1, &["ca", "rotate", "intermediate"]);
    assert!(said.contains("--root-key"), "{said}");
    let before = home.json(&["ca", "show"])["intermediates"][0]["serial"].clone();
    home.ok(&["ca", "rotate", "intermediate", "--root-key", out]);
    assert_ne!(home.json(&["ca", "show"])["intermediates"][0]["serial"], before);
    home.fails(1, &["ca", "export-root-key", "--out", out]);
}

#[test]
fn a_new_root_is_trusted_beside_the_old_one() {
    let home = Home::initialised();
    home.ok(&["cert", "issue", "old"]);
    home.ok(&["ca", "rotate", "root"]);
    home.ok(&["cert", "issue", "new"]);
    let bundle = home.write("both.pem", &home.ok(&["ca", "bundle"]));
    for name in ["old", "new"] {
        let leaf = home.path(name).join("tls.crt");
        let leaf = leaf.to_str().unwrap();
        tool("openssl", &["verify", "-CAfile", &bundle, "-untrusted", leaf, leaf]);
    }
}

#[test]
fn a_passphrase_is_needed_and_a_wrong_one_is_refused() {
    let home = Home::new();
    let right = home.write("right", "correct horse\n");
    let wrong = home.write("wrong", "battery staple\n");
    home.ok(&["--passphrase-file", &right, "init", "--key-protection", "passphrase"]);
    home.ok(&["--passphrase-file", &right, "cert", "issue", "a"]);
    let said = home.fails(1, &["--passphrase-file", &wrong, "cert", "issue", "b"]);
    assert!(said.contains("passphrase"), "{said}");
    assert!(!said.contains("battery") && !home.path("b").exists());
    let said = home.fails(1, &["cert", "issue", "c"]);
    assert!(said.contains("--passphrase-file"), "{said}");
}

#[test]
fn the_protection_of_the_keys_is_changed_while_the_daemon_runs() {
    let home = Home::initialised();
    let right = home.write("right", "correct horse\n");
    let next = home.write("next", "battery staple\n");
    let wrong = home.write("wrong", "paper clip or so\n");
    let said = home.fails(1, &["init", "--key-protection", "passphrase"]);
    assert!(said.contains("sealock ca protect"), "{said}");
    home.ok(&["cert", "issue", "a"]);
    let protect = ["ca", "protect", "--key-protection", "passphrase"];
    // As at `init`, where there was no passphrase before.
    let said = home.ok(&[&["--passphrase-file", &right][..], &protect].concat());
    assert!(said.contains("passphrase"), "{said}");
    assert!(home.fails(1, &["cert", "issue", "b"]).contains("--passphrase-file"));

    let daemon = home.up_with(&["--passphrase-file", &right]);
    let with = |old: &str, new: &str| {
        let more = ["--passphrase-file", old, "--new-passphrase-file", new];
        [&protect[..], &more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    fn of(all: &[String]) -> Vec<&str> {
        all.iter().map(String::as_str).collect()
    }
    let said = home.fails(1, &of(&with(&wrong, &next)));
    assert!(said.contains("passphrase is wrong") && !said.contains("paper"), "{said}");
    home.fails(1, &["ca", "protect", "--key-protection", "file"]);
    home.fails(64, &["ca", "protect", "--key-protection", "file", "--new-passphrase-file", &next]);
    let short = home.write("short", "short\n");
    home.fails(64, &of(&with(&right, &short)));
    home.ok(&of(&with(&right, &next)));
    // The keys that are open stay open.
    home.ok(&["cert", "issue", "b"]);
    let audit = home.ok(&["--json", "audit", "export"]);
    assert!(audit.contains("key-protected"), "{audit}");
    assert!(!audit.contains("staple") && !home.log().contains("staple"), "{audit}");
    daemon.kill();
    home.fails(1, &["--passphrase-file", &right, "cert", "issue", "c"]);
    home.ok(&["--passphrase-file", &next, "cert", "issue", "c"]);
    home.ok(&["--passphrase-file", &next, "ca", "protect", "--key-protection", "file"]);
    home.ok(&["cert", "issue", "d"]);
    let keys = std::fs::read_dir(home.state().join("keys")).unwrap().count();
    assert_eq!(keys, 1, "nothing lies beside the key");
}

#[test]
fn names_outside_the_constraints_are_refused_before_signing() {
    let home = Home::new();
    home.ok(&[
        "init",
        "--trust-domain",
        "test.sealock",
        "--permit",
        "dns:corp.test",
        "--permit",
        "uri:test.sealock",
    ]);
    home.ok(&["cert", "issue", "in", "--dns", "a.corp.test"]);
    let said = home.fails(1, &["cert", "issue", "out", "--dns", "a.other.test"]);
    assert!(said.contains("a.other.test"), "{said}");
}
