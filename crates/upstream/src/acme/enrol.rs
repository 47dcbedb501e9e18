//! An order, from its beginning or from where it was left, to the chain.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewOrder,
    OrderStatus, RetryPolicy,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sealock_core::SubjectName;

use super::answers::{Answering, Responders};
use super::hook::{Hook, TxtRecord};
use super::http::Http;
use super::register::{AccountKey, MOST_NONCES};
use super::wire::is_token;
use crate::client::Client;
use crate::error::{BoxedError, UpstreamError};
use crate::text::said;

/// For names to be found proved, and again for the certificate to be made.
const PATIENCE: Duration = Duration::from_secs(90);

/// What becomes of writing something down.
pub type Written<'a> = Pin<Box<dyn Future<Output = Result<(), BoxedError>> + Send + 'a>>;

/// Where it is written down what is under way, so that the next start goes on with it.
pub trait Notes: Send + Sync {
    /// The order that is under way, or that there is none any more.
    fn order<'a>(&'a self, url: Option<&'a str>) -> Written<'a>;
    /// The records that are in the DNS from now on, or may be.
    fn presented<'a>(&'a self, records: &'a [TxtRecord]) -> Written<'a>;
}

/// How names can be proved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways {
    /// Where to listen for http-01.
    pub http01: Option<SocketAddr>,
    /// The program for dns-01.
    pub dns: Option<Hook>,
}

/// An account that a server knows.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// Its URL.
    pub url: &'a str,
    /// Its key.
    pub key: &'a AccountKey,
}

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The names: of DNS, and addresses.
    pub names: &'a [SubjectName],
    /// The CSR (DER).
    pub csr: &'a [u8],
    /// The kind of certificate, as the server calls it.
    pub profile: Option<&'a str>,
    /// The certificate (DER) whose successor it is to be.
    pub replaces: Option<&'a [u8]>,
    /// The order that is under way.
    pub under_way: Option<&'a str>,
}

/// Whether the server did not like a nonce, which says nothing about the request (RFC 8555 §6.5).
fn is_nonce(error: &Error) -> bool {
    let Error::Api(problem) = error else { return false };
    problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:badNonce")
}

/// Does a step until its nonce is taken.
macro_rules! step {
    ($http:expr, $step:expr) => {{
        let mut left = MOST_NONCES;
        loop {
            match $step.await {
                Err(error) if left > 0 && is_nonce(&error) => left -= 1,
                done => break done.map_err(|error| $http.error(error)),
            }
        }
    }};
}

/// instant-acme's account.
pub(super) async fn opened(
    http: &Http,
    directory: &str,
    account: &Account<'_>,
) -> Result<instant_acme::Account, UpstreamError> {
    let key = PrivatePkcs8KeyDer::from(account.key.pkcs8());
    instant_acme::Account::builder_with_http(Box::new(http.clone()))
        .from_parts(account.url.to_owned(), key, directory.to_owned())
        .await
        .map_err(|error| http.error(error))
}

/// Gets the chain (PEM) for an order.
///
/// # Errors
/// The server refuses, is not done, or does not answer as it should; something is not possible here.
pub async fn enrol(
    client: &Arc<Client>,
    directory: &str,
    account: &Account<'_>,
    wanted: &Order<'_>,
    ways: &Ways,
    responders: &Responders,
    notes: &dyn Notes,
) -> Result<Vec<u8>, UpstreamError> {
    let http = Http::new(client);
    let account = opened(&http, directory, account).await?;
    let enrolment = Enrolment { http, account, wanted: *wanted, ways, responders, notes };
    enrolment.run().await
}

struct Enrolment<'a> {
    http: Http,
    account: instant_acme::Account,
    wanted: Order<'a>,
    ways: &'a Ways,
    responders: &'a Responders,
    notes: &'a dyn Notes,
}

/// What stands somewhere until the names are proved.
#[derive(Default)]
struct Standing {
    answering: Vec<Answering>,
    records: Vec<TxtRecord>,
}

