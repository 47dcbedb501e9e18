//! Opening and making the authority. It is opened when a command first needs it, so that commands which do
//! not need it ask for no passphrase.

use super::*;
use sealock_authority::{CreateOptions, IssuerKind, KeyWhere, NameConstraints, Published};
use sealock_core::audit::Actor;
use sealock_store::{NewProtection, Protection};

use crate::command::{Init, KeyHome, KeyProtection, KeyType};

impl Service {
    /// The trust domain: the authority's, else that of the settings, else the host's.
    pub fn trust_domain(&self) -> TrustDomain {
        if let Some(authority) = self.authority.load_full() {
            return authority.trust_domain();
        }
        let configured = self.opening.config.settings.trust_domain.clone();
        configured.unwrap_or_else(|| TrustDomain::for_host(&self.opening.hostname))
    }

    /// Whether `init` was done.
    pub fn is_initialised(&self) -> Result<bool, ServiceError> {
        Authority::exists(self.journal.store().as_ref())
            .map_err(|error| convert::authority_error(&error))
    }

    /// The authority, opened now if it was not. Blocking; may ask for a passphrase.
    pub fn authority(&self) -> Result<Arc<Authority>, ServiceError> {
        if let Some(authority) = self.authority.load_full() {
            return Ok(authority);
        }
        let _making = self.making.lock();
        if let Some(authority) = self.authority.load_full() {
            return Ok(authority);
        }
        if !self.is_initialised()? {
            let missing = sealock_authority::AuthorityError::Missing;
            return Err(convert::authority_error(&missing));
        }
        let keyring = self.keyring()?;
        let settings = &self.opening.config.settings;
        let publication = settings.revocation.publication();
        let device = self.key_device()?;
        let authority = Authority::open_with(Arc::clone(&self.journal), keyring, device)
            .and_then(|authority| authority.publish(publication).map(|()| authority))
            .map_err(|error| convert::authority_error(&error))?;
        authority.set_own_profiles(settings.profiles.own());
        self.authority.store(Some(Arc::clone(&authority)));
        Ok(authority)
    }

    /// The authority, if it is open.
    pub(crate) fn opened_authority(&self) -> Option<Arc<Authority>> {
        self.authority.load_full()
    }

    /// What the authority has published, for which no key is needed.
    pub(crate) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// The keyring, opened now if it was not; whoever calls this holds the lock `making`, so that nobody is asked
    /// for a passphrase twice.
    pub(super) fn keyring(&self) -> Result<Arc<Keyring>, ServiceError> {
        if let Some(keyring) = self.keyring.get() {
            return Ok(Arc::clone(keyring));
        }
        let keyring = Arc::new(self.open_keyring()?);
        Ok(Arc::clone(self.keyring.get_or_init(|| keyring)))
    }

    fn open_keyring(&self) -> Result<Keyring, ServiceError> {
        let keys = self.opening.state.keys();
        let passphrase = match self.protection()? {
            Some(Protection::Passphrase) => {
                Some((self.opening.passphrases)(PassphraseFor::Existing)?)
            }
            _ => None,
        };
        Keyring::open(&keys, passphrase.as_ref()).map_err(|error| convert::keyring_error(&error))
    }

    /// Whether opening the authority would ask for a passphrase.
    pub(super) fn needs_passphrase(&self) -> Result<bool, ServiceError> {
        Ok(self.protection()? == Some(Protection::Passphrase))
    }

    /// The protection that keys have already, for a start that must not contradict it.
    pub(crate) fn present_protection(&self) -> Result<KeyProtection, ServiceError> {
        Ok(match self.protection()? {
            Some(Protection::Passphrase) => KeyProtection::Passphrase,
            Some(Protection::File) | None => KeyProtection::File,
        })
    }

    /// Called when roots, policy or groups have changed; the daemon then looks after what depends on them.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Counts the changes of roots, policy and groups.
    pub(crate) fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn protection(&self) -> Result<Option<Protection>, ServiceError> {
        Keyring::protection_in(&self.opening.state.keys())
            .map_err(|error| convert::keyring_error(&error))
    }

    /// Makes the authority, or opens the one that is there. Says whether it was made now.
    pub(super) fn make_authority(
        &self,
        init: &Init,
        actor: &Actor,
    ) -> Result<(Arc<Authority>, bool), ServiceError> {
        if self.is_initialised()? {
            let authority = self.authority()?;
            self.check_same(&authority, init)?;
            return Ok((authority, false));
        }
        let options = self.create_options(init)?;
        let _making = self.making.lock();
        let keyring = Arc::new(self.make_keyring(init.key_protection)?);
        let keyring = Arc::clone(self.keyring.get_or_init(|| keyring));
        let journal = Arc::clone(&self.journal);
        let authority = Authority::create(journal, keyring, &options, actor)
            .map_err(|error| convert::authority_error(&error))?;
        self.authority.store(Some(Arc::clone(&authority)));
        Ok((authority, true))
    }

    fn make_keyring(&self, protection: KeyProtection) -> Result<Keyring, ServiceError> {
        let keys = self.opening.state.keys();
        let made = match protection {
            KeyProtection::File => Keyring::create(&keys, &NewProtection::File),
            KeyProtection::Passphrase => {
                // A keyring that an interrupted `init` left behind has its passphrase already.
                let wanted = match self.protection()? {
                    Some(_) => PassphraseFor::Existing,
                    None => PassphraseFor::New,
                };
                let passphrase = (self.opening.passphrases)(wanted)?;
                Keyring::create(&keys, &NewProtection::Passphrase(&passphrase))
            }
        };
        made.map_err(|error| convert::keyring_error(&error))
    }

