//! What a Gatekeeper tells whoever runs it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Version;
use sealock_core::policy::{Decision, Question};
use sealock_core::{Identity, Timestamp};
use serde::Serialize;

use super::call::{Call, Protocol};
use crate::http::ids::Ids;
use crate::token::Claims;

/// Whoever wants to know. Called in the task of the request: it must not wait for anything.
pub trait Report: Send + Sync + 'static {
    /// Policy says no, and the caller was refused or, in another mode than `enforce`, let in all the same.
    fn denied(&self, denied: &Denied);

    /// A request has ended.
    fn access(&self, access: &Access);
}

/// A denial.
#[derive(Debug, Clone)]
pub struct Denied {
    /// The number that the caller was told, by which the denial can be explained.
    pub reason: String,
    /// The number of the request, which the caller may have chosen.
    pub request: String,
    /// What was asked.
    pub question: Question,
    /// What was decided.
    pub decision: Arc<Decision>,
    /// Whether the caller was refused.
    pub enforced: bool,
}

/// A line of the access log. It holds no query, no header and no token: people put secrets there.
#[derive(Debug, Clone)]
pub struct Access {
    /// When the request came.
    pub time: Timestamp,
    /// How long it took, from its head to the end of its answer.
    pub took: Duration,
    /// The number of the request, and its place in a trace.
    pub ids: Ids,
    /// Where the connection comes from.
    pub peer: SocketAddr,
    /// By which token it was called, once that is known to be good.
    pub caller: Option<Arc<Claims>>,
    /// The call, once it is read.
    pub call: Option<Arc<Call>>,
    /// The version of HTTP in which the request came.
    pub version: Version,
    /// The status of the answer, of ours also where gRPC is told it in another way; 0 if there was none before the end.
    pub status: u16,
    /// Why it was not the app that answered.
    pub code: Option<&'static str>,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// Whether it was cut: revoked, denied by a newer policy, or at the end of its token.
    pub cut: bool,
    /// The policy that decided.
    pub epoch: Option<u64>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: &'a str,
    traceparent: &'a str,
    peer: SocketAddr,
    caller: Option<&'a Identity>,
    token_id: Option<&'a str>,
    method: Option<&'a str>,
    host: Option<&'a str>,
    path: Option<&'a str>,
    protocol: Option<Protocol>,
    version: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    bytes: u64,
    milliseconds: u64,
    cut: bool,
    epoch: Option<u64>,
}

/// As it is written elsewhere.
const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

impl Access {
    /// One line of JSON, without the line's end.
    pub fn to_json(&self) -> String {
        let call = self.call.as_deref();
        let line = Line {
            time: self.time.to_rfc3339(),
            request_id: self.ids.request(),
            traceparent: self.ids.traceparent.to_str().unwrap_or_default(),
            peer: self.peer,
            caller: self.caller.as_ref().map(|claims| &claims.subject),
            token_id: self.caller.as_ref().map(|claims| claims.id.as_str()),
            method: call.map(|call| call.method.as_str()),
            host: call.and_then(|call| call.host.as_deref()),
            path: call.map(|call| call.path.as_str()),
            protocol: call.map(|call| call.protocol),
            version: version(self.version),
            status: self.status,
            code: self.code,
            bytes: self.sent,
            milliseconds: u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            cut: self.cut,
            epoch: self.epoch,
        };
        // Only texts and numbers are in it, which always can be written.
        serde_json::to_string(&line).unwrap_or_default()
    }
}
