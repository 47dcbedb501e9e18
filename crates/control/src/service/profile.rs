//! By which certificate profile an order is made, and whether it is within its bounds. Policy is asked after that, and is told
//! the profile.

use std::time::Duration;

use sealock_authority::{OWN_PROFILES, Profile, ProfileError, PublicKeyKind, Usages};
use sealock_core::policy::plain;
use sealock_core::span::format_span;
use sealock_core::{Identity, SubjectName};

use super::Service;
use crate::command::DEFAULT_LIFE;
use crate::error::{ErrorCode, ServiceError};

/// A profile, by the name that the inventory and policy know it by.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) name: String,
    pub(super) profile: Profile,
}

impl Service {
    /// The profile that an order names, or that of its usages.
    pub(super) fn terms(
        &self,
        named: Option<&str>,
        usages: Option<Usages>,
    ) -> Result<Terms, ServiceError> {
        let profiles = &self.config().settings.profiles;
        let (name, usages) = match (named, usages) {
            (Some(_), Some(_)) => {
                let text = "a profile says itself what its certificates are for";
                return Err(ServiceError::new(ErrorCode::Usage, text)
                    .hint("give a profile, or usages: not both"));
            }
            (Some(name), None) => (name, None),
            (None, usages) => {
                let usages = usages.unwrap_or_default();
                (usages.usual_profile(), Some(usages))
            }
        };
        if let Some((own, what)) = OWN_PROFILES.iter().find(|(own, _)| *own == name) {
            let text = format!("certificates of the profile `{own}` are the authority's own");
            return Err(ServiceError::new(ErrorCode::Usage, text).hint(format!("it {what}")));
        }
        let profile = profiles.get(name).ok_or_else(|| {
            let known: Vec<&str> = profiles.names().collect();
            let meant = profiles.nearest(name).map(|it| format!("did you mean `{it}`? "));
            let short: String = name.chars().take(64).collect();
            ServiceError::new(ErrorCode::Usage, format!("there is no profile `{}`", plain(&short)))
                .hint(self.about_settings(format!(
                    "{}there are {}",
                    meant.unwrap_or_default(),
                    known.join(", ")
                )))
        })?;
        let profile = match usages {
            Some(usages) => Profile { usages, ..profile.clone() },
            None => profile.clone(),
        };
        Ok(Terms { name: name.to_owned(), profile })
    }

    /// How long a certificate of a profile lives: as asked, if that is not too long; else as the profile says, or a day.
    pub(super) fn life(
        &self,
        seconds: Option<u64>,
        terms: &Terms,
    ) -> Result<Duration, ServiceError> {
        let longest = self.config().settings.authority.longest_life;
        let Some(asked) = seconds.map(Duration::from_secs) else {
            let usual = terms.profile.life.unwrap_or(DEFAULT_LIFE);
            let within = terms.profile.longest.map_or(usual, |it| usual.min(it));
            return Ok(within.min(longest));
        };
        if asked.is_zero() {
            return Err(ServiceError::new(ErrorCode::Usage, "a life of zero seconds"));
        }
        if asked > longest {
            let text = format!("a life of {} is too long", format_span(asked));
            return Err(ServiceError::new(ErrorCode::Usage, text).hint(format!(
                "the longest is {}; the setting is authority.longest_life",
                format_span(longest)
            )));
        }
        terms.profile.check_life(asked).map_err(|error| terms.refused(&error))?;
        Ok(asked)
    }
}

/// How names of the kinds that a profile has are asked for.
fn by_flags(error: &ProfileError) -> Option<String> {
    let ProfileError::Name { known, .. } = error else { return None };
    let flag = |kind: &&str| match *kind {
        "dns" => Some("--dns NAME"),
        "ip" => Some("--ip ADDRESS"),
        "uri" => Some("--uri URI"),
        "email" => Some("--email ADDRESS"),
        "identity" => Some("an identity (--uri spiffe://TRUST_DOMAIN/human/NAME)"),
        _ => None,
    };
    let flags: Vec<&str> = known.iter().filter_map(flag).collect();
    (!flags.is_empty()).then(|| flags.join(", "))
}

impl Terms {
    /// Whether names and key are those of the profile.
    pub(super) fn check(
        &self,
        identity: Option<&Identity>,
        names: &[SubjectName],
        key: PublicKeyKind,
    ) -> Result<(), ServiceError> {
        self.profile
            .check_names(identity, names)
            .and_then(|()| self.profile.check_key(key))
            .map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &ProfileError) -> ServiceError {
        let name = &self.name;
        ServiceError::new(ErrorCode::Usage, format!("the order is not one of the profile `{name}`"))
            .caused_by(error)
            .hint(match by_flags(error) {
                Some(flags) => {
                    format!("give only {flags}; or change [profiles.{name}] in the settings")
                }
                None => {
                    format!("ask for something else, or change [profiles.{name}] in the settings")
                }
            })
    }
}
