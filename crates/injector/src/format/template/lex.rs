//! A template as a row of tokens.
//!
//! White space and comments are no tokens; a token knows whether there was space before it, because `.a .b` are two
//! operands and `.a.b` is one.

/// One token, and the byte where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind<'t>,
    pub(super) at: usize,
    pub(super) space: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind<'t> {
    Text(&'t str),
    Open,
    Close,
    LeftParen,
    RightParen,
    Pipe,
    Declare,
    Assign,
    Dot,
    /// Without the dot.
    Field(&'t str),
    /// With the dollar sign.
    Variable(&'t str),
    /// A keyword or the name of a function.
    Word(&'t str),
    Number(&'t str),
    /// The three with their quotes.
    Quoted(&'t str),
    Raw(&'t str),
    Character(&'t str),
    /// A printable ASCII character that means nothing on its own, but for the comma.
    Other(char),
    End,
    /// No token begins here; nothing comes after.
    Wrong(String),
}

impl Kind<'_> {
    /// How a message calls it. The words of a template are no secrets; long ones are cut.
    pub(super) fn shown(&self) -> String {
        let quoted = |text: &str| {
            let cut: String = text.chars().take(20).collect();
            if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
        };
        match self {
            Self::Text(text) => quoted(text),
            Self::Open => "`{{`".into(),
            Self::Close => "`}}`".into(),
            Self::LeftParen => "`(`".into(),
            Self::RightParen => "`)`".into(),
            Self::Pipe => "`|`".into(),
            Self::Declare => "`:=`".into(),
            Self::Assign => "`=`".into(),
            Self::Dot => "`.`".into(),
            Self::Field(name) => quoted(&format!(".{name}")),
            Self::Variable(text)
            | Self::Word(text)
            | Self::Number(text)
            | Self::Quoted(text)
            | Self::Raw(text)
            | Self::Character(text) => quoted(text),
            Self::Other(character) => format!("{character:?}"),
            Self::End => "the end of the template".into(),
            Self::Wrong(reason) => reason.clone(),
        }
    }
}

/// All tokens; the last is [`Kind::End`] or [`Kind::Wrong`].
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new() };
    if let Err((at, reason)) = lexer.run() {
        lexer.tokens.push(Token { kind: Kind::Wrong(reason), at, space: false });
    }
    lexer.tokens
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Token<'t>>,
}

type Wrong = (usize, String);

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

/// `- ` with any white space: what follows a `{{` that trims.
fn trims_before(rest: &str) -> bool {
    rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_space))
}

impl<'t> Lexer<'t> {
    fn run(&mut self) -> Result<(), Wrong> {
        loop {
            let rest = self.rest();
            let Some(open) = rest.find("{{") else {
                self.text_token(rest);
                self.at = self.text.len();
                self.push(Kind::End, self.at, false);
                return Ok(());
            };
            let (before, from) = rest.split_at(open);
            let trims = trims_before(from.get(2..).unwrap_or_default());
            self.text_token(if trims { before.trim_end_matches(is_space) } else { before });
            let start = self.at + open;
            self.at = start + if trims { 4 } else { 2 };
            if self.rest().starts_with("/*") {
                self.comment()?;
            } else {
                self.push(Kind::Open, start, false);
                self.action()?;
            }
        }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn push(&mut self, kind: Kind<'t>, at: usize, space: bool) {
        self.tokens.push(Token { kind, at, space });
    }

    fn text_token(&mut self, text: &'t str) {
        if !text.is_empty() {
            self.push(Kind::Text(text), self.at, false);
        }
    }

    fn comment(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        let end = self.rest().find("*/").ok_or((start, "the comment has no end".to_owned()))?;
        self.at += end + 2;
        let length = self
            .close_length()
            .ok_or((start, "the comment does not end before the closing `}}`".to_owned()))?;
        self.close(length);
        Ok(())
    }

    /// The length of a `}}` here, with its trim marker.
    fn close_length(&self) -> Option<usize> {
        let rest = self.rest();
        let marked = || rest.strip_prefix(is_space)?.strip_prefix("-}}");
        if rest.starts_with("}}") { Some(2) } else { marked().map(|_| 4) }
    }

    /// Goes behind a `}}`, and behind the space that it trims.
    fn close(&mut self, length: usize) {
        self.at += length;
        if length > 2 {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start_matches(is_space).len();
        }
    }

    /// What is within the braces, with the closing ones.
    fn action(&mut self) -> Result<(), Wrong> {
        let mut open_parens = 0_usize;
        let mut space = false;
        loop {
            let start = self.at;
            if let Some(length) = self.close_length() {
                if open_parens > 0 {
                    return Err((start, "a parenthesis is not closed".into()));
                }
                self.push(Kind::Close, start, space);
                self.close(length);
                return Ok(());
            }
            let Some(first) = self.rest().chars().next() else {
                return Err((start, "the action has no end".into()));
            };
            if is_space(first) {
                space = true;
                self.at += 1;
                continue;
            }
            match first {
                '(' => open_parens += 1,
                ')' if open_parens == 0 => {
                    return Err((start, "a closing parenthesis too many".into()));
                }
                ')' => open_parens -= 1,
                _ => {}
            }
            let kind = self.token(first)?;
            self.push(kind, start, space);
            space = false;
        }
    }

    fn token(&mut self, first: char) -> Result<Kind<'t>, Wrong> {
        let start = self.at;
        let rest = self.rest();
        let next = rest.chars().nth(1);
        let single = match first {
            '(' => Some(Kind::LeftParen),
            ')' => Some(Kind::RightParen),
            '|' => Some(Kind::Pipe),
            '=' => Some(Kind::Assign),
            _ => None,
        };
        if let Some(kind) = single {
            self.at += 1;
            return Ok(kind);
        }
        match first {
            ':' if next == Some('=') => {
                self.at += 2;
                Ok(Kind::Declare)
            }
            ':' => Err((start, "a `:` that is not `:=`".into())),
            '"' => self.quoted('"').map(Kind::Quoted),
            '\'' => self.quoted('\'').map(Kind::Character),
            '`' => self.raw(),
            '$' => self.word_from(1).map(Kind::Variable),
            '.' if !next.is_some_and(|c| c.is_ascii_digit()) => {
                let text = self.word_from(1)?;
                Ok(text.get(1..).filter(|name| !name.is_empty()).map_or(Kind::Dot, Kind::Field))
            }
            '.' | '+' | '-' | '0'..='9' => self.number(),
            _ if is_word(first) => self.word_from(0).map(Kind::Word),
            ' '..='~' => {
                self.at += 1;
                Ok(Kind::Other(first))
            }
            other => Err((start, format!("the character {other:?} means nothing here"))),
        }
    }

    /// `skip` bytes and the word behind them, which must end where a word may end.
    fn word_from(&mut self, skip: usize) -> Result<&'t str, Wrong> {
        let rest = self.rest();
        let length = rest.get(skip..).unwrap_or_default().find(|c| !is_word(c));
        let length = length.map_or(rest.len(), |length| length + skip);
        let (word, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        let may_end = after.is_empty()
            || after.starts_with(|c| is_space(c) || ".,|:)(".contains(c))
            || after.starts_with("}}");
        self.at += length;
        if may_end {
            return Ok(word);
        }
        let bad = after.chars().next().unwrap_or_default();
        Err((self.at, format!("the character {bad:?} cannot follow a name")))
    }

    fn quoted(&mut self, quote: char) -> Result<&'t str, Wrong> {
        let rest = self.rest();
        let mut escaped = false;
        for (at, character) in rest.char_indices().skip(1) {
            match character {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if character == quote => {
                    self.at += at + 1;
                    return Ok(rest.get(..=at).unwrap_or_default());
                }
                _ => {}
            }
        }
        Err((self.at, "the quotes are not closed on this line".into()))
    }

    fn raw(&mut self) -> Result<Kind<'t>, Wrong> {
        let rest = self.rest();
        let end = rest.get(1..).unwrap_or_default().find('`');
        let end = end.ok_or((self.at, "the raw quotes are not closed".to_owned()))?;
        self.at += end + 2;
        Ok(Kind::Raw(rest.get(..end + 2).unwrap_or_default()))
    }

    /// What looks like a number; [`super::number`] says whether it is one.
    fn number(&mut self) -> Result<Kind<'t>, Wrong> {
        let rest = self.rest();
        let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        let hex = unsigned.starts_with("0x") || unsigned.starts_with("0X");
        let mut length = rest.len() - unsigned.len();
        let mut before = ' ';
        for character in unsigned.chars() {
            let exponent = matches!((before, hex), ('e' | 'E', false) | ('p' | 'P', true));
            if !(is_word(character) || character == '.' || exponent && "+-".contains(character)) {
                break;
            }
            length += character.len_utf8();
            before = character;
        }
        self.at += length;
        if self.rest().starts_with(['+', '-']) {
            return Err((self.at, "complex numbers are not known here".into()));
        }
        Ok(Kind::Number(rest.get(..length).unwrap_or_default()))
    }
}
