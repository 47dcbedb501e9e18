//! `ca protect`: the wrapping key under another protection.

use std::sync::Arc;

use sealock_authority::AuthorityError;
use sealock_core::audit::Fact;
use sealock_store::{Change, Keyring, NewProtection, Protection};

use super::{Service, convert};
use crate::caller::Caller;
use crate::command::{KeyProtection, Reply, SecretText};
use crate::error::{ErrorCode, ServiceError};

impl Service {
    /// The keys that are open stay open, and what is sealed stays as it is. It is recorded before it is done: nobody finds
    /// the keys under another protection that nothing tells of.
    pub(super) fn ca_protect(
        &self,
        caller: &Caller,
        request: &str,
        wanted: KeyProtection,
        (passphrase, new): (Option<&SecretText>, Option<&SecretText>),
    ) -> Result<Reply, ServiceError> {
        self.by_own_door(caller, request, "ca protect")?;
        let actor = self.manage(caller, request, "protect")?;
        let new = match (wanted, new) {
            (KeyProtection::File, None) => NewProtection::File,
            (KeyProtection::Passphrase, Some(new)) => NewProtection::Passphrase(new.bytes()),
            (KeyProtection::File, Some(_)) => {
                return Err(usage("a new passphrase is given, and none is wanted"));
            }
            (KeyProtection::Passphrase, None) => return Err(usage("there is no new passphrase")),
        };
        if !self.is_initialised()? {
            return Err(convert::authority_error(&AuthorityError::Missing));
        }
        let passphrase = passphrase.map(SecretText::bytes);
        let failed = |error| convert::keyring_error(&error);
        let keys = self.opening.state.keys();
        let keyring = {
            let _making = self.making.lock();
            match self.keyring.get() {
                Some(keyring) => Arc::clone(keyring),
                None => {
                    let keyring = Arc::new(Keyring::open(&keys, passphrase).map_err(failed)?);
                    Arc::clone(self.keyring.get_or_init(|| keyring))
                }
            }
        };
        // Opens all that has to open, before anything is changed.
        let authority = self.authority()?;
        let _making = self.making.lock();
        let before = self.protection()?;
        if (before, wanted) == (Some(Protection::File), KeyProtection::File) {
            return Ok(Reply::Ca(Box::new(convert::ca_report(&authority.ca_info()))));
        }
        let prepared = keyring.protect(&keys, passphrase, &new).map_err(failed)?;
        let fact = Fact::KeyProtected {
            from: before.map(|before| before.to_string()).unwrap_or_default(),
            to: match wanted {
                KeyProtection::File => Protection::File.to_string(),
                KeyProtection::Passphrase => Protection::Passphrase.to_string(),
            },
        };
        let change = Change::event(actor.event(self.journal.clock().now(), fact));
        self.journal.commit_blocking(change).map_err(|error| convert::journal_error(&error))?;
        prepared.put().map_err(failed)?;
        Ok(Reply::Ca(Box::new(convert::ca_report(&authority.ca_info()))))
    }
}

fn usage(text: &str) -> ServiceError {
    ServiceError::new(ErrorCode::Usage, text)
        .hint("`sealock ca protect --key-protection passphrase|file` asks for what is needed")
}
