//! Numbers, characters and quoted text, as Go writes them.

/// A number without a type of its own: Go goes by how it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

/// Reads `12`, `0x1f`, `0o17`, `017`, `0b1`, `1_000`, `1.5`, `1e3`.
pub(super) fn number(text: &str) -> Result<Number, String> {
    let wrong = || format!("{:?} is no number", text.chars().take(40).collect::<String>());
    if text.ends_with('i') {
        return Err("complex numbers are not known here".into());
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    let prefix: String = unsigned.chars().take(2).collect::<String>().to_ascii_lowercase();
    let (radix, digits) = match prefix.as_str() {
        "0x" => (16, unsigned.get(2..)),
        "0o" => (8, unsigned.get(2..)),
        "0b" => (2, unsigned.get(2..)),
        _ if unsigned.len() > 1 && unsigned.starts_with('0') => (8, unsigned.get(1..)),
        _ => (10, Some(unsigned)),
    };
    let digits = digits.unwrap_or_default();
    let prefixed = radix != 10;
    if let Some(plain) = without_underscores(digits, prefixed)
        && plain.chars().all(|c| c.is_digit(radix))
    {
        // The most negative number has no positive twin.
        let signed = if negative { format!("-{plain}") } else { plain };
        return i64::from_str_radix(&signed, radix)
            .map(Number::Int)
            .map_err(|_| format!("{} is too large for a number", text.get(..40).unwrap_or(text)));
    }
    let decimal = matches!(prefix.as_str(), "0x" | "0o" | "0b") || unsigned.contains('_');
    let float = unsigned.contains(['.', 'e', 'E'])
        && unsigned.chars().all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
    if decimal || !float {
        return Err(wrong());
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Number::Float(number)),
        _ => Err(wrong()),
    }
}

/// Single underscores between digits, and one after a prefix.
fn without_underscores(digits: &str, prefixed: bool) -> Option<String> {
    let inner = if prefixed { digits.strip_prefix('_').unwrap_or(digits) } else { digits };
    let bad =
        inner.is_empty() || inner.starts_with('_') || inner.ends_with('_') || inner.contains("__");
    (!bad).then(|| inner.replace('_', ""))
}

/// What stands between double quotes or back quotes.
pub(super) fn text(quoted: &str) -> Result<Vec<u8>, String> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if quoted.starts_with('`') {
        return Ok(inner.replace('\r', "").into_bytes());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while !rest.is_empty() {
        let (piece, after) = unescape(rest, '"')?;
        match piece {
            Piece::Byte(byte) => out.push(byte),
            Piece::Character(one) => out.extend(one.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = after;
    }
    Ok(out)
}

/// The number of a character in single quotes.
pub(super) fn character(quoted: &str) -> Result<i64, String> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    match unescape(inner, '\'')? {
        (Piece::Byte(byte), "") => Ok(i64::from(byte)),
        (Piece::Character(one), "") => Ok(i64::from(u32::from(one))),
        _ => Err("single quotes hold one character".into()),
    }
}

enum Piece {
    Byte(u8),
    Character(char),
}

/// The first character, or what the escape there stands for, and the rest.
fn unescape(text: &str, quote: char) -> Result<(Piece, &str), String> {
    let mut characters = text.chars();
    let first = characters.next().ok_or("there is nothing in the quotes")?;
    if first != '\\' {
        return Ok((Piece::Character(first), characters.as_str()));
    }
    let wrong = || "an escape that Go does not know".to_owned();
    let escape = characters.next().ok_or_else(wrong)?;
    let rest = characters.as_str();
    let simple = match escape {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '\\' => '\\',
        _ if escape == quote => quote,
        'x' | 'u' | 'U' | '0'..='7' => return numbered(text, escape).ok_or_else(wrong),
        _ => return Err(wrong()),
    };
    Ok((Piece::Character(simple), rest))
}

/// `\xNN`, `\NNN`, `\uNNNN`, `\UNNNNNNNN`.
fn numbered(text: &str, escape: char) -> Option<(Piece, &str)> {
    let (skip, length, radix) = match escape {
        'x' => (2, 2, 16),
        'u' => (2, 4, 16),
        'U' => (2, 8, 16),
        _ => (1, 3, 8),
    };
    let digits = text.get(skip..skip + length)?;
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let number = u32::from_str_radix(digits, radix).ok()?;
    let piece = match escape {
        'u' | 'U' => Piece::Character(char::from_u32(number)?),
        _ => Piece::Byte(u8::try_from(number).ok()?),
    };
    Some((piece, text.get(skip + length..)?))
}
