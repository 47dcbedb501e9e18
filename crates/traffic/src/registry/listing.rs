//! What a Forwarder is told.

use sealock_core::Identity;
use serde::{Deserialize, Serialize};

use crate::broker::RevokedCas;

/// The longest line, in bytes.
const MAXIMUM_LINE: usize = 4 << 20;

/// A service that may be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// For whom the tokens are. Its name is the host by which it is called.
    pub service: Identity,
    /// Other hosts that mean it, `HOST` or `HOST:PORT`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Its Gatekeepers, `HOST:PORT`; there is one at least.
    pub addresses: Vec<String>,
    /// The host that their certificates must be for; otherwise they must have the service's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
}

/// All services that somebody may call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// Whether what is missing is gone. Just after its start a broker has not heard of everybody.
    pub settled: bool,
    /// The services, by name.
    pub services: Vec<Listed>,
    /// The CAs of the broker's trust domain that are revoked: a Gatekeeper's certificate below one is nobody's.
    pub cas: RevokedCas,
}

/// A line of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "directory", content = "is", rename_all = "lowercase", deny_unknown_fields)]
pub enum Line {
    /// All of it, in the place of what was said before.
    Services(Listing),
    /// Nothing new.
    Beat(u64),
}

impl Line {
    /// Reads a line. `None`: it is none.
    pub fn read(line: &str) -> Option<Self> {
        if line.len() > MAXIMUM_LINE { None } else { serde_json::from_str(line).ok() }
    }

    /// The line, with its end.
    pub fn to_line(&self) -> Vec<u8> {
        // Texts and lists, which always can be written.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

impl Listing {
    /// What is known now: while a broker settles, what it does not name is still there, and where it was.
    #[must_use]
    pub fn after(mut self, before: Option<&Self>) -> Self {
        let Some(before) = before.filter(|_| !self.settled) else { return self };
        for old in &before.services {
            match self.services.iter_mut().find(|new| new.service == old.service) {
                None => self.services.push(old.clone()),
                Some(new) if new.tls == old.tls => {
                    let missing = old.addresses.iter().filter(|it| !new.addresses.contains(it));
                    let missing: Vec<String> = missing.cloned().collect();
                    new.addresses.extend(missing);
                    new.addresses.sort();
                }
                Some(_) => {}
            }
        }
        self.services.sort_by(|one, two| one.service.cmp(&two.service));
        self
    }
}
