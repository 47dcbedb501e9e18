use super::*;

/// RFC 9773 §4.1.
const EXAMPLE: &str = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";

fn text(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

#[test]
fn the_example_of_the_standard() {
    let id: CertificateId = EXAMPLE.parse().unwrap();
    let key = "69885b6b87464041e1b37b847ba0ae2cde01c8d4";
    assert_eq!(data_encoding::HEXLOWER.encode(id.key_identifier()), key);
    assert_eq!(id.serial(), [0x87, 0x65, 0x43, 0x21]);
    assert_eq!(id.to_string(), EXAMPLE);
    for serial in [&[0x87, 0x65, 0x43, 0x21][..], &[0, 0, 0x87, 0x65, 0x43, 0x21]] {
        assert_eq!(CertificateId::new(id.key_identifier(), serial), Some(id.clone()));
    }
    let kept = serde_json::to_string(&id).unwrap();
    assert_eq!(kept, format!("\"{EXAMPLE}\""));
    assert_eq!(serde_json::from_str::<CertificateId>(&kept).unwrap(), id);
}

#[test]
fn one_certificate_has_one_text() {
    for serial in [&[1][..], &[0x7f], &[0x80], &[0xff; 16], &[0x7f; 20], &[0x80; 19]] {
        let id = CertificateId::new(&[7; 20], serial).unwrap();
        assert_eq!(id.serial(), serial);
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}

#[test]
fn what_names_no_certificate_is_refused() {
    let key = text(&[7; 20]);
    let of = |serial: &[u8]| format!("{key}.{}", text(serial));
    let rows = [
        String::new(),
        ".".into(),
        key.clone(),
        format!("{key}."),
        format!(".{}", text(&[1])),
        format!("{EXAMPLE}.AA"),
        format!("{EXAMPLE}="),
        format!(" {EXAMPLE}"),
        EXAMPLE.replace('.', ":"),
        EXAMPLE.replace("ba4d", "b+4d"),
        // Bits that are left over.
        EXAMPLE.replace("QyE", "QyF"),
        EXAMPLE.replace("yNQ", "yNR"),
        // Zero, negative, a zero too many.
        of(&[0]),
        of(&[0x80]),
        of(&[0, 1]),
        of(&[0, 0, 0x80]),
        // Too long.
        of(&[1; 21]),
        of(&[&[0, 0x80][..], &[1; 19]].concat()),
        format!("{}.AQ", text(&[7; 65])),
        format!("{}.AQ", "A".repeat(100_000)),
    ];
    for row in rows {
        assert_eq!(row.parse::<CertificateId>(), Err(CertificateIdFault), "{row}");
    }
    assert_eq!(CertificateId::new(&[], &[1]), None);
    assert_eq!(CertificateId::new(&[7; 65], &[1]), None);
    assert_eq!(CertificateId::new(&[7], &[]), None);
    assert_eq!(CertificateId::new(&[7], &[0, 0]), None);
    assert_eq!(CertificateId::new(&[7], &[1; 21]), None);
    assert_eq!(CertificateId::new(&[7], &[0x80; 20]), None);
}
