//! The sites that a Forwarder works with: in which trust domain each is, and the files by which it is known.

use sealock_core::{Identity, IdentityKind, Timestamp, TrustDomain};
use sealock_net::tls::identity_of;
use sealock_traffic::forwarder::{Directory, Hop, Service, Trust, Trusts};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::options::{Asker, ForwardOptions, IdentityFolder, Link, Site};
use crate::client::link::{IdentityFiles, roots_in};
use crate::daemon::blocking;
use crate::error::{ErrorCode, ServiceError};
use crate::guard::own_trust_domain;

/// By what it is known that files have changed: public halves only.
pub(super) type Seen = Vec<Vec<u8>>;

/// The trust domain of a site. Our certificate says it; where we have none, the broker, which is waited for.
pub(super) async fn domain(site: &Site) -> Result<TrustDomain, ServiceError> {
    match &site.asker {
        Asker::Secret { trust_domain, .. } => Ok(trust_domain.clone()),
        Asker::Link(link @ Link::Https(_, identity)) => {
            let identity = identity.clone();
            let files = blocking(move || identity.read()).await?;
            match files.chain.first().and_then(identity_of) {
                Some(own) => Ok(own.trust_domain().clone()),
                None => own_trust_domain(link).await,
            }
        }
        Asker::Link(link) => own_trust_domain(link).await,
    }
}

/// When a certificate ends.
fn end_of(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(Timestamp::from_secs(certificate.validity().not_after.timestamp()))
}

/// Who may be called, with each site in the domain that is named for it.
pub(super) fn directory(
    options: &ForwardOptions,
    domains: &[TrustDomain],
) -> Result<Directory, ServiceError> {
    let wrong =
        |error: &(dyn std::error::Error + 'static)| ServiceError::of(ErrorCode::Usage, error);
    let mut services = Vec::new();
    for (site, domain) in options.sites.iter().zip(domains) {
        for service in &site.services {
            let known_as = service.known_as.as_ref().unwrap_or(&service.name);
            let audience = Identity::new(domain, IdentityKind::Service, known_as)
                .map_err(|error| wrong(&error))?;
            services.push(Service {
                name: service.name.clone(),
                audience,
                aliases: service.aliases.clone(),
                instances: service.instances.clone(),
                hop: if service.plain { Hop::Plain } else { Hop::Tls },
            });
        }
    }
    let direct = options.transparent.as_ref().map(|it| it.direct.as_slice()).unwrap_or_default();
    Directory::new(services, &options.pass, &options.connect)
        .and_then(|directory| directory.intercept(&options.intercept.hosts))
        .and_then(|directory| directory.direct(direct))
        .map_err(|error| wrong(&error))
}

/// What the files of all sites say. One that cannot be read is an error, whichever it is.
pub(super) async fn trusts(sites: &[(TrustDomain, Site)]) -> Result<(Trusts, Seen), ServiceError> {
    let (mut trusts, mut seen) = (Vec::new(), Vec::new());
    for (domain, site) in sites {
        let ca = match &site.asker {
            Asker::Secret { ca, .. } => Some(ca.clone()),
            Asker::Link(_) => None,
        };
        let trust = trust(site.identity.clone(), ca).await?;
        let own = trust.own.iter().flat_map(|(chain, _)| chain);
        seen.extend(own.chain(&trust.roots).map(|der| der.to_vec()));
        trusts.push((domain.clone(), trust));
    }
    Ok((Trusts::new(trusts), seen))
}

async fn trust(
    identity: Option<IdentityFolder>,
    ca: Option<std::path::PathBuf>,
) -> Result<Trust, ServiceError> {
    blocking(move || {
        let mut trust = Trust::default();
        if let Some(identity) = identity {
            let IdentityFiles { chain, key, roots } = identity.read()?;
            let ends = chain.first().and_then(|leaf| end_of(leaf));
            trust = Trust { roots, own: Some((chain, key)), ends, ..trust };
        } else if let Some(ca) = ca {
            trust.roots = roots_in(&ca)?;
        }
        Ok(trust)
    })
    .await
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn our_certificate_says_when_it_ends() {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.not_after = rcgen::date_time_ymd(2030, 1, 2);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(end_of(made.der()), Some(Timestamp::from_secs(1_893_542_400)));
        assert_eq!(end_of(b"no certificate"), None);
    }
}
