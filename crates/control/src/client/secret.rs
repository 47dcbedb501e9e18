//! A client that asks the broker with its secret, over HTTPS. The secret is shown to nobody but the broker: its
//! certificate is checked before anything is said.

use std::path::PathBuf;

use data_encoding::BASE64;
use form_urlencoded::byte_serialize;
use hyper::header::HeaderValue;
use sealock_core::TrustDomain;
use sealock_traffic::broker::RevokedCas;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::link::{broker_config, connected, roots_in};
use super::wire::{self, Follower};
use crate::api::SERVICES;
use crate::error::{ErrorCode, ServiceError};

/// A client's secret, with which tokens and the directory are asked for over HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientSecret {
    /// `host:port` of the API.
    pub(crate) address: String,
    /// Its name.
    pub(crate) client: String,
    /// The file with the secret.
    pub(crate) secret: PathBuf,
    /// The roots to trust.
    pub(crate) ca: PathBuf,
    /// The broker's trust domain.
    pub(crate) trust_domain: TrustDomain,
}

/// What the token endpoint answers.
#[derive(serde::Deserialize)]
struct Given {
    access_token: String,
    expires_in: u64,
}

/// Or answers in its place.
#[derive(serde::Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl ClientSecret {
    /// A connection to the broker, its certificate checked, and the secret as it is now: it is rotated.
    async fn connected(
        &self,
        revoked: &RevokedCas,
    ) -> Result<(TlsStream<TcpStream>, Zeroizing<String>), ServiceError> {
        let own = self.clone();
        let (secret, roots) = crate::daemon::blocking(move || {
            let failed = |error: &std::io::Error| {
                let text = format!("cannot read {}", own.secret.display());
                ServiceError::new(ErrorCode::Failed, text).caused_by(error)
            };
            let secret = std::fs::read_to_string(&own.secret).map(Zeroizing::new);
            Ok((secret.map_err(|error| failed(&error))?, roots_in(&own.ca)?))
        })
        .await?;
        let config = broker_config(&roots, None, Some(self.trust_domain.clone()))?;
        Ok((connected(&self.address, config, revoked).await?, secret))
    }

    /// The services that it may call, line by line.
    pub(crate) async fn services(&self, revoked: &RevokedCas) -> Result<Follower, ServiceError> {
        let (stream, secret) = self.connected(revoked).await?;
        wire::lines(stream, SERVICES, Some(basic(&self.client, secret.trim())?)).await
    }

    /// A token for an audience, and its life in seconds (RFC 6749 §4.4).
    pub(crate) async fn token(
        &self,
        audience: &str,
        revoked: &RevokedCas,
    ) -> Result<(Zeroizing<String>, u64), ServiceError> {
        let (stream, secret) = self.connected(revoked).await?;
        let form = [
            ("grant_type", "client_credentials"),
            ("audience", audience),
            ("client_id", &self.client),
            ("client_secret", secret.trim()),
        ];
        let (status, body) = wire::form(stream, "/oauth/token", None, &form).await?;
        if status == 200 {
            let given: Given = serde_json::from_slice(&body).map_err(|_| {
                ServiceError::new(ErrorCode::Fault, "the broker's answer cannot be read")
            })?;
            return Ok((Zeroizing::new(given.access_token), given.expires_in));
        }
        let code = match status {
            401 => ErrorCode::Unauthenticated,
            403 => ErrorCode::Denied,
            400 => ErrorCode::Usage,
            _ => ErrorCode::Unavailable,
        };
        let said = serde_json::from_slice::<Refused>(&body).ok();
        let said = said.map(|said| format!("{}: {}", said.error, said.error_description));
        let text = said.unwrap_or_else(|| format!("the broker answered {status}"));
        Err(ServiceError::new(code, text))
    }
}

/// `Authorization: Basic`, both parts encoded as in a form (RFC 6749 §2.3.1).
fn basic(client: &str, secret: &str) -> Result<HeaderValue, ServiceError> {
    let mut pair = Zeroizing::new(String::new());
    pair.extend(byte_serialize(client.as_bytes()));
    pair.push(':');
    pair.extend(byte_serialize(secret.as_bytes()));
    let mut value = Zeroizing::new("Basic ".to_owned());
    BASE64.encode_append(pair.as_bytes(), &mut value);
    let header = HeaderValue::from_str(&value);
    let mut header = header.map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use sealock_traffic::oauth::Credentials;

    use super::*;

    #[test]
    fn what_is_shown_is_read_as_it_was_meant_and_is_not_in_debug() {
        for (client, secret) in [("shop", "sealock_cs_aB-_9"), ("a:b", "1+2 %3D=:\u{e4}")] {
            let header = basic(client, secret).unwrap();
            let read = Credentials::basic(header.as_bytes()).unwrap().unwrap();
            assert_eq!((read.client.as_str(), read.secret.as_str()), (client, secret));
            assert_eq!(format!("{header:?}"), "Sensitive");
        }
    }
}
