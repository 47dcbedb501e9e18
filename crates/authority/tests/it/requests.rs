//! CSRs as OpenSSL and GnuTLS make them, and as attackers would like them.

use sealock_authority::{CsrError, KeySource, Order, PublicKeyKind, parse_csr};
use sealock_core::SubjectName;

use crate::common::{Scratch, available, order, succeed};

const CONFIG: &str = "[req]\ndistinguished_name=dn\nprompt=no\nreq_extensions=ext\n[dn]\n\
    CN=web.corp.example\nO=Anything\n[ext]\n\
    subjectAltName=DNS:web,IP:10.0.0.7,IP:::1,URI:https://web/,email:a@corp.example\n\
    basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\nextendedKeyUsage=codeSigning\n";

/// A request by openssl with these options for the key.
fn request(scratch: &Scratch, config: &str, options: &[&str]) -> Vec<u8> {
    let config = scratch.file("request.cnf", config);
    let out = scratch.place.path().join("request.csr");
    let key = scratch.place.path().join("request.key");
    let (out, key) = (out.to_str().unwrap(), key.to_str().unwrap());
    let fixed = ["req", "-new", "-nodes", "-config", &config, "-keyout", key, "-out", out];
    succeed("openssl", &[&fixed[..], options].concat());
    std::fs::read(out).unwrap()
}

const P256: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

#[test]
fn good_requests_are_read() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let p384 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384"];
    let kinds: [(&[&str], PublicKeyKind); 5] = [
        (&P256, PublicKeyKind::P256),
        (&p384, PublicKeyKind::P384),
        (&["-newkey", "ed25519"], PublicKeyKind::Ed25519),
        (&["-newkey", "rsa:2048"], PublicKeyKind::Rsa(2048)),
        (&["-newkey", "rsa:3072", "-sha512"], PublicKeyKind::Rsa(3072)),
    ];
    for (options, kind) in kinds {
        let csr = parse_csr(&request(&scratch, CONFIG, options)).unwrap();
        assert_eq!(csr.public_key.kind(), kind);
        assert_eq!(csr.common_name.as_deref(), Some("web.corp.example"));
        let names: Vec<String> =
            csr.names.iter().map(|name| format!("{} {name}", name.kind())).collect();
        let wanted = [
            "dns web",
            "ip 10.0.0.7",
            "ip ::1",
            "uri https://web/",
            "email a@corp.example",
            "dns web.corp.example",
        ];
        assert_eq!(names, wanted);
    }
}

#[test]
fn only_the_key_and_granted_names_get_into_the_certificate() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let csr = parse_csr(&request(&scratch, CONFIG, &P256)).unwrap();
    let granted = Order {
        names: vec![SubjectName::dns("web").unwrap()],
        key: KeySource::PublicKey(csr.public_key),
        issuer: None,
        ..order(&["web"])
    };
    let issued = scratch.issue(&granted).unwrap();
    assert!(issued.tls_key().is_none());
    assert!(issued.bundle_pem().expose().starts_with(b"-----BEGIN CERTIFICATE-----"));
    let path = scratch.file("tls.crt", issued.tls_crt());
    let text = succeed("openssl", &["x509", "-noout", "-text", "-in", &path]);
    assert!(text.contains("CA:FALSE") && text.contains("DNS:web\n"), "{text}");
    for absent in ["CA:TRUE", "Certificate Sign", "Code Signing", "Anything", "10.0.0.7"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    let key = scratch.place.path().join("request.key");
    let of_key = succeed("openssl", &["pkey", "-in", key.to_str().unwrap(), "-pubout"]);
    assert_eq!(of_key, succeed("openssl", &["x509", "-in", &path, "-noout", "-pubkey"]));
}

#[test]
fn weak_and_unknown_keys_are_refused() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let refused = |options: &[&str]| parse_csr(&request(&scratch, CONFIG, options)).unwrap_err();
    assert!(matches!(refused(&["-newkey", "rsa:1024"]), CsrError::WeakRsa(_)));
    for curve in ["P-521", "secp256k1", "P-224"] {
        let curve = format!("ec_paramgen_curve:{curve}");
        let options = ["-newkey", "ec", "-pkeyopt", &curve];
        assert!(matches!(refused(&options), CsrError::UnknownKey(_)), "{curve}");
    }
    assert!(matches!(refused(&["-newkey", "ed448"]), CsrError::UnknownKey(_)));
    let explicit = [&P256[..], &["-pkeyopt", "ec_param_enc:explicit"]].concat();
    assert!(matches!(refused(&explicit), CsrError::UnknownKey(_)));
    let sha1 = [&P256[..], &["-sha1"]].concat();
    assert!(matches!(refused(&sha1), CsrError::UnknownSignature(_)));
    let pss = ["-newkey", "rsa:2048", "-sigopt", "rsa_padding_mode:pss"];
    assert!(matches!(refused(&pss), CsrError::UnknownSignature(_)));
}

