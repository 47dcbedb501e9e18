use serde_json::{Value, json};

use super::*;

fn body(problem: &AcmeProblem) -> Value {
    serde_json::from_slice(&problem.to_json()).unwrap()
}

fn dns(name: &str) -> Identifier {
    Identifier::read("dns", name).unwrap()
}

#[test]
fn a_problem_is_told_to_programs_and_people() {
    assert_eq!(
        body(&AcmeProblem::malformed("that is nothing")),
        json!({
            "type": "urn:ietf:params:acme:error:malformed",
            "detail": "that is nothing",
            "status": 400,
        })
    );
    let terms = "https://ca.example/terms";
    let problem = AcmeProblem::user_action_required("there are new terms", terms);
    assert_eq!(body(&problem)["instance"], terms);
    assert_eq!(problem.status, 403);
    assert_eq!(AcmeProblem::not_found().status, 404);
    assert_eq!(AcmeProblem::unauthorized("no").with_status(401).status, 401);
    assert_eq!(AcmeProblem::server_internal().status, 500);
    let limited = AcmeProblem::rate_limited("later", Duration::from_secs(7));
    assert_eq!((limited.status, limited.retry_after), (429, Some(Duration::from_secs(7))));
}

/// RFC 8555 §6.7.1.
#[test]
fn what_is_wrong_with_several_identifiers() {
    let sub = |kind, name| Subproblem { kind, detail: "why".into(), identifier: dns(name) };
    let (rejected, malformed) = (ErrorKind::RejectedIdentifier, ErrorKind::Malformed);
    let problem = AcmeProblem::of_identifiers(
        "some are refused",
        vec![sub(malformed, "_example.org"), sub(rejected, "example.net")],
    );
    assert_eq!(problem.kind, ErrorKind::Compound);
    assert_eq!(
        body(&problem)["subproblems"],
        json!([
            {
                "type": "urn:ietf:params:acme:error:malformed",
                "detail": "why",
                "identifier": {"type": "dns", "value": "_example.org"},
            },
            {
                "type": "urn:ietf:params:acme:error:rejectedIdentifier",
                "detail": "why",
                "identifier": {"type": "dns", "value": "example.net"},
            },
        ])
    );
    let alike = vec![sub(rejected, "a.example"), sub(rejected, "b.example")];
    assert_eq!(AcmeProblem::of_identifiers("all", alike).kind, rejected);
}

#[test]
fn each_kind_has_a_name_and_a_status() {
    let mut names: Vec<_> = ErrorKind::ALL.into_iter().map(ErrorKind::name).collect();
    assert!(names.is_sorted_by_key(|name| name.to_ascii_lowercase()), "{names:?}");
    names.dedup();
    assert_eq!(names.len(), ErrorKind::ALL.len());
    for kind in ErrorKind::ALL {
        assert!((400..=500).contains(&kind.status()), "{kind}");
        let problem = AcmeProblem::new(kind, "why");
        assert_eq!(body(&problem)["type"], format!("urn:ietf:params:acme:error:{kind}"));
    }
}

/// As `error` of a challenge in the store.
#[test]
fn a_problem_is_read_back() {
    for kind in ErrorKind::ALL {
        let problem = AcmeProblem {
            instance: Some("https://ca.example/terms".into()),
            algorithms: vec!["ES256".into()],
            subproblems: vec![Subproblem {
                kind,
                detail: "why".into(),
                identifier: Identifier::read("ip", "192.0.2.1").unwrap(),
            }],
            ..AcmeProblem::new(kind, "why")
        };
        let again: AcmeProblem = serde_json::from_slice(&problem.to_json()).unwrap();
        assert_eq!(again, problem);
        let bare = AcmeProblem::new(kind, "why");
        assert_eq!(serde_json::from_slice::<AcmeProblem>(&bare.to_json()).unwrap(), bare);
    }
    for foreign in ["urn:ietf:params:acme:error:x", "malformed", "about:blank"] {
        let json = json!({"type": foreign, "detail": "why", "status": 400});
        assert!(serde_json::from_value::<AcmeProblem>(json).is_err(), "{foreign}");
    }
}

#[test]
fn faults_are_the_problems_that_the_standard_names() {
    use ErrorKind::*;
    let one = |fault| IdentifiersFault::One { number: 1, fault };
    let rows: Vec<(AcmeProblem, ErrorKind, u16)> = vec![
        (JwsFault::TooLong.into(), Malformed, 413),
        (JwsFault::General.into(), Malformed, 400),
        (JwsFault::BadSignature.into(), Malformed, 400),
        (JwsFault::TwoSigners.into(), Malformed, 400),
        (JwsFault::NoNonce.into(), ErrorKind::BadNonce, 400),
        (JwsFault::OtherUrl.into(), Unauthorized, 403),
        (JwsFault::InnerUrl.into(), Malformed, 400),
        (JwsFault::BadSignatureAlgorithm.into(), BadSignatureAlgorithm, 400),
        (JwsFault::AlgorithmMismatch.into(), BadSignatureAlgorithm, 400),
        (JwsFault::BindingAlgorithm.into(), BadSignatureAlgorithm, 400),
        (JwsFault::BindingMac.into(), Unauthorized, 403),
        (JwsFault::BindingWeakKey.into(), ServerInternal, 500),
        (JwsFault::Key(JwkFault::RsaSize).into(), BadPublicKey, 400),
        (JwkFault::Private.into(), BadPublicKey, 400),
        (crate::nonce::BadNonce::Used.into(), ErrorKind::BadNonce, 400),
        (IdentifierFault::Unsupported.into(), UnsupportedIdentifier, 400),
        (IdentifierFault::Address.into(), RejectedIdentifier, 400),
        (IdentifierFault::Localhost.into(), RejectedIdentifier, 400),
        (IdentifierFault::Dns.into(), Malformed, 400),
        (IdentifiersFault::Empty.into(), Malformed, 400),
        (one(IdentifierFault::Unsupported).into(), UnsupportedIdentifier, 400),
        (one(IdentifierFault::Address).into(), RejectedIdentifier, 400),
    ];
    for (problem, kind, status) in rows {
        assert_eq!((problem.kind, problem.status), (kind, status), "{problem:?}");
        let lists = kind == BadSignatureAlgorithm;
        assert_eq!(!problem.algorithms.is_empty(), lists, "{problem:?}");
        let detail = problem.detail;
        assert!(!detail.is_empty() && !detail.ends_with('.') && !detail.contains('\n'));
    }
    let algorithms = AcmeProblem::from(JwsFault::BadSignatureAlgorithm).algorithms;
    assert_eq!(algorithms, ["ES256", "ES384", "EdDSA", "RS256"]);
    assert_eq!(
        AcmeProblem::from(JwsFault::BindingAlgorithm).algorithms,
        ["HS256", "HS384", "HS512"]
    );
}
