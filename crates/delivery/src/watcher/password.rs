//! The password of a store on its way: a secret of the vault, asked for and read as any labelled secret is. It lives here
//! only, between the vault and who makes the store.

use sealock_core::policy::ContainerFacts;
use sealock_core::{SecretBytes, SecretName};
use tokio::time::timeout;

use super::denial::{Basis, Ground};
use super::entry::Reason;
use super::outcome::ReadSecret;
use super::ports::{CertificateSource, Refusal, SecretSource, SiteError, WantedSecret};
use super::settings::WatcherSettings;
use super::work::{Done, late};
use crate::labels::LabelName;

/// A password that was read.
pub(super) struct Password {
    pub(super) read: ReadSecret,
    pub(super) value: SecretBytes,
}

/// The sources of a password: who has secrets, and who knows which of them can be one.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    pub(super) secrets: &'a dyn SecretSource,
    pub(super) certificates: &'a dyn CertificateSource,
}

impl Sources<'_> {
    /// Reads the secret that labels name; `None` where they name none.
    pub(super) async fn password(
        &self,
        secret: Option<&SecretName>,
        whose: (&ContainerFacts, &LabelName, &str),
        basis: &Basis,
        settings: &WatcherSettings,
    ) -> Result<Option<Password>, Done> {
        let Some(secret) = secret else { return Ok(None) };
        let (container, name, request) = whose;
        let wanted = WantedSecret {
            container: container.clone(),
            secret: secret.clone(),
            name: name.clone(),
            request: request.to_owned(),
        };
        let asked = timeout(settings.deliver_deadline, self.secrets.read(wanted)).await;
        let read = asked.map_err(|_| Done::Failed(late("the reading of the password")))?;
        let usable = read.and_then(|read| {
            let value = self.certificates.store_password(&read.value)?;
            Ok((read.version, value))
        });
        match usable {
            Ok((version, value)) => {
                let read = ReadSecret { secret: secret.clone(), version, basis: basis.clone() };
                Ok(Some(Password { read, value }))
            }
            Err(refusal) => Err(refused(refusal, Ground::Password(basis.clone()), request)),
        }
    }
}

/// What becomes of a delivery that a source has refused.
pub(super) fn refused(refusal: Refusal, ground: Ground, request: &str) -> Done {
    match refusal {
        Refusal::Denied { reason, hint } => {
            let (reason, request) = (Reason { text: reason, hint }, request.to_owned());
            Done::Denied { reason, ground, request }
        }
        Refusal::Unavailable { reason, hint } => Done::Failed(SiteError::Failed { reason, hint }),
    }
}
