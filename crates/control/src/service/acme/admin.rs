//! `acme …`: who vouches for accounts, and the end of an account.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use sealock_acme::state::{Account, Binding, BindingName, Id, StateError};
use sealock_acme::wire::AccountStatus;
use sealock_core::audit::Actor;
use sealock_core::policy::{Action, Resource};
use sealock_core::{IdentityKind, SecretBytes};
use zeroize::Zeroizing;

use super::super::Service;
use crate::caller::Caller;
use crate::command::{
    AcmeAccountList, AcmeAccountReport, AcmeBind, AcmeBindingKey, AcmeBindingReport, Reply,
    SecretText,
};
use crate::error::{ErrorCode, ServiceError};

/// So long accounts can be made with a binding, where nothing else is said.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// So many accounts are listed.
const MOST_LISTED: usize = 10_000;
const LONGEST_LIFE: Duration = Duration::from_secs(366 * 24 * 3600);

impl Service {
    fn may_manage_acme(
        &self,
        caller: &Caller,
        request: &str,
        operation: &str,
    ) -> Result<Actor, ServiceError> {
        let context = [("operation", operation.into())];
        let resource = Resource::Authority;
        let granted = self.authorize(caller, request, Action::AcmeManage, resource, &context)?;
        Ok(granted.actor)
    }

    pub(in super::super) fn acme_bind(
        &self,
        caller: &Caller,
        request: &str,
        bind: &AcmeBind,
    ) -> Result<Reply, ServiceError> {
        let name = binding_name(&bind.name)?;
        let identity = self.identity_of(
            bind.identity.as_deref().unwrap_or(name.as_str()),
            IdentityKind::Service,
        )?;
        let life = bind.life.map_or(LIFE, Duration::from_secs);
        if life.is_zero() || life > LONGEST_LIFE {
            return Err(ServiceError::new(ErrorCode::Usage, "a binding lives a second to a year"));
        }
        let actor = self.may_manage_acme(caller, request, "bind")?;
        let (acme, now) = (self.acme()?, self.journal.clock().now());
        let until = Some(now.plus(life));
        let key = acme
            .binding_make(&name, &identity, until, bind.reusable, &actor)
            .map_err(|error| worded(&error))?;
        let reusable = bind.reusable;
        let binding =
            Binding { name, identity, made: now, until, reusable, account: None, container: None };
        let key = written(&key)?;
        Ok(Reply::AcmeBindingKey(Box::new(AcmeBindingKey { binding: report(&binding), key })))
    }

    pub(in super::super) fn acme_bindings(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<Reply, ServiceError> {
        self.may_manage_acme(caller, request, "list")?;
        let all = self.acme()?.bindings().map_err(|error| worded(&error))?;
        Ok(Reply::AcmeBindings(all.iter().map(report).collect()))
    }

    pub(in super::super) fn acme_unbind(
        &self,
        caller: &Caller,
        request: &str,
        name: &str,
    ) -> Result<Reply, ServiceError> {
        let name = binding_name(name)?;
        let actor = self.may_manage_acme(caller, request, "unbind")?;
        self.acme()?.binding_remove(&name, &actor).map_err(|error| {
            let known = matches!(error, StateError::Unknown(_));
            worded(&error).maybe_hint(known.then_some("see `sealock acme eab list`"))
        })?;
        Ok(Reply::Done)
    }

    pub(in super::super) fn acme_accounts(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<Reply, ServiceError> {
        self.may_manage_acme(caller, request, "list")?;
        let (mut found, more) =
            self.acme()?.accounts(MOST_LISTED).map_err(|error| worded(&error))?;
        found.sort_by_key(|account| account.made);
        let accounts = found.iter().map(account_report).collect();
        Ok(Reply::AcmeAccounts(Box::new(AcmeAccountList { accounts, more })))
    }

    pub(in super::super) fn acme_account_revoke(
        &self,
        caller: &Caller,
        request: &str,
        account: &str,
    ) -> Result<Reply, ServiceError> {
        // As the audit log has it, or as it stands in a URL.
        let text = account.rsplit(['/', ':']).next().unwrap_or(account);
        let id: Id = text.parse().map_err(|_| {
            ServiceError::new(ErrorCode::Usage, "that is not the id of an ACME account")
                .hint("`sealock acme account list` has it, and the end of the account's URL")
        })?;
        let actor = self.may_manage_acme(caller, request, "revoke")?;
        let acme = self.acme()?;
        acme.account_end(&id, AccountStatus::Revoked, &actor).map_err(|error| worded(&error))?;
        Ok(Reply::Done)
    }
}

fn account_report(account: &Account) -> AcmeAccountReport {
    let status = match account.status {
        AccountStatus::Valid => "valid",
        AccountStatus::Deactivated => "deactivated",
        AccountStatus::Revoked => "revoked",
    };
    AcmeAccountReport {
        id: account.id.to_string(),
        status: status.to_owned(),
        identity: account.identity.as_ref().map(ToString::to_string),
        container: account.container.clone(),
        contact: account.contacts.iter().map(ToString::to_string).collect(),
        made: account.made,
    }
}

fn binding_name(text: &str) -> Result<BindingName, ServiceError> {
    text.parse().map_err(|error| ServiceError::of(ErrorCode::Usage, &error))
}

/// As clients take it.
pub(super) fn written(key: &SecretBytes) -> Result<SecretText, ServiceError> {
    let mut text = Zeroizing::new(String::with_capacity(64));
    BASE64URL_NOPAD.encode_append(key.expose(), &mut text);
    SecretText::new(SecretBytes::new(text.as_bytes().to_vec()))
        .ok_or_else(|| ServiceError::new(ErrorCode::Fault, "the key is no text"))
}

pub(super) fn report(binding: &Binding) -> AcmeBindingReport {
    AcmeBindingReport {
        name: binding.name.to_string(),
        identity: binding.identity.to_string(),
        made: binding.made,
        until: binding.until,
        reusable: binding.reusable,
        account: binding.account.as_ref().map(ToString::to_string),
        container: binding.container.clone(),
    }
}

pub(super) fn worded(error: &StateError) -> ServiceError {
    use StateError as E;
    let code = match error {
        E::Unknown(_) => ErrorCode::NotFound,
        E::KeyTaken(_) | E::BindingExists | E::Busy(_) | E::Status(_) | E::Replaced => {
            ErrorCode::Conflict
        }
        E::TooMany(_) | E::NoRoom(_) => ErrorCode::Busy,
        E::Random | E::Encode(_) => ErrorCode::Fault,
        E::Damaged(_) | E::Read(_) | E::Commit(_) | E::Keyring(_) => ErrorCode::State,
    };
    let hint = match error {
        E::BindingExists => Some("remove it first, or take another name".to_owned()),
        _ => None,
    };
    ServiceError::of(code, error).maybe_hint(hint)
}
