//! Timing commands and pieces of code.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Something that is timed.
pub(crate) type Piece<'a> = &'a mut dyn FnMut() -> Result<Duration>;

/// Runs each piece in turn, `rounds` times after one that is not counted. Returns the medians.
pub(crate) fn in_turn<const PIECES: usize>(
    rounds: usize,
    mut pieces: [Piece<'_>; PIECES],
) -> Result<[Duration; PIECES]> {
    let mut medians = all_in_turn(rounds, &mut pieces)?.into_iter().map(median);
    Ok(std::array::from_fn(|_| medians.next().unwrap_or_default()))
}

/// The same for any number of pieces, with all times of each.
pub(crate) fn all_in_turn(rounds: usize, pieces: &mut [Piece<'_>]) -> Result<Vec<Vec<Duration>>> {
    let mut times = vec![Vec::with_capacity(rounds); pieces.len()];
    for round in 0..=rounds {
        for (piece, times) in pieces.iter_mut().zip(&mut times) {
            let taken = piece()?;
            if round > 0 {
                times.push(taken);
            }
        }
    }
    Ok(times)
}

/// The middle one; the mean of the two in the middle when their number is even.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let middle = times.len() / 2;
    let upper = times.get(middle).copied().unwrap_or_default();
    if times.len() % 2 == 1 {
        return upper;
    }
    let lower = middle.checked_sub(1).and_then(|index| times.get(index)).copied();
    (lower.unwrap_or(upper) + upper) / 2
}

/// What only one in a hundred takes longer than.
pub(crate) fn slowest_hundredth(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}

/// How long a command takes, which has to succeed.
pub(crate) fn command(command: &mut Command) -> Result<Duration> {
    let shown = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let started = Instant::now();
    let output = command.output().with_context(|| format!("cannot run {shown}"))?;
    let taken = started.elapsed();
    if !output.status.success() {
        bail!("{shown}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let of = |numbers: &[u64]| {
            median(numbers.iter().copied().map(Duration::from_secs).collect()).as_secs_f64()
        };
        assert_eq!(of(&[3, 1, 2]), 2.0);
        assert_eq!(of(&[4, 1, 2, 3]), 2.5);
        assert_eq!(of(&[7]), 7.0);
        let hundred = (1..=100).map(Duration::from_secs).collect();
        assert_eq!(slowest_hundredth(hundred), Duration::from_secs(100));
        assert_eq!(slowest_hundredth(vec![Duration::from_secs(7)]), Duration::from_secs(7));
    }

    #[test]
    fn the_first_round_is_not_counted() {
        let mut calls = 0;
        let mut piece = || {
            calls += 1;
            Ok(Duration::from_secs(if calls == 1 { 100 } else { 1 }))
        };
        let [taken] = in_turn(3, [&mut piece]).unwrap();
        assert_eq!((taken, calls), (Duration::from_secs(1), 4));
    }
}
