//! The entry for fuzzing.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use sealock_core::SecretBytes;
use sealock_core::json;

use crate::ari::CertificateId;
use crate::challenge::{ChallengeType, dns_name};
use crate::identifier::{Identifier, MAXIMUM_IDENTIFIERS};
use crate::jwk::{Algorithm, Jwk};
use crate::jws::{Binding, JwsFault, KeyChange, MAXIMUM_NONCE, MAXIMUM_REQUEST, Request, Signer};
use crate::nonce::{BadNonce, Nonces};
use crate::problem::AcmeProblem;
use crate::wire::{
    AccountUpdate, AuthorizationUpdate, ChallengeResponse, Contact, Finalize, KeyChangeOrder,
    MAXIMUM_CONTACTS, MAXIMUM_DER, NewAccount, NewOrder, PayloadFault, RevokeCert,
};

/// Of the key that signs, so that inputs can have its public half and its signatures.
const SEED: [u8; 32] = [7; 32];

/// Of an external account.
const MAC_KEY: [u8; 32] = [8; 32];

/// Where inputs that are signed come.
const URL: &str = "https://ca.example/acme/key-change";

struct Keys {
    pair: Ed25519KeyPair,
    ours: Jwk,
    /// Made anew in every process: no input can be signed by it.
    stranger: Jwk,
    nonces: Nonces,
}

/// Any bytes as a request, as a key, as a payload of each kind, as the texts that stand in them; and as header and
/// payload (divided by the first line end) that are then signed. Checks what must hold of every result.
pub fn fuzz(data: &[u8]) {
    static KEYS: OnceLock<Option<Keys>> = OnceLock::new();
    let Some(keys) = KEYS.get_or_init(Keys::new) else { return };

    if let Some(request) = held(Request::read(data)) {
        request_holds(&request, keys, data.len());
    }
    if let Some(change) = held(KeyChange::read(data, URL)) {
        assert_ne!(*change.key(), keys.stranger, "signed by a key that has not signed");
    }
    if let Ok(key) = Jwk::from_json(data) {
        key_holds(&key);
    }
    texts(&String::from_utf8_lossy(data), keys);
    payloads(data);

    let (header, payload) = data.split_at(data.iter().position(|it| *it == b'\n').unwrap_or(0));
    signed(header, payload, keys);
    authenticated(header, payload, keys);
}

