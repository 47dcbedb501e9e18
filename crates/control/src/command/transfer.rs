//! What is told of files on their way into containers.

use sealock_core::policy::ContainerFacts;
use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::WITHHELD;

/// Files that are about to be sent into a container by the calling process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransferBegin {
    /// The container as the caller's engine describes it.
    pub container: ContainerFacts,
    /// The absolute destination in the container.
    pub path: String,
    /// `direct`, `exec` or `url`.
    pub carrier: String,
    /// What happens afterwards: `signal:HUP`, `exec:CMD`, or nothing.
    pub after: Option<String>,
}

/// A transfer that reached its end; its receipt was verified by the caller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferFinish {
    /// As it was opened.
    pub transfer: String,
    /// Hex SHA-256 of what was written, or [`WITHHELD`].
    pub sha256: String,
    /// How many bytes.
    pub bytes: u64,
    /// How many files.
    pub files: u64,
    /// The carrier that was used in the end, where `auto` chose another.
    #[serde(default)]
    pub carrier: Option<String>,
}

/// Something that happened to an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "happened", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OfferEvent {
    /// It was taken, and the receiver confirmed the digest.
    Taken {
        /// The reader's address.
        peer: String,
        /// Hex SHA-256 of what was taken.
        sha256: String,
    },
    /// Somebody asked and got nothing.
    Refused {
        /// The reader's address.
        peer: String,
        /// Why.
        reason: String,
    },
    /// Its time ran out, or it was withdrawn, before anybody took it.
    Ended {
        /// Why.
        reason: String,
    },
}

/// A transfer that may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferOpened {
    /// Its id, for what follows.
    pub transfer: String,
    /// The request id in the audit log.
    pub request: String,
}
