//! The ACME server at the door, request by request: what is refused and how, and what an account gets.

use std::ops::Deref;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use sealock_control::command::{AcmeBind, AcmeBindingKey};
use sealock_control::config::Settings;
use sealock_control::daemon::{Daemon, up};
use sealock_control::{Command, Opening, Reply};
use sealock_core::audit::Fact;
use sealock_core::policy::{Mode, Plane};
use serde_json::json;

use crate::acme_client::{Key, Site, csr, order};
use crate::api::{end, roots};
use crate::scratch::{Scratch, call, records};

/// What the service `web` may do at names below `web.example`, as a rule.
pub(crate) fn unproved(action: &str) -> String {
    format!(
        "permit (principal == Sealock::Service::\"web\", action == Sealock::Action::\"{action}\", resource in Sealock::Domain::\"web.example\");\n"
    )
}

/// What accounts that nobody vouches for may have.
const OPEN: &str = "permit (principal in Sealock::Group::\"acme\", action == Sealock::Action::\"Cert::Issue\", resource in Sealock::Domain::\"open.example\");\n";

/// What a bound account may have without a challenge, and what the others may have with one.
pub(crate) fn rules() -> String {
    unproved("Cert::Issue") + &unproved("Cert::Unproved") + OPEN
}

pub(crate) struct World {
    pub(crate) daemon: Daemon,
    site: Arc<Site>,
    pub(crate) scratch: Scratch,
}

impl Deref for World {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::opened(|opening| change(&mut opening.config.settings)).await
    }

    pub(crate) async fn opened(change: impl FnOnce(&mut Opening)) -> Self {
        let scratch = Scratch::new();
        drop(scratch.initialised().await);
        std::fs::write(scratch.rule_file("acme.cedar"), rules()).unwrap();
        let mut opening = scratch.opening();
        change(&mut opening);
        let daemon = up(opening).await.unwrap();
        let site = Site::new(daemon.started().api.clone().unwrap(), roots(&daemon).await);
        Self { daemon, site: Arc::new(site), scratch }
    }

    pub(crate) fn site(&self) -> Arc<Site> {
        Arc::clone(&self.site)
    }

    /// Puts these rules in the place of those that there are.
    pub(crate) async fn ruled(&self, rules: &str) {
        std::fs::write(self.scratch.rule_file("acme.cedar"), rules).unwrap();
        call(self.daemon.service(), Command::PolicyReload).await.unwrap();
    }

    pub(crate) async fn binding(&self, name: &str) -> Vec<u8> {
        let bind = AcmeBind { name: name.to_owned(), identity: None, life: None, reusable: false };
        let made = call(self.daemon.service(), Command::AcmeBind(bind)).await.unwrap();
        let Reply::AcmeBindingKey(made) = made else { panic!("{made:?}") };
        let AcmeBindingKey { key, .. } = *made;
        BASE64URL_NOPAD.decode(key.bytes().expose()).unwrap()
    }

    /// An account that the service `web` vouches for.
    pub(crate) async fn bound(&self, key: &Key) -> String {
        let mac = self.binding("web").await;
        let url = self.at("new-account");
        let payload = json!({"externalAccountBinding": key.binding("web", &mac, &url)});
        let made = self.signed(key, None, &url, &payload.to_string()).await;
        assert_eq!(made.status, 201, "{:?}", made.document());
        made.location()
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_by_its_name() {
    let world = World::new().await;
    let (key, url) = (Key::new(), world.at("new-account"));
    let good = |nonce: &str| key.jws(None, &url, nonce, "{}");
    // It is JOSE, and nothing is looked at that is not.
    let form = world.ask("POST", &url, "application/json", &good("x")).await;
    assert_eq!((form.status, form.problem().as_str()), (415, "malformed"));
    assert!(form.headers.contains_key("replay-nonce"), "to go on with");
    let gone = world.ask("GET", &url, "", "").await;
    assert_eq!((gone.status, gone.problem().as_str()), (405, "malformed"));
    let long = world.post(&url, &"x".repeat(70_000)).await;
    assert!([400, 413].contains(&long.status) && long.problem() == "malformed");
    // A nonce is ours, and good once.
    for nonce in ["AAAA", &BASE64URL_NOPAD.encode(&[0; 24])] {
        let answer = world.post(&url, &good(nonce)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "badNonce"));
    }
    let nonce = world.nonce().await;
    let first = world.post(&url, &good(&nonce)).await;
    assert_eq!(first.status, 201);
    let again = world.post(&url, &good(&nonce)).await;
    assert_eq!((again.status, again.problem().as_str()), (400, "badNonce"));
    // Meant for another resource, or for another server.
    for other in [world.at("new-order"), url.replace("localhost", "ca.example")] {
        let body = key.jws(None, &other, &world.nonce().await, "{}");
        let answer = world.post(&url, &body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (403, "unauthorized"), "{other}");
    }
    // Whoever relays a request cannot choose the name under which it is taken.
    let elsewhere = url.replace("localhost", "evil.example");
    let body = key.jws(None, &elsewhere, &world.nonce().await, "{}");
    let kind = "application/jose+json";
    let host = elsewhere.split('/').nth(2).unwrap().to_owned();
    let answer = world.ask_as(&host, "POST", &url, kind, &body).await;
    assert_eq!((answer.status, answer.problem().as_str()), (421, "malformed"));
    // Another key than the account's, and no account at all.
    let (kid, orders) = (first.location(), world.at("new-order"));
    let forged =
        Key::new().jws(Some(&kid), &orders, &world.nonce().await, &order(&["a.open.example"]));
    let answer = world.post(&orders, &forged).await;
    assert_eq!((answer.status, answer.problem().as_str()), (400, "malformed"));
    for nobody in [world.at("account/AAAAAAAAAAAAAAAAAAAAAA"), "https://ca.example/1".to_owned()] {
        let answer = world.signed(&key, Some(&nobody), &orders, &order(&["a.open.example"])).await;
        assert_eq!(answer.problem(), "accountDoesNotExist", "{nobody}");
    }
    let answer = world.signed(&key, None, &orders, &order(&["a.open.example"])).await;
    assert_eq!(answer.problem(), "malformed", "an order is an account's");
    let none = world.signed(&key, None, &url, "{\"onlyReturnExisting\":true}").await;
    assert_eq!((none.status, none.location()), (200, kid));
    let unknown = Key::new();
    let none = world.signed(&unknown, None, &url, "{\"onlyReturnExisting\":true}").await;
    assert_eq!(none.problem(), "accountDoesNotExist");
    end(world.daemon).await;
}

