//! What has to change in an entry. A pure function: what is there, and where it stands in the inventory, give it.

/// Where a certificate that is in the entry stands in the inventory, for the one that is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not in the inventory byte for byte: somebody else's.
    Foreign,
    /// Ours, and revoked: it goes, under whatever name it was issued.
    Revoked,
    /// Ours, of the same name, and replaced or expired: it goes.
    Outdated,
    /// Ours, and good, or of another name: it stays.
    Kept,
}

/// What has to change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be put in.
    pub add: Option<Vec<u8>>,
    /// To be taken out, byte for byte as they were read.
    pub remove: Vec<Vec<u8>>,
}

impl Plan {
    /// From the certificates in the entry with their standing, and the one that should be there, if any.
    ///
    /// `wanted` is never taken out, whatever is said of its standing, and never put in twice.
    pub fn of(there: &[(Vec<u8>, Standing)], wanted: Option<&[u8]>) -> Self {
        let is_wanted = |value: &[u8]| wanted == Some(value);
        let goes = |standing| matches!(standing, Standing::Revoked | Standing::Outdated);
        let mut remove: Vec<Vec<u8>> = Vec::new();
        for (value, standing) in there {
            // A server that repeats itself must not make us name a value twice: that fails.
            if goes(*standing) && !is_wanted(value) && !remove.contains(value) {
                remove.push(value.clone());
            }
        }
        let present = there.iter().any(|(value, _)| is_wanted(value));
        let add = wanted.filter(|_| !present).map(<[u8]>::to_vec);
        Self { add, remove }
    }

    /// Whether all is as it should be.
    pub fn is_empty(&self) -> bool {
        self.add.is_none() && self.remove.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::{Foreign, Kept, Outdated, Revoked};
    use super::*;

    type Row<'a> = (&'a [(&'a str, Standing)], Option<&'a str>, Option<&'a str>, &'a [&'a str]);

    #[test]
    fn the_table() {
        let table: &[Row<'_>] = &[
            // an entry without certificates
            (&[], Some("new"), Some("new"), &[]),
            (&[], None, None, &[]),
            // done already
            (&[("new", Kept)], Some("new"), None, &[]),
            // renewed
            (&[("old", Outdated)], Some("new"), Some("new"), &["old"]),
            // the last run put it in, and others have renewed since
            (&[("old", Outdated), ("new", Kept)], Some("new"), None, &["old"]),
            // revoked, with and without a successor
            (&[("bad", Revoked)], None, None, &["bad"]),
            (&[("bad", Revoked)], Some("new"), Some("new"), &["bad"]),
            // others' stay, and ours of other names
            (&[("theirs", Foreign), ("other", Kept)], Some("new"), Some("new"), &[]),
            (&[("theirs", Foreign), ("bad", Revoked)], None, None, &["bad"]),
            // what is wanted stays, whatever is said of it
            (&[("new", Outdated)], Some("new"), None, &[]),
            (&[("new", Revoked)], Some("new"), None, &[]),
            (&[("new", Foreign)], Some("new"), None, &[]),
            // a server that repeats itself
            (&[("old", Outdated), ("old", Outdated)], Some("new"), Some("new"), &["old"]),
        ];
        for (there, wanted, add, remove) in table {
            let there: Vec<(Vec<u8>, Standing)> = there
                .iter()
                .map(|(value, standing)| (value.as_bytes().to_vec(), *standing))
                .collect();
            let plan = Plan::of(&there, wanted.map(str::as_bytes));
            let expected = Plan {
                add: add.map(|value| value.as_bytes().to_vec()),
                remove: remove.iter().map(|value| value.as_bytes().to_vec()).collect(),
            };
            assert_eq!(plan, expected, "{there:?} {wanted:?}");
        }
    }

    /// What is planned, done, leaves nothing to do.
    #[test]
    fn it_comes_to_rest() {
        let standings = [Foreign, Kept, Outdated, Revoked];
        for first in standings {
            for second in standings {
                let there = vec![(b"a".to_vec(), first), (b"b".to_vec(), second)];
                let plan = Plan::of(&there, Some(b"new"));
                let mut after: Vec<_> = there.clone();
                after.retain(|(value, _)| !plan.remove.contains(value));
                after.extend(plan.add.map(|value| (value, Kept)));
                assert!(Plan::of(&after, Some(b"new")).is_empty(), "{there:?}");
                assert!(after.iter().any(|(value, _)| value == b"new"));
                let foreign = |all: &[(Vec<u8>, Standing)]| {
                    all.iter().filter(|(_, standing)| *standing == Foreign).count()
                };
                assert_eq!(foreign(&there), foreign(&after));
            }
        }
    }
}
