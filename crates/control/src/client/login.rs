//! A person's login, from their own machine: how the server is known at first contact, the wait for somebody's yes, and
//! the certificate. The key is made here and stays here.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sealock_core::Timestamp;
use sealock_net::tls::dangerous_first_contact;
use sealock_traffic::broker::RevokedCas;
use sealock_traffic::oauth::{DEVICE, ENROL};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::link::{IdentityFiles, IdentityFolder, broker_config, connected, roots_in};
use super::wire;
use crate::command::SecretText;
use crate::daemon::blocking;
use crate::error::{ErrorCode, ServiceError};
use crate::login_code::FirstCode;

/// What a program of ours calls itself.
const CLIENT: &str = "sealock-cli";
/// A bundle of roots is not longer.
const LONGEST_BUNDLE: usize = 256 * 1024;
/// A server that asks us to wait longer, or shorter, is not obeyed.
const INTERVALS: (u64, u64) = (1, 60);
const LONGEST_WAIT: u64 = 1800;

/// A server that is known to be the right one.
#[derive(Debug, Clone)]
pub struct LoginServer {
    address: String,
    roots: Vec<CertificateDer<'static>>,
}

/// A login that waits for somebody's yes.
#[derive(Deserialize)]
pub struct LoginBegun {
    device_code: SecretText,
    /// What is told to an administrator.
    pub user_code: String,
    /// Where that is explained.
    pub verification_uri: String,
    /// Seconds.
    pub expires_in: u64,
    #[serde(default = "interval")]
    interval: u64,
}

impl std::fmt::Debug for LoginBegun {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LoginBegun").finish_non_exhaustive()
    }
}

/// RFC 8628 §3.2
const fn interval() -> u64 {
    5
}

/// What a person has after a login: the files of their identity.
pub struct LoginFiles {
    /// PKCS#8, PEM.
    pub key: Zeroizing<String>,
    /// The leaf, then the intermediates, PEM.
    pub certificate: String,
    /// The roots to trust, PEM.
    pub ca: String,
    /// Who they are.
    pub identity: String,
    /// Until when.
    pub not_after: Timestamp,
    /// `host:port` of the server.
    pub address: String,
}

impl std::fmt::Debug for LoginFiles {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LoginFiles")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Given {
    access_token: SecretText,
}

