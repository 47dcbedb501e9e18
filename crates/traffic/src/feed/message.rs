//! What is said on a feed.

use sealock_core::Identity;
use sealock_core::policy::Mode;
use serde::{Deserialize, Serialize};

use super::FeedError;

/// The longest line, in bytes: a policy as long as it may be, with every quote escaped.
pub const MAXIMUM_LINE: usize = 16 << 20;

/// The rules that can matter to calls of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its number.
    pub epoch: u64,
    /// File names and texts.
    pub sources: Vec<(String, String)>,
    /// Of the traffic plane.
    pub mode: Mode,
}

/// All that a Gatekeeper decides by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// `iss` of tokens.
    pub issuer: String,
    /// The key set, JSON in a text, which the head names by its hash.
    pub keys: String,
    /// The policy.
    pub policy: Policy,
    /// Who is in which of the groups that the policy names.
    pub groups: Vec<(Identity, Vec<String>)>,
    /// The revocations that still matter, as they were signed (an [`Entry`](crate::broker::Entry) each).
    pub revocations: Vec<String>,
    /// The CAs that are revoked ([`RevokedCas`](crate::broker::RevokedCas)), a text, which the head names by its hash.
    pub cas: String,
    /// How far the list goes, which keys are in force and which CAs are revoked, signed (a
    /// [`Head`](crate::broker::Head)).
    pub head: String,
}

/// A line of the feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "feed", content = "is", rename_all = "lowercase", deny_unknown_fields)]
pub enum Message {
    /// All of it: the first, and again when the keys are others.
    Snapshot(Box<Snapshot>),
    /// Another policy, and who is in the groups that it names: in force together.
    Policy {
        /// The policy.
        policy: Policy,
        /// Who is in which groups.
        groups: Vec<(Identity, Vec<String>)>,
    },
    /// The next revocation, as it was signed.
    Revoked(String),
    /// Another CA is revoked, or the certificate of one has ended.
    Cas {
        /// All that are revoked.
        cas: String,
        /// What names them by their hash, signed. It says nothing else here.
        head: String,
    },
    /// The feed lives.
    Beat {
        /// How far the list goes, which keys are in force and which CAs are revoked, signed.
        head: String,
    },
}

impl Message {
    /// Reads a line.
    ///
    /// # Errors
    /// [`FeedError::Line`].
    pub fn read(line: &str) -> Result<Self, FeedError> {
        serde_json::from_str(line).map_err(|error| FeedError::Line { column: error.column() })
    }

    /// The line, with its end.
    pub fn to_line(&self) -> Vec<u8> {
        // Texts, numbers and lists, which always can be written.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}
