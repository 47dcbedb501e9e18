//! Calls of functions.

use data_encoding::{BASE64, BASE64_NOPAD, DecodePartial, Encoding};
use zeroize::Zeroizing;

use super::compare;
use super::error::Fault;
use super::eval::{Result, Run};
use super::functions::Function;
use super::print::{self, Escape, Place};
use super::printf;
use super::tree::{Operand, Term};
use super::value::{Text, Value};
use crate::buffer::Buffer;

impl<'e> Run<'e> {
    /// A function with its arguments; `last` is the value that comes through a pipeline.
    pub(super) fn call(
        &mut self,
        dot: &Value<'e>,
        function: Function,
        at: usize,
        operands: &'e [Operand<'e>],
        last: Option<Value<'e>>,
    ) -> Result<Value<'e>> {
        let count = operands.len() + usize::from(last.is_some());
        let (least, most) = function.arity();
        if count < least || most.is_some_and(|most| count > most) {
            let wanted = if most == Some(least) { "" } else { "at least " };
            let reason = format!("the function wants {wanted}{least} arguments, not {count}");
            return Err(Fault::run(at, reason));
        }
        if let Function::And | Function::Or = function {
            return self.until(dot, function == Function::Or, operands, last);
        }
        let mut values = Vec::with_capacity(count);
        for operand in operands {
            values.push(self.operand(dot, operand)?);
        }
        values.extend(last);
        let bytes = values.iter().map(|value| match value {
            Value::Text(text) => text.bytes().len(),
            _ => 0,
        });
        self.charge(bytes.sum(), at)?;
        match (function, values.as_slice()) {
            (Function::Secret, [alias]) => self.secret_value(alias, operands, at),
            (Function::Not, [value]) => Ok(Value::Bool(!value.is_true(self.secrets.len()))),
            (Function::Length, [value]) => self.length(value).map_err(|it| Fault::run(at, it)),
            (Function::Index, [value, path @ ..]) => self.index(value, path, at),
            (Function::Slice, [value, bounds @ ..]) => self.slice(value, bounds, at),
            (Function::Base64Encode, [value]) => {
                let encoded = Zeroizing::new(BASE64.encode(bytes_of(value, at)?).into_bytes());
                self.copied(&encoded, at)
            }
            (Function::Base64Decode, [value]) => {
                let decoded = decoded(bytes_of(value, at)?);
                let decoded = decoded.ok_or_else(|| Fault::run(at, "this is no base64"))?;
                self.copied(&decoded, at)
            }
            (Function::HtmlEncode, [value]) => {
                let mut out = Buffer::default();
                print::escaped(bytes_of(value, at)?, Escape::HtmlEncode, &mut out);
                self.made(out, at)
            }
            (Function::Html, values) => self.escaped(values, Escape::Html, at),
            (Function::Js, values) => self.escaped(values, Escape::Js, at),
            (Function::UrlQuery, values) => self.escaped(values, Escape::UrlQuery, at),
            (Function::Print, values) => self.printed(values, Place::Print, at),
            (Function::Println, values) => self.printed(values, Place::Println, at),
            (Function::Printf, [format, values @ ..]) => {
                let format = bytes_of(format, at)?;
                let out = printf::printf(format, values, self.dialect, self.limits.output)
                    .map_err(|reason| match reason {
                        printf::Wrong::TooLong => self.too_long(at),
                        printf::Wrong::Format(reason) => Fault::run(at, reason),
                    })?;
                self.made(out, at)
            }
            (function, values) => compare::compare(function, values)
                .map(Value::Bool)
                .map_err(|reason| Fault::run(at, reason)),
        }
    }

    /// `and` and `or`: arguments up to the one that decides, or the last.
    fn until(
        &mut self,
        dot: &Value<'e>,
        wanted: bool,
        operands: &'e [Operand<'e>],
        last: Option<Value<'e>>,
    ) -> Result<Value<'e>> {
        let mut value = Value::Nothing;
        for operand in operands {
            value = self.operand(dot, operand)?;
            if value.is_true(self.secrets.len()) == wanted {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    /// An alias is named in the message only where it stands in the template: one that was computed may be a secret.
    fn secret_value(
        &self,
        alias: &Value<'e>,
        operands: &'e [Operand<'e>],
        at: usize,
    ) -> Result<Value<'e>> {
        let bytes = bytes_of(alias, at)?;
        if let Some(secret) = self.secret(bytes) {
            return Ok(Value::Text(Text::Borrowed(secret.value)));
        }
        let literal = match operands {
            [Operand { term: Term::Text(text), .. }] => Some(String::from_utf8_lossy(text)),
            _ => None,
        };
        Err(Fault::run(
            at,
            match literal {
                Some(alias) => {
                    let alias: String = alias.chars().take(80).collect();
                    format!("there is no secret {alias:?} in this file")
                }
                None => "there is no secret of this alias in this file".to_owned(),
            },
        ))
    }

    fn length(&self, value: &Value<'e>) -> std::result::Result<Value<'e>, String> {
        let length = match value {
            Value::Text(text) => text.bytes().len(),
            Value::List(list) => list.len(),
            Value::Map => self.secrets.len(),
            other => return Err(format!("{} has no length", other.kind())),
        };
        Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
    }

    fn index(&self, value: &Value<'e>, path: &[Value<'e>], at: usize) -> Result<Value<'e>> {
        if let Value::Nothing = value {
            return Err(Fault::run(at, "nil has nothing in it"));
        }
        let mut value = value.clone();
        for key in path {
            value = match (&value, key) {
                (Value::Text(text), key) => {
                    let byte = text.bytes().get(place(key, at)?).copied();
                    Value::Byte(byte.ok_or_else(|| out_of_range(at))?)
                }
                (Value::List(list), key) => {
                    let secret = list.get(place(key, at)?).copied();
                    Value::Secret(secret.ok_or_else(|| out_of_range(at))?)
                }
                (Value::Map, Value::Text(alias)) => {
                    self.secret(alias.bytes()).map_or(Value::NoSecret, Value::Secret)
                }
                (Value::Map, _) => return Err(Fault::run(at, "an alias is a text")),
                (other, _) => {
                    return Err(Fault::run(at, format!("{} has nothing in it", other.kind())));
                }
            };
        }
        Ok(value)
    }

    fn slice(&mut self, value: &Value<'e>, bounds: &[Value<'e>], at: usize) -> Result<Value<'e>> {
        let (length, most) = match value {
            Value::Text(text) => (text.bytes().len(), 2),
            Value::List(list) => (list.len(), 3),
            other => {
                return Err(Fault::run(at, format!("there is no slice of {}", other.kind())));
            }
        };
        if bounds.len() > most {
            return Err(Fault::run(at, "there are too many bounds"));
        }
        let mut places = [0, length, length];
        for (place_of, bound) in places.iter_mut().zip(bounds) {
            *place_of = place(bound, at)?;
            if *place_of > length {
                return Err(out_of_range(at));
            }
        }
        let [from, to, capacity] = places;
        if from > to || to > capacity {
            return Err(Fault::run(at, "the bounds are the wrong way round"));
        }
        match value {
            Value::Text(Text::Borrowed(bytes)) => {
                Ok(Value::Text(Text::Borrowed(bytes.get(from..to).unwrap_or_default())))
            }
            Value::List(list) => Ok(Value::List(list.get(from..to).unwrap_or_default())),
            other => {
                let bytes = bytes_of(other, at)?.get(from..to).unwrap_or_default();
                self.copied(bytes, at)
            }
        }
    }

    fn escaped(&mut self, values: &[Value<'e>], escape: Escape, at: usize) -> Result<Value<'e>> {
        let mut out = Buffer::default();
        if let [Value::Text(text)] = values {
            print::escaped(text.bytes(), escape, &mut out);
        } else {
            let mut text = Buffer::default();
            print::values(values, Place::Escape, self.dialect, &mut text)
                .map_err(|reason| Fault::run(at, reason))?;
            print::escaped(text.as_slice(), escape, &mut out);
        }
        self.made(out, at)
    }

    fn printed(&mut self, values: &[Value<'e>], place: Place, at: usize) -> Result<Value<'e>> {
        let mut out = Buffer::default();
        print::values(values, place, self.dialect, &mut out)
            .map_err(|reason| Fault::run(at, reason))?;
        self.made(out, at)
    }

    fn copied(&mut self, bytes: &[u8], at: usize) -> Result<Value<'e>> {
        let mut out = Buffer::with_capacity(bytes.len());
        out.extend(bytes);
        self.made(out, at)
    }
}

fn bytes_of<'v>(value: &'v Value<'_>, at: usize) -> Result<&'v [u8]> {
    match value {
        Value::Text(text) => Ok(text.bytes()),
        other => Err(Fault::run(at, format!("the function wants a text, not {}", other.kind()))),
    }
}

fn place(value: &Value<'_>, at: usize) -> Result<usize> {
    match value {
        Value::Int(number) => usize::try_from(*number).map_err(|_| out_of_range(at)),
        Value::Byte(number) => Ok(usize::from(*number)),
        other => Err(Fault::run(at, format!("a place is a number, not {}", other.kind()))),
    }
}

fn out_of_range(at: usize) -> Fault {
    Fault::run(at, "there is nothing at this place")
}

/// As Go's standard encoding: padded, line ends passed over, the spare bits of the last character whatever they are.
fn decoded(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(text.len()));
    plain.extend(text.iter().filter(|byte| !b"\r\n".contains(byte)));
    let length = plain.len();
    let padding = plain.iter().rev().take_while(|byte| **byte == b'=').count();
    if length % 4 != 0 || padding > 2 {
        return None;
    }
    plain.truncate(length - padding);
    let encoding = lenient()?;
    let mut out = Zeroizing::new(vec![0; encoding.decode_len(plain.len()).ok()?]);
    match encoding.decode_mut(&plain, &mut out) {
        Ok(length) => out.truncate(length),
        Err(DecodePartial { .. }) => return None,
    }
    Some(out)
}

fn lenient() -> Option<Encoding> {
    let mut specification = BASE64_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.encoding().ok()
}
