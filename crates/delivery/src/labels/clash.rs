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
    parsed.certificates.retain(|one| kept.keep(Kind::Certificate, &one.name, &one.path, faults));
    parsed.secrets.retain(|one| kept.keep(Kind::Secret, &one.name, &one.path, faults));
    parsed.trusts.retain(|one| kept.keep(Kind::Trust, &one.name, &one.path, faults));
}

#[derive(Default)]
struct Kept(Vec<(Kind, LabelName, ContainerPath)>);

impl Kept {
    fn keep(
        &mut self,
        kind: Kind,
        name: &LabelName,
        path: &ContainerPath,
        faults: &mut Vec<LabelFault>,
    ) -> bool {
        let (setting, reason) = match self.taken(kind, path) {
            Some(reason) => ("path", reason),
            None if self.0.iter().filter(|(other, ..)| *other == kind).count() == kind.limit() => {
                ("*", LabelError::TooMany { kind })
            }
            None => {
                self.0.push((kind, name.clone(), path.clone()));
                return true;
            }
        };
        let label = format!("{}{name}.{setting}", kind.prefix());
        faults.push(LabelFault::new(kind, Some(name.clone()), &label, reason));
        false
    }

    fn taken(&self, kind: Kind, path: &ContainerPath) -> Option<LabelError> {
        let clashes = |(other, _, at): &&(Kind, LabelName, ContainerPath)| match (kind, other) {
            // A certificate's folder may be in another's: neither touches what is not its own there.
            (Kind::Certificate, Kind::Certificate) => path == at,
            _ => path.is_within(at) || at.is_within(path),
        };
        let (kind, by, path) = self.0.iter().find(clashes)?;
        Some(LabelError::PathTaken { kind: *kind, by: by.to_string(), path: path.to_string() })
    }
}
