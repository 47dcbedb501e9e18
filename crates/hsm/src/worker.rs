//! The thread that has the helper.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use sealock_hsm_wire::{Reply, Request, Token, Why};
use zeroize::Zeroizing;

use crate::device::{DeviceSettings, PinSource, Trouble};
use crate::error::HsmError;
use crate::file::check_module;
use crate::logins::Logins;
use crate::process::{Process, ProcessError};

/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A login over a network may take so long, whatever the deadline of a signature is.
const OPENING: Duration = Duration::from_secs(15);

/// What is asked of the token.
pub(crate) enum What {
    /// Which it is.
    Token,
    /// This, of the token with this serial number where it is known.
    Ask { request: Request, token: Option<String> },
}

/// A question that waits.
pub(crate) struct Job {
    pub(crate) what: What,
    pub(crate) until: Instant,
    pub(crate) span: Duration,
    pub(crate) answer: SyncSender<Result<Reply, HsmError>>,
}

/// What the thread has.
pub(crate) struct Worker {
    settings: DeviceSettings,
    pin: PinSource,
    logins: Arc<dyn Logins>,
    program: &'static [u8],
    open: Option<(Process, Token)>,
    failures: u32,
    not_before: Option<Instant>,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

impl Worker {
    pub(crate) fn new(
        settings: DeviceSettings,
        pin: PinSource,
        logins: Arc<dyn Logins>,
        program: &'static [u8],
        trouble: Arc<Mutex<Option<Trouble>>>,
    ) -> Self {
        let (open, not_before) = (None, None);
        Self { settings, pin, logins, program, open, failures: 0, not_before, trouble }
    }

