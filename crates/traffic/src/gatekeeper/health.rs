//! Whether the app is well: what it says when it is asked now and then, and how requests to it have ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use hyper::header::USER_AGENT;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Uri};
use sealock_net::Shutdown;
use sealock_net::proxy::{RequestBody, Upstream};

use super::Gatekeeper;
use super::breaker::Attempt;
use crate::http::path::Target;
use crate::http::problem::Problem;

/// Answers in a row that are no good ones, before nobody is let through.
const ENOUGH: u32 = 2;

/// How the app is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    path: PathAndQuery,
    /// Between two times.
    pub interval: Duration,
    /// For the answer.
    pub timeout: Duration,
}

impl HealthSettings {
    /// `path` may have a query; none if it cannot be one.
    pub fn new(path: &str, interval: Duration, timeout: Duration) -> Option<Self> {
        Target::read(&Method::GET, path).ok()?;
        let path = path.parse().ok()?;
        Some(Self { path, interval, timeout })
    }
}

/// What is known of the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// It has not been asked yet, or never is.
    Unknown,
    /// It gives good answers.
    Well,
    /// It does not.
    Unwell,
}

#[derive(Debug, Default)]
pub(super) struct Last(AtomicU8);

impl Last {
    fn set(&self, health: Health) -> Health {
        Self::of(self.0.swap(health as u8, Ordering::AcqRel))
    }

    pub(super) fn get(&self) -> Health {
        Self::of(self.0.load(Ordering::Acquire))
    }

    const fn of(number: u8) -> Health {
        match number {
            1 => Health::Well,
            2 => Health::Unwell,
            _ => Health::Unknown,
        }
    }
}

impl Gatekeeper {
    /// What the app has said when it was asked.
    pub fn health(&self) -> Health {
        self.health.get()
    }

    /// Whether requests are kept from the app, for those before have failed.
    pub fn is_circuit_open(&self) -> bool {
        self.breaker.as_ref().is_some_and(super::breaker::Breaker::is_open)
    }

    /// Asks the app now and then how it is, until the shutdown signal; ends at once where that is not wanted.
    /// `app` should keep no connections: whether it takes new ones is a part of the question.
    pub async fn watch_app(self: Arc<Self>, app: Upstream, shutdown: Shutdown) {
        let Some(settings) = self.settings.health.clone() else { return };
        let mut failures = 0_u32;
        loop {
            let asked = tokio::select! {
                () = shutdown.triggered() => return,
                asked = tokio::time::timeout(settings.timeout, ask(&app, &settings)) => asked,
            };
            let why = match asked {
                Ok(Ok(())) => None,
                Ok(Err(why)) => Some(why),
                Err(_) => Some("it did not answer in time".to_owned()),
            };
            if let Some(why) = why {
                failures = failures.saturating_add(1);
                if failures >= ENOUGH && self.health.set(Health::Unwell) != Health::Unwell {
                    tracing::warn!(why, "the service is not well; nobody is let through");
                }
            } else {
                failures = 0;
                if self.health.set(Health::Well) == Health::Unwell {
                    tracing::info!("the service is well again");
                }
            }
            tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(settings.interval) => {}
            }
        }
    }

    /// Whether a request may go to the app.
    pub(super) fn attempt(&self) -> Result<Option<Attempt<'_>>, Problem> {
        if self.health.get() == Health::Unwell {
            let wait = self.settings.health.as_ref().map_or(Duration::ZERO, |it| it.interval);
            let detail = "the service says of itself that it is not well, or says nothing";
            return Err(Problem::unavailable("app_unwell", detail, wait));
        }
        let Some(breaker) = &self.breaker else { return Ok(None) };
        breaker.enter(self.clock.now()).map(Some).map_err(|wait| {
            let detail = "the service has failed too often, and is left alone for a while";
            Problem::unavailable("app_circuit_open", detail, wait)
        })
    }

    /// How a request to the app has ended.
    pub(super) fn settle(&self, attempt: Attempt<'_>, problem: Option<&Problem>) {
        match problem.map(|problem| problem.code) {
            None => attempt.succeeded(),
            Some("app_unreachable" | "app_broke" | "app_silent") => {
                if attempt.failed(self.clock.now()) {
                    self.metrics.opened();
                    tracing::warn!(
                        "the service has failed too often, and is left alone for a while"
                    );
                }
            }
            // The caller's doing, which says nothing about the app.
            Some(_) => drop(attempt),
        }
    }
}

async fn ask(app: &Upstream, settings: &HealthSettings) -> Result<(), String> {
    let mut request = Request::new(RequestBody::empty());
    *request.uri_mut() = Uri::from(settings.path.clone());
    request
        .headers_mut()
        .insert(USER_AGENT, hyper::header::HeaderValue::from_static("sealock-health"));
    let response = app.forward(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(format!("it answered {}", status.as_u16()))
    }
}
