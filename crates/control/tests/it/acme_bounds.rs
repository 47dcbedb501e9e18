//! What the server gives as it was asked, or not at all; how much may be open; and what ends by itself.

use std::time::Duration;

use sealock_control::Command;
use sealock_core::Timestamp;
use sealock_store::{Change, Operation, Store, Transaction, WatchEvent};
use sealock_testkit::wait::until;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::acme::World;
use crate::acme_client::{Key, csr, order};
use crate::acme_good::{certificate_id, leaf, written};
use crate::api::end;
use crate::scratch::call;

fn put(key: String, value: String, expires: Timestamp) -> Operation {
    Operation::Put { key: key.into_bytes(), value: value.into_bytes(), expires: Some(expires) }
}

#[tokio::test]
async fn an_account_has_so_many_orders_open_and_is_told_when_to_come_again() {
    let world = World::new().await;
    let (key, known) = (Key::new(), Key::new());
    let (kid, known_kid) = (world.account(&key).await, world.bound(&known).await);
    let id = kid.rsplit('/').next().unwrap();
    let journal = world.daemon.service().journal();
    let ends = journal.clock().now().plus(Duration::from_secs(86_400));
    // As five thousand open orders of its leave them.
    let one = |number: usize| {
        let place = format!("acme/open/strangers/{id}/{number:022}");
        put(place, format!("[1,{}]", ends.as_millis()), ends)
    };
    let transaction =
        Transaction { operations: (0..5_000).map(one).collect(), ..Transaction::new() };
    journal.commit_blocking(Change { transaction, events: Vec::new() }).unwrap();
    let url = world.at("new-order");
    let refused = world.signed(&key, Some(&kid), &url, &order(&["a.open.example"])).await;
    assert_eq!((refused.status, refused.problem().as_str()), (429, "rateLimited"));
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&after), "{after}");
    assert!(refused.text("detail").contains("bring some to an end"), "{}", refused.document());
    // Others are not kept out.
    let made = world.signed(&known, Some(&known_kid), &url, &order(&["a.web.example"])).await;
    assert_eq!(made.status, 201, "{}", made.document());
    end(world.daemon).await;
}

/// RFC 8555 §7.4: nothing else is issued than was asked for.
#[tokio::test]
async fn a_certificate_begins_and_ends_as_its_order_says_or_there_is_none() {
    let world = World::new().await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    let name = "a.web.example";
    let now = world.daemon.service().journal().clock().now();
    let at = |seconds: i64| Timestamp::from_secs(now.as_secs() + seconds);
    let asking = |more: Value| {
        let mut whole = json!({"identifiers": [{"type": "dns", "value": name}]});
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        whole.to_string()
    };
    let day = 86_400;
    let split = at(day).to_rfc3339().replace('Z', ".5Z");
    for (what, more) in [
        ("longer than the profile", json!({"notAfter": at(91 * day).to_rfc3339()})),
        (
            "longer than the profile",
            json!({"notAfter": at(7 * day).to_rfc3339(), "profile": "short"}),
        ),
        ("over", json!({"notAfter": at(-1).to_rfc3339()})),
        ("in the past", json!({"notBefore": at(-3600).to_rfc3339()})),
        ("in the future", json!({"notBefore": at(3600).to_rfc3339()})),
        ("no whole second", json!({ "notAfter": split })),
    ] {
        let url = world.at("new-order");
        let refused = world.signed(&key, Some(&kid), &url, &asking(more.clone())).await;
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (400, "malformed"),
            "{what} {more}"
        );
        assert!(refused.text("detail").contains("not"), "{}", refused.document());
    }
    for (begins, ends) in
        [(Some(at(0)), Some(at(7200))), (None, Some(at(day))), (Some(at(-30)), None), (None, None)]
    {
        let said = |moment: Option<Timestamp>| json!(moment.map(Timestamp::to_rfc3339));
        let mut more = json!({"notBefore": said(begins), "notAfter": said(ends)});
        more.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let made =
            world.signed(&key, Some(&kid), &world.at("new-order"), &asking(more.clone())).await;
        assert_eq!(made.status, 201, "{more}: {}", made.document());
        let done = world.signed(&key, Some(&kid), &made.text("finalize"), &csr(&[name])).await;
        assert_eq!(done.status, 200, "{more}: {}", done.document());
        for (member, value) in [("notBefore", said(begins)), ("notAfter", said(ends))] {
            assert_eq!(done.document()[member], value, "as it was ordered");
        }
        let der = leaf(&world.signed(&key, Some(&kid), &done.text("certificate"), "").await);
        let validity = X509Certificate::from_der(&der).unwrap().1.validity().clone();
        if let Some(begins) = begins {
            assert_eq!(validity.not_before.timestamp(), begins.as_secs());
        }
        if let Some(ends) = ends {
            assert_eq!(validity.not_after.timestamp(), ends.as_secs());
        }
    }
    end(world.daemon).await;
}

