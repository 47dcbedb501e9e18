//! One process for one value: `provider PATH`, which Summon's documents call the legacy mode.

use std::ffi::OsStr;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use std::os::unix::process::ExitStatusExt as _;

use sealock_core::SecretBytes;
use zeroize::Zeroizing;

use super::buffer::SecretBuffer;
use super::error::FetchError;
use super::process::{Read, Running, Woken, read_once};
use super::{Context, MAXIMUM_VALUE, text};

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

/// Asks for one value (or for `--version`), and says when there is nothing to do but wait for it.
pub(super) fn call(
    context: &Context<'_>,
    argument: &OsStr,
    started: &dyn Fn(),
) -> Result<SecretBytes, FetchError> {
    let mut command = context.command();
    command.arg(argument);
    let mut running = context.start(command, false)?;
    started();
    let mut value = SecretBuffer::default();
    let mut complaint = Complaint::default();
    // Whatever returns early from here on drops `running`, which ends it.
    let leftovers = listen(context, &mut running, &mut value, &mut complaint)?;
    let status = running.reap(leftovers)?;
    judge(status, &complaint)?;
    let trimmed = text::trimmed(value.bytes());
    if trimmed.len() > MAXIMUM_VALUE {
        return Err(FetchError::TooMuch { output: "output", limit: MAXIMUM_VALUE });
    }
    Ok(SecretBuffer::secret(trimmed))
}

/// Reads until it has ended; says whether something of it is left.
fn listen(
    context: &Context<'_>,
    running: &mut Running,
    value: &mut SecretBuffer,
    complaint: &mut Complaint,
) -> Result<bool, FetchError> {
    let mut scratch = Zeroizing::new(vec![0; 16 * 1024]);
    let mut last = None;
    loop {
        let until = last.map_or(context.until, |last: Instant| last.min(context.until));
        let ready = match running.wait(until, false, context.cancel())? {
            Woken::Ready(ready) => ready,
            Woken::Cancelled => return Err(FetchError::Cancelled),
            Woken::Late if last.is_some() => return Ok(true),
            Woken::Late => {
                return Err(FetchError::Deadline {
                    after: context.options.deadline,
                    message: complaint.message(),
                });
            }
        };
        let turns = if ready.ended { usize::MAX } else { TURN };
        if ready.stderr || ready.ended {
            let take = |bytes: &[u8]| complaint.take(bytes);
            read_some(&mut running.stderr, &mut scratch, turns, take)?;
        }
        if ready.stdout || ready.ended {
            read_some(&mut running.stdout, &mut scratch, turns, |bytes| {
                if value.len() + bytes.len() > MAXIMUM_VALUE + SLACK {
                    return Err(FetchError::TooMuch { output: "output", limit: MAXIMUM_VALUE });
                }
                value.extend(bytes);
                Ok(())
            })?;
        }
        if ready.ended {
            if running.stdout.is_none() && running.stderr.is_none() {
                return Ok(false);
            }
            last = last.or_else(|| Some(Instant::now() + LEFTOVERS));
        }
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
