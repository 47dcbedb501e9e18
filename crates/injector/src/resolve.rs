//! From what is asked for to values: every provider is asked once for all that it has, all of them at the same time.
//!
//! A value that cannot be had is an error of its variable or file, with the name and never with the value; whether
//! that ends everything is the caller's to say.

use std::collections::BTreeMap;

use sealock_core::SecretBytes;

use crate::spec::{FileContent, FileEntry, Manifest, Source, Spec};

/// Why a value cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Why, for people, causes included.
    pub reason: String,
    /// What a person may do about it.
    pub hint: Option<String>,
}

impl Missing {
    /// A reason without a hint.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None }
    }
}

/// Values as a provider answers for the paths, in their order.
#[derive(Debug)]
pub struct Answers {
    /// One for each path.
    pub values: Vec<Result<SecretBytes, Missing>>,
    /// Whether it was asked for all at once and answered for all at once; Summon then leaves literals as they are.
    pub all_at_once: bool,
}

/// Somebody who has secrets.
pub trait Provider: Sync {
    /// The values of these paths.
    fn fetch(&self, paths: &[String]) -> Answers;

    /// The names and values of everything below a path; names are what comes after the path and its slash.
    ///
    /// # Errors
    /// [`Missing`], for a provider that cannot list, and where one of them cannot be had.
    fn below(&self, prefix: &str) -> Result<Vec<(String, SecretBytes)>, Missing>;
}

/// Who is asked, by the name that a tag gives; `None` is for tags without a name.
pub type Providers<'a> = BTreeMap<Option<String>, &'a dyn Provider>;

/// A value, or why there is none.
pub type Outcome = Result<SecretBytes, Missing>;

/// Values of files.
#[derive(Debug)]
pub enum FileValues {
    /// By alias, in the order of the file.
    Aliases(Vec<(String, Outcome)>),
    /// By name below the prefix.
    Folder(Result<Vec<(String, SecretBytes)>, Missing>),
}

/// Everything that was asked for, in the order of the manifest.
#[derive(Debug)]
pub struct Resolved {
    /// For each variable.
    pub variables: Vec<Outcome>,
    /// For each file.
    pub files: Vec<FileValues>,
}

/// When a literal that is empty takes its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiteralDefaults {
    /// Always.
    Taken,
    /// As Summon: unless the provider has answered for all at once.
    UnlessAllAtOnce,
}

/// Asks the providers.
pub fn resolve(
    manifest: &Manifest,
    providers: &Providers<'_>,
    literals: LiteralDefaults,
) -> Resolved {
    let mut wanted: BTreeMap<Option<String>, Vec<String>> = BTreeMap::new();
    for spec in specs(manifest) {
        if let Source::Secret { provider, path } = &spec.source {
            let paths = wanted.entry(provider.clone()).or_default();
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        }
    }
    let answers = ask(&wanted, providers);
    let all_at_once = answers.values().all(|answer| answer.all_at_once);
    let keep_empty = literals == LiteralDefaults::UnlessAllAtOnce && all_at_once;
    let value = |spec: &Spec| value_of(spec, &answers, keep_empty);
    let variables = manifest.variables.iter().map(|variable| value(&variable.spec)).collect();
    let files = manifest.files.iter().map(|file| file_values(file, providers, value)).collect();
    Resolved { variables, files }
}

fn specs(manifest: &Manifest) -> impl Iterator<Item = &Spec> {
    let of_files = manifest.files.iter().flat_map(|file| match &file.content {
        FileContent::Rendered { secrets, .. } => secrets.as_slice(),
        FileContent::Folder { .. } => &[],
    });
    let variables = manifest.variables.iter().map(|variable| &variable.spec);
    variables.chain(of_files.map(|(_, spec)| spec))
}

/// What a provider has answered, by path.
struct Answered {
    values: BTreeMap<String, Outcome>,
    all_at_once: bool,
}

fn ask(
    wanted: &BTreeMap<Option<String>, Vec<String>>,
    providers: &Providers<'_>,
) -> BTreeMap<Option<String>, Answered> {
    let one = |name: &Option<String>, paths: &[String]| {
        let answers = match providers.get(name) {
            Some(provider) => provider.fetch(paths),
            None => {
                let shown = name.as_deref().unwrap_or("default");
                let unknown = Missing::new(format!("there is no provider {shown}"));
                Answers { values: vec![Err(unknown); paths.len()], all_at_once: false }
            }
        };
        let mut given = answers.values.into_iter();
        let short = || Err(Missing::new("the provider did not answer for it"));
        let values = paths.iter().map(|path| (path.clone(), given.next().unwrap_or_else(short)));
        Answered { values: values.collect(), all_at_once: answers.all_at_once }
    };
    // A thread costs more than most answers of the only provider.
    if let [(name, paths)] = wanted.iter().collect::<Vec<_>>().as_slice() {
        return BTreeMap::from([((*name).clone(), one(name, paths))]);
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = wanted
            .iter()
            .map(|(name, paths)| (name, scope.spawn(move || one(name, paths))))
            .collect();
        let joined = threads.into_iter().map(|(name, thread)| {
            let ended = || Answered { values: BTreeMap::new(), all_at_once: false };
            (name.clone(), thread.join().unwrap_or_else(|_| ended()))
        });
        joined.collect()
    })
}

