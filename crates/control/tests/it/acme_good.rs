//! What an account gets where nothing is wrong, beyond its first certificate; and what is said of a challenge that fails.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sealock_control::config::Settings;
use sealock_core::Timestamp;
use sealock_testkit::names::Names;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use crate::acme::{World, unproved};
use crate::acme_client::{Answer, Key, csr, csr_of, found, order, web};
use crate::api::end;
use crate::scratch::call;

/// The leaf of a chain.
pub(crate) fn leaf(pem: &Answer) -> CertificateDer<'static> {
    assert_eq!(pem.status, 200);
    CertificateDer::from_pem_slice(&pem.body).unwrap()
}

/// RFC 9773 §4.1.
pub(crate) fn certificate_id(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (_, parsed) = X509Certificate::from_der(der).unwrap();
    let key = parsed.iter_extensions().find_map(|it| match it.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(it) => {
            it.key_identifier.as_ref().map(|id| id.0.to_vec())
        }
        _ => None,
    });
    (key.unwrap(), parsed.raw_serial().to_vec())
}

pub(crate) fn written(id: &(Vec<u8>, Vec<u8>)) -> String {
    format!("{}.{}", BASE64URL_NOPAD.encode(&id.0), BASE64URL_NOPAD.encode(&id.1))
}

/// How long it lives, in seconds.
fn life(der: &[u8]) -> i64 {
    let (_, parsed) = X509Certificate::from_der(der).unwrap();
    let validity = parsed.validity();
    validity.not_after.timestamp() - validity.not_before.timestamp()
}

impl World {
    /// A certificate by an order of this payload, that is ready at once.
    pub(crate) async fn certificate(
        &self,
        key: &Key,
        kid: &str,
        payload: &str,
        csr: &str,
    ) -> Answer {
        let made = self.signed(key, Some(kid), &self.at("new-order"), payload).await;
        assert_eq!(made.status, 201, "{}", made.document());
        let done = self.signed(key, Some(kid), &made.text("finalize"), csr).await;
        assert_eq!(done.status, 200, "{}", done.document());
        self.signed(key, Some(kid), &done.text("certificate"), "").await
    }
}

#[tokio::test]
async fn a_certificate_says_when_it_is_to_be_renewed_and_is_replaced_once() {
    let world = World::new().await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    let name = "a.web.example";
    let short = json!({"identifiers": [{"type": "dns", "value": name}], "profile": "short"});
    let first = leaf(&world.certificate(&key, &kid, &short.to_string(), &csr(&[name])).await);
    let six_days = 6 * 86_400;
    assert!((six_days..six_days + 3600).contains(&life(&first)), "{}", life(&first));
    let id = certificate_id(&first);
    let ask = |id: String| {
        let url = world.at(&format!("renewal-info/{id}"));
        let world = &world;
        async move { world.ask("GET", &url, "", "").await }
    };
    let info = ask(written(&id)).await;
    let at = |info: &Answer, which: &str| {
        let document = info.document();
        let text = document["suggestedWindow"][which].as_str().unwrap().to_owned();
        Timestamp::from_rfc3339(&text).unwrap()
    };
    let now = world.daemon.service().journal().clock().now();
    // Between two thirds and four fifths of its life.
    let begins = X509Certificate::from_der(&first).unwrap().1.validity().not_before.timestamp();
    let part = |of: i64, parts: i64| Timestamp::from_secs(begins + life(&first) * of / parts);
    for (which, expected) in [("start", part(2, 3)), ("end", part(4, 5))] {
        let apart = at(&info, which).since(expected).max(expected.since(at(&info, which)));
        assert!(apart.as_secs() < 2, "{which}: {expected} {}", info.document());
    }
    assert!(at(&info, "start") > now, "{info:?}");
    assert_eq!(info.header("retry-after"), Some("21600"));
    // Of another authority's key there is none of that number.
    let foreign = (vec![7; id.0.len()], id.1.clone());
    for nothing in [written(&foreign), "AAAA.AQ".to_owned(), "x".to_owned(), String::new()] {
        assert_eq!(ask(nothing.clone()).await.status, 404, "{nothing}");
    }

    let url = world.at("new-order");
    let replacing = |id: &(Vec<u8>, Vec<u8>)| {
        json!({"identifiers": [{"type": "dns", "value": name}], "replaces": written(id)})
            .to_string()
    };
    let wrong = world.signed(&key, Some(&kid), &url, &replacing(&foreign)).await;
    assert_eq!(wrong.problem(), "malformed", "{}", wrong.document());
    let stranger = Key::new();
    let stranger_kid = world.account(&stranger).await;
    let of_another = world.signed(&stranger, Some(&stranger_kid), &url, &replacing(&id)).await;
    assert_eq!(of_another.problem(), "malformed");
    let made = world.signed(&key, Some(&kid), &url, &replacing(&id)).await;
    assert_eq!((made.status, made.text("replaces")), (201, written(&id)), "said back");
    let shown = world.signed(&key, Some(&kid), &made.location(), "").await;
    assert_eq!(shown.text("replaces"), written(&id));
    let done = world.signed(&key, Some(&kid), &made.text("finalize"), &csr(&[name])).await;
    assert_eq!(done.status, 200);
    let again = world.signed(&key, Some(&kid), &url, &replacing(&id)).await;
    assert_eq!((again.status, again.problem().as_str()), (409, "alreadyReplaced"));

    // One that is revoked is to be renewed at once.
    let payload = json!({"certificate": BASE64URL_NOPAD.encode(&first)}).to_string();
    let revoked = world.signed(&key, Some(&kid), &world.at("revoke-cert"), &payload).await;
    assert_eq!(revoked.status, 200);
    assert!(at(&ask(written(&id)).await, "end") < now);
    end(world.daemon).await;
}