    fn create_options(&self, init: &Init) -> Result<CreateOptions, ServiceError> {
        let usage =
            |error: &(dyn std::error::Error + 'static)| ServiceError::of(ErrorCode::Usage, error);
        let settings = &self.opening.config.settings;
        let trust_domain = match &init.trust_domain {
            Some(text) => text.parse::<TrustDomain>().map_err(|error| usage(&error))?,
            None => self.trust_domain(),
        };
        Ok(CreateOptions {
            trust_domain,
            key_type: convert::key_type(init.key_type),
            name_constraints: constraints(init)?,
            crl_url: init.crl_url.clone().or_else(|| settings.authority.crl_url.clone()),
            publication: settings.revocation.publication(),
            own: settings.profiles.own(),
            root_key: convert::key_home(init.root_key.unwrap_or(settings.authority.keys)),
            intermediate_key: convert::key_home(
                init.intermediate_key.unwrap_or(settings.authority.keys),
            ),
            device: self.key_device()?,
        })
    }

    /// `init` for an authority that is there: what cannot be changed must be what it is.
    fn check_same(&self, authority: &Authority, init: &Init) -> Result<(), ServiceError> {
        let existing = authority.trust_domain();
        match &init.trust_domain {
            Some(asked) if *asked != existing.to_string() => Err(ServiceError::new(
                ErrorCode::Conflict,
                format!("there is an authority for the trust domain {existing} already"),
            )
            .hint("leave --trust-domain out, or name another --state DIR")),
            _ => Self::check_homes(authority, init),
        }
    }

    /// What a person asks for in so many words, and is otherwise in the authority that is there. (At a start the settings
    /// say what a new one would be like.)
    pub(super) fn check_unchanged(&self, init: &Init) -> Result<(), ServiceError> {
        if !self.is_initialised()? {
            return Ok(());
        }
        let info = self.authority()?.ca_info();
        let root = info.issuers.iter().find(|it| it.active && it.kind == IssuerKind::Root);
        let asked = convert::key_type(init.key_type);
        let other_kind =
            init.key_type != KeyType::default() && root.is_some_and(|root| root.key_type != asked);
        let other_protection = init.key_protection != KeyProtection::default()
            && self.present_protection()? != init.key_protection;
        let asks_names = !(init.permit.is_empty() && init.exclude.is_empty());
        let other_names = asks_names && info.name_constraints != constraints(init)?;
        let other_url = init.crl_url.is_some() && init.crl_url != info.crl_url;
        let what = match (other_kind, other_protection, other_names, other_url) {
            (false, false, false, false) => return Ok(()),
            (true, ..) => "keys of another kind",
            (_, true, ..) => "keys that are kept otherwise",
            (_, _, true, _) => "other name constraints",
            (_, _, _, true) => "another URL of its list",
        };
        let hint = match other_protection && !other_kind {
            true => "`sealock ca show` shows it; `sealock ca protect` changes it",
            false => {
                "`sealock ca show` shows it; leave the option out, or name another --state DIR"
            }
        };
        Err(ServiceError::new(
            ErrorCode::Conflict,
            format!("there is an authority already, with {what} than you ask for"),
        )
        .hint(hint))
    }

    /// Where somebody wants a key that is somewhere else already.
    fn check_homes(authority: &Authority, init: &Init) -> Result<(), ServiceError> {
        let asked =
            [(IssuerKind::Root, init.root_key), (IssuerKind::Intermediate, init.intermediate_key)];
        let info = authority.ca_info();
        for issuer in info.issuers.iter().filter(|issuer| issuer.active) {
            let asked = asked.iter().find(|(kind, _)| *kind == issuer.kind).and_then(|it| it.1);
            let is = matches!(issuer.key_where, KeyWhere::Device(_));
            if asked.is_some_and(|asked| (asked == KeyHome::Hsm) != is) {
                let kind = convert::issuer_kind(issuer.kind);
                return Err(ServiceError::new(
                    ErrorCode::Conflict,
                    format!("the key of the {kind} is there already, and somewhere else"),
                )
                .hint(format!("`sealock ca migrate-key {kind} --to hsm|store` moves it")));
            }
        }
        Ok(())
    }
}

fn constraints(init: &Init) -> Result<NameConstraints, ServiceError> {
    const HINT: &str =
        "subtrees are dns:corp.example, ip:10.0.0.0/8, email:corp.example or uri:corp.example";
    let subtrees = |texts: &[String]| {
        let parsed = texts.iter().map(|text| {
            // One without a name in it is all names: it would confine nothing.
            if text.ends_with(':') {
                let text = format!("`{text}` names no subtree");
                return Err(ServiceError::new(ErrorCode::Usage, text).hint(HINT));
            }
            let parsed = text.parse();
            parsed.map_err(|error: sealock_authority::ConstraintError| {
                ServiceError::of(ErrorCode::Usage, &error).hint(HINT)
            })
        });
        parsed.collect::<Result<Vec<_>, _>>()
    };
    Ok(NameConstraints { permitted: subtrees(&init.permit)?, excluded: subtrees(&init.exclude)? })
}