impl Enrolment<'_> {
    async fn run(&self) -> Result<Vec<u8>, UpstreamError> {
        let mut order = match self.found().await? {
            Some(order) => order,
            None => self.made().await?,
        };
        let policy = RetryPolicy::new().timeout(PATIENCE);
        if order.state().status == OrderStatus::Pending {
            let mut standing = Standing::default();
            let proved = self.prove(&mut order, &policy, &mut standing).await;
            self.clean_up(standing.records).await?;
            proved?;
        }
        if order.state().status == OrderStatus::Ready {
            match step!(self.http, order.finalize_csr(self.wanted.csr)) {
                // It was done before, and we were gone before the answer came.
                Err(UpstreamError::Problem { kind, .. }) if kind == "orderNotReady" => {
                    step!(self.http, order.refresh()).map(drop)?;
                }
                done => done?,
            }
        }
        match order.state().status {
            OrderStatus::Invalid => self.ended(&mut order).await,
            OrderStatus::Pending => Err(UpstreamError::Processing(None)),
            OrderStatus::Valid => match step!(self.http, order.certificate())? {
                Some(pem) => Ok(pem.into_bytes()),
                None => Err(UpstreamError::Processing(None)),
            },
            OrderStatus::Ready | OrderStatus::Processing => {
                match step!(self.http, order.poll_certificate(&policy)) {
                    Ok(pem) => Ok(pem.into_bytes()),
                    Err(_) if order.state().status == OrderStatus::Invalid => {
                        self.ended(&mut order).await
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// The order that is under way, as far as the server knows it still.
    async fn found(&self) -> Result<Option<instant_acme::Order>, UpstreamError> {
        let Some(url) = self.wanted.under_way else { return Ok(None) };
        match step!(self.http, self.account.order(url.to_owned())) {
            Ok(mut order) => {
                if order.state().status != OrderStatus::Invalid {
                    return Ok(Some(order));
                }
            }
            Err(error) if is_forgotten(&error) => {}
            // It may be there still, with a certificate: no second one is ordered.
            Err(error) => return Err(error),
        }
        self.note_order(None).await?;
        Ok(None)
    }

    async fn made(&self) -> Result<instant_acme::Order, UpstreamError> {
        let identifiers = identifiers(self.wanted.names)?;
        let new = || {
            let mut new = NewOrder::new(&identifiers);
            if let Some(profile) = self.wanted.profile {
                new = new.profile(profile);
            }
            new
        };
        let replaced = self.wanted.replaces.map(|der| CertificateDer::from(der.to_vec()));
        let replaced =
            replaced.as_ref().and_then(|leaf| CertificateIdentifier::try_from(leaf).ok());
        let replacing = replaced.map(|id| new().replaces(id.into_owned()));
        // Whoever does not know what is replaced, or thinks that it was replaced already, makes an order all the same.
        let made = match &replacing {
            Some(order) => match step!(self.http, self.account.new_order(order)) {
                Err(UpstreamError::Problem { kind, .. })
                    if matches!(kind.as_str(), "alreadyReplaced" | "malformed") =>
                {
                    step!(self.http, self.account.new_order(&new()))
                }
                Err(UpstreamError::Nonsense(_)) => step!(self.http, self.account.new_order(&new())),
                done => done,
            },
            None => step!(self.http, self.account.new_order(&new())),
        };
        let order = made?;
        // What is not written down is not gone on with: the server forgets it, nothing was issued.
        self.note_order(Some(order.url())).await?;
        Ok(order)
    }

    async fn prove(
        &self,
        order: &mut instant_acme::Order,
        policy: &RetryPolicy,
        standing: &mut Standing,
    ) -> Result<(), UpstreamError> {
        let mut begun: BTreeSet<String> = BTreeSet::new();
        let mut names: BTreeSet<(String, bool)> = BTreeSet::new();
        let mut nonces = MOST_NONCES;
        // A nonce that is not taken ends the walk; the next one goes on, for what was read and begun is known.
        'walk: loop {
            let mut all = order.authorizations();
            while let Some(next) = all.next().await {
                let mut authorization = match next {
                    Ok(authorization) => authorization,
                    Err(error) if nonces > 0 && is_nonce(&error) => {
                        nonces -= 1;
                        continue 'walk;
                    }
                    Err(error) => return Err(self.http.error(error)),
                };
                if begun.contains(authorization.url()) {
                    continue;
                }
                let name = authorization.identifier().to_string();
                match authorization.status {
                    AuthorizationStatus::Valid => continue,
                    AuthorizationStatus::Pending => {}
                    other => {
                        let detail = format!("the authorization is {other:?}").to_lowercase();
                        return Err(UpstreamError::NotProved { name: said(&name), detail });
                    }
                }
                let kind = self.chosen(&authorization, &name)?;
                // Each would have our program write into a zone once more.
                if !names.insert((name.clone(), authorization.wildcard)) {
                    return Err(UpstreamError::Nonsense(
                        "an order has two authorizations for one name".into(),
                    ));
                }
                let url = authorization.url().to_owned();
                let Some(mut challenge) = authorization.challenge(kind) else { continue };
                let token = challenge.token.clone();
                if !is_token(&token) {
                    return Err(UpstreamError::Nonsense(
                        "a challenge has a token that is none".into(),
                    ));
                }
                let key = challenge.key_authorization();
                self.present(&challenge, &name, &token, &key, standing).await?;
                step!(self.http, challenge.set_ready())
                    .map_err(|error| not_proved(&name, error))?;
                begun.insert(url);
            }
            break;
        }
        match step!(self.http, order.poll_ready(policy)) {
            Ok(OrderStatus::Invalid) => self.unproved(order).await,
            Ok(_) => Ok(()),
            Err(UpstreamError::Problem { .. }) if order.state().status == OrderStatus::Invalid => {
                self.unproved(order).await
            }
            Err(error) => Err(error),
        }
    }

    /// Which challenge is to be met. Names are proved that were asked for, and no others: for another one the server
    /// would have our program write into a zone.
    fn chosen(
        &self,
        authorization: &instant_acme::AuthorizationState,
        name: &str,
    ) -> Result<ChallengeType, UpstreamError> {
        let asked =
            self.wanted.names.iter().any(|wanted| wanted.to_string().eq_ignore_ascii_case(name));
        if !asked {
            return Err(UpstreamError::OtherName(said(name)));
        }
        let offers =
            |kind: &ChallengeType| authorization.challenges.iter().any(|one| one.r#type == *kind);
        let is_dns = matches!(authorization.identifier().identifier, Identifier::Dns(_));
        let http = self.ways.http01.is_some() && !authorization.wildcard;
        let dns = self.ways.dns.is_some() && is_dns;
        let possible = [(http, ChallengeType::Http01), (dns, ChallengeType::Dns01)];
        let found = possible.into_iter().find(|(possible, kind)| *possible && offers(kind));
        found.map(|(_, kind)| kind).ok_or_else(|| {
            let offered = authorization.challenges.iter().take(8).map(|one| match &one.r#type {
                ChallengeType::Http01 => "http-01".to_owned(),
                ChallengeType::Dns01 => "dns-01".to_owned(),
                ChallengeType::TlsAlpn01 => "tls-alpn-01".to_owned(),
                ChallengeType::Unknown(other) => said(other),
                _ => "another".to_owned(),
            });
            let offered = offered.collect::<Vec<_>>().join(", ");
            UpstreamError::NoChallenge { name: said(name), offered }
        })
    }

    async fn present(
        &self,
        challenge: &instant_acme::ChallengeHandle<'_>,
        name: &str,
        token: &str,
        key: &instant_acme::KeyAuthorization,
        standing: &mut Standing,
    ) -> Result<(), UpstreamError> {
        if challenge.r#type == ChallengeType::Http01 {
            let Some(at) = self.ways.http01 else { return Ok(()) };
            standing.answering.push(self.responders.answer(at, token, key.as_str()).await?);
            return Ok(());
        }
        let Some(hook) = &self.ways.dns else { return Ok(()) };
        let base = name.strip_prefix("*.").unwrap_or(name);
        let record = TxtRecord { name: format!("_acme-challenge.{base}"), value: key.dns_value() };
        standing.records.push(record.clone());
        self.notes.presented(&standing.records).await.map_err(UpstreamError::Notes)?;
        hook.present(&record).await
    }

    /// Whatever came of it, the records go.
    async fn clean_up(&self, records: Vec<TxtRecord>) -> Result<(), UpstreamError> {
        let Some(hook) = self.ways.dns.as_ref().filter(|_| !records.is_empty()) else {
            return Ok(());
        };
        for record in &records {
            if let Err(error) = hook.cleanup(record).await {
                tracing::warn!(%error, "a record stays in the DNS");
            }
        }
        self.notes.presented(&[]).await.map_err(UpstreamError::Notes)
    }

    async fn unproved(&self, order: &mut instant_acme::Order) -> Result<(), UpstreamError> {
        let mut found = None;
        let mut nonces = MOST_NONCES;
        let mut all = order.authorizations();
        while let Some(next) = all.next().await {
            let Ok(mut authorization) = next else { continue };
            loop {
                match authorization.refresh().await {
                    Err(error) if nonces > 0 && is_nonce(&error) => nonces -= 1,
                    _ => break,
                }
            }
            if authorization.status != AuthorizationStatus::Invalid {
                continue;
            }
            let said_why = authorization.challenges.iter().find_map(|one| one.error.clone());
            let detail = said_why.map(|problem| self.http.error(Error::Api(problem)));
            found = Some((authorization.identifier().to_string(), detail));
            break;
        }
        self.note_order(None).await?;
        let (name, detail) = found.unwrap_or_default();
        let detail = match detail {
            Some(UpstreamError::Problem { detail, .. }) => detail,
            _ => "it does not say why".to_owned(),
        };
        Err(UpstreamError::NotProved { name: said(&name), detail })
    }

    async fn ended<T>(&self, order: &mut instant_acme::Order) -> Result<T, UpstreamError> {
        let why = order.state().error.clone().map(|problem| self.http.error(Error::Api(problem)));
        self.note_order(None).await?;
        Err(UpstreamError::Ended(match why {
            Some(UpstreamError::Problem { detail, .. }) => detail,
            _ => "it does not say why".to_owned(),
        }))
    }

    async fn note_order(&self, url: Option<&str>) -> Result<(), UpstreamError> {
        self.notes.order(url).await.map_err(UpstreamError::Notes)
    }
}

/// Whether the server has said that there is no such order; or it is of a server that was another one.
fn is_forgotten(error: &UpstreamError) -> bool {
    match error {
        UpstreamError::Problem { kind, .. } => {
            matches!(kind.as_str(), "malformed" | "unauthorized")
        }
        UpstreamError::Status { status, .. } => matches!(status, 404 | 410),
        UpstreamError::Url { .. } | UpstreamError::Elsewhere { .. } => true,
        _ => false,
    }
}

fn not_proved(name: &str, error: UpstreamError) -> UpstreamError {
    match error {
        UpstreamError::Problem { detail, .. } => {
            UpstreamError::NotProved { name: said(name), detail }
        }
        other => other,
    }
}

fn identifiers(names: &[SubjectName]) -> Result<Vec<Identifier>, UpstreamError> {
    let identifier = |name: &SubjectName| match name {
        SubjectName::Dns(name) => Ok(Identifier::Dns(name.to_string())),
        SubjectName::Ip(address) => Ok(Identifier::Ip(*address)),
        other => Err(UpstreamError::NoIdentifier(said(&other.to_string()))),
    };
    names.iter().map(identifier).collect()
}
