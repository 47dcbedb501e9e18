//! `cert import` and `cert files`; what comes by a label; what lies in the drop folder.

use sealock_authority::imported::{
    Held, ImportError, Imported, MOST_CERTIFICATES, Pile, RequestError,
};
use sealock_core::audit::{Actor, Fact};
use sealock_core::policy::{Action, Resource};
use sealock_core::{ImportedName, SecretBytes};
use sealock_delivery::watcher::{DeliveredCertificate, WantedCertificate};
use sealock_store::Change;

use super::{Refused, decode, parse_name, request_error, resource};
use crate::caller::{Caller, Door};
use crate::command::{CertImport, Files, ImportReport, Reply, SecretText};
use crate::error::{ErrorCode, ServiceError};
use crate::service::authorize::Asking;
use crate::service::{Service, convert};

/// What became of what lay in the drop folder.
#[derive(Debug)]
pub(crate) struct Dropped {
    pub(crate) name: ImportedName,
    /// What is served now and the subjects of its chain, or why nothing was taken.
    pub(crate) outcome: Result<(Box<Held>, Vec<String>), (ImportError, String)>,
}

impl Service {
    pub(in crate::service) fn cert_import(
        &self,
        caller: &Caller,
        request: &str,
        wanted: &CertImport,
    ) -> Result<Reply, ServiceError> {
        let names = match &wanted.name {
            Some(name) => vec![parse_name(name)?],
            None => {
                self.authorize(caller, request, Action::CertRead, Resource::Authority, &[])?;
                Vec::new()
            }
        };
        if wanted.certificates.len() > MOST_CERTIFICATES * 16 {
            return Err(ServiceError::new(ErrorCode::Usage, "these are too many certificates"));
        }
        let decoded = wanted.certificates.iter().map(|text| decode(text));
        let certificates: Vec<Vec<u8>> = decoded.collect::<Result<_, _>>()?;
        let names = match names.is_empty() {
            true => self.waiting_for(&certificates)?,
            false => names,
        };
        let key = wanted.key.as_ref().map(|key| key.bytes().clone());
        let mut reports = Vec::new();
        for name in names {
            let context = [("acceptNames", wanted.accept_names.into())];
            let granted =
                self.authorize(caller, request, Action::CertImport, resource(&name), &context)?;
            let pile = Pile {
                certificates: certificates.clone(),
                key: key.clone(),
                accept_names: wanted.accept_names,
                accept_shorter: wanted.accept_shorter,
            };
            let imported = self.take(&name, &pile, &granted.actor)?;
            reports.push(self.import_report(&imported));
        }
        Ok(Reply::CertificatesImported(reports))
    }

    /// The requests that one of the certificates is for.
    fn waiting_for(&self, certificates: &[Vec<u8>]) -> Result<Vec<ImportedName>, ServiceError> {
        let found = self.authority()?.matching(certificates);
        if found.is_empty() {
            return Err(ServiceError::new(
                ErrorCode::NotFound,
                "none of the certificates is for a request that waits",
            )
            .hint("see `sealock cert requests`"));
        }
        Ok(found)
    }

    /// One import; a refusal is remembered for `status`.
    pub(super) fn take(
        &self,
        name: &ImportedName,
        pile: &Pile,
        actor: &Actor,
    ) -> Result<Imported, ServiceError> {
        match self.authority()?.import(name, pile, actor) {
            Ok(imported) => {
                self.refusals.lock().remove(name);
                self.tidy_requests()?;
                if imported.new {
                    self.changed();
                }
                Ok(imported)
            }
            Err(error) => {
                self.remember_refusal(name, &error);
                Err(request_error(&error))
            }
        }
    }

    fn remember_refusal(&self, name: &ImportedName, error: &RequestError) {
        let RequestError::Import { source, .. } = error else { return };
        let refused = Refused {
            at: self.journal.clock().now(),
            incomplete: source.may_be_completed(),
            text: source.to_string(),
            hint: error.hint(),
        };
        self.refusals.lock().insert(name.clone(), refused);
    }

    fn import_report(&self, imported: &Imported) -> ImportReport {
        ImportReport {
            request: self.request_report(&imported.standing),
            chain: imported.chain.clone(),
            new: imported.new,
        }
    }

