//! Tokens from the brokers.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;

use data_encoding::HEXLOWER;
use sealock_core::{Clock, Identity, SystemClock, TrustDomain};
use sealock_traffic::forwarder::{Fresh, SourceError, TokenSource, Trust};
use zeroize::Zeroizing;

use super::options::{Link, Site};
use super::way::Way;
use crate::client::link::IdentityFiles;
use crate::command::{Command, Reply, TokenForm, TokenWanted};
use crate::error::{ErrorCode, ServiceError};

/// One for each trust domain.
pub(super) struct Brokers(Vec<(TrustDomain, Broker)>);

struct Broker {
    way: Way,
    /// Those that are called in clear text. No certificate is shown there, so a token that is bound to one would be worth
    /// nothing.
    plain: HashSet<String>,
}

impl Brokers {
    pub(super) fn new<'a>(sites: impl IntoIterator<Item = (TrustDomain, &'a Site)>) -> Self {
        Self(sites.into_iter().map(|(domain, site)| (domain, Broker::new(site))).collect())
    }

    async fn fetch(&self, audience: &Identity, trust: &Trust) -> Result<Fresh, ServiceError> {
        let found = self.0.iter().find(|(domain, _)| domain == audience.trust_domain());
        let Some((_, broker)) = found else {
            return Err(ServiceError::new(ErrorCode::Fault, "no broker is known for this service"));
        };
        broker.fetch(audience, trust).await
    }
}

impl Broker {
    fn new(site: &Site) -> Self {
        let plain = site.services.iter().filter(|service| service.plain);
        let plain = plain.map(|it| it.known_as.as_ref().unwrap_or(&it.name).clone()).collect();
        Self { way: Way::of(&site.asker), plain }
    }

    async fn fetch(&self, audience: &Identity, trust: &Trust) -> Result<Fresh, ServiceError> {
        match &self.way {
            Way::Secret(secret) => {
                let (token, life) =
                    secret.token(&audience.to_string(), &trust.revoked.now()).await?;
                let life = std::time::Duration::from_secs(life);
                Ok(Fresh { token, expires_at: SystemClock.now().plus(life) })
            }
            Way::Link(link) => {
                let unbound = self.plain.contains(audience.name());
                let certificate = trust.thumbprint().filter(|_| !unbound);
                let wanted = TokenWanted {
                    audience: audience.to_string(),
                    ttl: None,
                    certificate: certificate.map(|print| HEXLOWER.encode(&print)),
                    unbound,
                    form: TokenForm::AccessToken,
                };
                match call(link, trust, &Command::TokenIssue(wanted)).await? {
                    Reply::Token(made) => {
                        let token = std::str::from_utf8(made.token.bytes().expose());
                        let token = Zeroizing::new(token.unwrap_or_default().to_owned());
                        Ok(Fresh { token, expires_at: made.expires })
                    }
                    _ => Err(ServiceError::new(
                        ErrorCode::Fault,
                        "the broker answered something else",
                    )),
                }
            }
        }
    }
}

/// Over HTTPS the broker binds a token to the certificate that is shown there, so it must be that one.
async fn call(link: &Link, trust: &Trust, command: &Command) -> Result<Reply, ServiceError> {
    match &trust.own {
        Some((chain, key)) => {
            let (chain, key, roots) = (chain.clone(), key.clone_key(), trust.roots.clone());
            link.call_as(IdentityFiles { chain, key, roots }, &trust.revoked.now(), command).await
        }
        None => link.call(command).await,
    }
}

impl TokenSource for Brokers {
    fn token<'a>(
        &'a self,
        audience: &'a Identity,
        trust: &'a Trust,
    ) -> Pin<Box<dyn Future<Output = Result<Fresh, SourceError>> + Send + 'a>> {
        Box::pin(async move {
            self.fetch(audience, trust).await.map_err(|error| {
                tracing::warn!(%audience, %error, causes = ?error.causes, "no token");
                match error.code {
                    ErrorCode::Denied | ErrorCode::Usage | ErrorCode::Unauthenticated => {
                        SourceError::Refused { audience: audience.clone() }
                    }
                    _ => SourceError::Unavailable(error.into()),
                }
            })
        })
    }
}
