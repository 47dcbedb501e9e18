//! Requests that are taken, and those that are not.

use data_encoding::BASE64;

use super::*;

const EXCHANGE: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";
const TYPE: &str = "subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token";

fn basic(text: &str) -> Vec<u8> {
    format!("Basic {}", BASE64.encode(text.as_bytes())).into_bytes()
}

fn secret(proof: Option<Proof>) -> Credentials {
    match proof.unwrap() {
        Proof::Secret(credentials) => credentials,
        Proof::Assertion(_) => panic!("an assertion"),
    }
}

fn read(header: Option<&[u8]>, body: &str) -> Result<TokenRequest, OauthFault> {
    TokenRequest::read(header, body.as_bytes()).map_err(|error| error.fault)
}

#[test]
fn a_secret_comes_by_header_or_by_body() {
    let body = "grant_type=client_credentials&audience=orders";
    let header = basic("shop:s3cret");
    let request = read(Some(&header), body).unwrap();
    let credentials = secret(request.proof);
    assert_eq!((credentials.client.as_str(), credentials.secret.as_str()), ("shop", "s3cret"));
    assert_eq!(request.audience, "orders");
    // Both halves are encoded as a form is.
    let request = read(Some(&basic("sh%6Fp:a%3Ab+c")), body).unwrap();
    let credentials = secret(request.proof);
    assert_eq!((credentials.client.as_str(), credentials.secret.as_str()), ("shop", "a:b c"));
    let request = read(None, &format!("{body}&client_id=shop&client_secret=s3cret%3D")).unwrap();
    assert_eq!(secret(request.proof).secret.as_str(), "s3cret=");
    // Whoever has a certificate needs neither.
    let request = read(None, &format!("{body}&client_id=shop")).unwrap();
    assert!(request.proof.is_none());
    assert_eq!(request.client.as_deref(), Some("shop"));
}

#[test]
fn a_client_authenticates_in_one_way() {
    use OauthFault as F;
    let kind =
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    let good = format!("grant_type=client_credentials&audience=orders&{kind}");
    let taken = read(None, &format!("{good}&client_assertion=a.b.c&client_id=shop")).unwrap();
    assert!(matches!(&taken.proof, Some(Proof::Assertion(text)) if text.as_str() == "a.b.c"));
    assert_eq!(taken.client.as_deref(), Some("shop"));
    assert!(!format!("{taken:?}").contains("a.b.c"));
    let header = basic("shop:s3cret");
    for (header, more, fault) in [
        (None, "", F::InvalidRequest),
        (None, "&client_assertion=", F::InvalidRequest),
        (None, "&client_assertion=a.b.c&client_assertion=a.b.c", F::InvalidRequest),
        (None, "&client_assertion=a.b.c&client_id=shop&client_secret=s3cret", F::InvalidRequest),
        (Some(header.as_slice()), "&client_assertion=a.b.c", F::InvalidRequest),
        (Some(&b"Bearer x"[..]), "&client_assertion=a.b.c", F::InvalidRequest),
    ] {
        assert_eq!(read(header, &format!("{good}{more}")).err(), Some(fault), "{more}");
    }
    let other = "grant_type=client_credentials&audience=orders&client_assertion=a.b.c";
    assert_eq!(read(None, other).err(), Some(F::InvalidRequest));
    let saml = "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:saml2-bearer";
    assert_eq!(read(None, &format!("{other}&{saml}")).err(), Some(F::InvalidClient));
}

#[test]
fn an_audience_is_one() {
    for body in ["audience=orders", "resource=spiffe%3A%2F%2Ft.sealock%2Fservice%2Forders"] {
        let request = read(None, &format!("grant_type=client_credentials&{body}")).unwrap();
        assert!(request.audience.ends_with("orders"));
    }
}

