//! Resources, with the URLs that this door has for them.

use sealock_acme::state::{Account, Authorization, Challenge, Id, Order};
use sealock_acme::wire::{
    AccountResource, AuthorizationResource, ChallengeResource, Directory, Meta, OrderResource,
    OrdersResource, RenewalInfo, SuggestedWindow,
};
use sealock_core::Timestamp;
use sealock_core::span::format_span;

use super::PREFIX;
use crate::config::{AcmeProfile, AcmeSettings};
use crate::service::RenewalWindow;

pub(super) fn directory(base: &str, settings: &AcmeSettings) -> Directory {
    let told = |profile: &AcmeProfile| {
        let usages = match (profile.usages.server, profile.usages.client) {
            (true, true) => "servers and clients",
            (false, true) => "clients",
            _ => "servers",
        };
        format!("for {usages}, lives {}", format_span(profile.life))
    };
    let profiles = settings.profiles.iter().map(|(name, profile)| (name.clone(), told(profile)));
    let meta = Meta {
        external_account_required: settings.external_account_required,
        profiles: profiles.collect(),
        ..Meta::default()
    };
    Directory::below(&format!("{base}{}", PREFIX.trim_end_matches('/')), meta)
}

pub(super) fn account(account: &Account, url: &str) -> AccountResource {
    AccountResource {
        status: account.status,
        contact: account.contacts.clone(),
        terms_of_service_agreed: None,
        orders: format!("{url}/orders"),
    }
}

pub(super) fn orders(orders: &[Id], base: &str) -> OrdersResource {
    OrdersResource { orders: orders.iter().map(|id| format!("{base}{PREFIX}order/{id}")).collect() }
}

pub(super) fn order(order: &Order, base: &str) -> OrderResource {
    let at = |path: String| format!("{base}{PREFIX}{path}");
    OrderResource {
        status: order.status,
        expires: Some(order.expires),
        identifiers: order.identifiers.clone(),
        not_before: order.validity.0,
        not_after: order.validity.1,
        profile: Some(order.profile.clone()),
        replaces: order.replaces.clone(),
        // Why is with the authorization that failed.
        error: None,
        authorizations: order
            .authorizations
            .iter()
            .map(|id| at(format!("authorization/{id}")))
            .collect(),
        finalize: at(format!("order/{}/finalize", order.id)),
        certificate: order.certificate.as_ref().map(|serial| at(format!("certificate/{serial}"))),
    }
}

/// Where nothing had to be proved, there is no challenge.
pub(super) fn authorization(found: &Authorization, base: &str) -> AuthorizationResource {
    let challenges = found.challenges.iter().map(|it| challenge(it, &found.id, base));
    AuthorizationResource::of(
        &found.identifier,
        found.status,
        Some(found.expires),
        challenges.collect(),
    )
}

pub(super) fn challenge(
    challenge: &Challenge,
    authorization: &Id,
    base: &str,
) -> ChallengeResource {
    ChallengeResource {
        kind: challenge.kind,
        url: format!("{base}{PREFIX}challenge/{authorization}/{}", challenge.kind),
        status: challenge.status,
        token: challenge.token.clone(),
        validated: challenge.validated.map(Timestamp::from_millis),
        error: challenge.error.clone(),
    }
}

pub(super) fn renewal_info(window: RenewalWindow) -> RenewalInfo {
    let RenewalWindow { start, end } = window;
    RenewalInfo { suggested_window: SuggestedWindow { start, end }, explanation_url: None }
}