    /// Answers until nobody can ask any more.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let outcome = match Instant::now() < job.until {
                true => self.outcome(&job),
                false => Err(HsmError::Deadline(job.span)),
            };
            self.remember(&outcome);
            // Who has stopped waiting has been told so.
            let _ = job.answer.send(outcome);
        }
    }

    /// What `status` shows. A refusal of one key is no trouble of the device.
    fn remember(&self, outcome: &Result<Reply, HsmError>) {
        let mut trouble = self.trouble.lock();
        match outcome {
            Ok(_) | Err(HsmError::Mechanism(_) | HsmError::Stays(_)) => *trouble = None,
            Err(error) => {
                let since = trouble.as_ref().map_or_else(SystemTime::now, |old| old.since);
                *trouble = Some(Trouble { error: error.clone(), since });
            }
        }
    }

    fn outcome(&mut self, job: &Job) -> Result<Reply, HsmError> {
        let first = self.once(job);
        // A session that has ended while nobody asked is no reason to fail.
        let again = match &job.what {
            What::Token => true,
            What::Ask { request, .. } => {
                matches!(request, Request::Sign { .. } | Request::Find { .. })
            }
        };
        match first {
            Err(HsmError::Gone(_)) if again && Instant::now() < job.until => self.once(job),
            outcome => outcome,
        }
    }

    fn once(&mut self, job: &Job) -> Result<Reply, HsmError> {
        let (process, token) = self.ready(job.until)?;
        let (request, wanted) = match &job.what {
            What::Token => return Ok(Reply::Ready(token.clone())),
            What::Ask { request, token } => (request, token),
        };
        if let Some(wanted) = wanted
            && *wanted != token.serial
        {
            let (wanted, found) = (wanted.clone(), token.serial.clone());
            return Err(HsmError::OtherToken { wanted, found });
        }
        match process.ask(request, job.until) {
            Ok(Reply::Refused { why, text }) => {
                let error = HsmError::refused(why, text);
                // A module that has lost a key may find it again when it looks anew: the device was away.
                let signing = matches!(request, Request::Sign { .. });
                if why == Why::Gone || signing && why != Why::Mechanism {
                    self.failed();
                }
                Err(error)
            }
            Ok(reply) => {
                self.failures = 0;
                Ok(reply)
            }
            Err(error) => Err(self.ended(error, job.span)),
        }
    }

    /// The helper with its token, started now if there is none.
    fn ready(&mut self, until: Instant) -> Result<&mut (Process, Token), HsmError> {
        if self.open.as_ref().is_some_and(|(process, _)| !process.is_idle()) {
            tracing::warn!("the HSM's helper has ended; another one is started");
            self.open = None;
        }
        if self.open.is_none() {
            if let Some(moment) = self.not_before {
                let pause = moment.saturating_duration_since(Instant::now());
                std::thread::sleep(pause.min(until.saturating_duration_since(Instant::now())));
            }
            match self.start() {
                Ok(opened) => self.open = Some(opened),
                Err(error) => {
                    self.failed();
                    return Err(error);
                }
            }
        }
        self.open.as_mut().ok_or(HsmError::Busy)
    }

    fn start(&mut self) -> Result<(Process, Token), HsmError> {
        let module = check_module(Path::new(&self.settings.module))?;
        let pin = (self.pin)().map_err(HsmError::NoPin)?;
        let mut process = Process::start(self.program, &self.settings.environment)
            .map_err(|error| HsmError::Start(error.to_string()))?;
        let span = self.settings.deadline.max(OPENING);
        let until = Instant::now() + span;
        let request = Request::Open {
            module: module.display().to_string(),
            token: self.settings.token.clone(),
        };
        let token = match process.ask(&request, until) {
            Ok(Reply::Ready(token)) => token,
            Ok(Reply::Refused { why, text }) => return Err(refused(why, &text)),
            Ok(other) => return Err(HsmError::Nonsense(other.name().to_owned())),
            Err(ProcessError::Ended) => {
                let words = process.last_words();
                return Err(HsmError::Start(match words.is_empty() {
                    true => "it ended at once".to_owned(),
                    false => words,
                }));
            }
            Err(error) => return Err(self.gave_up(process, error, span)),
        };
        self.logins.begin(&token.serial, &pin)?;
        let login = Request::Login { pin: Zeroizing::new(pin.expose().to_vec()) };
        let taken = match process.ask(&login, until) {
            Ok(Reply::Done) => Ok(()),
            Ok(Reply::Refused { why, text }) => Err(refused(why, &text)),
            // It may have been tried, and that stays written down.
            Ok(other) => return Err(HsmError::Nonsense(other.name().to_owned())),
            Err(error) => return Err(self.gave_up(process, error, span)),
        };
        match taken {
            Ok(()) => self.logins.end(&token.serial, &pin, true),
            Err(HsmError::PinWrong) => self.logins.end(&token.serial, &pin, false),
            // Some modules say "failed" for a PIN that was wrong.
            Err(_) => {}
        }
        taken?;
        tracing::info!(label = %sealock_core::policy::plain(&token.label), "the HSM is open");
        Ok((process, token))
    }

    fn gave_up(&mut self, process: Process, error: ProcessError, span: Duration) -> HsmError {
        self.open = Some((process, Token::default()));
        self.ended(error, span)
    }

    /// What became of a helper that did not answer. It is killed.
    fn ended(&mut self, error: ProcessError, span: Duration) -> HsmError {
        let words = match (&error, &self.open) {
            (ProcessError::Ended, Some((process, _))) => process.last_words(),
            _ => String::new(),
        };
        self.failed();
        match error {
            ProcessError::Ended if words.is_empty() => HsmError::Died(String::new()),
            ProcessError::Ended => HsmError::Died(format!(" ({words})")),
            ProcessError::Late => HsmError::Deadline(span),
            ProcessError::Wire(error) => HsmError::Nonsense(error.to_string()),
            ProcessError::Io(error) => HsmError::Gone(error.to_string()),
        }
    }

    /// Ends the helper, and leaves the device alone for a while.
    fn failed(&mut self) {
        self.open = None;
        let factor = 1 << self.failures.min(10);
        self.failures = self.failures.saturating_add(1);
        let pause = (FIRST_PAUSE * factor).min(crate::LONGEST_PAUSE);
        self.not_before = Some(Instant::now() + pause);
    }
}

fn refused(why: Why, text: &str) -> HsmError {
    HsmError::refused(why, sealock_core::policy::plain(text))
}
