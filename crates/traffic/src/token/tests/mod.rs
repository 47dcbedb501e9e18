use std::fmt::Write;

use data_encoding::BASE64URL_NOPAD;
use sealock_core::Identity;

use super::issue::seal;
use super::*;

mod algorithm;
mod assertion;
mod binding;
mod claims;
mod form;
mod header;
mod issue;
mod json;
mod key;
mod key_set;
mod mutation;
mod round_trip;
mod signature;
mod time;
mod vectors;

const ISSUER: &str = "https://broker.example";
const AUDIENCE: &str = "spiffe://example.org/service/orders";
const NOW: u64 = 1_700_000_000;

fn subject() -> Identity {
    "spiffe://example.org/service/shop".parse().unwrap()
}

fn claims() -> Claims {
    Claims {
        issuer: ISSUER.to_owned(),
        subject: subject(),
        audience: AUDIENCE.to_owned(),
        issued_at: NOW,
        not_before: NOW,
        expires_at: NOW + 300,
        id: "token-1".to_owned(),
        client: Some("shop".to_owned()),
        binding: None,
    }
}

fn expected() -> Expected<'static> {
    Expected {
        issuer: ISSUER,
        audience: AUDIENCE,
        now: NOW,
        skew: SKEW,
        longest: 300,
        certificate: None,
    }
}

/// The broker's keys, and an attacker's that has the same form.
struct Keys {
    es256: SigningKey,
    eddsa: SigningKey,
    stranger: SigningKey,
    /// The broker's.
    set: KeySet,
}

impl Keys {
    fn new() -> Self {
        let [es256, eddsa, stranger] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Es256]
            .map(|algorithm| SigningKey::generate(algorithm).unwrap());
        let set = KeySet::from_iter([es256.public(), eddsa.public()]);
        Self { es256, eddsa, stranger, set }
    }

    fn both(&self) -> [&SigningKey; 2] {
        [&self.es256, &self.eddsa]
    }

    /// What becomes of a token.
    fn verify(&self, token: &str) -> Result<(), Refusal> {
        verify(token, &self.set, &expected()).map(drop)
    }

    /// What becomes of these claims in a token that is good but for them.
    fn verify_claims(&self, claims: &str) -> Result<(), Refusal> {
        self.verify(&sign(&self.es256, &head(&self.es256).json(), claims))
    }

    /// What becomes of this header in a token that is good but for it.
    fn verify_header(&self, header: &str) -> Result<(), Refusal> {
        self.verify(&sign(&self.es256, header, &body().json()))
    }
}

/// An object, its values as they are written: in Rust's terms a token that is not ours could not be said.
#[derive(Clone)]
struct Written(Vec<(String, String)>);

impl Written {
    /// With this value, in the place of the one there was.
    fn with(mut self, name: &str, value: &str) -> Self {
        match self.0.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => value.clone_into(old),
            None => self = self.also(name, value),
        }
        self
    }

    /// With this member at the end, even if there is one of this name.
    fn also(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(other, _)| other != name);
        self
    }

    fn json(&self) -> String {
        let mut json = String::from("{");
        for (number, (name, value)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(json, r#"{comma}"{name}":{value}"#).unwrap();
        }
        json + "}"
    }
}

/// The header of a good token by this key.
fn head(key: &SigningKey) -> Written {
    Written(Vec::new())
        .also("alg", &quoted(key.algorithm().name()))
        .also("typ", r#""at+jwt""#)
        .also("kid", &quoted(key.kid()))
}

/// The claims of a good token.
fn body() -> Written {
    Written(Vec::new())
        .also("iss", &quoted(ISSUER))
        .also("sub", &quoted(&subject().to_string()))
        .also("aud", &quoted(AUDIENCE))
        .also("exp", &(NOW + 300).to_string())
        .also("nbf", &NOW.to_string())
        .also("iat", &NOW.to_string())
        .also("jti", r#""token-1""#)
        .also("client_id", r#""shop""#)
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// A token with a good signature over whatever is in it.
fn sign(key: &SigningKey, header: &str, claims: &str) -> String {
    seal(key, header.as_bytes(), claims.as_bytes()).unwrap().to_string()
}

/// The same over parts that are not as base64url writes them.
fn sign_parts(key: &SigningKey, header: &str, claims: &str) -> String {
    let signed = format!("{header}.{claims}");
    let signature = BASE64URL_NOPAD.encode(key.sign(signed.as_bytes()).unwrap().as_ref());
    format!("{signed}.{signature}")
}

fn good(key: &SigningKey) -> String {
    sign(key, &head(key).json(), &body().json())
}

/// Header, claims, signature.
fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

#[test]
fn what_the_tables_start_from_is_good() {
    let keys = Keys::new();
    for key in keys.both() {
        assert_eq!(verify(&good(key), &keys.set, &expected()), Ok(claims()));
    }
    let [header, claims, _] = parts(&good(&keys.es256)).map(str::to_owned);
    assert_eq!(keys.verify(&sign_parts(&keys.es256, &header, &claims)), Ok(()));
}

/// What has been found once stays found, and the fuzzer's own rules hold where it has not been yet.
#[test]
fn the_fuzz_corpus_holds() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/traffic_token");
    let mut seen = 0;
    for seed in std::fs::read_dir(corpus).unwrap() {
        let data = std::fs::read(seed.unwrap().path()).unwrap();
        fuzz(&data);
        for place in 0..data.len() {
            fuzz(&data[..place]);
            let mut bent = data.clone();
            bent[place] ^= 1 << (place % 7);
            fuzz(&bent);
        }
        seen += 1;
    }
    assert!(seen >= 8, "{seen} seeds");
}
