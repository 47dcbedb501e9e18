//! A try to get a certificate by protocol, prepared: whom to ask, as whom, with what; and the account there.

use std::sync::Arc;

use data_encoding::BASE64;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use sealock_authority::imported::{Held, MOST_CERTIFICATES, Pile, Standing, Wishes};
use sealock_core::audit::Actor;
use sealock_core::{ImportedName, SubjectName};
use sealock_store::{Change, Transaction};
use sealock_upstream::acme::{AccountKey, Registration, Ways};
use sealock_upstream::est::Credentials;
use sealock_upstream::{Client, Deadlines, Place, UpstreamError};
use serde::{Deserialize, Serialize};

use super::request_error;
use super::upstream_files as files;
use crate::config::{UpstreamKind, UpstreamSettings};
use crate::error::{ErrorCode, ServiceError};
use crate::service::{Service, convert};

const ACCOUNTS: &str = "control/upstream/account/";

/// An account, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct AccountRecord {
    /// At which server, and by whose word: another one is another account.
    directory: String,
    kid: Option<String>,
    /// Its URL, once the server knows it.
    url: Option<String>,
    /// Its key, sealed (base64).
    key: String,
}

/// A try that can be made.
pub(crate) struct Job {
    pub(crate) name: ImportedName,
    /// For which key (SHA-256), and the CSR (DER).
    pub(crate) key: String,
    pub(crate) csr: Vec<u8>,
    pub(crate) upstream: String,
    pub(crate) client: Arc<Client>,
    pub(crate) url: Place,
    pub(crate) speaks: Speaks,
}

/// What is needed for a protocol.
pub(crate) enum Speaks {
    Acme(Box<AcmeJob>),
    Est(Box<EstJob>),
}

pub(crate) struct AcmeJob {
    pub(crate) account: AccountKey,
    pub(crate) account_url: Option<String>,
    pub(crate) registration: Registration,
    pub(crate) names: Vec<SubjectName>,
    pub(crate) profile: Option<String>,
    pub(crate) ways: Ways,
    /// The certificate (DER) that is to have a successor.
    pub(crate) replaces: Option<Vec<u8>>,
}

pub(crate) struct EstJob {
    pub(crate) label: Option<String>,
    pub(crate) credentials: Option<Credentials>,
    /// Shows the certificate that is to have a successor.
    pub(crate) again: Option<Arc<Client>>,
}

/// A question when to renew.
pub(crate) struct WindowJob {
    pub(crate) client: Arc<Client>,
    pub(crate) directory: String,
    pub(crate) account: AccountKey,
    pub(crate) account_url: String,
    pub(crate) leaf: Vec<u8>,
}

/// What is asked of a CA that is away, unwilling or not what it should be.
pub(crate) fn upstream_error(error: &UpstreamError) -> ServiceError {
    use UpstreamError as E;
    let code = match error {
        E::Connect(..) | E::Broken(..) | E::Processing(_) => ErrorCode::Unavailable,
        E::Late(_) => ErrorCode::Timeout,
        E::Notes(_) => ErrorCode::State,
        _ => ErrorCode::Failed,
    };
    ServiceError::of(code, error).maybe_hint(error.hint())
}

impl Service {
    pub(super) fn upstream_settings(&self, name: &str) -> Result<&UpstreamSettings, ServiceError> {
        let all = &self.config().settings.upstreams;
        all.get(name).ok_or_else(|| {
            let known: Vec<&str> = all.keys().map(String::as_str).collect();
            let hint = match known.is_empty() {
                true => format!(
                    "the settings have none; `[upstream.{name}]` with kind and url makes one"
                ),
                false => format!("the settings have {}", known.join(", ")),
            };
            let text = format!("there is no upstream `{name}` in the settings");
            ServiceError::new(ErrorCode::NotFound, text).hint(self.about_settings(hint))
        })
    }

    /// Whether such a certificate can be had at its upstream at all.
    pub(super) fn can_be_asked(&self, wishes: &Wishes) -> Result<(), ServiceError> {
        let Some(upstream) = &wishes.upstream else { return Ok(()) };
        let set = self.upstream_settings(upstream)?;
        let is_acme = set.kind == Some(UpstreamKind::Acme);
        if is_acme && wishes.usages.beyond_tls() {
            let text = format!("`{upstream}` is asked by ACME, which is for TLS alone");
            return Err(ServiceError::new(ErrorCode::Usage, text).hint(
                "leave --upstream out and have the CSR signed, or ask a CA that speaks EST",
            ));
        }
        let other = |name: &&SubjectName| !matches!(name, SubjectName::Dns(_) | SubjectName::Ip(_));
        match wishes.names.iter().find(other) {
            Some(name) if is_acme => {
                let error = UpstreamError::NoIdentifier(name.to_string());
                Err(ServiceError::of(ErrorCode::Usage, &error))
            }
            _ => Ok(()),
        }
    }

