//! The errors of RFC 8555 §6.7, one by one, as a client sees them; and what is told with each.

use std::process::{Command as Process, Stdio};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use sealock_control::Command;
use sealock_control::config::{Listen, Settings};
use sealock_store::{Change, Operation, Transaction};
use sealock_testkit::clients::skip_without;
use serde_json::{Value, json};

use crate::acme::{World, unproved};
use crate::acme_client::{Answer, JOSE, Key, Site, csr, csr_of, der_csr, order};
use crate::api::end;
use crate::scratch::call;

/// Its kind, as long as it is told as every problem is: by its type, with a status, in words, and with a nonce to go on with.
fn refused(answer: &Answer) -> (u16, String) {
    let document = answer.document();
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{document}");
    assert_eq!(document["status"], answer.status, "{document}");
    assert!(!answer.text("detail").is_empty());
    assert!(answer.header("replay-nonce").is_some(), "{document}");
    (answer.status, answer.problem())
}

fn is(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(refused(answer), (status, kind.to_owned()), "{}", answer.document());
}

fn is_about(answer: &Answer, kind: &str, what: &str) {
    assert_eq!(refused(answer).1, kind, "{what}: {}", answer.document());
}

impl World {
    /// A request whose header is the test's.
    async fn with_header(&self, key: &Key, header: Value) -> Answer {
        let url = self.at("new-account");
        let mut header = header;
        for (name, value) in [("url", json!(url)), ("nonce", json!(self.nonce().await))] {
            if header.get(name).is_none() {
                header[name] = value;
            }
        }
        self.post(&url, &key.sign(&header, "{}").to_string()).await
    }
}

#[tokio::test]
async fn what_signs_a_request_is_one_good_key_with_its_own_algorithm() {
    let world = World::new().await;
    let key = Key::new();
    for alg in ["none", "HS256", "RS512", "ES256K"] {
        let answer = world.with_header(&key, json!({"alg": alg, "jwk": key.jwk()})).await;
        is(&answer, 400, "badSignatureAlgorithm");
        let algorithms = answer.document()["algorithms"].clone();
        assert_eq!(algorithms, json!(["ES256", "ES384", "EdDSA", "RS256"]), "{alg}");
    }
    let other = world.with_header(&key, json!({"alg": "ES384", "jwk": key.jwk()})).await;
    is(&other, 400, "badSignatureAlgorithm");
    let text = |length| BASE64URL_NOPAD.encode(&vec![0xff_u8; length]);
    let x = key.jwk()["x"].clone();
    for (what, alg, jwk) in [
        ("RSA of 1024 bits", "RS256", json!({"kty": "RSA", "e": "AQAB", "n": text(128)})),
        ("no point of the curve", "ES256", json!({"kty": "EC", "crv": "P-256", "x": x, "y": x})),
        ("a curve of others", "ES256", json!({"kty": "EC", "crv": "secp256k1", "x": x, "y": x})),
        ("symmetric", "ES256", json!({"kty": "oct", "k": text(32)})),
        ("private", "ES256", json!({"kty": "EC", "crv": "P-256", "x": x, "y": x, "d": text(32)})),
    ] {
        let answer = world.with_header(&key, json!({"alg": alg, "jwk": jwk})).await;
        is_about(&answer, "badPublicKey", what);
    }
    let kid = world.account(&key).await;
    let both = world.with_header(&key, json!({"alg": "ES256", "jwk": key.jwk(), "kid": kid})).await;
    is(&both, 400, "malformed");
    is(&world.with_header(&key, json!({"alg": "ES256"})).await, 400, "malformed");
    for header in [json!({"crit": ["b64"]}), json!({"b64": false}), json!({"jku": "https://x"})] {
        let mut whole = json!({"alg": "ES256", "jwk": key.jwk()});
        whole.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
        is_about(&world.with_header(&key, whole).await, "malformed", "followed nowhere");
    }
    // Somebody else's account.
    let stranger = Key::new();
    let forged = world.signed(&stranger, Some(&kid), &world.at("new-order"), "{}").await;
    is(&forged, 400, "malformed");
    let resource = world.signed(&stranger, Some(&world.account(&stranger).await), &kid, "").await;
    is(&resource, 403, "unauthorized");
    end(world.daemon).await;
}

