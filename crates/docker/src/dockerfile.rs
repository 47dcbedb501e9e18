//! What a Dockerfile wants, read strictly and written anew.
//!
//! [`Dockerfile::parse`] takes the file apart, [`Dockerfile::wants`] says which images it takes and what else policy
//! decides on, and after [`Dockerfile::pin`] has put the ids of those images in the place of their names,
//! [`Dockerfile::emit`] writes what the engine gets: one instruction in a line, no comment, no directive, no
//! continuation. So what the engine reads is what was decided on, also where its versions read the original in
//! different ways; and what only some of them understand (here-documents, another escape character, flags of `RUN`)
//! is refused.
//!
//! It is the format of the classic builder, as the engine's own `builder/dockerfile` reads it. BuildKit's builds do
//! not come here.
//!
//! Invariants, which the fuzz target and the tests hold: nothing panics; what is written reads as the same
//! instructions; no image is named in what is written but by an id, `scratch`, or an earlier stage.
//!
//! **What an attacker controls:** every byte, the values of build arguments, and the `ONBUILD` instructions of images.

mod error;
mod fuzz;
mod lines;
#[cfg(test)]
mod tests;
mod variables;
mod wants;
mod words;

use std::fmt::Write as _;

pub use error::{DockerfileError, Fault};
pub use fuzz::fuzz;
pub use wants::{BuildArguments, Wanted, Wants};

use lines::Logical;

/// Bytes of a Dockerfile; the largest in public use have a tenth.
pub const MOST_BYTES: usize = 1 << 20;
/// Bytes of one instruction, when its lines are joined: the engine reads no longer line.
const LONGEST: usize = 60_000;
/// Instructions of one file.
const MOST_INSTRUCTIONS: usize = 10_000;

/// A Dockerfile, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    instructions: Vec<Instruction>,
}

/// One instruction, as it stood on one line or several.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Instruction {
    /// Where it began, from 1.
    line: usize,
    keyword: Keyword,
    flags: Vec<Flag>,
    /// What stands after them.
    rest: String,
}

/// `--name=value`, or `--name`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Flag {
    name: String,
    value: Option<String>,
}

/// The instructions of the classic builder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keyword {
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
}

impl Keyword {
    const ALL: [Self; 18] = [
        Self::Add,
        Self::Arg,
        Self::Cmd,
        Self::Copy,
        Self::Entrypoint,
        Self::Env,
        Self::Expose,
        Self::From,
        Self::Healthcheck,
        Self::Label,
        Self::Maintainer,
        Self::OnBuild,
        Self::Run,
        Self::Shell,
        Self::StopSignal,
        Self::User,
        Self::Volume,
        Self::Workdir,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Arg => "ARG",
            Self::Cmd => "CMD",
            Self::Copy => "COPY",
            Self::Entrypoint => "ENTRYPOINT",
            Self::Env => "ENV",
            Self::Expose => "EXPOSE",
            Self::From => "FROM",
            Self::Healthcheck => "HEALTHCHECK",
            Self::Label => "LABEL",
            Self::Maintainer => "MAINTAINER",
            Self::OnBuild => "ONBUILD",
            Self::Run => "RUN",
            Self::Shell => "SHELL",
            Self::StopSignal => "STOPSIGNAL",
            Self::User => "USER",
            Self::Volume => "VOLUME",
            Self::Workdir => "WORKDIR",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|keyword| word.eq_ignore_ascii_case(keyword.as_str()))
    }

    /// Whether `--name` at the start of what follows is a flag. Elsewhere the engine refuses it, or it is text.
    const fn takes_flags(self) -> bool {
        matches!(self, Self::Add | Self::Copy | Self::From | Self::Healthcheck | Self::Run)
    }
}

impl Dockerfile {
    /// Takes a file apart.
    pub fn parse(bytes: &[u8]) -> Result<Self, DockerfileError> {
        let lines = lines::logical(bytes)?;
        let mut instructions = Vec::new();
        for line in &lines {
            if instructions.len() == MOST_INSTRUCTIONS {
                return Err(Fault::TooMany { limit: MOST_INSTRUCTIONS }.at(line.number));
            }
            instructions.push(Instruction::parse(line)?);
        }
        Ok(Self { instructions })
    }

    /// Puts an image's id in the place of the name that [`Wants`] has told of. Anything but an id is passed over.
    pub fn pin(&mut self, wanted: &Wanted, id: &str) {
        let Some(instruction) = self.instructions.get_mut(wanted.place) else { return };
        if !is_id(id) {
            return;
        }
        match instruction.keyword {
            Keyword::From => {
                let stage = instruction.rest.split_whitespace().skip(1);
                instruction.rest = std::iter::once(id).chain(stage).collect::<Vec<_>>().join(" ");
            }
            _ => {
                for flag in instruction.flags.iter_mut().filter(|flag| flag.name == "from") {
                    flag.value = Some(id.to_owned());
                }
            }
        }
    }

    /// What the engine gets.
    pub fn emit(&self) -> String {
        let mut text = String::new();
        for instruction in &self.instructions {
            text.push_str(instruction.keyword.as_str());
            for flag in &instruction.flags {
                // Writing to a text never fails.
                let _ = match &flag.value {
                    Some(value) => write!(text, " --{}={value}", flag.name),
                    None => write!(text, " --{}", flag.name),
                };
            }
            if !instruction.rest.is_empty() {
                text.push(' ');
                text.push_str(&instruction.rest);
            }
            text.push('\n');
        }
        text
    }
}

impl Instruction {
    fn parse(line: &Logical) -> Result<Self, DockerfileError> {
        let (word, rest) = split_word(&line.text);
        let keyword =
            Keyword::parse(word).ok_or_else(|| Fault::unknown_instruction(word).at(line.number))?;
        let reads = [Keyword::Run, Keyword::Copy, Keyword::Add, Keyword::OnBuild];
        if line.has_heredoc && reads.contains(&keyword) {
            return Err(Fault::Heredoc.at(line.number));
        }
        let (flags, rest) = match keyword.takes_flags() {
            true => flags(rest).map_err(|fault| fault.at(line.number))?,
            false => (Vec::new(), rest),
        };
        if keyword == Keyword::Run && !flags.is_empty() {
            return Err(Fault::RunFlags.at(line.number));
        }
        Ok(Self { line: line.number, keyword, flags, rest: rest.to_owned() })
    }
}

/// The first word, and what follows it, without white space around it.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    }
}

/// The flags before the rest. The engine takes quotes and escapes out of them, which nobody writes there: they are
/// refused, so that every flag is what it looks like.
fn flags(mut rest: &str) -> Result<(Vec<Flag>, &str), Fault> {
    let mut flags = Vec::new();
    while rest.starts_with("--") {
        let (word, after) = split_word(rest);
        let text = &word[2..];
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | '`');
        if !is_name || !value.iter().all(|value| value.chars().all(plain)) {
            return Err(Fault::Flag);
        }
        flags.push(Flag { name: name.to_owned(), value });
        rest = after;
    }
    Ok((flags, rest))
}

/// `sha256:` and 64 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}
