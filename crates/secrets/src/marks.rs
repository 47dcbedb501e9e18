//! What became of each version of a secret, as runs of equal ones: a secret with a thousand live versions
//! takes nine bytes.

/// No secret has more versions than this, purged ones included; so adding one never overflows.
pub(crate) const MAX_VERSION: u64 = 1 << 40;
/// The most versions of which there is a row: those that are kept, and the latest that were purged.
pub(crate) const MAX_ROWS: u64 = 2000;
/// Bytes of one run: mark and length.
const RUN: usize = 9;

/// What became of a version. That it has expired is no mark: it follows from the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It can be read.
    Live = 1,
    /// It cannot be read, and can be had back.
    Deleted = 2,
    /// Its value is destroyed; the row that says what it was is there.
    Purged = 3,
    /// It is purged and that row is gone too.
    Forgotten = 4,
}

impl Mark {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Live, Self::Deleted, Self::Purged, Self::Forgotten]
            .into_iter()
            .find(|mark| *mark as u8 == byte)
    }

    /// Whether there is a value.
    pub(crate) fn is_kept(self) -> bool {
        matches!(self, Self::Live | Self::Deleted)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    mark: Mark,
    count: u64,
}

/// The marks of versions 1, 2, 3… of one secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Marks(Vec<Run>);

impl Marks {
    /// The number of the newest version; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.0.iter().map(|run| run.count).sum()
    }

    /// The mark of a version; `None` when there never was one of this number.
    pub(crate) fn of(&self, version: u64) -> Option<Mark> {
        let mut end = 0;
        self.0.iter().filter(|_| version > 0).find_map(|run| {
            end += run.count;
            (version <= end).then_some(run.mark)
        })
    }

    /// How many have a value.
    pub(crate) fn kept(&self) -> u64 {
        self.0.iter().filter(|run| run.mark.is_kept()).map(|run| run.count).sum()
    }

    /// How many have a row.
    pub(crate) fn rows(&self) -> u64 {
        self.0.iter().filter(|run| run.mark != Mark::Forgotten).map(|run| run.count).sum()
    }

    /// The oldest version with this mark.
    pub(crate) fn first(&self, mark: Mark) -> Option<u64> {
        self.each().find(|(_, found)| *found == mark).map(|(version, _)| version)
    }

    /// Every version that has a row, oldest first.
    pub(crate) fn each(&self) -> impl Iterator<Item = (u64, Mark)> + '_ {
        let mut end = 0;
        let spans = self.0.iter().map(move |run| {
            let start = end + 1;
            end += run.count;
            (start..=end, run.mark)
        });
        spans
            .filter(|(_, mark)| *mark != Mark::Forgotten)
            .flat_map(|(versions, mark)| versions.map(move |version| (version, mark)))
    }

    /// One more version.
    pub(crate) fn push(&mut self, mark: Mark) {
        self.extend(mark, 1);
    }

    /// Passes over numbers, so that the next version is at least `version`.
    pub(crate) fn skip_to(&mut self, version: u64) {
        let missing = version.saturating_sub(1).saturating_sub(self.last());
        self.extend(Mark::Forgotten, missing);
    }

    /// Marks a version that there is.
    pub(crate) fn set(&mut self, version: u64, mark: Mark) {
        let before = std::mem::take(self);
        let mut end = 0;
        for run in before.0 {
            let start = end + 1;
            end += run.count;
            if (start..=end).contains(&version) {
                self.extend(run.mark, version - start);
                self.extend(mark, 1);
                self.extend(run.mark, end - version);
            } else {
                self.extend(run.mark, run.count);
            }
        }
    }

    fn extend(&mut self, mark: Mark, count: u64) {
        match self.0.last_mut() {
            _ if count == 0 => {}
            Some(run) if run.mark == mark => run.count += count,
            _ => self.0.push(Run { mark, count }),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for run in &self.0 {
            out.push(run.mark as u8);
            out.extend_from_slice(&run.count.to_be_bytes());
        }
    }

    /// Reads what [`Marks::encode`] writes, and only that: bounded, and no two equal runs together.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (runs, rest) = bytes.as_chunks::<RUN>();
        if runs.is_empty() || !rest.is_empty() {
            return None;
        }
        let mut marks = Self::default();
        for [mark, count @ ..] in runs {
            let (mark, count) = (Mark::from_byte(*mark)?, u64::from_be_bytes(*count));
            let repeated = marks.0.last().is_some_and(|run| run.mark == mark);
            if repeated || !(1..=MAX_VERSION).contains(&count) {
                return None;
            }
            marks.0.push(Run { mark, count });
            if marks.last() > MAX_VERSION || marks.rows() > MAX_ROWS {
                return None;
            }
        }
        Some(marks)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark() -> impl Strategy<Value = Mark> {
        (1_u8..=4).prop_map(|byte| Mark::from_byte(byte).unwrap())
    }

    proptest! {
        /// Runs say the same as a plain list.
        #[test]
        fn runs_are_a_list(
            pushed in proptest::collection::vec(mark(), 1..40),
            changes in proptest::collection::vec((1_usize..40, mark()), 0..40),
        ) {
            let (mut list, mut marks) = (pushed.clone(), Marks::default());
            pushed.iter().for_each(|mark| marks.push(*mark));
            for (version, mark) in changes {
                marks.set(version as u64, mark);
                if let Some(place) = list.get_mut(version - 1) {
                    *place = mark;
                }
            }
            for version in 0..45_usize {
                let expected = version.checked_sub(1).and_then(|index| list.get(index)).copied();
                prop_assert_eq!(marks.of(version as u64), expected);
            }
            prop_assert_eq!(marks.last(), list.len() as u64);
            prop_assert_eq!(marks.kept(), list.iter().filter(|mark| mark.is_kept()).count() as u64);
            prop_assert_eq!(marks.rows(), marks.each().count() as u64);
            prop_assert!(marks.0.windows(2).all(|pair| pair[0].mark != pair[1].mark));
            let mut bytes = Vec::new();
            marks.encode(&mut bytes);
            prop_assert_eq!(Marks::decode(&bytes), Some(marks));
        }

        #[test]
        fn what_is_read_is_what_would_be_written(bytes in proptest::collection::vec(0_u8..6, 0..40)) {
            if let Some(marks) = Marks::decode(&bytes) {
                let mut again = Vec::new();
                marks.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn numbers_are_passed_over() {
        let mut marks = Marks::default();
        marks.skip_to(5);
        marks.push(Mark::Live);
        marks.skip_to(3);
        assert_eq!((marks.last(), marks.rows(), marks.first(Mark::Live)), (5, 1, Some(5)));
        assert_eq!(marks.of(4), Some(Mark::Forgotten));
    }

    #[test]
    fn bounds() {
        let run = |mark: Mark, count: u64| [&[mark as u8][..], &count.to_be_bytes()].concat();
        assert!(Marks::decode(&run(Mark::Forgotten, MAX_VERSION)).is_some());
        assert!(Marks::decode(&run(Mark::Forgotten, MAX_VERSION + 1)).is_none());
        assert!(Marks::decode(&run(Mark::Live, MAX_ROWS)).is_some());
        assert!(Marks::decode(&run(Mark::Live, MAX_ROWS + 1)).is_none());
        assert!(Marks::decode(&run(Mark::Live, 0)).is_none());
        assert!(Marks::decode(&[run(Mark::Live, 1), run(Mark::Live, 1)].concat()).is_none());
        assert!(Marks::decode(b"").is_none());
    }
}
