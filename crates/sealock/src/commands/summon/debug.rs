//! `-d`: what is done, on standard error, in the form of Summon's log lines. Never a value.

use std::io::Write;

use sealock_core::clock::{Clock, SystemClock};

/// Writes, or does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Debug(bool);

impl Debug {
    pub(super) fn new(on: bool) -> Self {
        Self(on)
    }

    pub(super) fn say(self, message: &str, fields: &[(&str, &str)]) {
        if !self.0 {
            return;
        }
        let at = SystemClock.now().to_rfc3339();
        let mut line = format!("time={at} level=DEBUG msg={}", quoted(message));
        for (name, value) in fields {
            line.push_str(&format!(" {name}={}", quoted(value)));
        }
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

/// Quoted where there is a space, a quote or something that does not show.
fn quoted(text: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\"=\\".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("{text:?}")
}
