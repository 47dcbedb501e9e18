//! What GnuTLS says.

use sealock_authority::{CreateOptions, KeySource, KeyType, Order, Reason, Rotate};

use crate::common::{Place, Scratch, actor, available, options, order, refuse, succeed};

#[test]
fn chains_of_every_kind_of_key_verify() {
    if !available("certtool") {
        return;
    }
    for key_type in KeyType::ALL {
        let scratch = Place::new().create(&CreateOptions { key_type, ..options() });
        let key = KeySource::Generate(key_type);
        let issued = scratch.issue(&Order { key, ..order(&["web.corp.example"]) }).unwrap();
        let whole = scratch.file("whole.crt", issued.tls_crt() + &issued.ca_crt());
        succeed("certtool", &["--verify-chain", "--infile", &whole]);
        let chain = scratch.file("tls.crt", issued.tls_crt());
        let root = scratch.file("ca.crt", issued.ca_crt());
        let trust =
            ["--verify", "--load-ca-certificate", &root, "--infile", &chain, "--verify-hostname"];
        succeed("certtool", &[&trust[..], &["web.corp.example"]].concat());
        refuse("certtool", &[&trust[..], &["other.corp.example"]].concat());
        let text = succeed("certtool", &["-i", "--infile", &chain]);
        assert!(!text.to_lowercase().contains("warning"), "{text}");
        let key = scratch.file("tls.key", issued.tls_key().unwrap().expose());
        let of_key = succeed("certtool", &["--load-privkey", &key, "--pubkey-info"]);
        let of_leaf = succeed("certtool", &["--pubkey-info", "--infile", &chain]);
        assert_eq!(block(&of_key), block(&of_leaf));
    }
}

/// The PEM block at the end.
fn block(text: &str) -> &str {
    text.split_once("-----BEGIN PUBLIC KEY-----").unwrap().1
}

#[test]
fn lists_verify_and_show_what_is_revoked() {
    if !available("certtool") {
        return;
    }
    let scratch = Scratch::new();
    let bad = scratch.issue(&order(&["bad"])).unwrap();
    scratch.authority.revoke(bad.serial, Reason::Superseded, &actor()).unwrap();
    let list = scratch.file("issuer.crl", scratch.authority.crl().unwrap().pem());
    let issuer = scratch.file("issuer.crt", &*bad.intermediates[0].pem);
    succeed("certtool", &["--verify-crl", "--load-ca-certificate", &issuer, "--infile", &list]);
    let text = succeed("certtool", &["--crl-info", "--infile", &list]);
    assert!(text.contains(&bad.serial.to_string()), "{text}");
}

#[test]
fn chains_verify_during_the_overlap_of_two_roots() {
    if !available("certtool") {
        return;
    }
    let scratch = Scratch::new();
    let old = scratch.issue(&order(&["old"])).unwrap();
    scratch.authority.rotate(Rotate::Root, None, &actor()).unwrap();
    let new = scratch.issue(&order(&["new"])).unwrap();
    let new_root = scratch.file("new-ca.crt", &*new.roots[0].pem);
    let bundle = scratch.file("bundle-ca.crt", new.ca_crt());
    let new = scratch.file("new.crt", new.tls_crt());
    let old = scratch.file("old.crt", old.tls_crt());
    for (root, chain) in [(&new_root, &new), (&bundle, &new), (&bundle, &old)] {
        succeed("certtool", &["--verify", "--load-ca-certificate", root, "--infile", chain]);
    }
}
