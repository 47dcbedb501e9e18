//! What can be asked of Sealock, and what it answers: the same types over `admin.sock`, over HTTPS and
//! in-process.
//!
//! A [`Command`] is data from outside until the service has parsed its texts; the caller is never part of
//! it. Secret texts travel as [`SecretText`].

mod acme;
mod authority;
mod certificates;
mod decisions;
mod imported;
mod inventory;
mod issuers;
mod login;
mod publish;
mod reply;
mod secret_blob;
mod secret_text;
mod secrets;
mod services;
mod status;
mod traffic;
mod transfer;
mod upstream;

use std::collections::BTreeMap;
use std::time::Duration;

use sealock_core::IdentityKind;
use sealock_core::policy::Grantee;
use serde::{Deserialize, Serialize};

pub use acme::{
    AcmeAccountList, AcmeAccountReport, AcmeAttested, AcmeBind, AcmeBindingKey, AcmeBindingReport,
};
pub use authority::{
    CertificateState, Init, Issue, KeyHome, KeyProtection, KeyType, List, Names, RevocationReason,
    RotateWhat, Sign, Usages,
};
pub use certificates::{
    CaCertificate, CaReport, CertificateList, CertificateReport, CrlReport, Files, InitReport,
    PublishedAt,
};
pub use decisions::{
    AuditPage, AuditReport, Membership, PolicyCheck, PolicyExplained, PolicyUsed, SettingInForce,
};
pub use imported::{
    AnchorReport, CertImport, CertRequest, HeldReport, ImportReport, RequestReport, Todo, TrustAdd,
    WaitingReport,
};
pub use inventory::{
    ImportedReport, InventoryReport, IssuerReport, KeyTotal, ReportedCertificate, ToDo, Totals,
};
pub use issuers::{
    CaImport, CaRequest, IssuerChange, IssuerImportReport, IssuingHeld, IssuingReport,
    IssuingWaiting,
};
pub use login::{
    LoginCode, LoginConfirm, LoginConfirmed, LoginDeny, LoginInvite, LoginInvited, LoginWaiting,
    Logins,
};
pub use publish::{LdapServer, Publish, PublishReport};
pub use reply::Reply;
pub use secret_blob::SecretBlob;
pub use secret_text::SecretText;
pub use secrets::{
    NewValue, OnExisting, SecretAnswer, SecretOutcome, SecretReport, SecretState, SecretWanted,
    VaultBackup, VaultImported, VersionReport, WhichContainer, Whoami,
};
pub use services::{InstanceReport, ServiceReport};
pub use status::{
    Alarm, ContainerStatus, DeliveredSecretStatus, DeliveredStatus, DeliveredTrustStatus,
    EngineStatus, PolicyStatus, SidecarStatus, StatusReport,
};
pub use traffic::{
    CallDenied, ClientKeys, ClientReport, ClientSecret, TokenClaims, TokenForm, TokenKeyReport,
    TokenKeys, TokenReport, TokenState, TokenWanted, TokensBefore, TokensRevoked,
};
pub use transfer::{OfferEvent, TransferBegin, TransferFinish, TransferOpened};
pub use upstream::{EnrolmentReport, UpstreamAnswer, UpstreamReport, UpstreamRoot};