impl Keys {
    fn new() -> Option<Self> {
        let jwk = |pair: &Ed25519KeyPair| {
            let x = BASE64URL_NOPAD.encode(pair.public_key().as_ref());
            Jwk::from_json(format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#).as_bytes()).ok()
        };
        let pair = Ed25519KeyPair::from_seed_unchecked(&SEED).ok()?;
        let ours = jwk(&pair)?;
        let stranger = jwk(&Ed25519KeyPair::generate().ok()?)?;
        Some(Self { pair, ours, stranger, nonces: Nonces::new().ok()? })
    }
}

/// What was read; of what was refused, that it can be told to a client.
fn held<T, Fault: Into<AcmeProblem>>(read: Result<T, Fault>) -> Option<T> {
    let problem: AcmeProblem = match read {
        Ok(read) => return Some(read),
        Err(fault) => fault.into(),
    };
    assert!(!problem.detail.is_empty(), "a problem without words");
    assert!((400..=413).contains(&problem.status), "the server is not at fault");
    let again = serde_json::from_slice::<AcmeProblem>(&problem.to_json());
    assert_eq!(again.ok(), Some(problem), "written other than read");
    None
}

fn request_holds(request: &Request, keys: &Keys, length: usize) {
    assert!(length <= MAXIMUM_REQUEST, "a request over the limit is taken");
    assert!((1..=MAXIMUM_NONCE).contains(&request.nonce().len()), "a nonce without bounds");
    assert_eq!(keys.nonces.redeem(request.nonce()), Err(BadNonce::Unknown), "a nonce of nobody");
    assert!(request.verify(&keys.stranger).is_err(), "good under a key that has not signed");
    if let Signer::Jwk(key) = request.signer() {
        key_holds(key);
        if request.verify(key).is_ok() {
            let other = if *key == keys.ours { &keys.stranger } else { &keys.ours };
            assert_eq!(request.verify(other), Err(JwsFault::BadSignature), "good under two keys");
            assert_eq!(key.algorithm(), request.algorithm(), "the header decides the algorithm");
        }
    }
}

fn key_holds(key: &Jwk) {
    let again = Jwk::from_json(key.to_json().as_bytes());
    assert_eq!(again.as_ref(), Ok(key), "written other than read");
    let thumbprint = again.map(|again| again.thumbprint());
    assert_eq!(thumbprint, Ok(key.thumbprint()), "two thumbprints");
    let spki = key.to_spki().unwrap_or_default();
    assert!(key.same_as_spki(&spki) && !key.same_as_spki(&[]), "not the same as itself");
}

fn texts(text: &str, keys: &Keys) {
    assert_eq!(keys.nonces.redeem(text), Err(BadNonce::Unknown), "a nonce that nobody gave");
    if let Ok(id) = text.parse::<CertificateId>() {
        assert_eq!(id.to_string(), text, "a certificate has two identifiers");
        let made = CertificateId::new(id.key_identifier(), id.serial());
        assert_eq!(made, Some(id), "made other than read");
    }
    if let Ok(contact) = Contact::read(text) {
        assert_eq!(Contact::read(contact.as_str()), Ok(contact), "written other than read");
    }
    for kind in ["dns", "ip"] {
        if let Some(identifier) = held(Identifier::read(kind, text)) {
            identifier_holds(&identifier);
        }
    }
}

fn identifier_holds(identifier: &Identifier) {
    let text = identifier.to_string();
    let again = Identifier::read(identifier.kind(), &text);
    assert_eq!(again.as_ref(), Ok(identifier), "written other than read");
    assert_eq!(identifier.to_subject_name().to_string(), text, "another name in the certificate");
    assert!(text.is_ascii() && text == text.to_ascii_lowercase(), "another form");
    let base = identifier.base();
    assert!(!base.is_wildcard(), "a wildcard is to be proven");
    let again = Identifier::read(base.kind(), &base.to_string());
    assert_eq!(again, Ok(base), "what is to be proven is no identifier");
    for kind in ChallengeType::of(identifier) {
        let by_name = kind == ChallengeType::Dns01;
        assert!(by_name || !identifier.is_wildcard(), "a host says something about its neighbours");
        assert!(
            !by_name || dns_name(identifier).is_some(),
            "the DNS says something about addresses"
        );
    }
}

fn payloads(data: &[u8]) {
    if let Some(new) = held(NewAccount::read(data)) {
        assert!(new.contact.len() <= MAXIMUM_CONTACTS, "more contacts than the limit");
    }
    if let Some(order) = held(NewOrder::read(data)) {
        let count = order.identifiers.len();
        assert!((1..=MAXIMUM_IDENTIFIERS).contains(&count), "more identifiers than the limit");
        let all: BTreeSet<_> = order.identifiers.iter().collect();
        assert_eq!(all.len(), count, "an identifier stands twice");
        order.identifiers.iter().for_each(identifier_holds);
        let times = order.not_before.zip(order.not_after);
        assert!(times.is_none_or(|(before, after)| before < after), "no time between");
    }
    let der = held(Finalize::read(data)).map(|finalize| finalize.csr);
    let der = der.or(held(RevokeCert::read(data)).map(|revoke| revoke.certificate));
    assert!(der.is_none_or(|der| (1..=MAXIMUM_DER).contains(&der.len())), "DER without bounds");
    let others: [Result<(), PayloadFault>; 4] = [
        AccountUpdate::read(data).map(drop),
        KeyChangeOrder::read(data).map(|change| key_holds(&change.old_key)),
        AuthorizationUpdate::read(data).map(drop),
        ChallengeResponse::read(data).map(drop),
    ];
    for other in others {
        held(other);
    }
}

/// Any header and payload, signed by our key.
fn signed(header: &[u8], payload: &[u8], keys: &Keys) {
    let sign = |message: &[u8]| Some(keys.pair.try_sign(message).ok()?.as_ref().to_vec());
    let Some(body) = flattened(header, payload, sign) else { return };
    if let Some(request) = held(Request::read(body.as_bytes())) {
        request_holds(&request, keys, body.len());
        assert_eq!(request.payload(), payload, "another payload than was signed");
        let outcome = request.verify(&keys.ours);
        match request.signer() {
            Signer::Jwk(key) if *key != keys.ours => {
                assert_eq!(outcome, Err(JwsFault::BadSignature), "good under another key");
            }
            _ if request.algorithm() == Algorithm::EdDsa => {
                assert_eq!(outcome, Ok(()), "what we have signed is refused");
            }
            _ => assert_eq!(outcome, Err(JwsFault::AlgorithmMismatch), "the header decides"),
        }
    }
    match KeyChange::read(body.as_bytes(), URL) {
        Ok(change) => {
            assert_eq!(*change.key(), keys.ours, "signed by a key that has not signed");
            assert_eq!(change.payload(), payload, "another payload than was signed");
            assert!(Request::read(body.as_bytes()).is_err(), "an inner JWS is a request as well");
        }
        Err(fault) => drop(held::<(), _>(Err(fault))),
    }
}

/// Any header and payload, authenticated with the key of an external account.
fn authenticated(header: &[u8], payload: &[u8], keys: &Keys) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &MAC_KEY);
    let sign = |message: &[u8]| Some(hmac::sign(&key, message).as_ref().to_vec());
    let Some(body) = flattened(header, payload, sign) else { return };
    assert!(Request::read(body.as_bytes()).and_then(|it| it.verify(&keys.ours)).is_err(), "a MAC");
    let Ok(members) = json::read(body.as_bytes()) else { return };
    let Some(binding) = held(Binding::from_members(members)) else { return };
    let other = SecretBytes::new(vec![9; MAC_KEY.len()]);
    assert!(binding.verify(&other, &keys.ours, URL).is_err(), "good under another key");
    let key = SecretBytes::new(MAC_KEY.to_vec());
    assert!(binding.verify(&key, &keys.stranger, URL).is_err(), "bound to another account");
    if binding.verify(&key, &keys.ours, URL).is_ok() {
        assert_eq!(Jwk::from_json(payload).as_ref(), Ok(&keys.ours), "bound without its key");
    }
}

fn flattened(
    header: &[u8],
    payload: &[u8],
    sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Option<String> {
    let (header, payload) = (BASE64URL_NOPAD.encode(header), BASE64URL_NOPAD.encode(payload));
    let signature = BASE64URL_NOPAD.encode(&sign(format!("{header}.{payload}").as_bytes())?);
    Some(format!(r#"{{"protected":"{header}","payload":"{payload}","signature":"{signature}"}}"#))
}

#[cfg(test)]
mod tests;
