//! What Sealock answers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sealock_core::policy::{Explanation, Problem};
use sealock_core::{SubjectName, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    AcmeAccountList, AcmeAttested, AcmeBindingKey, AcmeBindingReport, AnchorReport, ClientReport,
    ClientSecret, ImportReport, InventoryReport, IssuerImportReport, IssuingReport, LoginConfirmed,
    LoginInvited, Logins, PublishReport, RequestReport, SecretAnswer, SecretReport, SecretText,
    ServiceReport, Todo, TokenKeys, TokenReport, TokenState, VaultBackup, VaultImported,
    VersionReport, Whoami,
};

/// Somebody is in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Membership {
    /// The group.
    pub group: String,
    /// Who, as `human/alice`.
    pub member: String,
    /// By the settings; otherwise by a command.
    pub by_settings: bool,
}

/// One certificate of the authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaCertificate {
    /// Its id, as `cert list --issuer` and the paths of revocation lists have it.
    #[serde(default)]
    pub id: String,
    /// The subject, readable.
    pub subject: String,
    /// Hex.
    pub serial: String,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Hex SHA-256 of the certificate.
    pub fingerprint: String,
    /// The certificate.
    pub pem: String,
    /// Where its key is: `store`, `elsewhere`, or `hsm` with the token's serial number and the key's id.
    #[serde(default)]
    pub key: String,
    /// When it was revoked, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaReport {
    /// The name under which all identities live.
    pub trust_domain: String,
    /// The algorithm of its keys.
    pub key_type: String,
    /// How its keys are kept: `file` or `passphrase`.
    pub protection: String,
    /// Whether the root's private key is on this host.
    pub root_key_present: bool,
    /// Every root to trust now, the active one first.
    pub roots: Vec<CaCertificate>,
    /// The issuing intermediates, the active one first.
    pub intermediates: Vec<CaCertificate>,
    /// Where clients find the CRL.
    pub crl_url: Option<String>,
    /// The subtrees of names that the intermediate is confined to, readable.
    pub constraints: Vec<String>,
}

/// What `init` made, or found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitReport {
    /// Whether the authority was made now; `false`: it was there.
    pub created: bool,
    /// The state folder.
    pub state: PathBuf,
    /// The folder with the administrator's certificate and key.
    pub admin: PathBuf,
    /// The administrator's identity.
    pub admin_identity: String,
    /// The authority.
    pub ca: CaReport,
}

/// A certificate with what is written to files for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// Hex.
    pub serial: String,
    /// What the inventory calls it.
    pub name: String,
    /// All names, the identity first.
    pub names: Vec<SubjectName>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// The certificate that it renews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The leaf, then the intermediates.
    pub tls_crt: String,
    /// The private key, when it was made here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<SecretText>,
    /// The roots to trust.
    pub ca_crt: String,
    /// Key, leaf, intermediates, root, when the key was made here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_pem: Option<SecretText>,
    /// The request id in the audit log.
    pub request: String,
}

/// A certificate as the inventory has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateReport {
    /// Hex.
    pub serial: String,
    /// What the inventory calls it.
    pub name: String,
    /// Its SPIFFE ID.
    pub identity: Option<String>,
    /// All names.
    pub names: Vec<SubjectName>,
    /// The common name of its subject, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    /// The id of the CA certificate that signed it.
    #[serde(default)]
    pub issuer: String,
    /// `server`, `client`, `code`, `email`.
    pub usages: Vec<String>,
    /// The profile that it was ordered by; that of its usages, where none was named.
    #[serde(default)]
    pub profile: String,
    /// The kind of its key.
    pub key: String,
    /// When it was issued.
    pub issued: Timestamp,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Who had it issued.
    pub by: String,
    /// `valid`, `replaced`, `revoked` or `expired`.
    pub state: String,
    /// The certificate whose renewal it is.
    pub replaces: Option<String>,
    /// The certificate that renewed it.
    pub replaced_by: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    pub reason: Option<String>,
    /// Hex SHA-256; only for a single certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The certificate and its intermediates; only for a single certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pem: Option<String>,
    /// In which entries of LDAP directories it may be; only for a certificate that is being revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<PublishedAt>,
    /// Where it is from, when another authority has signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<super::ImportedReport>,
}

/// An entry of an LDAP directory in which a certificate was published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedAt {
    /// The directory's URL.
    pub url: String,
    /// The entry.
    pub dn: String,
    /// The directory's name in the settings; from there the daemon takes it out by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// The inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateList {
    /// The certificates.
    pub certificates: Vec<CertificateReport>,
    /// Whether there are more than were asked for.
    pub more: bool,
    /// Whether the search ended early, because it had passed over too many others: there may be more.
    #[serde(default)]
    pub stopped: bool,
}

/// The certificate revocation list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrlReport {
    /// One PEM block for each issuer.
    pub pem: String,
}

/// A transfer that may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferOpened {
    /// Its id, for what follows.
    pub transfer: String,
    /// The request id in the audit log.
    pub request: String,
}

/// The engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// Its address.
    pub url: String,
    /// Whether it answers.
    pub up: bool,
    /// Its release.
    pub version: Option<String>,
    /// Why it does not answer.
    pub error: Option<String>,
}

/// A container whose labels ask for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Container id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its certificates.
    pub certificates: Vec<DeliveredStatus>,
    /// Its secrets.
    #[serde(default)]
    pub secrets: Vec<DeliveredSecretStatus>,
    /// Its Gatekeeper and Forwarder, where labels ask for them.
    #[serde(default)]
    pub sidecars: Vec<SidecarStatus>,
    /// Its trust bundles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusts: Vec<DeliveredTrustStatus>,
}

