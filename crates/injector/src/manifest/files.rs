//! `summon.files`, and `sealock.files`, which has more settings.

use super::entries::{self, Entry, Twice};
use super::error::{ManifestError, Place};
use super::fault::FileFault;
use super::reader::Reader;
use super::settings::Settings;
use super::tags::is_provider;
use super::tree::{Content, Node};
use super::{MAXIMUM_ENTRIES, shortened};
use crate::spec::{FileContent, FileEntry, Format, Spec};

/// The settings of Summon's files.
const SUMMON: &[&str] = &["path", "format", "template", "permissions", "overwrite", "secrets"];
/// And of ours.
const SEALOCK: &[&str] = &[
    "path",
    "format",
    "template",
    "permissions",
    "overwrite",
    "secrets",
    "owner",
    "prefix",
    "provider",
];

const FORMATS: &str = "yaml, json, dotenv, properties, bash, template, and raw in sealock.files";
const LONGEST_FILE_NAME: usize = 255;

impl Reader<'_> {
    /// Reads one list of files.
    pub(super) fn files(
        &mut self,
        list: &Entry<'_>,
        files: &mut Vec<FileEntry>,
    ) -> Result<(), ManifestError> {
        self.refuse_tag(list.value)?;
        let Content::Sequence(items) = &list.value.content else {
            let fault = FileFault::NotAList { key: list.name.to_owned() };
            return Err(ManifestError::File { at: self.at(list.value), fault });
        };
        for item in items {
            if files.len() >= MAXIMUM_ENTRIES {
                return Err(ManifestError::TooManyEntries { at: item.at, limit: MAXIMUM_ENTRIES });
            }
            let file = match self.file(list, item) {
                Err(error) if !self.strict() => return Err(ManifestError::InFile(Box::new(error))),
                read => read?,
            };
            if let (true, Some(first)) =
                (self.strict(), files.iter().find(|first| first.path == file.path))
            {
                let fault = FileFault::SamePath { path: shortened(&file.path), line: first.line };
                return Err(ManifestError::File { at: item.at, fault });
            }
            files.push(file);
        }
        Ok(())
    }

    fn file(&mut self, list: &Entry<'_>, item: &Node) -> Result<FileEntry, ManifestError> {
        self.refuse_tag(item)?;
        if !matches!(item.content, Content::Mapping(_)) {
            let fault = FileFault::EntryNotAMapping { key: list.name.to_owned() };
            return Err(ManifestError::File { at: self.at(item), fault });
        }
        let entries = entries::unique(self.entries(item)?, Twice::Refused)?;
        entries.iter().try_for_each(|setting| self.refuse_tag(setting.value))?;
        let ours = list.name == "sealock.files";
        let settings = Settings { entries, strict: self.strict(), at: self.at(item) };
        if self.strict() {
            settings.only(if ours { SEALOCK } else { SUMMON })?;
        }
        let (permissions, overwrite) = (settings.permissions()?, settings.overwrite()?);
        let (folder, path) =
            (self.folder(&settings, ours)?, settings.text("path")?.unwrap_or_default());
        self.check_file_path(item, path, folder.is_some())?;
        let content = match folder {
            Some(folder) => folder,
            None => self.rendered(&settings, path, ours)?,
        };
        let owner = if ours { settings.owner()? } else { None };
        Ok(FileEntry {
            path: path.to_owned(),
            content,
            permissions,
            overwrite,
            owner,
            line: item.at.line(),
        })
    }

    /// What `prefix` says, where there is one.
    fn folder(
        &mut self,
        settings: &Settings<'_>,
        ours: bool,
    ) -> Result<Option<FileContent>, ManifestError> {
        if !ours {
            return Ok(None);
        }
        let (prefix, provider) = (settings.text("prefix")?, settings.text("provider")?);
        let (Some(prefix), Some(entry)) = (prefix, settings.entry("prefix")) else {
            return match provider {
                None => Ok(None),
                Some(_) => Err(settings
                    .fault("provider", "beside `prefix`; for one secret it stands in the tag")),
            };
        };
        settings.none_beside("prefix", ["format", "template", "secrets"])?;
        if !provider.is_none_or(is_provider) {
            return Err(settings.fault("provider", "a name of letters, digits, `-`, `_` and `.`"));
        }
        let prefix = self.substituted(prefix, entry.value)?;
        self.check_path(&prefix, &entry)?;
        Ok(Some(FileContent::Folder { provider: provider.map(str::to_owned), prefix }))
    }

    fn rendered(
        &mut self,
        settings: &Settings<'_>,
        path: &str,
        ours: bool,
    ) -> Result<FileContent, ManifestError> {
        let at = settings.at;
        let Some(secrets) = settings.entry("secrets") else {
            return Err(ManifestError::File { at, fault: FileFault::NoSecrets });
        };
        let secrets = self.secrets(secrets.value)?;
        let template = settings.text("template")?.filter(|template| !template.is_empty());
        let named = settings.text("format")?.filter(|format| !format.is_empty());
        let format = match named {
            Some(name) => Some(format(name, ours).ok_or_else(|| {
                let (path, format) = (shortened(path), shortened(name));
                ManifestError::File {
                    at,
                    fault: FileFault::UnknownFormat { path, format, known: FORMATS },
                }
            })?),
            None => None,
        };
        let format = match (format, template) {
            (Some(Format::Template), None) => {
                let fault = FileFault::NoTemplate { path: shortened(path) };
                return Err(ManifestError::File { at, fault });
            }
            (Some(Format::Template) | None, Some(_)) => Format::Template,
            (Some(_), Some(_)) if self.strict() => {
                let fault = FileFault::Conflict { first: "format", second: "template" };
                return Err(ManifestError::File { at, fault });
            }
            // With Summon the template wins over the format.
            (Some(_), Some(_)) => Format::Template,
            (format, None) => format.unwrap_or_default(),
        };
        if format == Format::Raw && secrets.len() != 1 {
            return Err(ManifestError::File {
                at,
                fault: FileFault::RawCount { count: secrets.len() },
            });
        }
        Ok(FileContent::Rendered { format, template: template.map(str::to_owned), secrets })
    }

    /// The secrets of one file: with sections if each entry is one (strictly: if any is).
    fn secrets(&mut self, node: &Node) -> Result<Vec<(String, Spec)>, ManifestError> {
        self.refuse_tag(node)?;
        if !matches!(node.content, Content::Mapping(_)) {
            return Err(ManifestError::File {
                at: self.at(node),
                fault: FileFault::SecretsNotAMapping,
            });
        }
        let entries = self.entries(node)?;
        let sections = match self.strict() {
            true => entries.iter().any(Entry::is_mapping),
            false => !entries.is_empty() && entries.iter().all(Entry::is_mapping),
        };
        let specs = match (sections, self.environment()) {
            (false, _) => self.specs(entries)?,
            (true, Some(environment)) => self.sections(entries, environment, Place::FileConfig)?,
            (true, None) => {
                return Err(ManifestError::NoEnvironment {
                    at: self.at(node),
                    place: Place::FileConfig,
                });
            }
        };
        if self.strict() {
            self.check_aliases(node, &specs)?;
        }
        Ok(specs.into_iter().map(|(entry, spec)| (entry.name.to_owned(), spec)).collect())
    }

    fn check_aliases(&self, node: &Node, specs: &[(Entry<'_>, Spec)]) -> Result<(), ManifestError> {
        if specs.is_empty() {
            return Err(ManifestError::File { at: node.at, fault: FileFault::NoSecrets });
        }
        let strange = |name: &str| name.is_empty() || name.contains(|c: char| c.is_control());
        match specs.iter().find(|(entry, _)| strange(entry.name)) {
            None => Ok(()),
            Some((entry, _)) => {
                let fault = FileFault::Alias { name: shortened(entry.name) };
                Err(ManifestError::File { at: entry.key.at, fault })
            }
        }
    }

    fn check_file_path(&self, item: &Node, path: &str, folder: bool) -> Result<(), ManifestError> {
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let fault = if path.is_empty() {
            FileFault::NoPath
        } else if self.strict() && path.contains(|c: char| c.is_control()) {
            FileFault::Setting { setting: "path", expected: "a path without control characters" }
        } else if path.ends_with('/') && !folder {
            FileFault::NoFileName { path: shortened(path) }
        } else if last.len() > LONGEST_FILE_NAME {
            FileFault::LongFileName
        } else {
            return Ok(());
        };
        Err(ManifestError::File { at: self.at(item), fault })
    }
}

fn format(name: &str, ours: bool) -> Option<Format> {
    Some(match name {
        "yaml" => Format::Yaml,
        "json" => Format::Json,
        "dotenv" => Format::Dotenv,
        "properties" => Format::Properties,
        "bash" => Format::Bash,
        "template" => Format::Template,
        "raw" if ours => Format::Raw,
        _ => return None,
    })
}
