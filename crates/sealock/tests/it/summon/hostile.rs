//! A `secrets.yml` from a stranger's repository: one message, and nothing is started.

use super::stage::{Stage, is_ours, outcome};

/// A list of lists of lists, each of four times the one before.
pub(crate) fn bomb() -> String {
    let level = |level: u32| {
        let before = format!("*a{}", level - 1);
        format!("a{level}: &a{level} [{before}, {before}, {before}, {before}]\n")
    };
    "a0: &a0 x\n".to_owned() + &(1..30).map(level).collect::<String>()
}

/// Texts that must be refused, with a word of why.
pub(crate) fn refused() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let mut merges = "m0: &m0 {k0: 1, l0: 1}\n".to_owned();
    for level in 1..60 {
        let before = level - 1;
        merges += &format!("m{level}: &m{level}\n  <<: [*m{before}, *m{before}]\n  k{level}: 1\n");
    }
    let many: String = (0..20_000).map(|n| format!("K{n}: x\n")).collect();
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("merge keys that multiply", text(&merges), ""),
        (
            "lists in lists",
            text(&format!("A: {}{}\n", "[".repeat(100_000), "]".repeat(100_000))),
            "",
        ),
        ("maps in maps", text(&"{a: ".repeat(50_000)), ""),
        (
            "deep indentation",
            text(&(0..2000).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>()),
            "",
        ),
        ("more than a mebibyte", text(&format!("A: {}\n", "x".repeat(2 << 20))), "1048576"),
        ("more variables than any command should get", text(&many), "10000"),
        ("an endless quoted text", text(&format!("A: \"{}", "x".repeat(500_000))), ""),
        ("a control character", b"A: a\x1bb\n".to_vec(), "control character"),
        ("a NUL byte", b"A: a\0b\n".to_vec(), "control character"),
        ("no UTF-8", b"A: \xff\n".to_vec(), "UTF-8"),
        ("tabs for indentation", b"a:\n\tb: 1\n".to_vec(), ""),
        ("an anchor inside of itself", b"A: &a [*a]\n".to_vec(), ""),
        ("an alias of nothing", b"A: *nothing\n".to_vec(), ""),
        ("a list", b"- a\n".to_vec(), "expected mapping"),
        ("a name that no variable can have", b"A=B: 1\n".to_vec(), ""),
        ("a key that is a list", b"[a]: 1\n".to_vec(), ""),
    ]
}

#[test]
fn hostile_files_are_refused_with_one_message() {
    if !is_ours() {
        return;
    }
    let stage = Stage::new();
    let mut wrong = Vec::new();
    for (what, bytes, why) in refused() {
        stage.write("secrets.yml", &bytes);
        let said = outcome(stage.summon(&["touch", "started"]));
        let starts = said.out.starts_with("Unable to parse configuration from secrets.yml: ");
        let one = said.out.lines().count() == 1 && said.out.len() < 1000 && said.err.is_empty();
        let started = stage.work("started").exists();
        if said.code != Some(127) || !starts || !one || !said.out.contains(why) || started {
            wrong.push(format!(
                "{what}: {:?} {} {}",
                said.code,
                &said.out[..said.out.len().min(300)],
                said.err
            ));
            let _ = std::fs::remove_file(stage.work("started"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn odd_files_are_read() {
    let stage = Stage::new();
    let utf16: Vec<u8> = "\u{feff}A: 1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let texts: [(&str, Vec<u8>); 10] = [
        ("aliases that multiply, of which nothing is kept", (bomb() + "A: 1\n").into_bytes()),
        ("an endless tag", format!("A: !{} 1", "x".repeat(100_000)).into_bytes()),
        ("a byte order mark", b"\xef\xbb\xbfA: 1\n".to_vec()),
        ("CRLF", b"A: 1\r\nB: 2\r\n".to_vec()),
        ("CR alone", b"A: 1\rB: 2\r".to_vec()),
        ("a tab behind the colon", b"A:\t1\n".to_vec()),
        ("no end of the last line", b"B: 2\nA: 1".to_vec()),
        ("a key twice, the last counts", b"A: 2\nA: 1\n".to_vec()),
        ("a second document, which is passed over", b"A: 1\n---\nA: 2\n".to_vec()),
        ("UTF-16", utf16),
    ];
    for (what, bytes) in texts {
        stage.write("secrets.yml", &bytes);
        let said = outcome(stage.summon(&["sh", "-c", "echo \"$A\""]));
        assert_eq!((said.code, said.out.as_str()), (Some(0), "1\n"), "{what}: {said:?}");
    }
}
