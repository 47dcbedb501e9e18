//! What must hold of every template.

use sealock_core::SecretBytes;

use super::{Dialect, Limits, Template};

/// The secrets that every input of the fuzzer gets.
const SECRETS: [(&str, &[u8]); 5] = [
    ("PASSWORD", b"Kx9!q\"'`$(id)\\ <&>Zw"),
    ("user", b"Pq7_administrator_Rv"),
    ("bytes", b"\xff\x00\xfeWm4\x01\n\xc3\xa9\xf0\x9f\x98\x80"),
    ("number", b"5432189765"),
    ("empty", b""),
];

/// The entry for fuzzing: any bytes as a template; checks what must hold of every result.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let secrets: Vec<(String, SecretBytes)> = SECRETS
        .iter()
        .map(|(alias, value)| ((*alias).to_owned(), SecretBytes::new(value.to_vec())))
        .collect();
    let limits = Limits { output: 1 << 16, work: 1 << 20, steps: 20_000, depth: 100 };
    let lines = text.matches('\n').count() + 1;
    for dialect in [Dialect::Summon, Dialect::Strict] {
        let result =
            Template::parse(&text).and_then(|template| template.render(&secrets, dialect, limits));
        match result {
            Ok(file) => assert!(file.len() <= limits.output, "more output than the limit"),
            Err(error) => {
                let shown = error.to_string();
                assert!(shown.len() < 1000, "a message without end");
                let line = shown.strip_prefix("line ").and_then(|rest| rest.split_once(','));
                let line = line.and_then(|(line, _)| line.parse::<usize>().ok());
                assert!(line.is_none_or(|line| line <= lines), "an error beyond the end");
                for value in ["Kx9!q", "Pq7_admin", "Wm4", "54321897"] {
                    assert!(text.contains(value) || !shown.contains(value), "a value in a message");
                }
            }
        }
    }
}
