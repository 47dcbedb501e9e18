//! What is served of other authorities, as an inventory shows it: what the record says, and what only the certificate does.

use std::collections::BTreeMap;

use sealock_core::{ImportedName, SubjectName, Timestamp};

use super::anchor::Anchor;
use super::assemble::Foreign;
use super::own::common_names;
use super::record::Held;
use crate::authority::Authority;
use crate::inventory::IssuerId;
use crate::key::PublicKeyKind;
use crate::order::Usages;

/// A certificate that another authority has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedCertificate {
    /// What it is called here.
    pub name: ImportedName,
    /// Its serial number, in hex.
    pub serial: String,
    /// Its whole subject, readable.
    pub subject: String,
    /// The common name of its subject, where it has one.
    pub common_name: Option<String>,
    /// Its names.
    pub names: Vec<SubjectName>,
    /// What it is for; all that it may be for, where it does not say.
    pub usages: Usages,
    /// The kind of its key; none for kinds that we do not make.
    pub key: Option<PublicKeyKind>,
    /// Who has signed it, by the same rule as for our own.
    pub issuer: IssuerId,
    /// The same, readable.
    pub issuer_name: String,
    /// What the root at which its chain ends is called among those of others; none when it is one of ours.
    pub root: Option<ImportedName>,
    /// When it was imported.
    pub imported: Timestamp,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// When its successor is asked for.
    pub renewal_due: Timestamp,
    /// What the authorities above it are called: subjects, their common names, and the name of the root here.
    authorities: Vec<String>,
}

impl ImportedCertificate {
    /// Whether one of the authorities above it is called so: by subject, common name, or what the root is called here. Case
    /// does not count.
    pub fn is_under(&self, name: &str) -> bool {
        let wanted = name.to_lowercase();
        self.authorities.iter().any(|one| one.to_lowercase() == wanted)
    }
}

/// An authority above a certificate.
#[derive(Debug, Clone)]
struct Above {
    id: IssuerId,
    called: Vec<String>,
}

impl Above {
    fn of(der: &[u8]) -> Option<Self> {
        let read = Foreign::read(der).ok()?;
        let mut called = common_names(&read.subject);
        let id = IssuerId::of(&read.key_identifier());
        called.push(read.subject_text);
        Some(Self { id, called })
    }
}

impl Authority {
    /// What is served of other authorities, of what `keep` keeps; by name.
    pub fn imported_certificates(
        &self,
        keep: impl Fn(&ImportedName, &Held) -> bool,
    ) -> Vec<ImportedCertificate> {
        let known = self.known.load();
        // Many certificates have few authorities above them.
        let mut read: BTreeMap<&[u8], Option<Above>> = BTreeMap::new();
        let held = known
            .records
            .iter()
            .filter_map(|(name, (record, _))| record.held.as_ref().map(|held| (name, held)))
            .filter(|(name, held)| keep(name, held));
        held.filter_map(|(name, held)| listed(name, held, &known.anchors, &mut read)).collect()
    }
}

/// None for what cannot be read, which would not have been imported.
fn listed<'a>(
    name: &ImportedName,
    held: &'a Held,
    anchors: &[Anchor],
    read: &mut BTreeMap<&'a [u8], Option<Above>>,
) -> Option<ImportedCertificate> {
    let leaf = Foreign::read(held.leaf()).ok()?;
    let mut chain = Vec::new();
    for der in held.ders().skip(1) {
        chain.extend(read.entry(der).or_insert_with(|| Above::of(der)).clone());
    }
    let issuer = chain.first()?.id;
    let root = anchors.iter().find(|anchor| anchor.der() == held.root.0.as_slice());
    let root = root.map(|anchor| anchor.name.clone());
    let mut authorities: Vec<String> = chain.into_iter().flat_map(|one| one.called).collect();
    authorities.extend(root.iter().map(ToString::to_string));
    authorities.push(held.issuer.clone());
    let usages = leaf.purposes.map_or(Usages::BOTH, |it| it.usages);
    Some(ImportedCertificate {
        name: name.clone(),
        serial: held.serial.clone(),
        subject: held.subject.clone(),
        common_name: common_names(&leaf.subject).pop(),
        names: held.names.clone(),
        usages,
        key: leaf.public_key_kind(),
        issuer,
        issuer_name: held.issuer.clone(),
        root,
        imported: held.imported,
        not_before: held.not_before,
        not_after: held.not_after,
        renewal_due: held.renewal_due(),
        authorities,
    })
}
