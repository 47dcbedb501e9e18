//! From a request target to the operation of the API that it is.
//!
//! [`parse`] reads method and target once. What comes out, [`Routed`], is what is decided on, and
//! [`Routed::target`] writes exactly that: the engine never sees the bytes that the client sent. Whatever has two
//! readings is refused, and whatever the table does not have is refused.
//!
//! - One spelling of a path: no escapes but for `:` and `@` of image names, no dots, no empty segments.
//! - One value of a parameter; unknown ones are refused; all in the order of the table.
//! - Names of images in their long form, names and ids of all else in a small alphabet.
//! - Reading the written target gives the same [`Routed`] again.
//!
//! **What an attacker controls:** every byte of method and target. The functions here are pure, and none of
//! them panics.

mod error;
pub mod image_name;
mod object;
mod ps;
mod query;
mod read;
mod table;
mod target;
mod version;

pub use error::RouteError;
pub use object::{Object, ObjectError, Reference};
pub use query::{Kind, ParameterError};
pub use read::parse;
pub use table::{Answer, Body, Hijack, Route};
pub use target::{MAXIMUM_TARGET, TargetError};
pub use version::{Version, VersionError};

use image_name::ImageName;
use query::Value;
use sealock_core::policy::Action;

use crate::filters::Filters;

/// A request that is known: which operation, on what, with which parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    version: Option<Version>,
    route: &'static Route,
    /// What stands at the placeholders of the path, as it is forwarded.
    names: Vec<String>,
    objects: Vec<Object>,
    new_images: Vec<ImageName>,
    /// In the order of the table; none is empty.
    parameters: Vec<Parameter>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parameter {
    name: &'static str,
    kind: Kind,
    value: Value,
}

impl Routed {
    /// The operation.
    pub fn action(&self) -> Action {
        self.route.action
    }

