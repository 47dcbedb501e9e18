//! The way to a site's broker: as ourselves, or with a client's secret.

use std::fmt;

use sealock_traffic::broker::RevokedCas;

use super::options::{Asker, Link};
use crate::client::Follower;
use crate::client::secret::ClientSecret;
use crate::error::ServiceError;

/// How a broker is asked.
pub(super) enum Way {
    Link(Link),
    Secret(ClientSecret),
}

impl Way {
    pub(super) fn of(asker: &Asker) -> Self {
        match asker {
            Asker::Link(link) => Self::Link(link.clone()),
            Asker::Secret { address, client, secret, ca, trust_domain } => {
                Self::Secret(ClientSecret {
                    address: address.clone(),
                    client: client.clone(),
                    secret: secret.clone(),
                    ca: ca.clone(),
                    trust_domain: trust_domain.clone(),
                })
            }
        }
    }

    /// The services that we may call, line by line.
    pub(super) async fn services(&self, revoked: &RevokedCas) -> Result<Follower, ServiceError> {
        match self {
            Self::Link(link) => link.services(revoked).await,
            Self::Secret(secret) => secret.services(revoked).await,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(link) => write!(formatter, "{link}"),
            Self::Secret(secret) => write!(formatter, "https://{}", secret.address),
        }
    }
}
