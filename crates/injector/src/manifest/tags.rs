//! What a tag says: as Summon finds it in anything, or strictly.

use zeroize::Zeroizing;

use super::fault::TagFault;

/// What a tag comes to, as Summon reads it.
#[derive(Default)]
pub(super) struct LooseTag {
    pub(super) var: bool,
    pub(super) file: bool,
    pub(super) default: Option<Zeroizing<String>>,
}

impl LooseTag {
    /// Summon looks for the expression `(var|file|str|int|bool|float|default='(.*)')` as often as it occurs, so
    /// `!variable` is `!var`, and a default goes up to the last quote.
    pub(super) fn read(tag: &str) -> Self {
        let mut found = Self::default();
        let mut rest = tag;
        while let Some(first) = rest.chars().next() {
            let word = ["var", "file", "str", "int", "bool", "float"]
                .into_iter()
                .find(|word| rest.starts_with(word));
            let length = match (word, quoted_default(rest)) {
                (Some(word), _) => {
                    found.var |= word == "var";
                    found.file |= word == "file";
                    word.len()
                }
                (None, Some((default, length))) => {
                    found.default = Some(Zeroizing::new(default.to_owned()));
                    length
                }
                (None, None) => first.len_utf8(),
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        found
    }
}

/// `default='…'` at the beginning: what is in it, and how long it is.
fn quoted_default(text: &str) -> Option<(&str, usize)> {
    let word = "default='";
    let line = text.strip_prefix(word)?.split('\n').next()?;
    let end = line.rfind('\'')?;
    Some((line.get(..end)?, word.len() + end + 1))
}

/// What a literal has to look like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Boolean,
    Float,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Text => "str",
            Self::Integer => "int",
            Self::Boolean => "bool",
            Self::Float => "float",
        }
    }

    /// What it is called in a message.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Integer => "an integer",
            Self::Boolean => "a boolean (true, false)",
            Self::Float => "a number",
        }
    }

    /// Whether a text is of the kind, by the core schema of YAML 1.2.
    pub(super) fn accepts(self, text: &str) -> bool {
        match self {
            Self::Text => true,
            Self::Integer => is_integer(text),
            Self::Boolean => matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE"),
            Self::Float => is_float(text),
        }
    }
}

fn is_integer(text: &str) -> bool {
    let all = |digits: &str, radix| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    match (text.strip_prefix("0o"), text.strip_prefix("0x")) {
        (Some(octal), _) => all(octal, 8),
        (_, Some(hexadecimal)) => all(hexadecimal, 16),
        _ => all(text.strip_prefix(['+', '-']).unwrap_or(text), 10),
    }
}

