//! Go's `text/template` with Summon's functions, as far as it can be reached from a file of secrets.
//!
//! [`Template::parse`] reads it, [`Template::render`] fills it in. The language is Go's: text, `{{ }}` with trim
//! markers and comments, pipelines, variables, `if`, `range`, `with`, `define`, `template`, `block`, `break`,
//! `continue`, the built-in functions, and Summon's `secret "alias"`, `b64enc`, `b64dec`, `htmlenc`. The data is
//! `.SecretsArray`, a list of secrets in the order of their aliases, each with `.Alias` and `.Value`, and
//! `.SecretsMap`, the same by alias.
//!
//! # What is different from Go
//!
//! - What Go prints for a mistake (`%!d(string=hunter2)`, addresses of pointers) is an error. In the strict dialect so
//!   is `<no value>`.
//! - There are no complex numbers, no hexadecimal floats, no `call`.
//! - Time and memory have limits ([`Limits`]).
//!
//! # Invariants, which the fuzz target and the tests hold
//!
//! Nothing panics; no error has a value in it, also not one that is looked up as an alias; whatever the template is,
//! the work is bounded. Values that a template makes are wiped when they are dropped.
//!
//! **What an attacker controls:** the template, whoever writes `secrets.yml`; the values.

mod call;
mod compare;
mod error;
mod eval;
mod expression;
mod functions;
mod fuzz;
mod lex;
mod number;
mod parse;
mod print;
mod printf;
#[cfg(test)]
mod tests;
mod tree;
mod value;

use sealock_core::SecretBytes;

use super::{Dialect, Secret};

pub use error::TemplateError;
pub use fuzz::fuzz;

/// Bytes of a template; the longest that people write have some thousand.
pub const MOST_BYTES: usize = 1 << 20;

/// What filling in one template may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the result.
    pub output: usize,
    /// Bytes that functions may make on the way, in sum.
    pub work: usize,
    /// Actions, commands and operands that are evaluated.
    pub steps: usize,
    /// Templates within templates, blocks and parentheses.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { output: 64 << 20, work: 256 << 20, steps: 1_000_000, depth: 200 }
    }
}

/// A template that has been read.
#[derive(Debug)]
pub struct Template<'t> {
    text: &'t str,
    trees: tree::Trees<'t>,
}

impl<'t> Template<'t> {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &'t str) -> Result<Self, TemplateError> {
        let trees = parse::parse(text)?;
        Ok(Self { text, trees })
    }

    /// Fills it in.
    ///
    /// # Errors
    /// What cannot be done, and where; a limit.
    pub fn render(
        &self,
        secrets: &[(String, SecretBytes)],
        dialect: Dialect,
        limits: Limits,
    ) -> Result<SecretBytes, TemplateError> {
        let mut sorted: Vec<Secret<'_>> =
            secrets.iter().map(|(alias, value)| Secret { alias, value: value.expose() }).collect();
        sorted.sort_by_key(|secret| secret.alias);
        eval::run(self.text, &self.trees, &sorted, dialect, limits)
    }

    /// The same with secrets that are in order.
    pub(super) fn render_sorted(
        &self,
        secrets: &[Secret<'_>],
        dialect: Dialect,
    ) -> Result<SecretBytes, TemplateError> {
        eval::run(self.text, &self.trees, secrets, dialect, Limits::default())
    }
}
