//! Resources as clients get them, by the examples of the standards.

use std::collections::BTreeMap;

use sealock_core::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::challenge::{ChallengeType, Token};
use crate::identifier::Identifier;
use crate::problem::{AcmeProblem, ErrorKind};
use crate::wire::*;

fn written(resource: &impl Serialize) -> Value {
    serde_json::to_value(resource).unwrap()
}

fn time(text: &str) -> Option<Timestamp> {
    Some(Timestamp::from_rfc3339(text).unwrap())
}

fn dns(name: &str) -> Identifier {
    Identifier::read("dns", name).unwrap()
}

fn token() -> Token {
    "DGyRejmCefe7v4NfDGDKfA_DGyRejmCefe7v4NfDGDI".to_owned().try_into().unwrap()
}

/// RFC 8555 §7.1.1.
#[test]
fn the_directory() {
    let meta = Meta {
        terms_of_service: Some("https://example.com/acme/terms/2017-5-30".into()),
        website: Some("https://www.example.com/".into()),
        external_account_required: true,
        profiles: BTreeMap::from([("short-lived".into(), "https://example.com/short".into())]),
    };
    assert_eq!(
        written(&Directory::below("https://example.com/acme", meta)),
        json!({
            "newNonce": "https://example.com/acme/new-nonce",
            "newAccount": "https://example.com/acme/new-account",
            "newOrder": "https://example.com/acme/new-order",
            "revokeCert": "https://example.com/acme/revoke-cert",
            "keyChange": "https://example.com/acme/key-change",
            "renewalInfo": "https://example.com/acme/renewal-info",
            "meta": {
                "termsOfService": "https://example.com/acme/terms/2017-5-30",
                "website": "https://www.example.com/",
                "externalAccountRequired": true,
                "profiles": {"short-lived": "https://example.com/short"},
            },
        })
    );
    let bare = Directory::below("https://example.com/acme", Meta::default());
    assert_eq!(written(&bare)["meta"], json!({"externalAccountRequired": false}));
}

/// RFC 8555 §7.1.2.
#[test]
fn an_account_and_its_orders() {
    let orders = "https://example.com/acme/orders/rzGoeA".to_owned();
    let account = AccountResource {
        status: AccountStatus::Valid,
        contact: vec![Contact::read("mailto:cert-admin@example.org").unwrap()],
        terms_of_service_agreed: Some(true),
        orders: orders.clone(),
    };
    assert_eq!(
        written(&account),
        json!({
            "status": "valid",
            "contact": ["mailto:cert-admin@example.org"],
            "termsOfServiceAgreed": true,
            "orders": orders,
        })
    );
    let bare = AccountResource {
        status: AccountStatus::Deactivated,
        contact: Vec::new(),
        terms_of_service_agreed: None,
        orders: orders.clone(),
    };
    assert_eq!(written(&bare), json!({"status": "deactivated", "orders": orders}));
    let list = OrdersResource { orders: vec!["https://example.com/acme/order/TOlocE8rfgo".into()] };
    assert_eq!(written(&list), json!({"orders": ["https://example.com/acme/order/TOlocE8rfgo"]}));
}

/// RFC 8555 §7.1.3.
#[test]
fn an_order() {
    let order = OrderResource {
        status: OrderStatus::Valid,
        expires: time("2016-01-20T14:09:07.99Z"),
        identifiers: vec![dns("www.example.org"), dns("example.org")],
        not_before: time("2016-01-01T00:00:00Z"),
        not_after: time("2016-01-08T00:00:00Z"),
        profile: Some("short-lived".into()),
        replaces: Some("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".parse().unwrap()),
        error: None,
        authorizations: vec!["https://example.com/acme/authz/PAniVnsZcis".into()],
        finalize: "https://example.com/acme/order/TOlocE8rfgo/finalize".into(),
        certificate: Some("https://example.com/acme/cert/mAt3xBGaobw".into()),
    };
    assert_eq!(
        written(&order),
        json!({
            "status": "valid",
            "expires": "2016-01-20T14:09:07Z",
            "identifiers": [
                {"type": "dns", "value": "www.example.org"},
                {"type": "dns", "value": "example.org"},
            ],
            "notBefore": "2016-01-01T00:00:00Z",
            "notAfter": "2016-01-08T00:00:00Z",
            "profile": "short-lived",
            "replaces": "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE",
            "authorizations": ["https://example.com/acme/authz/PAniVnsZcis"],
            "finalize": "https://example.com/acme/order/TOlocE8rfgo/finalize",
            "certificate": "https://example.com/acme/cert/mAt3xBGaobw",
        })
    );
    let failed = OrderResource {
        status: OrderStatus::Invalid,
        expires: None,
        not_before: None,
        not_after: None,
        profile: None,
        replaces: None,
        error: Some(AcmeProblem::new(ErrorKind::BadCsr, "why")),
        certificate: None,
        ..order
    };
    let failed = written(&failed);
    assert_eq!(failed["error"]["type"], "urn:ietf:params:acme:error:badCSR");
    let mut names: Vec<_> = failed.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["authorizations", "error", "finalize", "identifiers", "status"]);
}

