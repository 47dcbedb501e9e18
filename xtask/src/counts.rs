//! Counting tests from what the runners print.

use std::ops::AddAssign;

/// How many tests came out how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Of those that passed, how many did so only when they were tried again.
    pub(crate) flaky: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.flaky += other.flaky;
    }
}

/// From nextest's `Summary [ 1.2s] 12 tests run: 10 passed (1 slow), 1 failed, 1 timed out, 0 skipped`.
pub(crate) fn from_nextest(line: &str) -> Option<Counts> {
    let (_, outcomes) = line.trim_start().strip_prefix("Summary [")?.split_once(" run: ")?;
    let mut counts = Counts { flaky: flaky(outcomes), ..Counts::default() };
    let mut depth = 0_u32;
    let outside_of_parentheses = outcomes.chars().filter(|character| match character {
        '(' => {
            depth += 1;
            false
        }
        ')' => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => depth == 0,
    });
    for part in outside_of_parentheses.collect::<String>().split(',') {
        let (number, outcome) = part.trim().split_once(' ')?;
        let number: u64 = number.parse().ok()?;
        match outcome.trim() {
            "passed" => counts.passed += number,
            "skipped" => {}
            // failed, timed out, exec failed, …: whatever is not a success.
            _ => counts.failed += number,
        }
    }
    Some(counts)
}

/// From `870 passed (2 slow, 1 flaky)`.
fn flaky(outcomes: &str) -> u64 {
    let words: Vec<&str> = outcomes.split([' ', '(', ')', ',']).collect();
    let number = words.windows(2).find(|pair| pair.get(1) == Some(&"flaky"));
    number.and_then(|pair| pair.first()?.parse().ok()).unwrap_or_default()
}

/// From `test result: ok. 3 passed; 0 failed; 0 ignored; …` of the standard harness.
pub(crate) fn from_harness(line: &str) -> Option<Counts> {
    let rest = line.trim_start().strip_prefix("test result: ")?;
    let (_, rest) = rest.split_once(". ")?;
    let mut counts = Counts::default();
    for part in rest.split(';') {
        match part.trim().split_once(' ') {
            Some((number, "passed")) => counts.passed += number.parse::<u64>().ok()?,
            Some((number, "failed")) => counts.failed += number.parse::<u64>().ok()?,
            _ => {}
        }
    }
    Some(counts)
}

/// Without the colour codes that runners write for terminals.
pub(crate) fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64) -> Option<Counts> {
        Some(Counts { passed, failed, flaky: 0 })
    }

    #[test]
    fn nextest_summaries() {
        let cases = [
            ("     Summary [   0.010s] 12 tests run: 12 passed, 0 skipped", counts(12, 0)),
            ("Summary [0.010s] 1 test run: 1 passed, 3 skipped", counts(1, 0)),
            (
                "Summary [ 9s] 9 tests run: 5 passed (1 slow, 2 leaky), 2 failed (1 leaky), 1 timed out, 1 exec failed, 2 skipped",
                counts(5, 4),
            ),
            ("    Starting 12 tests across 3 binaries", None),
            ("        PASS [   0.010s] xtask counts::tests::nextest_summaries", None),
        ];
        for (line, expected) in cases {
            assert_eq!(from_nextest(line), expected, "{line}");
        }
        let line = "Summary [ 9s] 9 tests run: 8 passed (3 slow, 2 flaky, 1 leaky), 1 failed";
        assert_eq!(from_nextest(line), Some(Counts { passed: 8, failed: 1, flaky: 2 }));
    }

    #[test]
    fn harness_summaries() {
        let ok = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out";
        assert_eq!(from_harness(ok), counts(3, 0));
        let failed = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured";
        assert_eq!(from_harness(failed), counts(3, 2));
        assert_eq!(from_harness("test a ... ok"), None);
    }

    #[test]
    fn colours_go_and_text_stays() {
        let coloured = "\u{1b}[1m\u{1b}[32m Summary\u{1b}[0m [ 1s] 1 test run: 1 passed";
        assert_eq!(without_colours(coloured), " Summary [ 1s] 1 test run: 1 passed");
    }
}
