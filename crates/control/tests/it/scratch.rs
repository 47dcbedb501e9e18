//! A state folder of its own, and callers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealock_control::command::{Files, Init, Issue};
use sealock_control::config::{Config, Environment, Flags};
use sealock_control::state::{Purpose, StateFolder};
use sealock_control::{Caller, Command, Door, Opening, Reply, Service, ServiceError};
use sealock_core::audit::Record;
use sealock_core::{Identity, IdentityKind, TrustDomain};

pub(crate) struct Scratch {
    pub(crate) folder: tempfile::TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// No engine, and any free port.
    pub(crate) fn opening(&self) -> Opening {
        let engine = format!("unix://{}", self.folder.path().join("no-engine.sock").display());
        let flags: Flags = vec![
            ("api.listen", "127.0.0.1:0".to_owned()),
            ("gateway.listen", "127.0.0.1:0".to_owned()),
            ("docker.url", engine),
            ("trust_domain", "test.sealock".to_owned()),
        ];
        let environment = Environment::default();
        let config = Config::from_parts(None, &environment, &flags).unwrap();
        let state = StateFolder::locate(Some(&self.path()), &environment).unwrap();
        Opening::new(state, config, environment)
    }

    pub(crate) fn service(&self) -> Arc<Service> {
        Self::open(self.opening())
    }

    pub(crate) fn open(opening: Opening) -> Arc<Service> {
        let lock = opening.state.open(Purpose::Command, Duration::from_secs(20)).unwrap();
        Service::open(opening, lock).unwrap()
    }

    /// With an authority.
    pub(crate) async fn initialised(&self) -> Arc<Service> {
        let service = self.service();
        call(&service, Command::Init(Init::default())).await.unwrap();
        service
    }

    pub(crate) fn rule_file(&self, name: &str) -> PathBuf {
        self.path().join("policy").join(name)
    }
}

pub(crate) fn admin(service: &Service) -> Caller {
    service.local_caller(Door::Process).unwrap()
}

/// Somebody without any right.
pub(crate) fn nobody() -> Caller {
    person("nobody")
}

pub(crate) fn person(name: &str) -> Caller {
    let domain: TrustDomain = "test.sealock".parse().unwrap();
    let identity = Identity::new(&domain, IdentityKind::Human, name).unwrap();
    let mut caller = Caller::identified(identity, Vec::new());
    caller.door = Door::Process;
    caller
}

/// As the administrator.
pub(crate) async fn call(service: &Arc<Service>, command: Command) -> Result<Reply, ServiceError> {
    service.handle(&admin(service), command).await
}

pub(crate) fn issue(name: &str) -> Command {
    Command::CertIssue(Issue { name: name.to_owned(), ..Issue::default() })
}

pub(crate) async fn issued(service: &Arc<Service>, name: &str) -> Files {
    match call(service, issue(name)).await.unwrap() {
        Reply::Files(files) => *files,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn records(service: &Service) -> Vec<Record> {
    service.journal().tail(0, 100_000).unwrap()
}
