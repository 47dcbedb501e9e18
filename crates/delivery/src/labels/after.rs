//! What follows a delivery: how the service is told, and where it is looked at.

use std::fmt;
use std::str::FromStr;

use sealock_core::DnsName;

use super::error::shortened;
use super::{LabelError, suggest};

/// A signal that a process can act on; shown as its name without `SIG`, or its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signal(u8);

/// The signals of Linux (signal(7), x86 and ARM). KILL (9) and STOP (19) are left out: no process can
/// act on them, so they reload nothing.
const SIGNALS: [(&str, u8); 29] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

impl Signal {
    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let upper = text.to_ascii_uppercase();
        let word = upper.strip_prefix("SIG").unwrap_or(&upper);
        let by_name = SIGNALS.iter().find(|(name, _)| *name == word).map(|(_, number)| *number);
        let by_number = || {
            let number = word.parse::<u8>().ok().filter(|_| !word.starts_with('+'))?;
            // 32 and 33 are the C library's own.
            let known = SIGNALS.iter().any(|(_, known)| *known == number);
            (known || (34..=64).contains(&number)).then_some(number)
        };
        by_name.or_else(by_number).map(Self).ok_or_else(|| {
            let names: Vec<&str> = SIGNALS.iter().map(|(name, _)| *name).collect();
            let nearest = suggest::nearest(word, &names);
            LabelError::Signal { text: shortened(text), nearest }
        })
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIGNALS.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => formatter.write_str(name),
            None => write!(formatter, "{}", self.0),
        }
    }
}

/// How a service is told that its files have changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reload {
    /// A signal to the container's first process.
    Signal(Signal),
    /// A command inside the container: program and arguments, no shell.
    Exec(Vec<String>),
}

impl FromStr for Reload {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("signal", signal)) => signal.trim().parse().map(Self::Signal),
            Some(("exec", command)) => words(command).map(Self::Exec),
            _ => Err(LabelError::Reload { text: shortened(text) }),
        }
    }
}

impl fmt::Display for Reload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => write!(formatter, "signal:{signal}"),
            // The program only: arguments are the container's business, not the audit log's.
            Self::Exec(words) => {
                write!(formatter, "exec:{}", words.first().map_or("", String::as_str))
            }
        }
    }
}

fn words(command: &str) -> Result<Vec<String>, LabelError> {
    let refused = |why| LabelError::Command { why };
    if command.contains('\0') {
        return Err(refused("it has a zero byte"));
    }
    let words = shlex::split(command).ok_or_else(|| refused("a quote is not closed"))?;
    match words.first() {
        None => Err(refused("it is empty")),
        Some(program) if program.is_empty() => Err(refused("the program's name is empty")),
        Some(_) if words.len() > 64 => Err(refused("it has more than 64 words")),
        Some(_) => Ok(words),
    }
}

/// Where a service is to be seen serving its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The TCP port inside the container.
    pub port: u16,
    /// The name to ask for (SNI); `None` stands for the first name of the certificate.
    pub server_name: Option<DnsName>,
}

impl FromStr for Endpoint {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || LabelError::Verify { text: shortened(text) };
        let rest = text.strip_prefix("tls:").ok_or_else(refused)?;
        let (port, name) = rest.split_once('/').map_or((rest, None), |(p, n)| (p, Some(n)));
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refused());
        }
        let port = port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(refused)?;
        let server_name = name.map(str::parse::<DnsName>).transpose()?;
        if server_name.as_ref().is_some_and(DnsName::is_wildcard) {
            return Err(refused());
        }
        Ok(Self { port, server_name })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server_name {
            Some(name) => write!(formatter, "tls:{}/{name}", self.port),
            None => write!(formatter, "tls:{}", self.port),
        }
    }
}
