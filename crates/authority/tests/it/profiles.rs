//! Certificates for code and e-mail, as those who check signatures take them.

use sealock_authority::{
    AuthorityError, Issued, KeySource, KeyType, Order, OrderError, Renewal, Usages,
};
use sealock_core::SubjectName;

use crate::common::{Scratch, actor, available, order, refuse, succeed};

const ADDRESS: &str = "jo@corp.example";

fn code(kind: KeyType) -> Order {
    Order {
        name: "release".into(),
        identity: Some("spiffe://corp.example/service/release".parse().unwrap()),
        usages: Usages::CODE,
        profile: Some("code".into()),
        key: KeySource::Generate(kind),
        ..order(&[])
    }
}

fn email(kind: KeyType) -> Order {
    Order {
        name: "jo".into(),
        names: vec![SubjectName::email(ADDRESS).unwrap()],
        usages: Usages::EMAIL,
        profile: Some("smime".into()),
        key: KeySource::Generate(kind),
        ..order(&[])
    }
}

/// Files of a certificate: leaf, key, intermediates, root, something to sign, and a place for the result.
struct Files {
    leaf: String,
    key: String,
    chain: String,
    root: String,
    text: String,
    out: String,
}

impl Files {
    fn of(scratch: &Scratch, issued: &Issued) -> Self {
        let leaf = scratch.authority.show(&issued.serial.to_string()).unwrap().pem;
        Self {
            leaf: scratch.file("leaf.pem", leaf),
            key: scratch.file("leaf.key", issued.tls_key().unwrap().expose()),
            chain: scratch.file("chain.pem", &*issued.intermediates[0].pem),
            root: scratch.file("root.pem", issued.ca_crt()),
            text: scratch.file("text", "released\n"),
            out: scratch.file("out", ""),
        }
    }

    fn verify<'a>(&'a self, purpose: &'a str) -> [&'a str; 8] {
        let Self { leaf, chain, root, .. } = self;
        ["verify", "-CAfile", root, "-untrusted", chain, "-purpose", purpose, leaf]
    }
}

#[test]
fn code_is_signed_and_nothing_else() {
    if !available("openssl") || !available("certtool") {
        return;
    }
    let scratch = Scratch::new();
    for kind in [KeyType::P256, KeyType::P384, KeyType::Rsa3072] {
        let issued = scratch.issue(&code(kind)).unwrap();
        let files = Files::of(&scratch, &issued);
        let shown = succeed("openssl", &["x509", "-noout", "-text", "-in", &files.leaf]);
        let extended: Vec<&str> = shown
            .lines()
            .skip_while(|line| !line.contains("X509v3 Extended Key Usage"))
            .skip(1)
            .take(1)
            .map(str::trim)
            .collect();
        assert_eq!(extended, ["Code Signing"], "{shown}");
        assert!(shown.contains("Subject: CN = release"), "{shown}");
        assert!(shown.contains("X509v3 Key Usage: critical\n                Digital Signature\n"));

        // A detached signature, as build tools make it.
        let sign = ["cms", "-sign", "-binary", "-md", "sha256", "-outform", "DER", "-in"];
        let with = ["-signer", &files.leaf, "-inkey", &files.key, "-certfile", &files.chain];
        let sign: [&[&str]; 4] = [&sign, &[files.text.as_str()], &with, &["-out", &files.out]];
        succeed("openssl", &sign.concat());
        let verify = ["cms", "-verify", "-binary", "-inform", "DER", "-in", &files.out];
        let against = ["-CAfile", &files.root, "-content", &files.text, "-out", "/dev/null"];
        let any = [&verify[..], &against, &["-purpose", "any"]].concat();
        succeed("openssl", &any);
        // The signature is good, and yet not one of an e-mail.
        let mail = [&verify[..], &against, &["-purpose", "smimesign"]].concat();
        refuse("openssl", &mail);
        let other = scratch.file("text", "tampered\n");
        assert_eq!(other, files.text);
        refuse("openssl", &any);

        succeed("openssl", &files.verify("any"));
        for purpose in ["sslserver", "sslclient", "smimesign", "smimeencrypt"] {
            refuse("openssl", &files.verify(purpose));
        }
        let trust = ["--verify", "--load-ca-certificate", &files.root, "--infile"];
        let whole = scratch.file("whole.pem", issued.tls_crt());
        let purpose = |oid| [&trust[..], &[whole.as_str(), "--verify-purpose", oid]].concat();
        succeed("certtool", &purpose("1.3.6.1.5.5.7.3.3"));
        refuse("certtool", &purpose("1.3.6.1.5.5.7.3.1"));
    }
}

