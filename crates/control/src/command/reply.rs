//! What Sealock answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    AcmeAccountList, AcmeAttested, AcmeBindingKey, AcmeBindingReport, AnchorReport, AuditPage,
    AuditReport, CaReport, CertificateList, CertificateReport, ClientReport, ClientSecret,
    CrlReport, Files, ImportReport, InitReport, InventoryReport, IssuerImportReport, IssuingReport,
    LoginConfirmed, LoginInvited, Logins, Membership, PolicyCheck, PolicyExplained, PolicyStatus,
    PolicyUsed, PublishReport, RequestReport, SecretAnswer, SecretReport, SecretText,
    ServiceReport, SettingInForce, StatusReport, TokenKeys, TokenReport, TokenState,
    TransferOpened, VaultBackup, VaultImported, VersionReport, Whoami,
};

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", content = "is", rename_all = "kebab-case")]
pub enum Reply {
    /// To `init`.
    Init(Box<InitReport>),
    /// To `ca show` and `ca rotate`.
    Ca(Box<CaReport>),
    /// PEM, to `ca bundle`.
    Bundle(String),
    /// To `ca crl`.
    Crl(CrlReport),
    /// To `ca export-root-key`: PKCS#8 in PEM.
    RootKey(SecretText),
    /// To `cert issue`, `sign`, `renew` and `files`.
    Files(Box<Files>),
    /// To `cert list`.
    Certificates(CertificateList),
    /// To `cert report`.
    Inventory(Box<InventoryReport>),
    /// To `cert show`.
    Certificate(Box<CertificateReport>),
    /// To `cert publish`.
    Published(Box<PublishReport>),
    /// To `cert request`.
    Requested(Box<RequestReport>),
    /// To `cert requests`, by name.
    Requests(Vec<RequestReport>),
    /// To `cert import`.
    CertificatesImported(Vec<ImportReport>),
    /// To `ca request`, `ca disable` and `ca enable`.
    Issuer(Box<IssuingReport>),
    /// To `ca list`, our own first, then by name.
    Issuers(Vec<IssuingReport>),
    /// To `ca import`.
    IssuerImported(Box<IssuerImportReport>),
    /// To `trust list` and `trust add`, by name.
    Anchors(Vec<AnchorReport>),
    /// To `transfer begin` and `offer begin`.
    Opened(TransferOpened),
    /// To `status`.
    Status(Box<StatusReport>),
    /// To `audit tail` and `audit export`.
    Audit(AuditPage),
    /// To `audit verify`.
    AuditVerified(AuditReport),
    /// To `policy check`.
    PolicyChecked(PolicyCheck),
    /// To `policy schema`.
    Schema(String),
    /// To `policy explain`.
    Explained(Box<PolicyExplained>),
    /// To `policy reload`.
    PolicyLoaded(PolicyStatus),
    /// The policy folder's files, by name.
    PolicyFiles(BTreeMap<String, String>),
    /// To `policy use`.
    PolicyUsed(PolicyUsed),
    /// To `group list`.
    Groups(Vec<Membership>),
    /// To `config check`.
    Settings(Vec<SettingInForce>),
    /// To `workload whoami`.
    Whoami(Box<Whoami>),
    /// To `secret set`: the new version.
    SecretWritten {
        /// Its number.
        version: u64,
    },
    /// To `secret get`: as they were asked for, or, below a path, by name.
    Secrets(Vec<SecretAnswer>),
    /// The current versions, as they were asked for; 0 for what has none.
    SecretVersions(Vec<u64>),
    /// To `secret list`, by name. A page that is not full is the last one.
    SecretList(Vec<SecretReport>),
    /// To `secret history`, newest first.
    SecretHistory(Vec<VersionReport>),
    /// To `secret rotate-key`: how many values were put under the new key.
    VaultKey {
        /// The number of the new key.
        key: u64,
        /// How many values.
        values: u64,
    },
    /// To `secret export`.
    VaultExported(Box<VaultBackup>),
    /// To `secret import`.
    VaultImported(VaultImported),
    /// To `token`.
    Token(Box<TokenReport>),
    /// Whether a token is good.
    TokenState(Box<TokenState>),
    /// To `token keys` and `token rotate-key`.
    TokenKeys(Box<TokenKeys>),
    /// To `client add` and `client rotate`.
    ClientSecret(Box<ClientSecret>),
    /// To `login list`.
    Logins(Box<Logins>),
    /// To `login confirm`.
    LoginConfirmed(Box<LoginConfirmed>),
    /// To `login invite`.
    LoginInvited(Box<LoginInvited>),
    /// To `client add` and `client rotate` with public keys.
    Client(Box<ClientReport>),
    /// To `client list`, by name.
    Clients(Vec<ClientReport>),
    /// To `service list`, by name.
    Services(Vec<ServiceReport>),
    /// To `acme eab add`.
    AcmeBindingKey(Box<AcmeBindingKey>),
    /// To `acme eab list`, by name.
    AcmeBindings(Vec<AcmeBindingReport>),
    /// ACME accounts.
    AcmeAccounts(Box<AcmeAccountList>),
    /// To `acme eab self`.
    AcmeAttested(Box<AcmeAttested>),
    /// To `upstream list` and `upstream try`, by name.
    Upstreams(Vec<super::UpstreamReport>),
    /// Done, and nothing more to say.
    Done,
}