fn value_of(
    spec: &Spec,
    answers: &BTreeMap<Option<String>, Answered>,
    keep_empty_literals: bool,
) -> Outcome {
    let text = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
    let (found, is_literal) = match &spec.source {
        Source::Literal(literal) => (Ok(text(literal)), true),
        Source::Secret { provider, path } => {
            let answer = answers.get(provider).and_then(|answered| answered.values.get(path));
            let none = || Err(Missing::new("the provider ended without an answer"));
            (answer.cloned().unwrap_or_else(none), false)
        }
    };
    match found {
        Ok(value) if value.is_empty() && !(is_literal && keep_empty_literals) => {
            Ok(spec.default.as_deref().map_or(value, text))
        }
        Ok(value) => Ok(value),
        Err(missing) => spec.default_on_error.as_deref().map(text).ok_or(missing),
    }
}

fn file_values(
    file: &FileEntry,
    providers: &Providers<'_>,
    value: impl Fn(&Spec) -> Outcome,
) -> FileValues {
    match &file.content {
        FileContent::Rendered { secrets, .. } => FileValues::Aliases(
            secrets.iter().map(|(alias, spec)| (alias.clone(), value(spec))).collect(),
        ),
        FileContent::Folder { provider, prefix } => {
            FileValues::Folder(match providers.get(provider) {
                Some(provider) => provider.below(prefix),
                None => Err(Missing::new("there is no such provider")),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::spec::Variable;

    /// Answers `value of PATH`, nothing for `empty`, an error for `none`; notes what it was asked.
    #[derive(Default)]
    struct Fake(Mutex<Vec<Vec<String>>>);

    impl Provider for Fake {
        fn fetch(&self, paths: &[String]) -> Answers {
            self.0.lock().unwrap().push(paths.to_vec());
            let value = |path: &String| match path.as_str() {
                "none" => Err(Missing::new("not there")),
                "empty" => Ok(SecretBytes::default()),
                path => Ok(SecretBytes::new(format!("value of {path}").into_bytes())),
            };
            Answers { values: paths.iter().map(value).collect(), all_at_once: true }
        }

        fn below(&self, _: &str) -> Result<Vec<(String, SecretBytes)>, Missing> {
            Err(Missing::new("it cannot list"))
        }
    }

    fn spec(source: Source) -> Spec {
        Spec { source, as_file: false, default: None, default_on_error: None, line: 1 }
    }

    fn secret(provider: Option<&str>, path: &str) -> Spec {
        let provider = provider.map(str::to_owned);
        spec(Source::Secret { provider, path: path.to_owned() })
    }

    fn manifest(specs: Vec<Spec>) -> Manifest {
        let variable = |(number, spec)| Variable { name: format!("V{number}"), spec };
        Manifest { variables: specs.into_iter().enumerate().map(variable).collect(), files: vec![] }
    }

    fn shown(outcome: &Outcome) -> String {
        match outcome {
            Ok(value) => String::from_utf8_lossy(value.expose()).into_owned(),
            Err(missing) => format!("! {}", missing.reason),
        }
    }

    #[test]
    fn each_provider_is_asked_once_and_answers_go_to_whom_they_belong() {
        let (one, two) = (Fake::default(), Fake::default());
        let providers: Providers<'_> =
            BTreeMap::from([(None, &one as &dyn Provider), (Some("b".to_owned()), &two)]);
        let asked = manifest(vec![
            secret(None, "x"),
            secret(Some("b"), "x"),
            secret(None, "none"),
            secret(None, "x"),
            secret(Some("c"), "x"),
            spec(Source::Literal("lit".to_owned())),
        ]);
        let found = resolve(&asked, &providers, LiteralDefaults::Taken);
        let values: Vec<_> = found.variables.iter().map(shown).collect();
        assert_eq!(
            values,
            [
                "value of x",
                "value of x",
                "! not there",
                "value of x",
                "! there is no provider c",
                "lit"
            ]
        );
        assert_eq!(*one.0.lock().unwrap(), [["x", "none"]]);
        assert_eq!(*two.0.lock().unwrap(), [["x"]]);
    }

    #[test]
    fn defaults_stand_in_where_they_are_meant() {
        let fake = Fake::default();
        let providers: Providers<'_> = BTreeMap::from([(None, &fake as &dyn Provider)]);
        let with = |spec: Spec, default: Option<&str>, on_error: Option<&str>| Spec {
            default: default.map(str::to_owned),
            default_on_error: on_error.map(str::to_owned),
            ..spec
        };
        let literal = || spec(Source::Literal(String::new()));
        let asked = manifest(vec![
            with(secret(None, "empty"), Some("d"), Some("e")),
            with(secret(None, "none"), Some("d"), Some("e")),
            with(secret(None, "none"), Some("d"), None),
            with(secret(None, "x"), Some("d"), Some("e")),
            with(literal(), Some("d"), None),
        ]);
        let values = |literals| {
            let found = resolve(&asked, &providers, literals);
            found.variables.iter().map(shown).collect::<Vec<_>>()
        };
        let taken = ["d", "e", "! not there", "value of x", "d"];
        assert_eq!(values(LiteralDefaults::Taken), taken);
        assert_eq!(values(LiteralDefaults::UnlessAllAtOnce)[4], "");
    }
}
