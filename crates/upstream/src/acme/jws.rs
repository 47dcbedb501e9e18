//! Requests that make an account: signed by its own key (RFC 8555 §6.2), with the binding to another account in them
//! (§7.3.4).

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use data_encoding::BASE64URL_NOPAD as BASE64URL;
use serde_json::{Value, json};

use super::register::{Binding, Registration};
use crate::error::UpstreamError;

/// The key of an account, for signing.
pub(super) struct Signer(EcdsaKeyPair);

impl Signer {
    pub(super) fn new(pkcs8: &[u8]) -> Result<Self, UpstreamError> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map(Self)
            .map_err(|_| UpstreamError::Key)
    }

    /// The public key (RFC 7517).
    pub(super) fn jwk(&self) -> Result<Value, UpstreamError> {
        let point = self.0.public_key().as_ref();
        let (x, y) =
            point.get(1..).and_then(|both| both.split_at_checked(32)).ok_or(UpstreamError::Key)?;
        Ok(
            json!({ "crv": "P-256", "kty": "EC", "x": BASE64URL.encode(x), "y": BASE64URL.encode(y) }),
        )
    }

    fn sign(&self, input: &str) -> Result<String, UpstreamError> {
        let signature = self.0.sign(&SystemRandom::new(), input.as_bytes());
        signature.map(|it| BASE64URL.encode(it.as_ref())).map_err(|_| UpstreamError::Key)
    }
}

fn part(value: &Value) -> String {
    BASE64URL.encode(value.to_string().as_bytes())
}

fn flattened(protected: &str, payload: &str, signature: &str) -> Value {
    json!({ "protected": protected, "payload": payload, "signature": signature })
}

/// The request for an account, or for the one that this key has already.
pub(super) fn new_account(
    signer: &Signer,
    registration: &Registration,
    url: &str,
    nonce: &str,
) -> Result<Vec<u8>, UpstreamError> {
    let jwk = signer.jwk()?;
    let mut payload = json!({ "termsOfServiceAgreed": registration.terms_agreed });
    if let Some(fields) = payload.as_object_mut() {
        if !registration.contact.is_empty() {
            fields.insert("contact".to_owned(), json!(registration.contact));
        }
        if let Some(binding) = &registration.binding {
            fields.insert("externalAccountBinding".to_owned(), bound(binding, &jwk, url));
        }
    }
    let protected = part(&json!({ "alg": "ES256", "jwk": jwk, "nonce": nonce, "url": url }));
    let payload = part(&payload);
    let signature = signer.sign(&format!("{protected}.{payload}"))?;
    Ok(flattened(&protected, &payload, &signature).to_string().into_bytes())
}

/// The account's public key, signed with what the other account has given.
fn bound(binding: &Binding, jwk: &Value, url: &str) -> Value {
    let protected = part(&json!({ "alg": "HS256", "kid": binding.kid, "url": url }));
    let payload = part(jwk);
    let key = hmac::Key::new(hmac::HMAC_SHA256, binding.key.expose());
    let tag = hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
    flattened(&protected, &payload, &BASE64URL.encode(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use sealock_core::SecretBytes;

    use super::super::register::AccountKey;
    use super::*;

    fn decoded(text: &Value) -> Value {
        serde_json::from_slice(&BASE64URL.decode(text.as_str().unwrap().as_bytes()).unwrap())
            .unwrap()
    }

    #[test]
    fn a_request_is_signed_and_bound_to_its_url() {
        let key = AccountKey::generate().unwrap();
        let signer = Signer::new(key.pkcs8()).unwrap();
        let secret = SecretBytes::new(b"secret of the binding".to_vec());
        let binding = Binding { kid: "kid-1".to_owned(), key: secret.clone() };
        let registration = Registration {
            contact: vec!["mailto:pki@corp.example".to_owned()],
            terms_agreed: true,
            binding: Some(binding),
        };
        let sent = new_account(&signer, &registration, "https://a/new", "n0nce").unwrap();
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        let protected = decoded(&sent["protected"]);
        assert_eq!(
            (&protected["url"], &protected["nonce"]),
            (&json!("https://a/new"), &json!("n0nce"))
        );
        let input = format!(
            "{}.{}",
            sent["protected"].as_str().unwrap(),
            sent["payload"].as_str().unwrap()
        );
        let signature = BASE64URL.decode(sent["signature"].as_str().unwrap().as_bytes()).unwrap();
        let public =
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, signer.0.public_key().as_ref());
        public.verify(input.as_bytes(), &signature).unwrap();
        let payload = decoded(&sent["payload"]);
        assert_eq!(payload["contact"][0], "mailto:pki@corp.example");
        let bound = &payload["externalAccountBinding"];
        assert_eq!(decoded(&bound["payload"]), protected["jwk"]);
        assert_eq!(decoded(&bound["protected"])["url"], "https://a/new");
        let mac = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        let input = format!(
            "{}.{}",
            bound["protected"].as_str().unwrap(),
            bound["payload"].as_str().unwrap()
        );
        let tag = BASE64URL.decode(bound["signature"].as_str().unwrap().as_bytes()).unwrap();
        hmac::verify(&mac, input.as_bytes(), &tag).unwrap();
        assert!(!sent.to_string().contains("secret of"));
    }
}
