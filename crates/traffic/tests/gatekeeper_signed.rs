//! An app that checks who calls, by a signature.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod support;

use std::time::Duration;

use sealock_traffic::gatekeeper::{Extras, Signer};
use sealock_traffic::token::{Expected, KeySet, SKEW, verify};
use support::{ISSUER, NOW, POLICY, Scene, header, identity, request, status};

fn expected<'a>(audience: &'a str, now: u64) -> Expected<'a> {
    Expected { issuer: audience, audience, now, skew: SKEW, longest: 300, certificate: None }
}

#[tokio::test]
async fn the_app_can_check_who_calls_and_nobody_takes_that_for_a_token() {
    let service = identity("orders");
    let signer = Signer::new(&service).unwrap();
    let keys = KeySet::from_json(signer.keys().to_json().as_bytes()).unwrap();
    let extras = Extras { signer: Some(signer), ..Extras::default() };
    let scene = Scene::with_extras(|_| {}, extras).await;
    scene.gatekeeper.know(scene.known(POLICY, 1));
    let (shop, web) = (scene.token("shop"), scene.token("web"));
    let told = async |token: &str, fields: &str| {
        let answer = scene.exchange(request("GET /v1/a", Some(token), fields).as_bytes()).await;
        assert_eq!(status(&answer), 200);
        let head = scene.app.last().0;
        assert_eq!(head.matches("identity-token").count(), 1, "{head}");
        header(&head, "x-sealock-identity-token").unwrap().to_owned()
    };
    let forged = "x-sealock-identity-token: a.b.c\r\nX_Sealock_Identity_Token: a.b.c\r\n";
    let first = told(&shop, forged).await;
    let service = service.to_string();
    let said = verify(&first, &keys, &expected(&service, NOW)).unwrap();
    assert_eq!(
        (&said.subject, said.issued_at, said.expires_at),
        (&identity("shop"), NOW, NOW + 90)
    );
    assert_eq!((said.issuer.as_str(), said.audience.as_str()), (&*service, &*service));
    // The same again for a while, and another one for another caller.
    assert_eq!(told(&shop, "").await, first);
    let other = told(&web, "").await;
    assert_eq!(verify(&other, &keys, &expected(&service, NOW)).unwrap().subject, identity("web"));
    scene.clock.advance(Duration::from_secs(30));
    let later = told(&shop, "").await;
    assert_ne!(later, first);
    assert!(verify(&later, &keys, &expected(&service, NOW + 30)).is_ok());
    // It is good for the app only: sent as a token it gets nobody anywhere, at this Gatekeeper neither.
    let answer = scene.exchange(request("GET /v1/a", Some(&later), "").as_bytes()).await;
    assert_eq!(status(&answer), 401);
    let broker = scene.known(POLICY, 1).keys;
    assert!(verify(&later, &broker, &expected(ISSUER, NOW + 30)).is_err());
    let mut bent = later.clone();
    bent.replace_range(
        later.len() - 8..later.len() - 7,
        if later.ends_with('A') { "B" } else { "A" },
    );
    if bent != later {
        assert!(verify(&bent, &keys, &expected(&service, NOW + 30)).is_err());
    }
}

#[tokio::test]
async fn without_the_option_there_is_none() {
    let scene = Scene::start().await;
    let answer = scene.call("GET /v1/a", "shop", "x-sealock-identity-token: a.b.c\r\n").await;
    assert_eq!(status(&answer), 200);
    assert!(!scene.app.last().0.contains("identity-token"));
}
