//! What is told of calls: a line for each on stdout, and denials to the broker, for the one audit log.

use std::time::Duration;

use sealock_core::Identity;
use sealock_net::Shutdown;
use sealock_traffic::gatekeeper::{Access, Denied, Report};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{AccessLog, Link};
use crate::command::{CallDenied, Command};

/// Denials that wait to be told. More are not: who makes so many is told of already.
const WAITING: usize = 1024;
/// In one report.
const AT_ONCE: usize = 256;
/// Between two reports, so that several become one.
const PAUSE: Duration = Duration::from_millis(100);
/// Before a report that was not taken is made again.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Reporter {
    denials: mpsc::Sender<CallDenied>,
    log: AccessLog,
}

pub(super) type Reports = mpsc::Receiver<CallDenied>;

pub(super) fn channel(access_log: bool) -> (Reporter, Reports) {
    let (denials, reports) = mpsc::channel(WAITING);
    (Reporter { denials, log: AccessLog::start(access_log) }, reports)
}

impl Report for Reporter {
    fn denied(&self, denied: &Denied) {
        let text = |name: &str| match denied.question.context.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            _ => None,
        };
        let report = CallDenied {
            number: denied.reason.clone(),
            caller: denied.question.principal.identity.to_string(),
            method: text("method").unwrap_or_default(),
            path: text("path").unwrap_or_default(),
            host: text("host"),
            protocol: text("protocol").unwrap_or_default(),
        };
        if self.denials.try_send(report).is_err() {
            tracing::warn!(number = denied.reason, "a denial is not reported: there are too many");
        }
    }

    fn access(&self, access: &Access) {
        self.log.line(|| access.to_json());
    }
}

/// Tells the broker. What waits when it is away is told when it is back.
pub(super) async fn send(
    mut reports: Reports,
    broker: Link,
    service: Identity,
    shutdown: Shutdown,
) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            () = shutdown.triggered() => return,
            got = reports.recv_many(&mut batch, AT_ONCE) => if got == 0 { return },
        }
        loop {
            let command =
                Command::CallsDenied { service: service.to_string(), denials: batch.clone() };
            match broker.call(&command).await {
                Ok(_) => break,
                Err(error) if error.code == crate::ErrorCode::Usage => {
                    tracing::error!(%error, "the broker does not take a report");
                    break;
                }
                Err(error) => tracing::debug!(%error, "a report waits"),
            }
            tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
        batch.clear();
        tokio::time::sleep(PAUSE).await;
    }
}
