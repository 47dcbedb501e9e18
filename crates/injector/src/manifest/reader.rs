//! From the tree to variables, by sections where one is asked for.

use std::collections::{HashMap, HashSet};

use super::entries::{self, Entry, Twice};
use super::error::{ManifestError, Place, Position};
use super::tree::{Content, Node};
use super::{Dialect, Options, shortened};
use crate::spec::{Manifest, Spec, Variable};

/// Reads one file. It counts what comes out, so that a small file cannot ask for much.
pub(super) struct Reader<'o> {
    pub(super) options: &'o Options<'o>,
    /// Variables and secrets.
    pub(super) entries: usize,
    /// Bytes of values.
    pub(super) text: usize,
    /// Maps and entries that merge keys have brought.
    pub(super) merged: usize,
}

impl<'o> Reader<'o> {
    pub(super) fn new(options: &'o Options<'o>) -> Self {
        Self { options, entries: 0, text: 0, merged: 0 }
    }

    pub(super) fn strict(&self) -> bool {
        self.options.dialect == Dialect::Strict
    }

    /// The section asked for; an empty name is none, as with Summon.
    pub(super) fn environment(&self) -> Option<&'o str> {
        self.options.environment.filter(|name| !name.is_empty())
    }

    /// For messages that Summon has too, in its very words.
    pub(super) fn at(&self, node: &Node) -> Position {
        if self.strict() { node.at } else { node.at.quiet() }
    }

    pub(super) fn manifest(&mut self, root: &Node) -> Result<Manifest, ManifestError> {
        if !matches!(root.content, Content::Mapping(_)) {
            return Err(ManifestError::NotAMapping { at: self.at(root) });
        }
        self.refuse_tag(root)?;
        let mut top = self.entries(root)?;
        if self.strict() {
            top = entries::unique(top, Twice::Refused)?;
        }
        let mut manifest = Manifest::default();
        let mut rest = Vec::new();
        for entry in top {
            match entry.name {
                "summon.files" => self.files(&entry, &mut manifest.files)?,
                "sealock.files" if self.strict() => self.files(&entry, &mut manifest.files)?,
                _ => rest.push(entry),
            }
        }
        for (entry, spec) in self.variables(rest)? {
            self.check_variable(&entry)?;
            manifest.variables.push(Variable { name: entry.name.to_owned(), spec });
        }
        Ok(manifest)
    }

    fn variables<'n>(
        &mut self,
        entries: Vec<Entry<'n>>,
    ) -> Result<Vec<(Entry<'n>, Spec)>, ManifestError> {
        let Some(first) = entries.first() else { return Ok(Vec::new()) };
        let Some(environment) = self.environment() else { return self.specs(entries) };
        if !self.strict() && !entries.iter().all(Entry::is_mapping) {
            let at = self.at(first.key);
            let environment = environment.to_owned();
            return Err(ManifestError::NoSuchEnvironment {
                at,
                environment,
                place: Place::SecretsFile,
            });
        }
        self.sections(entries, environment, Place::SecretsFile)
    }

    /// Entries without sections.
    pub(super) fn specs<'n>(
        &mut self,
        entries: Vec<Entry<'n>>,
    ) -> Result<Vec<(Entry<'n>, Spec)>, ManifestError> {
        let twice = if self.strict() { Twice::Refused } else { Twice::LastWins };
        let entries = entries::unique(entries, twice)?;
        entries.into_iter().map(|entry| Ok((entry, self.spec(&entry)?))).collect()
    }

    /// The entries of one section, and those of `common`, else `default`, that it does not have itself.
    pub(super) fn sections<'n>(
        &mut self,
        entries: Vec<Entry<'n>>,
        environment: &str,
        place: Place,
    ) -> Result<Vec<(Entry<'n>, Spec)>, ManifestError> {
        let start = entries.first().map_or(Position::new(1, 1), |entry| self.at(entry.key));
        let mut sections = self.all_sections(entries, environment, place)?;
        if let (Some(_), Some(default)) = (sections.get("common"), sections.get("default"))
            && self.strict()
            && environment != "default"
        {
            return Err(ManifestError::CommonAndDefault { at: default.at, place });
        }
        let shared = ["common", "default"].into_iter().find(|name| sections.contains_key(name));
        let shared = shared.filter(|name| *name != environment).and_then(|name| sections.get(name));
        let shared = shared.map(|section| section.entries.clone()).unwrap_or_default();
        let Some(own) = sections.remove(environment) else {
            let environment = environment.to_owned();
            return Err(ManifestError::NoSuchEnvironment { at: start, environment, place });
        };
        let mut specs = self.specs(own.entries)?;
        let names: HashSet<&str> = specs.iter().map(|(entry, _)| entry.name).collect();
        for entry in shared {
            // Also what the section has itself must have all of its substitutions.
            let spec = self.spec(&entry)?;
            if !names.contains(entry.name) {
                specs.push((entry, spec));
            }
        }
        Ok(specs)
    }

    /// By name. Also the sections that nobody asks for must have good form.
    fn all_sections<'n>(
        &mut self,
        entries: Vec<Entry<'n>>,
        environment: &str,
        place: Place,
    ) -> Result<HashMap<&'n str, Section<'n>>, ManifestError> {
        let mut sections = HashMap::new();
        for entry in entries::unique(entries, Twice::Refused)? {
            if !entry.is_mapping() {
                let (key, environment) = (shortened(entry.name), environment.to_owned());
                return Err(ManifestError::NotASection {
                    at: entry.key.at,
                    key,
                    environment,
                    place,
                });
            }
            self.refuse_tag(entry.value)?;
            let entries = entries::unique(self.entries(entry.value)?, Twice::Refused)?;
            if self.strict() {
                entries.iter().try_for_each(|entry| self.check(entry))?;
            }
            sections.insert(entry.name, Section { at: entry.key.at, entries });
        }
        Ok(sections)
    }
}

struct Section<'n> {
    at: Position,
    entries: Vec<Entry<'n>>,
}
