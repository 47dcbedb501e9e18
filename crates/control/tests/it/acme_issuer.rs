//! Orders under a profile whose certificates come from an issuing CA under the company's root.

use std::time::Duration;

use sealock_authority::NameKind;
use sealock_control::config::Listen;
use sealock_control::daemon::up;
use sealock_testkit::clients::skip_without;

use crate::acme::{World, unproved};
use crate::acme_client::{Key, Site, csr, order};
use crate::api::{end, roots};
use crate::issuers::corp_signed;

/// What has to be given beside the certificate, and is given for one name only.
fn under(name: &str) -> String {
    format!(
        "permit (principal == Sealock::Service::\"web\", action == Sealock::Action::\"Cert::Under\", resource in Sealock::Domain::\"{name}\");\n"
    )
}

async fn world() -> World {
    let world = World::with(|settings| {
        for profile in settings.acme.profiles.values_mut() {
            profile.issuer = Some("corp".parse().unwrap());
            profile.life = Duration::from_secs(86_400);
        }
    })
    .await;
    let rules = unproved("Cert::Issue") + &unproved("Cert::Unproved") + &under("a.web.example");
    std::fs::write(world.scratch.rule_file("acme.cedar"), rules).unwrap();
    let reload = sealock_control::Command::PolicyReload;
    crate::scratch::call(world.daemon.service(), reload).await.unwrap();
    corp_signed(world.daemon.service(), world.scratch.folder.path(), "").await;
    world
}

#[tokio::test]
async fn a_denial_tells_which_names_the_issuer_of_the_profile_may_not_sign() {
    if skip_without(&["openssl"]) {
        return;
    }
    let world = world().await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    let names = ["a.web.example", "b.web.example"];
    let answer = world.signed(&key, Some(&kid), &world.at("new-order"), &order(&names)).await;
    assert_eq!(answer.problem(), "rejectedIdentifier", "{:?}", answer.document());
    let document = answer.document();
    let told: Vec<&str> = document["subproblems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["identifier"]["value"].as_str().unwrap())
        .collect();
    assert_eq!(told, &names[1..], "{document}");
}

#[tokio::test]
async fn what_the_ca_may_not_sign_any_more_is_told_when_the_order_is_brought_to_its_end() {
    if skip_without(&["openssl"]) {
        return;
    }
    let world = world().await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    let names = ["a.web.example"];
    let made = world.signed(&key, Some(&kid), &world.at("new-order"), &order(&names)).await;
    assert_eq!((made.status, made.text("status").as_str()), (201, "ready"), "{made:?}");
    // In between the company has signed the CA anew, for less.
    let folder = world.scratch.folder.path();
    let less = "nameConstraints=critical,excluded;DNS:web.example";
    corp_signed(world.daemon.service(), folder, less).await;
    let finalize = made.text("finalize");
    let finished = world.signed(&key, Some(&kid), &finalize, &csr(&names)).await;
    assert_eq!(finished.problem(), "rejectedIdentifier", "{:?}", finished.document());
    let document = finished.document();
    assert!(document.to_string().contains("name constraints"), "{document}");
    let first = &document["subproblems"][0]["identifier"]["value"];
    assert_eq!(first, "a.web.example", "it is told as for a new order: {document}");
    // And for more again.
    corp_signed(world.daemon.service(), folder, "").await;
    let finished = world.signed(&key, Some(&kid), &finalize, &csr(&names)).await;
    assert_eq!(finished.text("status"), "valid", "{:?}", finished.document());
}

#[tokio::test]
async fn bounds_that_were_narrowed_since_hold_when_an_order_is_brought_to_its_end() {
    let world = World::new().await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    let names = ["a.web.example"];
    let made = world.signed(&key, Some(&kid), &world.at("new-order"), &order(&names)).await;
    assert_eq!((made.status, made.text("status").as_str()), (201, "ready"), "{made:?}");
    let World { daemon, scratch, .. } = world;
    let address = daemon.started().api.clone().unwrap();
    end(daemon).await;
    let mut opening = scratch.opening();
    let settings = &mut opening.config.settings;
    settings.api.listen = Listen::At(address.parse().unwrap());
    for profile in settings.acme.profiles.values_mut() {
        profile.bounds.names = vec![NameKind::Ip];
    }
    let daemon = up(opening).await.unwrap();
    let site = Site::new(daemon.started().api.clone().unwrap(), roots(&daemon).await);
    let finished = site.signed(&key, Some(&kid), &made.text("finalize"), &csr(&names)).await;
    assert_eq!(finished.problem(), "rejectedIdentifier", "{:?}", finished.document());
    end(daemon).await;
}
