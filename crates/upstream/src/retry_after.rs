//! `Retry-After` (RFC 9110 §10.2.3).

use std::time::{Duration, SystemTime};

/// For how long a server wants to be left alone: so many seconds, or until a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAfter(pub Duration);

impl RetryAfter {
    /// What the field says, as seen at `now`. What cannot be read says nothing.
    pub fn read(value: &[u8], now: SystemTime) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // More digits than fit are a long time as well.
            return Some(Self(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX)))));
        }
        let moment = httpdate::parse_http_date(text).ok()?;
        Some(Self(moment.duration_since(now).unwrap_or_default()))
    }

    /// No less and no more than these: a server decides when it is asked, but not that it never is.
    #[must_use]
    pub fn within(self, least: Duration, most: Duration) -> Duration {
        self.0.clamp(least, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read =
            |text: &str| RetryAfter::read(text.as_bytes(), now).map(|after| after.0.as_secs());
        assert_eq!(read(" 120 "), Some(120));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(read("Sun, 06 Nov 1994 08:40:37 GMT"), Some(0));
        assert_eq!(read(&"9".repeat(40)), Some(u64::from(u32::MAX)));
        for text in ["", "-1", "1.5", "soon", "١٢"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(RetryAfter::read(&[0xff], now), None);
        let hour = Duration::from_secs(3600);
        assert_eq!(RetryAfter(Duration::ZERO).within(hour, hour * 2), hour);
        assert_eq!(RetryAfter(hour * 99).within(hour, hour * 2), hour * 2);
    }
}
