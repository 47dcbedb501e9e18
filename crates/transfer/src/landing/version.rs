//! Names of a folder destination's versions: `..2026_01_31_23_59_59.<16 hexadecimal digits>`.
//!
//! The time is for people who look; the rest tells versions apart and tells ours from those of
//! others (Kubernetes' end in decimal digits), so that healing removes only what is ours.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{LandingError, unguessable};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version(String);

impl Version {
    /// A name that nothing has yet.
    pub(crate) fn new() -> Result<Self, LandingError> {
        let seconds =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let random = unguessable()?;
        let random = random.get(..16).unwrap_or(&random);
        Ok(Self(format!("..{}.{random}", moment(seconds))))
    }

    /// Reads a name; `None` when it is not one of ours.
    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(name).ok()?;
        let (time, random) = text.strip_prefix("..")?.split_once('.')?;
        let digits = time.len() == 19
            && time.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 | 10 | 13 | 16 => byte == b'_',
                _ => byte.is_ascii_digit(),
            });
        let hexadecimal = random.len() == 16
            && random.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        (digits && hexadecimal).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The date by the algorithm of Howard Hinnant, "chrono-compatible low-level date algorithms"
/// (`civil_from_days`), for days after the epoch.
fn moment(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}_{month:02}_{day:02}_{hour:02}_{minute:02}_{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_civil() {
        assert_eq!(moment(0), "1970_01_01_00_00_00");
        assert_eq!(moment(951_782_399), "2000_02_28_23_59_59");
        assert_eq!(moment(951_782_400), "2000_02_29_00_00_00");
        assert_eq!(moment(1_735_689_599), "2024_12_31_23_59_59");
    }

    #[test]
    fn only_our_own_names_are_recognised() {
        let new = Version::new().unwrap();
        assert_eq!(Version::parse(new.as_str().as_bytes()), Some(new));
        for foreign in [
            "..data",
            "..2026_01_31_23_59_59.1234567890",
            "..2026_01_31_23_59_59.0123456789abcdeF",
            "..2026_01_31_23_59_59.0123456789abcdef/x",
            "2026_01_31_23_59_59.0123456789abcdef",
            "../../etc",
        ] {
            assert_eq!(Version::parse(foreign.as_bytes()), None, "{foreign}");
        }
    }
}