    /// A connection to an upstream, with a certificate to show where there is one. Reads files; blocking.
    pub(super) fn upstream_client(
        &self,
        set: &UpstreamSettings,
        identity: Option<files::Identity>,
    ) -> Result<Client, ServiceError> {
        let url = set.url.as_ref().ok_or_else(incomplete)?;
        let roots = match files::roots(set)? {
            Some(roots) => roots,
            // By ours, whoever gets a certificate here for that name would be the company's CA.
            None => self
                .authority()?
                .anchors()
                .iter()
                .map(|anchor| CertificateDer::from(anchor.der().to_vec()))
                .collect(),
        };
        let hosts = set.hosts.clone();
        Client::new(url.origin(), hosts, &roots, identity, Deadlines::default())
            .map_err(|error| upstream_error(&error))
    }

    /// Everything that a try needs. Reads files, and opens keys; blocking.
    pub(crate) fn enrolment_job(&self, name: &ImportedName) -> Result<Job, ServiceError> {
        let authority = self.authority()?;
        let unknown = sealock_authority::imported::RequestError::Unknown(name.clone());
        let standing = authority.standing(name).ok_or_else(|| request_error(&unknown))?;
        let waiting = sealock_authority::imported::RequestError::NotWaiting(name.clone());
        let waiting = standing.waiting.as_ref().ok_or_else(|| request_error(&waiting))?;
        let upstream = standing.wishes.upstream.clone().ok_or_else(incomplete)?;
        let set = self.upstream_settings(&upstream)?;
        let csr = CertificateSigningRequestDer::from_pem_slice(waiting.csr.as_bytes());
        let csr = csr.map_err(|_| ServiceError::new(ErrorCode::Fault, "the CSR is none"))?;
        let before = standing.held.as_ref().filter(|_| waiting.renewal);
        let speaks = match set.kind.ok_or_else(incomplete)? {
            UpstreamKind::Acme => {
                let (account, account_url) = self.upstream_account(&upstream, set)?;
                Speaks::Acme(Box::new(AcmeJob {
                    account,
                    account_url,
                    registration: Registration {
                        contact: set.contact.clone(),
                        terms_agreed: set.terms_agreed,
                        binding: files::binding(set)?,
                    },
                    names: standing.wishes.names.clone(),
                    profile: set.profile.clone(),
                    ways: Ways { http01: set.http01, dns: set.dns_hook.clone() },
                    replaces: before.map(|held| held.leaf().to_vec()),
                }))
            }
            UpstreamKind::Est => Speaks::Est(Box::new(EstJob {
                label: set.label.clone(),
                credentials: files::credentials(set)?,
                again: before
                    .and_then(|held| self.by_its_own(set, &standing, held).transpose())
                    .transpose()?,
            })),
        };
        let client = Arc::new(self.upstream_client(set, files::own_identity(set)?)?);
        let url = set.url.clone().ok_or_else(incomplete)?;
        let (name, key) = (name.clone(), waiting.key.clone());
        Ok(Job { name, key, csr: csr.to_vec(), upstream, client, url, speaks })
    }

    /// A connection that shows the certificate which is to have a successor (RFC 7030 §4.2.2), where it is good for that.
    fn by_its_own(
        &self,
        set: &UpstreamSettings,
        standing: &Standing,
        held: &Held,
    ) -> Result<Option<Arc<Client>>, ServiceError> {
        let now = self.journal.clock().now();
        if !standing.wishes.usages.client || now > held.not_after {
            return Ok(None);
        }
        let actor = Actor::daemon("upstream");
        let (_, held, key) = self
            .authority()?
            .imported_key(&standing.name, &actor)
            .map_err(|error| request_error(&error))?;
        let identity = files::identity(held.tls_crt().as_bytes(), key.expose())?;
        Ok(Some(Arc::new(self.upstream_client(set, Some(identity))?)))
    }

    /// What is served by now, has no successor under way, and comes by ACME: names and serials.
    pub(crate) fn held_by_acme(&self) -> Result<Vec<(ImportedName, String)>, ServiceError> {
        let is_acme = |one: &Standing| {
            let set = one.wishes.upstream.as_ref().map(|name| self.upstream_settings(name));
            set.and_then(Result::ok).is_some_and(|set| set.kind == Some(UpstreamKind::Acme))
        };
        let all = self.authority()?.requests();
        let held = all.into_iter().filter(|one| one.waiting.is_none() && is_acme(one));
        Ok(held.filter_map(|one| Some((one.name, one.held?.serial))).collect())
    }

    /// What is needed to ask when a certificate is to be renewed; none where the server knows no account of ours.
    pub(crate) fn window_job(
        &self,
        name: &ImportedName,
    ) -> Result<Option<WindowJob>, ServiceError> {
        let Some(standing) = self.authority()?.standing(name) else { return Ok(None) };
        let (Some(upstream), Some(held)) = (&standing.wishes.upstream, &standing.held) else {
            return Ok(None);
        };
        let set = self.upstream_settings(upstream)?;
        let (account, Some(account_url)) = self.upstream_account(upstream, set)? else {
            return Ok(None);
        };
        let client = Arc::new(self.upstream_client(set, None)?);
        let directory = set.url.as_ref().ok_or_else(incomplete)?.to_string();
        let leaf = held.leaf().to_vec();
        Ok(Some(WindowJob { client, directory, account, account_url, leaf }))
    }

