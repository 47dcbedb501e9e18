//! Words, as the builder splits `LABEL` and `ARG`; and the sources of `ADD`.

/// The words of a text, with their quotes and escapes still in them.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (None, '"' | '\'') => {
                quote = Some(character);
                word.push(character);
            }
            (Some(open), c) if open == c => {
                quote = None;
                word.push(c);
            }
            // Takes the next one with it, but for single quotes, in which it says nothing.
            (None | Some('"'), '\\') => {
                word.push('\\');
                word.extend(characters.next());
            }
            (_, c) => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// A text without its quotes and backslashes: at least as much as any engine makes of it.
pub(super) fn bare(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '"' | '\'' | '\\')).collect()
}

/// The keys that a `LABEL` sets, and whether one of them may be another than it looks like.
pub(super) fn label_keys(rest: &str) -> (Vec<String>, bool) {
    let words = words(rest);
    let is_old = words.first().is_some_and(|first| !first.contains('='));
    let keys: Vec<&str> = match is_old {
        // `LABEL key value with spaces`
        true => rest.split_whitespace().take(1).collect(),
        false => words.iter().map(|word| word.split('=').next().unwrap_or(word)).collect(),
    };
    let unclear = keys.iter().any(|key| key.contains('$'));
    let keys: Vec<String> = keys.into_iter().map(bare).collect();
    let is_ours = |text: &str| text.to_ascii_lowercase().contains("sealock.");
    // A second look that knows nothing of words: where they can be split in more than one way, ours must not be in
    // any of them.
    let hidden = is_odd(rest) && is_ours(&bare(rest));
    let is_risky = unclear || hidden || keys.iter().any(|key| is_ours(key));
    (keys, is_risky)
}

/// Quotes within words, or escapes: what different readers may split in different ways.
fn is_odd(rest: &str) -> bool {
    rest.contains('\\')
        || words(rest).iter().any(|word| {
            let key = word.split('=').next().unwrap_or(word);
            key.trim_matches('"').contains(['"', '\''])
        })
}

/// Whether a source of an `ADD` may be fetched from somewhere: it is a URL, or a variable may make it one.
pub(super) fn is_fetched(rest: &str) -> bool {
    let listed: Vec<String> = match serde_json::from_str(rest) {
        Ok(listed) => listed,
        // The engine's reader takes more for a list than this one.
        Err(_) if rest.trim_start().starts_with('[') => return true,
        Err(_) => Vec::new(),
    };
    let written = rest.split(|c: char| c.is_whitespace() || matches!(c, '[' | ',' | ']'));
    listed.iter().map(String::as_str).chain(written).any(|word| may_be_url(&bare(word)))
}

fn may_be_url(word: &str) -> bool {
    const STARTS: [&str; 5] = ["http://", "https://", "git://", "ssh://", "git@"];
    let word = word.to_ascii_lowercase();
    if word.contains("://") {
        return true;
    }
    match word.split_once('$') {
        Some((before, _)) => STARTS.iter().any(|start| start.starts_with(before)),
        None => STARTS.iter().any(|start| word.starts_with(start)),
    }
}
