//! Did you mean: the nearest of a few known words.

/// The Levenshtein distance, in characters.
pub(super) fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.chars().enumerate() {
        let mut previous = index;
        let mut next = vec![index + 1];
        for (to, above) in right.iter().zip(row.iter().skip(1)) {
            let replaced = previous + usize::from(from != *to);
            let last = next.last().copied().unwrap_or(usize::MAX - 1);
            next.push(replaced.min(above + 1).min(last + 1));
            previous = *above;
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// The nearest of `known`, when it is near enough to be a slip of the hand.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.len() > 32 {
        return None;
    }
    known
        .iter()
        .map(|candidate| {
            // Between equals: hands slip at the end of a word more than at its beginning.
            let other_start = word.chars().next() != candidate.chars().next();
            (distance(word, candidate), other_start, *candidate)
        })
        .filter(|(steps, _, candidate)| *steps <= 2 && *steps < candidate.len())
        .min()
        .map(|(_, _, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, steps) in [
            ("", "", 0),
            ("", "abc", 3),
            ("dns", "dns", 0),
            ("dsn", "dns", 2),
            ("certs", "cert", 1),
        ] {
            assert_eq!(distance(left, right), steps, "{left} {right}");
            assert_eq!(distance(right, left), steps, "{right} {left}");
        }
    }

    #[test]
    fn the_nearest_is_suggested_only_when_near() {
        let known = ["dns", "ip", "usage", "key-type"];
        assert_eq!(nearest("dsn", &known), Some("dns"));
        assert_eq!(nearest("usages", &known), Some("usage"));
        assert_eq!(nearest("keytype", &known), Some("key-type"));
        assert_eq!(nearest("zzzz", &known), None);
        assert_eq!(nearest("xy", &known), None);
    }
}