/// One operation. [`Command::name`] is its stable name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", content = "with", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Make the authority and the administrator's identity. Done before: says so.
    Init(Init),
    /// Root, intermediate, key protection.
    CaShow,
    /// The trust bundle as PEM.
    CaBundle,
    /// A new intermediate or root.
    CaRotate {
        /// Which.
        what: RotateWhat,
        /// The root's key (PEM), where it has left this host.
        #[serde(default)]
        root_key: Option<SecretText>,
        /// The passphrase under which it was exported.
        #[serde(default)]
        passphrase: Option<SecretText>,
    },
    /// Revoke an intermediate, and with it all that it has signed. Of the active one the successor is made first.
    CaRevoke {
        /// Its id or its serial number.
        ca: String,
        /// Why.
        #[serde(default)]
        reason: RevocationReason,
        /// The root's key (PEM), where it has left this host.
        #[serde(default)]
        root_key: Option<SecretText>,
        /// The passphrase under which it was exported.
        #[serde(default)]
        passphrase: Option<SecretText>,
    },
    /// The CRL.
    CaCrl,
    /// The root's private key. Writing it to a safe place is the caller's part; removing it here is
    /// [`Command::CaRemoveRootKey`], once that is done.
    CaExportRootKey {
        /// Encrypt it under this.
        #[serde(default)]
        passphrase: Option<SecretText>,
    },
    /// Remove the root's private key from this host.
    CaRemoveRootKey {
        /// The exported file, read back from where it was written: it must hold the very key.
        exported: SecretText,
        /// The passphrase under which it was exported.
        #[serde(default)]
        passphrase: Option<SecretText>,
    },
    /// A certificate with a new key.
    CertIssue(Issue),
    /// A certificate for the key of a CSR.
    CertSign(Sign),
    /// The inventory.
    CertList(List),
    /// The whole inventory, with what has to be done about it.
    CertReport {
        /// At most so many certificates; 10,000 by default.
        #[serde(default)]
        limit: Option<usize>,
    },
    /// One certificate, by name (its newest) or serial number.
    CertShow {
        /// Name or serial number.
        certificate: String,
    },
    /// The successor of a certificate: new key, same names.
    CertRenew {
        /// Name (its newest) or serial number.
        certificate: String,
        /// Seconds; as long as the old one by default.
        #[serde(default)]
        ttl: Option<u64>,
    },
    /// Revoke a certificate.
    CertRevoke {
        /// Serial number.
        serial: String,
        /// Why.
        #[serde(default)]
        reason: RevocationReason,
    },
    /// Publish a certificate in an LDAP directory, and take out what is no longer good.
    CertPublish(Publish),
    /// A key here, and a CSR for another authority.
    CertRequest(CertRequest),
    /// What others sign, and where it stands.
    CertRequests {
        /// This one only.
        #[serde(default)]
        name: Option<String>,
    },
    /// Drop a request that waits.
    CertRequestDrop {
        /// Which.
        name: String,
        /// Also the certificate that is served, and its key.
        #[serde(default)]
        forget: bool,
        /// Also where a running container has it by a label.
        #[serde(default)]
        force: bool,
    },
    /// Take what another authority has signed.
    CertImport(CertImport),
    /// The files of such a certificate, its key among them.
    CertFiles {
        /// Which.
        name: String,
    },
    /// Know a root of another authority, and hand it out.
    TrustAdd(TrustAdd),
    /// The roots of other authorities.
    TrustList,
    /// Know one of them no more.
    TrustRemove {
        /// Its name, or the SHA-256 of it.
        root: String,
        /// Also one that a certificate in use ends at.
        #[serde(default)]
        force: bool,
    },
    /// Ask whether files may be sent, and record that it begins.
    TransferBegin(TransferBegin),
    /// Record the receipt.
    TransferFinish(TransferFinish),
    /// Record that a transfer did not reach its end.
    TransferFailed {
        /// As it was opened.
        transfer: String,
        /// What went wrong.
        error: String,
    },
    /// Ask whether files may be offered, and record the offer.
    OfferBegin {
        /// How many bytes.
        bytes: u64,
        /// How many seconds it stands.
        ttl: u64,
    },
    /// Record what happened to an offer.
    OfferEvent {
        /// As it was opened.
        transfer: String,
        /// What.
        event: OfferEvent,
    },
    /// What there is, what is due, what is wrong.
    Status,
    /// Records of the audit log.
    AuditTail {
        /// Those after this number; without it the newest.
        #[serde(default)]
        after: Option<u64>,
        /// At most so many.
        limit: usize,
    },
    /// Check the whole chain and its checkpoints.
    AuditVerify,
    /// Records byte for byte as they are chained, as JSON lines, page by page.
    AuditExport {
        /// Those from this number on.
        from: u64,
        /// At most so many.
        limit: usize,
    },
    /// Check these files (name, text), or the loaded folder when there is none.
    PolicyCheck {
        /// The files.
        #[serde(default)]
        files: BTreeMap<String, String>,
    },
    /// The Cedar schema.
    PolicySchema,
    /// Why a request was decided as it was.
    PolicyExplain {
        /// The request id.
        request: String,
    },
    /// Read the policy folder again.
    PolicyReload,
    /// The files of the policy folder.
    PolicyShow,
    /// Put a preset into the policy folder. Done before: says so.
    PolicyUse {
        /// Its name.
        preset: String,
        /// For whom.
        grantee: Grantee,
        /// Also over a file that was changed since.
        #[serde(default)]
        force: bool,
    },
    /// Put somebody into a group. Somebody who is in it already stays.
    GroupAdd {
        /// What kind of principal.
        kind: IdentityKind,
        /// The last segment of the identity.
        name: String,
        /// The group.
        group: String,
    },
    /// Take somebody out of a group that a command has put them into. Their connections to the gateway
    /// are ended.
    GroupRemove {
        /// What kind of principal.
        kind: IdentityKind,
        /// The last segment of the identity.
        name: String,
        /// The group.
        group: String,
    },
    /// Who is in which group.
    GroupList {
        /// Of this group only.
        #[serde(default)]
        group: Option<String>,
    },
    /// The settings in force.
    ConfigCheck,
    /// Who the caller is, and how that was found out.
    Whoami,
    /// Give a secret a new value.
    SecretSet {
        /// Its name.
        name: String,
        /// The value.
        value: NewValue,
        /// Seconds until its time is over.
        #[serde(default)]
        ttl: Option<u64>,
    },
    /// Read secrets; what cannot be had of them does not keep the others.
    SecretRead {
        /// Which.
        secrets: Vec<SecretWanted>,
    },
    /// Read all secrets below a path.
    SecretReadBelow {
        /// The path.
        path: String,
    },
    /// The current versions of secrets that the caller may read: what has none has 0.
    SecretVersions {
        /// Their names.
        secrets: Vec<String>,
    },
    /// The secrets that the caller may know of, page by page.
    SecretList {
        /// Only those below this path.
        #[serde(default)]
        path: Option<String>,
        /// Only those after this name.
        #[serde(default)]
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// All versions of a secret, without their values.
    SecretHistory {
        /// Its name.
        name: String,
    },
    /// Delete a version; it can be had back.
    SecretDelete {
        /// Its name.
        name: String,
        /// This version; otherwise the current one.
        #[serde(default)]
        version: Option<u64>,
    },
    /// Take a deletion back.
    SecretUndelete {
        /// Its name.
        name: String,
        /// This version; otherwise the current one.
        #[serde(default)]
        version: Option<u64>,
    },
    /// Destroy a version, or the secret as a whole.
    SecretPurge {
        /// Its name.
        name: String,
        /// This version only.
        #[serde(default)]
        version: Option<u64>,
    },
    /// A new key for the vault.
    VaultRotateKey,
    /// The vault as a whole, sealed to age recipients.
    VaultExport {
        /// `age1…` or SSH public keys.
        recipients: Vec<String>,
        /// Only what is below this path.
        #[serde(default)]
        path: Option<String>,
    },
    /// Take secrets of a backup in; it was opened by the caller.
    VaultImport {
        /// The backup.
        backup: SecretBlob,
        /// What to do with those that are there.
        #[serde(default)]
        on_existing: OnExisting,
    },
    /// A token for a service.
    TokenIssue(TokenWanted),
    /// What a token says, and whether it is good.
    TokenIntrospect {
        /// The token.
        token: SecretText,
    },
    /// Revoke tokens.
    TokenRevoke(TokensRevoked),
    /// The keys that sign tokens.
    TokenKeys,
    /// A new key that signs tokens, once everybody can know it.
    TokenRotateKey,
    /// Give somebody a secret with which to ask for tokens.
    ClientAdd {
        /// Its name.
        name: String,
        /// Whose tokens it gets; those of the service of its name by default.
        #[serde(default)]
        identity: Option<String>,
    },
    /// Who may ask for tokens with a secret.
    ClientList,
    /// A new secret for a client.
    ClientRotate {
        /// Its name.
        name: String,
        /// For how many seconds the old one is still good; a day by default.
        #[serde(default)]
        overlap: Option<u64>,
    },
    /// A client's secrets are no longer good, nor are its tokens.
    ClientRemove {
        /// Its name.
        name: String,
    },
    /// Who waits to be let in, and who has a code.
    LoginList,
    /// Say yes to a login.
    LoginConfirm(LoginConfirm),
    /// Say no to a login, or end somebody's.
    LoginDeny(LoginDeny),
    /// Make a code with which somebody gets a certificate.
    LoginInvite(LoginInvite),
    /// The public keys with which a client signs who it is.
    ClientKeys(ClientKeys),
    /// Calls that a Gatekeeper has denied, for the audit log.
    CallsDenied {
        /// The service that was called.
        service: String,
        /// The calls.
        denials: Vec<CallDenied>,
    },
    /// The services that Forwarders are told of, and their instances.
    ServiceList,
    /// Make a key that vouches for ACME accounts.
    AcmeBind(AcmeBind),
    /// Who vouches for ACME accounts.
    AcmeBindings,
    /// Make a key that vouches for ACME accounts worth nothing.
    AcmeUnbind {
        /// Its name.
        name: String,
    },
    /// The accounts at our ACME server.
    AcmeAccounts,
    /// End an ACME account.
    AcmeAccountRevoke {
        /// Its id.
        account: String,
    },
    /// A key here, and a CSR for an issuing CA under a root of somebody else.
    CaRequest(CaRequest),
    /// Take the certificate of such a CA.
    CaImport(CaImport),
    /// All issuing CAs.
    CaIssuers,
    /// Have such a CA chosen no more, or again; or drop what waits.
    CaIssuerChange {
        /// Which.
        name: String,
        /// What is to become of it.
        change: IssuerChange,
    },
    /// A key that vouches for an ACME account of the container that asks.
    AcmeAttest,
    /// The CAs that are asked by protocol.
    Upstreams {
        /// This one only.
        #[serde(default)]
        name: Option<String>,
        /// Ask it who it is.
        #[serde(default)]
        ask: bool,
    },
    /// Put the key of the root, the intermediate or another issuer into the HSM, or take it back. Done before: changes
    /// nothing.
    CaMigrateKey {
        /// Which of our own.
        #[serde(default)]
        what: Option<RotateWhat>,
        /// Or that of this issuer.
        #[serde(default)]
        issuer: Option<String>,
        /// Where to.
        to: KeyHome,
        /// Whether it may leave the HSM again.
        #[serde(default)]
        extractable: bool,
    },
    /// Try the HSM's PIN once more, whatever became of it before.
    CaRetryPin,
    /// Put the key under which all others are encrypted under another protection, or another passphrase.
    CaProtect {
        /// Which.
        key_protection: KeyProtection,
        /// The passphrase of now, where there is one.
        #[serde(default)]
        passphrase: Option<SecretText>,
        /// That of from now on.
        #[serde(default)]
        new_passphrase: Option<SecretText>,
    },
}

