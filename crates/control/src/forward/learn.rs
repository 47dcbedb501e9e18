//! Which services there are, as brokers know them: followed as it changes, and gone on with while a broker is away.
//!
//! What is written down here wins, and of several sites the one that is named first: a later one cannot offer what an
//! earlier one has. Which of them is heard first is chance, so a site among several is listened to only where its
//! owner says so.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sealock_core::TrustDomain;
use sealock_net::Shutdown;
use sealock_traffic::forwarder::{Directory, Forwarder, Hop, Service};
use sealock_traffic::registry::{Line, Listed, Listing};
use tokio::task::JoinSet;

use super::options::Site;
use super::way::Way;
use crate::error::{ErrorCode, ServiceError};
use crate::guard::spread;

/// A broker says something every five seconds; one that is silent for longer is not there.
const SILENCE: Duration = Duration::from_secs(15);
/// Before the first try again, and the most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// One of the sites.
struct Followed {
    number: usize,
    broker: Way,
    domain: TrustDomain,
    /// Whether its services are called.
    learn: bool,
}

/// What is known of all sites.
struct Learnt {
    forwarder: Arc<Forwarder>,
    /// What is written down here.
    own: Directory,
    /// In the order of the sites.
    known: Mutex<Vec<(TrustDomain, Option<Listing>)>>,
}

/// Follows each site until the end: what it says of its CAs counts in any case, and its services where it is listened to.
pub(super) fn start(
    forwarder: &Arc<Forwarder>,
    own: Directory,
    sites: &[(TrustDomain, Site)],
    shutdown: &Shutdown,
    tasks: &mut JoinSet<()>,
) {
    let known = sites.iter().map(|(domain, _)| (domain.clone(), None)).collect();
    let learnt =
        Arc::new(Learnt { forwarder: Arc::clone(forwarder), own, known: Mutex::new(known) });
    for (number, (domain, site)) in sites.iter().enumerate() {
        let (broker, domain, learn) = (Way::of(&site.asker), domain.clone(), site.learn);
        let site = Followed { number, broker, domain, learn };
        tasks.spawn(follow(Arc::clone(&learnt), site, shutdown.clone()));
    }
}

async fn follow(learnt: Arc<Learnt>, site: Followed, shutdown: Shutdown) {
    let mut pause = PAUSES.0;
    loop {
        let mut heard = false;
        let ended = tokio::select! {
            () = shutdown.triggered() => return,
            ended = once(&learnt, &site, &mut heard) => ended,
        };
        match ended {
            Ok(()) => tracing::debug!("the directory has ended"),
            Err(error) => {
                tracing::warn!(broker = %site.broker, %error, causes = ?error.causes, hint = error.hint, "no directory from the broker");
            }
        }
        pause = if heard { PAUSES.0 } else { (pause * 2).min(PAUSES.1) };
        tokio::select! {
            () = shutdown.triggered() => return,
            () = tokio::time::sleep(spread(pause)) => {}
        }
    }
}

async fn once(learnt: &Learnt, site: &Followed, heard: &mut bool) -> Result<(), ServiceError> {
    let silent = |_| ServiceError::new(ErrorCode::Timeout, "the broker has fallen silent");
    let revoked = learnt.forwarder.revoked_cas(&site.domain);
    // One that takes the question and says nothing at all is not there either.
    let asked = tokio::time::timeout(SILENCE, site.broker.services(&revoked));
    let mut lines = asked.await.map_err(silent)??;
    loop {
        let line = tokio::time::timeout(SILENCE, lines.next()).await.map_err(silent)?;
        let Some(line) = line else { return Ok(()) };
        let line = Line::read(&line?).ok_or_else(|| {
            ServiceError::new(ErrorCode::Fault, "the broker's directory cannot be read")
                .hint("broker and Forwarder are of different versions")
        })?;
        *heard = true;
        if let Line::Services(listing) = line {
            // First, so that nobody whom it brings is spoken to before.
            learnt.forwarder.revoke_cas(&site.domain, &listing.cas);
            if site.learn {
                learnt.take(site.number, listing);
            }
        }
    }
}

impl Learnt {
    /// In force when this returns. What cannot be used keeps nothing else away.
    fn take(&self, number: usize, listing: Listing) {
        // Held until it is in force: of two sites that change, the later one has both.
        let mut all = self.known.lock();
        let Some((_, known)) = all.get_mut(number) else { return };
        let listing = listing.after(known.as_ref());
        let is_new = known.as_ref().is_none_or(|known| known.services != listing.services);
        *known = Some(listing);
        if !is_new {
            return;
        }
        let (directory, unusable) = self.own.clone().with_learnt(services(&all));
        for error in unusable {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "a service of the broker's is left out");
        }
        match self.forwarder.replace(directory) {
            Ok(()) => tracing::info!("the directory of services has changed"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "the broker's services cannot be called: --identity says whom to trust"
                );
            }
        }
    }
}

/// Of each site those in its own trust domain, and none of another's.
fn services(all: &[(TrustDomain, Option<Listing>)]) -> Vec<Service> {
    let of_each = all.iter().flat_map(|(domain, known)| {
        let listed = known.iter().flat_map(|listing| &listing.services);
        listed.filter(move |listed| listed.service.trust_domain() == domain)
    });
    of_each.map(service).collect()
}

fn service(listed: &Listed) -> Service {
    Service {
        name: listed.service.name().to_owned(),
        audience: listed.service.clone(),
        aliases: listed.hosts.clone(),
        instances: listed.addresses.clone(),
        hop: listed.tls.clone().map_or(Hop::Tls, Hop::TlsAs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_speaks_of_its_own_services_and_the_first_is_first() {
        let listing = |services: &[&str]| {
            let listed = |text: &&str| Listed {
                service: text.parse().unwrap(),
                hosts: Vec::new(),
                addresses: vec!["10.0.0.5:8443".to_owned()],
                tls: None,
            };
            let services = services.iter().map(listed).collect();
            Listing { settled: true, services, ..Listing::default() }
        };
        let domain = |text: &str| text.parse::<TrustDomain>().unwrap();
        let a = listing(&["spiffe://a/service/orders", "spiffe://b/service/payroll"]);
        let b = listing(&["spiffe://b/service/orders", "spiffe://a/service/till"]);
        let known = [(domain("a"), Some(a)), (domain("b"), Some(b)), (domain("c"), None)];
        let found: Vec<String> =
            services(&known).iter().map(|it| it.audience.to_string()).collect();
        assert_eq!(found, ["spiffe://a/service/orders", "spiffe://b/service/orders"]);
        let (directory, unusable) = Directory::default().with_learnt(services(&known));
        assert!(unusable.is_empty());
        let (first, _) = Directory::default().with_learnt(services(&known[..1]));
        assert_eq!(directory, first, "a later site cannot offer what an earlier one has");
    }
}