/// RFC 9773 §5.
#[tokio::test]
async fn of_two_open_orders_that_replace_one_certificate_one_does() {
    let world = World::new().await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    let name = "a.web.example";
    let der = leaf(&world.certificate(&key, &kid, &order(&[name]), &csr(&[name])).await);
    let replacing = |name: &str| {
        json!({"identifiers": [{"type": "dns", "value": name}], "replaces": written(&certificate_id(&der))})
            .to_string()
    };
    let url = world.at("new-order");
    let other = world.signed(&key, Some(&kid), &url, &replacing("b.web.example")).await;
    assert_eq!((other.status, other.problem().as_str()), (400, "malformed"), "another name");
    let one = world.signed(&key, Some(&kid), &url, &replacing(name)).await.text("finalize");
    let two = world.signed(&key, Some(&kid), &url, &replacing(name)).await.text("finalize");
    let (first, second) = (csr(&[name]), csr(&[name]));
    let answers = futures_util::future::join_all([
        world.signed(&key, Some(&kid), &one, &first),
        world.signed(&key, Some(&kid), &two, &second),
    ])
    .await;
    let mut told: Vec<(u16, String)> =
        answers.iter().map(|answer| (answer.status, answer.problem())).collect();
    told.sort();
    assert_eq!(told, [(200, String::new()), (409, "alreadyReplaced".to_owned())]);
    end(world.daemon).await;
}

/// RFC 8555 §6.3.
#[tokio::test]
async fn directory_and_nonces_are_there_for_accounts_too() {
    let world = World::new().await;
    let key = Key::new();
    let kid = world.account(&key).await;
    let plain = world.ask("GET", &world.at("directory"), "", "").await.document();
    let signed = world.signed(&key, Some(&kid), &world.at("directory"), "").await;
    assert_eq!((signed.status, signed.document()), (200, plain));
    let nonce = world.signed(&key, Some(&kid), &world.at("new-nonce"), "").await;
    assert_eq!((nonce.status, nonce.body.len()), (204, 0));
    let fresh = nonce.header("replay-nonce").unwrap();
    let again = world.post(&kid, &key.jws(Some(&kid), &kid, fresh, "")).await;
    assert_eq!(again.status, 200, "{}", again.document());
    for path in ["directory", "new-nonce"] {
        let full = world.signed(&key, Some(&kid), &world.at(path), "{}").await;
        assert_eq!((full.status, full.problem().as_str()), (400, "malformed"), "no POST-as-GET");
        let nobody = world.signed(&key, None, &world.at(path), "").await;
        assert_eq!((nobody.status, nobody.problem().as_str()), (400, "malformed"));
    }
    end(world.daemon).await;
}

/// An account that the administrator has ended: its key is good for nothing.
#[tokio::test]
async fn an_account_that_is_revoked_is_refused_everything() {
    let world = World::new().await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    let name = "a.web.example";
    let made = world.signed(&key, Some(&kid), &world.at("new-order"), &order(&[name])).await;
    call(world.daemon.service(), Command::AcmeAccountRevoke { account: kid.clone() })
        .await
        .unwrap();
    let asked = [
        (world.at("new-order"), order(&[name])),
        (made.text("finalize"), csr(&[name])),
        (made.location(), String::new()),
        (kid.clone(), String::new()),
        (world.at("directory"), String::new()),
    ];
    for (url, payload) in asked {
        let refused = world.signed(&key, Some(&kid), &url, &payload).await;
        assert_eq!((refused.status, refused.problem().as_str()), (401, "unauthorized"), "{url}");
    }
    // Its key makes no other one: what it is told is how that account stands.
    let found = world.signed(&key, None, &world.at("new-account"), "{}").await;
    assert_ne!(found.status, 201, "{}", found.document());
    let again =
        call(world.daemon.service(), Command::AcmeAccountRevoke { account: kid.clone() }).await;
    assert!(again.is_err(), "it has ended");
    end(world.daemon).await;
}

/// The clock of the chores is moved on, not that of entries: those have expired.
#[tokio::test]
async fn the_daemon_sweeps_what_has_expired() {
    let world = World::new().await;
    let journal = world.daemon.service().journal();
    let store: &dyn Store = journal.store().as_ref();
    let watch = store.watch(b"acme/order/swept").unwrap();
    let ends = journal.clock().now().plus(Duration::from_millis(1));
    let transaction = Transaction::new().with(put("acme/order/swept".into(), "1".into(), ends));
    journal.commit_blocking(Change { transaction, events: Vec::new() }).unwrap();
    let written = watch.next_within(Duration::from_secs(10));
    assert!(matches!(written, Some(WatchEvent::Put { .. })), "{written:?}");
    until("it to expire", Duration::from_secs(10), || {
        store.get(b"acme/order/swept").unwrap().is_none().then_some(())
    });
    assert!(watch.try_next().is_none(), "not yet");
    let mut swept = None;
    for number in 0..600 {
        // Again and again: the chore may begin to wait only now.
        if number % 10 == 0 {
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(601)).await;
            tokio::time::resume();
        }
        swept = watch.try_next();
        if swept.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(matches!(swept, Some(WatchEvent::Deleted { .. })), "{swept:?}");
    end(world.daemon).await;
}
