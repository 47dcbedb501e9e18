//! Where others learn what is revoked: `[revocation]`.

use std::time::Duration;

use sealock_authority::{OCSP_LIFE, PRESIGNED, Publication};

use super::settings::Listen;

/// An OCSP answer may be good for so long: a responder's certificate has ten days left at least.
const LIVES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(600)..=Duration::from_secs(7 * 86_400);

/// Revocation lists and OCSP for everybody, over HTTP without TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationSettings {
    /// Where it listens.
    pub listen: Listen,
    /// By which URL others reach it; written into every certificate.
    pub url: Option<String>,
    /// Whether OCSP is answered.
    pub ocsp: bool,
    /// How long an OCSP answer is good for.
    pub ocsp_life: Duration,
    /// Whether nonces are answered.
    pub nonce: bool,
    /// For how many certificates answers are made in advance.
    pub presigned: usize,
}

impl Default for RevocationSettings {
    fn default() -> Self {
        Self {
            listen: Listen::Off,
            url: None,
            ocsp: true,
            ocsp_life: OCSP_LIFE,
            nonce: false,
            presigned: PRESIGNED,
        }
    }
}

impl RevocationSettings {
    /// What the authority is told: nothing is written into certificates that nobody answers.
    pub fn publication(&self) -> Publication {
        let on = self.listen != Listen::Off;
        Publication {
            url: self.url.clone().filter(|_| on),
            ocsp: self.ocsp && on,
            ocsp_life: self.ocsp_life,
            nonce: self.nonce,
            presigned: self.presigned,
        }
    }

    pub(super) fn set_url(&mut self, url: &str) -> Result<(), String> {
        let publication = Publication { url: Some(url.to_owned()), ..Publication::default() };
        publication.check().map_err(|_| {
            "must be an http:// or https:// URL without a query, such as http://pki.corp.example:8480"
                .to_owned()
        })?;
        self.url = Some(url.to_owned());
        Ok(())
    }

    pub(super) fn set_life(&mut self, life: Duration) -> Result<(), String> {
        if !LIVES.contains(&life) {
            return Err("must be 10m to 7d".to_owned());
        }
        self.ocsp_life = life;
        Ok(())
    }
}
