//! People at the door of the API: a login that somebody confirms, an invitation, and the certificate that comes of it.

use hyper::StatusCode;
use sealock_control::command::{LoginConfirm, LoginDeny, LoginInvite};
use sealock_control::{Command, ErrorCode, Reply};
use sealock_core::audit::Fact;
use serde_json::Value;

use crate::api::{Sender, client_of, connect, end, pair, send};
use crate::scratch::{call, nobody, person, records};
use crate::tokens::{World, post};

const DEVICE: &str =
    "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=sealock-cli";

fn csr() -> (rcgen::KeyPair, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    let request = params.serialize_request(&key).unwrap();
    let text = data_encoding::BASE64.encode(request.der());
    (key, form_urlencoded::byte_serialize(text.as_bytes()).collect())
}

async fn begin(sender: &mut Sender, who: &str) -> Value {
    let body = format!("client_id=sealock-cli&login_hint={who}");
    let (status, answer, _) = post(sender, "device_authorization", &[], &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

async fn poll(sender: &mut Sender, begun: &Value) -> (StatusCode, Value) {
    let body = format!("{DEVICE}&device_code={}", begun["device_code"].as_str().unwrap());
    let (status, answer, _) = post(sender, "token", &[], &body).await;
    (status, answer)
}

async fn enrol(sender: &mut Sender, code: Option<&str>, csr: &str) -> (StatusCode, Value) {
    let header = code.map(|code| format!("Bearer {code}"));
    let headers: Vec<(&str, &str)> =
        header.iter().map(|header| ("authorization", header.as_str())).collect();
    let (status, answer, _) = post(sender, "enroll", &headers, &format!("csr={csr}")).await;
    (status, answer)
}

fn confirm(code: &Value, user: Option<&str>) -> Command {
    Command::LoginConfirm(LoginConfirm {
        code: code.as_str().unwrap().to_owned(),
        user: user.map(str::to_owned),
        life: Some(3600),
    })
}

#[tokio::test]
async fn a_person_is_let_in_by_who_may_say_so_and_gets_one_certificate() {
    let world = World::stopped().await;
    let service = world.daemon.service();
    let mut sender = world.anybody().await;
    let begun = begin(&mut sender, "alice").await;
    assert_eq!((&begun["expires_in"], &begun["interval"]), (&600.into(), &5.into()));
    assert!(begun["verification_uri"].as_str().unwrap().ends_with("/login"));
    let (status, page) = send(&mut sender, "GET", "/login", "").await;
    assert!(status == StatusCode::OK && String::from_utf8_lossy(&page).contains("login confirm"));
    let (status, answer) = poll(&mut sender, &begun).await;
    assert_eq!(
        (status, &answer["error"]),
        (StatusCode::BAD_REQUEST, &"authorization_pending".into())
    );
    assert_eq!(poll(&mut sender, &begun).await.1["error"], "slow_down");
    // Who waits is shown to who may see it, and is confirmed by nobody else.
    let Reply::Logins(logins) = call(service, Command::LoginList).await.unwrap() else { panic!() };
    assert_eq!(logins.waiting.len(), 1);
    assert_eq!(
        (logins.waiting[0].wanted.as_deref(), logins.waiting[0].origin.as_str()),
        (Some("alice"), "127.0.0.1")
    );
    for user in [None, Some("alice"), Some("admin2")] {
        let denied = service.handle(&nobody(), confirm(&begun["user_code"], user)).await;
        assert_eq!(denied.unwrap_err().code, ErrorCode::Denied);
    }
    // Nobody becomes the administrator, or a service.
    for user in ["admin", "human/admin", "service/shop", "host/x", "../alice"] {
        let refused = call(service, confirm(&begun["user_code"], Some(user))).await;
        assert_eq!(refused.unwrap_err().code, ErrorCode::Usage, "{user}");
    }
    let done = call(service, confirm(&begun["user_code"], Some("alice"))).await.unwrap();
    let Reply::LoginConfirmed(done) = done else { panic!("{done:?}") };
    assert_eq!(done.user, "spiffe://test.sealock/human/alice");
    let again = call(service, confirm(&begun["user_code"], Some("alice"))).await;
    assert_eq!(again.unwrap_err().code, ErrorCode::NotFound);
    // It has asked too often, so it waits; the code is good for five minutes.
    let given = loop {
        let (status, answer) = poll(&mut sender, &begun).await;
        if status == StatusCode::OK {
            break answer;
        }
        assert_eq!(answer["error"], "slow_down", "{answer}");
        world.clock().advance(std::time::Duration::from_secs(30));
    };
    let code = given["access_token"].as_str().unwrap();
    assert_eq!(poll(&mut sender, &begun).await.1["error"], "invalid_grant");
    let (key, request) = csr();
    // What is no request does not use it up.
    assert_eq!(enrol(&mut sender, Some(code), "AAAA").await.0, StatusCode::BAD_REQUEST);
    let (status, made) = enrol(&mut sender, Some(code), &request).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    assert_eq!(made["identity"], "spiffe://test.sealock/human/alice");
    let (status, again) = enrol(&mut sender, Some(code), &request).await;
    assert_eq!((status, &again["error"]), (StatusCode::UNAUTHORIZED, &"invalid_client".into()));

    // With it she is herself at the API, and may have tokens if policy says so.
    let mut alice = world.with(&made, &key).await;
    let body = "grant_type=client_credentials&audience=orders";
    let (status, denied, _) = post(&mut alice, "token", &[], body).await;
    assert_eq!((status, &denied["error"]), (StatusCode::FORBIDDEN, &"access_denied".into()));
    world.permit(
        "alice.cedar",
        r#"permit(principal == Sealock::Human::"alice", action == Sealock::Action::"Token::Issue", resource);"#,
    )
    .await;
    let (status, token, _) = post(&mut alice, "token", &[], body).await;
    assert_eq!(status, StatusCode::OK, "{token}");

    // Renewed while it is good, with another key; not by a service, and not for ever.
    let (next_key, next) = csr();
    let (status, renewed) = enrol(&mut alice, None, &next).await;
    assert_eq!(status, StatusCode::OK, "{renewed}");
    assert_ne!(renewed["serial"], made["serial"]);
    let mut shop = world.service("shop").await;
    assert_eq!(enrol(&mut shop, None, &csr().1).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(enrol(&mut sender, None, &csr().1).await.0, StatusCode::UNAUTHORIZED);
    let end_it = Command::LoginDeny(LoginDeny::User("alice".into()));
    assert_eq!(call(service, end_it).await.unwrap(), Reply::Done);
    let mut alice = world.with(&renewed, &next_key).await;
    let (status, denied) = enrol(&mut alice, None, &csr().1).await;
    assert_eq!((status, &denied["error"]), (StatusCode::FORBIDDEN, &"access_denied".into()));
    let log = serde_json::to_string(&records(service)).unwrap();
    for event in ["login-confirmed", "login-done", "login-revoked", "cert-issued"] {
        assert!(log.contains(event), "{event}");
    }
    assert!(!log.contains(code) && !log.contains(begun["device_code"].as_str().unwrap()));
    end(world.daemon).await;
}

#[tokio::test]
async fn who_confirms_says_who_it_is_and_is_told_what_was_said_at_the_door() {
    let world = World::stopped().await;
    let service = world.daemon.service();
    let mut sender = world.anybody().await;
    let begun = begin(&mut sender, "alice").await;
    let unnamed = call(service, confirm(&begun["user_code"], None)).await.unwrap_err();
    assert_eq!(unnamed.code, ErrorCode::Usage);
    for part in ["sealock-cli", "127.0.0.1", "alice"] {
        assert!(unnamed.message.contains(part), "{unnamed:?}");
    }
    let user_code = begun["user_code"].as_str().unwrap();
    let whole = format!("sealock login confirm {user_code} --as alice");
    assert!(unnamed.hint.unwrap().ends_with(&whole));
    assert_eq!(poll(&mut sender, &begun).await.1["error"], "authorization_pending");
    // The name that was said at the door counts for nothing.
    let done = call(service, confirm(&begun["user_code"], Some("bob"))).await.unwrap();
    let Reply::LoginConfirmed(done) = done else { panic!("{done:?}") };
    assert_eq!(done.user, "spiffe://test.sealock/human/bob");
    // Nor is a name shown that nobody can have.
    let (_, begun, _) = post(
        &mut sender,
        "device_authorization",
        &[],
        "client_id=sealock-cli&login_hint=a%3Brm%20x",
    )
    .await;
    let unnamed = call(service, confirm(&begun["user_code"], None)).await.unwrap_err();
    assert!(unnamed.hint.unwrap().ends_with("--as USER") && !unnamed.message.contains("rm"));
    end(world.daemon).await;
}

#[tokio::test]
async fn whose_login_was_ended_is_not_renewed_whatever_the_rules_say() {
    let world = World::stopped().await;
    let service = world.daemon.service();
    let kind = sealock_core::IdentityKind::Human;
    let admin = Command::GroupAdd { kind, name: "alice".into(), group: "admin".into() };
    call(service, admin).await.unwrap();
    let rule = r#"permit(principal is Sealock::Human, action == Sealock::Action::"Login::Renew", resource);"#;
    world.permit("renew.cedar", rule).await;
    let mut sender = world.anybody().await;
    let log_in = async |sender: &mut Sender| {
        let begun = begin(sender, "alice").await;
        call(service, confirm(&begun["user_code"], Some("alice"))).await.unwrap();
        let (status, given) = poll(sender, &begun).await;
        assert_eq!(status, StatusCode::OK, "{given}");
        let (key, request) = csr();
        let (status, made) = enrol(sender, given["access_token"].as_str(), &request).await;
        assert_eq!(status, StatusCode::OK, "{made}");
        (made, key)
    };
    let (made, key) = log_in(&mut sender).await;
    let mut alice = world.with(&made, &key).await;
    assert_eq!(enrol(&mut alice, None, &csr().1).await.0, StatusCode::OK);
    call(service, Command::LoginDeny(LoginDeny::User("alice".into()))).await.unwrap();
    let (status, refused) = enrol(&mut alice, None, &csr().1).await;
    assert_eq!((status, &refused["error"]), (StatusCode::FORBIDDEN, &"access_denied".into()));
    let told = refused["error_description"].as_str().unwrap();
    assert!(told.contains("login was ended") && !told.contains("policy"), "{told}");
    let last = records(service).pop().unwrap().event;
    assert!(matches!(last.fact, Fact::Denied { .. }) && last.who.contains("alice"), "{last:?}");
    // Nor is a certificate of a person that came in another way, until they have logged in.
    let files = client_of(&world.daemon, "spiffe://test.sealock/human/bob").await;
    let mut bob = connect(&world.daemon, &world.roots, Some(pair(&files))).await.unwrap();
    assert_eq!(enrol(&mut bob, None, &csr().1).await.0, StatusCode::FORBIDDEN);
    // Let in anew, she is renewed again.
    let (made, key) = log_in(&mut sender).await;
    let mut alice = world.with(&made, &key).await;
    assert_eq!(enrol(&mut alice, None, &csr().1).await.0, StatusCode::OK);
    end(world.daemon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_denied_while_their_program_asks_has_no_code_that_is_good() {
    let world = World::stopped().await;
    let service = world.daemon.service();
    let mut sender = world.anybody().await;
    for round in 0..40 {
        let begun = begin(&mut sender, "alice").await;
        call(service, confirm(&begun["user_code"], Some("alice"))).await.unwrap();
        let deny = Command::LoginDeny(LoginDeny::User("alice".into()));
        let ((status, given), denied) =
            tokio::join!(poll(&mut sender, &begun), call(service, deny));
        denied.unwrap();
        let Reply::Logins(logins) = call(service, Command::LoginList).await.unwrap() else {
            panic!()
        };
        assert_eq!(logins.codes, [], "round {round}: {given}");
        if status == StatusCode::OK {
            let code = given["access_token"].as_str();
            assert_eq!(enrol(&mut sender, code, &csr().1).await.0, StatusCode::UNAUTHORIZED);
        }
    }
    end(world.daemon).await;
}

#[tokio::test]
async fn a_login_that_is_denied_or_forgotten_ends() {
    let world = World::stopped().await;
    let service = world.daemon.service();
    let mut sender = world.anybody().await;
    let begun = begin(&mut sender, "mallory").await;
    let code = begun["user_code"].as_str().unwrap().to_lowercase();
    let deny = Command::LoginDeny(LoginDeny::Code(code));
    assert!(service.handle(&person("bob"), deny.clone()).await.is_err());
    call(service, deny).await.unwrap();
    let (status, answer) = poll(&mut sender, &begun).await;
    assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &"access_denied".into()));
    let begun = begin(&mut sender, "bob").await;
    world.clock().advance(std::time::Duration::from_secs(600));
    assert_eq!(poll(&mut sender, &begun).await.1["error"], "expired_token");
    let late = call(service, confirm(&begun["user_code"], Some("bob"))).await;
    assert_eq!(late.unwrap_err().code, ErrorCode::NotFound);
    // No name is made up that could look like something else.
    for client in ["", "a%20b", "UPPER", "shop%20(proved)"] {
        let (status, _, _) =
            post(&mut sender, "device_authorization", &[], &format!("client_id={client}")).await;
        assert!(
            status == StatusCode::UNAUTHORIZED || status == StatusCode::BAD_REQUEST,
            "{client}"
        );
    }
    // Of one origin not more than a few wait, whatever they call themselves.
    let mut refused = 0;
    for number in 0..12 {
        let body = format!("client_id=app-{number}");
        let (status, answer, _) = post(&mut sender, "device_authorization", &[], &body).await;
        if status != StatusCode::OK {
            assert_eq!(answer["error"], "temporarily_unavailable");
            refused += 1;
        }
    }
    assert!(refused >= 4, "{refused}");
    end(world.daemon).await;
}

#[tokio::test]
async fn who_does_not_prove_to_be_a_client_is_not_told_whether_there_is_one() {
    let world = World::stopped().await;
    let secret = world.client("shop").await;
    let mut sender = world.anybody().await;
    let grant = "grant_type=urn:ietf:params:oauth:grant-type:device_code";
    let mut said = Vec::new();
    for client in ["shop", "nobody"] {
        let made_up = format!("{grant}&client_id={client}&device_code=x");
        let (status, made_up, _) = post(&mut sender, "token", &[], &made_up).await;
        assert_eq!((status, &made_up["error"]), (StatusCode::BAD_REQUEST, &"invalid_grant".into()));
        let wrong = format!("{grant}&client_id={client}&client_secret=wrong&device_code=x");
        let (status, wrong, _) = post(&mut sender, "token", &[], &wrong).await;
        assert_eq!((status, &wrong["error"]), (StatusCode::UNAUTHORIZED, &"invalid_client".into()));
        let begin = format!("client_id={client}");
        let (status, begun, _) = post(&mut sender, "device_authorization", &[], &begin).await;
        assert_eq!(status, StatusCode::OK, "{begun}");
        let code = begun["device_code"].as_str().unwrap();
        let asked = format!("{grant}&client_id={client}&device_code={code}");
        let (_, waits, _) = post(&mut sender, "token", &[], &asked).await;
        said.push([made_up, wrong, waits]);
    }
    assert_eq!(said[0], said[1]);
    // What a client has begun that has proved itself, it alone ends, and it is shown as proved.
    let proof = format!("client_id=shop&client_secret={secret}");
    let (status, begun, _) = post(&mut sender, "device_authorization", &[], &proof).await;
    assert_eq!(status, StatusCode::OK, "{begun}");
    let call_list = call(world.daemon.service(), Command::LoginList).await.unwrap();
    let Reply::Logins(logins) = call_list else { panic!() };
    let mut shown: Vec<&str> = logins.waiting.iter().map(|it| it.client.as_str()).collect();
    shown.sort_unstable();
    assert_eq!(shown, ["nobody", "shop", "shop (proved)"]);
    let code = begun["device_code"].as_str().unwrap();
    for (by, error) in
        [("client_id=shop", "invalid_grant"), (proof.as_str(), "authorization_pending")]
    {
        let asked = format!("{grant}&{by}&device_code={code}");
        assert_eq!(post(&mut sender, "token", &[], &asked).await.1["error"], error, "{by}");
    }
    end(world.daemon).await;
}

#[tokio::test]
async fn an_invitation_is_good_once_for_its_person() {
    let world = World::stopped().await;
    let service = world.daemon.service();
    let invite = |user: &str, ttl| {
        Command::LoginInvite(LoginInvite { user: user.into(), ttl, ..LoginInvite::default() })
    };
    assert!(service.handle(&nobody(), invite("alice", None)).await.is_err());
    for (user, ttl) in
        [("admin", None), ("service/x", None), ("alice", Some(0)), ("alice", Some(u64::MAX))]
    {
        assert_eq!(call(service, invite(user, ttl)).await.unwrap_err().code, ErrorCode::Usage);
    }
    let made = |ttl| async move {
        match call(service, invite("alice", ttl)).await.unwrap() {
            Reply::LoginInvited(made) => {
                let text = String::from_utf8(made.code.bytes().expose().to_vec()).unwrap();
                assert!(text.parse::<sealock_control::login_code::FirstCode>().is_ok());
                let bytes = text.strip_prefix("sealock_login_").unwrap();
                let bytes = data_encoding::BASE64URL_NOPAD.decode(bytes.as_bytes()).unwrap();
                format!("sealock_lc_{}", data_encoding::BASE64URL_NOPAD.encode(&bytes[1..21]))
            }
            other => panic!("{other:?}"),
        }
    };
    let (code, late) = (made(None).await, made(Some(60)).await);
    let mut sender = world.anybody().await;
    world.clock().advance(std::time::Duration::from_secs(60));
    let (key, request) = csr();
    assert_eq!(enrol(&mut sender, Some(&late), &request).await.0, StatusCode::UNAUTHORIZED);
    // Of the last letter not every bit counts, and it may be an A already.
    let (mark, letters) = code.split_at("sealock_lc_".len());
    let other = if letters.starts_with('A') { "B" } else { "A" };
    let wrong = format!("{mark}{other}{}", &letters[1..]);
    assert_eq!(enrol(&mut sender, Some(&wrong), &request).await.0, StatusCode::UNAUTHORIZED);
    let (status, made) = enrol(&mut sender, Some(&code), &request).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    assert_eq!(enrol(&mut sender, Some(&code), &request).await.0, StatusCode::UNAUTHORIZED);
    let mut alice = world.with(&made, &key).await;
    let (status, _) = send(&mut alice, "POST", "/v1/call", r#"{"command":"status"}"#).await;
    assert_ne!(status, StatusCode::UNAUTHORIZED);
    // A revoked certificate renews nothing.
    let serial = made["serial"].as_str().unwrap().to_owned();
    let revoke = Command::CertRevoke { serial, reason: Default::default() };
    call(service, revoke).await.unwrap();
    assert_eq!(enrol(&mut alice, None, &csr().1).await.0, StatusCode::UNAUTHORIZED);
    let text = serde_json::to_string(&records(service)).unwrap();
    assert!(!text.contains(&code) && text.contains("login-invited"));
    assert!(connect(&world.daemon, &world.roots, None).await.is_ok());
    end(world.daemon).await;
}
