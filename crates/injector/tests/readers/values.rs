//! Values that are hard on writers.

use proptest::collection::vec;
use proptest::prelude::*;
use sealock_core::SecretBytes;

/// Pieces that mean something to some reader.
const PIECES: &[&str] = &[
    "'",
    "\"",
    "\\",
    "`",
    "$",
    "$$",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "#",
    "!",
    "=",
    ":",
    ";",
    "%",
    "&",
    "~",
    "*",
    "?",
    "<",
    ">",
    "|",
    ",",
    "-",
    " ",
    "  ",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\u{b}",
    "\u{c}",
    "\0",
    "\u{1}",
    "\u{7}",
    "\u{8}",
    "\u{1a}",
    "\u{1b}",
    "\u{1c}",
    "\u{7f}",
    "\u{80}",
    "\u{85}",
    "\u{a0}",
    "\u{ad}",
    "\u{200b}",
    "\u{2028}",
    "\u{feff}",
    "\u{fffd}",
    "\u{ffff}",
    "\u{e0001}",
    "é",
    "日",
    "😀",
    "\u{301}",
    "a",
    "n",
    "x",
    "0",
    "u0041",
    "\\n",
    "\\\\",
    "\\'",
    "\\\"",
    "'\\''",
    "$(touch x)",
    "`touch x`",
    "${HOME}",
    "$HOME",
    "$'a'",
    "EOF",
    "null",
    "true",
    "{{.}}",
    "%s",
    "!!",
    "---",
    "- a",
    "export A=b",
    "*/",
];

/// One value: any bytes, any text, or hard pieces.
pub(crate) fn value() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec(proptest::sample::select(PIECES), 0..12);
    prop_oneof![
        4 => pieces.prop_map(|pieces| pieces.concat().into_bytes()),
        1 => vec(any::<u8>(), 0..60),
        1 => vec(any::<char>(), 0..20).prop_map(|text| String::from_iter(text).into_bytes()),
        1 => "[ -~]{0,40}".prop_map(String::into_bytes),
    ]
}

/// Every piece on its own, in the middle and at both ends.
pub(crate) fn known() -> Vec<Vec<u8>> {
    let forms = |piece: &&str| {
        [(*piece).to_owned(), format!("a{piece}b"), format!("{piece}b"), format!("a{piece}")]
    };
    PIECES.iter().flat_map(forms).map(String::into_bytes).collect()
}

/// Values by names that every format takes.
pub(crate) fn named(values: Vec<Vec<u8>>) -> Vec<(String, SecretBytes)> {
    let name = |(index, value)| (format!("K{index}"), SecretBytes::new(value));
    values.into_iter().enumerate().map(name).collect()
}
