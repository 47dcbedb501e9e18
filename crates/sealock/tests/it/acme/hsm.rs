//! An order whose certificate is to be signed by a key in an HSM, and the HSM goes away, or hangs in the midst of the signature:
//! the order waits, nothing is recorded, and the client's next try gets the one certificate that there is.

use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response};
use instant_acme::{
    Account, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, Error, HttpClient,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use parking_lot::Mutex;
use sealock_testkit::clients::skip_without;
use sealock_testkit::softhsm::SoftHsm;
use sealock_testkit::wait::until;

use super::killed::Stage;
use super::{Scene, good};
use crate::hsm::settings;
use crate::support::{PATIENCE, text};

/// A daemon whose CA has its keys in a token; `None` where there is no SoftHSM. The module is one that can be told to hang.
fn scene() -> Option<(Scene, SoftHsm)> {
    let token = SoftHsm::new()?;
    let scene = Scene::with(&settings(&token, &token.proxy().display().to_string()));
    for which in ["root", "intermediate"] {
        scene.home.ok(&["ca", "migrate-key", which, "--to", "hsm"]);
    }
    Some((scene, token))
}

/// What was answered last: status and `Retry-After`.
type Heard = Arc<Mutex<Option<(u16, Option<String>)>>>;

/// curl, as the library's way to the server.
struct Curl {
    root: String,
    heard: Heard,
}

impl Curl {
    fn ask(&self, method: &Method, url: &str, kind: Option<&str>, body: &[u8]) -> Response<Bytes> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "30", "--http1.1"]);
        curl.args(["--cacert", &self.root, "--header", "Expect:", "--include"]);
        match *method {
            Method::HEAD => curl.arg("--head"),
            Method::POST => curl.args(["--data-binary", "@-"]),
            _ => &mut curl,
        };
        if let Some(kind) = kind {
            curl.args(["--header", &format!("Content-Type: {kind}")]);
        }
        curl.arg(url).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = curl.spawn().unwrap();
        child.stdin.take().unwrap().write_all(body).unwrap();
        let answer = child.wait_with_output().unwrap();
        assert!(answer.status.success(), "{url}");
        let end = answer.stdout.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
        let (head, body) = answer.stdout.split_at(end + 4);
        let head = text(head);
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let mut response = Response::builder().status(status);
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            response = response.header(name, value);
        }
        let response = response.body(Bytes::copy_from_slice(body)).unwrap();
        let after = response.headers().get("retry-after");
        let after = after.map(|value| value.to_str().unwrap().to_owned());
        *self.heard.lock() = Some((status, after));
        response
    }
}

impl HttpClient for Curl {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let curl = Self { root: self.root.clone(), heard: Arc::clone(&self.heard) };
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let kind = parts.headers.get("content-type").map(|it| it.to_str().unwrap());
            let answer = curl.ask(&parts.method, &parts.uri.to_string(), kind, &body);
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}

/// An order of this name, as far as it goes without a signature.
async fn ready(scene: &Scene, account: &Account, name: &str) -> Order {
    let identifiers = [Identifier::Dns(name.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await.unwrap();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.unwrap();
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization.challenge(ChallengeType::Http01).unwrap();
        let place = scene.path("web/.well-known/acme-challenge").join(&challenge.token);
        std::fs::write(place, challenge.key_authorization().as_str()).unwrap();
        challenge.set_ready().await.unwrap();
    }
    assert_eq!(order.poll_ready(&RetryPolicy::default()).await.unwrap(), OrderStatus::Ready);
    order
}

fn signing_request(name: &str) -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.serialize_request(&key).unwrap().der().to_vec()
}

fn issued(scene: &Scene, name: &str) -> usize {
    let found = scene.home.json(&["cert", "list", "--name", name, "--all"]);
    found["certificates"].as_array().unwrap().len()
}

/// How often the audit log has this event about the name.
fn recorded(scene: &Scene, event: &str, name: &str) -> usize {
    let log = scene.home.ok(&["--json", "audit", "export"]);
    let about = |line: &&str| line.contains(&format!("\"{event}\"")) && line.contains(name);
    log.lines().filter(about).count()
}

