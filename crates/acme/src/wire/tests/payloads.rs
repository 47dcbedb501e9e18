//! Payloads as they may and may not be.

use aws_lc_rs::hmac::HMAC_SHA256;
use data_encoding::BASE64URL_NOPAD;
use sealock_core::json::JsonFault;
use sealock_core::{SecretBytes, Timestamp};

use crate::identifier::{Identifier, IdentifierFault, IdentifiersFault};
use crate::jwk::{Algorithm, JwkFault};
use crate::jws::JwsFault;
use crate::problem::{AcmeProblem, ErrorKind};
use crate::testing::{KID, SigningKey, URL, authenticated};
use crate::wire::PayloadFault::{self, *};
use crate::wire::*;

/// What no payload may be, whatever it is about.
const NO_OBJECT: [(&str, JsonFault); 6] = [
    ("", JsonFault::Syntax),
    ("null", JsonFault::Syntax),
    ("[]", JsonFault::Syntax),
    ("{} {}", JsonFault::Syntax),
    (r#"{"a":1,"a":1}"#, JsonFault::Duplicate),
    (r#"{"a":[[[[[[[[]]]]]]]]}"#, JsonFault::Deep),
];

fn refused<T: std::fmt::Debug>(
    read: fn(&[u8]) -> Result<T, PayloadFault>,
    rows: &[(&str, PayloadFault)],
) {
    for (payload, fault) in NO_OBJECT {
        assert_eq!(read(payload.as_bytes()).unwrap_err(), Json(fault), "{payload}");
    }
    for (payload, fault) in rows {
        assert_eq!(read(payload.as_bytes()).unwrap_err(), *fault, "{payload}");
    }
}

fn form<T>(member: &'static str) -> Result<T, PayloadFault> {
    Err(Form { member })
}

fn contacts(contact: &[Contact]) -> Vec<&str> {
    contact.iter().map(Contact::as_str).collect()
}

/// RFC 8555 §7.3.
#[test]
fn a_new_account() {
    let example = br#"{
        "termsOfServiceAgreed": true,
        "contact": ["mailto:cert-admin@example.org", "mailto:admin@Example.ORG"]
    }"#;
    let new = NewAccount::read(example).unwrap();
    let both = ["mailto:cert-admin@example.org", "mailto:admin@example.org"];
    assert_eq!(contacts(&new.contact), both);
    assert!(new.terms_of_service_agreed && !new.only_return_existing);
    assert!(new.external_account_binding.is_none());
    let existing = br#"{"onlyReturnExisting":true,"status":"valid","new":{"x":null}}"#;
    let existing = NewAccount::read(existing).unwrap();
    assert!(existing.only_return_existing && !existing.terms_of_service_agreed);
    let bare = NewAccount::read(b"{}").unwrap();
    assert!(bare.contact.is_empty() && !bare.only_return_existing);
    refused(
        NewAccount::read,
        &[
            (r#"{"termsOfServiceAgreed":"true"}"#, Form { member: "termsOfServiceAgreed" }),
            (r#"{"termsOfServiceAgreed":null}"#, Form { member: "termsOfServiceAgreed" }),
            (r#"{"onlyReturnExisting":1}"#, Form { member: "onlyReturnExisting" }),
            (r#"{"contact":"mailto:jo@example.org"}"#, Form { member: "contact" }),
            (r#"{"contact":null}"#, Form { member: "contact" }),
            (r#"{"contact":[1]}"#, Form { member: "contact" }),
            (r#"{"externalAccountBinding":"x"}"#, Form { member: "externalAccountBinding" }),
            (r#"{"externalAccountBinding":null}"#, Form { member: "externalAccountBinding" }),
            (
                r#"{"externalAccountBinding":{}}"#,
                Binding(JwsFault::MissingMember { member: "protected" }),
            ),
        ],
    );
}

#[test]
fn an_account_with_a_binding() {
    let account = SigningKey::generate(Algorithm::Es256).jwk;
    let header = format!(r#"{{"alg":"HS256","kid":"team-7","url":"{URL}"}}"#);
    let jws = authenticated(HMAC_SHA256, &[7; 32], &header, account.to_json().as_bytes());
    let payload = format!(r#"{{"externalAccountBinding":{jws}}}"#);
    let binding = NewAccount::read(payload.as_bytes()).unwrap().external_account_binding.unwrap();
    assert_eq!(binding.kid(), "team-7");
    assert_eq!(binding.verify(&SecretBytes::new(vec![7; 32]), &account, URL), Ok(()));
}

#[test]
fn contacts_are_one_address_each() {
    let long = format!("mailto:{}@example.org", "a".repeat(64));
    for good in ["mailto:jo@example.org", "mailto:jo+acme@shop.example", &long] {
        assert_eq!(Contact::read(good).unwrap().as_str(), good);
    }
    assert_eq!(Contact::read("MailTo:Jo@EXAMPLE.org").unwrap().as_str(), "mailto:Jo@example.org");
    let rows = [
        ("tel:+12025551212", UnsupportedContact),
        ("https://example.org", UnsupportedContact),
        ("", InvalidContact),
        ("jo@example.org", InvalidContact),
        ("mailto:", InvalidContact),
        ("mailto:jo", InvalidContact),
        ("mailto:@example.org", InvalidContact),
        ("mailto:jo@", InvalidContact),
        ("mailto:jo@*.example.org", InvalidContact),
        ("mailto:jo@example.org,al@example.org", InvalidContact),
        ("mailto:jo@example.org?subject=x", InvalidContact),
        ("mailto:jo?cc=al@example.org", InvalidContact),
        ("mailto:jo%40evil.example@example.org", InvalidContact),
        ("mailto:jo#x@example.org", InvalidContact),
        ("mailto:jo al@example.org", InvalidContact),
        ("mailto:jo@exämple.org", InvalidContact),
        ("mailto:jo@example.org\r\nBcc: al", InvalidContact),
        (&format!("tel:{}", "1".repeat(MAXIMUM_CONTACT)), InvalidContact),
        (&format!("mailto:{}@example.org", "a".repeat(65)), InvalidContact),
    ];
    for (contact, fault) in rows {
        assert_eq!(Contact::read(contact), Err(fault), "{contact}");
        let json = serde_json::json!({"contact": [contact]}).to_string();
        assert_eq!(NewAccount::read(json.as_bytes()).unwrap_err(), fault, "{contact}");
    }
    let many = |count| serde_json::json!({"contact": vec!["mailto:jo@example.org"; count]});
    let read = |count| NewAccount::read(many(count).to_string().as_bytes());
    assert_eq!(read(MAXIMUM_CONTACTS).unwrap().contact.len(), MAXIMUM_CONTACTS);
    assert_eq!(read(MAXIMUM_CONTACTS + 1).unwrap_err(), ManyContacts);
}

#[test]
fn a_change_of_an_account() {
    let read = |json: &str| AccountUpdate::read(json.as_bytes()).unwrap();
    assert_eq!(read("{}"), AccountUpdate { contact: None, deactivate: false });
    assert!(read(r#"{"status":"deactivated"}"#).deactivate);
    assert_eq!(read(r#"{"contact":[]}"#).contact, Some(Vec::new()));
    // As it was got, with another contact.
    let back = r#"{"status":"valid","termsOfServiceAgreed":true,"orders":"https://ca.example/1","contact":["mailto:jo@example.org"]}"#;
    let back = read(back);
    assert_eq!(
        (contacts(&back.contact.unwrap()), back.deactivate),
        (vec!["mailto:jo@example.org"], false)
    );
    refused(
        AccountUpdate::read,
        &[
            (r#"{"status":1}"#, Form { member: "status" }),
            (r#"{"status":null}"#, Form { member: "status" }),
            (r#"{"contact":{}}"#, Form { member: "contact" }),
            (r#"{"contact":["tel:1"]}"#, UnsupportedContact),
        ],
    );
}

#[test]
fn what_a_new_key_says() {
    let key = SigningKey::generate(Algorithm::EdDsa).jwk;
    let jwk = key.to_json();
    let good = format!(r#"{{"account":"{KID}","oldKey":{jwk}}}"#);
    let expected = KeyChangeOrder { account: KID.to_owned(), old_key: key };
    assert_eq!(KeyChangeOrder::read(good.as_bytes()), Ok(expected));
    refused(
        KeyChangeOrder::read,
        &[
            (r#"{"oldKey":{}}"#, Missing { member: "account" }),
            (r#"{"account":"x"}"#, Missing { member: "oldKey" }),
            (r#"{"account":1,"oldKey":{}}"#, Form { member: "account" }),
            (r#"{"account":"x","oldKey":"y"}"#, Form { member: "oldKey" }),
            (r#"{"account":"x","oldKey":{}}"#, OldKey(JwkFault::Kind)),
            (&good.replace("\"kty\"", "\"d\":\"AA\",\"kty\""), OldKey(JwkFault::Private)),
        ],
    );
}

/// RFC 8555 §7.4, RFC 9773 §5.
#[test]
fn a_new_order() {
    let example = br#"{
        "identifiers": [
            { "type": "dns", "value": "www.example.org" },
            { "type": "dns", "value": "example.org" }
        ],
        "notBefore": "2016-01-01T00:04:00+04:00",
        "notAfter": "2016-01-08T00:04:00.5+04:00",
        "replaces": "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE",
        "profile": "short-lived"
    }"#;
    let names = ["www.example.org", "example.org"];
    let expected = NewOrder {
        identifiers: names.map(|name| Identifier::read("dns", name).unwrap()).to_vec(),
        not_before: Timestamp::from_rfc3339("2015-12-31T20:04:00Z"),
        not_after: Timestamp::from_rfc3339("2016-01-07T20:04:00.5Z"),
        profile: Some("short-lived".to_owned()),
        replaces: Some("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".parse().unwrap()),
    };
    assert_eq!(NewOrder::read(example), Ok(expected));
    let with = |more: &str| {
        let json = format!(r#"{{"identifiers":[{{"type":"dns","value":"a.example"}}]{more}}}"#);
        NewOrder::read(json.as_bytes())
    };
    let bare = with("").unwrap();
    assert_eq!((bare.not_before, bare.not_after, bare.profile, bare.replaces), Default::default());
    assert!(with(r#","status":"valid","x":[null]"#).is_ok());
    let rows: [(&str, Result<(), PayloadFault>); 14] = [
        (r#","notBefore":"2016-01-01""#, form("notBefore")),
        (r#","notBefore":"2016-01-01T00:04:00""#, form("notBefore")),
        (r#","notBefore":1451592240"#, form("notBefore")),
        (r#","notBefore":null"#, form("notBefore")),
        (r#","notAfter":"Fri, 01 Jan 2016 00:04:00 GMT""#, form("notAfter")),
        (r#","notAfter":"2016-01-01T00:04:00.000000000000000000000001Z""#, form("notAfter")),
        (r#","notBefore":"2016-01-01T00:00:00Z","notAfter":"2016-01-01T00:00:00Z""#, Err(Times)),
        (r#","notBefore":"2016-01-02T00:00:00Z","notAfter":"2016-01-01T00:00:00Z""#, Err(Times)),
        (r#","profile":"""#, form("profile")),
        (r#","profile":"short lived""#, form("profile")),
        (r#","profile":["a"]"#, form("profile")),
        (r#","replaces":"""#, form("replaces")),
        (r#","replaces":"aYhba4dGQEHhs3uEe6CuLN4ByNQ""#, form("replaces")),
        (r#","replaces":{}"#, form("replaces")),
    ];
    for (more, outcome) in rows {
        assert_eq!(with(more).map(drop), outcome, "{more}");
    }
    let profile = |length| with(&format!(r#","profile":"{}""#, "p".repeat(length))).map(drop);
    assert_eq!((profile(MAXIMUM_PROFILE), profile(MAXIMUM_PROFILE + 1)), (Ok(()), form("profile")));
    let one = |fault| Identifiers(IdentifiersFault::One { number: 1, fault });
    refused(
        NewOrder::read,
        &[
            ("{}", Missing { member: "identifiers" }),
            (r#"{"identifiers":{}}"#, Identifiers(IdentifiersFault::Form)),
            (r#"{"identifiers":[]}"#, Identifiers(IdentifiersFault::Empty)),
            (r#"{"identifiers":[{}]}"#, one(IdentifierFault::Form)),
            (r#"{"identifiers":[{"type":"x","value":"y"}]}"#, one(IdentifierFault::Unsupported)),
            (r#"{"identifiers":[{"type":"ip","value":"::1"}]}"#, one(IdentifierFault::Address)),
        ],
    );
}

#[test]
fn a_request_for_the_certificate() {
    let csr = |bytes: &[u8]| format!(r#"{{"csr":"{}"}}"#, BASE64URL_NOPAD.encode(bytes));
    let most = vec![0x30; MAXIMUM_DER];
    for bytes in [&[0x30, 0][..], &most] {
        assert_eq!(Finalize::read(csr(bytes).as_bytes()).unwrap().csr, bytes);
    }
    refused(
        Finalize::read,
        &[
            ("{}", Missing { member: "csr" }),
            (r#"{"csr":null}"#, Csr),
            (r#"{"csr":""}"#, Csr),
            (r#"{"csr":"MA=="}"#, Csr),
            (r#"{"csr":"MB"}"#, Csr),
            (r#"{"csr":"M+AA"}"#, Csr),
            (r#"{"csr":"-----BEGIN CERTIFICATE REQUEST-----"}"#, Csr),
            (&csr(&vec![0x30; MAXIMUM_DER + 1]), Csr),
        ],
    );
}

#[test]
fn authorizations_can_only_be_deactivated() {
    let good = br#"{"status":"deactivated","x":1}"#;
    assert_eq!(AuthorizationUpdate::read(good), Ok(AuthorizationUpdate));
    refused(
        AuthorizationUpdate::read,
        &[
            ("{}", Missing { member: "status" }),
            (r#"{"status":"valid"}"#, Status),
            (r#"{"status":"Deactivated"}"#, Status),
            (r#"{"status":null}"#, Form { member: "status" }),
        ],
    );
}

/// RFC 8555 §7.5.1: older clients send their key authorization.
#[test]
fn a_challenge_is_answered_by_any_object() {
    for good in ["{}", r#"{"keyAuthorization":"x.y"}"#, r#" { "resource" : "challenge" } "#] {
        assert_eq!(ChallengeResponse::read(good.as_bytes()), Ok(ChallengeResponse));
    }
    refused(ChallengeResponse::read, &[]);
}

#[test]
fn revocations_of_certificates() {
    let with =
        |more: &str| RevokeCert::read(format!(r#"{{"certificate":"MAA"{more}}}"#).as_bytes());
    let expected = |reason| Ok(RevokeCert { certificate: vec![0x30, 0], reason });
    assert_eq!(with(""), expected(None));
    for reason in RevocationReason::ALL {
        assert_eq!(with(&format!(r#","reason":{}"#, reason.code())), expected(Some(reason)));
    }
    for refused in ["2", "6", "7", "8", "10", "11", "256", "-1", "1.0", "1e400000", "null"] {
        let fault = if refused == "1e400000" { Json(JsonFault::Syntax) } else { Reason };
        assert_eq!(with(&format!(r#","reason":{refused}"#)), Err(fault), "{refused}");
    }
    for refused in [r#""1""#, r#""keyCompromise""#, "[1]", "true"] {
        assert_eq!(with(&format!(r#","reason":{refused}"#)), form("reason"), "{refused}");
    }
    refused(
        RevokeCert::read,
        &[
            ("{}", Missing { member: "certificate" }),
            (r#"{"certificate":""}"#, Form { member: "certificate" }),
            (r#"{"certificate":"MAA="}"#, Form { member: "certificate" }),
            (r#"{"certificate":{}}"#, Form { member: "certificate" }),
        ],
    );
}

#[test]
fn faults_are_the_problems_that_the_standard_names() {
    let one = |fault| Identifiers(IdentifiersFault::One { number: 1, fault });
    let rows = [
        (Json(JsonFault::Syntax), ErrorKind::Malformed),
        (Missing { member: "csr" }, ErrorKind::Malformed),
        (Form { member: "contact" }, ErrorKind::Malformed),
        (Times, ErrorKind::Malformed),
        (Status, ErrorKind::Malformed),
        (OldKey(JwkFault::Kind), ErrorKind::Malformed),
        (UnsupportedContact, ErrorKind::UnsupportedContact),
        (InvalidContact, ErrorKind::InvalidContact),
        (ManyContacts, ErrorKind::InvalidContact),
        (Csr, ErrorKind::BadCsr),
        (Reason, ErrorKind::BadRevocationReason),
        (one(IdentifierFault::Unsupported), ErrorKind::UnsupportedIdentifier),
        (one(IdentifierFault::Localhost), ErrorKind::RejectedIdentifier),
        (Binding(JwsFault::BindingAlgorithm), ErrorKind::BadSignatureAlgorithm),
        (Binding(JwsFault::BindingMac), ErrorKind::Unauthorized),
    ];
    for (fault, kind) in rows {
        let problem = AcmeProblem::from(fault);
        assert_eq!((problem.kind, problem.status), (kind, kind.status()), "{fault}");
    }
}
