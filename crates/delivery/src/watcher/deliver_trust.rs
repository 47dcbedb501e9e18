//! A trust bundle on its way: policy is asked, and the roots that the world trusts now are put into the container as one
//! file, of PEM or as a store. Nothing in it is secret, so it may be on a disk; and which bundle it was is known by its
//! digest.

use std::sync::Arc;

use sealock_core::SecretBytes;
use sealock_core::policy::ContainerFacts;
use sealock_engine::Container;
use tokio::time::timeout;

use super::denial::{Basis, Ground};
use super::entry::{Entry, World};
use super::outcome::{Arrived, Goods};
use super::password::{Sources, refused};
use super::ports::{Contents, Parcel, Site, Trust, WantedTrust, WantedTrustStore};
use super::settings::WatcherSettings;
use super::work::{Done, late, request_id, started_at};
use crate::labels::{TrustFormat, TrustRequest};

const LINE: usize = 64;

#[derive(Debug)]
pub(super) struct TrustDelivery {
    container: Arc<Container>,
    wanted: WantedTrust,
    request: TrustRequest,
    bundle: String,
    anchors: Vec<Vec<u8>>,
    started_at: String,
    digest: String,
    basis: Basis,
}

impl TrustDelivery {
    pub(super) fn new(
        entry: &Entry,
        request: &TrustRequest,
        facts: ContainerFacts,
        trust: &Trust,
        world: &World<'_>,
    ) -> Self {
        let (name, path) = (request.name.clone(), request.path.clone());
        Self {
            container: Arc::clone(&entry.container),
            wanted: WantedTrust { container: facts, name, path, request: request_id() },
            request: request.clone(),
            bundle: trust.digest.clone(),
            anchors: trust.anchors.clone(),
            started_at: started_at(&entry.container),
            digest: entry.wanted.digest.clone(),
            basis: entry.basis(world),
        }
    }

    pub(super) async fn perform(
        self,
        sources: Sources<'_>,
        site: &dyn Site,
        settings: &WatcherSettings,
    ) -> Done {
        let Self { container, wanted, request: label, bundle, anchors, basis, .. } = self;
        let request = wanted.request.clone();
        let whose = (&wanted.container.clone(), &label.name, request.as_str());
        let asked = sources.certificates.may_have_trust(wanted);
        match timeout(settings.deliver_deadline, asked).await {
            Ok(Ok(())) => {}
            Ok(Err(refusal)) => return refused(refusal, Ground::Policy(basis), &request),
            Err(_) => return Done::Failed(late("the question to policy")),
        }
        let password = sources.password(label.password.as_ref(), whose, &basis, settings).await;
        let (password, value) = match password {
            Ok(password) => password.map(|it| (it.read, it.value)).unzip(),
            Err(done) => return done,
        };
        let content = if label.format == TrustFormat::Pem {
            SecretBytes::new(pem(&anchors))
        } else {
            let store = WantedTrustStore { format: label.format, anchors, password: value };
            let made = sources.certificates.trust_store(store);
            match timeout(settings.deliver_deadline, made).await {
                Ok(Ok(store)) => store,
                Ok(Err(refusal)) => return refused(refusal, Ground::Policy(basis), &request),
                Err(_) => return Done::Failed(late("the making of the store")),
            }
        };
        let parcel = Parcel {
            path: label.path,
            owner: label.owner,
            contents: Contents::File { mode: label.mode, content },
            memory_only: false,
            request: request.clone(),
        };
        let sent = timeout(settings.deliver_deadline, site.deliver(container, parcel)).await;
        match sent.unwrap_or_else(|_| Err(late("the delivery"))) {
            Ok(delivered) => Done::Delivered(Arrived {
                started_at: self.started_at,
                wanted: self.digest,
                delivered,
                request,
                goods: Goods::Trust { bundle, password },
            }),
            Err(error) => Done::Failed(error),
        }
    }
}

/// The roots, one PEM block each (RFC 7468 §5), in the order in which they are trusted.
fn pem(anchors: &[Vec<u8>]) -> Vec<u8> {
    let mut text = String::new();
    for anchor in anchors {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = data_encoding::BASE64.encode(anchor);
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(LINE));
            text.push_str(line);
            text.push('\n');
            rest = more;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn a_bundle_reads_back_whatever_the_length() {
        for length in [1, 47, 48, 49, 96, 1000] {
            let anchors = vec![vec![7; length], vec![8; length + 1]];
            let text = pem(&anchors);
            let read: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(&text)
                .map(|one| one.unwrap().as_ref().to_vec())
                .collect();
            assert_eq!(read, anchors);
            assert!(text.split(|byte| *byte == b'\n').all(|line| line.len() <= LINE));
        }
    }
}
