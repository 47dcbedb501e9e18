//! One process for all values: the questions as lines, the answers as lines of base64.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use sealock_core::SecretBytes;
use zeroize::Zeroizing;

use super::Context;
use super::call::{LEFTOVERS, read_some};
use super::error::{FetchError, Refusal};
use super::process::{Ready, Running, Woken};
use super::replies::Replies;

/// How long a provider that has answered must wait for more, where its answers look like no secrets.
const DOUBT: Duration = Duration::from_millis(100);
/// How long it may take to end when its input has.
const CLOSING: Duration = Duration::from_secs(1);
/// How often to read before the clock is looked at again.
const TURN: usize = 64;

/// Why there are no values.
#[derive(Debug)]
pub(super) enum Stop {
    /// It does not speak stream mode, or not well enough to be believed.
    Refused(Refusal),
    /// It cannot be had at all, or time is over.
    Failed(FetchError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<FetchError> for Stop {
    fn from(error: FetchError) -> Self {
        Self::Failed(error)
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno.into())
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Asks for all of `paths`; none has a line end in it. There is a value for each, or none at all.
pub(super) fn ask(context: &Context<'_>, paths: &[&str]) -> Result<Vec<SecretBytes>, Stop> {
    let running = context.start(None, true)?;
    let mut conversation = Conversation {
        context,
        running,
        questions: paths.iter().flat_map(|path| [path, "\n"]).collect::<String>().into_bytes(),
        written: 0,
        replies: Replies::to(paths),
        scratch: Zeroizing::new(vec![0; 64 * 1024]),
    };
    // Whatever returns early from here on drops the process, which ends it.
    if let Err(stop) = conversation.gather() {
        return Err(conversation.in_context(stop));
    }
    conversation.prove()?;
    conversation.close()
}

struct Conversation<'a> {
    context: &'a Context<'a>,
    running: Running,
    questions: Vec<u8>,
    written: usize,
    replies: Replies<'a>,
    scratch: Zeroizing<Vec<u8>>,
}

impl Conversation<'_> {
    /// Until there is a line for each question.
    fn gather(&mut self) -> Result<(), Stop> {
        let patience = self.context.options.deadline / 2;
        let mut heard = Instant::now();
        while !self.replies.is_complete() {
            let lines = self.replies.lines();
            let until = (heard + patience).min(self.context.until);
            let Some(ready) = self.wait(until)? else {
                if until < self.context.until {
                    return Err(Refusal::Silent.into());
                }
                let after = self.context.options.deadline;
                return Err(FetchError::Deadline { after, message: String::new() }.into());
            };
            if ready.stdin {
                self.write()?;
            }
            self.read(ready)?;
            if self.replies.lines() > lines {
                heard = Instant::now();
            }
            if self.running.stdout.is_none() && !self.replies.is_complete() {
                return Err(self.broken_off());
            }
        }
        Ok(())
    }

    /// That the lines are answers: everything that was asked has been read. A text that is printed to whoever
    /// comes (a usage, `null`, `fail`) is printed without reading, and this does not depend on who is faster.
    ///
    /// What reads its input and throws it away (ssh does) would pass. It ends by itself, though, while a
    /// stream provider waits for more; and its word, being no base64, decodes to no text. So where no value is
    /// text, the provider has to be seen waiting.
    fn prove(&mut self) -> Result<(), Stop> {
        if !self.was_read() {
            return Err(Refusal::NotRead.into());
        }
        if self.replies.any_is_text() {
            return Ok(());
        }
        let until = (Instant::now() + DOUBT).min(self.context.until);
        while let Some(ready) = self.wait(until)? {
            self.read(ready)?;
            if ready.ended || self.running.stdout.is_none() {
                return Err(Refusal::LeftEarly.into());
            }
        }
        Ok(())
    }

    /// Whether nothing of what was asked is left in the pipe.
    fn was_read(&self) -> bool {
        let left = self.running.stdin.as_ref().map(rustix::io::ioctl_fionread);
        self.written == self.questions.len() && matches!(left, Some(Ok(0)))
    }

    /// A wrong number of lines means something only where they are answers.
    fn in_context(&self, stop: Stop) -> Stop {
        match stop {
            Stop::Refused(refusal) if refusal.is_half_answer() && !self.was_read() => {
                Refusal::NotRead.into()
            }
            other => other,
        }
    }

    /// Ends the input. A provider that does not care is ended; its answers stand.
    fn close(mut self) -> Result<Vec<SecretBytes>, Stop> {
        self.running.stdin = None;
        let mut last = Instant::now() + CLOSING;
        let mut seen = false;
        let status = loop {
            let Some(ready) = self.wait(last.min(self.context.until))? else {
                if !seen {
                    self.running.end();
                    return Ok(self.replies.finish()?);
                }
                break self.running.reap(true)?;
            };
            self.read(ready)?;
            if ready.ended {
                if self.running.stdout.is_none() && self.running.stderr.is_none() {
                    break self.running.reap(false)?;
                }
                if !seen {
                    seen = true;
                    last = Instant::now() + LEFTOVERS;
                }
            }
        };
        if !status.success() {
            return Err(Refusal::EndedBadly.into());
        }
        Ok(self.replies.finish()?)
    }

    /// Waits for something; nothing when the time is over.
    fn wait(&mut self, until: Instant) -> Result<Option<Ready>, Stop> {
        let more = self.written < self.questions.len();
        match self.running.wait(until, more, self.context.cancel())? {
            Woken::Ready(ready) => Ok(Some(ready)),
            Woken::Late => Ok(None),
            Woken::Cancelled => Err(FetchError::Cancelled.into()),
        }
    }

    fn write(&mut self) -> Result<(), Stop> {
        let Some(stdin) = &self.running.stdin else { return Ok(()) };
        let rest = self.questions.get(self.written..).unwrap_or_default();
        match rustix::io::write(stdin, rest) {
            Ok(length) => self.written += length,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::PIPE) => return Err(Refusal::NotTaken.into()),
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// Reads what has come. Complaints first: they say more than a line that is missing.
    fn read(&mut self, ready: Ready) -> Result<(), Stop> {
        let turns = if ready.ended { usize::MAX } else { TURN };
        if ready.stderr || ready.ended {
            self.read_complaints()?;
        }
        if ready.stdout || ready.ended {
            let replies = &mut self.replies;
            read_some(&mut self.running.stdout, &mut self.scratch, turns, |bytes| {
                replies.push(bytes).map_err(Stop::from)
            })?;
        }
        Ok(())
    }

    fn read_complaints(&mut self) -> Result<(), Stop> {
        read_some(&mut self.running.stderr, &mut self.scratch, 1, |_| {
            Err(Stop::from(Refusal::Complained))
        })
    }

    /// Why there are too few lines, when there will be no more.
    fn broken_off(&mut self) -> Stop {
        if let Err(complained) = self.read_complaints() {
            return complained;
        }
        let replies = std::mem::replace(&mut self.replies, Replies::to(&[]));
        match replies.finish() {
            Err(refusal) => refusal.into(),
            // It was not complete when we were called.
            Ok(_) => Refusal::NotTaken.into(),
        }
    }
}
