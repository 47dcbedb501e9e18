//! One process for one value: `provider PATH`, which Summon's documents call the legacy mode.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use std::os::unix::process::ExitStatusExt as _;

use sealock_core::SecretBytes;

use super::buffer::SecretBuffer;
use super::error::FetchError;
use super::process::{Read, Ready, Running, read_once};
use super::{MAXIMUM_VALUE, Question, text};

/// How long the pipes of a process that has ended may stay open. What it wrote is in them already; only
/// something that it has started, and that goes on, can hold them.
pub(super) const LEFTOVERS: Duration = Duration::from_millis(100);
/// White space around a value, which is cut off.
const SLACK: usize = 64 * 1024;
/// How much is kept of what a provider says about an error.
const MAXIMUM_COMPLAINT: usize = 64 * 1024;
/// How much a provider may say at all.
const MAXIMUM_COMPLAINTS: usize = 16 * 1024 * 1024;
/// How often to read before the clock is looked at again.
const TURN: usize = 64;

/// What has come from a provider's standard error.
#[derive(Default)]
pub(super) struct Complaint {
    kept: Vec<u8>,
    total: usize,
}

impl Complaint {
    fn take(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.total = self.total.saturating_add(bytes.len());
        if self.total > MAXIMUM_COMPLAINTS {
            return Err(FetchError::TooMuch { output: "error", limit: MAXIMUM_COMPLAINTS });
        }
        let room = MAXIMUM_COMPLAINT.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
        Ok(())
    }

    fn message(&self) -> String {
        text::printable(&self.kept)
    }
}

/// A process that was asked for one value (or for `--version`).
pub(super) struct Call<'a> {
    question: Question<'a>,
    running: Running,
    value: SecretBuffer,
    complaint: Complaint,
    /// When it has ended: how long its pipes may stay open.
    last: Option<Instant>,
}

/// How far a call is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is more to come.
    Open,
    /// The process has ended, and all that it wrote was read. `leftovers`: something of it goes on.
    Over { leftovers: bool },
}

impl<'a> Call<'a> {
    pub(super) fn start(question: Question<'a>) -> Result<Self, FetchError> {
        let running = question.context.start(Some(question.argument), false)?;
        let (value, complaint) = (SecretBuffer::default(), Complaint::default());
        Ok(Self { question, running, value, complaint, last: None })
    }

    pub(super) fn running(&mut self) -> &mut Running {
        &mut self.running
    }

    /// When to look at it at the latest.
    pub(super) fn until(&self) -> Instant {
        let until = self.question.context.until;
        self.last.map_or(until, |last| last.min(until))
    }

    /// Reads what there is.
    pub(super) fn attend(&mut self, ready: Ready, scratch: &mut [u8]) -> Result<Step, FetchError> {
        let turns = if ready.ended { usize::MAX } else { TURN };
        if ready.stderr || ready.ended {
            let take = |bytes: &[u8]| self.complaint.take(bytes);
            read_some(&mut self.running.stderr, scratch, turns, take)?;
        }
        if ready.stdout || ready.ended {
            let value = &mut self.value;
            read_some(&mut self.running.stdout, scratch, turns, |bytes| {
                if value.len() + bytes.len() > MAXIMUM_VALUE + SLACK {
                    return Err(FetchError::TooMuch { output: "output", limit: MAXIMUM_VALUE });
                }
                value.extend(bytes);
                Ok(())
            })?;
        }
        let now = Instant::now();
        if ready.ended {
            if self.running.stdout.is_none() && self.running.stderr.is_none() {
                return Ok(Step::Over { leftovers: false });
            }
            self.last = self.last.or(Some(now + LEFTOVERS));
        }
        match self.last {
            _ if now < self.until() => Ok(Step::Open),
            Some(_) => Ok(Step::Over { leftovers: true }),
            None => Err(FetchError::Deadline {
                after: self.question.context.options.deadline,
                message: self.complaint.message(),
            }),
        }
    }

    /// The value of a process that has ended.
    pub(super) fn finish(self, leftovers: bool) -> Result<SecretBytes, FetchError> {
        let status = self.running.reap(leftovers)?;
        judge(status, &self.complaint)?;
        let trimmed = text::trimmed(self.value.bytes());
        if trimmed.len() > MAXIMUM_VALUE {
            return Err(FetchError::TooMuch { output: "output", limit: MAXIMUM_VALUE });
        }
        Ok(SecretBuffer::secret(trimmed))
    }

    /// Gives up; the process is asked to end.
    pub(super) fn give_up(mut self) -> Running {
        self.running.ask_to_end();
        self.running
    }
}

/// Reads what is there, at most `turns` times.
pub(super) fn read_some<E>(
    stream: &mut Option<std::os::fd::OwnedFd>,
    scratch: &mut [u8],
    turns: usize,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E>
where
    E: From<rustix::io::Errno>,
{
    for _ in 0..turns {
        if read_once(stream, scratch, &mut take)? != Read::Some {
            break;
        }
    }
    Ok(())
}

fn judge(status: ExitStatus, complaint: &Complaint) -> Result<(), FetchError> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(FetchError::Exit { code, message: complaint.message() }),
        (None, signal) => Err(FetchError::Signal {
            signal: signal.unwrap_or_default(),
            message: complaint.message(),
        }),
    }
}
