//! The Token Broker, as OAuth clients see it: over real TLS, with secrets and with certificates.

use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request, StatusCode};
use sealock_control::command::{ClientKeys, TokenWanted, TokensBefore, TokensRevoked};
use sealock_control::daemon::{Daemon, up};
use sealock_control::{Command, ErrorCode, Reply};
use sealock_core::audit::Fact;
use sealock_core::{Clock, ManualClock, SystemClock, Timestamp};
use sealock_traffic::token::{Algorithm, Claims, Expected, KeySet, Refusal, SigningKey, verify};
use serde_json::{Value, json};

use crate::api::{Sender, ask, client_of, connect, end, pair, roots, send};
use crate::scratch::{Scratch, call, nobody, records};

const EXCHANGE: &str = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange\
                        &subject_token_type=urn:ietf:params:oauth:token-type:access_token";

const RULES: &str = r#"
permit(principal == Sealock::Service::"shop", action == Sealock::Action::"Token::Issue", resource)
when { ["orders", "billing"].contains(resource.name) };
permit(principal == Sealock::Service::"till", action == Sealock::Action::"Token::Issue",
       resource == Sealock::Service::"orders")
when { context has bound && context.bound };
"#;

pub(crate) struct World {
    pub(crate) scratch: Scratch,
    pub(crate) daemon: Daemon,
    pub(crate) roots: String,
    clock: Option<Arc<ManualClock>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::at(None).await
    }

    /// Where time stands until it is moved. TLS looks at the real one.
    pub(crate) async fn stopped() -> Self {
        Self::at(Some(Arc::new(ManualClock::new(SystemClock.now())))).await
    }

    async fn at(clock: Option<Arc<ManualClock>>) -> Self {
        let scratch = Scratch::new();
        let mut opening = scratch.opening();
        if let Some(clock) = &clock {
            opening.clock = Arc::clone(clock) as Arc<dyn Clock>;
        }
        let daemon = up(opening).await.unwrap();
        std::fs::write(scratch.rule_file("tokens.cedar"), RULES).unwrap();
        call(daemon.service(), Command::PolicyReload).await.unwrap();
        let roots = roots(&daemon).await;
        Self { scratch, daemon, roots, clock }
    }

    pub(crate) fn clock(&self) -> &ManualClock {
        self.clock.as_ref().unwrap()
    }

    /// A rule in a file of its own, in force.
    pub(crate) async fn permit(&self, file: &str, rule: &str) {
        std::fs::write(self.scratch.rule_file(file), rule).unwrap();
        call(self.daemon.service(), Command::PolicyReload).await.unwrap();
    }

    /// A connection with what a login gave.
    pub(crate) async fn with(&self, enrolled: &Value, key: &rcgen::KeyPair) -> Sender {
        let chain = enrolled["certificate"].as_str().unwrap().as_bytes();
        let key = key.serialize_pem();
        connect(&self.daemon, &self.roots, Some((chain, key.as_bytes()))).await.unwrap()
    }

    pub(crate) async fn anybody(&self) -> Sender {
        connect(&self.daemon, &self.roots, None).await.unwrap()
    }

    /// A connection with a certificate of this service.
    pub(crate) async fn service(&self, name: &str) -> Sender {
        let files = client_of(&self.daemon, &format!("spiffe://test.sealock/service/{name}")).await;
        connect(&self.daemon, &self.roots, Some(pair(&files))).await.unwrap()
    }

    pub(crate) async fn secret(&self, command: Command) -> String {
        match call(self.daemon.service(), command).await.unwrap() {
            Reply::ClientSecret(made) => {
                String::from_utf8(made.secret.bytes().expose().to_vec()).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn client(&self, name: &str) -> String {
        self.secret(Command::ClientAdd { name: name.into(), identity: None }).await
    }

    /// What a verifier with nothing but our key set makes of a token.
    async fn verified(
        &self,
        token: &str,
        audience: &str,
        certificate: Option<&[u8; 32]>,
    ) -> Result<Claims, Refusal> {
        let mut anybody = self.anybody().await;
        let (status, keys) = send(&mut anybody, "GET", "/oauth/jwks", "").await;
        assert_eq!(status, StatusCode::OK);
        let keys = KeySet::from_json(&keys).unwrap();
        let (_, metadata) =
            send(&mut anybody, "GET", "/.well-known/oauth-authorization-server", "").await;
        let metadata: Value = serde_json::from_slice(&metadata).unwrap();
        let now = self.daemon.service().journal().clock().now().as_secs();
        let expected = Expected {
            issuer: metadata["issuer"].as_str().unwrap(),
            audience,
            now: u64::try_from(now).unwrap(),
            skew: 30,
            longest: 300,
            certificate,
        };
        verify(token, &keys, &expected)
    }

    async fn is_active(&self, asker: &mut Sender, token: &str) -> bool {
        let (status, answer, _) = post(asker, "introspect", &[], &format!("token={token}")).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert!(answer["active"] == true || answer.as_object().unwrap().len() == 1, "{answer}");
        answer["active"] == true
    }
}

pub(crate) async fn post(
    sender: &mut Sender,
    endpoint: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (StatusCode, Value, HeaderMap) {
    let mut request = Request::builder()
        .method("POST")
        .uri(format!("/oauth/{endpoint}"))
        .header("host", "localhost");
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/x-www-form-urlencoded");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    sender.ready().await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    assert_eq!(headers["cache-control"], "no-store");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap(), headers)
}

pub(crate) fn basic(client: &str, secret: &str) -> String {
    let encoded = data_encoding::BASE64.encode(format!("{client}:{secret}").as_bytes());
    format!("Basic {encoded}")
}

async fn token(sender: &mut Sender, headers: &[(&str, &str)], body: &str) -> String {
    let (status, answer, _) = post(sender, "token", headers, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["token_type"], "Bearer");
    answer["access_token"].as_str().unwrap().to_owned()
}

const ORDERS: &str = "grant_type=client_credentials&audience=orders";

#[tokio::test]
async fn a_client_with_a_secret_gets_what_policy_grants() {
    let world = World::new().await;
    let secret = world.client("shop").await;
    let mut sender = world.anybody().await;
    let header = basic("shop", &secret);
    let got = token(&mut sender, &[("authorization", &header)], ORDERS).await;
    let claims = world.verified(&got, "spiffe://test.sealock/service/orders", None).await.unwrap();
    assert_eq!(claims.subject.to_string(), "spiffe://test.sealock/service/shop");
    assert_eq!(claims.client.as_deref(), Some("shop"));
    assert_eq!((claims.expires_at - claims.issued_at, claims.binding), (300, None));
    let elsewhere = world.verified(&got, "spiffe://test.sealock/service/billing", None).await;
    assert_eq!(elsewhere.err(), Some(Refusal::WrongAudience));
    // By the body, for another service, named whole.
    let body = format!(
        "grant_type=client_credentials&resource=spiffe%3A%2F%2Ftest.sealock%2Fservice%2Fbilling\
         &client_id=shop&client_secret={secret}"
    );
    token(&mut sender, &[], &body).await;

    let (status, answer, headers) =
        post(&mut sender, "token", &[("authorization", &basic("shop", "wrong"))], ORDERS).await;
    assert_eq!((status, &answer["error"]), (StatusCode::UNAUTHORIZED, &"invalid_client".into()));
    assert!(headers["www-authenticate"].to_str().unwrap().starts_with("Basic "));
    let unknown = basic("nobody", &secret);
    let (_, other, _) = post(&mut sender, "token", &[("authorization", &unknown)], ORDERS).await;
    assert_eq!(other, answer, "who is no client learns nothing from it");
    let (status, answer, _) = post(&mut sender, "token", &[], ORDERS).await;
    assert_eq!((status, &answer["error"]), (StatusCode::UNAUTHORIZED, &"invalid_client".into()));

    // A denial names the request, and that is explained by a rule.
    let vault = "grant_type=client_credentials&audience=vault";
    let (status, answer, _) =
        post(&mut sender, "token", &[("authorization", &header)], vault).await;
    assert_eq!((status, &answer["error"]), (StatusCode::FORBIDDEN, &"access_denied".into()));
    let request = answer["request"].as_str().unwrap().to_owned();
    let service = world.daemon.service();
    let explained = call(service, Command::PolicyExplain { request }).await.unwrap();
    let Reply::Explained(explained) = explained else { panic!("{explained:?}") };
    assert!(!explained.allowed_then);
    let rule = explained.now.suggestion.unwrap();
    assert!(rule.contains(r#"Sealock::Service::"vault""#), "{rule}");

    // Neither secret nor token is in the log.
    let log = serde_json::to_string(&records(service)).unwrap();
    assert!(!log.contains(&secret) && !log.contains(&got));
    assert!(log.contains("token-issued"), "{log}");
    end(world.daemon).await;
    let database = std::fs::read(world.scratch.path().join("state.db")).unwrap();
    let holds = |text: &str| database.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(!holds(&secret) && !holds(&got) && holds("traffic/client/shop"));
}

#[tokio::test]
async fn a_certificate_gets_a_token_that_is_worth_nothing_without_it() {
    let world = World::new().await;
    let files = client_of(&world.daemon, "spiffe://test.sealock/service/till").await;
    let mut till = connect(&world.daemon, &world.roots, Some(pair(&files))).await.unwrap();
    let got = token(&mut till, &[], ORDERS).await;
    let audience = "spiffe://test.sealock/service/orders";
    assert_eq!(
        world.verified(&got, audience, None).await.err(),
        Some(Refusal::CertificateRequired)
    );
    let other = [7; 32];
    assert!(world.verified(&got, audience, Some(&other)).await.is_err());
    let der = files.tls_crt.as_bytes();
    let der =
        <rustls_pki_types::CertificateDer as rustls_pki_types::pem::PemObject>::from_pem_slice(der);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der.unwrap());
    let digest: [u8; 32] = digest.as_ref().try_into().unwrap();
    let claims = world.verified(&got, audience, Some(&digest)).await.unwrap();
    assert_eq!(claims.binding, Some(digest));
    assert_eq!(claims.client, Some(claims.subject.to_string()), "RFC 9068 wants a client_id");
    // The name that is claimed has to be that of the certificate.
    token(&mut till, &[], &format!("{ORDERS}&client_id=till")).await;
    let (status, _, _) = post(&mut till, "token", &[], &format!("{ORDERS}&client_id=shop")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    // Its certificate revoked, the open connection gets nothing more.
    let revoke = Command::CertRevoke { serial: files.serial, reason: Default::default() };
    call(world.daemon.service(), revoke).await.unwrap();
    assert_eq!(post(&mut till, "token", &[], ORDERS).await.0, StatusCode::UNAUTHORIZED);
    end(world.daemon).await;
}

#[tokio::test]
async fn a_certificate_gets_a_token_that_is_bound_to_nothing_only_where_it_says_so_and_policy_lets_it()
 {
    let world = World::new().await;
    let wanted = |unbound, certificate| {
        let audience = "orders".to_owned();
        Command::TokenIssue(TokenWanted { audience, unbound, certificate, ..Default::default() })
    };
    let (mut shop, mut till) = (world.service("shop").await, world.service("till").await);
    for (unbound, bound) in [(false, true), (true, false)] {
        let Ok(Reply::Token(got)) = ask(&mut shop, &wanted(unbound, None)).await else {
            panic!("no token")
        };
        assert_eq!(got.bound, bound);
        let text = String::from_utf8(got.token.bytes().expose().to_vec()).unwrap();
        let seen = world.verified(&text, &got.audience, None).await;
        assert_eq!(seen.is_ok(), unbound, "{seen:?}");
    }
    // One rule lets it have tokens that are bound.
    assert!(ask(&mut till, &wanted(false, None)).await.is_ok());
    let denied = ask(&mut till, &wanted(true, None)).await.unwrap_err();
    assert_eq!(denied.code, ErrorCode::Denied);
    let both = ask(&mut shop, &wanted(true, Some("ab".repeat(32)))).await.unwrap_err();
    assert_eq!(both.code, ErrorCode::Usage);
    let other = ask(&mut shop, &wanted(false, Some("ab".repeat(32)))).await.unwrap_err();
    assert_eq!(other.code, ErrorCode::Usage);
    end(world.daemon).await;
}

#[tokio::test]
async fn what_is_revoked_is_not_active_and_only_its_audience_is_told_of_a_token() {
    let world = World::new().await;
    let secret = world.client("shop").await;
    let header = basic("shop", &secret);
    let mut shop = world.anybody().await;
    let (mut orders, mut billing) = (world.service("orders").await, world.service("billing").await);
    let got = token(&mut shop, &[("authorization", &header)], ORDERS).await;
    let (_, state, _) = post(&mut orders, "introspect", &[], &format!("token={got}")).await;
    assert_eq!(state["sub"], "spiffe://test.sealock/service/shop");
    assert_eq!((&state["client_id"], &state["active"]), (&"shop".into(), &true.into()));
    assert!(!world.is_active(&mut billing, &got).await, "it is not for this one");
    assert!(!world.is_active(&mut orders, "junk").await);
    assert_eq!(
        post(&mut shop, "introspect", &[], &format!("token={got}")).await.0,
        StatusCode::UNAUTHORIZED
    );

    // Others may not revoke it; who asked for it may, and again.
    let (status, answer, _) = post(&mut billing, "revoke", &[], &format!("token={got}")).await;
    assert_eq!((status, &answer["error"]), (StatusCode::FORBIDDEN, &"access_denied".into()));
    assert!(world.is_active(&mut orders, &got).await);
    for _ in 0..2 {
        let body = format!("token={got}");
        let done = post(&mut shop, "revoke", &[("authorization", &header)], &body).await;
        assert_eq!(done.0, StatusCode::OK);
    }
    assert!(!world.is_active(&mut orders, &got).await);
    // By identity, by client, by key, and all at once.
    let service = world.daemon.service();
    for what in [
        TokensRevoked::Identity("shop".into()),
        TokensRevoked::Identity("spiffe://test.sealock/service/shop".into()),
        TokensRevoked::Client("shop".into()),
        TokensRevoked::All,
    ] {
        // Revocations are about what was issued until then, to the second.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        let got = token(&mut shop, &[("authorization", &header)], ORDERS).await;
        assert!(world.is_active(&mut orders, &got).await, "{what:?}");
        call(service, Command::TokenRevoke(what.clone())).await.unwrap();
        assert!(!world.is_active(&mut orders, &got).await, "{what:?}");
    }
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let got = token(&mut shop, &[("authorization", &header)], ORDERS).await;
    let Reply::TokenKeys(keys) = call(service, Command::TokenKeys).await.unwrap() else { panic!() };
    let current = keys.keys.iter().find(|key| key.current).unwrap().key.clone();
    call(service, Command::TokenRevoke(TokensRevoked::Key(current.clone()))).await.unwrap();
    assert!(!world.is_active(&mut orders, &got).await);
    let next = token(&mut shop, &[("authorization", &header)], ORDERS).await;
    assert!(world.is_active(&mut orders, &next).await, "another key signs from then on");
    let again = call(service, Command::TokenRevoke(TokensRevoked::Key(current))).await;
    assert!(again.is_err());
    end(world.daemon).await;
}

#[tokio::test]
async fn what_was_issued_before_a_time_is_revoked_for_all_or_for_one() {
    let world = World::stopped().await;
    let service = world.daemon.service();
    let (secret, other) = (world.client("shop").await, world.client("till").await);
    let (shop, till) = (basic("shop", &secret), basic("till", &other));
    let till_may = r#"permit(principal == Sealock::Service::"till", action == Sealock::Action::"Token::Issue", resource);"#;
    world.permit("till.cedar", till_may).await;
    let (mut sender, mut orders) = (world.anybody().await, world.service("orders").await);
    // Tokens know whole seconds.
    world.clock().set(Timestamp::from_secs(world.clock().now().as_secs() + 1));
    let early = token(&mut sender, &[("authorization", &shop)], ORDERS).await;
    world.clock().advance(std::time::Duration::from_secs(10));
    let time = world.clock().now();
    let late = token(&mut sender, &[("authorization", &shop)], ORDERS).await;
    let tills = token(&mut sender, &[("authorization", &till)], ORDERS).await;
    world.clock().advance(std::time::Duration::from_secs(10));
    let before = |time, identity: Option<&str>| {
        let identity = identity.map(str::to_owned);
        Command::TokenRevoke(TokensRevoked::Before(TokensBefore { time, identity }))
    };
    // As it goes over the wire, too.
    let wire = serde_json::to_string(&before(time, Some("shop"))).unwrap();
    assert_eq!(serde_json::from_str::<Command>(&wire).unwrap(), before(time, Some("shop")));
    let future = world.clock().now().plus(std::time::Duration::from_secs(31));
    for identity in [None, Some("shop")] {
        let refused = call(service, before(future, identity)).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Usage, "{refused:?}");
        assert!(refused.message.contains("in the future"), "{refused:?}");
    }
    let denied = service.handle(&nobody(), before(time, None)).await.unwrap_err();
    assert_eq!(denied.code, ErrorCode::Denied);
    assert!(world.is_active(&mut orders, &early).await);
    call(service, before(time, Some("service/shop"))).await.unwrap();
    assert!(!world.is_active(&mut orders, &early).await);
    assert!(
        world.is_active(&mut orders, &late).await && world.is_active(&mut orders, &tills).await
    );
    let later = time.plus(std::time::Duration::from_secs(1));
    call(service, before(later, Some("service/shop"))).await.unwrap();
    assert!(
        !world.is_active(&mut orders, &late).await && world.is_active(&mut orders, &tills).await
    );
    call(service, before(later, None)).await.unwrap();
    assert!(!world.is_active(&mut orders, &tills).await);
    let last = records(service).pop().unwrap().event.fact;
    let Fact::TokenRevoked { what, issued_until, .. } = last else { panic!("{last:?}") };
    let until = Timestamp::from_secs(time.as_secs()).to_rfc3339();
    assert_eq!((what.as_str(), issued_until), ("before", until));
    end(world.daemon).await;
}

#[tokio::test]
async fn a_secret_is_replaced_with_overlap_and_ends_with_its_client() {
    let world = World::new().await;
    let first = world.client("shop").await;
    let rotate = |overlap| Command::ClientRotate { name: "shop".into(), overlap };
    let second = world.secret(rotate(Some(3600))).await;
    let mut sender = world.anybody().await;
    let mut orders = world.service("orders").await;
    for secret in [&first, &second] {
        token(&mut sender, &[("authorization", &basic("shop", secret))], ORDERS).await;
    }
    let third = world.secret(rotate(Some(0))).await;
    for secret in [&first, &second] {
        let header = basic("shop", secret);
        let (status, _, _) =
            post(&mut sender, "token", &[("authorization", &header)], ORDERS).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let header = basic("shop", &third);
    let got = token(&mut sender, &[("authorization", &header)], ORDERS).await;
    let service = world.daemon.service();
    assert!(
        call(service, Command::ClientAdd { name: "shop".into(), identity: None }).await.is_err()
    );
    call(service, Command::ClientRemove { name: "shop".into() }).await.unwrap();
    let (status, _, _) = post(&mut sender, "token", &[("authorization", &header)], ORDERS).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(!world.is_active(&mut orders, &got).await, "its tokens end with it");
    end(world.daemon).await;
}

#[tokio::test]
async fn an_exchange_narrows_and_never_widens() {
    let world = World::new().await;
    let secret = world.client("shop").await;
    let header = basic("shop", &secret);
    let mut shop = world.anybody().await;
    let got = token(&mut shop, &[("authorization", &header)], ORDERS).await;
    let body = format!("{EXCHANGE}&audience=billing&subject_token={got}");
    let (status, answer, _) = post(&mut shop, "token", &[("authorization", &header)], &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    let narrowed = answer["access_token"].as_str().unwrap();
    let audience = "spiffe://test.sealock/service/billing";
    let claims = world.verified(narrowed, audience, None).await.unwrap();
    let before = world.verified(&got, "spiffe://test.sealock/service/orders", None).await.unwrap();
    assert!(claims.expires_at <= before.expires_at);
    assert_eq!(claims.client.as_deref(), Some("shop"));
    // Somebody else's, a bound one without its certificate, one that is none.
    let mut till = world.service("till").await;
    let bound = token(&mut till, &[], ORDERS).await;
    for (sender, headers, subject) in [
        (&mut till, vec![], got.as_str()),
        (&mut shop, vec![("authorization", header.as_str())], bound.as_str()),
    ] {
        let body = format!("{EXCHANGE}&audience=orders&subject_token={subject}");
        let (status, answer, _) = post(sender, "token", &headers, &body).await;
        assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &"invalid_grant".into()));
    }
    let till_secret = world.client("till").await;
    let header = basic("till", &till_secret);
    let body = format!("{EXCHANGE}&audience=orders&subject_token={bound}");
    let (_, answer, _) = post(&mut shop, "token", &[("authorization", &header)], &body).await;
    assert_eq!(answer["error"], "invalid_grant", "without the certificate it is worth nothing");
    // What is revoked cannot be exchanged.
    let header = basic("shop", &secret);
    post(&mut shop, "revoke", &[("authorization", &header)], &format!("token={got}")).await;
    let body = format!("{EXCHANGE}&audience=billing&subject_token={got}");
    let (_, answer, _) = post(&mut shop, "token", &[("authorization", &header)], &body).await;
    assert_eq!(answer["error"], "invalid_grant");
    end(world.daemon).await;
}

#[tokio::test]
async fn requests_that_are_none_are_refused() {
    let world = World::new().await;
    let secret = world.client("shop").await;
    let header = basic("shop", &secret);
    let mut sender = world.anybody().await;
    let authorization = ("authorization", header.as_str());
    for (headers, body, error) in [
        (vec![authorization], "grant_type=password&audience=orders", "unsupported_grant_type"),
        (vec![authorization], "grant_type=client_credentials", "invalid_request"),
        (
            vec![authorization],
            "grant_type=client_credentials&audience=human/alice",
            "invalid_target",
        ),
        (
            vec![authorization],
            "grant_type=client_credentials&audience=spiffe://else/service/x",
            "invalid_target",
        ),
        (vec![authorization], "grant_type=client_credentials&audience=a/b/c", "invalid_target"),
        (vec![authorization, authorization], ORDERS, "invalid_request"),
        (vec![authorization, ("content-type", "application/json")], "{}", "invalid_request"),
        (
            vec![authorization],
            "grant_type=client_credentials&audience=orders&audience=billing",
            "invalid_request",
        ),
    ] {
        let (status, answer, _) = post(&mut sender, "token", &headers, body).await;
        assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &error.into()), "{body}");
    }
    let (status, answer, _) =
        post(&mut sender, &format!("token?client_id=shop&client_secret={secret}"), &[], ORDERS)
            .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert_eq!(
        send(&mut sender, "GET", "/oauth/token", "").await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        send(&mut sender, "POST", "/oauth/jwks", "").await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(send(&mut sender, "GET", "/oauth/nothing", "").await.0, StatusCode::NOT_FOUND);
    end(world.daemon).await;
}

#[tokio::test]
async fn commands_of_the_broker_say_what_is_wrong() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let wanted =
        |audience: &str| TokenWanted { audience: audience.into(), ..TokenWanted::default() };
    let add = |name: &str, identity: Option<&str>| Command::ClientAdd {
        name: name.into(),
        identity: identity.map(str::to_owned),
    };
    call(&service, Command::TokenKeys).await.unwrap();
    let before = records(&service).len();
    for command in [
        Command::TokenIssue(wanted("")),
        Command::TokenIssue(wanted("host/x")),
        Command::TokenIssue(wanted("spiffe://other/service/x")),
        Command::TokenIssue(TokenWanted { ttl: Some(0), ..wanted("orders") }),
        Command::TokenIssue(TokenWanted { ttl: Some(301), ..wanted("orders") }),
        Command::TokenIssue(TokenWanted { certificate: Some("ab".into()), ..wanted("orders") }),
        add("UP", None),
        add("a b", None),
        add("shop", Some("robot/shop")),
        Command::ClientRotate { name: "nobody".into(), overlap: None },
        Command::ClientRotate { name: "nobody".into(), overlap: Some(u64::MAX) },
        Command::ClientRemove { name: "nobody".into() },
        Command::TokenRevoke(TokensRevoked::Id("x".into())),
        Command::TokenRevoke(TokensRevoked::Key("x".into())),
        Command::TokenRevoke(TokensRevoked::Client("X".into())),
        Command::TokenRevoke(TokensRevoked::Identity("robot/x".into())),
    ] {
        let error = call(&service, command.clone()).await.unwrap_err();
        assert!(error.code.exit_code() != 2, "{command:?}: {error:?}");
        assert!(!error.message.is_empty() && error.request.is_some());
    }
    assert_eq!(records(&service).len(), before, "and nothing was done");
    let bound = TokenWanted { certificate: Some("ab".repeat(32)), ..wanted("service/orders") };
    let Reply::Token(token) = call(&service, Command::TokenIssue(bound)).await.unwrap() else {
        panic!("no token")
    };
    assert!(token.bound && token.life == 300 && !format!("{token:?}").contains("ey"));
    let last = records(&service).pop().unwrap().event;
    assert!(
        matches!(&last.fact, Fact::TokenIssued { token: id, bound: true, .. } if *id == token.id)
    );
}

#[tokio::test]
async fn one_identity_does_not_fill_the_log_with_tokens() {
    let world = World::new().await;
    let secret = world.client("shop").await;
    let header = basic("shop", &secret);
    let mut shop = world.anybody().await;
    let mut given = 0;
    let refused = loop {
        let (status, answer, _) =
            post(&mut shop, "token", &[("authorization", &header)], ORDERS).await;
        if status != StatusCode::OK {
            break (status, answer);
        }
        given += 1;
        assert!(given < 10_000, "there is no end to it");
    };
    assert!(given >= 2000, "{given}");
    assert_eq!(refused.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.1["error"], "temporarily_unavailable");
    // Others are not touched.
    let mut till = world.service("till").await;
    token(&mut till, &[], ORDERS).await;
    end(world.daemon).await;
}

/// The first line of a feed, or the status that was answered in its place.
async fn feed(sender: &mut Sender, service: &str) -> Result<Value, StatusCode> {
    let request = Request::builder()
        .uri(format!("/v1/traffic/feed?service={service}"))
        .header("host", "localhost")
        .body(Full::new(Bytes::new()))
        .unwrap();
    sender.ready().await.unwrap();
    let mut response = sender.send_request(request).await.unwrap();
    if response.status() != StatusCode::OK {
        return Err(response.status());
    }
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let frame = response.frame().await.unwrap().unwrap();
        line.extend_from_slice(frame.data_ref().unwrap());
    }
    Ok(serde_json::from_slice(&line).unwrap())
}

#[tokio::test]
async fn a_gatekeeper_hears_of_its_own_calls_and_nothing_else() {
    let world = World::new().await;
    let rules = r#"
permit(principal in Sealock::Group::"front", action == Sealock::Action::"Http::Call",
       resource == Sealock::Service::"orders");
permit(principal in Sealock::Group::"secretive", action == Sealock::Action::"Http::Call",
       resource == Sealock::Service::"billing");
permit(principal, action == Sealock::Action::"Secret::Read", resource == Sealock::Secret::"prod/db");
"#;
    std::fs::write(world.scratch.rule_file("calls.cedar"), rules).unwrap();
    let service = world.daemon.service();
    call(service, Command::PolicyReload).await.unwrap();
    for (name, group) in [("shop", "front"), ("spy", "secretive")] {
        let kind = sealock_core::IdentityKind::Service;
        let command = Command::GroupAdd { kind, name: name.into(), group: group.into() };
        call(service, command).await.unwrap();
    }
    let mut orders = world.service("orders").await;
    let told = feed(&mut orders, "orders").await.unwrap();
    assert_eq!(told["feed"], "snapshot");
    let told = told.to_string();
    for (word, is_there) in [
        ("front", true),
        ("service/shop", true),
        ("billing", false),
        ("secretive", false),
        ("service/spy", false),
        ("prod/db", false),
        ("Token::Issue", false),
    ] {
        assert_eq!(told.contains(word), is_there, "{word}: {told}");
    }
    assert!(!told.contains("\"d\":"), "no private key");
    // Nobody is another's Gatekeeper, and nobody is one without a certificate.
    let mut shop = world.service("shop").await;
    assert_eq!(feed(&mut shop, "orders").await, Err(StatusCode::FORBIDDEN));
    let mut anybody = world.anybody().await;
    assert_eq!(feed(&mut anybody, "orders").await, Err(StatusCode::UNAUTHORIZED));
    let mut orders = world.service("orders").await;
    for bad in ["", "human/alice", "a/b/c"] {
        assert_eq!(feed(&mut orders, bad).await, Err(StatusCode::BAD_REQUEST), "{bad}");
    }
    end(world.daemon).await;
}

fn signed(key: &SigningKey, claims: &Value) -> String {
    let encode =
        |value: &Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let text = format!("{}.{}", encode(&json!({"alg": "ES256"})), encode(claims));
    let der = key.to_pkcs8().unwrap();
    let algorithm = &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let pair = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(algorithm, &der).unwrap();
    let signature = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), text.as_bytes()).unwrap();
    format!("{text}.{}", data_encoding::BASE64URL_NOPAD.encode(signature.as_ref()))
}

