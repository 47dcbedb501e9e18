//! One value by one directive.

use std::fmt::Write as _;

use super::super::print;
use super::super::value::Value;
use super::{Dialect, Directive};
use crate::buffer::Buffer;
use crate::format::quote;

/// The library formats no float with a larger precision than a 16-bit number; none has that many digits.
const MOST_FLOAT_DIGITS: usize = 1100;

/// # Errors
/// A verb that does not go with the value.
pub(super) fn value(
    value: &Value<'_>,
    verb: char,
    directive: Directive,
    dialect: Dialect,
    out: &mut Buffer,
) -> Result<(), String> {
    let unfit = || Err(format!("{} cannot be written by this verb", value.kind()));
    match (value, verb) {
        // Go shows the name of Summon's own type.
        (Value::NoSecret | Value::Secret(_), 'v') if directive.sharp => return unfit(),
        (Value::Nothing | Value::NoSecret, 'v') => {
            let mut shown = Buffer::default();
            print::nothing("<nil>", dialect, &mut shown)?;
            directive.pad(shown.as_slice(), out);
        }
        (_, 'T') => {
            let Some(name) = type_name(value) else { return unfit() };
            directive.text(name.as_bytes(), out);
        }
        (Value::Bool(truth), 't' | 'v') => directive.pad(truth.to_string().as_bytes(), out),
        (Value::Int(number), _) => {
            if !directive.integer(*number < 0, number.unsigned_abs(), verb, out) {
                return unfit();
            }
        }
        (Value::Byte(number), 'v') if directive.sharp => {
            let directive = Directive { plus: false, ..directive };
            directive.integer(false, u64::from(*number), 'x', out);
        }
        (Value::Byte(number), _) => {
            if !directive.integer(false, u64::from(*number), verb, out) {
                return unfit();
            }
        }
        (Value::Float(number), _) => return directive.float(*number, verb, out),
        (Value::Text(text), _) => {
            if !directive.text_by(text.bytes(), verb, out) {
                return unfit();
            }
        }
        (Value::Secret(secret), 'v' | 's' | 'x' | 'X' | 'q') => {
            let named = verb == 'v' && directive.plus;
            let fields = [(&b"Alias:"[..], secret.alias.as_bytes()), (b"Value:", secret.value)];
            out.extend(b"&");
            for ((name, field), before) in fields.into_iter().zip([b'{', b' ']) {
                out.push(before);
                if named {
                    out.extend(name);
                }
                directive.text_by(field, verb, out);
            }
            out.push(b'}');
        }
        _ => return unfit(),
    }
    Ok(())
}