#[tokio::test]
async fn below_a_revoked_ca_it_is_to_be_renewed_at_once() {
    use sealock_control::Command;
    let world = World::new().await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    let name = "a.web.example";
    let order = json!({"identifiers": [{"type": "dns", "value": name}]}).to_string();
    let first = leaf(&world.certificate(&key, &kid, &order, &csr(&[name])).await);
    let service = world.daemon.service();
    let sealock_control::Reply::Ca(ca) = call(service, Command::CaShow).await.unwrap() else {
        panic!("no CA")
    };
    let (ca, reason) = (ca.intermediates[0].id.clone(), Default::default());
    call(service, Command::CaRevoke { ca, reason, root_key: None, passphrase: None })
        .await
        .unwrap();
    let url = world.at(&format!("renewal-info/{}", written(&certificate_id(&first))));
    let document = world.ask("GET", &url, "", "").await.document();
    let end_of = document["suggestedWindow"]["end"].as_str().unwrap().to_owned();
    assert!(Timestamp::from_rfc3339(&end_of).unwrap() < service.journal().clock().now());
    // And it is, by the successor.
    let next = leaf(&world.certificate(&key, &kid, &order, &csr(&[name])).await);
    assert_ne!(certificate_id(&first).0, certificate_id(&next).0);
    end(world.daemon).await;
}

#[tokio::test]
async fn an_address_is_ordered_and_a_life_may_be_shorter() {
    let world = World::new().await;
    let rule = |action: &str, network: &str| {
        unproved(action).replace("Domain::\"web.example\"", &format!("Network::\"{network}\""))
    };
    let rules: String = ["Cert::Issue", "Cert::Unproved"]
        .into_iter()
        .flat_map(|action| [rule(action, "192.0.2.0/24"), rule(action, "2001:db8::/32")])
        .collect();
    std::fs::write(world.scratch.rule_file("acme.cedar"), rules).unwrap();
    call(world.daemon.service(), sealock_control::Command::PolicyReload).await.unwrap();
    let key = Key::new();
    let kid = world.bound(&key).await;
    let until = world.daemon.service().journal().clock().now();
    let until = Timestamp::from_secs(until.plus(std::time::Duration::from_secs(7200)).as_secs());
    let (four, six) = ("192.0.2.7", "2001:db8::7");
    let payload = json!({
        "identifiers": [{"type": "ip", "value": four}, {"type": "ip", "value": six}],
        "notAfter": until.to_rfc3339(),
    });
    let pem = world.certificate(&key, &kid, &payload.to_string(), &csr(&[four, six])).await;
    let der = leaf(&pem);
    assert!((3600..=7800).contains(&life(&der)), "{}", life(&der));
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    let said = format!("{:?}", names.value.general_names);
    assert!(said.matches("IPAddress").count() == 2 && !said.contains("DNSName"), "{said}");
    // Another address, and no name of the address either.
    let other = json!({"identifiers": [{"type": "ip", "value": "192.0.3.7"}]}).to_string();
    let refused = world.signed(&key, Some(&kid), &world.at("new-order"), &other).await;
    assert_eq!(refused.problem(), "rejectedIdentifier");
    end(world.daemon).await;
}

const OPEN: &str = "permit (principal in Sealock::Group::\"acme\", action == Sealock::Action::\"Cert::Issue\", resource in Sealock::Domain::\"acme.test\");\n";

