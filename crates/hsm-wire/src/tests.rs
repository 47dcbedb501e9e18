use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;

fn key(kind: Kind) -> Parts {
    let part = |number| Zeroizing::new(vec![u8::try_from(number).unwrap(); 3]);
    Parts { kind, parts: (0..kind.parts()).map(part).collect() }
}

fn requests() -> Vec<Request> {
    let id = vec![7; 20];
    let token = TokenName { label: Some("ca".into()), ..TokenName::default() };
    vec![
        Request::Open { module: "/m.so".into(), token },
        Request::Login { pin: Zeroizing::new(b"1234".to_vec()) },
        Request::Generate { kind: Kind::P384, id: id.clone(), label: "x".into() },
        Request::Import {
            id: id.clone(),
            label: "".into(),
            extractable: true,
            key: key(Kind::Rsa),
        },
        Request::Find { id: id.clone() },
        Request::Sign { id: id.clone(), kind: Kind::P256, data: vec![1; 32] },
        Request::Export { id: id.clone(), kind: Kind::Ed25519, public: vec![2; 32] },
        Request::Remove { id },
    ]
}

fn replies() -> Vec<Reply> {
    let text = |text: &str| text.to_owned();
    let token =
        Token { label: text("ca"), serial: text("1"), manufacturer: text("m"), model: text("v2") };
    vec![
        Reply::Ready(token),
        Reply::Made(Public { kind: Kind::Rsa, value: vec![3; 384], exponent: vec![1, 0, 1] }),
        Reply::Done,
        Reply::Count(2),
        Reply::Signature(vec![9; 64]),
        Reply::Key(key(Kind::P256)),
        Reply::Refused { why: Why::PinWrong, text: text("CKR_PIN_INCORRECT") },
    ]
}

#[test]
fn what_is_written_is_read_and_nothing_else() {
    for request in requests() {
        let frame = request.frame().unwrap();
        let content = &frame[4..];
        assert_eq!(length(*frame.first_chunk().unwrap()), Ok(content.len()));
        assert_eq!(Request::read(content).unwrap(), request);
        broken(content, |bytes| Request::read(bytes).is_ok());
    }
    for reply in replies() {
        let frame = reply.frame().unwrap();
        let content = &frame[4..];
        assert_eq!(Reply::read(content).unwrap(), reply);
        broken(content, |bytes| Reply::read(bytes).is_ok());
    }
}

/// Cut anywhere, or with a byte more, it is no frame.
fn broken(content: &[u8], read: impl Fn(&[u8]) -> bool) {
    for end in 0..content.len() {
        assert!(!read(&content[..end]), "cut at {end}");
    }
    assert!(!read(&[content, &[0]].concat()));
}

#[test]
fn limits_hold() {
    assert_eq!(length([0; 4]), Err(WireError::Size(0)));
    assert!(length([0xff; 4]).is_err());
    assert_eq!(length([0, 0, 1, 0]), Ok(256));
    // A signature that says it has four billion bytes.
    assert_eq!(Reply::read(&[5, 255, 255, 255, 255]), Err(WireError::Field("signature")));
    let long = "x".repeat(LONGEST_TEXT + 1);
    let refused = Reply::Refused { why: Why::Failed, text: long };
    assert_eq!(Reply::read(&refused.frame().unwrap()[4..]), Err(WireError::Field("text")));
    assert_eq!(Reply::read(&[7, 12, 0, 0, 0, 0]), Err(WireError::Field("reason")));
    assert_eq!(Request::read(&[4, 0, 0, 0, 0]), Err(WireError::Field("id")));
    let big = Request::Sign { id: vec![1], kind: Kind::Ed25519, data: vec![0; LARGEST] };
    assert!(matches!(big.frame(), Err(WireError::Size(_))));
}

#[test]
fn nothing_secret_is_shown() {
    for request in requests() {
        let shown = format!("{request:?}");
        assert!(!shown.contains("1234") && !shown.contains('['), "{shown}");
    }
    assert_eq!(format!("{:?}", key(Kind::Rsa)), "Parts(Rsa, redacted)");
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz(&bytes);
    }
}
