use std::fs;
use std::path::PathBuf;

use super::*;

fn corpus() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/acme_jws"))
}

fn seed(name: &str) -> Vec<u8> {
    fs::read(corpus().join(name)).unwrap()
}

/// What has been found once stays found, and the fuzzer's own rules hold where it has not been yet.
#[test]
fn the_fuzz_corpus_holds() {
    let mut seen = 0;
    for seed in fs::read_dir(corpus()).unwrap() {
        let data = fs::read(seed.unwrap().path()).unwrap();
        fuzz(&data);
        for place in 0..data.len() {
            fuzz(&data[..place]);
            let mut bent = data.clone();
            bent[place] ^= 1 << (place % 7);
            fuzz(&bent);
        }
        seen += 1;
    }
    assert!(seen >= 20, "{seen} seeds");
}

/// The seeds reach what is behind the first refusal.
#[test]
fn the_seeds_are_what_their_names_say() {
    let keys = Keys::new().unwrap();
    let [jws, inner] = ["request-jwk", "request-inner"].map(seed);
    let request = Request::read(&jws).unwrap();
    assert_eq!(request.verify(&keys.ours), Ok(()));
    let account = NewAccount::read(request.payload()).unwrap();
    let binding = account.external_account_binding.unwrap();
    let key = SecretBytes::new(MAC_KEY.to_vec());
    assert_eq!(binding.verify(&key, &keys.ours, URL), Ok(()));
    assert_eq!(*KeyChange::read(&inner, URL).unwrap().key(), keys.ours);
    let by_account = Request::read(&seed("request-kid")).unwrap();
    assert_eq!(by_account.verify(&keys.ours), Ok(()));
    assert_eq!(NewOrder::read(by_account.payload()).unwrap().identifiers.len(), 3);
    for name in ["key-rsa", "key-p256", "key-p384", "key-ed25519"] {
        assert!(Jwk::from_json(&seed(name)).is_ok(), "{name}");
    }
    let text = |name| String::from_utf8(seed(name)).unwrap();
    assert!(text("text-certificate-id").parse::<CertificateId>().is_ok());
    assert!(Contact::read(&text("text-contact")).is_ok());
    assert!(Identifier::read("dns", &text("text-dns")).is_ok());
    assert!(Identifier::read("ip", &text("text-ipv6")).is_ok());
    assert!(Finalize::read(&seed("payload-finalize")).is_ok());
    assert!(RevokeCert::read(&seed("payload-revoke")).is_ok());
}