/// RFC 8555 §7.1.4, §8.
#[test]
fn an_authorization_and_its_challenges() {
    let challenge = |status, validated, error| ChallengeResource {
        kind: ChallengeType::Http01,
        url: "https://example.com/acme/chall/prV_B7yEyA4".into(),
        status,
        token: token(),
        validated,
        error,
    };
    let valid = challenge(ChallengeStatus::Valid, time("2014-12-01T12:05:13.72Z"), None);
    let expires = time("2015-03-01T14:09:07Z");
    let authorization = AuthorizationResource::of(
        &dns("www.example.org"),
        AuthorizationStatus::Valid,
        expires,
        vec![valid],
    );
    assert_eq!(
        written(&authorization),
        json!({
            "status": "valid",
            "expires": "2015-03-01T14:09:07Z",
            "identifier": {"type": "dns", "value": "www.example.org"},
            "challenges": [{
                "url": "https://example.com/acme/chall/prV_B7yEyA4",
                "type": "http-01",
                "status": "valid",
                "token": token().as_str(),
                "validated": "2014-12-01T12:05:13Z",
            }],
        })
    );
    let wildcard = AuthorizationResource::of(
        &dns("*.example.org"),
        AuthorizationStatus::Pending,
        expires,
        Vec::new(),
    );
    let wildcard = written(&wildcard);
    assert_eq!(wildcard["wildcard"], true);
    assert_eq!(wildcard["identifier"], json!({"type": "dns", "value": "example.org"}));
    let error = AcmeProblem::new(ErrorKind::Connection, "nobody answered");
    let failed = written(&challenge(ChallengeStatus::Invalid, None, Some(error)));
    assert_eq!(failed["error"]["detail"], "nobody answered");
    assert!(failed.get("validated").is_none());
}

/// RFC 9773 §4.2.
#[test]
fn when_to_renew() {
    let window = SuggestedWindow {
        start: Timestamp::from_rfc3339("2025-01-02T04:00:00Z").unwrap(),
        end: Timestamp::from_rfc3339("2025-01-03T04:00:00.5Z").unwrap(),
    };
    let url = "https://acme.example.com/docs/ari";
    let info = RenewalInfo { suggested_window: window, explanation_url: Some(url.into()) };
    let times = json!({"start": "2025-01-02T04:00:00Z", "end": "2025-01-03T04:00:00Z"});
    assert_eq!(written(&info), json!({"suggestedWindow": times, "explanationURL": url}));
    let bare = RenewalInfo { suggested_window: window, explanation_url: None };
    assert_eq!(written(&bare), json!({"suggestedWindow": times}));
}

/// RFC 8555 §7.1.6: the words of all states.
#[test]
fn states_are_the_words_of_the_standard() {
    use AuthorizationStatus as Authorization;
    let rows = [
        (
            written(&[AccountStatus::Valid, AccountStatus::Deactivated, AccountStatus::Revoked]),
            json!(["valid", "deactivated", "revoked"]),
        ),
        (
            written(&[
                OrderStatus::Pending,
                OrderStatus::Ready,
                OrderStatus::Processing,
                OrderStatus::Valid,
                OrderStatus::Invalid,
            ]),
            json!(["pending", "ready", "processing", "valid", "invalid"]),
        ),
        (
            written(&[
                Authorization::Pending,
                Authorization::Valid,
                Authorization::Invalid,
                Authorization::Deactivated,
                Authorization::Expired,
                Authorization::Revoked,
            ]),
            json!(["pending", "valid", "invalid", "deactivated", "expired", "revoked"]),
        ),
        (
            written(&[
                ChallengeStatus::Pending,
                ChallengeStatus::Processing,
                ChallengeStatus::Valid,
                ChallengeStatus::Invalid,
            ]),
            json!(["pending", "processing", "valid", "invalid"]),
        ),
    ];
    for (words, expected) in rows {
        assert_eq!(words, expected);
    }
}