#[tokio::test]
async fn a_client_that_signs_who_it_is_needs_no_secret_and_is_believed_once() {
    let world = World::stopped().await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let keys = ClientKeys {
        name: "shop".into(),
        keys: key.public().to_jwk(),
        add: true,
        ..ClientKeys::default()
    };
    let Reply::Client(made) =
        call(world.daemon.service(), Command::ClientKeys(keys)).await.unwrap()
    else {
        panic!("no client")
    };
    assert_eq!((made.secret, made.keys), (false, vec![key.kid().to_owned()]));
    let mut sender = world.anybody().await;
    let (_, metadata) =
        send(&mut sender, "GET", "/.well-known/oauth-authorization-server", "").await;
    let metadata: Value = serde_json::from_slice(&metadata).unwrap();
    let methods = metadata["token_endpoint_auth_methods_supported"].as_array().unwrap();
    assert!(methods.contains(&"private_key_jwt".into()));
    let algorithms = &metadata["token_endpoint_auth_signing_alg_values_supported"];
    assert_eq!(*algorithms, json!(["ES256", "EdDSA"]));
    let endpoint = metadata["token_endpoint"].as_str().unwrap();
    let now = world.clock().now().as_secs();
    let claims = |id: &str| {
        json!({
            "iss": "shop", "sub": "shop", "aud": endpoint, "exp": now + 60, "iat": now, "jti": id,
        })
    };
    let kind = "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let body = |assertion: &str| format!("{ORDERS}&{kind}&client_assertion={assertion}");
    let first = body(&signed(&key, &claims("1")));
    let got = token(&mut sender, &[], &first).await;
    let claimed = world.verified(&got, "spiffe://test.sealock/service/orders", None).await.unwrap();
    assert_eq!(claimed.client.as_deref(), Some("shop"));
    let (status, answer, _) = post(&mut sender, "token", &[], &first).await;
    assert_eq!((status, &answer["error"]), (StatusCode::UNAUTHORIZED, &"invalid_client".into()));
    assert!(answer["error_description"].as_str().unwrap().contains("used before"), "{answer}");
    // It says who asks at the other endpoints too.
    let question = format!("token={got}&{kind}&client_assertion={}", signed(&key, &claims("2")));
    let (status, answer, _) = post(&mut sender, "revoke", &[], &question).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    // Nobody who has another key is told whether there is such a client.
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    let by_other = post(&mut sender, "token", &[], &body(&signed(&other, &claims("3")))).await;
    let nobody =
        json!({"iss": "nobody", "sub": "nobody", "aud": endpoint, "exp": now + 60, "jti": "3"});
    let by_nobody = post(&mut sender, "token", &[], &body(&signed(&other, &nobody))).await;
    assert_eq!((by_other.0, &by_other.1), (by_nobody.0, &by_nobody.1));
    assert_eq!(by_other.0, StatusCode::UNAUTHORIZED);
    let long =
        json!({"iss": "shop", "sub": "shop", "aud": endpoint, "exp": now + 3600, "jti": "4"});
    let (status, answer, _) = post(&mut sender, "token", &[], &body(&signed(&key, &long))).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    let two = format!("{}&client_id=shop&client_secret=x", body(&signed(&key, &claims("5"))));
    assert_eq!(post(&mut sender, "token", &[], &two).await.0, StatusCode::BAD_REQUEST);
    end(world.daemon).await;
}
