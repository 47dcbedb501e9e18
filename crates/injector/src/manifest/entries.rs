//! The entries of a map, with those that its merge keys bring.

use std::collections::{HashMap, HashSet};

use super::error::ManifestError;
use super::reader::Reader;
use super::tree::{Content, Node};
use super::{MAXIMUM_NODES, shortened};

/// A key with its value.
#[derive(Clone, Copy)]
pub(super) struct Entry<'n> {
    pub(super) name: &'n str,
    pub(super) key: &'n Node,
    pub(super) value: &'n Node,
}

impl Entry<'_> {
    pub(super) fn is_mapping(&self) -> bool {
        matches!(self.value.content, Content::Mapping(_))
    }

    /// `<<`, as it stands, without quotes.
    fn is_merge(&self) -> bool {
        let tag = self.key.tag.as_ref().map(|tag| tag.as_str());
        let plain = matches!(self.key.content, Content::Scalar { plain: true, .. });
        self.name == "<<" && plain && matches!(tag, None | Some("tag:yaml.org,2002:merge"))
    }
}

/// What becomes of a key that is there twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Twice {
    Refused,
    /// As with Summon wherever there are no sections.
    LastWins,
}

/// The entries, each name once, in the order of the file.
pub(super) fn unique(
    entries: Vec<Entry<'_>>,
    twice: Twice,
) -> Result<Vec<Entry<'_>>, ManifestError> {
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
    let mut kept: Vec<Entry<'_>> = Vec::with_capacity(entries.len());
    for entry in entries {
        let place = places.get(entry.name).and_then(|&index| kept.get_mut(index));
        match (place, twice) {
            (None, _) => {
                places.insert(entry.name, kept.len());
                kept.push(entry);
            }
            (Some(first), Twice::LastWins) => *first = entry,
            (Some(first), Twice::Refused) => {
                let (at, line) = (entry.key.at, first.key.at.line());
                return Err(ManifestError::DuplicateKey { at, key: shortened(entry.name), line });
            }
        }
    }
    Ok(kept)
}

impl Reader<'_> {
    /// The entries of a map (of anything else: none). Its own come first and win over merged ones, and of merged ones
    /// the first.
    pub(super) fn entries<'n>(&mut self, map: &'n Node) -> Result<Vec<Entry<'n>>, ManifestError> {
        let Content::Mapping(pairs) = &map.content else { return Ok(Vec::new()) };
        let (mut own, mut merges) = (Vec::with_capacity(pairs.len()), Vec::new());
        for (key, value) in pairs {
            let Content::Scalar { text, .. } = &key.content else {
                return Err(ManifestError::KeyNotScalar { at: key.at });
            };
            let entry = Entry { name: text, key, value };
            match (entry.is_merge(), self.strict()) {
                (true, true) => return Err(ManifestError::Anchor { at: key.at }),
                (true, false) => merges.push(entry),
                (false, _) => {
                    self.refuse_tag(key)?;
                    own.push(entry);
                }
            }
        }
        if merges.is_empty() {
            return Ok(own);
        }
        let mut names: HashSet<&str> = own.iter().map(|entry| entry.name).collect();
        for merge in merges {
            for map in merged_maps(&merge)? {
                self.count_merged(&merge)?;
                for entry in unique(self.entries(map)?, Twice::Refused)? {
                    self.count_merged(&merge)?;
                    if names.insert(entry.name) {
                        own.push(entry);
                    }
                }
            }
        }
        Ok(own)
    }

    /// Maps, for they may be empty, and entries, for they may be there already.
    fn count_merged(&mut self, merge: &Entry<'_>) -> Result<(), ManifestError> {
        self.merged += 1;
        match self.merged > MAXIMUM_NODES {
            true => Err(ManifestError::TooManyMerges { at: merge.key.at, limit: MAXIMUM_NODES }),
            false => Ok(()),
        }
    }
}

/// One map, or a list of maps.
fn merged_maps<'n>(merge: &Entry<'n>) -> Result<Vec<&'n Node>, ManifestError> {
    let maps: Vec<&Node> = match &merge.value.content {
        Content::Sequence(items) => items.iter().map(|item| &**item).collect(),
        _ => vec![merge.value],
    };
    if maps.iter().all(|map| matches!(map.content, Content::Mapping(_))) {
        Ok(maps)
    } else {
        Err(ManifestError::MergeNeedsMapping { at: merge.key.at })
    }
}