/// Where challenges are asked on loopback, at these ports.
pub(crate) async fn asking(
    folder: &std::path::Path,
    http: u16,
    tls: u16,
    caa: bool,
) -> (World, Names) {
    let names = Names::start(folder.join("names"));
    let resolver = names.address;
    let world = World::with(move |settings: &mut Settings| {
        settings.acme.resolvers = vec![resolver];
        settings.acme.allow = vec!["127.0.0.0/8".parse().unwrap()];
        (settings.acme.http_port, settings.acme.tls_port) = (http, tls);
        if caa {
            settings.acme.caa = vec!["ca.example".parse().unwrap()];
        }
    })
    .await;
    std::fs::write(world.scratch.rule_file("acme.cedar"), OPEN).unwrap();
    call(world.daemon.service(), sealock_control::Command::PolicyReload).await.unwrap();
    (world, names)
}

impl World {
    /// Has an authorization of an order looked at, and gives it as it is at the end.
    pub(crate) async fn answered(
        &self,
        key: &Key,
        kid: &str,
        order: &Answer,
        kind: &str,
    ) -> Answer {
        let url = order.document()["authorizations"][0].as_str().unwrap().to_owned();
        let found = self.signed(key, Some(kid), &url, "").await;
        let document = found.document();
        let challenges = document["challenges"].as_array().unwrap();
        let challenge = challenges.iter().find(|it| it["type"] == kind).unwrap();
        let at = challenge["url"].as_str().unwrap().to_owned();
        assert_eq!(self.signed(key, Some(kid), &at, "{}").await.status, 200);
        for _ in 0..600 {
            let found = self.signed(key, Some(kid), &url, "").await;
            if found.text("status") != "pending" {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{kind} of {} is never decided", order.document());
    }
}

/// Each of the errors that a challenge has, as the authorization tells it.
#[tokio::test]
async fn a_challenge_that_fails_says_why_and_ends_its_order() {
    let scratch = tempfile::tempdir().unwrap();
    let http = web(|host, _| match host {
        "closes.acme.test" => None,
        "missing.acme.test" => Some("HTTP/1.1 404 no\r\ncontent-length: 0\r\n\r\n".to_owned()),
        _ => Some(found("something else")),
    })
    .await;
    // Something that is no TLS.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 this is no TLS\r\n\r\n").await;
        }
    });
    let (world, names) = asking(scratch.path(), http, tls, true).await;
    names.set("nowhere.acme.test.none", "");
    names.set("broken.acme.test.fails", "");
    names.set("reserved.acme.test.caa", "other.example");
    names.set("ours.acme.test.caa", "ca.example");
    names.set("_acme-challenge.wrong.acme.test", "something else");
    let key = Key::new();
    let kid = world.account(&key).await;
    for (name, kind, error) in [
        ("missing.acme.test", "http-01", "incorrectResponse"),
        ("else.acme.test", "http-01", "unauthorized"),
        ("ours.acme.test", "http-01", "unauthorized"),
        ("closes.acme.test", "http-01", "connection"),
        ("nowhere.acme.test", "http-01", "dns"),
        ("broken.acme.test", "http-01", "dns"),
        ("reserved.acme.test", "http-01", "caa"),
        ("plain.acme.test", "tls-alpn-01", "tls"),
        ("none.acme.test", "dns-01", "dns"),
        ("wrong.acme.test", "dns-01", "unauthorized"),
        ("reserved.acme.test", "dns-01", "caa"),
        ("reserved.acme.test", "tls-alpn-01", "caa"),
    ] {
        let made = world.signed(&key, Some(&kid), &world.at("new-order"), &order(&[name])).await;
        assert_eq!(made.status, 201, "{name}: {}", made.document());
        let ended = world.answered(&key, &kid, &made, kind).await;
        let document = ended.document();
        assert_eq!(document["status"], "invalid", "{name}");
        let challenges = document["challenges"].as_array().unwrap();
        let failed = challenges.iter().find(|it| it["type"] == kind).unwrap();
        assert_eq!(failed["status"], "invalid", "{name}");
        let told = format!("urn:ietf:params:acme:error:{error}");
        assert_eq!(failed["error"]["type"], told, "{name}: {document}");
        let detail = failed["error"]["detail"].as_str().unwrap();
        assert!(!detail.is_empty() && !detail.contains("127.0.0.1"), "{name}: {detail}");
        let shown = world.signed(&key, Some(&kid), &made.location(), "").await;
        assert_eq!(shown.text("status"), "invalid", "{name}");
        let late = world.signed(&key, Some(&kid), &made.text("finalize"), &csr(&[name])).await;
        assert_eq!((late.status, late.problem().as_str()), (403, "orderNotReady"), "{name}");
    }
    end(world.daemon).await;
}

