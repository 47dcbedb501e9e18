//! Why a policy was not loaded: each problem with its place, as a compiler shows it.

use std::fmt;
use std::fmt::Write as _;

use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::text::plain;

/// A policy that cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// At least one problem; the first is shown.
    #[error("{}{}", first(.0), others(.0.len()))]
    Problems(Vec<Problem>),
    /// The built-in schema does not load: a fault of this program.
    #[error("the built-in policy schema is not valid: {0}")]
    Schema(String),
}

impl PolicyError {
    /// Every problem with its line of source and a caret under the place; several lines.
    pub fn render(&self) -> String {
        match self {
            Self::Problems(problems) => {
                problems.iter().map(Problem::render).collect::<Vec<_>>().join("\n")
            }
            Self::Schema(_) => self.to_string(),
        }
    }

    /// The problems.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Problems(problems) => problems,
            Self::Schema(_) => &[],
        }
    }
}

fn first(problems: &[Problem]) -> String {
    problems.first().map(ToString::to_string).unwrap_or_default()
}

fn others(count: usize) -> String {
    if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() }
}

/// One thing wrong at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file's name.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would help, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The line of source, tabs as single spaces.
    pub source_line: String,
    /// How many characters the caret marks.
    pub width: usize,
}

impl Problem {
    /// A problem at the bytes `offset..offset + length` of `text`.
    pub(super) fn at(file: &str, text: &str, offset: usize, length: usize, message: &str) -> Self {
        let offset = text.floor_char_boundary(offset);
        let before = text.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = text.get(line_start..).unwrap_or_default();
        let source_line = rest.lines().next().unwrap_or_default();
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        let end = text.floor_char_boundary(offset.saturating_add(length));
        let marked = text.get(offset..end).and_then(|part| part.lines().next());
        let room = (source_line.chars().count() + 1).saturating_sub(column).max(1);
        Self {
            file: plain(file),
            line: before.matches('\n').count() + 1,
            column,
            message: plain(message),
            help: None,
            source_line: plain(&source_line.replace('\t', " ")),
            width: marked.map_or(1, |part| part.chars().count()).clamp(1, room),
        }
    }

    /// A problem where Cedar says it is.
    pub(super) fn of(file: &str, text: &str, diagnostic: &dyn Diagnostic) -> Self {
        let label = diagnostic.labels().and_then(|mut labels| labels.next());
        let (offset, length) = label.as_ref().map_or((0, 0), |label| (label.offset(), label.len()));
        let message = diagnostic.to_string();
        let mut problem = Self::at(file, text, offset, length, one_rule_named(&message));
        let expected = label.as_ref().and_then(|label| label.label()).map(plain);
        problem.help = diagnostic.help().map(|help| plain(&help.to_string())).or(expected);
        problem
    }

    /// `file:line:column: message`, the line, a caret, and help.
    pub fn render(&self) -> String {
        let gutter = " ".repeat(self.line.to_string().len());
        let mut out = format!("{self}\n{gutter} |\n{} | {}\n", self.line, self.source_line);
        let indent = " ".repeat(self.column.saturating_sub(1));
        let _ = write!(out, "{gutter} | {indent}{}", "^".repeat(self.width));
        if let Some(help) = &self.help {
            let _ = write!(out, "\n{gutter} = help: {help}");
        }
        out
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

/// Cedar starts a validation error with "for policy `id`, "; place and id are shown anyway.
fn one_rule_named(message: &str) -> &str {
    message
        .strip_prefix("for policy `")
        .and_then(|rest| rest.split_once("`, "))
        .map_or(message, |(_, rest)| rest)
}
