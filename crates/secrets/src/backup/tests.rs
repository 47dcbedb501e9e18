use sealock_core::{SecretBytes, Timestamp};

use super::*;
use crate::record::Meta;

/// A backup of `(name, newest, version, value)`.
fn archive(entries: &[(&str, u64, u64, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(&mut bytes, Timestamp::from_secs(1_700_000_000)).unwrap();
    for (name, newest, version, value) in entries {
        let meta = Meta {
            created: Timestamp::from_millis(1_700_000_000_123),
            expires: (version % 2 == 0).then_some(Timestamp::from_secs(1_800_000_000)),
            bytes: u32::try_from(value.len()).unwrap(),
            by: "spiffe://corp.example/human/\"ä\"\n".into(),
        };
        let value = SecretBytes::new(value.to_vec());
        writer.version(&name.parse().unwrap(), *newest, *version, &meta, &value).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

fn some() -> Vec<u8> {
    archive(&[("a", 3, 1, b"hunter2"), ("a", 3, 3, b""), ("a/b", 2, 2, &[0, 255, 10])])
}

#[track_caller]
fn refused(bytes: &[u8]) -> (u64, ArchiveFault) {
    let ArchiveError { line, fault } = Archive::read(bytes).unwrap_err();
    (line, fault)
}

/// The same with the last line made to fit again.
fn mended(text: &str, secrets: u64, values: u64) -> Vec<u8> {
    let body: String =
        text.split_inclusive('\n').filter(|line| !line.starts_with("{\"secrets\"")).collect();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
    let sha256 = data_encoding::HEXLOWER.encode(digest.as_ref());
    let last = serde_json::to_string(&Last { secrets, values, sha256 }).unwrap();
    format!("{body}{last}\n").into_bytes()
}

#[test]
fn what_was_written_is_read() {
    let bytes = some();
    let archive = Archive::read(&bytes).unwrap();
    assert_eq!(archive.created(), Timestamp::from_secs(1_700_000_000));
    let [a, b] = archive.secrets() else { panic!("{archive:?}") };
    assert_eq!((a.name.as_str(), a.newest, a.versions.len()), ("a", 3, 2));
    assert_eq!((b.name.as_str(), b.newest), ("a/b", 2));
    let first = &a.versions[0];
    assert_eq!((first.version, first.bytes(), first.expires), (1, 7, None));
    assert_eq!(first.by, "spiffe://corp.example/human/\"ä\"\n");
    assert_eq!(first.created, Timestamp::from_millis(1_700_000_000_123));
    assert_eq!(first.value(), SecretBytes::new(b"hunter2".to_vec()));
    assert!(a.versions[1].value().is_empty());
    assert_eq!(b.versions[0].value().expose(), [0, 255, 10]);
    assert_eq!(b.versions[0].expires, Some(Timestamp::from_secs(1_800_000_000)));
    assert!(!format!("{archive:?}").contains("hunter2"));
    fuzz(&bytes);
    fuzz(
        bytes
            .split_inclusive(|byte| *byte == b'\n')
            .take(3)
            .collect::<Vec<_>>()
            .concat()
            .as_slice(),
    );
}

/// The documented form, byte for byte: a person or another program can rely on it.
#[test]
fn the_form_is_as_documented() {
    let bytes = archive(&[("prod/db", 2, 2, b"hunter2")]);
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<_> = text.split('\n').collect();
    assert_eq!(
        lines[..2],
        [
            r#"{"sealock":"vault backup","format":1,"created":"2023-11-14T22:13:20Z"}"#,
            r#"{"secret":"prod/db","newest":2,"version":2,"created":"2023-11-14T22:13:20.123Z","by":"spiffe://corp.example/human/\"ä\"\n","expires":"2027-01-15T08:00:00Z","value":"aHVudGVyMg=="}"#,
        ]
    );
    assert!(lines[2].starts_with(r#"{"secrets":1,"values":1,"sha256":""#));
    assert_eq!(lines[3..], [""]);
    let meta =
        Meta { created: Timestamp::from_secs(0), expires: None, bytes: 5, by: "uid:0".into() };
    let length = line_length(&"a".parse().unwrap(), 1, 1, &meta).unwrap();
    let mut line = Vec::new();
    let mut writer = Writer::begin(&mut line, Timestamp::from_secs(0)).unwrap();
    writer.version(&"a".parse().unwrap(), 1, 1, &meta, &SecretBytes::new(vec![0; 5])).unwrap();
    drop(writer);
    assert_eq!(line.split_inclusive(|byte| *byte == b'\n').nth(1).unwrap().len() as u64, length);
}

#[test]
fn every_cut_and_every_changed_byte_is_refused() {
    let bytes = some();
    for at in 0..bytes.len() {
        assert!(Archive::read(&bytes[..at]).is_err(), "cut at {at}");
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Archive::read(&changed).is_err(), "changed at {at}");
    }
    for more in [&b"\n"[..], b" ", b"{}\n", &bytes] {
        assert_eq!(refused(&[&bytes[..], more].concat()), (5, ArchiveFault::Totals));
    }
    assert_eq!(refused(&bytes[..bytes.len() - 1]), (5, ArchiveFault::Cut));
}

#[test]
fn another_form_of_the_same_is_refused() {
    let text = String::from_utf8(some()).unwrap();
    let cases = [
        ("\"newest\":3,", "\"newest\": 3,", 2),
        ("\"newest\":3,", "\"newest\":3.0,", 2),
        ("\"newest\":3,\"version\":1", "\"version\":1,\"newest\":3", 2),
        ("\"newest\":3,", "\"newest\":3,\"newest\":3,", 2),
        ("\"newest\":3,", "\"newest\":3,\"more\":1,", 2),
        ("\"newest\":3,", "\"newest\":\"3\",", 2),
        ("\"newest\":3,", "", 2),
        ("\"expires\":null,", "", 2),
        (".123Z", ".1230Z", 2),
        (".123Z", ".123+00:00", 2),
        ("ä", "\\u00e4", 2),
        ("\"secret\":\"a/b\"", "\"secret\":\"a/../b\"", 4),
        ("}\n{\"secret\":\"a/b\"", "}\r\n{\"secret\":\"a/b\"", 3),
        ("}\n{\"secret\":\"a/b\"", "}\n\n{\"secret\":\"a/b\"", 4),
        ("{\"sealock\"", "\u{feff}{\"sealock\"", 1),
        ("vault backup", "vault", 1),
        ("\"created\":\"2023-11-14T22:13:20Z\"", "\"created\":\"2023-11-14 22:13:20Z\"", 1),
    ];
    for (from, to, line) in cases {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let (found, fault) = refused(&mended(&changed, 2, 3));
        assert_eq!(found, line, "{from} -> {to}: {fault}");
        assert!(matches!(fault, ArchiveFault::Malformed | ArchiveFault::Foreign), "{fault}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let text = String::from_utf8(some()).unwrap();
    let refused_with = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        refused(&mended(&changed, 2, 3))
    };
    assert_eq!(refused_with("\"format\":1", "\"format\":2"), (1, ArchiveFault::OtherFormat(2)));
    assert_eq!(refused_with("\"version\":1", "\"version\":0"), (2, ArchiveFault::Number));
    assert_eq!(refused_with("\"version\":1", "\"version\":4"), (2, ArchiveFault::Number));
    assert_eq!(refused_with("\"newest\":3", "\"newest\":4"), (3, ArchiveFault::Number));
    let beyond = format!("\"newest\":{}", crate::marks::MAX_VERSION);
    assert_eq!(refused_with("\"newest\":3", &beyond), (2, ArchiveFault::Number));
    assert_eq!(refused_with("\"version\":1", "\"version\":3"), (3, ArchiveFault::Order));
    assert_eq!(refused_with("\"secret\":\"a/b\"", "\"secret\":\"A\""), (4, ArchiveFault::Order));
    for bad in ["aHVudGVyMg=", "aHVudGVyMg", "aHVudGVyMh==", "aHVudGVyMg==\\n", "aHVu dGVyMg=="] {
        assert_eq!(refused_with("aHVudGVyMg==", bad), (2, ArchiveFault::Value), "{bad}");
    }
    assert_eq!(refused(&mended(&text, 1, 3)), (5, ArchiveFault::Totals));
    assert_eq!(refused(&mended(&text, 2, 2)), (5, ArchiveFault::Totals));
    assert_eq!(refused(b""), (1, ArchiveFault::Foreign));
    let error = Archive::read(b"x\n").unwrap_err();
    assert_eq!(error.to_string(), "line 1: this is not the beginning of a backup of secrets");
    assert!(error.hint().unwrap().contains("sealock secret export"));
}

/// What the fuzz targets begin from: the good ones are read, and none of them, however it is changed, is
/// read as something that would be written otherwise.
#[test]
fn seeds_and_what_is_near_them() {
    let folder = |target: &str| {
        let path = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        let named = |path: std::path::PathBuf| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
        };
        files.map(named).collect::<Vec<_>>()
    };
    for (name, seed) in folder("secrets_backup") {
        let good = ["empty", "one", "several"].contains(&name.as_str());
        assert_eq!(Archive::read(&seed).is_ok(), good, "{name}");
        fuzz(&seed);
        near(&seed, fuzz);
    }
    for (name, seed) in folder("secrets_rows") {
        let record = crate::record::Record::read(&seed).is_some();
        assert_eq!(record, name.starts_with("record"), "{name}");
        crate::fuzz_rows(&seed);
        near(&seed, crate::fuzz_rows);
    }
}

fn near(seed: &[u8], fuzz: fn(&[u8])) {
    for at in 0..seed.len() {
        for change in [1, 0x20, 0x80, 0xff] {
            let mut changed = seed.to_vec();
            changed[at] ^= change;
            fuzz(&changed);
        }
        fuzz(&seed[..at]);
        fuzz(&[&seed[..at], &seed[at..=at], &seed[at..]].concat());
    }
}

#[test]
fn bounds() {
    let longest = vec![7; MAX_VALUE];
    assert!(Archive::read(&archive(&[("a", 1, 1, &longest)])).is_ok());
    for more in 1..4 {
        let beyond = vec![7; MAX_VALUE + more];
        assert_eq!(refused(&archive(&[("a", 1, 1, &beyond)])), (2, ArchiveFault::Value));
    }
    let many: Vec<(&str, u64, u64, &[u8])> =
        (1..=MAX_KEPT).map(|version| ("a", 5000, version, &b"x"[..])).collect();
    assert!(Archive::read(&archive(&many)).is_ok());
    let one_more = [&many[..], &[("a", 5000, 1001, b"x")]].concat();
    assert_eq!(refused(&archive(&one_more)), (1002, ArchiveFault::TooManyVersions));
    assert!(Archive::read(&archive(&[])).unwrap().secrets().is_empty());
}
