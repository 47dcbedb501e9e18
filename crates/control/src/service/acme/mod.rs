//! The ACME server behind policy: whoever orders is an account, and every order is decided on as `cert issue` is.
//!
//! An account that somebody vouches for (external account binding) orders as that identity. Any other orders as nobody in
//! particular, in the group `acme`: what such accounts may have is a rule about that group. One that a container has made of
//! itself orders as that container, as long as the engine says that it is there ([`attested`]).

mod admin;
mod attested;
mod certificates;
mod csr;
mod life;
mod orders;
mod refused;

use std::sync::Arc;
use std::time::Duration;

use sealock_acme::challenge::ChallengeType;
use sealock_acme::jwk::Jwk;
use sealock_acme::problem::{AcmeProblem, ErrorKind};
use sealock_acme::state::{Account, Acme, Authorization, Id, NewAccount, StateError};
use sealock_acme::wire::{AccountStatus, Contact};
use sealock_core::audit::Actor;
use sealock_core::policy::Principal;
use sealock_core::{Identity, IdentityKind};

use super::Service;
use crate::caller::{Caller, Door};
use crate::error::{ErrorCode, ServiceError};

/// The group of accounts that nobody vouches for.
pub(crate) const ACME_GROUP: &str = "acme";
/// Until there may be room where there are as many as there may be.
const FULL: Duration = Duration::from_secs(3600);
/// Until some of an account's open orders may have come to their end.
const NO_ROOM: Duration = Duration::from_secs(60);
/// Until what signs may be back.
const AWAY: Duration = Duration::from_secs(10);
/// Where another one was in between.
const AT_ONCE: Duration = Duration::from_secs(1);
/// What stands before the id of such an account, in the audit log.
pub(super) const ACME_NOBODY: &str = "acme:";

pub(crate) use certificates::{Download, RenewalWindow, Revoker};
pub(crate) use orders::Ordered;

impl Service {
    /// The ACME server's state, opened now if it was not.
    pub(crate) fn acme(&self) -> Result<Arc<Acme>, ServiceError> {
        if let Some(acme) = self.acme.get() {
            return Ok(Arc::clone(acme));
        }
        // There is one only with an authority.
        self.authority()?;
        let acme = Arc::new(Acme::new(Arc::clone(&self.journal), self.keyring()?));
        Ok(Arc::clone(self.acme.get_or_init(|| acme)))
    }

    /// Who orders.
    pub(super) fn acme_caller(&self, account: &Account) -> Result<Caller, ServiceError> {
        let (who, identity, groups) = match &account.identity {
            Some(identity) => (identity.to_string(), identity.clone(), self.groups_of(identity)?),
            None => {
                let name = format!("acme.{}", account.id);
                let identity = Identity::new(&self.trust_domain(), IdentityKind::Service, &name)
                    .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
                (format!("{ACME_NOBODY}{}", account.id), identity, vec![ACME_GROUP.to_owned()])
            }
        };
        let mut principal = Principal::new(identity);
        principal.groups = groups;
        Ok(Caller { who, principal, door: Door::Acme, certificate: None })
    }

    /// Makes an account, or finds the one that the key has; says whether it is new.
    pub(crate) fn acme_account_make(
        &self,
        request: &str,
        new: &NewAccount,
    ) -> Result<(Account, bool), AcmeProblem> {
        if new.binding.is_none() && self.config().settings.acme.external_account_required {
            return Err(AcmeProblem::new(
                ErrorKind::ExternalAccountRequired,
                "accounts are made with an external account binding here: ask the administrator for one (`sealock acme eab add`)",
            ));
        }
        let actor = |account: &Account| {
            let who = match &account.identity {
                Some(identity) => identity.to_string(),
                None => format!("{ACME_NOBODY}{}", account.id),
            };
            Actor { who, request: request.to_owned(), decision: None }
        };
        let made = self.opened()?.account_make(new, actor);
        made.map_err(|error| state_problem(&error))
    }

    /// The account of a request that is signed with its key, as long as it is valid.
    pub(crate) fn acme_account(&self, id: &str) -> Result<Account, AcmeProblem> {
        let nobody =
            || AcmeProblem::new(ErrorKind::AccountDoesNotExist, "there is no account of that name");
        let id: Id = id.parse().map_err(|_| nobody())?;
        let account = match self.opened()?.account(&id) {
            Err(StateError::Unknown(_)) => return Err(nobody()),
            found => found.map_err(|error| state_problem(&error))?,
        };
        match account.status {
            AccountStatus::Valid => Ok(account),
            AccountStatus::Deactivated | AccountStatus::Revoked => {
                // RFC 8555 §7.3.6.
                Err(AcmeProblem::unauthorized("the account is no longer valid").with_status(401))
            }
        }
    }

    pub(crate) fn acme_account_of_key(&self, key: &Jwk) -> Result<Option<Account>, AcmeProblem> {
        self.opened()?.account_of_key(key).map_err(|error| state_problem(&error))
    }

    pub(crate) fn acme_account_contacts(
        &self,
        account: &Account,
        contacts: &[Contact],
    ) -> Result<Account, AcmeProblem> {
        let changed = self.opened()?.account_contacts(&account.id, contacts);
        changed.map_err(|error| state_problem(&error))
    }

