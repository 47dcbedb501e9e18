//! What OpenSSL says to our certificates, lists and keys.

use std::time::Duration;

use sealock_authority::{
    CreateOptions, Issued, KeySource, KeyType, NameConstraints, Order, Reason, Rotate, Usages,
};
use sealock_core::{SecretBytes, SubjectName};

use crate::common::{Place, Scratch, actor, available, options, order, refuse, succeed};

/// `openssl verify` for a TLS server of this name, with nothing but the given root.
fn verify<'a>(root: &'a str, chain: &'a str, leaf: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = [
        "verify",
        "-x509_strict",
        "-no-CApath",
        "-no-CAstore",
        "-CAfile",
        root,
        "-untrusted",
        chain,
    ];
    [&fixed[..], more, &[leaf]].concat()
}

fn x509(scratch: &Scratch, issued: &Issued) -> String {
    let path = scratch.file("shown.crt", issued.tls_crt());
    succeed("openssl", &["x509", "-noout", "-text", "-in", &path])
}

fn everything(kind: KeyType) -> Order {
    Order {
        name: "web".into(),
        identity: Some("spiffe://corp.example/service/web".parse().unwrap()),
        names: vec![
            SubjectName::dns("web").unwrap(),
            SubjectName::dns("*.web.corp.example").unwrap(),
            SubjectName::ip("10.1.2.3").unwrap(),
            SubjectName::ip("2001:db8::1").unwrap(),
            SubjectName::email("ops@corp.example").unwrap(),
        ],
        usages: Usages::BOTH,
        profile: None,
        ttl: Duration::from_secs(86_400),
        key: KeySource::Generate(kind),
        issuer: None,
    }
}

#[test]
fn every_kind_of_key_verifies_under_every_kind_of_authority() {
    if !available("openssl") {
        return;
    }
    for authority in KeyType::ALL {
        let scratch = Place::new().create(&CreateOptions { key_type: authority, ..options() });
        for leaf in KeyType::ALL {
            let issued = scratch.issue(&everything(leaf)).unwrap();
            let chain = scratch.file("tls.crt", issued.tls_crt());
            let root = scratch.file("ca.crt", issued.ca_crt());
            let key = scratch.file("tls.key", issued.tls_key().unwrap().expose());
            for (what, name) in [
                ("-verify_hostname", "web"),
                ("-verify_hostname", "a.web.corp.example"),
                ("-verify_ip", "10.1.2.3"),
                ("-verify_ip", "2001:db8::1"),
                ("-verify_email", "ops@corp.example"),
                ("-purpose", "sslserver"),
                ("-purpose", "sslclient"),
            ] {
                succeed("openssl", &verify(&root, &chain, &chain, &[what, name]));
            }
            for (what, name) in [
                ("-verify_hostname", "other"),
                ("-verify_hostname", "a.b.web.corp.example"),
                ("-verify_ip", "10.1.2.4"),
                ("-purpose", "smimesign"),
            ] {
                refuse("openssl", &verify(&root, &chain, &chain, &[what, name]));
            }
            let of_key = succeed("openssl", &["pkey", "-in", &key, "-pubout"]);
            let of_leaf = succeed("openssl", &["x509", "-in", &chain, "-noout", "-pubkey"]);
            assert_eq!(of_key, of_leaf, "{authority} {leaf}");
        }
    }
}

