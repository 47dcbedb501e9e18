//! What was probably meant.

/// The known name that is nearest to `text`, if any is near enough.
pub(super) fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let last = |name: &'a str| name.rsplit('.').next().unwrap_or(name);
    let short: String = text.chars().take(64).collect();
    let bare = short.rsplit('.').next().unwrap_or(&short).to_owned();
    let scored = known.map(|name| {
        // The right name in the wrong section is near, too.
        let elsewhere = distance(&bare, last(name)) + 1;
        (distance(&short, name).min(elsewhere), name)
    });
    let (score, name) = scored.min_by_key(|(score, _)| *score)?;
    (score <= 2.max(short.len() / 4)).then(|| name.to_owned())
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let above = *cell;
            let substituted = diagonal + usize::from(from != *to);
            *cell = substituted.min(above + 1).min(left + 1);
            diagonal = above;
            left = *cell;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let known = ["api.listen", "policy.folder", "trust_domain", "authority.crl_url"];
        let find = |text| nearest(text, known.into_iter());
        assert_eq!(find("api.lisen").as_deref(), Some("api.listen"));
        assert_eq!(find("trust-domain").as_deref(), Some("trust_domain"));
        assert_eq!(find("crl_url").as_deref(), Some("authority.crl_url"));
        assert_eq!(find("colour"), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
