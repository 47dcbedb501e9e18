//! The table of all operations of the API, from 1.24 to 1.51.
//!
//! One line of it is one operation: its path, its parameters, the shape of its body, what becomes of the
//! connection. What is not in it is refused.

mod containers;
mod engine;
mod images;
mod swarm;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use sealock_core::policy::Action;

use super::query::Kind;
use super::version::Version;

/// What a request of this kind has for a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Nothing, or at most the `{}` that some clients send.
    None,
    /// JSON whose content bears on what may be done; read strictly and written anew.
    Json,
    /// JSON that is passed on: whoever may do this may do it with any content.
    PassedJson,
    /// An archive, as a stream of any length.
    Archive,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hijack {
    /// It stays HTTP.
    Never,
    /// It becomes a stream of raw bytes both ways, by a 101 or by the older 200.
    Raw,
    /// It becomes a WebSocket.
    WebSocket,
    /// It becomes HTTP/2 in the clear.
    H2c,
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// What the engine knows at once.
    Prompt,
    /// As long as the work takes: a pull, an export, a stop with a long grace.
    Work,
    /// A stream, or an answer, that may stay quiet for hours.
    Quiet,
    /// [`Answer::Quiet`] if the parameter of this name is true, [`Answer::Work`] if not.
    QuietIf(&'static str),
}

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The operation, as policy names it.
    pub action: Action,
    /// Words and placeholders, without a leading slash.
    pub pattern: &'static str,
    /// The first version that has it.
    pub since: Version,
    /// Parameters and their kinds, in the order in which they are forwarded.
    pub query: &'static [(&'static str, Kind)],
    /// The body.
    pub body: Body,
    /// Whether the connection changes its protocol.
    pub hijack: Hijack,
    /// How long the answer may take.
    pub answer: Answer,
    /// Parameters that have to be there.
    pub(super) required: &'static [&'static str],
    /// The parameter that tells it from another of the same path.
    pub(super) when: Option<&'static str>,
    pub(super) sample: &'static str,
}

impl Route {
    const fn new(
        method: &'static str,
        action: Action,
        pattern: &'static str,
        sample: &'static str,
    ) -> Self {
        Self {
            method,
            action,
            pattern,
            since: Version::FLOOR,
            query: &[],
            body: Body::None,
            hijack: Hijack::Never,
            answer: Answer::Prompt,
            required: &[],
            when: None,
            sample,
        }
    }

    const fn get(action: Action, pattern: &'static str, sample: &'static str) -> Self {
        Self::new("GET", action, pattern, sample)
    }

    const fn post(action: Action, pattern: &'static str, sample: &'static str) -> Self {
        Self::new("POST", action, pattern, sample)
    }

    const fn delete(action: Action, pattern: &'static str, sample: &'static str) -> Self {
        Self::new("DELETE", action, pattern, sample)
    }

    const fn since(mut self, minor: u16) -> Self {
        self.since = Version::of_minor(minor);
        self
    }

    const fn query(mut self, query: &'static [(&'static str, Kind)]) -> Self {
        self.query = query;
        self
    }

    const fn required(mut self, required: &'static [&'static str]) -> Self {
        self.required = required;
        self
    }

    const fn when(mut self, parameter: &'static str) -> Self {
        self.when = Some(parameter);
        self
    }

    const fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    const fn hijack(mut self, hijack: Hijack) -> Self {
        self.hijack = hijack;
        self.answer = Answer::Quiet;
        self
    }

    const fn answer(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }

    /// The names that stand at the placeholders, if the path is of this pattern.
    pub(super) fn bind(&self, segments: &[Cow<'_, str>]) -> Option<Vec<String>> {
        let mut names = Vec::new();
        let mut rest = segments;
        let mut parts = self.pattern.split('/');
        while let Some(part) = parts.next() {
            // Names of images have slashes: they take all that the words after them leave.
            let width = match part {
                "{image}" | "{images}" | "{repository}" | "{distribution}" | "{plugin}" => {
                    rest.len().checked_sub(parts.clone().count())?
                }
                _ => 1,
            };
            let (taken, left) = rest.split_at_checked(width)?;
            rest = left;
            match taken {
                [] => return None,
                [word] if !part.starts_with('{') => {
                    if word != part {
                        return None;
                    }
                }
                _ => names.push(taken.join("/")),
            }
        }
        rest.is_empty().then_some(names)
    }
}

/// The routes whose path begins with this word: no pattern begins with a placeholder.
pub(super) fn beginning_with(word: &str) -> &'static [&'static Route] {
    static BY_WORD: LazyLock<HashMap<&str, Vec<&Route>>> = LazyLock::new(|| {
        let mut by_word: HashMap<_, Vec<_>> = HashMap::new();
        for route in all() {
            let word = route.pattern.split('/').next().unwrap_or_default();
            by_word.entry(word).or_default().push(route);
        }
        by_word
    });
    BY_WORD.get(word).map_or(&[], Vec::as_slice)
}

/// All routes.
pub(super) fn all() -> impl Iterator<Item = &'static Route> {
    [containers::ROUTES, images::ROUTES, engine::ROUTES, swarm::ROUTES].into_iter().flatten()
}