#[tokio::test]
async fn a_body_has_one_form() {
    let world = World::new().await;
    let (key, url) = (Key::new(), world.at("new-account"));
    let good = |nonce: &str| {
        key.sign(&json!({"alg": "ES256", "jwk": key.jwk(), "nonce": nonce, "url": url}), "{}")
    };
    for (what, change) in [
        ("an unprotected header", json!({"header": {"alg": "none"}})),
        ("the general form", json!({"signatures": []})),
        ("padding", json!({"payload": "e30="})),
        ("other characters", json!({"signature": "+/"})),
        ("no text", json!({"payload": {}})),
    ] {
        let mut body = good(&world.nonce().await);
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        is_about(&world.post(&url, &body.to_string()).await, "malformed", what);
    }
    for body in ["", "{}", "[]", "null", "\u{feff}{}", "{\"protected\":\"e30\"", "\u{0}"] {
        is_about(&world.post(&url, body).await, "malformed", body);
    }
    // A name that stands twice has no meaning.
    let body = good(&world.nonce().await).to_string();
    let twice = body.replacen('{', "{\"payload\":\"e30\",", 1);
    is(&world.post(&url, &twice).await, 400, "malformed");
    for payload in ["", "[]", "{\"contact\":null}", "{\"contact\":[],\"contact\":[]}", "{"] {
        is_about(&world.signed(&key, None, &url, payload).await, "malformed", payload);
    }
    let header = json!({"alg": "ES256", "jwk": key.jwk(), "url": url});
    is(&world.post(&url, &key.sign(&header, "{}").to_string()).await, 400, "badNonce");
    for nonce in ["", "with=padding", &"A".repeat(200)] {
        let answer = world.post(&url, &good(nonce).to_string()).await;
        assert!(["badNonce", "malformed"].contains(&refused(&answer).1.as_str()), "{nonce}");
    }
    // Nothing of that has made an account.
    let found = world.signed(&key, None, &url, "{\"onlyReturnExisting\":true}").await;
    is(&found, 400, "accountDoesNotExist");
    end(world.daemon).await;
}

/// Each door gives out its own, and a bad nonce is answered with a good one.
#[tokio::test]
async fn a_nonce_of_the_other_door_is_none_and_the_answer_has_one() {
    let world = World::with(|settings: &mut Settings| {
        settings.acme.listen = Listen::At("127.0.0.1:0".parse().unwrap());
    })
    .await;
    let other = Site::new(world.daemon.started().acme.clone().unwrap(), world.roots.clone());
    let (key, url) = (Key::new(), world.at("new-account"));
    let elsewhere = key.jws(None, &url, &other.nonce().await, "{}");
    let answer = world.post(&url, &elsewhere).await;
    is(&answer, 400, "badNonce");
    let fresh = answer.header("replay-nonce").unwrap().to_owned();
    let again = world.post(&url, &key.jws(None, &url, &fresh, "{}")).await;
    assert_eq!(again.status, 201, "{}", again.document());
    let third = world.post(&url, &key.jws(None, &url, &fresh, "{}")).await;
    is(&third, 400, "badNonce");
    // The account is the same at both, under each one's own URL.
    let kid = again.location().replace(&world.base, &other.base);
    assert_eq!(other.signed(&key, Some(&kid), &kid, "").await.status, 200);
    let foreign = other.signed(&key, Some(&again.location()), &kid, "").await;
    is(&foreign, 400, "accountDoesNotExist");
    end(world.daemon).await;
}