#[derive(Deserialize)]
struct Enrolled {
    identity: String,
    not_after: Timestamp,
    certificate: String,
    ca: String,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl LoginServer {
    /// A server under the roots in this file.
    ///
    /// # Errors
    /// The file cannot be used.
    pub async fn with_ca(address: String, file: &Path) -> Result<Self, ServiceError> {
        let file = file.to_owned();
        let roots = blocking(move || roots_in(&file)).await?;
        Ok(Self { address, roots })
    }

    /// A server under the root with this SHA-256. The root is fetched from whoever answers, which is safe because it is
    /// the very one or is not taken; from then on the server is verified as always.
    ///
    /// # Errors
    /// Nobody answers, or the root is another.
    pub async fn with_fingerprint(
        address: String,
        fingerprint: [u8; 32],
    ) -> Result<Self, ServiceError> {
        let config = dangerous_first_contact()
            .map_err(|error| ServiceError::of(ErrorCode::Failed, &error))?;
        let stream = connected(&address, config, &RevokedCas::default()).await?;
        let bundle = wire::get(stream, "/ca.crt", LONGEST_BUNDLE).await?;
        let is_it = |root: &CertificateDer<'_>| digest(&SHA256, root).as_ref() == fingerprint;
        let found = CertificateDer::pem_slice_iter(&bundle).filter_map(Result::ok).find(is_it);
        let root = found.ok_or_else(|| {
            let text = format!("{address} is not the server that this is for, or somebody is in between");
            ServiceError::new(ErrorCode::Failed, text)
                .hint("its root has another fingerprint: `sealock ca show` on the host shows the right one")
        })?;
        Ok(Self { address, roots: vec![root] })
    }

    /// Begins a login.
    ///
    /// # Errors
    /// The server does not answer, or says no.
    pub async fn begin(&self, user: Option<&str>) -> Result<LoginBegun, ServiceError> {
        let mut form = vec![("client_id", CLIENT)];
        form.extend(user.map(|user| ("login_hint", user)));
        let (status, body) = self.post(DEVICE, None, &form).await?;
        if status == 200 { read(&body) } else { Err(refused(status, &body)) }
    }

    /// Waits until somebody has decided; the code for the certificate.
    ///
    /// # Errors
    /// Nobody has decided in time, or somebody has said no.
    pub async fn wait(&self, begun: &LoginBegun) -> Result<SecretText, ServiceError> {
        let mut interval = begun.interval.clamp(INTERVALS.0, INTERVALS.1);
        let until =
            tokio::time::Instant::now() + Duration::from_secs(begun.expires_in.min(LONGEST_WAIT));
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", plain(&begun.device_code)),
            ("client_id", CLIENT),
        ];
        loop {
            tokio::time::sleep(Duration::from_secs(interval)).await;
            let (status, body) = match self.post("/oauth/token", None, &form).await {
                Ok(answer) => answer,
                // It may be started anew meanwhile.
                Err(error)
                    if error.code == ErrorCode::Unavailable
                        && tokio::time::Instant::now() < until =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            if status == 200 {
                return read::<Given>(&body).map(|given| given.access_token);
            }
            match serde_json::from_slice::<Refused>(&body).map(|refused| refused.error) {
                Ok(error) if error == "slow_down" => interval = (interval + 5).min(INTERVALS.1),
                Ok(error) if error == "authorization_pending" => {}
                _ => return Err(refused(status, &body)),
            }
            if tokio::time::Instant::now() >= until {
                let text = "nobody has confirmed the login in time";
                return Err(ServiceError::new(ErrorCode::Timeout, text)
                    .hint("begin anew, and tell an administrator the code"));
            }
        }
    }

    /// The certificate for a code.
    ///
    /// # Errors
    /// The code is not good, or the server does not answer.
    pub async fn enrol(&self, code: &SecretText) -> Result<LoginFiles, ServiceError> {
        self.enrol_by(plain(code)).await
    }

    /// The certificate for a code of `sealock login invite`.
    ///
    /// # Errors
    /// As [`LoginServer::enrol`].
    pub async fn enrol_first(&self, code: &FirstCode) -> Result<LoginFiles, ServiceError> {
        self.enrol_by(&code.secret()).await
    }

    async fn enrol_by(&self, code: &str) -> Result<LoginFiles, ServiceError> {
        let (key, csr) = new_key()?;
        let answer = self.post(ENROL, Some(code), &[("csr", &csr)]).await?;
        enrolled(&self.address, key, answer)
    }

    async fn post(
        &self,
        path: &str,
        bearer: Option<&str>,
        form: &[(&str, &str)],
    ) -> Result<(u16, bytes::Bytes), ServiceError> {
        // Which trust domain it is we are yet to hear.
        let config = broker_config(&self.roots, None, None)?;
        let stream = connected(&self.address, config, &RevokedCas::default()).await?;
        wire::form(stream, path, bearer, form).await
    }
}

/// A certificate in the place of the one in this folder, with a new key, while that one is good.
///
/// # Errors
/// It is not good any more, policy says no, or the server does not answer.
pub async fn renew_login(
    address: &str,
    identity: &IdentityFolder,
) -> Result<LoginFiles, ServiceError> {
    let identity = identity.clone();
    let IdentityFiles { chain, key, roots } = blocking(move || identity.read()).await?;
    let config = broker_config(&roots, Some((chain, key)), None)?;
    let (key, csr) = new_key()?;
    let stream = connected(address, config, &RevokedCas::default()).await?;
    let answer = wire::form(stream, ENROL, None, &[("csr", &csr)]).await?;
    enrolled(address, key, answer)
}

fn enrolled(
    address: &str,
    key: Zeroizing<String>,
    (status, body): (u16, bytes::Bytes),
) -> Result<LoginFiles, ServiceError> {
    if status != 200 {
        return Err(refused(status, &body));
    }
    let Enrolled { identity, not_after, certificate, ca } = read(&body)?;
    Ok(LoginFiles { key, certificate, ca, identity, not_after, address: address.to_owned() })
}

/// A key of P-256, PKCS#8 in PEM, and the request for its certificate, base64 of the DER. What the certificate says is
/// for the server to decide, so the request says nothing.
fn new_key() -> Result<(Zeroizing<String>, String), ServiceError> {
    let failed = |error: rcgen::Error| ServiceError::of(ErrorCode::Fault, &error);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(failed)?;
    Ok((Zeroizing::new(key.serialize_pem()), BASE64.encode(request.der())))
}

fn plain(secret: &SecretText) -> &str {
    std::str::from_utf8(secret.bytes().expose()).unwrap_or_default()
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ServiceError> {
    serde_json::from_slice(body)
        .map_err(|_| ServiceError::new(ErrorCode::Fault, "the server's answer cannot be read"))
}

fn refused(status: u16, body: &[u8]) -> ServiceError {
    let code = match status {
        401 => ErrorCode::Unauthenticated,
        403 => ErrorCode::Denied,
        400 => ErrorCode::Failed,
        503 => ErrorCode::Busy,
        _ => ErrorCode::Unavailable,
    };
    match serde_json::from_slice::<Refused>(body) {
        // Whoever answers is the right one, but what goes to a terminal is plain.
        Ok(said) => {
            let text = format!("{}: {}", said.error, said.error_description);
            let plain =
                text.chars().take(400).filter(|c| matches!(c, ' '..='~')).collect::<String>();
            ServiceError::new(code, plain)
        }
        Err(_) => ServiceError::new(code, format!("the server answered {status}")),
    }
}