    /// What lies in the drop folder, as one pile: for every request that waits for one of these. No policy is asked:
    /// who may write into that folder was decided when it was set.
    pub(crate) fn import_dropped(
        &self,
        certificates: &[Vec<u8>],
    ) -> Result<Vec<Dropped>, ServiceError> {
        let authority = self.authority()?;
        let actor = Actor::daemon("drop-folder");
        let mut all = Vec::new();
        for (name, certificates) in authority.sorted(certificates) {
            let pile = Pile { certificates, ..Pile::default() };
            let outcome = match authority.import(&name, &pile, &actor) {
                Ok(imported) => {
                    self.refusals.lock().remove(&name);
                    self.tidy_requests()?;
                    self.changed();
                    let held = imported.standing.held.map(Box::new);
                    Ok((held.ok_or_else(nothing)?, imported.chain))
                }
                Err(error) => {
                    self.remember_refusal(&name, &error);
                    let hint = error.hint().unwrap_or_default();
                    match error {
                        RequestError::Import { source, .. } => Err((source, hint)),
                        other => return Err(request_error(&other)),
                    }
                }
            };
            all.push(Dropped { name, outcome });
        }
        Ok(all)
    }

    /// Records that a file in the drop folder was refused.
    pub(crate) fn drop_refused(&self, file: &str, reason: &str) -> Result<(), ServiceError> {
        let what = format!("import of {file} from the drop folder");
        let fact = Fact::Failed { what, error: reason.to_owned() };
        let event = Actor::daemon("drop-folder").event(self.journal.clock().now(), fact);
        let recorded = self.journal.commit_blocking(Change::event(event));
        recorded.map(|_| ()).map_err(|error| convert::journal_error(&error))
    }

    pub(in crate::service) fn cert_files(
        &self,
        caller: &Caller,
        request: &str,
        name: &str,
    ) -> Result<Reply, ServiceError> {
        let name = parse_name(name)?;
        let granted = self.authorize(caller, request, Action::CertUse, resource(&name), &[])?;
        let authority = self.authority()?;
        let (standing, held, key) =
            authority.imported_key(&name, &granted.actor).map_err(|error| request_error(&error))?;
        let bundle = bundle(&key, &held);
        Ok(Reply::Files(Box::new(Files {
            serial: held.serial.clone(),
            name: standing.name.to_string(),
            names: held.names.clone(),
            not_before: held.not_before,
            not_after: held.not_after,
            replaces: None,
            tls_crt: held.tls_crt(),
            tls_key: SecretText::new(key),
            ca_crt: authority.distributed_bundle_pem(),
            bundle_pem: SecretText::new(bundle),
            request: request.to_owned(),
        })))
    }

    /// For a container whose label names it. Labels request, policy grants.
    pub(in crate::service) fn imported_for_label(
        &self,
        wanted: &WantedCertificate,
        name: &ImportedName,
    ) -> Result<DeliveredCertificate, ServiceError> {
        let principal = self.container_principal(&wanted.container)?;
        let who = principal.identity.to_string();
        let asking = Asking {
            who: &who,
            principal: &principal,
            via: Door::Label.as_str(),
            request: &wanted.request,
        };
        let granted = self.decide(&asking, Action::CertUse, vec![resource(name)], &[])?;
        let (_, held, key) = self
            .authority()?
            .imported_key(name, &granted.actor)
            .map_err(|error| request_error(&error))?;
        Ok(delivered(&held, key, self.bundle_for(wanted)?))
    }

    /// The roots that a container gets beside its certificate: ours and those of others. Where clients are let in by
    /// them, ours only: at a sidecar of ours, and at a Docker daemon.
    pub(in crate::service) fn bundle_for(
        &self,
        wanted: &WantedCertificate,
    ) -> Result<String, ServiceError> {
        let authority = self.authority()?;
        let lets_in = wanted.layout == sealock_delivery::labels::Layout::Docker
            || self.sidecars.get(&wanted.container.id).is_some();
        Ok(if lets_in { authority.trust_bundle_pem() } else { authority.distributed_bundle_pem() })
    }
}

fn delivered(held: &Held, key: SecretBytes, roots: String) -> DeliveredCertificate {
    DeliveredCertificate {
        serial: held.serial.clone(),
        not_after: held.not_after,
        version: Some(held.version()),
        tls_crt: held.tls_crt().into_bytes(),
        bundle_pem: bundle(&key, held),
        tls_key: key,
        ca_crt: roots.into_bytes(),
        stores: Vec::new(),
    }
}

fn nothing() -> ServiceError {
    ServiceError::new(ErrorCode::Fault, "what was imported is not there")
}

/// Key, leaf, intermediates, root.
fn bundle(key: &SecretBytes, held: &Held) -> SecretBytes {
    let (chain, root) = (held.tls_crt(), held.root_pem());
    // Sized in advance: the key must not be left behind in a buffer that grew.
    let mut text = Vec::with_capacity(key.len() + chain.len() + root.len());
    text.extend_from_slice(key.expose());
    text.extend_from_slice(chain.as_bytes());
    text.extend_from_slice(root.as_bytes());
    SecretBytes::new(text)
}
