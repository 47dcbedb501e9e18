//! What a command needs of the rest: the settings, the service (a daemon's or our own), the engine.

use std::path::PathBuf;
use std::sync::Arc;

use sealock_control::command::{Command, Reply};
use sealock_control::config::{Config, Environment, Flags};
use sealock_control::daemon::engine_url;
use sealock_control::state::StateFolder;
use sealock_control::{Client, ErrorCode, Opening, PassphraseFor, Passphrases, ServiceError};
use sealock_core::SecretBytes;
use sealock_core::policy::PolicySet;
use sealock_engine::Engine;

use super::passphrase;
use crate::args::Global;
use crate::printer::Failure;

/// A command's way to the service.
pub(crate) struct Session {
    runtime: tokio::runtime::Runtime,
    client: Client,
    opening: Opening,
}

impl Session {
    /// Reads the settings; touches nothing.
    pub(crate) fn open(global: &Global) -> Result<Self, Failure> {
        let opening = opening(global, &Flags::new())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::fault("cannot start the runtime").caused_by(&error))?;
        Ok(Self { runtime, client: Client::new(opening.clone()), opening })
    }

    /// The settings.
    pub(crate) fn config(&self) -> &Config {
        &self.opening.config
    }

    /// A passphrase of the CA's keys, from where it always comes.
    pub(crate) fn passphrase(&self, wanted: PassphraseFor) -> Result<SecretBytes, Failure> {
        (self.opening.passphrases)(wanted).map_err(Failure::from)
    }

    /// One command to the service, waited for.
    pub(crate) fn call(&self, command: Command) -> Result<Reply, Failure> {
        self.wait(self.ask(command))
    }

    /// One command to the service.
    pub(crate) async fn ask(&self, command: Command) -> Result<Reply, Failure> {
        self.client.call(command).await.map_err(Failure::from)
    }

    /// Reads the policy's schema aside while others are waited for, where no daemon has done that already.
    pub(crate) fn prepare(&self) {
        if !self.opening.state.socket().exists() {
            // Without the thread it is only read later.
            let _ = std::thread::Builder::new().spawn(PolicySet::prepare);
        }
    }

    /// One command to the service, which stays open in this process for the next one.
    pub(crate) async fn ask_and_keep(&self, command: Command) -> Result<Reply, Failure> {
        self.client.call_and_keep(command).await.map_err(Failure::from)
    }

    /// Lets others have the state folder.
    pub(crate) async fn let_go(&self) {
        self.client.let_go().await;
    }

    /// Runs work that waits for others.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Shows the audit records after `after` as they happen, until the daemon stops.
    pub(crate) fn follow(
        &self,
        after: u64,
        show: impl Fn(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.wait(async {
            let mut records = self.client.follow(after).await?;
            while let Some(line) = records.next().await {
                show(&line?)?;
            }
            Ok(())
        })
    }

    /// The engine that the settings name.
    pub(crate) async fn engine(&self) -> Result<Engine, Failure> {
        let url = engine_url(&self.opening)?;
        Engine::connect(&url).await.map_err(|error| {
            error.hint().into_iter().fold(Failure::from_error(&error), Failure::hint)
        })
    }
}

/// State folder, settings, passphrases: from flags, environment and file.
pub(crate) fn opening(global: &Global, flags: &Flags) -> Result<Opening, Failure> {
    let environment = Environment::of_process();
    let named = |flag: &Option<PathBuf>, variable: &str| {
        flag.clone().or_else(|| environment.get(variable).map(PathBuf::from))
    };
    let state = named(&global.state, "SEALOCK_STATE");
    let state = StateFolder::locate(state.as_deref(), &environment)
        .map_err(|error| Failure::from_error(&error).hint(error.hint()))?;
    let mut flags = flags.clone();
    flags.extend(global.docker.clone().map(|url| ("docker.url", url)));
    let file = named(&global.config, "SEALOCK_CONFIG");
    let config = Config::load(file.as_deref(), &environment, &flags).map_err(|error| {
        Failure::from_error(&error).code(crate::printer::exit::USAGE).hint(error.hint())
    })?;
    let passphrases = passphrases(
        named(&global.passphrase_file, "SEALOCK_PASSPHRASE_FILE"),
        environment.get("CREDENTIALS_DIRECTORY").map(PathBuf::from),
    );
    Ok(Opening { passphrases, ..Opening::new(state, config, environment) })
}

fn passphrases(file: Option<PathBuf>, credentials: Option<PathBuf>) -> Passphrases {
    Arc::new(move |wanted| {
        let (file, credentials) = (file.as_deref(), credentials.as_deref());
        let given = match wanted {
            PassphraseFor::Existing => passphrase::existing(file, credentials),
            PassphraseFor::New => passphrase::new(file, credentials),
        };
        given.map_err(|failure| failure.to_service_error())
    })
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let code = error.exit_code();
        let mut failure = Self::refused(error.message).with_causes(error.causes).code(code);
        if error.code == ErrorCode::Denied
            && let Some(request) = &error.request
        {
            failure = failure.in_request(request);
        }
        error.hint.into_iter().fold(failure, Self::hint)
    }
}

/// An answer of another kind than the command has.
pub(crate) fn unexpected(reply: &Reply) -> Failure {
    // Only which kind: an answer may hold a key.
    let kind = serde_json::to_value(reply)
        .ok()
        .and_then(|value| Some(value.get("reply")?.as_str()?.to_owned()))
        .unwrap_or_default();
    Failure::fault(format!("the service answered `{kind}`, which was not asked"))
        .hint("daemon and command are of different versions; restart the daemon")
}
