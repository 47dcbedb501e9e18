//! A command of `--export-with`: split as a shell splits it, and run without one.

use std::path::{Path, PathBuf};

use crate::printer::Failure;

/// What stands in braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholder {
    Key,
    Certificate,
    Chain,
    Bundle,
    Roots,
    Pkcs12,
    PasswordFile,
    Out,
}

impl Placeholder {
    /// All but what is written.
    pub(super) const INPUTS: [Self; 7] = [
        Self::Key,
        Self::Certificate,
        Self::Chain,
        Self::Bundle,
        Self::Roots,
        Self::Pkcs12,
        Self::PasswordFile,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Certificate => "cert",
            Self::Chain => "chain",
            Self::Bundle => "bundle",
            Self::Roots => "ca",
            Self::Pkcs12 => "pkcs12",
            Self::PasswordFile => "password-file",
            Self::Out => "out",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::INPUTS.into_iter().chain([Self::Out]).find(|one| one.name() == name)
    }
}

/// A piece of a word.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Path(Placeholder),
}

/// The words of a command, the program first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words(Vec<Vec<Piece>>);

impl Words {
    /// Splits, and finds the placeholders. What looks like one and is none is refused: a program would take it for a
    /// file's name.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let words = shlex::split(text)
            .ok_or_else(|| Failure::usage("a quote in --export-with is not closed"))?;
        let words = words.iter().map(|word| pieces(word)).collect::<Result<Vec<_>, _>>()?;
        match words.first().map(Vec::as_slice) {
            Some([Piece::Text(program)]) if !program.is_empty() => Ok(Self(words)),
            _ => Err(Failure::usage("a command of --export-with begins with no program")),
        }
    }

    /// Whether it names this.
    pub(super) fn names(&self, placeholder: Placeholder) -> bool {
        self.0.iter().flatten().any(|piece| *piece == Piece::Path(placeholder))
    }

    /// With paths in the place of placeholders.
    pub(super) fn filled(&self, paths: &[(Placeholder, PathBuf)]) -> Result<Vec<String>, Failure> {
        let path = |wanted: &Placeholder| {
            let found = paths.iter().find(|(one, _)| one == wanted);
            found.and_then(|(_, path)| path.to_str()).ok_or_else(|| {
                Failure::refused("the path of a temporary file is not text in UTF-8")
            })
        };
        let word = |pieces: &Vec<Piece>| {
            let mut word = String::new();
            for piece in pieces {
                match piece {
                    Piece::Text(text) => word.push_str(text),
                    Piece::Path(wanted) => word.push_str(path(wanted)?),
                }
            }
            Ok(word)
        };
        self.0.iter().map(word).collect()
    }
}

fn pieces(word: &str) -> Result<Vec<Piece>, Failure> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let name = after.split_once('}').map(|(name, _)| name).unwrap_or_default();
        let looks = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !looks {
            // A brace of something else, as of a shell.
            text.push('{');
            rest = after;
            continue;
        }
        let Some(placeholder) = Placeholder::named(name) else {
            return Err(Failure::usage(format!("{{{name}}} stands for nothing")).hint(
                "there are {key} {cert} {chain} {bundle} {ca} {pkcs12} {password-file} {out}",
            ));
        };
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(Piece::Path(placeholder));
        rest = after.get(name.len() + 1..).unwrap_or_default();
    }
    text.push_str(rest);
    if !text.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// What a person is told that a command was.
pub(super) fn program(words: &[String]) -> &Path {
    Path::new(words.first().map(String::as_str).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<Vec<String>, Failure> {
        let paths = [(Placeholder::Key, PathBuf::from("/m/k")), (Placeholder::Out, "/o/o".into())];
        Words::parse(text)?.filled(&paths)
    }

    #[test]
    fn words_are_those_of_a_shell_and_paths_stand_in_them() {
        let words = filled(r#"tool -d 'sql:{out}' "two words" --key={key} {} {"#).unwrap();
        assert_eq!(words, ["tool", "-d", "sql:/o/o", "two words", "--key=/m/k", "{}", "{"]);
        let words = filled("sh -c '{ mkdir {out}; cat {key} > {out}/a; }' ''").unwrap();
        let script = "{ mkdir /o/o; cat /m/k > /o/o/a; }";
        assert_eq!(words, ["sh", "-c", script, ""]);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for text in ["", "''", "{key} x", "tool 'x", "tool {keys}"] {
            assert!(filled(text).is_err(), "{text:?}");
        }
    }
}
