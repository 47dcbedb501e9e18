//! What a Forwarder tells whoever runs it.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Method;
use sealock_core::Timestamp;
use serde::Serialize;

use crate::gatekeeper::Protocol;

/// Whoever wants to know. Called in the task of the request: it must not wait for anything.
pub trait Report: Send + Sync + 'static {
    /// A request or tunnel has ended.
    fn access(&self, access: &Access);
}

/// A line of the access log. It holds no query, no header and no token: people put secrets there.
#[derive(Debug, Clone)]
pub struct Access {
    /// When the request came.
    pub time: Timestamp,
    /// How long it took, from its head to the end of its answer.
    pub took: Duration,
    /// The number of the request, by which the Gatekeeper's line is found.
    pub request: String,
    /// Its place in a trace.
    pub trace: String,
    /// Where the connection comes from.
    pub peer: SocketAddr,
    /// The service that was called; none if it is another destination.
    pub service: Option<String>,
    /// The destination as the app named it.
    pub destination: Option<String>,
    /// The instance that it went to last.
    pub instance: Option<String>,
    /// The method.
    pub method: Method,
    /// The path, without the query; none of a tunnel.
    pub path: Option<String>,
    /// How it goes on after its head.
    pub protocol: Protocol,
    /// The status of the answer; 0 if there was none before the end.
    pub status: u16,
    /// Why it was not the service that answered.
    pub code: Option<&'static str>,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// Whether it was cut, for its destination is no longer listed.
    pub cut: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    traceparent: &'a str,
    peer: SocketAddr,
    service: Option<&'a str>,
    destination: Option<&'a str>,
    instance: Option<&'a str>,
    method: &'a str,
    path: Option<&'a str>,
    protocol: Protocol,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    bytes: u64,
    milliseconds: u64,
    cut: bool,
}

impl Access {
    /// One line of JSON, without the line's end.
    pub fn to_json(&self) -> String {
        let line = Line {
            time: self.time.to_rfc3339(),
            request_id: &self.request,
            traceparent: &self.trace,
            peer: self.peer,
            service: self.service.as_deref(),
            destination: self.destination.as_deref(),
            instance: self.instance.as_deref(),
            method: self.method.as_str(),
            path: self.path.as_deref(),
            protocol: self.protocol,
            status: self.status,
            code: self.code,
            bytes: self.sent,
            milliseconds: u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            cut: self.cut,
        };
        // Only texts and numbers are in it, which always can be written.
        serde_json::to_string(&line).unwrap_or_default()
    }
}