/// A Gatekeeper or Forwarder that labels ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SidecarStatus {
    /// `gatekeeper`, `forwarder`, or `guard` for both where they are refused together.
    pub role: String,
    /// The service that the label names.
    pub service: String,
    /// The name of its container, when it is there.
    pub name: Option<String>,
    /// `serving`, `starting`, `failing`, `nobody to call`, `refused`, `bad label`, `undecided`.
    pub state: String,
    /// Why it does not serve.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A certificate that a label asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredStatus {
    /// The name in the label.
    pub name: String,
    /// What it is called among those that other authorities sign, where it is one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<String>,
    /// Where it is in the container.
    pub path: String,
    /// `pending`, `delivered`, `served`, `refused`, `failed` …
    pub state: String,
    /// The delivered serial, hex.
    pub serial: Option<String>,
    /// Until when it is valid.
    pub not_after: Option<Timestamp>,
    /// When it is due.
    pub next_renewal: Option<Timestamp>,
    /// Why it is not as it should be.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A secret that a label asks for. Its value is nowhere in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredSecretStatus {
    /// The name in the label.
    pub name: String,
    /// Its name in the vault; `None` when no label could be read.
    pub secret: Option<String>,
    /// Where it is in the container.
    pub path: String,
    /// `waiting`, `delivered`, `stale`, `refused`, `retrying` …
    pub state: String,
    /// The delivered version.
    pub version: Option<u64>,
    /// When it was delivered.
    pub delivered_at: Option<Timestamp>,
    /// Why it is not as it should be.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A trust bundle that a label asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredTrustStatus {
    /// The name in the label.
    pub name: String,
    /// Where it is in the container.
    pub path: String,
    /// `waiting`, `delivered`, `refused`, `retrying` …
    pub state: String,
    /// The digest of the delivered bundle, hex.
    pub bundle: Option<String>,
    /// When it was delivered.
    pub delivered_at: Option<Timestamp>,
    /// Why it is not as it should be.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What kind, such as `not-served`.
    pub alarm: String,
    /// Of what.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// The loaded policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Its number.
    pub epoch: u64,
    /// How many rules.
    pub rules: usize,
    /// Hex SHA-256 of the folder.
    pub sha256: String,
    /// The folder.
    pub folder: PathBuf,
    /// Why the newest content of the folder is not in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
}

/// What there is, what is due, what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Whether a daemon answered.
    pub daemon: bool,
    /// The daemon's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    pub since: Option<Timestamp>,
    /// The time of the answer.
    pub now: Timestamp,
    /// The state folder.
    pub state: PathBuf,
    /// The address of the HTTPS listener.
    pub api: Option<String>,
    /// Where the Docker gateway listens.
    #[serde(default)]
    pub gateway: Option<String>,
    /// The gateway's socket for containers.
    #[serde(default)]
    pub gateway_socket: Option<PathBuf>,
    /// Where revocation lists and OCSP are served.
    #[serde(default)]
    pub revocation: Option<String>,
    /// The API's socket for containers.
    #[serde(default)]
    pub workload: Option<PathBuf>,
    /// The authority; `None` before `init`, and while its keys are locked.
    pub ca: Option<CaReport>,
    /// Whether there is an authority whose keys are locked: their passphrase was not given to whoever answers.
    #[serde(default)]
    pub locked: bool,
    /// The engine; `None` when it was not asked.
    pub engine: Option<EngineStatus>,
    /// Containers whose labels ask for something.
    pub containers: Vec<ContainerStatus>,
    /// Certificates in force that expire within a week and are in the last quarter of their life, so that something should
    /// have renewed them; soonest first, at most 20.
    pub expiring: Vec<CertificateReport>,
    /// What needs a person.
    pub alarms: Vec<Alarm>,
    /// What a person has to do by and by, most urgent first.
    #[serde(default)]
    pub todo: Vec<Todo>,
    /// The loaded policy.
    pub policy: PolicyStatus,
    /// The number of the last audit record.
    pub audit_seq: u64,
}

/// Records of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// Each a line of JSON, byte for byte as it is chained.
    pub lines: Vec<String>,
    /// The number after which the next page begins; `None` at the end.
    pub next: Option<u64>,
}

/// The result of checking the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// Whether chain and checkpoints hold.
    pub intact: bool,
    /// How many records were checked.
    pub records: u64,
    /// How many signed checkpoints.
    pub checkpoints: u64,
    /// The last record that a signed checkpoint covers.
    pub covered: u64,
    /// The first thing that does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The result of checking policy files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyCheck {
    /// Whether they could be loaded.
    pub valid: bool,
    /// How many rules there are.
    pub rules: usize,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is probably not meant.
    pub warnings: Vec<Problem>,
}

/// Why a request was decided as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyExplained {
    /// The request id.
    pub request: String,
    /// When it was.
    pub at: Timestamp,
    /// Who asked.
    pub who: String,
    /// The action.
    pub action: String,
    /// The resource.
    pub resource: String,
    /// What was decided then.
    pub allowed_then: bool,
    /// The rules that determined it then.
    pub rules_then: Vec<String>,
    /// The policy that decided then.
    pub epoch_then: u64,
    /// What the loaded policy says now.
    pub now: Explanation,
}

/// A preset that is in the policy folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyUsed {
    /// The file in the policy folder.
    pub file: String,
    /// Whether it was written now.
    pub changed: bool,
    /// The policy that holds now.
    pub policy: PolicyStatus,
}

/// A setting and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingInForce {
    /// Such as `api.listen`.
    pub key: String,
    /// As it is in force.
    pub value: String,
    /// `default`, `file:line`, the variable, or the flag.
    pub source: String,
}

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
