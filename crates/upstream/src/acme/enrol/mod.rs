//! An order, from its beginning or from where it was left, to the chain.

mod prove;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{CertificateIdentifier, Error, Identifier, NewOrder, OrderStatus, RetryPolicy};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sealock_core::SubjectName;

use self::prove::Standing;
use super::answers::Responders;
use super::hook::{Hook, TxtRecord};
use super::http::Http;
use super::register::{AccountKey, MOST_NONCES};
use crate::client::Client;
use crate::error::{BoxedError, UpstreamError};
use crate::text::said;

pub use self::prove::clean_up;

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
use step;

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

fn identifiers(names: &[SubjectName]) -> Result<Vec<Identifier>, UpstreamError> {
    let identifier = |name: &SubjectName| match name {
        SubjectName::Dns(name) => Ok(Identifier::Dns(name.to_string())),
        SubjectName::Ip(address) => Ok(Identifier::Ip(*address)),
        other => Err(UpstreamError::NoIdentifier(said(&other.to_string()))),
    };
    names.iter().map(identifier).collect()
}
