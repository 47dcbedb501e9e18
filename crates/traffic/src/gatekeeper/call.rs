//! A call as policy is asked about it.

use std::fmt;

use hyper::Method;
use sealock_core::policy::{Action, Principal, Question, Resource};
use serde::{Serialize, Serializer};

/// How a call goes on after its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// As a request with an answer.
    Http,
    /// As a call of gRPC, which is HTTP/2 with messages both ways and its outcome in the trailers.
    Grpc,
    /// As a WebSocket.
    WebSocket,
}

impl Protocol {
    /// As policy has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::WebSocket => "websocket",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// All of a call that a decision may depend on, beside who calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path in its one spelling.
    pub path: String,
    /// The host, in lower case and without a port.
    pub host: Option<String>,
    /// How it goes on.
    pub protocol: Protocol,
}

impl Call {
    /// The question whether somebody may make this call.
    pub(super) fn question(&self, principal: Principal, service: &Resource) -> Question {
        let question = Question::new(principal, Action::HttpCall, service.clone())
            .with("method", self.method.as_str())
            .with("path", self.path.as_str())
            .with("protocol", self.protocol.word());
        match &self.host {
            Some(host) => question.with("host", host.as_str()),
            None => question,
        }
    }
}
