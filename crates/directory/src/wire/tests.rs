use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `ldapwhoami -D cn=a -w pw`, `-Y EXTERNAL` and `-ZZ` write, byte for byte.
#[test]
fn requests_are_as_others_write_them() {
    let simple = Credentials::Simple { dn: "cn=a", password: b"pw" };
    assert_eq!(hex(&bind(1, &simple).bytes), "3012020101600d0201030404636e3d6180027077");
    assert_eq!(
        hex(&bind(2, &Credentials::External).bytes),
        "301802010260130201030400a30c040845585445524e414c0400"
    );
    assert_eq!(
        hex(&start_tls(1).bytes),
        "301d02010177188016312e332e362e312e342e312e313436362e3230303337"
    );
    assert_eq!(hex(&unbind(3)), "30050201034200");
}

#[test]
fn a_change_names_what_goes_and_what_comes() {
    let plan = Plan { add: Some(b"new".to_vec()), remove: vec![b"a".to_vec(), b"b".to_vec()] };
    let bytes = modify(5, "cn=x", &plan).bytes;
    let mut message = Reader::new(&bytes).inside(ber::SEQUENCE).unwrap();
    assert_eq!(message.number(ber::INTEGER), Ok(5));
    let mut modify = message.inside(MODIFY).unwrap();
    assert_eq!(modify.expect(ber::OCTETS), Ok(&b"cn=x"[..]));
    let mut changes = modify.inside(ber::SEQUENCE).unwrap();
    for (kind, values) in [(1, vec!["a", "b"]), (0, vec!["new"])] {
        let mut change = changes.inside(ber::SEQUENCE).unwrap();
        assert_eq!(change.number(ber::ENUMERATED), Ok(kind));
        let mut attribute = change.inside(ber::SEQUENCE).unwrap();
        assert_eq!(attribute.expect(ber::OCTETS), Ok(CERTIFICATE.as_bytes()));
        let mut set = attribute.inside(ber::SET).unwrap();
        for value in values {
            assert_eq!(set.expect(ber::OCTETS), Ok(value.as_bytes()));
        }
        assert!(set.is_empty());
    }
    assert!(changes.is_empty());
}

fn said(id: u32, tag: u8, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    message("", id, tag, 0, fill).bytes.to_vec()
}

fn result(code: u32, words: &str) -> impl FnOnce(&mut Writer) {
    let words = words.to_owned();
    move |writer| {
        writer.number(ber::ENUMERATED, code).text("").text(&words);
    }
}

fn entry(attributes: &[(&str, &[&[u8]])]) -> Vec<u8> {
    said(4, FOUND_ENTRY, |entry| {
        entry.text("cn=x").within(ber::SEQUENCE, |list| {
            for (name, values) in attributes {
                list.within(ber::SEQUENCE, |attribute| {
                    attribute.text(name).within(ber::SET, |set| {
                        for value in *values {
                            set.bytes(ber::OCTETS, value);
                        }
                    });
                });
            }
        });
    })
}

#[test]
fn answers_are_read() {
    let bytes = entry(&[("cn", &[b"x"]), ("USERcertificate;BINARY", &[b"one", b"two"])]);
    assert_eq!(answer(&bytes, 4).unwrap(), Answer::Entry(vec![b"one".to_vec(), b"two".to_vec()]));
    assert_eq!(answer(&entry(&[]), 4).unwrap(), Answer::Entry(Vec::new()));
    let bytes = said(4, SEARCH_DONE, result(32, "no\n\u{1b}[2J"));
    let ended = Ended { code: 32, said: "no  [2J".to_owned() };
    assert_eq!(answer(&bytes, 4).unwrap(), Answer::Ended(SEARCH_DONE, ended.clone()));
    assert_eq!(explained(&ended), "no such object (no  [2J)");
    let notice = said(0, EXTENDED_ANSWER, result(52, "bye"));
    assert!(matches!(answer(&notice, 4).unwrap(), Answer::Notice(_)));
    assert_eq!(answer(&said(4, FOUND_REFERENCE, |_| ()), 4).unwrap(), Answer::Reference);
}

#[test]
fn what_is_no_answer_is_refused() {
    let why = |bytes: &[u8]| match answer(bytes, 4) {
        Err(DirectoryError::Protocol { why }) => why,
        other => panic!("{other:?}"),
    };
    let good = said(4, BIND_ANSWER, result(0, ""));
    assert_eq!(why(&[&good[..], b"x"].concat()), "something follows it");
    assert_eq!(why(&said(5, BIND_ANSWER, result(0, ""))), "it answers another request");
    assert_eq!(why(&said(0, BIND_ANSWER, result(0, ""))), "it answers another request");
    let kind = "it is of no kind that answers a request of ours";
    assert_eq!(why(&said(4, BIND, |_| ())), kind);
    // an intermediate response
    assert_eq!(why(&said(4, 0x79, |_| ())), kind);
    let ber = "it is not BER as LDAP has it";
    for bytes in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n", &[0x30, 0], &[0x30, 3, 2, 1, 4]] {
        assert_eq!(why(bytes), ber, "{bytes:?}");
    }
    for length in 0..good.len() {
        assert!(answer(&good[..length], 4).is_err());
    }
}

#[test]
fn an_entry_of_too_many_certificates_is_not_looked_at() {
    let values: Vec<&[u8]> = vec![b"x"; MOST_VALUES + 1];
    assert!(answer(&entry(&[(CERTIFICATE, &values)]), 4).is_err());
    assert!(answer(&entry(&[(CERTIFICATE, &values[1..])]), 4).is_ok());
}

/// A client that reads what is inside by calling itself would run out of stack.
#[test]
fn depth_is_nothing_to_a_reader_that_knows_what_it_wants() {
    let mut bytes = Vec::new();
    for _ in 0..100_000 {
        bytes.extend_from_slice(&[0x30, 0x84, 0, 0, 0, 0]);
    }
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    let bytes = [&[0x30, 0x84][..], &length, &bytes].concat();
    assert!(answer(&bytes, 4).is_err());
}
