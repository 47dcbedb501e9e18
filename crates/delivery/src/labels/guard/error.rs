//! Why a label of a guard was refused, with what to write instead.

use thiserror::Error;

use super::super::error::shortened;
use super::super::suggest;
use super::{PREFIX, SETTINGS};

/// Why a label was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GuardError {
    /// Nearly `sealock.guard.`.
    #[error("labels for Gatekeeper and Forwarder begin with `{PREFIX}`")]
    Prefix,
    /// The last part of the key.
    #[error("`{text}` is not a setting of a guard")]
    UnknownSetting {
        /// What stood there.
        text: String,
        /// The nearest known one.
        nearest: Option<&'static str>,
    },
    /// Key or value.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// No `.service`.
    #[error("no label says which service the container is")]
    NoService,
    /// A setting that needs another.
    #[error("it goes with `{PREFIX}{missing}`, which is not there")]
    Without {
        /// The other.
        missing: &'static str,
    },
    /// A value that cannot be read.
    #[error("`{text}` is not {expected}")]
    Value {
        /// What stood there.
        text: String,
        /// What must stand there.
        expected: &'static str,
    },
    /// One member of a list twice.
    #[error("`{text}` is there twice")]
    Repeated {
        /// The member.
        text: String,
    },
    /// A list without end.
    #[error("more than {limit} members")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Two listeners at one port, or one at the app's.
    #[error("port {port} is asked for twice")]
    Twice {
        /// Which.
        port: u16,
    },
    /// A service that would call itself through its own Forwarder.
    #[error("the service is the container's own")]
    Itself,
    /// Services to call, and no Forwarder.
    #[error("there is no Forwarder to call through: `proxy` is off and there is no `forward`")]
    Nowhere,
}

impl GuardError {
    pub(super) fn service(text: &str) -> Self {
        let expected = "a service's name that can stand in a URL (a-z, 0-9, `-`, `_`, `.`)";
        Self::Value { text: shortened(text), expected }
    }

    pub(super) fn address(text: &str) -> Self {
        Self::Value { text: shortened(text), expected: "an address with a port (`0.0.0.0:8443`)" }
    }

    pub(super) fn not_local(text: &str) -> Self {
        let expected = "on loopback (`127.0.0.1:PORT`); others could call as this service there";
        Self::Value { text: shortened(text), expected }
    }

    pub(super) fn upstream(text: &str) -> Self {
        let expected =
            "an app on the container's loopback (`http://127.0.0.1:PORT`, or `h2c://` for gRPC)";
        Self::Value { text: shortened(text), expected }
    }

    pub(super) fn truth(text: &str) -> Self {
        Self::Value { text: shortened(text), expected: "`true` or `false`" }
    }

    pub(super) fn forward(text: &str) -> Self {
        Self::Value { text: shortened(text), expected: "`ADDRESS:PORT=SERVICE`" }
    }

    pub(super) fn call(text: &str) -> Self {
        Self::Value { text: shortened(text), expected: "`SERVICE=HOST:PORT`" }
    }

    pub(super) fn repeated(text: &str) -> Self {
        Self::Repeated { text: shortened(text) }
    }

    /// What to do about it, where that is not in the message already.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Prefix => Some(format!("write {PREFIX}SETTING, such as {PREFIX}service")),
            Self::UnknownSetting { nearest: Some(word), .. } => {
                Some(format!("did you mean `{word}`?"))
            }
            Self::UnknownSetting { .. } => {
                Some(format!("the settings are {}", SETTINGS.join(", ")))
            }
            Self::NoService => Some(format!("such as {PREFIX}service=orders")),
            Self::Without { missing } => Some(format!("add {PREFIX}{missing}, or leave both out")),
            _ => None,
        }
    }
}

/// A label that was refused, and with it the whole guard.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("label `{label}`: {reason}")]
pub struct GuardFault {
    /// The label's key, shortened and without control characters.
    pub label: String,
    /// Why.
    pub reason: GuardError,
}

impl GuardFault {
    pub(super) fn new(label: &str, reason: GuardError) -> Self {
        Self { label: shortened(label), reason }
    }
}

pub(super) fn unknown_setting(text: &str) -> GuardError {
    GuardError::UnknownSetting { text: shortened(text), nearest: suggest::nearest(text, &SETTINGS) }
}
