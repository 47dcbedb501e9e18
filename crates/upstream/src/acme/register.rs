//! An account: its key, and how a server comes to know it.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::{Method, StatusCode};
use sealock_core::SecretBytes;

use super::jws::{self, Signer};
use super::wire::{Directory, Problem};
use crate::client::{Answer, Client};
use crate::error::UpstreamError;

/// How often a nonce may be refused (RFC 8555 §6.5).
pub(super) const MOST_NONCES: usize = 20;
const LONGEST_NONCE: usize = 512;
const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// The private key of an account (P-256, PKCS#8).
pub struct AccountKey(SecretBytes);

impl std::fmt::Debug for AccountKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("AccountKey")
    }
}

impl AccountKey {
    /// A new one.
    ///
    /// # Errors
    /// There are no random numbers.
    pub fn generate() -> Result<Self, UpstreamError> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let pkcs8 = pkcs8.map_err(|_| UpstreamError::Key)?;
        Ok(Self(SecretBytes::new(pkcs8.as_ref().to_vec())))
    }

    /// One that was kept.
    ///
    /// # Errors
    /// It is none.
    pub fn from_pkcs8(pkcs8: SecretBytes) -> Result<Self, UpstreamError> {
        Signer::new(pkcs8.expose())?;
        Ok(Self(pkcs8))
    }

    /// As it is kept.
    pub fn pkcs8(&self) -> &[u8] {
        self.0.expose()
    }
}

/// What vouches for an account (RFC 8555 §7.3.4).
pub struct Binding {
    /// Its id.
    pub kid: String,
    /// The key of the MAC.
    pub key: SecretBytes,
}

impl std::fmt::Debug for Binding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Binding").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// What an account is made with.
#[derive(Debug, Default)]
pub struct Registration {
    /// URLs by which its owner is reached, such as `mailto:pki@corp.example`.
    pub contact: Vec<String>,
    /// Whether the server's terms are agreed to.
    pub terms_agreed: bool,
    /// What vouches for it.
    pub binding: Option<Binding>,
}

/// The server's directory.
///
/// # Errors
/// There is no answer, or one that is none.
pub async fn directory(client: &Client, url: &str) -> Result<Directory, UpstreamError> {
    let answer = client.send(Method::GET, url, &[], Bytes::new()).await?;
    if answer.status != StatusCode::OK {
        return Err(refused(client, &answer));
    }
    Directory::read(&answer.body).map_err(UpstreamError::Nonsense)
}

/// Makes the account of this key, or finds it where it was made before; gives its URL, which is its name.
///
/// # Errors
/// The server refuses, there is no answer, or one that is none.
pub async fn register(
    client: &Client,
    directory: &Directory,
    key: &AccountKey,
    registration: &Registration,
) -> Result<String, UpstreamError> {
    if let Some(terms) =
        directory.meta.terms_of_service.as_deref().filter(|_| !registration.terms_agreed)
    {
        return Err(UpstreamError::Terms(crate::said(terms)));
    }
    if directory.meta.external_account_required && registration.binding.is_none() {
        return Err(UpstreamError::BindingRequired);
    }
    let signer = Signer::new(key.pkcs8())?;
    let url = &directory.new_account;
    let mut nonce = None;
    for _ in 0..MOST_NONCES {
        let fresh = match nonce.take() {
            Some(nonce) => nonce,
            None => new_nonce(client, directory).await?,
        };
        let body = jws::new_account(&signer, registration, url, &fresh)?;
        let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/jose+json"))];
        let answer = client.send(Method::POST, url, &headers, body.into()).await?;
        match answer.status {
            StatusCode::OK | StatusCode::CREATED => {
                let at = answer.text(&LOCATION).unwrap_or_default();
                return client.own(at).map(|place| place.to_string()).map_err(|_| {
                    UpstreamError::Nonsense(
                        "it made an account without an address of its own".into(),
                    )
                });
            }
            StatusCode::BAD_REQUEST if Problem::read(&answer.body).kind == "badNonce" => {
                nonce = nonce_of(&answer);
            }
            _ => return Err(refused(client, &answer)),
        }
    }
    Err(UpstreamError::Nonsense(format!("it refused {MOST_NONCES} nonces of its own")))
}

async fn new_nonce(client: &Client, directory: &Directory) -> Result<String, UpstreamError> {
    let answer = client.send(Method::HEAD, &directory.new_nonce, &[], Bytes::new()).await?;
    nonce_of(&answer).ok_or_else(|| UpstreamError::Nonsense("it gives no nonce".into()))
}

/// Base64url (RFC 8555 §6.5.1).
fn nonce_of(answer: &Answer) -> Option<String> {
    let nonce = answer.text(&REPLAY_NONCE)?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_nonce = !nonce.is_empty() && nonce.len() <= LONGEST_NONCE && nonce.bytes().all(good);
    is_nonce.then(|| nonce.to_owned())
}

/// An answer that says no.
pub(super) fn refused(client: &Client, answer: &Answer) -> UpstreamError {
    let Problem { kind, detail } = Problem::read(&answer.body);
    let after = answer.after();
    if detail.is_empty() {
        let (origin, status) = (client.origin().clone(), answer.status.as_u16());
        return UpstreamError::Status { origin, status, detail: String::new(), after };
    }
    UpstreamError::Problem { kind, detail, after }
}