#[tokio::test]
async fn who_makes_an_account_says_who_they_are_in_good_form() {
    let world = World::new().await;
    let url = world.at("new-account");
    for (kind, contact) in [
        ("invalidContact", json!(["mailto:a@corp.example,b@corp.example"])),
        ("invalidContact", json!(["mailto:a@corp.example?subject=x"])),
        ("invalidContact", json!(["mailto:"])),
        ("invalidContact", json!(["a@corp.example"])),
        ("invalidContact", json!(vec!["mailto:a@corp.example"; 11])),
        ("unsupportedContact", json!(["tel:+49301234"])),
        ("malformed", json!("mailto:a@corp.example")),
        ("malformed", json!([7])),
    ] {
        let payload = json!({"contact": contact}).to_string();
        is_about(&world.signed(&Key::new(), None, &url, &payload).await, kind, &payload);
    }
    let key = Key::new();
    let kid = world.account(&key).await;
    let changed = world.signed(&key, Some(&kid), &kid, "{\"contact\":[\"tel:1\"]}").await;
    is(&changed, 400, "unsupportedContact");
    end(world.daemon).await;

    let world = World::with(|settings| settings.acme.external_account_required = true).await;
    let url = world.at("new-account");
    let directory = world.ask("GET", &world.at("directory"), "", "").await.document();
    assert_eq!(directory["meta"]["externalAccountRequired"], true);
    is(&world.signed(&Key::new(), None, &url, "{}").await, 403, "externalAccountRequired");
    let (key, mac) = (Key::new(), world.binding("web").await);
    let with = |binding: Value| json!({"externalAccountBinding": binding}).to_string();
    let good = key.binding("web", &mac, &url);
    let mut other_algorithm = good.clone();
    let header = json!({"alg": "RS256", "kid": "web", "url": url}).to_string();
    other_algorithm["protected"] = BASE64URL_NOPAD.encode(header.as_bytes()).into();
    for (kind, binding) in [
        ("badSignatureAlgorithm", other_algorithm),
        ("unauthorized", key.binding("web", &[7; 32], &url)),
        ("unauthorized", key.binding("nobody", &mac, &url)),
        ("malformed", Key::new().binding("web", &mac, &url)),
        ("malformed", key.binding("web", &mac, &world.at("new-order"))),
        ("malformed", json!({})),
        ("malformed", json!("x")),
    ] {
        let answer = world.signed(&key, None, &url, &with(binding)).await;
        is_about(&answer, kind, "binding");
    }
    assert_eq!(world.signed(&key, None, &url, &with(good.clone())).await.status, 201);
    let second = Key::new();
    let used = with(second.binding("web", &mac, &url));
    is(&world.signed(&second, None, &url, &used).await, 403, "unauthorized");
    end(world.daemon).await;
}

