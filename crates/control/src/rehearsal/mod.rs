//! Requests against a policy, without an engine: what `policy test` does.
//!
//! A request of the engine's API goes through the gateway itself, before an engine that has only the objects which
//! the file names. So what is asked of policy is what the gateway asks, and a request that the gateway does not even
//! read is refused here in the same way. Any other question is put to the policy as it stands in the file.

mod engine;
mod guard;
mod suite;

use std::sync::Arc;
use std::time::Duration;

use sealock_core::policy::{PolicyError, PolicySet, Question, plain};
use sealock_docker::gateway::{Client, Gateway, rehearse};
use sealock_docker::route::Version;
use sealock_net::proxy::{Upstream, UpstreamSettings};
use serde::Serialize;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use engine::Engine;
pub use guard::Decided;
use guard::Deciding;
use suite::{Asked, Sent};
pub use suite::{Case, Expected, Suite, SuiteError};

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of an answer no more is read.
const LONGEST_ANSWER: u64 = 64 << 10;

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Its name in the file.
    pub case: String,
    /// Whether it is as expected.
    pub passed: bool,
    /// What the file expects.
    pub expected: Expected,
    /// What came of it.
    pub got: Expected,
    /// The rule that the file expects to have determined it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_rule: Option<String>,
    /// What the gateway answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// What policy was asked, and said.
    pub decided: Vec<Decided>,
}

/// Why cases could not be tried.
#[derive(Debug, Error)]
pub enum RehearsalError {
    /// The policy.
    #[error("the policy cannot be loaded")]
    Policy(#[source] PolicyError),
    /// A case.
    #[error("the case `{case}` cannot be tried")]
    Case {
        /// Its name.
        case: String,
        /// Why.
        #[source]
        source: SuiteError,
    },
    /// This host.
    #[error("the case `{case}` could not be tried on this host")]
    Host {
        /// Its name.
        case: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Tries every case of a file against these rules (file name, text).
pub async fn run(
    suite: &Suite,
    sources: &[(String, String)],
) -> Result<Vec<Outcome>, RehearsalError> {
    let policy = Arc::new(PolicySet::load(sources, 1).map_err(RehearsalError::Policy)?);
    let mut outcomes = Vec::with_capacity(suite.cases().len());
    for case in suite.cases() {
        outcomes.push(one(suite, case, &policy).await?);
    }
    Ok(outcomes)
}

async fn one(
    suite: &Suite,
    case: &Case,
    policy: &Arc<PolicySet>,
) -> Result<Outcome, RehearsalError> {
    let name = plain(case.name());
    let asked =
        suite.asked(case).map_err(|source| RehearsalError::Case { case: name.clone(), source })?;
    let (got, answer, decided) = match asked {
        Asked::Question(question) => {
            let decided = decide(policy, &question);
            let got = if decided.allowed { Expected::Allow } else { Expected::Deny };
            (got, None, vec![decided])
        }
        Asked::Request(sent) => request(suite, policy, *sent)
            .await
            .map_err(|source| RehearsalError::Host { case: name.clone(), source })?,
    };
    let is_rule = |wanted: &str| {
        let names = |rule: &String| rule == wanted || rule.rsplit('#').next() == Some(wanted);
        decided.iter().any(|decided| decided.rules.iter().any(names))
    };
    let passed = got == case.expected() && case.rule().is_none_or(is_rule);
    Ok(Outcome {
        case: name,
        passed,
        expected: case.expected(),
        got,
        expected_rule: case.rule().map(str::to_owned),
        answer,
        decided,
    })
}

fn decide(policy: &PolicySet, question: &Question) -> Decided {
    let decision = policy.decide(question);
    Decided {
        action: question.action,
        resource: question.resource.to_string(),
        allowed: decision.allowed,
        rules: decision.rules,
        fault: decision.fault,
    }
}

type Came = (Expected, Option<String>, Vec<Decided>);

async fn request(suite: &Suite, policy: &Arc<PolicySet>, sent: Sent) -> std::io::Result<Came> {
    let engine = Engine::start(suite.objects()).await?;
    let upstream = Upstream::new(engine.address(), UpstreamSettings::default());
    let guard = Arc::new(Deciding::new(Arc::clone(policy)));
    let gateway = Gateway::new(upstream, Arc::clone(&guard), Version::NEWEST);
    let client = Client { who: sent.principal.identity.to_string(), principal: sent.principal };
    let (mut ours, theirs) = tokio::io::duplex(64 << 10);
    let talk = async {
        ours.write_all(&sent.bytes).await?;
        answer(&mut ours).await
    };
    let served = async {
        rehearse(theirs, &client, &gateway).await;
        std::future::pending::<()>().await;
    };
    let said = tokio::select! {
        () = served => unreachable_answer(),
        said = tokio::time::timeout(PATIENCE, talk) => said.unwrap_or_else(|_| unreachable_answer()),
    };
    let (status, message) = said?;
    let got = match (engine.was_reached(), status) {
        (true, _) => Expected::Allow,
        (false, 403) => Expected::Deny,
        (false, 404) if engine.was_asked() => Expected::Hide,
        (false, _) => Expected::Refuse,
    };
    let message = plain(message.trim());
    Ok((got, Some(format!("{status} {message}")), guard.taken()))
}

fn unreachable_answer() -> std::io::Result<(u16, String)> {
    Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "the gateway gives no answer"))
}

/// Status and message of an answer; of a stream only what it begins with.
async fn answer(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
) -> std::io::Result<(u16, String)> {
    let mut bytes = Vec::new();
    let mut stream = stream.take(LONGEST_ANSWER);
    while !is_whole(&bytes) {
        if stream.read_buf(&mut bytes).await? == 0 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("the gateway's answer is none"))?;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let message = serde_json::from_str::<serde_json::Value>(body).ok();
    let message = message.as_ref().and_then(|json| json.get("message")?.as_str());
    Ok((status, message.unwrap_or_default().to_owned()))
}

/// Whether head and body are there. An answer of the gateway's own has a length; a stream is taken as it begins.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let length = lines
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .find_map(|(_, value)| value.trim().parse::<usize>().ok());
    length.is_none_or(|length| body.len() >= length)
}
