//! Spans of time as people write them: `90s`, `15m`, `24h`, `7d`, `2w`, `1y`, and sums such as `1h30m`.

use std::time::Duration;

use thiserror::Error;

/// Why a span was refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{text}` is not a span of time (such as 90s, 15m, 24h, 7d, 1h30m)")]
pub struct SpanError {
    text: String,
}

const UNITS: [(&str, u64); 6] =
    [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800), ("y", 31_536_000)];

/// Reads a span. Every number needs a unit; a year is 365 days; zero is refused.
pub fn parse_span(text: &str) -> Result<Duration, SpanError> {
    let refused =
        || SpanError { text: text.chars().take(40).flat_map(char::escape_default).collect() };
    let mut rest = text.trim();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        let number: u64 = number.parse().map_err(|_| refused())?;
        let seconds = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?.1;
        total = number
            .checked_mul(seconds)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(refused)?;
        rest = tail;
    }
    if total == 0 { Err(refused()) } else { Ok(Duration::from_secs(total)) }
}

/// Writes a span with at most its two largest units: `23h59m`, `6d2h`, `45s`.
pub fn format_span(span: Duration) -> String {
    let mut rest = span.as_secs();
    let mut parts = Vec::new();
    for (name, seconds) in UNITS.iter().rev().filter(|(name, _)| *name != "w") {
        if rest >= *seconds {
            parts.push(format!("{}{name}", rest / seconds));
            rest %= seconds;
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(parse_span("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(parse_span("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_span("10y"), Ok(Duration::from_secs(315_360_000)));
        for bad in ["", "0s", "12", "h", "-1h", "1.5h", "1 h", "9999999999999999y", "1M"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn writes_two_units() {
        assert_eq!(format_span(Duration::from_secs(86_399)), "23h59m");
        assert_eq!(format_span(Duration::from_secs(526_000)), "6d2h");
        assert_eq!(format_span(Duration::from_secs(3605)), "1h");
        assert_eq!(format_span(Duration::ZERO), "0s");
    }
}
