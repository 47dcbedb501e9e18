//! The entry for fuzzing: any bytes as a `secrets.yml`.

use std::collections::{BTreeMap, HashSet};

use super::{Dialect, MAXIMUM_BYTES, MAXIMUM_ENTRIES, MAXIMUM_TEXT, Options, parse};
use crate::spec::{FileContent, Manifest, Source, Spec};

/// Reads the bytes in every dialect, with and without a section, and checks what must hold of every result.
pub fn fuzz(data: &[u8]) {
    let substitutions = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
    for dialect in [Dialect::Summon, Dialect::Strict] {
        for environment in [None, Some("prod")] {
            let options = Options { dialect, environment, substitutions: &substitutions };
            match parse(data, &options) {
                Ok(manifest) => check(&manifest, dialect),
                Err(error) => {
                    let _ = (error.to_string(), error.hint());
                }
            }
        }
    }
}

fn check(manifest: &Manifest, dialect: Dialect) {
    let mut names = HashSet::new();
    let mut text = 0;
    for variable in &manifest.variables {
        assert!(names.insert(variable.name.as_str()), "a variable came out twice");
        assert!(
            !variable.name.is_empty() && !variable.name.contains(['=', '\0']),
            "a name that no environment holds"
        );
        text += check_spec(&variable.spec, dialect);
    }
    let mut entries = manifest.variables.len();
    for file in &manifest.files {
        assert!(file.permissions <= 0o777, "a mode beyond permissions");
        assert!(!file.path.is_empty(), "a file without a path");
        match &file.content {
            FileContent::Rendered { secrets, .. } => {
                let mut aliases = HashSet::new();
                entries += secrets.len();
                for (alias, spec) in secrets {
                    assert!(aliases.insert(alias), "an alias came out twice");
                    text += check_spec(spec, dialect);
                }
            }
            FileContent::Folder { prefix, .. } => {
                assert!(dialect == Dialect::Strict && !prefix.is_empty(), "a folder of nothing");
            }
        }
    }
    assert!(entries <= MAXIMUM_ENTRIES, "more entries than the limit");
    assert!(text <= MAXIMUM_TEXT + MAXIMUM_BYTES, "more text than the limit");
}

/// How long its text is. (The default of an empty literal, which is in its place, is no longer than the file.)
fn check_spec(spec: &Spec, dialect: Dialect) -> usize {
    let (provider, text) = match &spec.source {
        Source::Literal(text) => (None, text),
        Source::Secret { provider, path } => {
            let line = !path.is_empty() && !path.contains(['\n', '\0']);
            assert!(dialect == Dialect::Summon || line, "a path that is not one line");
            (provider.as_ref(), path)
        }
    };
    let ours = spec.default_on_error.is_some() || provider.is_some();
    assert!(dialect == Dialect::Strict || !ours, "Summon has no such tag");
    assert!(provider.is_none_or(|name| !name.contains('/')), "a provider by its path");
    text.len()
}