/// That a finalize was refused as RFC 8555 has it for a fault of the server, and says when to come again, and nothing of
/// what is inside.
fn assert_comes_again(error: Error, heard: &Heard) {
    let problem = match error {
        Error::Api(problem) => Ok(problem),
        other => Err(other),
    };
    let problem = problem.unwrap();
    assert_eq!(problem.r#type.as_deref(), Some("urn:ietf:params:acme:error:serverInternal"));
    let detail = problem.detail.unwrap();
    assert!(detail.contains("try again") && !detail.contains("HSM"), "{detail}");
    assert!(!detail.contains(SoftHsm::LABEL), "{detail}");
    let (status, after) = heard.lock().clone().unwrap();
    assert_eq!(status, 503);
    assert!(after.unwrap().parse::<u64>().unwrap() > 0);
}

async fn account(scene: &Scene, heard: &Heard) -> Account {
    let new = NewAccount {
        contact: &["mailto:jo@corp.example"],
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let curl = Curl { root: scene.root.clone(), heard: Arc::clone(heard) };
    let builder = Account::builder_with_http(Box::new(curl));
    builder.create(&new, scene.server.clone(), None).await.unwrap().0
}

/// Finalizes until it is done; every refusal in between says that it may be tried again.
async fn finalize(order: &mut Order, csr: &[u8], heard: &Heard) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = order.finalize_csr(csr).await {
        assert!(Instant::now() < deadline, "{error:?}");
        assert_comes_again(error, heard);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(work);
}

#[test]
fn an_order_waits_for_an_hsm_that_is_away_and_gets_one_certificate() {
    if skip_without(&["openssl", "curl", "busybox"]) {
        return;
    }
    let Some((mut scene, token)) = scene() else { return };
    let _web = scene.web();
    let heard = Heard::default();
    run(async {
        let name = "away.acme.test";
        let account = account(&scene, &heard).await;
        let mut order = ready(&scene, &account, name).await;
        let csr = signing_request(name);
        token.unplug();
        for _ in 0..2 {
            let refused = order.finalize_csr(&csr).await.unwrap_err();
            assert_comes_again(refused, &heard);
            assert_eq!(order.refresh().await.unwrap().status, OrderStatus::Ready);
            assert_eq!(issued(&scene, name), 0);
        }
        assert_eq!(recorded(&scene, "cert-issued", name), 0);
        assert!(recorded(&scene, "failed", name) >= 1, "what was not signed is recorded");
        // Another order can be made meanwhile, and comes as far.
        let other = "other.acme.test";
        let mut second = ready(&scene, &account, other).await;
        let status = scene.home.json(&["status"]);
        assert!(status["alarms"].to_string().contains("\"hsm\""), "{status}");
        token.plug();
        finalize(&mut order, &csr, &heard).await;
        let chain = order.poll_certificate(&RetryPolicy::default()).await.unwrap();
        let file = scene.home.write("chain.pem", &chain);
        scene.verifies(file.as_ref(), name);
        // Whoever did not hear the answer asks again, and gets the same one; with another CSR there is none.
        order.finalize_csr(&csr).await.unwrap();
        assert_eq!(order.poll_certificate(&RetryPolicy::default()).await.unwrap(), chain);
        let refused = order.finalize_csr(&signing_request(name)).await.unwrap_err();
        assert!(matches!(refused, Error::Api(_)), "{refused:?}");
        assert_eq!((issued(&scene, name), recorded(&scene, "cert-issued", name)), (1, 1));

        // In the midst of the signature. Two ask for it, as a client does that has given up waiting.
        token.tell("hang");
        let csr = signing_request(other);
        assert_comes_again(second.finalize_csr(&csr).await.unwrap_err(), &heard);
        assert!(token.hangs(), "the signature was begun");
        assert_eq!(second.refresh().await.unwrap().status, OrderStatus::Ready);
        assert_eq!(issued(&scene, other), 0);
        token.untell("hang");
        let mut again = account.order(second.url().to_owned()).await.unwrap();
        finalize(&mut again, &csr, &heard).await;
        second.finalize_csr(&csr).await.unwrap();
        assert_eq!((issued(&scene, other), recorded(&scene, "cert-issued", other)), (1, 1));
    });
    assert!(scene.daemon.runs(), "nobody has started it anew");
    let verified = scene.home.ok(&["audit", "verify"]);
    assert!(verified.contains("unbroken"), "{verified}");
}

#[test]
fn lego_is_told_why_and_its_next_run_gets_the_certificate() {
    if skip_without(&["lego", "openssl"]) {
        return;
    }
    let Some((scene, token)) = scene() else { return };
    let mut stage = Stage::new(scene);
    let name = "lego.acme.test";
    token.unplug();
    let said = stage.run(name).unwrap_err();
    assert!(said.contains("serverInternal") && said.contains("try again"), "{said}");
    assert!(said.contains("503"), "{said}");
    assert_eq!(issued(&stage.scene, name), 0);
    token.plug();
    until("lego's certificate", PATIENCE, || stage.run(name).ok());
    let (certificates, keys) = stage.issued(name);
    assert_eq!((certificates, keys.len()), (1, 1));
    let chain = stage.scene.path(&format!("lego/certificates/{name}.crt"));
    stage.scene.verifies(&chain, name);
    assert!(stage.scene.daemon.runs());
}

/// The daemon is killed (SIGKILL) while the HSM is at the signature.
#[test]
fn lego_gets_one_certificate_though_the_daemon_is_killed_in_the_midst_of_the_signature() {
    if skip_without(&["lego", "openssl"]) {
        return;
    }
    let Some((scene, token)) = scene() else { return };
    let mut stage = Stage::new(scene);
    let name = "killed.acme.test";
    token.tell("hang");
    let lego = stage.lego(name);
    until("the signature to begin", PATIENCE, || token.hangs().then_some(()));
    crate::support::signal(stage.scene.daemon.id(), "KILL");
    token.untell("hang");
    // Which of lego's runs gets it depends on what it makes of a connection that ends.
    if stage.wait_for(lego).is_err() {
        until("lego's certificate", PATIENCE, || stage.run(name).ok());
    }
    let (certificates, keys) = stage.issued(name);
    assert_eq!(certificates, keys.len(), "two for one order");
    assert_eq!(certificates, 1, "the one that was killed was never made");
    let chain = stage.scene.path(&format!("lego/certificates/{name}.crt"));
    stage.scene.verifies(&chain, name);
    let verified = stage.scene.home.ok(&["audit", "verify"]);
    assert!(verified.contains("unbroken"), "{verified}");
}

#[test]
fn certbot_is_told_why_and_its_next_run_gets_the_certificate() {
    if skip_without(&["certbot", "openssl"]) {
        return;
    }
    let Some((scene, token)) = scene() else { return };
    let port = scene.http.to_string();
    let certbot = || {
        let mut command = scene.client("/usr/bin/certbot");
        command.args(["certonly", "--standalone", "--http-01-port", &port]);
        command.args(["--http-01-address", "127.0.0.1", "--agree-tos", "--non-interactive"]);
        command.args(["--email", "jo@corp.example", "-d", "certbot.acme.test"]);
        command.args(["--server", &scene.server]);
        for folder in ["config", "work", "logs"] {
            command.arg(format!("--{folder}-dir")).arg(scene.path(&format!("certbot/{folder}")));
        }
        command.env("REQUESTS_CA_BUNDLE", &scene.root).output().unwrap()
    };
    token.unplug();
    assert!(!certbot().status.success());
    let said = std::fs::read_to_string(scene.path("certbot/logs/letsencrypt.log")).unwrap();
    assert!(said.contains("serverInternal") && said.contains("try again"), "{said}");
    assert_eq!(issued(&scene, "certbot.acme.test"), 0);
    token.plug();
    let answered = until("certbot's certificate", PATIENCE, || {
        Some(certbot()).filter(|output| output.status.success())
    });
    good(&answered);
    assert_eq!(issued(&scene, "certbot.acme.test"), 1);
    let live = scene.path("certbot/config/live/certbot.acme.test/fullchain.pem");
    scene.verifies(&live, "certbot.acme.test");
    let status = scene.home.json(&["status"]);
    assert!(!status["alarms"].to_string().contains("\"hsm\""), "{status}");
}