#[test]
fn what_is_no_request_is_refused_by_its_name() {
    use OauthFault as F;
    let good = "grant_type=client_credentials&audience=orders";
    let header = basic("shop:s3cret");
    let rows: &[(Option<&[u8]>, String, OauthFault)] = &[
        (None, String::new(), F::InvalidRequest),
        (None, "audience=orders".into(), F::InvalidRequest),
        (None, "grant_type=client_credentials".into(), F::InvalidRequest),
        (None, "grant_type=client_credentials&audience=".into(), F::InvalidRequest),
        (None, format!("{good}&audience=billing"), F::InvalidRequest),
        (None, format!("{good}&audience=orders"), F::InvalidRequest),
        (None, format!("{good}&resource=orders"), F::InvalidRequest),
        (None, format!("{good}&grant_type=client_credentials"), F::InvalidRequest),
        (None, format!("{good}&%67rant_type=password"), F::InvalidRequest),
        (
            None,
            "grant_type=password&username=a&password=b&audience=o".into(),
            F::UnsupportedGrantType,
        ),
        (None, "grant_type=authorization_code&code=x&audience=o".into(), F::UnsupportedGrantType),
        (None, "grant_type=CLIENT_CREDENTIALS&audience=o".into(), F::UnsupportedGrantType),
        (None, format!("{good}&scope=all"), F::InvalidScope),
        (None, format!("{good}&client_secret=x"), F::InvalidRequest),
        (None, format!("{good}&subject_token=x"), F::InvalidRequest),
        (None, format!("{good}&x=%"), F::InvalidRequest),
        (None, format!("{good}&x=%4"), F::InvalidRequest),
        (None, format!("{good}&x=%zz"), F::InvalidRequest),
        (None, format!("{good}&x=%ff"), F::InvalidRequest),
        (None, format!("{good}&x=%00"), F::InvalidRequest),
        (None, format!("{good}&x=%0a"), F::InvalidRequest),
        (None, format!("{good}&x=ä"), F::InvalidRequest),
        (None, format!("{good}&x=a b"), F::InvalidRequest),
        (None, format!("{good}&=x"), F::InvalidRequest),
        (None, format!("{good}&a b=x"), F::InvalidRequest),
        (None, format!("{good}{}", "&a".repeat(40)), F::InvalidRequest),
        (None, format!("{good}&x={}", "a".repeat(MAXIMUM_FORM)), F::InvalidRequest),
        (Some(&header), format!("{good}&client_id=shop&client_secret=s"), F::InvalidRequest),
        (Some(&header), format!("{good}&client_id=bank"), F::InvalidRequest),
        (Some(b"Basic !!!"), good.into(), F::InvalidClient),
        (Some(b"Basic c2hvcA=="), good.into(), F::InvalidClient),
        (Some(b"Bearer abc"), good.into(), F::InvalidClient),
        (Some(b"x"), good.into(), F::InvalidClient),
        (None, format!("{good}&client_assertion=x&client_assertion_type=y"), F::InvalidClient),
        (None, format!("{EXCHANGE}&audience=o"), F::InvalidRequest),
        (None, format!("{EXCHANGE}&audience=o&subject_token=x"), F::InvalidRequest),
        (
            None,
            format!("{EXCHANGE}&audience=o&subject_token=x&subject_token_type=saml"),
            F::InvalidRequest,
        ),
        (
            None,
            format!("{EXCHANGE}&audience=o&subject_token=x&{TYPE}&actor_token=y"),
            F::InvalidRequest,
        ),
        (
            None,
            format!("{EXCHANGE}&audience=o&subject_token=x&{TYPE}&requested_token_type=saml"),
            F::InvalidRequest,
        ),
    ];
    for (header, body, fault) in rows {
        assert_eq!(read(*header, body).err(), Some(*fault), "{header:?} {body:.120}");
    }
    assert!(read(None, good).is_ok());
    let request = read(None, &format!("{EXCHANGE}&audience=o&subject_token=x&{TYPE}")).unwrap();
    assert!(matches!(request.grant, Grant::Exchange { subject } if subject.as_str() == "x"));
}

#[test]
fn a_question_has_a_token_and_shows_none() {
    let question = TokenQuestion::read(Some(&basic("shop:hunter2")), b"token=t0ken&x=y").unwrap();
    assert_eq!(question.token.as_str(), "t0ken");
    let shown = format!("{question:?}");
    assert!(shown.contains("shop") && !shown.contains("t0ken") && !shown.contains("hunter2"));
    assert!(TokenQuestion::read(None, b"").is_err());
    assert!(TokenQuestion::read(None, b"token=a&token=b").is_err());
}