    /// The account there, if the server knows one.
    pub(super) fn upstream_account_url(
        &self,
        upstream: &str,
    ) -> Result<Option<String>, ServiceError> {
        Ok(self.account_record(upstream)?.and_then(|record| record.url))
    }

    fn account_record(&self, upstream: &str) -> Result<Option<AccountRecord>, ServiceError> {
        let entry = self.journal.store().get(format!("{ACCOUNTS}{upstream}").as_bytes());
        let entry = entry.map_err(|error| convert::store_error(&error))?;
        Ok(entry.and_then(|entry| serde_json::from_slice(&entry.value).ok()))
    }

    fn put_account(&self, upstream: &str, record: &AccountRecord) -> Result<(), ServiceError> {
        let value = serde_json::to_vec(record)
            .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        let transaction =
            Transaction::new().put(format!("{ACCOUNTS}{upstream}").into_bytes(), value);
        let written = self.journal.commit_blocking(Change { transaction, events: Vec::new() });
        written.map(|_| ()).map_err(|error| convert::journal_error(&error))
    }

    /// The account's key and URL. A key is on the disk before a server hears of it.
    fn upstream_account(
        &self,
        upstream: &str,
        set: &UpstreamSettings,
    ) -> Result<(AccountKey, Option<String>), ServiceError> {
        // Opens the keyring, where that was not done yet.
        self.authority()?;
        let missing = || ServiceError::new(ErrorCode::Fault, "the keyring is not open");
        let keyring = self.keyring.get().ok_or_else(missing)?;
        let entry = format!("{ACCOUNTS}{upstream}");
        let directory = set.url.as_ref().ok_or_else(incomplete)?.to_string();
        let found = self.account_record(upstream)?;
        let found = found.filter(|it| it.directory == directory && it.kid == set.eab_kid);
        if let Some(record) = found {
            let sealed = BASE64.decode(record.key.as_bytes()).map_err(|_| missing())?;
            let pkcs8 = keyring
                .open_sealed(&entry, &sealed)
                .map_err(|error| convert::keyring_error(&error))?;
            let key = AccountKey::from_pkcs8(pkcs8).map_err(|error| upstream_error(&error))?;
            return Ok((key, record.url));
        }
        let key = AccountKey::generate().map_err(|error| upstream_error(&error))?;
        let sealed =
            keyring.seal(&entry, key.pkcs8()).map_err(|error| convert::keyring_error(&error))?;
        let (kid, key_text) = (set.eab_kid.clone(), BASE64.encode(&sealed));
        self.put_account(upstream, &AccountRecord { directory, kid, url: None, key: key_text })?;
        Ok((key, None))
    }

    /// The server knows the account by this URL, or does not know it any more. Blocking.
    pub(crate) fn note_account(
        &self,
        upstream: &str,
        url: Option<String>,
    ) -> Result<(), ServiceError> {
        let Some(record) = self.account_record(upstream)? else { return Ok(()) };
        self.put_account(upstream, &AccountRecord { url, ..record })
    }

    /// What a CA has given: certificates (DER) out of bytes in any form. No key is taken from there.
    pub(crate) fn read_given(bytes: &[u8]) -> Result<Vec<Vec<u8>>, ServiceError> {
        let contents = sealock_formats::read(bytes, None).map_err(|error| {
            ServiceError::new(ErrorCode::Failed, "what the CA has sent cannot be read")
                .caused_by(&error)
        })?;
        if !contents.keys.is_empty() {
            let text = "the CA has sent a private key, and none is taken from there";
            return Err(ServiceError::new(ErrorCode::Failed, text));
        }
        if contents.certificates.len() > MOST_CERTIFICATES {
            return Err(ServiceError::new(
                ErrorCode::Failed,
                "the CA has sent too many certificates",
            ));
        }
        Ok(contents.certificates)
    }

    /// Takes what was given, by the very checks of `cert import`. Blocking.
    pub(crate) fn import_given(
        &self,
        name: &ImportedName,
        key: &str,
        certificates: Vec<Vec<u8>>,
    ) -> Result<(), ServiceError> {
        let waits = self.authority()?.standing(name).and_then(|it| it.waiting);
        if waits.is_none_or(|waiting| waiting.key != key) {
            return Ok(());
        }
        // It was asked for there, so how long it lasts is that CA's to say.
        let pile = Pile { certificates, accept_shorter: true, ..Pile::default() };
        self.take(name, &pile, &Actor::daemon("upstream")).map(|_| ())
    }
}

fn incomplete() -> ServiceError {
    ServiceError::new(ErrorCode::Fault, "the settings of the upstream are not complete")
}
