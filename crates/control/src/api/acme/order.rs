//! Orders, authorizations and certificates at the door (RFC 8555 §7.4 to §7.6, RFC 9773).

use std::sync::Arc;

use hyper::StatusCode;
use sealock_acme::ari;
use sealock_acme::challenge::ChallengeType;
use sealock_acme::problem::AcmeProblem;
use sealock_acme::state::{Authorization, Challenge, Order};
use sealock_acme::wire::{self, AuthorizationStatus, ChallengeStatus, OrderStatus};
use sealock_authority::Reason;

use super::{Asked, By, PREFIX, Said, account, show};
use crate::service::{Download, Ordered, Revoker, Service};

/// While a challenge is being looked at, in seconds.
const LOOK_AGAIN: u64 = 1;
/// Between two looks at when to renew, in seconds (RFC 9773 §4.3).
const RENEWAL: u64 = 6 * 3600;

fn shown(asked: &Asked, status: StatusCode, order: &Order) -> Said {
    let url = format!("{}{PREFIX}order/{}", asked.base, order.id);
    let said = Said::json(status, &show::order(order, &asked.base));
    match order.status {
        OrderStatus::Pending => said.at(url).retry_after(LOOK_AGAIN),
        _ => said.at(url),
    }
}

/// `newOrder`.
pub(super) fn make(asked: &Asked) -> Result<Said, AcmeProblem> {
    let account = asked.account()?;
    let wanted = wire::NewOrder::read(&asked.payload)?;
    let ordered = Ordered {
        identifiers: wanted.identifiers,
        not_before: wanted.not_before,
        not_after: wanted.not_after,
        profile: wanted.profile,
        replaces: wanted.replaces,
    };
    let order = asked.service.acme_order_make(&asked.id, account, &ordered)?;
    Ok(shown(asked, StatusCode::CREATED, &order))
}

pub(super) fn show(asked: &Asked, id: &str) -> Result<Said, AcmeProblem> {
    let account = asked.account()?;
    asked.is_post_as_get()?;
    let order = asked.service.acme_order(account, id)?;
    Ok(shown(asked, StatusCode::OK, &order))
}

/// The orders of an account, page by page (RFC 8555 §7.1.2.1).
pub(super) fn list(asked: &Asked, id: &str, query: &str) -> Result<Said, AcmeProblem> {
    let account = account::own(asked, id)?;
    asked.is_post_as_get()?;
    let after = query.strip_prefix("?after=");
    if after.is_none() && !query.is_empty() {
        return Err(AcmeProblem::not_found());
    }
    let (orders, is_more) = asked.service.acme_orders(account, after)?;
    let said = Said::json(StatusCode::OK, &show::orders(&orders, &asked.base));
    Ok(match orders.last().filter(|_| is_more) {
        Some(last) => {
            said.link(&format!("{}{PREFIX}account/{id}/orders?after={last}", asked.base), "next")
        }
        None => said,
    })
}

pub(super) fn finalize(asked: &Asked, id: &str) -> Result<Said, AcmeProblem> {
    let account = asked.account()?;
    let wanted = wire::Finalize::read(&asked.payload)?;
    let mut may_issue = true;
    if asked.server.heeds_caa() {
        let ready = asked.service.acme_proofs(account, id)?;
        may_issue = ready.is_some();
        let runtime = tokio::runtime::Handle::try_current();
        let runtime = runtime.map_err(|_| AcmeProblem::server_internal())?;
        runtime.block_on(asked.server.check_order(&account.id, &ready.unwrap_or_default()))?;
    }
    let order = asked.service.acme_finalize(&asked.id, account, id, &wanted.csr, may_issue)?;
    Ok(shown(asked, StatusCode::OK, &order))
}

/// An authorization is shown, or given up. One whose challenge was being looked at by a process that is gone is looked at
/// again.
pub(super) fn authorization(asked: &Asked, id: &str) -> Result<Said, AcmeProblem> {
    let account = asked.account()?;
    if !asked.payload.is_empty() {
        wire::AuthorizationUpdate::read(&asked.payload)?;
        let ended = asked.service.acme_authorization_deactivate(account, id)?;
        return Ok(Said::json(StatusCode::OK, &show::authorization(&ended, &asked.base)));
    }
    let found = asked.service.acme_authorization(account, id)?;
    let is_looked_at = look_again(asked, &found)?;
    let said = Said::json(StatusCode::OK, &show::authorization(&found, &asked.base));
    Ok(if is_looked_at { said.retry_after(LOOK_AGAIN) } else { said })
}

