//! PEM (RFC 7468), as it is found: blocks with text between them, any line ends, a byte order mark, UTF-16.

use data_encoding::{BASE64, Encoding, Specification};
use std::sync::LazyLock;
use zeroize::Zeroizing;

use crate::error::ReadError;

/// What a block says it is, and its bytes.
pub(crate) struct Block<'a> {
    pub(crate) label: &'a str,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// More blocks than any file has that is read here.
const MAXIMUM_BLOCKS: usize = 1000;

/// Base64 with any white space in it, and bits left over at the end as some write them.
static BASE64_LINES: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification: Specification = BASE64.specification();
    specification.ignore.push_str(" \t\r\n\u{b}\u{c}");
    specification.check_trailing_bits = false;
    // What the specification is made of is right.
    specification.encoding().unwrap_or(BASE64)
});

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// The text of a file, without its byte order mark. `None` when it is no text.
pub(crate) fn text(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, []) = bytes.as_chunks::<2>() else { return None };
        let mut text = Zeroizing::new(String::with_capacity(3 * units.len()));
        for decoded in char::decode_utf16(units.iter().map(|bytes| unit(*bytes))) {
            text.push(decoded.ok()?);
        }
        Some(text)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => {
            std::str::from_utf8(rest).ok().map(|text| Zeroizing::new(text.to_owned()))
        }
    }
}

/// The text of a file that has PEM in it, where what stands around the blocks may be in any encoding.
pub(crate) fn text_around(bytes: &[u8]) -> Option<Zeroizing<String>> {
    text(bytes).or_else(|| {
        let begins = bytes.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes());
        begins.then(|| Zeroizing::new(String::from_utf8_lossy(bytes).into_owned()))
    })
}

/// Whether there is a block in it.
pub(crate) fn has_blocks(text: &str) -> bool {
    text.contains(BEGIN)
}

/// All blocks for which `wanted` holds.
pub(crate) fn blocks<'a>(
    text: &'a str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Block<'a>>, ReadError> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut count = 0;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        count += 1;
        if count > MAXIMUM_BLOCKS {
            return Err(ReadError::Damaged("there are too many PEM blocks in it"));
        }
        let (label, after) = label(after)?;
        const NO_END: ReadError = ReadError::Damaged("a PEM block has no end");
        let (body, after) = after.split_once(END).ok_or(NO_END)?;
        let (ended, after) = self::label(after)?;
        if ended != label {
            return Err(ReadError::Damaged("a PEM block ends as another than it began"));
        }
        if wanted(label) {
            found.push(Block { label, der: body_of(body)? });
        }
        rest = after;
    }
    Ok(found)
}

fn label(text: &str) -> Result<(&str, &str), ReadError> {
    text.split_once(DASHES)
        .filter(|(label, _)| {
            label.len() <= 64 && label.chars().all(|c| c.is_ascii_graphic() || c == ' ')
        })
        .ok_or(ReadError::Damaged("a PEM block has no name"))
}

fn body_of(body: &str) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    // OpenSSL's older encryption of keys, by headers in the block (RFC 1421).
    if body.contains("Proc-Type:") {
        return Err(ReadError::Unsupported("OpenSSL's old encryption of PEM".to_owned()));
    }
    base64(body).ok_or(ReadError::Damaged("a PEM block is not base64"))
}

/// Base64 without anything around it.
pub(crate) fn base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    BASE64_LINES.decode(text.as_bytes()).ok().map(Zeroizing::new)
}

/// One block, its lines 64 characters long.
pub(crate) fn write(label: &str, der: &[u8], into: &mut String) {
    let text = Zeroizing::new(BASE64.encode(der));
    into.push_str(BEGIN);
    into.push_str(label);
    into.push_str("-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        into.push_str(line);
        into.push('\n');
        rest = after;
    }
    into.push_str(END);
    into.push_str(label);
    into.push_str("-----\n");
}