#[tokio::test]
async fn policy_is_asked_before_anybody_is_and_again_for_the_certificate() {
    let world = World::new().await;
    let key = Key::new();
    let kid = world.account(&key).await;
    let before = records(world.daemon.service()).len();
    let orders = world.at("new-order");
    for names in [
        &["a.example"][..],
        &["a.open.example", "b.example"],
        &["localhost.open.example", "localhost"],
    ] {
        let answer = world.signed(&key, Some(&kid), &orders, &order(names)).await;
        assert_eq!(answer.problem(), "rejectedIdentifier", "{names:?}");
    }
    let denied = records(world.daemon.service()).split_off(before);
    assert_eq!(denied.len(), 2, "recorded, for `policy explain`: {denied:?}");
    // One that a rule gives has to be proved.
    let made = world.signed(&key, Some(&kid), &orders, &order(&["a.open.example"])).await;
    assert_eq!((made.status, made.document()["status"].as_str()), (201, Some("pending")));
    let finalize = made.document()["finalize"].as_str().unwrap().to_owned();
    let early = world.signed(&key, Some(&kid), &finalize, &csr(&["a.open.example"])).await;
    assert_eq!((early.status, early.problem().as_str()), (403, "orderNotReady"));
    // It is nobody else's.
    let other = Key::new();
    let other_kid = world.account(&other).await;
    for url in [made.location(), made.document()["authorizations"][0].as_str().unwrap().to_owned()]
    {
        assert_eq!(world.signed(&other, Some(&other_kid), &url, "").await.status, 404, "{url}");
        assert_eq!(world.signed(&key, Some(&kid), &url, "").await.status, 200, "{url}");
    }
    assert_eq!(world.signed(&other, Some(&other_kid), &kid, "").await.problem(), "unauthorized");
    end(world.daemon).await;
}