#[tokio::test]
async fn an_order_is_refused_by_what_is_wrong_with_it() {
    let world = World::new().await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    let url = world.at("new-order");
    let one = |kind: &str, value: &str| json!({"identifiers": [{"type": kind, "value": value}]});
    let many: Vec<Value> =
        (0..101).map(|it| json!({"type": "dns", "value": format!("n{it}.web.example")})).collect();
    let named = |more: Value| {
        let mut whole = one("dns", "a.web.example");
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        whole
    };
    for (kind, payload) in [
        ("unsupportedIdentifier", one("email", "a@web.example")),
        ("unsupportedIdentifier", one("permanent-identifier", "1")),
        ("rejectedIdentifier", one("dns", "localhost")),
        ("rejectedIdentifier", one("dns", "a.localhost")),
        ("rejectedIdentifier", one("ip", "127.0.0.1")),
        ("rejectedIdentifier", one("ip", "169.254.169.254")),
        ("rejectedIdentifier", one("ip", "::1")),
        ("rejectedIdentifier", one("ip", "::ffff:10.0.0.1")),
        ("rejectedIdentifier", one("dns", "a.other.example")),
        ("malformed", one("ip", "010.0.0.1")),
        ("malformed", one("dns", "a.web.example.")),
        ("malformed", one("dns", "a.*.web.example")),
        ("malformed", one("dns", "münchen.web.example")),
        ("malformed", one("dns", "")),
        ("malformed", json!({"identifiers": []})),
        ("malformed", json!({"identifiers": many})),
        ("malformed", json!({})),
        (
            "malformed",
            json!({"identifiers": [one("dns", "a.web.example")["identifiers"][0], one("dns", "A.web.example")["identifiers"][0]]}),
        ),
        ("invalidProfile", named(json!({"profile": "none-such"}))),
        ("malformed", named(json!({"profile": 7}))),
        ("malformed", named(json!({"notBefore": "2100-01-01T00:00:00Z"}))),
        ("malformed", named(json!({"notAfter": "2001-01-01T00:00:00Z"}))),
        ("malformed", named(json!({"notAfter": "tomorrow"}))),
        ("malformed", named(json!({"replaces": "AAAA.AAAA"}))),
        ("malformed", named(json!({"replaces": "no certificate"}))),
    ] {
        let answer = world.signed(&key, Some(&kid), &url, &payload.to_string()).await;
        is_about(&answer, kind, &payload.to_string());
    }
    // Of several it is told which ones.
    let names = ["a.web.example", "b.other.example", "c.other.example"];
    let answer = world.signed(&key, Some(&kid), &url, &order(&names)).await;
    is(&answer, 400, "rejectedIdentifier");
    let document = answer.document();
    let told: Vec<&str> = document["subproblems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["identifier"]["value"].as_str().unwrap())
        .collect();
    assert_eq!(told, &names[1..], "{document}");
    // None of them is kept.
    let orders = world.signed(&key, Some(&kid), &format!("{kid}/orders"), "").await;
    assert_eq!(orders.document()["orders"], json!([]));
    for nothing in
        ["order/AAAAAAAAAAAAAAAAAAAAAA", "order/x", "certificate/00", "nowhere", "order/"]
    {
        let answer = world.signed(&key, Some(&kid), &world.at(nothing), "").await;
        assert_eq!(refused(&answer), (404, "malformed".to_owned()), "{nothing}");
    }
    let patched = world.ask("PUT", &url, JOSE, "{}").await;
    is(&patched, 405, "malformed");
    assert_eq!(patched.header("allow"), Some("POST"));
    end(world.daemon).await;
}

/// A CSR by OpenSSL, DER: of this key, with this in its subjectAltName.
fn openssl(folder: &std::path::Path, key: &[&str], digest: &str, names: &str) -> Vec<u8> {
    let names = format!("subjectAltName={names}");
    let (private, file) = (folder.join("csr.key"), folder.join("csr.der"));
    let made = Process::new("openssl")
        .args(["req", "-new", "-nodes", "-subj", "/", "-addext", &names, digest, "-newkey"])
        .args(key)
        .args(["-outform", "DER", "-keyout"])
        .arg(private)
        .arg("-out")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success(), "{names}");
    std::fs::read(file).unwrap()
}

/// `directoryName` with `CN=x` in it.
const DIRECTORY_NAME: &[u8] =
    &[0xa4, 14, 0x30, 12, 0x31, 10, 0x30, 8, 6, 3, 0x55, 4, 3, 0x0c, 1, b'x'];

/// DNS names and what is added to them, as openssl's settings have a value in DER.
fn in_der(names: &[&str], more: &[u8]) -> String {
    let mut inner = Vec::new();
    for name in names {
        inner.extend([0x82, u8::try_from(name.len()).unwrap()]);
        inner.extend(name.as_bytes());
    }
    inner.extend(more);
    let whole = [&[0x30, u8::try_from(inner.len()).unwrap()][..], &inner].concat();
    format!("DER:{}", data_encoding::HEXLOWER.encode(&whole))
}

