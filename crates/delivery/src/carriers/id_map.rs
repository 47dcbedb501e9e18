//! The ids of a user namespace, as `/proc/<pid>/uid_map` and `gid_map` list them: first id inside,
//! first id as the reader sees it, how many (`user_namespaces(7)`).

/// How many lines the kernel takes at most.
const LINE_LIMIT: usize = 340;

/// Ranges of ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdMap(Vec<Range>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    inside: u32,
    outside: u32,
    count: u32,
}

impl IdMap {
    /// Reads the kernel's text; `None` when it is not that.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut ranges = Vec::new();
        for line in text.lines() {
            let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
            let mut next = || numbers.next()?.ok();
            ranges.push(Range { inside: next()?, outside: next()?, count: next()? });
            if numbers.next().is_some() || ranges.len() > LINE_LIMIT {
                return None;
            }
        }
        Some(Self(ranges))
    }

    /// The id that we see for an id inside.
    pub(crate) fn host(&self, inside: u32) -> Option<u32> {
        self.0.iter().find_map(|range| {
            let offset = inside.checked_sub(range.inside)?;
            if offset >= range.count {
                return None;
            }
            range.outside.checked_add(offset).filter(|id| *id != u32::MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_remapping_ids_are_the_same() {
        let map = IdMap::parse("         0          0 4294967295\n").unwrap();
        assert_eq!(map.host(0), Some(0));
        assert_eq!(map.host(1000), Some(1000));
        assert_eq!(map.host(u32::MAX), None);
    }

    #[test]
    fn remapped_ids_are_moved_and_others_do_not_exist() {
        let map = IdMap::parse("0 165536 1000\n1000 1000 1\n1001 166537 64535\n").unwrap();
        assert_eq!(map.host(0), Some(165_536));
        assert_eq!(map.host(999), Some(166_535));
        assert_eq!(map.host(1000), Some(1000));
        assert_eq!(map.host(1001), Some(166_537));
        assert_eq!(map.host(70_000), None);
        assert_eq!(IdMap::parse("").unwrap().host(0), None);
    }

    #[test]
    fn other_text_is_no_map() {
        for bad in ["0 0", "a b c", "0 0 1 2", "0 0 -1", "0 0 4294967296"] {
            assert_eq!(IdMap::parse(bad), None, "{bad}");
        }
        assert_eq!(IdMap::parse(&"0 0 1\n".repeat(341)), None);
    }
}