#[test]
fn extensions_are_what_they_should_be() {
    if !available("openssl") {
        return;
    }
    let crl_url = Some("http://pki.corp.example/crl/".to_owned());
    let scratch = Place::new().create(&CreateOptions { crl_url, ..options() });
    let curve = x509(&scratch, &scratch.issue(&everything(KeyType::P256)).unwrap());
    let lines = |text: &str, title: &str| {
        let mut lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with(title));
        format!("{}|{}", lines.next().unwrap_or_default(), lines.next().unwrap_or_default())
    };
    let usage = "X509v3 Key Usage";
    assert_eq!(lines(&curve, usage), "X509v3 Key Usage: critical|Digital Signature");
    assert_eq!(
        lines(&curve, "X509v3 Extended Key Usage"),
        "X509v3 Extended Key Usage:|TLS Web Server Authentication, TLS Web Client Authentication"
    );
    assert_eq!(
        lines(&curve, "X509v3 Subject Alternative Name"),
        "X509v3 Subject Alternative Name:|URI:spiffe://corp.example/service/web, DNS:web, \
         DNS:*.web.corp.example, IP Address:10.1.2.3, IP Address:2001:DB8:0:0:0:0:0:1, \
         email:ops@corp.example"
    );
    assert!(curve.contains("CA:FALSE"));
    assert!(curve.contains("X509v3 Subject Key Identifier"));
    assert!(curve.contains("X509v3 Authority Key Identifier"));
    let issuer = scratch.authority.ca_info().issuers[1].id;
    assert!(curve.contains(&format!("URI:http://pki.corp.example/crl/{issuer}.crl")), "{curve}");
    assert!(curve.contains("Subject: CN = web"));

    let rsa = |usages| {
        let order = Order { usages, ..everything(KeyType::Rsa3072) };
        x509(&scratch, &scratch.issue(&order).unwrap())
    };
    let both = "X509v3 Key Usage: critical|Digital Signature, Key Encipherment";
    assert_eq!(lines(&rsa(Usages::SERVER), usage), both);
    let client = rsa(Usages::CLIENT);
    assert_eq!(lines(&client, usage), "X509v3 Key Usage: critical|Digital Signature");
    assert!(!client.contains("Server Authentication"));

    // No name fits the subject: it is empty, and the alternative names are critical.
    let names = vec![SubjectName::ip("::1").unwrap()];
    let nameless = Order { identity: None, name: "x".into(), names, ..everything(KeyType::P256) };
    let nameless = x509(&scratch, &scratch.issue(&nameless).unwrap());
    assert!(nameless.lines().any(|line| line.trim_end() == "        Subject:"), "{nameless}");
    assert!(nameless.contains("X509v3 Subject Alternative Name: critical"));

    for (ca, path_length) in scratch.authority.ca_info().issuers.iter().zip([1, 0]) {
        let path = scratch.file("own.crt", &ca.pem);
        let text = succeed("openssl", &["x509", "-noout", "-text", "-in", &path]);
        assert!(text.contains(&format!("CA:TRUE, pathlen:{path_length}")), "{text}");
        assert_eq!(
            lines(&text, usage),
            "X509v3 Key Usage: critical|Certificate Sign, CRL Sign",
            "{text}"
        );
    }
}

#[test]
fn what_is_revoked_shows() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let good = scratch.issue(&order(&["good"])).unwrap();
    let bad = scratch.issue(&order(&["bad"])).unwrap();
    let (good_path, bad_path) =
        (scratch.file("good.crt", good.tls_crt()), scratch.file("bad.crt", bad.tls_crt()));
    let root = scratch.file("ca.crt", good.ca_crt());
    let lists = || {
        let lists = scratch.authority.crls().unwrap();
        let all: String = lists.iter().map(sealock_authority::Crl::pem).collect();
        scratch.file("all.crl", all)
    };
    let check = |crl: &str, leaf: &str| {
        let more = ["-crl_check_all", "-CRLfile", crl];
        verify(&root, leaf, leaf, &more).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let as_refs = |list: &[String]| list.iter().map(|text| text.to_owned()).collect::<Vec<_>>();
    let openssl = |arguments: &[String], good: bool| {
        let arguments = as_refs(arguments);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        if good { succeed("openssl", &arguments) } else { refuse("openssl", &arguments) }
    };
    openssl(&check(&lists(), &bad_path), true);
    scratch.authority.revoke(bad.serial, Reason::KeyCompromise, &actor()).unwrap();
    let refused = openssl(&check(&lists(), &bad_path), false);
    assert!(refused.contains("certificate revoked"), "{refused}");
    openssl(&check(&lists(), &good_path), true);

    let list = scratch.file("one.crl", scratch.authority.crl().unwrap().pem());
    let issuer = scratch.file("issuer.crt", &*good.intermediates[0].pem);
    let text = succeed("openssl", &["crl", "-in", &list, "-noout", "-text", "-CAfile", &issuer]);
    assert!(text.contains("verify OK"), "{text}");
    assert!(text.contains(&bad.serial.to_string().trim_start_matches('0').to_uppercase()));
    assert!(text.contains("Key Compromise"));
    let number = text.lines().skip_while(|line| !line.contains("CRL Number")).nth(1).unwrap();
    assert_eq!(number.trim(), "2");
}

#[test]
fn a_new_root_is_trusted_by_those_who_have_the_old_one() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let old = scratch.issue(&order(&["old"])).unwrap();
    let old_root = scratch.file("old-ca.crt", old.ca_crt());
    scratch.authority.rotate(Rotate::Root, None, &actor()).unwrap();
    let new = scratch.issue(&order(&["new"])).unwrap();
    let new_root = scratch.file("new-ca.crt", &*new.roots[0].pem);
    let bundle = scratch.file("bundle-ca.crt", new.ca_crt());
    let old_leaf = scratch.file("old.crt", old.tls_crt());
    let new_leaf = scratch.file("new.crt", new.tls_crt());
    for (root, leaf) in [
        (&old_root, &old_leaf),
        (&old_root, &new_leaf),
        (&new_root, &new_leaf),
        (&bundle, &old_leaf),
        (&bundle, &new_leaf),
    ] {
        succeed("openssl", &verify(root, leaf, leaf, &["-purpose", "sslserver"]));
    }
    refuse("openssl", &verify(&new_root, &old_leaf, &old_leaf, &[]));
}