#[tokio::test]
async fn a_csr_is_for_the_names_of_the_order_and_for_a_good_key_that_is_not_the_accounts() {
    if skip_without(&["openssl"]) {
        return;
    }
    let world = World::new().await;
    let pair = rcgen::KeyPair::generate().unwrap();
    let key = Key::of(&pair);
    let kid = world.bound(&key).await;
    let names = ["a.web.example", "b.web.example"];
    let made = world.signed(&key, Some(&kid), &world.at("new-order"), &order(&names)).await;
    let finalize = made.text("finalize");
    let folder = world.scratch.folder.path();
    let p256 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let both = "DNS:a.web.example,DNS:b.web.example";
    let with = |more: &str| der_csr(&openssl(folder, &p256, "-sha256", &format!("{both},{more}")));
    // What openssl does not write by itself.
    let raw = |more: &[u8]| der_csr(&openssl(folder, &p256, "-sha256", &in_der(&names, more)));
    let good = openssl(folder, &p256, "-sha256", both);
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{}", BASE64URL_NOPAD.encode(&good));
    for (what, kind, payload) in [
        ("other names", "badCSR", csr(&["a.web.example", "c.web.example"])),
        ("fewer names", "badCSR", csr(&["a.web.example"])),
        ("more names", "badCSR", csr(&[names[0], names[1], "c.web.example"])),
        ("no names", "badCSR", csr(&[])),
        ("a wildcard of the name", "badCSR", csr(&[names[0], names[1], "*.web.example"])),
        ("the account's key", "badCSR", csr_of(&pair, &names)),
        ("otherName", "badCSR", with("otherName:1.2.3.4;UTF8:x")),
        ("an address", "badCSR", with("IP:192.0.2.1")),
        ("a URI", "badCSR", with("URI:spiffe://test.sealock/service/web")),
        ("an e-mail address", "badCSR", with("email:a@web.example")),
        ("a registered id", "badCSR", with("RID:1.2.3.4")),
        ("a name of a directory", "badCSR", raw(DIRECTORY_NAME)),
        ("an X.400 address", "badCSR", raw(&[0xa3, 2, 0x30, 0])),
        ("an EDI party", "badCSR", raw(&[0xa5, 5, 0xa1, 3, 0x0c, 1, b'x'])),
        ("no kind of name", "badCSR", raw(&[0x8a, 1, b'x'])),
        ("another's name behind it", "badCSR", with("DNS:localhost")),
        ("a bad signature", "badCSR", der_csr(&changed)),
        ("something behind it", "badCSR", der_csr(&[&good[..], &[0]].concat())),
        ("cut short", "badCSR", der_csr(&good[..good.len() - 1])),
        ("PEM", "badCSR", der_csr(pem.as_bytes())),
        ("empty", "badCSR", json!({"csr": ""}).to_string()),
        ("in base64", "badCSR", json!({"csr": "MIIB+/=="}).to_string()),
        ("no text", "badCSR", json!({"csr": 7}).to_string()),
        ("a certificate", "badCSR", der_csr(&certificate())),
        ("missing", "malformed", "{}".to_owned()),
        (
            "RSA of 1024 bits",
            "badPublicKey",
            der_csr(&openssl(folder, &["rsa:1024"], "-sha256", both)),
        ),
        (
            "another curve",
            "badPublicKey",
            der_csr(&openssl(
                folder,
                &["ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
                "-sha256",
                both,
            )),
        ),
        ("SHA-1", "badCSR", der_csr(&openssl(folder, &p256, "-sha1", both))),
    ] {
        let answer = world.signed(&key, Some(&kid), &finalize, &payload).await;
        is_about(&answer, kind, what);
    }
    let huge = world.signed(&key, Some(&kid), &finalize, &der_csr(&vec![0x30; 60_000])).await;
    assert!([400, 413].contains(&huge.status) && huge.problem() == "malformed");
    // After all that the order is as good as it was.
    let done = world.signed(&key, Some(&kid), &finalize, &der_csr(&good)).await;
    assert_eq!((done.status, done.text("status").as_str()), (200, "valid"));
    end(world.daemon).await;
}

/// Any DER that is no CSR.
fn certificate() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["a.web.example".to_owned()]).unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let world = World::new().await;
    // As many as there may be of accounts that nobody vouches for.
    let until = sealock_core::Timestamp::from_millis(i64::MAX / 4);
    for chunk in 0..10 {
        let mut transaction = Transaction::new();
        for number in 0..1000 {
            let key = format!("acme/unused/{chunk:011}{number:011}").into_bytes();
            let value = b"null".to_vec();
            transaction = transaction.with(Operation::Put { key, value, expires: Some(until) });
        }
        let change = Change { transaction, events: Vec::new() };
        world.daemon.service().journal().commit_blocking(change).unwrap();
    }
    let answer = world.signed(&Key::new(), None, &world.at("new-account"), "{}").await;
    is(&answer, 429, "rateLimited");
    let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&after), "{after}");
    // Whom somebody vouches for is not kept out by them.
    let key = Key::new();
    world.bound(&key).await;
    end(world.daemon).await;
}