/// What Go calls the type, where that is not a name of Summon's own.
fn type_name(value: &Value<'_>) -> Option<&'static str> {
    match value {
        Value::Nothing => Some("<nil>"),
        Value::Bool(_) => Some("bool"),
        Value::Int(_) => Some("int"),
        Value::Byte(_) => Some("uint8"),
        Value::Float(_) => Some("float64"),
        Value::Text(_) => Some("string"),
        _ => None,
    }
}

/// Characters as Go counts them: each byte that is not UTF-8 is one.
fn count(text: &[u8]) -> usize {
    text.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum()
}

impl Directive {
    /// Fills up to the width, with zeros if asked for and on the left.
    fn pad(self, text: &[u8], out: &mut Buffer) {
        let missing = self.width.unwrap_or(0).saturating_sub(count(text));
        if self.minus {
            out.extend(text);
            out.fill(b' ', missing);
        } else {
            out.fill(if self.zero { b'0' } else { b' ' }, missing);
            out.extend(text);
        }
    }

    fn text(self, text: &[u8], out: &mut Buffer) {
        self.pad(self.cut(text), out);
    }

    /// At most as many characters as the precision says.
    fn cut(self, text: &[u8]) -> &[u8] {
        let Some(mut left) = self.precision else { return text };
        let mut length = 0;
        for chunk in text.utf8_chunks() {
            for character in chunk.valid().chars() {
                if left == 0 {
                    return text.get(..length).unwrap_or(text);
                }
                left -= 1;
                length += character.len_utf8();
            }
            let bytes = chunk.invalid().len().min(left);
            left -= bytes;
            length += bytes;
        }
        text.get(..length).unwrap_or(text)
    }

    /// Whether the verb goes with a text.
    fn text_by(self, text: &[u8], verb: char, out: &mut Buffer) -> bool {
        match verb {
            's' => self.text(text, out),
            'v' if self.sharp => Self { sharp: false, plus: false, ..self }.quoted(text, out),
            'v' => self.text(text, out),
            'q' => self.quoted(text, out),
            'x' | 'X' => self.hex(text, verb == 'X', out),
            _ => return false,
        }
        true
    }

    fn quoted(self, text: &[u8], out: &mut Buffer) {
        let text = self.cut(text);
        let mut quoted = Buffer::with_capacity(text.len() + 2);
        if self.sharp && fits_back_quotes(text) {
            quoted.push(b'`');
            quoted.extend(text);
            quoted.push(b'`');
        } else if self.plus {
            quote::quoted_ascii(text, &mut quoted);
        } else {
            quote::quoted(text, &mut quoted);
        }
        self.pad(quoted.as_slice(), out);
    }

    /// The bytes as hexadecimal digits, as many as the precision says.
    fn hex(self, text: &[u8], upper: bool, out: &mut Buffer) {
        let text = text.get(..self.precision.unwrap_or(text.len())).unwrap_or(text);
        let mut digits = Buffer::with_capacity(text.len() * 2);
        for (index, byte) in text.iter().enumerate() {
            if index > 0 && self.space {
                digits.push(b' ');
            }
            if self.sharp && (index == 0 || self.space) {
                digits.extend(if upper { b"0X" } else { b"0x" });
            }
            let _ = if upper { write!(digits, "{byte:02X}") } else { write!(digits, "{byte:02x}") };
        }
        self.pad(digits.as_slice(), out);
    }

    /// Whether the verb goes with an integer.
    fn integer(self, negative: bool, number: u64, verb: char, out: &mut Buffer) -> bool {
        let digits = match verb {
            'd' | 'v' => number.to_string(),
            'b' => format!("{number:b}"),
            'o' | 'O' => format!("{number:o}"),
            'x' => format!("{number:x}"),
            'X' => format!("{number:X}"),
            'c' | 'q' => {
                self.character(negative, number, verb == 'q', out);
                return true;
            }
            'U' => {
                self.code_point(negative, number, out);
                return true;
            }
            _ => return false,
        };
        // `%+v` and `%#v` ask for another form of structures, not for signs and prefixes.
        let (plus, sharp) = if verb == 'v' { (false, false) } else { (self.plus, self.sharp) };
        if self.precision == Some(0) && number == 0 {
            out.fill(b' ', self.width.unwrap_or(0));
            return true;
        }
        let sign = match negative {
            true => "-",
            false if plus => "+",
            false if self.space => " ",
            false => "",
        };
        let zeros = self.zero && !self.minus && self.precision.is_none();
        let wanted = match self.precision {
            Some(precision) => precision,
            None if zeros => self.width.unwrap_or(0).saturating_sub(sign.len()),
            None => 0,
        };
        let mut text = "0".repeat(wanted.saturating_sub(digits.len())) + &digits;
        if sharp {
            match verb {
                'b' => text.insert_str(0, "0b"),
                'o' | 'O' if !text.starts_with('0') => text.insert(0, '0'),
                'x' => text.insert_str(0, "0x"),
                'X' => text.insert_str(0, "0X"),
                _ => {}
            }
        }
        if verb == 'O' {
            text.insert_str(0, "0o");
        }
        text.insert_str(0, sign);
        Self { zero: false, ..self }.pad(text.as_bytes(), out);
        true
    }

    fn character(self, negative: bool, number: u64, quoted: bool, out: &mut Buffer) {
        let valid = u32::try_from(number).ok().filter(|_| !negative).and_then(char::from_u32);
        let character = valid.unwrap_or('\u{fffd}');
        if quoted {
            let mut text = Buffer::default();
            quote::quoted_char(character, self.plus, &mut text);
            self.pad(text.as_slice(), out);
        } else {
            self.pad(character.encode_utf8(&mut [0; 4]).as_bytes(), out);
        }
    }

    fn code_point(self, negative: bool, number: u64, out: &mut Buffer) {
        let number = if negative { number.wrapping_neg() } else { number };
        let digits = self.precision.unwrap_or(4).max(4);
        let mut text = format!("{number:X}");
        text.insert_str(0, &"0".repeat(digits.saturating_sub(text.len())));
        text.insert_str(0, "U+");
        let character = u32::try_from(number).ok().and_then(char::from_u32);
        if let Some(character) = character.filter(|one| self.sharp && quote::is_printable(*one)) {
            let _ = write!(text, " '{character}'");
        }
        Self { zero: false, ..self }.pad(text.as_bytes(), out);
    }

    fn float(self, number: f64, verb: char, out: &mut Buffer) -> Result<(), String> {
        if self.precision.is_some_and(|precision| precision > MOST_FLOAT_DIGITS) {
            return Err("the precision is too large".into());
        }
        if self.sharp && verb != 'v' {
            return Err("floats know no `#`".into());
        }
        let magnitude = number.abs();
        let mut text = match verb.to_ascii_lowercase() {
            'g' | 'v' if verb != 'V' => match self.precision {
                None => print::float(magnitude),
                Some(precision) => {
                    let digits = precision.max(1);
                    let most = i32::try_from(digits).unwrap_or(i32::MAX);
                    print::layout(&format!("{magnitude:.*e}", digits - 1), most)
                }
            },
            'e' => print::exponential(&format!("{magnitude:.*e}", self.precision.unwrap_or(6))),
            'f' => format!("{magnitude:.*}", self.precision.unwrap_or(6)),
            _ => return Err("a float cannot be written by this verb".into()),
        };
        if matches!(verb, 'E' | 'G') {
            text.make_ascii_uppercase();
        }
        let sign = match number.is_sign_negative() {
            true => "-",
            false if self.plus && verb != 'v' => "+",
            false if self.space => " ",
            false => "",
        };
        if self.zero && !self.minus {
            let missing = self.width.unwrap_or(0).saturating_sub(sign.len() + text.len());
            text.insert_str(0, &"0".repeat(missing));
        }
        text.insert_str(0, sign);
        Self { zero: false, ..self }.pad(text.as_bytes(), out);
        Ok(())
    }
}

/// Go's raw text: no control characters but the tab, no back quote, and UTF-8.
fn fits_back_quotes(text: &[u8]) -> bool {
    let control = |c: char| c < ' ' && c != '\t' || c == '\x7f';
    std::str::from_utf8(text)
        .is_ok_and(|text| !text.chars().any(|c| control(c) || c == '`' || c == '\u{feff}'))
}