    /// All that the table says of the operation.
    pub fn route(&self) -> &'static Route {
        self.route
    }

    /// The version in the path, if there is one.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// What is there already and is named by path or query: none for the engine itself, one for nearly all,
    /// several for an export of several images and for the upgrade of a plugin.
    ///
    /// An [`Object::Image`] with neither tag nor digest stands for all tags of its repository.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The names that an image is to have once this is done (by tag, commit, import or build).
    pub fn new_images(&self) -> &[ImageName] {
        &self.new_images
    }

    /// Whether a parameter is true; what the engine takes where it is absent.
    pub fn bool(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Bool(is) | Value::StrictBool(is)) => *is,
            _ => self.route.query.contains_kind(name, Kind::BoolTrue),
        }
    }

    /// A number, if it is there.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.value(name) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }
    }

    /// A text, if it is there; never empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(Value::as_text)
    }

    /// The texts of a parameter that may come more than once; none of them is empty.
    pub fn texts(&self, name: &str) -> &[String] {
        match self.value(name) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }

    /// The filters; empty where there are none.
    pub fn filters(&self) -> Filters {
        match self.value("filters") {
            Some(Value::Filters(filters)) => filters.clone(),
            _ => Filters::default(),
        }
    }

    /// Whether the operation has filters at all.
    pub fn has_filters(&self) -> bool {
        self.route.query.contains_kind("filters", Kind::Filters)
    }

    /// The same with other filters. `None` where the operation has none.
    pub fn with_filters(&self, filters: Filters) -> Option<Self> {
        let place = |name: &str| self.route.query.iter().position(|(known, _)| *known == name);
        let own = self.has_filters().then(|| place("filters")).flatten()?;
        let (name, kind) = self.route.query.get(own)?;
        let mut changed = self.clone();
        changed.parameters.retain(|parameter| parameter.kind != Kind::Filters);
        if !filters.is_empty() {
            let value = Value::Filters(filters);
            let is_before = |parameter: &Parameter| place(parameter.name) < Some(own);
            let at = changed.parameters.partition_point(is_before);
            changed.parameters.insert(at, Parameter { name, kind: *kind, value });
        }
        Some(changed)
    }

    /// The same for the container of this id, where path or query name a container.
    #[must_use]
    pub fn with_container(mut self, id: &Reference) -> Self {
        if let Some(Object::Container(name) | Object::Checkpoint { container: name, .. }) =
            self.objects.first_mut()
        {
            *name = id.clone();
            let in_query =
                self.parameters.iter_mut().find(|parameter| parameter.name == "container");
            match (self.names.first_mut(), in_query) {
                (Some(first), _) => *first = id.to_string(),
                (None, Some(parameter)) => parameter.value = Value::Text(id.to_string()),
                (None, None) => {}
            }
        }
        self
    }

    /// The same for the network or image of this id, where the path names one.
    #[must_use]
    pub(crate) fn with_id(mut self, id: &str) -> Self {
        if let (Some(Object::Network(_) | Object::Image(_)), Some(first)) =
            (self.objects.first(), self.names.first_mut())
        {
            id.clone_into(first);
        }
        self
    }

    /// Whether the answer is a stream, or comes after a wait, that may be quiet for hours.
    pub fn may_stay_quiet(&self) -> bool {
        match self.route.answer {
            Answer::Prompt | Answer::Work => false,
            Answer::Quiet => true,
            Answer::QuietIf(parameter) => self.bool(parameter),
        }
    }

    /// The target to forward: the only one for this request.
    pub fn target(&self) -> String {
        self.target_with(&self.pairs())
    }

    /// The target with these parameters in place of its own.
    pub(crate) fn target_with(&self, pairs: &[(String, String)]) -> String {
        let mut target = String::new();
        if let Some(version) = self.version {
            target.push_str("/v");
            target.push_str(&version.to_string());
        }
        let mut names = self.names.iter();
        for part in self.route.pattern.split('/') {
            target.push('/');
            let name = if part.starts_with('{') { names.next() } else { None };
            target.push_str(name.map_or(part, String::as_str));
        }
        let mut mark = '?';
        for (name, value) in pairs {
            target.push(mark);
            target.push_str(name);
            target.push('=');
            target::encode_value(value, &mut target);
            mark = '&';
        }
        target
    }

    /// The parameters as they are forwarded, before they are encoded.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        let mut write = |name: &str, value: &str| pairs.push((name.to_owned(), value.to_owned()));
        for Parameter { name, value, .. } in &self.parameters {
            match value {
                Value::Bool(is) => write(name, if *is { "1" } else { "0" }),
                Value::StrictBool(is) => write(name, if *is { "true" } else { "false" }),
                Value::Int(number) => write(name, &number.to_string()),
                Value::Text(text) => write(name, text),
                Value::Texts(texts) => texts.iter().for_each(|text| write(name, text)),
                Value::Filters(filters) => write(name, &filters.to_string()),
            }
        }
        pairs
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.parameters.iter().find(|parameter| parameter.name == name).map(|found| &found.value)
    }
}

trait Kinds {
    fn contains_kind(&self, name: &str, kind: Kind) -> bool;
}

impl Kinds for [(&str, Kind)] {
    fn contains_kind(&self, name: &str, kind: Kind) -> bool {
        self.iter().any(|(known, of)| *known == name && *of == kind)
    }
}

/// A request of each route, for whoever has to see that every operation is guarded.
#[doc(hidden)]
pub fn samples() -> impl Iterator<Item = (&'static str, &'static str, Action)> {
    table::all().map(|route| (route.method, route.sample, route.action))
}

/// The entry for fuzzing: the first byte chooses the method, the rest is the target. What is accepted is
/// written in one way, and read to the same from that.
pub fn fuzz(data: &[u8]) {
    const METHODS: [&str; 6] = ["GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS"];
    let Some((first, target)) = data.split_first() else { return };
    let method = METHODS.get(usize::from(*first) % METHODS.len()).unwrap_or(&"GET");
    let Ok(routed) = parse(method, target, Version::NEWEST) else { return };
    let written = routed.target();
    let again = parse(method, written.as_bytes(), Version::NEWEST);
    assert!(again.is_ok_and(|again| again == routed), "{written} is read in another way");
    let path = written.split('?').next().unwrap_or_default();
    let segments = path.strip_prefix('/').unwrap_or(path);
    let is_bad = |segment: &str| matches!(segment, "" | "." | "..");
    assert!(!segments.split('/').any(is_bad), "{written} has a segment of dots or none");
    assert!(!path.contains('%'), "{written} has an escape in its path");
    assert!(written.bytes().all(|byte| byte.is_ascii_graphic()), "{written} has odd bytes");
    assert!(!written.contains([';', '#']), "{written} has a separator in it");
}

#[cfg(test)]
mod tests;
