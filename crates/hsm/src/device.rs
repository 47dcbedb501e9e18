//! A token, as callers on any thread see it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use sealock_core::SecretBytes;
use sealock_hsm_wire::{Kind, Parts, Public, Reply, Request, Token, TokenName};

use crate::error::HsmError;
use crate::logins::Logins;
use crate::worker::{Job, What, Worker};

/// So many may wait.
const MOST_WAITING: usize = 1024;
/// A new RSA key may take a small token so long.
const GENERATING: Duration = Duration::from_secs(60);
/// What else is written to the token.
const WRITING: Duration = Duration::from_secs(20);
/// For the answer's own way.
const GRACE: Duration = Duration::from_millis(200);

/// Where the PIN comes from; asked each time the token is opened. The error says why there is none.
pub type PinSource = Arc<dyn Fn() -> Result<SecretBytes, String> + Send + Sync>;

/// Which token, by which module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSettings {
    /// The module's path.
    pub module: PathBuf,
    /// Which of its tokens.
    pub token: TokenName,
    /// How long a signature may take.
    pub deadline: Duration,
    /// All of the helper's environment.
    pub environment: Vec<(String, String)>,
}

/// That the device does not work now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it answered last.
    pub error: HsmError,
    /// Since when it has answered like that.
    pub since: SystemTime,
}

/// A token. Nothing is started before it is first asked; the helper ends when this is dropped.
pub struct Device {
    settings: DeviceSettings,
    jobs: SyncSender<Job>,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Device")
            .field("module", &self.settings.module)
            .finish_non_exhaustive()
    }
}

impl Device {
    /// The token that the settings mean.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn new(
        settings: DeviceSettings,
        pin: PinSource,
        logins: Arc<dyn Logins>,
    ) -> Result<Self, HsmError> {
        Self::with_program(settings, pin, logins, sealock_hsm_image::HELPER)
    }

    /// The same with another program in the helper's place.
    pub(crate) fn with_program(
        settings: DeviceSettings,
        pin: PinSource,
        logins: Arc<dyn Logins>,
        program: &'static [u8],
    ) -> Result<Self, HsmError> {
        let (jobs, waiting): (_, Receiver<Job>) = sync_channel(MOST_WAITING);
        let trouble = Arc::default();
        let worker = Worker::new(settings.clone(), pin, logins, program, Arc::clone(&trouble));
        std::thread::Builder::new()
            .name("hsm".into())
            .spawn(move || worker.run(&waiting))
            .map_err(|error| HsmError::Start(error.to_string()))?;
        Ok(Self { settings, jobs, trouble })
    }

    /// Which token is there.
    pub fn token(&self) -> Result<Token, HsmError> {
        match self.call(What::Token, self.settings.deadline.max(WRITING))? {
            Reply::Ready(token) => Ok(token),
            other => Err(unexpected(&other)),
        }
    }

    /// That it does not work now, as far as anybody has asked it.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().clone()
    }

    /// Makes a key that stays in the token.
    pub fn generate(&self, kind: Kind, id: &[u8], label: &str) -> Result<Public, HsmError> {
        let request = Request::Generate { kind, id: id.to_vec(), label: label.to_owned() };
        match self.ask(request, None, self.settings.deadline.max(GENERATING))? {
            Reply::Made(public) if public.kind == kind => Ok(public),
            other => Err(unexpected(&other)),
        }
    }

    /// Puts a key into the token; `extractable`: it may leave it again, encrypted.
    pub fn import(
        &self,
        key: Parts,
        id: &[u8],
        label: &str,
        extractable: bool,
    ) -> Result<(), HsmError> {
        let (id, label) = (id.to_vec(), label.to_owned());
        let request = Request::Import { id, label, extractable, key };
        match self.ask(request, None, self.settings.deadline.max(WRITING))? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// How many private keys the token with this serial number has with this id.
    pub fn count(&self, token: &str, id: &[u8]) -> Result<u32, HsmError> {
        let request = Request::Find { id: id.to_vec() };
        match self.ask(request, Some(token), self.settings.deadline)? {
            Reply::Count(count) => Ok(count),
            other => Err(unexpected(&other)),
        }
    }

    /// A signature, as PKCS#11 has it; not verified.
    pub fn sign(
        &self,
        token: &str,
        id: &[u8],
        kind: Kind,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, HsmError> {
        let request = Request::Sign { id: id.to_vec(), kind, data };
        match self.ask(request, Some(token), self.settings.deadline)? {
            Reply::Signature(signature) => Ok(signature),
            other => Err(unexpected(&other)),
        }
    }

    /// The key, where the token lets it go.
    pub fn export(
        &self,
        token: &str,
        id: &[u8],
        kind: Kind,
        public: &[u8],
    ) -> Result<Parts, HsmError> {
        let request = Request::Export { id: id.to_vec(), kind, public: public.to_vec() };
        match self.ask(request, Some(token), self.settings.deadline.max(WRITING))? {
            Reply::Key(parts) if parts.kind == kind => Ok(parts),
            other => Err(unexpected(&other)),
        }
    }

    /// Destroys what has this id. Gives how many objects there were.
    pub fn remove(&self, token: &str, id: &[u8]) -> Result<u32, HsmError> {
        let request = Request::Remove { id: id.to_vec() };
        match self.ask(request, Some(token), self.settings.deadline.max(WRITING))? {
            Reply::Count(count) => Ok(count),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(
        &self,
        request: Request,
        token: Option<&str>,
        span: Duration,
    ) -> Result<Reply, HsmError> {
        self.call(What::Ask { request, token: token.map(str::to_owned) }, span)
    }

    fn call(&self, what: What, span: Duration) -> Result<Reply, HsmError> {
        let (answer, answered) = sync_channel(1);
        let job = Job { what, until: Instant::now() + span, span, answer };
        match self.jobs.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(HsmError::Busy),
            Err(TrySendError::Disconnected(_)) => {
                return Err(HsmError::Start("its thread has ended".into()));
            }
        }
        match answered.recv_timeout(span + GRACE) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => Err(HsmError::Deadline(span)),
            Err(RecvTimeoutError::Disconnected) => {
                Err(HsmError::Start("its thread has ended".into()))
            }
        }
    }
}

fn unexpected(reply: &Reply) -> HsmError {
    HsmError::Nonsense(format!("`{}`, which was not asked", reply.name()))
}
