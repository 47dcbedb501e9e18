use super::*;

fn identifier(kind: &str, value: &str) -> Identifier {
    Identifier::read(kind, value).unwrap()
}

/// The token of RFC 8555 §8.3, with the thumbprint of RFC 7638 §3.1; the hash is by another program.
#[test]
fn a_key_authorization_in_its_three_forms() {
    let token = Token("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA".into());
    let thumbprint = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
    let authorization = KeyAuthorization(format!("{token}.{thumbprint}"));
    assert_eq!(authorization.dns_value(), "ZTRx1Ckl1-tM05o5zaizTTA0yUy5AGereMgSNWC6Ll8");
    let extension = data_encoding::HEXLOWER.encode(&authorization.extension_value());
    let hash = "653471d42925d7eb4cd39a39cda8b34d3034c94cb90067ab78c8123560ba2e5f";
    assert_eq!(extension, format!("0420{hash}"));
    assert_eq!(
        token.http_path(),
        "/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
    );
}

#[test]
fn a_key_authorization_is_of_one_token_and_one_key() {
    let key = |x: &str| {
        let json = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#);
        Jwk::from_json(json.as_bytes()).unwrap()
    };
    // RFC 8037 A.2 and A.3.
    let one = key("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    let other = key("zZ0kbpMrihiq7US4DaGRbFCwNxxc4StOmy0IZs5sFUU");
    let token = Token::generate().unwrap();
    let authorization = KeyAuthorization::new(&token, &one);
    let thumbprint = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    assert_eq!(authorization.as_str(), format!("{token}.{thumbprint}"));
    assert_ne!(authorization, KeyAuthorization::new(&token, &other));
    assert_ne!(authorization, KeyAuthorization::new(&Token::generate().unwrap(), &one));
}

#[test]
fn tokens_are_new_and_read_back() {
    let [one, other] = [(); 2].map(|()| Token::generate().unwrap());
    assert_ne!(one, other);
    assert_eq!(one.as_str().len(), TOKEN_CHARACTERS);
    let kept = serde_json::to_string(&one).unwrap();
    assert_eq!(serde_json::from_str::<Token>(&kept).unwrap(), one);
    let good = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
    assert!(Token::try_from(good.to_owned()).is_ok());
    for bad in [
        "",
        "..",
        &good[1..],
        &format!("{good}A"),
        &good.replace("e", "/"),
        &good.replace("-oA", "-oB"),
        &good.replace("evaG", "../x"),
    ] {
        assert_eq!(Token::try_from(bad.to_owned()), Err(TokenFault), "{bad}");
    }
}

#[test]
fn an_identifier_has_the_challenges_that_say_something_about_it() {
    use ChallengeType::*;
    let rows = [
        (identifier("dns", "shop.example"), vec![Http01, Dns01, TlsAlpn01]),
        (identifier("dns", "*.shop.example"), vec![Dns01]),
        (identifier("ip", "192.0.2.1"), vec![Http01, TlsAlpn01]),
        (identifier("ip", "2001:db8::1"), vec![Http01, TlsAlpn01]),
    ];
    for (identifier, expected) in rows {
        assert_eq!(ChallengeType::of(&identifier).collect::<Vec<_>>(), expected, "{identifier}");
    }
}

#[test]
fn the_name_in_the_dns_is_below_the_domain() {
    let name = |value| dns_name(&identifier("dns", value));
    assert_eq!(name("www.example.org").as_deref(), Some("_acme-challenge.www.example.org"));
    assert_eq!(name("*.example.org").as_deref(), Some("_acme-challenge.example.org"));
    assert_eq!(dns_name(&identifier("ip", "192.0.2.1")), None);
    // 237 characters leave room for the label; one more does not.
    let label = "a".repeat(59);
    let fits = format!("{label}.{label}.{label}.{}", "b".repeat(57));
    assert_eq!(name(&fits).map(|name| name.len()), Some(253));
    let long = format!("{label}.{label}.{label}.{}", "b".repeat(58));
    assert_eq!(name(&long), None);
    let of = |value: &str| ChallengeType::of(&identifier("dns", value)).count();
    assert_eq!((of(&fits), of(&long), of(&format!("*.{long}"))), (3, 2, 0));
}

#[test]
fn names_are_those_of_the_wire() {
    for kind in ChallengeType::ALL {
        let json = serde_json::to_string(&kind).unwrap();
        assert_eq!(json, format!("\"{}\"", kind.name()));
        assert_eq!(serde_json::from_str::<ChallengeType>(&json).unwrap(), kind);
    }
}
