//! A certificate on its way: it is issued, and its files are put into the container. Its key lives here
//! only, between the two.

use std::sync::Arc;

use sealock_core::policy::ContainerFacts;
use sealock_core::{SecretBytes, Timestamp};
use sealock_engine::Container;
use sealock_transfer::landing::Owner;
use tokio::time::timeout;

use super::denial::{Basis, Ground};
use super::entry::{Entry, Reason, World};
use super::outcome::{Arrived, Goods};
use super::ports::{
    CertificateSource, Contents, DeliveredCertificate, Parcel, ParcelFile, Refusal, Site,
    SiteError, WantedCertificate,
};
use super::settings::WatcherSettings;
use super::wanted::NamedCertificate;
use super::work::{Done, late, request_id, started_at};
use crate::labels::{ContainerPath, Layout};

#[derive(Debug)]
pub(super) struct CertificateDelivery {
    container: Arc<Container>,
    wanted: WantedCertificate,
    path: ContainerPath,
    owner: Option<Owner>,
    mode: u32,
    layout: Layout,
    asked_at: Timestamp,
    started_at: String,
    digest: String,
    basis: Basis,
}

impl CertificateDelivery {
    pub(super) fn new(
        entry: &Entry,
        certificate: &NamedCertificate,
        facts: ContainerFacts,
        world: &World<'_>,
    ) -> Self {
        let NamedCertificate { request, names } = certificate;
        let wanted = WantedCertificate {
            container: facts,
            certificate: request.name.clone(),
            names: names.clone(),
            imported: request.imported.clone(),
            issuer: request.issuer.clone(),
            layout: request.layout,
            usages: request.usages,
            profile: request.profile.clone(),
            ttl: request.ttl,
            key_type: request.key_type,
            replaces: entry.held_serial().map(str::to_owned),
            request: request_id(),
        };
        Self {
            container: Arc::clone(&entry.container),
            wanted,
            path: request.path.clone(),
            owner: request.owner.clone(),
            mode: request.mode,
            layout: request.layout,
            asked_at: world.now,
            started_at: started_at(&entry.container),
            digest: entry.wanted.digest.clone(),
            basis: entry.basis(world),
        }
    }

    pub(super) async fn perform(
        self,
        source: &dyn CertificateSource,
        site: &dyn Site,
        settings: &WatcherSettings,
    ) -> Done {
        let request = self.wanted.request.clone();
        let asked = timeout(settings.deliver_deadline, source.request(self.wanted)).await;
        let certificate = match asked {
            Ok(Ok(certificate)) => certificate,
            Ok(Err(Refusal::Denied { reason, hint })) => {
                let reason = Reason { text: reason, hint };
                return Done::Denied { reason, ground: Ground::Policy(self.basis), request };
            }
            Ok(Err(Refusal::Unavailable { reason, hint })) => {
                return Done::Failed(SiteError::Failed { reason, hint });
            }
            Err(_) => return Done::Failed(late("the issue of the certificate")),
        };
        let (serial, not_after) = (certificate.serial.clone(), certificate.not_after);
        let version = certificate.version;
        let files = files(certificate, self.layout, self.mode);
        let (path, owner, contents) = (self.path, self.owner, Contents::Folder(files));
        let memory_only = false;
        let parcel = Parcel { path, owner, contents, memory_only, request: request.clone() };
        let sent = timeout(settings.deliver_deadline, site.deliver(self.container, parcel)).await;
        match sent.unwrap_or_else(|_| Err(late("the delivery"))) {
            Ok(delivered) => Done::Delivered(Arrived {
                started_at: self.started_at,
                wanted: self.digest,
                delivered,
                request,
                goods: Goods::Certificate {
                    asked_at: self.asked_at,
                    trust: self.basis.trust,
                    serial,
                    not_after,
                    version,
                },
            }),
            Err(error) => Done::Failed(error),
        }
    }
}

/// The folder's files. The mode of the label is for those that hold the key.
fn files(certificate: DeliveredCertificate, layout: Layout, mode: u32) -> Vec<ParcelFile> {
    let DeliveredCertificate { tls_crt, tls_key, ca_crt, bundle_pem, .. } = certificate;
    let file = |name, mode, content| ParcelFile { name, mode, content };
    let (ca, leaf) = (SecretBytes::new(ca_crt), SecretBytes::new(tls_crt));
    match layout {
        Layout::Tls => vec![
            file("bundle.pem", mode, bundle_pem),
            file("ca.crt", 0o444, ca),
            file(layout.certificate(), 0o444, leaf),
            file("tls.key", mode, tls_key),
        ],
        Layout::Docker => vec![
            file("ca.pem", 0o444, ca),
            file(layout.certificate(), 0o444, leaf),
            file("key.pem", mode, tls_key),
        ],
    }
}
