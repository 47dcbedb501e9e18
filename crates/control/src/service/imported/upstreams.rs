//! `upstream list` and `upstream try`.

use sealock_core::policy::{Action, Resource};
use sealock_upstream::acme;
use sealock_upstream::est::Est;
use sealock_upstream::said;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::upstream::upstream_error;
use super::upstream_files as files;
use crate::caller::Caller;
use crate::command::{Reply, UpstreamAnswer, UpstreamReport, UpstreamRoot};
use crate::config::{UpstreamKind, UpstreamSettings};
use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;

impl Service {
    pub(in crate::service) fn upstreams(
        &self,
        caller: &Caller,
        request: &str,
        name: Option<&str>,
        ask: bool,
    ) -> Result<Reply, ServiceError> {
        self.authorize(caller, request, Action::CertRead, Resource::Authority, &[])?;
        let names = match name {
            Some(name) => {
                self.upstream_settings(name)?;
                vec![name.to_owned()]
            }
            None => self.config().settings.upstreams.keys().cloned().collect(),
        };
        if ask && names.len() != 1 {
            return Err(ServiceError::new(
                ErrorCode::Usage,
                "name the upstream that is to be asked",
            ));
        }
        let reports = names.iter().map(|name| self.upstream_report(name, ask));
        Ok(Reply::Upstreams(reports.collect::<Result<_, _>>()?))
    }

    fn upstream_report(&self, name: &str, ask: bool) -> Result<UpstreamReport, ServiceError> {
        let set = self.upstream_settings(name)?;
        let from_there = self.authority()?.requests();
        let from_there =
            from_there.iter().filter(|one| one.wishes.upstream.as_deref() == Some(name));
        Ok(UpstreamReport {
            name: name.to_owned(),
            kind: set.kind.map(UpstreamKind::as_str).unwrap_or_default().to_owned(),
            url: set.url.as_ref().map(ToString::to_string).unwrap_or_default(),
            account: self.upstream_account_url(name)?,
            certificates: from_there.map(|one| one.name.to_string()).collect(),
            answer: if ask { Some(self.ask_upstream(set)?) } else { None },
        })
    }

    /// Asks a server who it is; makes no account, and orders nothing. One at a time: who may ask does not thereby have
    /// this host ask a CA as often as they like.
    fn ask_upstream(&self, set: &UpstreamSettings) -> Result<UpstreamAnswer, ServiceError> {
        let Some(_alone) = self.enrolments.asking.try_lock() else {
            return Err(ServiceError::new(ErrorCode::Busy, "somebody else is asking right now"));
        };
        let client = self.upstream_client(set, files::own_identity(set)?)?;
        let Some(url) = &set.url else { return Ok(UpstreamAnswer::default()) };
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        if set.kind == Some(UpstreamKind::Acme) {
            let directory = runtime.block_on(acme::directory(&client, &url.to_string()));
            let directory = directory.map_err(|error| upstream_error(&error))?;
            return Ok(UpstreamAnswer {
                terms: directory.meta.terms_of_service.as_deref().map(said),
                binding_required: directory.meta.external_account_required,
                renewal_information: directory.renewal_info.is_some(),
                profiles: directory.meta.profiles.keys().take(32).map(|name| said(name)).collect(),
                authorities: Vec::new(),
            });
        }
        let est =
            Est { client: &client, server: url, label: set.label.as_deref(), credentials: None };
        let answer = runtime.block_on(est.cacerts()).map_err(|error| upstream_error(&error))?;
        let authorities = Self::read_given(&answer)?;
        let known = self.authority()?.distributed_bundle();
        let shown = authorities.iter().filter_map(|der| shown(der, &known));
        Ok(UpstreamAnswer { authorities: shown.collect(), ..UpstreamAnswer::default() })
    }
}

fn shown(der: &[u8], known: &[Vec<u8>]) -> Option<UpstreamRoot> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    Some(UpstreamRoot {
        subject: said(&certificate.subject().to_string()),
        fingerprint: data_encoding::HEXLOWER.encode(digest.as_ref()),
        known: known.iter().any(|root| root == der),
        pem: sealock_formats::certificate_to_pem(der),
    })
}
