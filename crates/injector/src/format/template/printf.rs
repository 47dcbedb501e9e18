//! `printf`, as Go has it. What Go reports within its output (`%!d(string=…)`) is an error here.

mod write;

use super::Dialect;
use super::value::Value;
use crate::buffer::Buffer;

/// The largest width or precision, as in Go.
const WIDEST: usize = 1_000_000;

/// Why there is no result.
pub(super) enum Wrong {
    TooLong,
    Format(String),
}

impl From<String> for Wrong {
    fn from(reason: String) -> Self {
        Self::Format(reason)
    }
}

/// Flags, width and precision of one directive.
#[derive(Debug, Clone, Copy, Default)]
struct Directive {
    sharp: bool,
    zero: bool,
    plus: bool,
    minus: bool,
    space: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Writes `values` by `format`. No message shows any of the format: it may come out of a secret.
pub(super) fn printf(
    format: &[u8],
    values: &[Value<'_>],
    dialect: Dialect,
    most: usize,
) -> Result<Buffer, Wrong> {
    let mut printer = Printer { rest: format, values, next: 0, reordered: false };
    let mut out = Buffer::default();
    let mut count = 0;
    while let Some(percent) = printer.rest.iter().position(|byte| *byte == b'%') {
        let (text, rest) = printer.rest.split_at(percent);
        out.extend(text);
        printer.rest = rest.get(1..).unwrap_or_default();
        count += 1;
        let wrong = |reason| format!("directive {count} of the format: {reason}");
        let (directive, verb) = printer.directive().map_err(wrong)?;
        if verb == '%' {
            out.push(b'%');
        } else {
            let value = printer.value().map_err(wrong)?;
            write::value(value, verb, directive, dialect, &mut out).map_err(wrong)?;
        }
        if out.len() > most {
            return Err(Wrong::TooLong);
        }
    }
    out.extend(printer.rest);
    if !printer.reordered && printer.next < values.len() {
        let reason = format!("the format takes {} values of {}", printer.next, values.len());
        return Err(Wrong::Format(reason));
    }
    Ok(out)
}

struct Printer<'p, 'e> {
    rest: &'p [u8],
    values: &'p [Value<'e>],
    next: usize,
    /// Whether values were taken by number, so that some may be left.
    reordered: bool,
}

impl<'p, 'e> Printer<'p, 'e> {
    /// What stands behind a `%`.
    fn directive(&mut self) -> Result<(Directive, char), String> {
        let mut directive = Directive::default();
        while let Some(flag) = self.rest.first() {
            match flag {
                b'#' => directive.sharp = true,
                b'0' => directive.zero = true,
                b'+' => directive.plus = true,
                b'-' => directive.minus = true,
                b' ' => directive.space = true,
                _ => break,
            }
            self.skip(1);
        }
        let mut indexed = self.index()?;
        if self.rest.first() == Some(&b'*') {
            self.skip(1);
            let width = self.number_value()?;
            directive.minus |= width < 0;
            directive.zero &= width >= 0;
            directive.width = Some(width.unsigned_abs());
            indexed = false;
        } else {
            directive.width = self.number()?;
            if indexed && directive.width.is_some() {
                return Err("the number of the value has to come last".into());
            }
        }
        if self.rest.first() == Some(&b'.') {
            self.skip(1);
            if indexed {
                return Err("the number of the value has to come last".into());
            }
            indexed = self.index()?;
            if self.rest.first() == Some(&b'*') {
                self.skip(1);
                directive.precision = usize::try_from(self.number_value()?).ok();
                indexed = false;
            } else {
                directive.precision = Some(self.number()?.unwrap_or(0));
            }
        }
        if !indexed {
            self.index()?;
        }
        let chunk = self.rest.utf8_chunks().next();
        let verb = chunk.and_then(|chunk| chunk.valid().chars().next());
        let verb = verb.ok_or("there is no verb")?;
        self.skip(verb.len_utf8());
        Ok((directive, verb))
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    /// Digits.
    fn number(&mut self) -> Result<Option<usize>, String> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut number = 0_usize;
        for byte in self.rest.iter().take(digits) {
            number = number * 10 + usize::from(byte - b'0');
            if number > WIDEST {
                return Err("the width is too large".into());
            }
        }
        self.skip(digits);
        Ok((digits > 0).then_some(number))
    }

    /// `[3]`: the number of the value that is next, from 1.
    fn index(&mut self) -> Result<bool, String> {
        if self.rest.first() != Some(&b'[') {
            return Ok(false);
        }
        self.skip(1);
        let number = self.number()?.and_then(|number| number.checked_sub(1));
        match number {
            Some(number) if self.rest.first() == Some(&b']') && number < self.values.len() => {
                self.skip(1);
                self.next = number;
                self.reordered = true;
                Ok(true)
            }
            _ => Err("there is no value of that number".into()),
        }
    }

    fn value(&mut self) -> Result<&'p Value<'e>, String> {
        let value = self.values.get(self.next).ok_or("there is no value for it")?;
        self.next += 1;
        Ok(value)
    }

    /// A width or precision that is a value.
    fn number_value(&mut self) -> Result<isize, String> {
        let number = match self.value()? {
            Value::Int(number) => isize::try_from(*number).ok(),
            Value::Byte(number) => Some(isize::from(*number)),
            _ => None,
        };
        number
            .filter(|number| number.unsigned_abs() <= WIDEST)
            .ok_or_else(|| "the width is no number, or too large".into())
    }
}