#[test]
fn the_exported_root_key_opens_elsewhere() {
    if !available("openssl") {
        return;
    }
    for key_type in KeyType::ALL {
        let scratch = Place::new().create(&CreateOptions { key_type, ..options() });
        let root = scratch.file("ca.crt", scratch.authority.trust_bundle_pem());
        let public = succeed("openssl", &["x509", "-in", &root, "-noout", "-pubkey"]);
        let plain = scratch.authority.export_root_key(None, &actor()).unwrap();
        let plain = scratch.file("plain.key", plain.expose());
        assert_eq!(succeed("openssl", &["pkey", "-in", &plain, "-pubout"]), public);
        let passphrase = SecretBytes::new(b"correct horse".to_vec());
        let sealed = scratch.authority.export_root_key(Some(&passphrase), &actor()).unwrap();
        let sealed = scratch.file("sealed.key", sealed.expose());
        let good = scratch.file("good.txt", "correct horse\n");
        let wrong = scratch.file("wrong.txt", "wrong\n");
        let open = |passphrase: &str| {
            let passphrase = format!("file:{passphrase}");
            ["pkey", "-in", &sealed, "-passin", &passphrase, "-pubout"].map(str::to_owned)
        };
        let opened = open(&good);
        assert_eq!(succeed("openssl", &opened.each_ref().map(String::as_str)), public);
        refuse("openssl", &open(&wrong).each_ref().map(String::as_str));
    }
}

#[test]
fn the_audit_signer_chains_to_the_root_and_its_signatures_hold() {
    if !available("openssl") {
        return;
    }
    use sealock_store::journal::CheckpointSigner as _;
    let scratch = Scratch::new();
    let signer = scratch.authority.audit_signer();
    let certificate = scratch.file("signer.crt", signer.certificate_pem());
    let root = scratch.file("ca.crt", scratch.authority.trust_bundle_pem());
    succeed("openssl", &verify(&root, &root, &certificate, &[]));
    let public = succeed("openssl", &["x509", "-in", &certificate, "-noout", "-pubkey"]);
    let public = scratch.file("signer.pub", public);
    let message = scratch.file("message", "sealock audit checkpoint v1\n");
    let signed = signer.sign(b"sealock audit checkpoint v1\n").unwrap();
    let signature = scratch.file("signature", signed);
    succeed(
        "openssl",
        &["dgst", "-sha256", "-verify", &public, "-signature", &signature, &message],
    );
}

#[test]
fn constraints_are_in_the_intermediate_and_we_refuse_what_they_forbid() {
    if !available("openssl") {
        return;
    }
    let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
    let name_constraints = NameConstraints {
        permitted: parse(&["dns:corp.example", "ip:10.0.0.0/8"]),
        excluded: parse(&["dns:secret.corp.example"]),
    };
    let scratch = Place::new().create(&CreateOptions { name_constraints, ..options() });
    let issued = scratch.issue(&order(&["a.corp.example"])).unwrap();
    let chain = scratch.file("tls.crt", issued.tls_crt());
    let root = scratch.file("ca.crt", issued.ca_crt());
    succeed("openssl", &verify(&root, &chain, &chain, &[]));
    let intermediate = scratch.file("intermediate.crt", &*issued.intermediates[0].pem);
    let text = succeed("openssl", &["x509", "-noout", "-text", "-in", &intermediate]);
    assert!(text.contains("X509v3 Name Constraints: critical"), "{text}");
    assert!(text.contains("IP:10.0.0.0/255.0.0.0"), "{text}");

    let refused = scratch.issue(&order(&["b.other.example"])).unwrap_err().to_string();
    assert_eq!(
        refused,
        "b.other.example is outside the name constraints of intermediate 1: only dns:corp.example \
         is permitted"
    );
    assert!(scratch.issue(&order(&["x.secret.corp.example"])).is_err());
    // A common name that reads as a forbidden DNS name would make openssl refuse: it is left out.
    let identity = Some("spiffe://corp.example/human/jo".parse().unwrap());
    let client = Order { identity, usages: Usages::CLIENT, ..order(&[]) };
    let client = scratch.issue(&client).unwrap();
    let chain = scratch.file("client.crt", client.tls_crt());
    succeed("openssl", &verify(&root, &chain, &chain, &["-purpose", "sslclient"]));
}
