//! What the ACME server keeps in memory: nonces, and which challenges are being looked at.
//!
//! A challenge is looked at once at a time. If the process is killed in the middle, the next one begins again when the client
//! asks how it stands.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use sealock_acme::challenge::{ChallengeType, KeyAuthorization};
use sealock_acme::identifier::Identifier;
use sealock_acme::nonce::Nonces;
use sealock_acme::problem::AcmeProblem;
use sealock_acme::state::{Account, Authorization, Challenge, Id};
use sealock_core::SubjectName;

use super::caa::is_account_uri;
use super::validate::{Failure, Method, Question, Subject, ValidateSettings, Validator};
use crate::config::{AcmeSettings, Listen};
use crate::daemon::Planes;
use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;

/// Challenges that wait for their turn or are being asked about. Beyond that they wait until their client asks again.
const LOOKS: usize = 1024;
/// The same of one account.
const LOOKS_EACH: usize = 128;

/// The ACME server of one process.
#[derive(Debug)]
pub(crate) struct AcmeServer {
    /// By which it may be asked.
    pub(crate) names: Vec<SubjectName>,
    pub(crate) nonces: Nonces,
    pub(super) validator: Validator,
    /// Under which an account has a URI, at this door and at the other one.
    account_names: Vec<SubjectName>,
    /// What is being looked at, and for which account.
    looking: Mutex<HashMap<(Id, ChallengeType), Id>>,
    /// For which accounts CAA is asked for whole orders, one for each order.
    pub(super) asking: Mutex<Vec<Id>>,
}

/// Taken out again when the look has ended, however it has.
struct Looking {
    server: Arc<AcmeServer>,
    what: (Id, ChallengeType),
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.server.looking.lock().remove(&self.what);
    }
}

impl AcmeServer {
    /// The ACME server of a daemon at this address, the API's or its own, if there is one. `more` are names by
    /// which it may be asked there.
    pub(crate) fn of(service: &Arc<Service>, at: SocketAddr, more: &[String]) -> Option<Arc<Self>> {
        let settings = &service.config().settings;
        if !settings.acme.enabled || service.opening().planes != Planes::All {
            return None;
        }
        let others = [
            settings.api.listen,
            settings.gateway.listen,
            settings.revocation.listen,
            settings.acme.listen,
        ];
        let others = others.into_iter().filter_map(|listen| match listen {
            Listen::At(address) => Some(address),
            Listen::Off => None,
        });
        let names = service.door_names(at.ip(), more);
        let elsewhere = [&settings.api.names[..], &settings.acme.names, more].concat();
        let account_names = service.door_names(at.ip(), &elsewhere);
        match Self::new(&settings.acme, names, account_names, others.chain([at]).collect()) {
            Ok(server) => Some(server),
            Err(error) => {
                tracing::error!(%error, "there is no ACME server");
                None
            }
        }
    }

    /// `own` is never asked for a challenge: where this daemon's own doors are.
    fn new(
        settings: &AcmeSettings,
        names: Vec<SubjectName>,
        account_names: Vec<SubjectName>,
        own: Vec<SocketAddr>,
    ) -> Result<Arc<Self>, ServiceError> {
        let settings = ValidateSettings {
            http_port: settings.http_port,
            tls_port: settings.tls_port,
            resolvers: settings.resolvers.clone(),
            caa_identities: settings.caa.clone(),
            allow: settings.allow.clone(),
            networks: settings.networks.clone(),
            own,
            ..ValidateSettings::default()
        };
        let failed = |text: &str| ServiceError::new(ErrorCode::Fault, text);
        Ok(Arc::new(Self {
            names,
            nonces: Nonces::new().map_err(|_| failed("the system gives no random numbers"))?,
            validator: Validator::new(settings)
                .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?,
            account_names,
            looking: Mutex::default(),
            asking: Mutex::default(),
        }))
    }

    /// Looks whether a challenge is met, unless somebody does already, and writes down what came of it.
    pub(crate) fn look(
        self: &Arc<Self>,
        service: &Arc<Service>,
        request: &str,
        account: &Account,
        authorization: &Authorization,
        challenge: &Challenge,
    ) {
        let what = (authorization.id.clone(), challenge.kind);
        {
            let mut looking = self.looking.lock();
            let own = looking.values().filter(|of| **of == account.id).count();
            let is_full = looking.len() >= LOOKS || own >= LOOKS_EACH;
            if is_full || looking.insert(what.clone(), account.id.clone()).is_some() {
                return;
            }
        }
        let looking = Looking { server: Arc::clone(self), what };
        let (service, request) = (Arc::clone(service), request.to_owned());
        let (account, authorization) = (account.clone(), authorization.clone());
        let challenge = challenge.clone();
        tokio::spawn(async move {
            let met = looking.server.met(&account, &authorization.identifier, &challenge).await;
            let failure = met.err().map(|it| AcmeProblem::new(it.kind(), it.to_string()));
            let (id, kind) = looking.what.clone();
            let written = tokio::task::spawn_blocking(move || {
                service.acme_challenge_end(&request, &account, &id, kind, failure)
            });
            // It is asked again, if it could not be written down.
            if let Ok(Err(problem)) = written.await {
                tracing::warn!(detail = problem.detail, "what came of a challenge is not kept");
            }
            drop(looking);
        });
    }

    /// Whether the owner of the identifier's domain lets us issue for it; of an address nobody is asked.
    pub(super) async fn check_caa(
        &self,
        account: &Id,
        identifier: &Identifier,
        method: Option<Method>,
    ) -> Result<(), Failure> {
        let Identifier::Dns(name) = identifier.base() else { return Ok(()) };
        let is_account = |uri: &str| is_account_uri(uri, &self.account_names, account.as_str());
        self.validator.check_caa(&name, identifier.is_wildcard(), method, &is_account).await
    }

    async fn met(
        &self,
        account: &Account,
        identifier: &Identifier,
        challenge: &Challenge,
    ) -> Result<(), Failure> {
        let method = method(challenge.kind);
        let subject = match identifier.base() {
            Identifier::Dns(name) => Subject::Dns(name),
            Identifier::Ip(address) => Subject::Ip(address),
        };
        self.check_caa(&account.id, identifier, Some(method)).await?;
        let key_authorization = KeyAuthorization::new(&challenge.token, &account.key).to_string();
        let token = challenge.token.to_string();
        self.validator.ask(&Question { method, subject, token, key_authorization }).await
    }
}

pub(super) const fn method(kind: ChallengeType) -> Method {
    match kind {
        ChallengeType::Http01 => Method::Http01,
        ChallengeType::Dns01 => Method::Dns01,
        ChallengeType::TlsAlpn01 => Method::TlsAlpn01,
    }
}
