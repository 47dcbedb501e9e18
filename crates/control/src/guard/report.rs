//! What is told of calls: a line for each on stdout, and denials to the broker, for the one audit log.
//!
//! **What an attacker controls:** as a caller: how many denials there are, and their paths. So each caller has a share of
//! the queue, a path is cut at a bound, and reports are made of so many bytes at most as a broker takes.

mod once;
mod queue;
#[cfg(test)]
mod tests;
mod unreported;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sealock_core::Identity;
use sealock_net::Shutdown;
use sealock_traffic::gatekeeper::{Access, Denied, Report};
use serde_json::Value;

use super::{AccessLog, Link};
use crate::command::{CallDenied, Command};
use once::Once;
use queue::Queue;
pub(super) use unreported::Unreported;

/// Between two reports, so that several become one.
const PAUSE: Duration = Duration::from_millis(100);
/// Before a report that was not taken is made again.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Reporter {
    denials: Arc<Queue>,
    passed: Mutex<Once>,
    unreported: Arc<Unreported>,
    log: AccessLog,
}

/// What there is to tell.
pub(super) struct Reports {
    denials: Arc<Queue>,
    pub(super) unreported: Arc<Unreported>,
}

pub(super) fn channel(access_log: bool) -> (Reporter, Reports) {
    let (denials, unreported) = <(Arc<Queue>, Arc<Unreported>)>::default();
    let reports = Reports { denials: Arc::clone(&denials), unreported: Arc::clone(&unreported) };
    let log = AccessLog::start(access_log);
    (Reporter { denials, passed: Mutex::default(), unreported, log }, reports)
}

impl Report for Reporter {
    fn denied(&self, denied: &Denied) {
        let now = Instant::now();
        if denied.enforced {
            if !self.denials.put(read(denied)) {
                self.unreported.add(1, now);
            }
            return;
        }
        // Of what a mode lets pass, the same is told again now and then only. What was not told is not the same yet.
        let mut passed = self.passed.lock();
        let Some(call) = passed.is_news(&denied.question, denied.decision.epoch, now) else {
            return;
        };
        if self.denials.put(read(denied)) {
            passed.keep(call, now);
        } else {
            self.unreported.add(1, now);
        }
    }

    fn access(&self, access: &Access) {
        self.log.line(|| access.to_json());
    }
}

/// As it is told.
fn read(denied: &Denied) -> CallDenied {
    let text = |name: &str| match denied.question.context.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        _ => None,
    };
    let (path, cut) = cut(text("path").unwrap_or_default());
    CallDenied {
        number: denied.reason.clone(),
        caller: denied.question.principal.identity.to_string(),
        method: text("method").unwrap_or_default(),
        path,
        host: text("host"),
        protocol: text("protocol").unwrap_or_default(),
        enforced: denied.enforced,
        cut,
    }
}

/// A path within the bound, and whether it had to be cut.
fn cut(mut path: String) -> (String, bool) {
    if path.len() <= CallDenied::LONGEST_PATH {
        return (path, false);
    }
    path.truncate(path.floor_char_boundary(CallDenied::LONGEST_PATH - CallDenied::MARK.len()));
    path.push_str(CallDenied::MARK);
    (path, true)
}

/// Tells the broker. What waits when it is away is told when it is back.
pub(super) async fn send(reports: Reports, broker: Link, service: Identity, shutdown: Shutdown) {
    loop {
        let denials = tokio::select! {
            () = shutdown.triggered() => return,
            denials = reports.denials.batch() => denials,
        };
        let count = u64::try_from(denials.len()).unwrap_or(u64::MAX);
        let command = Command::CallsDenied { service: service.to_string(), denials };
        loop {
            match broker.call(&command).await {
                Ok(_) => break,
                Err(error) if error.code == crate::ErrorCode::Usage => {
                    tracing::error!(%error, count, "the broker does not take a report");
                    reports.unreported.add(count, Instant::now());
                    break;
                }
                Err(error) => tracing::debug!(%error, "a report waits"),
            }
            tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