fn is_float(text: &str) -> bool {
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(text, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
        }
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

/// What a tag comes to, read strictly.
#[derive(Default)]
pub(super) struct StrictTag {
    pub(super) var: bool,
    pub(super) file: bool,
    pub(super) kind: Option<Kind>,
    pub(super) default: Option<Zeroizing<String>>,
    pub(super) default_on_error: Option<Zeroizing<String>>,
    pub(super) provider: Option<String>,
}

impl StrictTag {
    /// Words joined by `:`, each at most once, in any order.
    pub(super) fn read(tag: &str) -> Result<Self, TagFault> {
        let mut found = Self::default();
        if let Some(word) = tag.strip_prefix("tag:yaml.org,2002:") {
            return match kind(word) {
                Some(kind) => Ok(Self { kind: Some(kind), ..found }),
                None => Err(unknown(word)),
            };
        }
        let mut rest = Some(tag.strip_prefix('!').ok_or_else(|| unknown(tag))?);
        while let Some(words) = rest {
            rest = found.word(words)?;
        }
        found.checked()
    }

    /// Takes the first word, and says what follows its `:`.
    fn word<'t>(&mut self, words: &'t str) -> Result<Option<&'t str>, TagFault> {
        if let Some(text) = words.strip_prefix("default-on-error=") {
            let (value, rest) = quoted_or_word("default-on-error", text)?;
            return put(&mut self.default_on_error, value, "default-on-error").map(|()| rest);
        }
        if let Some(text) = words.strip_prefix("default=") {
            let (value, rest) = quoted("default", text)?;
            return put(&mut self.default, value, "default").map(|()| rest);
        }
        let (word, rest) = match words.split_once(':') {
            Some((word, rest)) => (word, Some(rest)),
            None => (words, None),
        };
        if let Some(name) = word.strip_prefix("provider=") {
            if !is_provider(name) {
                return Err(TagFault::Provider);
            }
            return put(&mut self.provider, name.to_owned(), "provider").map(|()| rest);
        }
        match (word, kind(word)) {
            ("var", _) => flag(&mut self.var, "var")?,
            ("file", _) => flag(&mut self.file, "file")?,
            (_, Some(kind)) => match self.kind {
                Some(first) => {
                    return Err(TagFault::Conflict { first: first.word(), second: kind.word() });
                }
                None => self.kind = Some(kind),
            },
            (_, None) => return Err(unknown(word)),
        }
        Ok(rest)
    }

    fn checked(self) -> Result<Self, TagFault> {
        if let (true, Some(kind)) = (self.var, self.kind) {
            return Err(TagFault::Conflict { first: "var", second: kind.word() });
        }
        if !self.var && self.default_on_error.is_some() {
            return Err(TagFault::NeedsVar { word: "default-on-error" });
        }
        if !self.var && self.provider.is_some() {
            return Err(TagFault::NeedsVar { word: "provider" });
        }
        Ok(self)
    }
}

fn kind(word: &str) -> Option<Kind> {
    [Kind::Text, Kind::Integer, Kind::Boolean, Kind::Float]
        .into_iter()
        .find(|kind| kind.word() == word)
}

fn flag(place: &mut bool, word: &'static str) -> Result<(), TagFault> {
    if *place {
        return Err(TagFault::Conflict { first: word, second: word });
    }
    *place = true;
    Ok(())
}

fn put<T>(place: &mut Option<T>, value: T, word: &'static str) -> Result<(), TagFault> {
    if place.replace(value).is_some() {
        return Err(TagFault::Conflict { first: word, second: word });
    }
    Ok(())
}

/// A value in quotes, and what follows its `:`. It ends at the first quote with a `:` or nothing behind it.
fn quoted<'t>(
    word: &'static str,
    text: &'t str,
) -> Result<(Zeroizing<String>, Option<&'t str>), TagFault> {
    let fault = TagFault::Quotes { word };
    let Some(text) = text.strip_prefix('\'') else { return Err(fault) };
    let ends = text.match_indices('\'').map(|(index, _)| index);
    for end in ends {
        let (value, rest) = text.split_at(end);
        let rest = rest.strip_prefix('\'').unwrap_or_default();
        let value = Zeroizing::new(value.to_owned());
        match rest.strip_prefix(':') {
            Some(rest) => return Ok((value, Some(rest))),
            None if rest.is_empty() => return Ok((value, None)),
            None => {}
        }
    }
    Err(fault)
}

/// The same, or a word without quotes: up to the next `:`, and not empty.
fn quoted_or_word<'t>(
    word: &'static str,
    text: &'t str,
) -> Result<(Zeroizing<String>, Option<&'t str>), TagFault> {
    if text.starts_with('\'') {
        return quoted(word, text);
    }
    let (value, rest) = match text.split_once(':') {
        Some((value, rest)) => (value, Some(rest)),
        None => (text, None),
    };
    match value.is_empty() || value.contains('\'') {
        true => Err(TagFault::Quotes { word }),
        false => Ok((Zeroizing::new(value.to_owned()), rest)),
    }
}

/// A name, never a path: whoever writes a `secrets.yml` must not thereby choose a program.
pub(super) fn is_provider(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Without what may be a value.
fn unknown(word: &str) -> TagFault {
    let name = word.split(['=', ':', '\'']).next().unwrap_or_default();
    let name = name.chars().filter(|c| !c.is_control()).take(40).collect();
    TagFault::Unknown { word: name }
}