#[test]
fn e_mail_is_signed_and_encrypted_by_every_kind_of_key_that_can() {
    if !available("openssl") || !available("certtool") {
        return;
    }
    let scratch = Scratch::new();
    for (kind, encrypts) in [
        (KeyType::P256, true),
        (KeyType::P384, true),
        (KeyType::Rsa3072, true),
        (KeyType::Ed25519, false),
    ] {
        let issued = scratch.issue(&email(kind)).unwrap();
        let files = Files::of(&scratch, &issued);
        succeed("openssl", &files.verify("smimesign"));
        for purpose in ["sslserver", "sslclient"] {
            refuse("openssl", &files.verify(purpose));
        }
        if encrypts {
            let with = ["-signer", &files.leaf, "-inkey", &files.key, "-certfile", &files.chain];
            // `smime` makes PKCS#7, which knows RSA only on some builds; `cms` is its successor (RFC 8551).
            let command = if kind == KeyType::Rsa3072 { "smime" } else { "cms" };
            let sign = [command, "-sign", "-md", "sha256", "-in", &files.text, "-out", &files.out];
            succeed("openssl", &[&sign[..], &with].concat());
            let verify = [command, "-verify", "-in", &files.out, "-CAfile", &files.root];
            // Without -purpose it is smimesign; and the signer is the one who has this address.
            let verify = [&verify[..], &["-out", "/dev/null", "-verify_email", ADDRESS]].concat();
            succeed("openssl", &verify);
            let stranger =
                verify.iter().map(|it| if *it == ADDRESS { "al@corp.example" } else { it });
            refuse("openssl", &stranger.collect::<Vec<_>>());

            let encrypt = ["cms", "-encrypt", "-aes256", "-in", &files.text, "-out", &files.out];
            succeed("openssl", &[&encrypt[..], &[files.leaf.as_str()]].concat());
            let decrypt = ["cms", "-decrypt", "-in", &files.out, "-inkey", &files.key];
            let opened = succeed("openssl", &[&decrypt[..], &["-recip", &files.leaf]].concat());
            assert!(opened.contains("released"), "{opened}");
        }
        let whole = scratch.file("whole.pem", issued.tls_crt());
        let verify = ["--verify", "--load-ca-certificate", &files.root, "--infile", &whole];
        let by = |more: &[&'static str]| {
            verify.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>()
        };
        succeed("certtool", &by(&["--verify-email", ADDRESS]));
        succeed("certtool", &by(&["--verify-purpose", "1.3.6.1.5.5.7.3.4"]));
        refuse("certtool", &by(&["--verify-purpose", "1.3.6.1.5.5.7.3.1"]));
        refuse("certtool", &by(&["--verify-email", "al@corp.example"]));
    }
}

#[test]
fn what_an_order_for_code_or_e_mail_lacks_is_said() {
    let scratch = Scratch::new();
    let refused = |order: &Order| match scratch.issue(order) {
        Err(AuthorityError::Order(error)) => error,
        other => panic!("{:?}", other.map(|_| ())),
    };
    let dns = Order { usages: Usages::EMAIL, ..order(&["web.corp.example"]) };
    assert_eq!(refused(&dns), OrderError::NoAddress);
    let long = format!("spiffe://corp.example/service/{}", "a".repeat(65));
    let nobody = Order { identity: Some(long.parse().unwrap()), ..code(KeyType::P256) };
    assert_eq!(refused(&nobody), OrderError::NoSubject);
    let mixed = Usages { code: true, ..Usages::SERVER };
    let mixed = Order { usages: mixed, ..order(&["web.corp.example"]) };
    assert!(matches!(refused(&mixed), OrderError::MixedUsages(_)));
    let address = SubjectName::email(ADDRESS).unwrap();
    let server = Order { names: vec![address], usages: Usages::SERVER, ..order(&[]) };
    assert_eq!(refused(&server), OrderError::NoServerName);
    // Nothing of it has left a trace.
    assert_eq!(scratch.authority.tally().unwrap().valid, 0);
}

#[test]
fn a_renewal_keeps_profile_and_purposes() {
    let scratch = Scratch::new();
    let first = scratch.issue(&email(KeyType::P256)).unwrap();
    let renewed = scratch.authority.renew(first.serial, &Renewal::default(), &actor()).unwrap();
    let shown = scratch.reopen().authority.show(&renewed.serial.to_string()).unwrap().summary;
    assert_eq!((shown.profile.as_str(), shown.usages), ("smime", Usages::EMAIL));
    assert_eq!(shown.replaces, Some(first.serial));
}

#[test]
fn a_renewal_by_other_labels_has_what_they_say() {
    let scratch = Scratch::new();
    let first = scratch.issue(&order(&["web.corp.example"])).unwrap();
    let (usages, profile) = (Some(Usages::SERVER), Some("server".to_owned()));
    let other = Renewal { usages, profile, ..Renewal::default() };
    let renewed = scratch.authority.renew(first.serial, &other, &actor()).unwrap();
    let shown = scratch.authority.show(&renewed.serial.to_string()).unwrap().summary;
    assert_eq!((shown.profile.as_str(), shown.usages), ("server", Usages::SERVER));
}
