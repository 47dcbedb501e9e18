mod properties;
mod strict;
mod summon;
mod upwards;

use std::collections::BTreeMap;
use std::error::Error;

use super::{Dialect, ManifestError, Options, parse};
use crate::spec::{FileContent, FileEntry, Manifest, Source, Spec};

fn read(
    dialect: Dialect,
    text: &[u8],
    environment: Option<&str>,
) -> Result<Manifest, ManifestError> {
    let substitutions =
        BTreeMap::from([("env".to_owned(), "prod".to_owned()), ("none".to_owned(), String::new())]);
    parse(text, &Options { dialect, environment, substitutions: &substitutions })
}

/// One line for each variable, each file and each of its secrets.
fn shown(manifest: &Manifest) -> Vec<String> {
    let variables = manifest
        .variables
        .iter()
        .map(|variable| format!("{}={}", variable.name, spec(&variable.spec)));
    variables.chain(manifest.files.iter().flat_map(file)).collect()
}

fn spec(spec: &Spec) -> String {
    let mut text = match &spec.source {
        Source::Literal(text) => format!("literal {text:?}"),
        Source::Secret { provider: None, path } => format!("secret {path:?}"),
        Source::Secret { provider: Some(name), path } => format!("secret {path:?} of {name}"),
    };
    if spec.as_file {
        text += ", as a file";
    }
    if let Some(default) = &spec.default {
        text += &format!(", or {default:?}");
    }
    if let Some(default) = &spec.default_on_error {
        text += &format!(", on error {default:?}");
    }
    text
}

fn file(file: &FileEntry) -> Vec<String> {
    let mut head = format!("{} {:04o}", file.path, file.permissions);
    if file.overwrite {
        head += " overwrite";
    }
    if let Some(owner) = file.owner {
        head += &format!(" owner {owner:?}");
    }
    match &file.content {
        FileContent::Folder { provider, prefix } => {
            vec![format!("{head} folder {prefix:?} of {provider:?}")]
        }
        FileContent::Rendered { format, template, secrets } => {
            let template = template.as_ref().map(|text| format!(" {text:?}")).unwrap_or_default();
            let aliases =
                secrets.iter().map(|(alias, secret)| format!("  {alias}={}", spec(secret)));
            [format!("{head} {format:?}{template}")].into_iter().chain(aliases).collect()
        }
    }
}

/// The message with its causes, as they are printed.
fn message(error: &ManifestError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[track_caller]
fn accepted(dialect: Dialect, text: &str, environment: Option<&str>, expected: &[&str]) {
    match read(dialect, text.as_bytes(), environment) {
        Ok(manifest) => assert_eq!(shown(&manifest), expected, "{text}"),
        Err(error) => panic!("{text}\nwas refused: {}", message(&error)),
    }
}

#[track_caller]
fn refused(dialect: Dialect, text: &str, environment: Option<&str>, expected: &str) {
    match read(dialect, text.as_bytes(), environment) {
        Ok(manifest) => panic!("{text}\nwas accepted: {:?}", shown(&manifest)),
        Err(error) => assert_eq!(message(&error), expected, "{text}"),
    }
}
