//! The number of a call, and its place in a trace (W3C Trace Context, level 1).
//!
//! Both are the caller's if they are well-formed: they only tie log lines together, and nothing is decided by them. What
//! has to be unique, such as the number of a denial, is never taken from a caller.

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// The header with the number of a call.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header with the place in a trace.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What systems that trace add to it.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A number that a caller may have chosen: no longer than that.
const LONGEST: usize = 64;
/// Bytes of a number of ours.
const OWN: usize = 16;
/// Bytes of a trace's number.
const TRACE: usize = 16;
/// Bytes of the number of a place in it.
const PARENT: usize = 8;

/// What ties the lines of one call together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// The number of the call.
    pub request: HeaderValue,
    /// Its place in a trace.
    pub traceparent: HeaderValue,
    /// Whether the trace is the caller's, with a `tracestate` that goes on.
    pub is_traced: bool,
}

impl Ids {
    /// Those of a request, made where it has none. None if the system has no randomness.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let request = only(headers, &REQUEST_ID).filter(|value| is_request_id(value.as_bytes()));
        let trace = only(headers, &TRACEPARENT).filter(|value| is_traceparent(value.as_bytes()));
        let is_traced = trace.is_some();
        if let (Some(request), Some(trace)) = (request, trace) {
            return Some(Self { request: request.clone(), traceparent: trace.clone(), is_traced });
        }
        // All at once: each draw costs.
        let digits = fresh::<{ OWN + TRACE + PARENT }>()?;
        let (own, rest) = digits.split_at_checked(2 * OWN)?;
        let request = match request {
            Some(request) => request.clone(),
            None => HeaderValue::from_str(own).ok()?,
        };
        let traceparent = match trace {
            Some(trace) => trace.clone(),
            None => {
                let (trace, parent) = rest.split_at_checked(2 * TRACE)?;
                // Not sampled: whether it is, is for whoever begins a trace on purpose.
                HeaderValue::from_maybe_shared(format!("00-{trace}-{parent}-00")).ok()?
            }
        };
        Some(Self { request, traceparent, is_traced })
    }

    /// The number as text.
    pub fn request(&self) -> &str {
        self.request.to_str().unwrap_or_default()
    }
}

/// A number that nobody else has chosen, as 32 hex digits. None if the system has no randomness.
pub fn unique() -> Option<String> {
    fresh::<OWN>()
}

/// Random bytes as hex digits. That those of a trace are all zero, which they must not be, is less likely than a fault of
/// the machine.
fn fresh<const BYTES: usize>() -> Option<String> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).ok()?;
    Some(HEXLOWER.encode(&bytes))
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut all = headers.get_all(name).into_iter();
    all.next().filter(|_| all.next().is_none())
}

fn is_request_id(value: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    !value.is_empty() && value.len() <= LONGEST && value.iter().all(allowed)
}

/// `00-trace-parent-flags`. A newer version may say more than we understand, so the trace begins anew.
fn is_traceparent(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b'-');
    let (Some(version), Some(trace), Some(parent), Some(flags), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let is_hex = |part: &[u8], length| {
        part.len() == length
            && part.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
    };
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    version == b"00"
        && is_hex(trace, 2 * TRACE)
        && is_hex(parent, 2 * PARENT)
        && is_hex(flags, 2)
        && !is_zero(trace)
        && !is_zero(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(fields: &[(&HeaderName, &str)]) -> Ids {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        Ids::of(&headers).unwrap()
    }

    #[test]
    fn what_is_well_formed_is_kept() {
        let ids = of(&[(&REQUEST_ID, "a-B_3.4"), (&TRACEPARENT, TRACE)]);
        assert_eq!((ids.request(), ids.traceparent.as_bytes()), ("a-B_3.4", TRACE.as_bytes()));
        assert!(ids.is_traced);
    }

    #[test]
    fn what_is_not_is_made_anew() {
        let one = of(&[]);
        assert!(
            is_traceparent(one.traceparent.as_bytes()) && is_request_id(one.request.as_bytes())
        );
        assert!(!one.is_traced && one != of(&[]));
        let long = "a".repeat(LONGEST + 1);
        for id in ["", "a b", "a\"b", "a/b", &long] {
            assert_ne!(of(&[(&REQUEST_ID, id)]).request(), id);
        }
        let twice = of(&[
            (&REQUEST_ID, "a"),
            (&REQUEST_ID, "a"),
            (&TRACEPARENT, TRACE),
            (&TRACEPARENT, TRACE),
        ]);
        assert!(twice.request() != "a" && !twice.is_traced);
        for trace in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        ] {
            assert!(!of(&[(&TRACEPARENT, trace)]).is_traced, "{trace}");
        }
    }
}