#[test]
fn changed_requests_do_not_hold() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let options = [&P256[..], &["-outform", "DER"]].concat();
    let der = request(&scratch, CONFIG, &options);
    let good = parse_csr(&der).unwrap();
    for index in 0..der.len() {
        for bit in [0x01, 0x20, 0x80] {
            let mut changed = der.clone();
            changed[index] ^= bit;
            let read = parse_csr(&changed);
            assert!(read.is_err(), "byte {index} ^ {bit:#x}: {read:?}, was {good:?}");
        }
        assert!(parse_csr(&der[..index]).is_err(), "cut at {index}");
    }
    let mut longer = der.clone();
    longer.push(0);
    assert_eq!(parse_csr(&longer), Err(CsrError::Malformed("there is something after its end")));
}

#[test]
fn exactly_one_request_is_read() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let pem = String::from_utf8(request(&scratch, CONFIG, &P256)).unwrap();
    assert_eq!(parse_csr(format!("{pem}{pem}").as_bytes()), Err(CsrError::NotPem));
    let java = pem.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST");
    assert_eq!(parse_csr(java.as_bytes()), parse_csr(pem.as_bytes()));
    assert_eq!(parse_csr(&vec![b' '; 65 * 1024]), Err(CsrError::TooLarge(65 * 1024)));
    for nothing in [&b""[..], b"\x30", b"\x30\x80\x00\x00", b"-----BEGIN CERTIFICATE-----\n"] {
        assert!(parse_csr(nothing).is_err());
    }
}

#[test]
fn names_of_no_form_are_refused_and_strange_kinds_left_out() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let with = |san: &str| {
        let config = format!(
            "[req]\ndistinguished_name=dn\nprompt=no\nreq_extensions=ext\n[dn]\nO=x\n[ext]\n\
             subjectAltName={san}\n[dir]\nCN=x\n"
        );
        parse_csr(&request(&scratch, &config, &P256))
    };
    for bad in ["DNS:a b", "DNS:*", "DNS:a..b", "email:nobody", "URI:nothing", "DNS:10.0.0.1"] {
        assert!(matches!(with(bad), Err(CsrError::Name(_))), "{bad}");
    }
    let csr = with("otherName:1.2.3.4;UTF8:x,dirName:dir,RID:1.2.3.4,DNS:a").unwrap();
    assert_eq!(csr.names, [SubjectName::dns("a").unwrap()]);
    assert_eq!(csr.ignored, ["otherName", "directoryName", "registeredID"]);
    let many: Vec<String> = (0..101).map(|n| format!("DNS:n{n}.example")).collect();
    assert_eq!(with(&many.join(",")), Err(CsrError::TooManyNames(101)));
}

#[test]
fn requests_by_gnutls_are_read() {
    if !available("certtool") {
        return;
    }
    let scratch = Scratch::new();
    let template = scratch.file("template", "cn = web\ndns_name = web\nip_address = 10.0.0.1\n");
    let key = scratch.place.path().join("g.key");
    let key = key.to_str().unwrap();
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let make = ["--generate-privkey", "--key-type", kind, "--outfile", key];
        succeed("certtool", &make);
        let csr = scratch.place.path().join("g.csr");
        let csr = csr.to_str().unwrap();
        let sign = ["--generate-request", "--load-privkey", key, "--template", &template];
        // Ed25519 has its own hash, and certtool refuses another.
        let hash: &[&str] = if kind == "ed25519" { &[] } else { &["--hash", "SHA256"] };
        succeed("certtool", &[&sign[..], hash, &["--outfile", csr]].concat());
        let read = parse_csr(&std::fs::read(csr).unwrap()).unwrap();
        assert_eq!(read.names.len(), 2, "{kind}");
    }
}