#[tokio::test]
async fn what_is_wrong_here_is_for_our_log() {
    let world = World::new().await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    let wanted = order(&["a.web.example"]);
    let made = world.signed(&key, Some(&kid), &world.at("new-order"), &wanted).await;
    let url = made.location();
    let row = format!("acme/order/{}", url.rsplit('/').next().unwrap());
    let transaction = Transaction::new().with(Operation::put(row.clone(), b"garbage".to_vec()));
    let change = Change { transaction, events: Vec::new() };
    world.daemon.service().journal().commit_blocking(change).unwrap();
    let answer = world.signed(&key, Some(&kid), &url, "").await;
    is(&answer, 500, "serverInternal");
    let said = String::from_utf8(answer.body.to_vec()).unwrap();
    for inner in [row.as_str(), "garbage", "damaged", "expected", "acme/"] {
        assert!(!said.contains(inner), "{inner}: {said}");
    }
    end(world.daemon).await;
}

/// What policy no longer gives is not given, whenever it was ordered.
#[tokio::test]
async fn a_rule_that_is_taken_away_after_the_order_is_missed_when_it_ends() {
    let world = World::new().await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    let url = world.at("new-order");
    let ready = |name: &'static str| {
        let (world, key, kid, url) = (&world, &key, &kid, &url);
        async move {
            let made = world.signed(key, Some(kid), url, &order(&[name])).await;
            assert_eq!(made.text("status"), "ready");
            made.text("finalize")
        }
    };
    let (first, second) = (ready("a.web.example").await, ready("b.web.example").await);
    let reload = |rules: &str| {
        std::fs::write(world.scratch.rule_file("acme.cedar"), rules).unwrap();
        call(world.daemon.service(), Command::PolicyReload)
    };
    // It may still have it, and has to show that it is its own, which it has not.
    reload(&unproved("Cert::Issue")).await.unwrap();
    let answer = world.signed(&key, Some(&kid), &first, &csr(&["a.web.example"])).await;
    is(&answer, 403, "unauthorized");
    reload("").await.unwrap();
    let answer = world.signed(&key, Some(&kid), &second, &csr(&["b.web.example"])).await;
    is(&answer, 400, "rejectedIdentifier");
    assert!(answer.text("detail").contains("policy explain"), "{}", answer.document());
    reload(&(unproved("Cert::Issue") + &unproved("Cert::Unproved"))).await.unwrap();
    for (finalize, name) in [(first, "a.web.example"), (second, "b.web.example")] {
        let done = world.signed(&key, Some(&kid), &finalize, &csr(&[name])).await;
        assert_eq!(done.status, 200, "{}", done.document());
    }
    tokio::time::timeout(Duration::from_secs(60), end(world.daemon)).await.unwrap();
}
