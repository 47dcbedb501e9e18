//! A certificate on its way: it is issued, and its files are put into the container. Its key lives here
//! only, between the two.

use std::sync::Arc;

use sealock_core::policy::ContainerFacts;
use sealock_core::{SecretBytes, SecretName, Timestamp};
use sealock_engine::Container;
use sealock_transfer::landing::Owner;
use tokio::time::timeout;

use super::denial::{Basis, Ground};
use super::entry::{Entry, World};
use super::outcome::{Arrived, Goods};
use super::password::{Sources, refused};
use super::ports::{
    Contents, DeliveredCertificate, Parcel, ParcelFile, Site, StoreFile, WantedCertificate,
    WantedStores,
};
use super::settings::WatcherSettings;
use super::wanted::NamedCertificate;
use super::work::{Done, late, request_id, started_at};
use crate::labels::{ContainerPath, Layout};

#[derive(Debug)]
pub(super) struct CertificateDelivery {
    container: Arc<Container>,
    wanted: WantedCertificate,
    /// The secret that the stores are under.
    password: Option<SecretName>,
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
            stores: (!request.formats.is_empty())
                .then(|| WantedStores { formats: request.formats.clone(), password: None }),
            replaces: entry.held_serial().map(str::to_owned),
            request: request_id(),
        };
        Self {
            container: Arc::clone(&entry.container),
            wanted,
            password: request.password.clone(),
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
        sources: Sources<'_>,
        site: &dyn Site,
        settings: &WatcherSettings,
    ) -> Done {
        let mut wanted = self.wanted;
        let request = wanted.request.clone();
        // Before anything is issued: without the password nobody could use it.
        let whose = (&wanted.container, &wanted.certificate, request.as_str());
        let password = sources.password(self.password.as_ref(), whose, &self.basis, settings);
        let password = match password.await {
            Ok(password) => password,
            Err(done) => return done,
        };
        let password = password.map(|password| {
            if let Some(stores) = &mut wanted.stores {
                stores.password = Some(password.value);
            }
            password.read
        });
        let asked = timeout(settings.deliver_deadline, sources.certificates.request(wanted)).await;
        let certificate = match asked {
            Ok(Ok(certificate)) => certificate,
            Ok(Err(refusal)) => return refused(refusal, Ground::Policy(self.basis), &request),
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
                    password,
                },
            }),
            Err(error) => Done::Failed(error),
        }
    }
}

/// The folder's files. The mode of the label is for those that hold the key.
fn files(certificate: DeliveredCertificate, layout: Layout, mode: u32) -> Vec<ParcelFile> {
    let DeliveredCertificate { tls_crt, tls_key, ca_crt, bundle_pem, stores, .. } = certificate;
    let file = |name, mode, content| ParcelFile { name, mode, content };
    let (ca, leaf) = (SecretBytes::new(ca_crt), SecretBytes::new(tls_crt));
    let mut files = match layout {
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
    };
    files.extend(stores.into_iter().map(|store| {
        let StoreFile { name, private, content } = store;
        file(name, if private { mode } else { 0o444 }, content)
    }));
    files
}