#[tokio::test]
async fn whom_somebody_vouches_for_has_one_certificate_for_an_order() {
    let world = World::new().await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    // The key that vouched is used up, and one that is wrong vouches for nobody.
    let (other, url) = (Key::new(), world.at("new-account"));
    let wrong = json!({"externalAccountBinding": other.binding("web", &[7; 32], &url)});
    let refused = world.signed(&other, None, &url, &wrong.to_string()).await;
    assert_eq!(refused.problem(), "unauthorized");

    let names = ["a.web.example", "*.web.example"];
    let made = world.signed(&key, Some(&kid), &world.at("new-order"), &order(&names)).await;
    let document = made.document();
    assert_eq!(document["status"], "ready", "{document}");
    let authorization = document["authorizations"][1].as_str().unwrap();
    let shown = world.signed(&key, Some(&kid), authorization, "").await.document();
    assert_eq!((&shown["status"], &shown["wildcard"]), (&json!("valid"), &json!(true)));
    assert_eq!(shown["identifier"]["value"], "web.example");
    let finalize = document["finalize"].as_str().unwrap();
    for (csr, kind) in [
        (csr(&["a.web.example"]), "badCSR"),
        (csr(&["a.web.example", "*.web.example", "b.web.example"]), "badCSR"),
        (json!({"csr": "AAAA"}).to_string(), "badCSR"),
        ("{}".to_owned(), "malformed"),
    ] {
        let answer = world.signed(&key, Some(&kid), finalize, &csr).await;
        assert_eq!(answer.problem(), kind);
    }
    let csr_text = csr(&names);
    let done = world.signed(&key, Some(&kid), finalize, &csr_text).await;
    assert_eq!(
        (done.status, &done.document()["status"]),
        (200, &json!("valid")),
        "{:?}",
        done.document()
    );
    // Asked again, by whoever did not hear the answer, it is the same certificate; for another key there is none.
    let again = world.signed(&key, Some(&kid), finalize, &csr_text).await;
    assert_eq!(again.document()["certificate"], done.document()["certificate"]);
    let third = world.signed(&key, Some(&kid), finalize, &csr(&names)).await;
    assert_eq!(third.problem(), "orderNotReady");
    let certificate = done.document()["certificate"].as_str().unwrap().to_owned();
    let pem = world.signed(&key, Some(&kid), &certificate, "").await;
    assert_eq!(pem.headers["content-type"], "application/pem-certificate-chain");
    let text = String::from_utf8(pem.body.to_vec()).unwrap();
    assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2, "{text}");
    let stranger = Key::new();
    let stranger_kid = world.account(&stranger).await;
    assert_eq!(world.signed(&stranger, Some(&stranger_kid), &certificate, "").await.status, 404);

    // Whoever has nothing to do with it does not revoke it; its account does, once.
    let der = rustls_pki_types::pem::PemObject::from_pem_slice(text.as_bytes());
    let der: rustls_pki_types::CertificateDer<'_> = der.unwrap();
    let revoke = |reason: u8| {
        json!({"certificate": BASE64URL_NOPAD.encode(&der), "reason": reason}).to_string()
    };
    let url = world.at("revoke-cert");
    let answer = world.signed(&stranger, Some(&stranger_kid), &url, &revoke(1)).await;
    assert_eq!(answer.problem(), "unauthorized");
    assert_eq!(world.signed(&stranger, None, &url, &revoke(1)).await.problem(), "unauthorized");
    assert_eq!(
        world.signed(&key, Some(&kid), &url, &revoke(8)).await.problem(),
        "badRevocationReason"
    );
    assert_eq!(world.signed(&key, Some(&kid), &url, &revoke(1)).await.status, 200);
    assert_eq!(world.signed(&key, Some(&kid), &url, &revoke(1)).await.problem(), "alreadyRevoked");
    end(world.daemon).await;
}

