//! CAA records, as the server at the door heeds them: the account's URL in them, and names that nobody has to prove.

use sealock_testkit::names::Names;

use crate::acme::{World, unproved};
use crate::acme_client::{Answer, Key, csr, found, order, web};
use crate::acme_good::asking;
use crate::api::end;

async fn finalized(world: &World, key: &Key, kid: &str, made: &Answer, names: &[&str]) -> Answer {
    world.signed(key, Some(kid), &made.text("finalize"), &csr(names)).await
}

/// RFC 8657 §3: by its URL, under any name of the server, and by nothing else.
#[tokio::test]
async fn a_caa_record_names_an_account_by_its_url() {
    let scratch = tempfile::tempdir().unwrap();
    let key = Key::new();
    let thumbprint = key.thumbprint();
    let http = web(move |_, token| Some(found(&format!("{token}.{thumbprint}")))).await;
    let (world, names) = asking(scratch.path(), http, 1, true).await;
    let (kid, other) = (world.account(&key).await, world.account(&Key::new()).await);
    let id = kid.rsplit('/').next().unwrap();
    for (name, account, is_it) in [
        ("own.acme.test", kid.clone(), true),
        ("address.acme.test", kid.replace("localhost", "127.0.0.1"), true),
        ("bare.acme.test", id.to_owned(), false),
        ("other.acme.test", other, false),
        ("elsewhere.acme.test", kid.replace("localhost", "ca.example"), false),
    ] {
        let record = format!("ca.example; accounturi={account}");
        names.set(&format!("{name}.caa"), &record);
        let made = world.signed(&key, Some(&kid), &world.at("new-order"), &order(&[name])).await;
        let ended = world.answered(&key, &kid, &made, "http-01").await;
        let expected = if is_it { "valid" } else { "invalid" };
        assert_eq!(ended.text("status"), expected, "{record}: {}", ended.document());
        if is_it {
            let done = finalized(&world, &key, &kid, &made, &[name]).await;
            assert_eq!(done.status, 200, "{}", done.document());
        } else {
            let said = ended.document().to_string();
            assert!(said.contains("urn:ietf:params:acme:error:caa"), "{record}: {said}");
        }
    }
    // Taken away after it was proved, and before the certificate.
    let name = "late.acme.test";
    let made = world.signed(&key, Some(&kid), &world.at("new-order"), &order(&[name])).await;
    assert_eq!(world.answered(&key, &kid, &made, "http-01").await.text("status"), "valid");
    names.set("late.acme.test.caa", "ca.example; validationmethods=dns-01");
    let refused = finalized(&world, &key, &kid, &made, &[name]).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "caa"));
    names.set("late.acme.test.caa", "ca.example; validationmethods=http-01");
    assert_eq!(finalized(&world, &key, &kid, &made, &[name]).await.status, 200);
    end(world.daemon).await;
}

/// A world in which the service `web` proves nothing below `acme.test`.
async fn spared(names: &Names) -> World {
    let resolver = names.address;
    let world = World::with(move |settings| {
        settings.acme.resolvers = vec![resolver];
        settings.acme.caa = vec!["ca.example".parse().unwrap()];
    })
    .await;
    let rules = unproved("Cert::Issue") + &unproved("Cert::Unproved");
    world.ruled(&rules.replace("web.example", "acme.test")).await;
    world
}

#[tokio::test]
async fn caa_is_asked_for_names_that_need_no_challenge_too() {
    let scratch = tempfile::tempdir().unwrap();
    let names = Names::start(scratch.path().join("names"));
    let world = spared(&names).await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    let ready = async |names: &[&str]| {
        let made = world.signed(&key, Some(&kid), &world.at("new-order"), &order(names)).await;
        assert_eq!(made.text("status"), "ready", "{}", made.document());
        made
    };
    let shown = async |made: &Answer| {
        world.signed(&key, Some(&kid), &made.location(), "").await.text("status")
    };
    names.set("others.acme.test.caa", "other.example");
    names.set("broken.acme.test.fails", "");
    names.set("ways.acme.test.caa", "ca.example; validationmethods=http-01,dns-01,tls-alpn-01");
    names.set("ours.acme.test.caa", &format!("ca.example; accounturi={kid}"));
    for (name, problem) in [
        ("others.acme.test", Some((403, "caa"))),
        ("below.others.acme.test", Some((403, "caa"))),
        ("*.others.acme.test", Some((403, "caa"))),
        // None of its methods was used.
        ("ways.acme.test", Some((403, "caa"))),
        // What cannot be asked for may forbid it.
        ("broken.acme.test", Some((400, "dns"))),
        ("ours.acme.test", None),
        ("free.acme.test", None),
    ] {
        let made = ready(&[name]).await;
        let done = finalized(&world, &key, &kid, &made, &[name]).await;
        let Some((status, kind)) = problem else {
            assert_eq!(done.status, 200, "{name}: {}", done.document());
            continue;
        };
        let told = (done.status, done.problem());
        assert_eq!(told, (status, kind.to_owned()), "{name}: {}", done.document());
        assert_eq!(shown(&made).await, "ready", "it can be tried again");
    }
    // Of several it is told which, and once its owner lets us there is a certificate.
    let several = ["a.acme.test", "others.acme.test"];
    let made = ready(&several).await;
    let refused = finalized(&world, &key, &kid, &made, &several).await;
    assert_eq!(refused.problem(), "caa", "{}", refused.document());
    let told = refused.document()["subproblems"].clone();
    assert_eq!(told.as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told[0]["identifier"]["value"], "others.acme.test");
    names.set("others.acme.test.caa", "ca.example");
    assert_eq!(finalized(&world, &key, &kid, &made, &several).await.status, 200);
    end(world.daemon).await;
}