/// Has what is being looked at looked at, if nobody does. Says whether there is any.
fn look_again(asked: &Asked, authorization: &Authorization) -> Result<bool, AcmeProblem> {
    if authorization.status != AuthorizationStatus::Pending {
        return Ok(false);
    }
    let processing = |it: &&Challenge| it.status == ChallengeStatus::Processing;
    let Some(challenge) = authorization.challenges.iter().find(processing) else {
        return Ok(false);
    };
    let account = asked.account()?;
    asked.server.look(&asked.service, &asked.id, account, authorization, challenge);
    Ok(true)
}

/// A challenge is shown, or answered: then it is looked at (RFC 8555 §7.5.1).
pub(super) fn challenge(asked: &Asked, id: &str, kind: &str) -> Result<Said, AcmeProblem> {
    let account = asked.account()?;
    let kind = ChallengeType::ALL.into_iter().find(|known| known.name() == kind);
    let kind = kind.ok_or_else(AcmeProblem::not_found)?;
    let mut found = asked.service.acme_authorization(account, id)?;
    if !asked.payload.is_empty() {
        wire::ChallengeResponse::read(&asked.payload)?;
        if found.status == AuthorizationStatus::Pending {
            asked.service.acme_challenge_begin(account, &found.id, kind)?;
            found = asked.service.acme_authorization(account, id)?;
        }
    }
    let challenge = found.challenges.iter().find(|it| it.kind == kind);
    let challenge = challenge.ok_or_else(AcmeProblem::not_found)?;
    let is_looked_at = challenge.status == ChallengeStatus::Processing;
    if is_looked_at {
        asked.server.look(&asked.service, &asked.id, account, &found, challenge);
    }
    let up = format!("{}{PREFIX}authorization/{}", asked.base, found.id);
    let document = show::challenge(challenge, &found.id, &asked.base);
    let said = Said::json(StatusCode::OK, &document).link(&up, "up");
    Ok(if is_looked_at { said.retry_after(LOOK_AGAIN) } else { said })
}

pub(super) fn certificate(asked: &Asked, serial: &str) -> Result<Said, AcmeProblem> {
    let account = asked.account()?;
    asked.is_post_as_get()?;
    let Download(pem) = asked.service.acme_certificate(account, serial)?;
    Ok(Said {
        kind: "application/pem-certificate-chain",
        body: pem.into_bytes(),
        ..Said::json(StatusCode::OK, &())
    })
}

pub(super) fn revoke(asked: &Asked) -> Result<Said, AcmeProblem> {
    use wire::RevocationReason as Asked;
    let wanted = wire::RevokeCert::read(&asked.payload)?;
    let reason = match wanted.reason {
        None | Some(Asked::Unspecified) => Reason::Unspecified,
        Some(Asked::KeyCompromise) => Reason::KeyCompromise,
        Some(Asked::AffiliationChanged) => Reason::AffiliationChanged,
        Some(Asked::Superseded) => Reason::Superseded,
        Some(Asked::CessationOfOperation) => Reason::CessationOfOperation,
        Some(Asked::PrivilegeWithdrawn) => Reason::PrivilegeWithdrawn,
    };
    let revoker = match &asked.by {
        By::Account(account) => Revoker::Account(account),
        By::Key(key) => Revoker::Key(key),
    };
    asked.service.acme_revoke(&asked.id, &wanted.certificate, reason, revoker)?;
    Ok(Said { body: Vec::new(), ..Said::json(StatusCode::OK, &()) })
}

/// When a certificate is best renewed; for everybody who asks.
pub(super) fn renewal_info(service: &Arc<Service>, id: &str) -> Result<Said, AcmeProblem> {
    let id: ari::CertificateId = id.parse().map_err(|_| AcmeProblem::not_found())?;
    let window = service.acme_renewal(id.key_identifier(), id.serial())?;
    let document = show::renewal_info(window);
    Ok(Said::json(StatusCode::OK, &document).retry_after(RENEWAL))
}
