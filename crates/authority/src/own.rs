//! What the certificates are like that the authority makes for itself below a root: its intermediates, and who answers OCSP
//! for them.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::authority::INTERMEDIATE_LIFE;
use crate::key::KeyType;
use crate::ocsp::RESPONDER_LIFE;

const DAY: Duration = Duration::from_secs(86_400);

/// Certificates of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnProfile {
    /// How long they live, or as long as their issuer does.
    pub life: Duration,
    /// Of which kind a new key is; otherwise as it always was.
    pub key_type: Option<KeyType>,
}

/// All of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnProfiles {
    /// The next intermediate. Its key is of the kind of the authority's, unless something else is said.
    pub intermediate: OwnProfile,
    /// The next OCSP responder. Its key is for P-256, unless something else is said.
    pub ocsp: OwnProfile,
}

impl OwnProfiles {
    /// How long an intermediate may live. It is replaced when a third of its life is left, and what is ordered at any time
    /// for ninety days must fit in that.
    pub const INTERMEDIATE_LIVES: RangeInclusive<Duration> =
        DAY.saturating_mul(270)..=DAY.saturating_mul(3650);
    /// How long a responder may live. It is replaced when a third of its life is left, and an answer of seven days must fit
    /// in that; nobody asks whether it is revoked, so not for years.
    pub const OCSP_LIVES: RangeInclusive<Duration> =
        DAY.saturating_mul(30)..=DAY.saturating_mul(398);
}

impl Default for OwnProfiles {
    fn default() -> Self {
        Self {
            intermediate: OwnProfile { life: INTERMEDIATE_LIFE, key_type: None },
            ocsp: OwnProfile { life: RESPONDER_LIFE, key_type: None },
        }
    }
}
