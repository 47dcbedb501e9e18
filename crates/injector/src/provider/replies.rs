//! What a provider prints in stream mode: one base64 line for each question, in order. No I/O.
//!
//! Strict where a mistake would put a wrong value into a variable: padded base64 of RFC 4648, section 4, and
//! nothing else in the line (one CR before its end is let pass, as Summon does); as many lines as questions,
//! each with its end. Nothing is assigned before all of it is there.

use data_encoding::BASE64;
use sealock_core::SecretBytes;

use super::MAXIMUM_VALUE;
use super::buffer::SecretBuffer;
use super::error::Refusal;

/// The longest line, without its end: the base64 of the largest value.
const MAXIMUM_LINE: usize = MAXIMUM_VALUE.div_ceil(3) * 4;

/// Reads answers as they come, in pieces of any size.
pub(super) struct Replies<'a> {
    paths: &'a [&'a str],
    values: Vec<SecretBytes>,
    line: SecretBuffer,
}

impl<'a> Replies<'a> {
    pub(super) fn to(paths: &'a [&'a str]) -> Self {
        Self { paths, values: Vec::with_capacity(paths.len()), line: SecretBuffer::default() }
    }

    /// Takes the next bytes. After a refusal nothing more is to be fed.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            if self.is_complete() {
                return Err(Refusal::TooMany { asked: self.paths.len() });
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            // One byte more, for a CR.
            if self.line.len() + part.len() > MAXIMUM_LINE + 1 {
                return Err(Refusal::TooLong { line: self.values.len() + 1 });
            }
            self.line.extend(part);
            if end.is_some() {
                self.take_line()?;
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        Ok(())
    }

    fn take_line(&mut self) -> Result<(), Refusal> {
        let number = self.values.len() + 1;
        let line = self.line.bytes();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let value = decode(line).ok_or(Refusal::NotBase64 { line: number })?;
        let asked = self.paths.get(self.values.len()).copied().unwrap_or_default();
        if !line.is_empty() && line == asked.as_bytes() {
            return Err(Refusal::Echo { line: number });
        }
        self.values.push(value);
        self.line.clear();
        Ok(())
    }

    /// How many whole lines there have been.
    pub(super) fn lines(&self) -> usize {
        self.values.len()
    }

    /// Whether each question has its line.
    pub(super) fn is_complete(&self) -> bool {
        self.values.len() == self.paths.len()
    }

    /// Whether any of the values is text, as most secrets are. What is a word by accident (`fail`, `null`,
    /// `None`) and base64 by accident comes out as something else.
    pub(super) fn any_is_text(&self) -> bool {
        self.values.iter().any(|value| is_text(value.expose()))
    }

    /// The values, when nothing more will come.
    pub(super) fn finish(self) -> Result<Vec<SecretBytes>, Refusal> {
        if self.line.len() > 0 {
            return Err(Refusal::Unterminated);
        }
        if !self.is_complete() {
            return Err(Refusal::TooFew { lines: self.values.len(), asked: self.paths.len() });
        }
        Ok(self.values)
    }
}

fn decode(line: &[u8]) -> Option<SecretBytes> {
    // The decoder takes several padded texts after one another for one.
    let first_padding = line.iter().position(|byte| *byte == b'=').unwrap_or(line.len());
    if first_padding + 2 < line.len() {
        return None;
    }
    let mut value = zeroize::Zeroizing::new(vec![0; BASE64.decode_len(line.len()).ok()?]);
    let length = BASE64.decode_mut(line, &mut value).ok()?;
    value.truncate(length);
    (length <= MAXIMUM_VALUE).then(|| SecretBytes::from(value))
}

fn is_text(value: &[u8]) -> bool {
    let control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    !value.is_empty() && std::str::from_utf8(value).is_ok_and(|text| !text.chars().any(control))
}

/// The whole of an output at once.
fn parse(bytes: &[u8], paths: &[&str]) -> Result<Vec<SecretBytes>, Refusal> {
    let mut replies = Replies::to(paths);
    replies.push(bytes)?;
    replies.finish()
}