#[test]
fn a_login_is_asked_for_strictly() {
    use OauthFault as F;
    let read = |header: Option<&[u8]>, body: &str| DeviceRequest::read(header, body.as_bytes());
    let good = read(None, "client_id=sealock-cli&login_hint=alice").unwrap();
    assert_eq!((good.client.as_str(), good.wanted.as_deref()), ("sealock-cli", Some("alice")));
    assert_eq!(read(Some(&basic("shop:s")), "").unwrap().client, "shop");
    let fault = |body: &str| read(None, body).map(drop).map_err(|error| error.fault);
    assert_eq!(fault(""), Err(F::InvalidRequest));
    assert_eq!(fault("client_id=x&client_id=x"), Err(F::InvalidRequest));
    assert_eq!(fault("client_id=x&scope=openid"), Err(F::InvalidScope));
    assert_eq!(
        fault(&format!("client_id=x&login_hint={}", "a".repeat(129))),
        Err(F::InvalidRequest)
    );

    let code = "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=sealock-cli";
    let token = TokenRequest::read(None, format!("{code}&device_code=abc").as_bytes()).unwrap();
    assert!(matches!(&token.grant, Grant::Device { code } if code.as_str() == "abc"));
    assert!(!format!("{token:?}").contains("abc") && token.audience.is_empty());
    for more in
        ["", "&device_code=", "&device_code=a&audience=orders", "&device_code=a&subject_token=x"]
    {
        let request = TokenRequest::read(None, format!("{code}{more}").as_bytes());
        assert_eq!(request.err().map(|error| error.fault), Some(F::InvalidRequest), "{more}");
    }

    let enrol = |header: Option<&[u8]>, body: &str| EnrolRequest::read(header, body.as_bytes());
    let taken = enrol(Some(b"Bearer sealock_lc_a-b_c"), "csr=AAAA").unwrap();
    assert_eq!(taken.code.unwrap().as_str(), "sealock_lc_a-b_c");
    assert!(enrol(None, "csr=AAAA").unwrap().code.is_none());
    for header in ["Bearer ", "Basic YTpi", "Bearer a b", "Bearer a\n", "bearer", "Bearer \u{e4}"] {
        let refused = enrol(Some(header.as_bytes()), "csr=AAAA");
        assert_eq!(refused.err().map(|error| error.fault), Some(F::InvalidClient), "{header}");
    }
    for body in ["", "csr=", "csr=!", "csr=AAA", "csr=AAAA&csr=AAAA"] {
        assert!(enrol(None, body).is_err(), "{body}");
    }
}

#[test]
fn an_error_is_json_without_surprises() {
    let error = OauthError::new(OauthFault::AccessDenied, "say \"no\"\n\\ to ünï").in_request("r1");
    let body: serde_json::Value = serde_json::from_slice(&error.body()).unwrap();
    assert_eq!(body["error"], "access_denied");
    assert_eq!(body["error_description"], "say no to n");
    assert_eq!(body["request"], "r1");
    assert_eq!(error.fault.status(), 403);
}

#[test]
fn the_metadata_names_what_is_there() {
    let document: serde_json::Value =
        serde_json::from_slice(&metadata("https://broker.example:8443")).unwrap();
    assert_eq!(document["issuer"], "https://broker.example:8443");
    assert_eq!(document["token_endpoint"], "https://broker.example:8443/oauth/token");
    assert_eq!(document["jwks_uri"], "https://broker.example:8443/oauth/jwks");
    // Nothing is promised that is not there, and no list is empty (RFC 8414 §3.2).
    assert!(document.get("authorization_endpoint").is_none());
    let lists: Vec<_> =
        document.as_object().unwrap().values().filter_map(|it| it.as_array()).collect();
    assert!(lists.len() > 5 && lists.iter().all(|list| !list.is_empty()));
    assert!(!document.to_string().contains("RS256") && !document.to_string().contains("HS256"));
}

#[test]
fn the_fuzz_target_takes_what_tests_have() {
    for data in ["", "\n", "Basic eDp5\ngrant_type=client_credentials&audience=a", "x\ntoken=%"] {
        fuzz(data.as_bytes());
    }
}
