//! Accounts at the door (RFC 8555 §7.3).

use hyper::StatusCode;
use sealock_acme::jws::{Binding, KeyChange as SignedChange};
use sealock_acme::problem::{AcmeProblem, ErrorKind};
use sealock_acme::state::{Account, NewAccount};
use sealock_acme::wire::{self, AccountStatus};

use super::{Asked, PREFIX, Said, show};
use crate::service::KeyChange;

fn url_of(asked: &Asked, id: &str) -> String {
    format!("{}{PREFIX}account/{id}", asked.base)
}

fn shown(asked: &Asked, status: StatusCode, account: &Account) -> Said {
    let url = url_of(asked, account.id.as_str());
    Said::json(status, &show::account(account, &url)).at(url)
}

/// `newAccount`: makes one, or finds the one of the key.
pub(super) fn make(asked: &Asked) -> Result<Said, AcmeProblem> {
    let key = asked.key()?;
    let wanted = wire::NewAccount::read(&asked.payload)?;
    if let Some(account) = asked.service.acme_account_of_key(key)? {
        if account.status != AccountStatus::Valid {
            let text = "the account of this key is no longer valid";
            return Err(AcmeProblem::unauthorized(text).with_status(401));
        }
        let account = attested_anew(asked, account, wanted.external_account_binding.as_ref())?;
        return Ok(shown(asked, StatusCode::OK, &account));
    }
    if wanted.only_return_existing {
        let text = "there is no account with this key";
        return Err(AcmeProblem::new(ErrorKind::AccountDoesNotExist, text));
    }
    let binding = match wanted.external_account_binding {
        None => None,
        Some(binding) => {
            let mac = asked.service.acme_binding_key(binding.kid())?;
            binding.verify(&mac, key, &asked.url)?;
            Some(binding.kid().to_owned())
        }
    };
    let new = NewAccount { key: key.clone(), contacts: wanted.contact, binding };
    let (account, is_new) = asked.service.acme_account_make(&asked.id, &new)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(shown(asked, status, &account))
}

/// The account of a container that was made anew goes on with a new binding. One that is used, as when a client did not hear
/// its first answer, changes nothing.
fn attested_anew(
    asked: &Asked,
    account: Account,
    binding: Option<&Binding>,
) -> Result<Account, AcmeProblem> {
    let Some(binding) = binding.filter(|_| account.container.is_some()) else {
        return Ok(account);
    };
    let Ok(mac) = asked.service.acme_binding_key(binding.kid()) else { return Ok(account) };
    binding.verify(&mac, &account.key, &asked.url)?;
    asked.service.acme_account_attest(&asked.id, &account, binding.kid())
}

/// Another's account is not there.
pub(super) fn own<'a>(asked: &'a Asked, id: &str) -> Result<&'a Account, AcmeProblem> {
    let account = asked.account()?;
    if account.id.as_str() == id {
        return Ok(account);
    }
    Err(AcmeProblem::unauthorized("this is another account"))
}

/// An account is shown, changed or given up.
pub(super) fn update(asked: &Asked, id: &str) -> Result<Said, AcmeProblem> {
    let account = own(asked, id)?;
    if asked.payload.is_empty() {
        return Ok(shown(asked, StatusCode::OK, account));
    }
    let wanted = wire::AccountUpdate::read(&asked.payload)?;
    let changed = match (wanted.deactivate, wanted.contact) {
        (true, _) => asked.service.acme_account_deactivate(&asked.id, account)?,
        (false, Some(contacts)) => asked.service.acme_account_contacts(account, &contacts)?,
        (false, None) => account.clone(),
    };
    Ok(shown(asked, StatusCode::OK, &changed))
}

/// `keyChange`: signed by the old key, and within that by the new one (RFC 8555 §7.3.5).
pub(super) fn change_key(asked: &Asked) -> Result<Said, AcmeProblem> {
    let account = asked.account()?;
    let inner = SignedChange::read(&asked.payload, &asked.url)?;
    let wanted = wire::KeyChangeOrder::read(inner.payload())?;
    if wanted.account != url_of(asked, account.id.as_str()) {
        return Err(AcmeProblem::malformed("the new key has signed for another account"));
    }
    if wanted.old_key != account.key {
        return Err(AcmeProblem::malformed("`oldKey` is not the key of the account"));
    }
    match asked.service.acme_account_key(&asked.id, account, inner.key()) {
        Ok(changed) => Ok(shown(asked, StatusCode::OK, &changed)),
        Err(KeyChange::Taken(id)) => {
            let text = "the new key is that of an account already";
            let said = AcmeProblem::malformed(text).with_status(409);
            Ok(Said {
                status: StatusCode::CONFLICT,
                kind: sealock_acme::problem::CONTENT_TYPE,
                body: said.to_json(),
                ..Said::json(StatusCode::CONFLICT, &())
            }
            .at(url_of(asked, id.as_str())))
        }
        Err(KeyChange::Refused(problem)) => Err(problem),
    }
}
