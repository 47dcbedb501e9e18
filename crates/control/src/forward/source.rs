//! Tokens from the brokers.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use sealock_core::{Clock, Identity, SystemClock, TrustDomain};
use sealock_traffic::forwarder::{Fresh, SourceError, TokenSource};
use zeroize::Zeroizing;

use super::options::{Asker, IdentityFolder, Link, Site};
use crate::client::link::ClientSecret;
use crate::command::{Command, Reply, TokenForm, TokenWanted};
use crate::daemon::blocking;
use crate::error::{ErrorCode, ServiceError};

/// One for each trust domain.
pub(super) struct Brokers(Vec<(TrustDomain, Broker)>);

struct Broker {
    way: Way,
    identity: Option<IdentityFolder>,
    /// Those that are called in clear text, where a token that is bound to our certificate would be worth nothing.
    plain: HashSet<String>,
}

enum Way {
    Link(Link),
    Secret(ClientSecret),
}

impl Brokers {
    pub(super) fn new<'a>(sites: impl IntoIterator<Item = (TrustDomain, &'a Site)>) -> Self {
        Self(sites.into_iter().map(|(domain, site)| (domain, Broker::new(site))).collect())
    }

    async fn fetch(&self, audience: &Identity) -> Result<Fresh, ServiceError> {
        let found = self.0.iter().find(|(domain, _)| domain == audience.trust_domain());
        let Some((_, broker)) = found else {
            return Err(ServiceError::new(ErrorCode::Fault, "no broker is known for this service"));
        };
        broker.fetch(audience).await
    }
}

impl Broker {
    fn new(site: &Site) -> Self {
        let way = match &site.asker {
            Asker::Link(link) => Way::Link(link.clone()),
            Asker::Secret { address, client, secret, ca, trust_domain } => {
                Way::Secret(ClientSecret {
                    address: address.clone(),
                    client: client.clone(),
                    secret: secret.clone(),
                    ca: ca.clone(),
                    trust_domain: trust_domain.clone(),
                })
            }
        };
        let plain = site.services.iter().filter(|service| service.plain);
        let plain = plain.map(|it| it.known_as.as_ref().unwrap_or(&it.name).clone()).collect();
        Self { way, identity: site.identity.clone(), plain }
    }

    async fn fetch(&self, audience: &Identity) -> Result<Fresh, ServiceError> {
        match &self.way {
            Way::Secret(secret) => {
                let (token, life) = secret.token(&audience.to_string()).await?;
                let life = std::time::Duration::from_secs(life);
                Ok(Fresh { token, expires_at: SystemClock.now().plus(life) })
            }
            Way::Link(link) => {
                let wanted = TokenWanted {
                    audience: audience.to_string(),
                    ttl: None,
                    certificate: self.certificate(link, audience).await?,
                    form: TokenForm::AccessToken,
                };
                match link.call(&Command::TokenIssue(wanted)).await? {
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

    /// The certificate that a token is to be bound to. Over HTTPS the broker binds it to the one that is shown there.
    async fn certificate(
        &self,
        link: &Link,
        audience: &Identity,
    ) -> Result<Option<String>, ServiceError> {
        let (Link::Socket(_), Some(identity)) = (link, &self.identity) else { return Ok(None) };
        if self.plain.contains(audience.name()) {
            return Ok(None);
        }
        let identity = identity.clone();
        let files = blocking(move || identity.read()).await?;
        let leaf = files.chain.first();
        Ok(leaf.map(|leaf| HEXLOWER.encode(digest(&SHA256, leaf).as_ref())))
    }
}

impl TokenSource for Brokers {
    fn token<'a>(
        &'a self,
        audience: &'a Identity,
    ) -> Pin<Box<dyn Future<Output = Result<Fresh, SourceError>> + Send + 'a>> {
        Box::pin(async move {
            self.fetch(audience).await.map_err(|error| {
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