#[tokio::test]
async fn an_account_has_another_key_or_none_and_then_nothing() {
    let world = World::new().await;
    let (old, new) = (Key::new(), Key::new());
    let kid = world.account(&old).await;
    let url = world.at("key-change");
    let change = |inner: &Key, account: &str, old: &Key| {
        let header = json!({"alg": "ES256", "jwk": inner.jwk(), "url": url});
        inner
            .sign(&header, &json!({"account": account, "oldKey": old.jwk()}).to_string())
            .to_string()
    };
    let other = world.account(&new).await;
    let taken = world.signed(&old, Some(&kid), &url, &change(&new, &kid, &old)).await;
    assert_eq!((taken.status, taken.location()), (409, other));
    let fresh = Key::new();
    for wrong in [change(&fresh, &world.at("account/x"), &old), change(&fresh, &kid, &new)] {
        assert_eq!(world.signed(&old, Some(&kid), &url, &wrong).await.problem(), "malformed");
    }
    let changed = world.signed(&old, Some(&kid), &url, &change(&fresh, &kid, &old)).await;
    assert_eq!(changed.status, 200, "{:?}", changed.document());
    assert_eq!(world.signed(&old, Some(&kid), &kid, "").await.problem(), "malformed");
    assert_eq!(world.signed(&fresh, Some(&kid), &kid, "").await.status, 200);
    let ended = world.signed(&fresh, Some(&kid), &kid, "{\"status\":\"deactivated\"}").await;
    assert_eq!(ended.document()["status"], "deactivated");
    let after =
        world.signed(&fresh, Some(&kid), &world.at("new-order"), &order(&["a.open.example"])).await;
    assert_eq!((after.status, after.problem().as_str()), (401, "unauthorized"));
    end(world.daemon).await;
}

/// The mode that lets everything pass is for those whom somebody knows.
#[tokio::test]
async fn learning_gives_strangers_nothing_and_takes_no_challenge_from_anybody() {
    let learning = |settings: &mut Settings| {
        let modes = std::mem::take(&mut settings.policy.modes);
        settings.policy.modes = modes.with(Plane::Authority, Mode::Learn);
    };
    let world = World::with(learning).await;
    let (stranger, url) = (Key::new(), world.at("new-order"));
    let kid = world.account(&stranger).await;
    let refused = world.signed(&stranger, Some(&kid), &url, &order(&["a.example"])).await;
    assert_eq!(refused.problem(), "rejectedIdentifier");
    let open = world.signed(&stranger, Some(&kid), &url, &order(&["a.open.example"])).await;
    assert_eq!(open.document()["status"], "pending", "what a rule gives is to be proved");
    let known = Key::new();
    let kid = world.bound(&known).await;
    let learnt = world.signed(&known, Some(&kid), &url, &order(&["a.example"])).await;
    assert_eq!(learnt.document()["status"], "pending", "let pass, and to be proved");
    end(world.daemon).await;
}

/// Whoever can connect makes accounts: what they are denied does not fill the audit log, however many they make.
#[tokio::test]
async fn accounts_that_nobody_vouches_for_share_their_room_in_the_log() {
    let world = World::new().await;
    let (before, mut refused) = (records(world.daemon.service()).len(), 0);
    for _ in 0..6 {
        let key = Key::new();
        let kid = world.account(&key).await;
        for number in 0..40 {
            let order = order(&[&format!("n{number}.example")]);
            let answer = world.signed(&key, Some(&kid), &world.at("new-order"), &order).await;
            assert_eq!(answer.problem(), "rejectedIdentifier");
            refused += 1;
        }
    }
    let all = records(world.daemon.service()).split_off(before);
    let denied = all.iter().filter(|it| matches!(it.event.fact, Fact::Denied { .. })).count();
    assert!(denied >= 100 && denied < refused - 40, "{denied} of {refused}");
    end(world.daemon).await;
}