/// The entry for fuzzing: a byte for the number of questions, one for the size of the pieces, then the output.
pub(super) fn fuzz(data: &[u8]) {
    let [asked, size, output @ ..] = data else { return };
    let paths = vec!["prod/db/password"; usize::from(*asked % 8)];
    let whole = parse(output, &paths);
    let mut pieces = Replies::to(&paths);
    let fed = output.chunks(usize::from(*size).max(1)).try_for_each(|piece| pieces.push(piece));
    assert_eq!(fed.and_then(|()| pieces.finish()), whole, "the size of the pieces mattered");
    let Ok(values) = whole else { return };
    assert_eq!(values.len(), paths.len(), "not one value for each question");
    let mut rest = output;
    for value in &values {
        assert!(value.len() <= MAXIMUM_VALUE, "a value beyond the limit");
        let line = BASE64.encode(value.expose());
        rest = rest.strip_prefix(line.as_bytes()).unwrap_or_else(|| unreachable!("another line"));
        let after = rest.strip_prefix(b"\r").unwrap_or(rest);
        rest = after.strip_prefix(b"\n").unwrap_or_else(|| unreachable!("no line end"));
    }
    assert!(rest.is_empty(), "more lines than questions");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_was_answered_comes_out(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            size in 1_usize..20,
        ) {
            let output: String = values.iter().map(|value| BASE64.encode(value) + "\n").collect();
            let paths = vec!["prod/db/password"; values.len()];
            let mut replies = Replies::to(&paths);
            for piece in output.as_bytes().chunks(size) {
                replies.push(piece).unwrap();
            }
            let found = replies.finish().unwrap();
            prop_assert!(found.iter().map(SecretBytes::expose).eq(values.iter().map(Vec::as_slice)));
        }

        #[test]
        fn any_output_is_taken_or_refused(
            asked in 0_u8..4,
            size in 1_u8..9,
            output in "[A-Z=\r\n]{0,24}",
        ) {
            fuzz(&[&[asked, size], output.as_bytes()].concat());
        }
    }

    fn values(output: &[u8], paths: &[&str]) -> Result<Vec<Vec<u8>>, Refusal> {
        let found = parse(output, paths)?;
        Ok(found.iter().map(|value| value.expose().to_vec()).collect())
    }

    #[test]
    fn answers_are_assigned_in_order_and_not_trimmed() {
        assert_eq!(values(b"", &[]), Ok(vec![]));
        assert_eq!(values(b"b25lCg==\n\nIHR3bw==\r\n", &["a", "b", "c"]), {
            Ok(vec![b"one\n".to_vec(), b"".to_vec(), b" two".to_vec()])
        });
        assert_eq!(values(b"/+8A\n", &["a"]), Ok(vec![vec![0xff, 0xef, 0]]));
        // An empty question with an empty answer is no echo.
        assert_eq!(values(b"\n", &[""]), Ok(vec![vec![]]));
    }

    #[test]
    fn anything_else_is_refused() {
        let two = &["a", "b"][..];
        let cases: [(&[u8], Refusal); 17] = [
            (b"", Refusal::TooFew { lines: 0, asked: 2 }),
            (b"b25l\n", Refusal::TooFew { lines: 1, asked: 2 }),
            (b"b25l\nb25l", Refusal::Unterminated),
            (b"b25l\nb25l\n\n", Refusal::TooMany { asked: 2 }),
            (b"b25l\nb25l\nb25l\n", Refusal::TooMany { asked: 2 }),
            (b"b25l\nb25l\nb", Refusal::TooMany { asked: 2 }),
            (b"usage: provider PATH\n", Refusal::NotBase64 { line: 1 }),
            (b"b25l\nerror\n", Refusal::NotBase64 { line: 2 }),
            // No padding, too much of it, bits in it, white space, the alphabet for URLs.
            (b"YQ\n", Refusal::NotBase64 { line: 1 }),
            (b"YQ===\n", Refusal::NotBase64 { line: 1 }),
            (b"YR==\n", Refusal::NotBase64 { line: 1 }),
            (b" b25l\n", Refusal::NotBase64 { line: 1 }),
            (b"b25l \n", Refusal::NotBase64 { line: 1 }),
            (b"b25l\r\r\n", Refusal::NotBase64 { line: 1 }),
            (b"_-8A\n", Refusal::NotBase64 { line: 1 }),
            (b"YQ==YQ==\n", Refusal::NotBase64 { line: 1 }),
            (b"b2\0l\n", Refusal::NotBase64 { line: 1 }),
        ];
        for (output, refusal) in cases {
            assert_eq!(values(output, two), Err(refusal), "{:?}", String::from_utf8_lossy(output));
        }
        assert_eq!(values(b"path\n", &["path"]), Err(Refusal::Echo { line: 1 }));
        assert_eq!(values(b"b25l\npath\n", &["path", "path"]), Err(Refusal::Echo { line: 2 }));
        assert_eq!(values(b"\n", &[]), Err(Refusal::TooMany { asked: 0 }));
    }

    #[test]
    fn the_largest_value_comes_through_and_one_byte_more_does_not() {
        let line = |size: usize| BASE64.encode(&vec![b'x'; size]) + "\n";
        let largest = values(line(MAXIMUM_VALUE).as_bytes(), &["a"]).unwrap();
        assert_eq!(largest[0].len(), MAXIMUM_VALUE);
        let refused = values(line(MAXIMUM_VALUE + 1).as_bytes(), &["a"]);
        assert_eq!(refused, Err(Refusal::NotBase64 { line: 1 }));
        // Without a line end, it is refused before it has all been kept.
        let endless = vec![b'A'; MAXIMUM_LINE + 2];
        assert_eq!(values(&endless, &["a"]), Err(Refusal::TooLong { line: 1 }));
    }

    #[test]
    fn words_are_no_text_when_decoded() {
        let any_text = |output: &[u8]| {
            let mut replies = Replies::to(&["a"]);
            replies.push(output).unwrap();
            replies.any_is_text()
        };
        for word in ["fail", "null", "None", "true", "test", "help", ""] {
            assert!(!any_text(format!("{word}\n").as_bytes()), "{word}");
        }
        assert!(any_text(b"aHVudGVyMg==\n"));
        assert!(any_text("cMOkc3N3w7ZydA0K\n".as_bytes()));
    }

    #[test]
    fn the_entry_for_fuzzing_holds_what_it_is_given() {
        for data in ["\0\x01", "\x01\x02aHVudGVyMg==\n", "\x02\x03YQ==\r\n\n", "\x01\x01fail", "x"]
        {
            fuzz(data.as_bytes());
        }
    }
}
