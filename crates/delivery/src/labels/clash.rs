//! What cannot be together in one container: too many of a kind, and two at one path.

use super::{ContainerPath, Kind, LabelError, LabelFault, LabelName, ParsedLabels};

/// Takes out what cannot be, with a fault for each.
///
/// Two at one path would replace each other for ever: the first by name keeps it, and a certificate keeps
/// it before any secret, a secret before any trust bundle. Those are one file, so nothing can be below it, and what is in a certificate's
/// folder is the certificate's.
pub(super) fn settle(parsed: &mut ParsedLabels) {
    let mut kept = Kept::default();
    let faults = &mut parsed.faults;
    parsed.certificates.retain(|one| {
        kept.keep(Place::new(Kind::Certificate, &one.name, &one.path, one.files()), faults)
    });
    parsed.secrets.retain(|one| {
        kept.keep(Place::new(Kind::Secret, &one.name, &one.path, Vec::new()), faults)
    });
    parsed
        .trusts
        .retain(|one| kept.keep(Place::new(Kind::Trust, &one.name, &one.path, Vec::new()), faults));
}

/// Something at its path.
struct Place {
    kind: Kind,
    name: LabelName,
    path: ContainerPath,
    /// What is in it, of a folder.
    files: Vec<&'static str>,
}

impl Place {
    fn new(kind: Kind, name: &LabelName, path: &ContainerPath, files: Vec<&'static str>) -> Self {
        Self { kind, name: name.clone(), path: path.clone(), files }
    }

    fn clashes(&self, other: &Self) -> bool {
        match (self.kind, other.kind) {
            // A certificate's folder may be in another's: neither touches what is not its own there.
            (Kind::Certificate, Kind::Certificate) => {
                self.path == other.path || self.is_file_of(other) || other.is_file_of(self)
            }
            _ => self.path.is_within(&other.path) || other.path.is_within(&self.path),
        }
    }

    /// Whether it is where the other has a file, or below that.
    fn is_file_of(&self, other: &Self) -> bool {
        let first = self.path.first_below(&other.path);
        first.is_some_and(|first| other.files.contains(&first))
    }
}

#[derive(Default)]
struct Kept(Vec<Place>);

impl Kept {
    fn keep(&mut self, place: Place, faults: &mut Vec<LabelFault>) -> bool {
        let kind = place.kind;
        let (setting, reason) = match self.taken(&place) {
            Some(reason) => ("path", reason),
            None if self.0.iter().filter(|other| other.kind == kind).count() == kind.limit() => {
                ("*", LabelError::TooMany { kind })
            }
            None => {
                self.0.push(place);
                return true;
            }
        };
        let name = place.name;
        let label = format!("{}{name}.{setting}", kind.prefix());
        faults.push(LabelFault::new(kind, Some(name), &label, reason));
        false
    }

    fn taken(&self, place: &Place) -> Option<LabelError> {
        let Place { kind, name, path, .. } = self.0.iter().find(|other| place.clashes(other))?;
        Some(LabelError::PathTaken { kind: *kind, by: name.to_string(), path: path.to_string() })
    }
}