impl Command {
    /// Whether a Token Broker alone does it, for others than this host's administrator.
    pub const fn is_of_broker(&self) -> bool {
        matches!(
            self,
            Self::Whoami
                | Self::Status
                | Self::TokenIssue(_)
                | Self::TokenIntrospect { .. }
                | Self::TokenRevoke(_)
                | Self::TokenKeys
                | Self::TokenRotateKey
                | Self::ClientAdd { .. }
                | Self::ClientList
                | Self::ClientRotate { .. }
                | Self::ClientRemove { .. }
                | Self::ClientKeys(_)
                | Self::LoginList
                | Self::LoginConfirm(_)
                | Self::LoginDeny(_)
                | Self::LoginInvite(_)
                | Self::CallsDenied { .. }
                | Self::ServiceList
        )
    }

    /// The stable name, such as `cert-issue`.
    #[expect(clippy::too_many_lines, reason = "an arm for each command, and nothing else")]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::CaShow => "ca-show",
            Self::CaBundle => "ca-bundle",
            Self::CaRotate { .. } => "ca-rotate",
            Self::CaRevoke { .. } => "ca-revoke",
            Self::CaCrl => "ca-crl",
            Self::CaExportRootKey { .. } => "ca-export-root-key",
            Self::CaRemoveRootKey { .. } => "ca-remove-root-key",
            Self::CertIssue(_) => "cert-issue",
            Self::CertSign(_) => "cert-sign",
            Self::CertList(_) => "cert-list",
            Self::CertReport { .. } => "cert-report",
            Self::CertShow { .. } => "cert-show",
            Self::CertRenew { .. } => "cert-renew",
            Self::CertRevoke { .. } => "cert-revoke",
            Self::CertPublish(_) => "cert-publish",
            Self::CertRequest(_) => "cert-request",
            Self::CertRequests { .. } => "cert-requests",
            Self::CertRequestDrop { .. } => "cert-request-drop",
            Self::CertImport(_) => "cert-import",
            Self::CertFiles { .. } => "cert-files",
            Self::TrustAdd(_) => "trust-add",
            Self::TrustList => "trust-list",
            Self::TrustRemove { .. } => "trust-remove",
            Self::TransferBegin(_) => "transfer-begin",
            Self::TransferFinish(_) => "transfer-finish",
            Self::TransferFailed { .. } => "transfer-failed",
            Self::OfferBegin { .. } => "offer-begin",
            Self::OfferEvent { .. } => "offer-event",
            Self::Status => "status",
            Self::AuditTail { .. } => "audit-tail",
            Self::AuditVerify => "audit-verify",
            Self::AuditExport { .. } => "audit-export",
            Self::PolicyCheck { .. } => "policy-check",
            Self::PolicySchema => "policy-schema",
            Self::PolicyExplain { .. } => "policy-explain",
            Self::PolicyReload => "policy-reload",
            Self::PolicyShow => "policy-show",
            Self::PolicyUse { .. } => "policy-use",
            Self::GroupAdd { .. } => "group-add",
            Self::GroupRemove { .. } => "group-remove",
            Self::GroupList { .. } => "group-list",
            Self::ConfigCheck => "config-check",
            Self::Whoami => "whoami",
            Self::SecretSet { .. } => "secret-set",
            Self::SecretRead { .. } => "secret-read",
            Self::SecretReadBelow { .. } => "secret-read-below",
            Self::SecretVersions { .. } => "secret-versions",
            Self::SecretList { .. } => "secret-list",
            Self::SecretHistory { .. } => "secret-history",
            Self::SecretDelete { .. } => "secret-delete",
            Self::SecretUndelete { .. } => "secret-undelete",
            Self::SecretPurge { .. } => "secret-purge",
            Self::VaultRotateKey => "vault-rotate-key",
            Self::VaultExport { .. } => "vault-export",
            Self::VaultImport { .. } => "vault-import",
            Self::TokenIssue(_) => "token-issue",
            Self::TokenIntrospect { .. } => "token-introspect",
            Self::TokenRevoke(_) => "token-revoke",
            Self::TokenKeys => "token-keys",
            Self::TokenRotateKey => "token-rotate-key",
            Self::ClientAdd { .. } => "client-add",
            Self::ClientList => "client-list",
            Self::ClientRotate { .. } => "client-rotate",
            Self::ClientRemove { .. } => "client-remove",
            Self::LoginList => "login-list",
            Self::LoginConfirm(_) => "login-confirm",
            Self::LoginDeny(_) => "login-deny",
            Self::LoginInvite(_) => "login-invite",
            Self::ClientKeys(_) => "client-keys",
            Self::CallsDenied { .. } => "calls-denied",
            Self::ServiceList => "service-list",
            Self::AcmeBind(_) => "acme-bind",
            Self::AcmeBindings => "acme-bindings",
            Self::AcmeUnbind { .. } => "acme-unbind",
            Self::AcmeAccounts => "acme-accounts",
            Self::AcmeAccountRevoke { .. } => "acme-account-revoke",
            Self::CaRequest(_) => "ca-request",
            Self::CaImport(_) => "ca-import",
            Self::CaIssuers => "ca-issuers",
            Self::CaIssuerChange { .. } => "ca-issuer-change",
            Self::AcmeAttest => "acme-attest",
            Self::Upstreams { .. } => "upstreams",
            Self::CaMigrateKey { .. } => "ca-migrate-key",
            Self::CaRetryPin => "ca-retry-pin",
            Self::CaProtect { .. } => "ca-protect",
        }
    }
}

/// In the place of a digest of secrets: of a guessable value it would tell the value.
pub const WITHHELD: &str = "withheld";
/// The life of a certificate for which none is asked.
pub const DEFAULT_LIFE: Duration = Duration::from_secs(86_400);