#[tokio::test]
async fn who_has_the_certificates_key_or_has_proved_its_names_revokes_it() {
    let scratch = tempfile::tempdir().unwrap();
    // Whoever asks last has the host.
    let owner = Arc::new(Mutex::new(String::new()));
    let shown = Arc::clone(&owner);
    let http = web(move |_, token| Some(found(&format!("{token}.{}", shown.lock())))).await;
    let (world, _names) = asking(scratch.path(), http, 1, false).await;
    let (first, second, pair) = (Key::new(), Key::new(), rcgen::KeyPair::generate().unwrap());
    let (first_kid, second_kid) = (world.account(&first).await, world.account(&second).await);
    let name = "shared.acme.test";
    let proved = |key: Key, kid: String, csr: String| {
        let (world, owner) = (&world, &owner);
        async move {
            *owner.lock() = key.thumbprint();
            let wanted = order(&[name]);
            let made = world.signed(&key, Some(&kid), &world.at("new-order"), &wanted).await;
            let ended = world.answered(&key, &kid, &made, "http-01").await;
            assert_eq!(ended.text("status"), "valid", "{}", ended.document());
            let done = world.signed(&key, Some(&kid), &made.text("finalize"), &csr).await;
            assert_eq!(done.status, 200, "{}", done.document());
            let pem = world.signed(&key, Some(&kid), &done.text("certificate"), "").await;
            (leaf(&pem), key, kid)
        }
    };
    let (one, first, first_kid) = proved(first, first_kid, csr_of(&pair, &[name])).await;
    let url = world.at("revoke-cert");
    let payload = |der: &[u8], reason: u8| {
        json!({"certificate": BASE64URL_NOPAD.encode(der), "reason": reason}).to_string()
    };
    // Its names are not the second account's yet.
    let early = world.signed(&second, Some(&second_kid), &url, &payload(&one, 4)).await;
    assert_eq!((early.status, early.problem().as_str()), (403, "unauthorized"));
    let (two, second, second_kid) = proved(second, second_kid, csr(&[name])).await;
    let by_names = world.signed(&second, Some(&second_kid), &url, &payload(&one, 4)).await;
    assert_eq!(by_names.status, 200, "{}", by_names.document());
    let again = world.signed(&first, Some(&first_kid), &url, &payload(&one, 4)).await;
    assert_eq!((again.status, again.problem().as_str()), (400, "alreadyRevoked"));
    // By the key of the certificate, without any account; not of another one.
    let (wanted, request) = (order(&[name]), csr_of(&pair, &[name]));
    let three = leaf(&world.certificate(&first, &first_kid, &wanted, &request).await);
    let own = Key::of(&pair);
    let other = world.signed(&own, None, &url, &payload(&two, 1)).await;
    assert_eq!((other.status, other.problem().as_str()), (403, "unauthorized"));
    for reason in [2, 6, 8, 10, 7] {
        let refused = world.signed(&own, None, &url, &payload(&three, reason)).await;
        assert_eq!(refused.problem(), "badRevocationReason", "{reason}");
    }
    assert_eq!(world.signed(&own, None, &url, &payload(&three, 1)).await.status, 200);
    let mut foreign = two.to_vec();
    *foreign.last_mut().unwrap() ^= 1;
    let foreign = world.signed(&second, Some(&second_kid), &url, &payload(&foreign, 1)).await;
    assert_eq!((foreign.status, foreign.problem().as_str()), (404, "malformed"));
    // What was proved is given up, and then it has to be proved anew.
    let made =
        world.signed(&first, Some(&first_kid), &world.at("new-order"), &order(&[name])).await;
    assert_eq!(made.text("status"), "ready");
    let authorization = made.document()["authorizations"][0].as_str().unwrap().to_owned();
    let gone = "{\"status\":\"deactivated\"}";
    let ended = world.signed(&first, Some(&first_kid), &authorization, gone).await;
    assert_eq!(ended.text("status"), "deactivated");
    let late = world.signed(&first, Some(&first_kid), &made.text("finalize"), &csr(&[name])).await;
    assert_eq!(late.problem(), "orderNotReady");
    let made =
        world.signed(&first, Some(&first_kid), &world.at("new-order"), &order(&[name])).await;
    assert_eq!(made.text("status"), "pending");
    end(world.daemon).await;
}