    pub(crate) fn acme_account_deactivate(
        &self,
        request: &str,
        account: &Account,
    ) -> Result<Account, AcmeProblem> {
        let actor = self.acme_actor(request, account)?;
        let ended = self.opened()?.account_end(&account.id, AccountStatus::Deactivated, &actor);
        ended.map_err(|error| state_problem(&error))
    }

    pub(crate) fn acme_account_key(
        &self,
        request: &str,
        account: &Account,
        new: &Jwk,
    ) -> Result<Account, KeyChange> {
        let actor = self.acme_actor(request, account)?;
        match self.opened()?.account_key(&account.id, &account.key, new, &actor) {
            Err(StateError::KeyTaken(id)) => Err(KeyChange::Taken(id)),
            changed => changed.map_err(|error| KeyChange::Refused(state_problem(&error))),
        }
    }

    /// The key of a binding that is good; the answer to any other is the same.
    pub(crate) fn acme_binding_key(
        &self,
        name: &str,
    ) -> Result<sealock_core::SecretBytes, AcmeProblem> {
        let key = self.opened()?.binding_key(name);
        key.map_err(|error| match error {
            StateError::Unknown(_) => AcmeProblem::new(
                ErrorKind::Unauthorized,
                "there is no external account binding of that name that is good: it may be used, or over",
            ),
            other => state_problem(&other),
        })
    }

    pub(crate) fn acme_authorization(
        &self,
        account: &Account,
        id: &str,
    ) -> Result<Authorization, AcmeProblem> {
        let found = self.opened()?.authorization(&account.id, &read_id(id)?);
        found.map_err(|error| state_problem(&error))
    }

    pub(crate) fn acme_authorization_deactivate(
        &self,
        account: &Account,
        id: &str,
    ) -> Result<Authorization, AcmeProblem> {
        let ended = self.opened()?.authorization_deactivate(&account.id, &read_id(id)?);
        ended.map_err(|error| state_problem(&error))
    }

    /// That a challenge is to be looked at; false where nothing is left to be found out.
    pub(crate) fn acme_challenge_begin(
        &self,
        account: &Account,
        id: &Id,
        kind: ChallengeType,
    ) -> Result<bool, AcmeProblem> {
        let begun = self.opened()?.challenge_begin(&account.id, id, kind);
        begun.map(|begun| begun.is_some()).map_err(|error| state_problem(&error))
    }

    /// What came of it.
    pub(crate) fn acme_challenge_end(
        &self,
        request: &str,
        account: &Account,
        id: &Id,
        kind: ChallengeType,
        failure: Option<AcmeProblem>,
    ) -> Result<(), AcmeProblem> {
        let actor = self.acme_actor(request, account)?;
        let ended = self.opened()?.challenge_end(&account.id, id, kind, failure, &actor);
        ended.map_err(|error| state_problem(&error))
    }

    fn acme_actor(&self, request: &str, account: &Account) -> Result<Actor, AcmeProblem> {
        let caller = self.acme_caller(account).map_err(|error| service_problem(&error))?;
        Ok(Actor { who: caller.who, request: request.to_owned(), decision: None })
    }

    fn opened(&self) -> Result<Arc<Acme>, AcmeProblem> {
        self.acme().map_err(|error| service_problem(&error))
    }
}

/// Why a key was not changed.
#[derive(Debug)]
pub(crate) enum KeyChange {
    /// It is this account's.
    Taken(Id),
    /// As any other refusal.
    Refused(AcmeProblem),
}

impl From<AcmeProblem> for KeyChange {
    fn from(problem: AcmeProblem) -> Self {
        Self::Refused(problem)
    }
}

fn read_id(text: &str) -> Result<Id, AcmeProblem> {
    text.parse().map_err(|error: StateError| state_problem(&error))
}

/// What an applicant is told; what is wrong on this side is for the log.
pub(super) fn state_problem(error: &StateError) -> AcmeProblem {
    let text = error.to_string();
    match error {
        StateError::Unknown(_) => AcmeProblem::malformed(text).with_status(404),
        StateError::KeyTaken(_) => AcmeProblem::malformed(text).with_status(409),
        StateError::Status(_) => AcmeProblem::new(ErrorKind::Unauthorized, text),
        StateError::TooMany(_) => AcmeProblem::rate_limited(text, FULL),
        StateError::NoRoom(_) => AcmeProblem::rate_limited(text, NO_ROOM),
        StateError::Replaced => AcmeProblem::new(ErrorKind::AlreadyReplaced, text),
        StateError::Busy(_) => AcmeProblem::rate_limited(format!("{text}: try again"), AT_ONCE),
        _ => {
            tracing::error!(error = error as &dyn std::error::Error, "the ACME server's state");
            AcmeProblem::server_internal()
        }
    }
}

pub(super) fn service_problem(error: &ServiceError) -> AcmeProblem {
    match error.code {
        ErrorCode::Busy => AcmeProblem::rate_limited(error.to_string(), AT_ONCE),
        // The HSM, above all. Nothing was done: what is asked again is as if it had not been asked before.
        ErrorCode::Unavailable => {
            tracing::warn!(%error, causes = ?error.causes, "the ACME server has nobody who signs");
            let text = "what this server needs for it is away: try again";
            let problem = AcmeProblem::new(ErrorKind::ServerInternal, text).with_status(503);
            AcmeProblem { retry_after: Some(AWAY), ..problem }
        }
        _ => {
            tracing::error!(%error, causes = ?error.causes, "the ACME server");
            AcmeProblem::server_internal()
        }
    }
}
