//! `init` and `ca …`.

use sealock_authority::{IssuerInfo, RootKeyFile, Rotate, Serial};
use sealock_core::audit::Actor;
use sealock_core::policy::{Action, Resource};

use super::{Service, convert};
use crate::caller::Caller;
use crate::command::{
    CrlReport, Init, InitReport, Reply, RevocationReason, RotateWhat, SecretText, Todo,
};
use crate::error::{ErrorCode, ServiceError};

impl Service {
    pub(super) fn init(
        &self,
        caller: &Caller,
        request: &str,
        init: &Init,
    ) -> Result<Reply, ServiceError> {
        let actor = self.manage(caller, request, "init")?;
        self.check_unchanged(init)?;
        Ok(Reply::Init(Box::new(self.initialise(init, &actor)?)))
    }

    /// Makes what is missing: authority, policy folder, the administrator's identity. Done again it
    /// changes nothing.
    pub(crate) fn initialise(
        &self,
        init: &Init,
        actor: &Actor,
    ) -> Result<InitReport, ServiceError> {
        let (authority, created) = self.make_authority(init, actor)?;
        self.policy.make()?;
        let admin = self.admin_identity(&authority, actor)?;
        Ok(InitReport {
            created,
            state: self.state().root().to_owned(),
            admin: admin.folder,
            admin_identity: admin.identity,
            ca: convert::ca_report(&authority.ca_info()),
        })
    }

    pub(super) fn manage(
        &self,
        caller: &Caller,
        request: &str,
        operation: &str,
    ) -> Result<Actor, ServiceError> {
        let context = [("operation", operation.into())];
        self.authorize(caller, request, Action::CaManage, Resource::Authority, &context)
            .map(|granted| granted.actor)
    }

    fn read_ca(&self, caller: &Caller, request: &str) -> Result<(), ServiceError> {
        self.authorize(caller, request, Action::CaRead, Resource::Authority, &[]).map(|_| ())
    }

    pub(super) fn ca_show(&self, caller: &Caller, request: &str) -> Result<Reply, ServiceError> {
        self.read_ca(caller, request)?;
        Ok(Reply::Ca(Box::new(convert::ca_report(&self.authority()?.ca_info()))))
    }

    pub(super) fn ca_bundle(&self, caller: &Caller, request: &str) -> Result<Reply, ServiceError> {
        self.read_ca(caller, request)?;
        Ok(Reply::Bundle(self.authority()?.distributed_bundle_pem()))
    }

    pub(super) fn ca_crl(&self, caller: &Caller, request: &str) -> Result<Reply, ServiceError> {
        self.read_ca(caller, request)?;
        Ok(Reply::Crl(self.crl_report()?))
    }

    /// The lists of all issuers in use.
    pub(crate) fn crl_report(&self) -> Result<CrlReport, ServiceError> {
        let crls = self.authority()?.crls().map_err(|error| convert::authority_error(&error))?;
        Ok(CrlReport { pem: crls.iter().map(sealock_authority::Crl::pem).collect() })
    }

    pub(super) fn ca_rotate(
        &self,
        caller: &Caller,
        request: &str,
        what: RotateWhat,
        root_key: Option<SecretText>,
        passphrase: Option<SecretText>,
    ) -> Result<Reply, ServiceError> {
        let actor = self.manage(caller, request, "rotate")?;
        let authority = self.authority()?;
        let file = root_key.as_ref().map(|pem| root_key_file(pem, passphrase.as_ref()));
        let what = match what {
            RotateWhat::Intermediate => Rotate::Intermediate,
            RotateWhat::Root => Rotate::Root,
        };
        authority
            .rotate(what, file.as_ref(), &actor)
            .map_err(|error| convert::authority_error(&error))?;
        self.changed();
        Ok(Reply::Ca(Box::new(convert::ca_report(&authority.ca_info()))))
    }

    /// From then on nothing below it is let in at doors of ours; what is connected is cut.
    pub(super) fn ca_revoke(
        &self,
        caller: &Caller,
        request: &str,
        ca: &str,
        reason: RevocationReason,
        (root_key, passphrase): (Option<&SecretText>, Option<&SecretText>),
    ) -> Result<Reply, ServiceError> {
        let actor = self.manage(caller, request, "revoke")?;
        let authority = self.authority()?;
        let file = root_key.map(|pem| root_key_file(pem, passphrase));
        authority
            .revoke_ca(ca, convert::reason(reason), file.as_ref(), &actor)
            .map_err(|error| convert::authority_error(&error))?;
        // Connections of containers are among them, which came with no certificate.
        let keys = self.sessions().keys().into_iter();
        for serial in keys.filter(|key| key.parse::<Serial>().is_ok()) {
            // What cannot be looked up now is not let on.
            if self.is_revoked(&serial).unwrap_or(true) {
                self.sessions().cut(&serial);
            }
        }
        self.publications().poke();
        self.changed();
        Ok(Reply::Ca(Box::new(convert::ca_report(&authority.ca_info()))))
    }

    /// Revoked CAs below which certificates may still be in use.
    pub(super) fn revoked_todos(&self) -> Result<Vec<Todo>, ServiceError> {
        let info = self.authority()?.ca_info();
        let now = self.journal.clock().now();
        let todo = |issuer: &IssuerInfo| {
            let (since, reason) = issuer.revoked?;
            let last = issuer.last_leaf.filter(|last| *last > now && *last > since)?;
            let subject = convert::issuer_subject(&info, issuer);
            Some(Todo {
                kind: "ca-revoked".to_owned(),
                text: format!(
                    "revoked ({reason}); what it has signed is refused, the last of it ends {last}"
                ),
                name: subject,
                since,
                hint: format!(
                    "`sealock cert list --only revoked --issuer {}`; renew what is still needed",
                    issuer.id
                ),
            })
        };
        Ok(info.issuers.iter().filter_map(todo).collect())
    }

    pub(super) fn ca_export_root_key(
        &self,
        caller: &Caller,
        request: &str,
        passphrase: Option<SecretText>,
    ) -> Result<Reply, ServiceError> {
        let actor = self.manage(caller, request, "export-root-key")?;
        let passphrase = passphrase.as_ref().map(SecretText::bytes);
        let pem = self
            .authority()?
            .export_root_key(passphrase, &actor)
            .map_err(|error| convert::authority_error(&error))?;
        let text = SecretText::new(pem)
            .ok_or_else(|| ServiceError::new(ErrorCode::Fault, "the root key is not text"))?;
        Ok(Reply::RootKey(text))
    }

    pub(super) fn ca_remove_root_key(
        &self,
        caller: &Caller,
        request: &str,
        exported: SecretText,
        passphrase: Option<SecretText>,
    ) -> Result<Reply, ServiceError> {
        let actor = self.manage(caller, request, "remove-root-key")?;
        self.authority()?
            .remove_root_key(&root_key_file(&exported, passphrase.as_ref()), &actor)
            .map_err(|error| convert::authority_error(&error))?;
        Ok(Reply::Done)
    }
}

fn root_key_file<'a>(pem: &'a SecretText, passphrase: Option<&'a SecretText>) -> RootKeyFile<'a> {
    RootKeyFile { pem: pem.bytes(), passphrase: passphrase.map(SecretText::bytes) }
}
