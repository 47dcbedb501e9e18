//! Validators against hosts and resolvers that behave, and others.

mod addresses;
mod alpn;
mod caa;
mod dns;
mod host;
mod http;
mod resolver;

use std::net::IpAddr;
use std::time::Duration;

use super::{Failure, Method, Question, Subject, ValidateSettings, Validator};
use resolver::{Resolver, Zone};

const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
const KEY_AUTHORIZATION: &str =
    "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";
/// For what never comes.
const SHORT: Duration = Duration::from_secs(1);

/// Loopback is open, and the port of both kinds of hosts is this one.
fn settings(resolver: &Resolver, port: u16) -> ValidateSettings {
    ValidateSettings {
        http_port: port,
        tls_port: port,
        resolvers: vec![resolver.address],
        hosts_file: false,
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        ..ValidateSettings::default()
    }
}

fn subject(text: &str) -> Subject {
    match text.parse::<IpAddr>() {
        Ok(address) => Subject::Ip(address),
        Err(_) => Subject::Dns(text.parse().unwrap()),
    }
}

fn question(method: Method, name: &str) -> Question {
    Question {
        method,
        subject: subject(name),
        token: TOKEN.to_owned(),
        key_authorization: KEY_AUTHORIZATION.to_owned(),
    }
}

/// `a.test` and `b.test` are this host.
async fn resolver() -> Resolver {
    Resolver::start(Zone::default().a("a.test", &["127.0.0.1"]).a("b.test", &["127.0.0.1"])).await
}

async fn ask(settings: ValidateSettings, method: Method, name: &str) -> Result<(), Failure> {
    Validator::new(settings).unwrap().ask(&question(method, name)).await
}

/// Its kind, after a look at what it tells.
fn kind(answer: Result<(), Failure>) -> &'static str {
    let failure = answer.expect_err("it was taken for right");
    let text = failure.to_string();
    for secret in ["hunter2", "127.0.0.1:", "os error"] {
        assert!(!text.contains(secret), "{text}");
    }
    failure.kind().name()
}
