//! Batches on all cores, in order.
//!
//! Each worker takes a batch (one at a time: a lock on the input), works on it, waits for its turn,
//! and writes (a lock on the output). There are no queues: memory is one batch for each worker and
//! one that is read ahead, because only the end of the input tells which batch is the last.
//!
//! The first fault *in the order of the input* is the one reported, and nothing after it is written.

use std::io::{Read, Write};
use std::thread;

use parking_lot::{Condvar, Mutex};

use super::error::Fault;
use super::payload::{BATCH, Batch, Direction};

/// More would wait for the disk.
const MOST_WORKERS: usize = 8;

/// Moves everything from `input` to `output`. Returns how many plain bytes that were.
pub(super) fn run<D: Direction>(
    direction: &D,
    mut input: impl Read + Send,
    mut output: impl Write + Send,
) -> Result<u64, Fault> {
    let mut first = direction.batch();
    direction.read(&mut input, &mut first).map_err(Fault::Read)?;
    if direction.is_short(&first) {
        // All of it is here: not worth a thread.
        direction.work(&mut first, 0, true).map_err(Fault::Payload)?;
        return direction.write(&first, &mut output).map_err(Fault::Write);
    }
    let source = Mutex::new(Source { input, ahead: Some(first), next: 0 });
    let sink = Sink::new(output);
    let workers = thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
    thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(|| work(direction, &source, &sink));
        }
        work(direction, &source, &sink);
    });
    sink.outcome()
}

fn work<D: Direction, R: Read, W: Write>(direction: &D, source: &Mutex<Source<R>>, sink: &Sink<W>) {
    let _guard = StopOnPanic(sink);
    let mut spare = direction.batch();
    loop {
        let Some(mut taken) = source.lock().take(direction, spare) else { return };
        let done = taken.fault.take().map_or(Ok(()), Err).and_then(|()| {
            let first = taken.number * BATCH as u64;
            direction.work(&mut taken.batch, first, taken.ends).map_err(Fault::Payload)
        });
        let goes_on = sink.in_turn(taken.number, |output| {
            done?;
            direction.write(&taken.batch, output).map_err(Fault::Write)
        });
        if !goes_on {
            return;
        }
        spare = taken.batch;
    }
}

struct Source<R> {
    input: R,
    /// The batch to be taken next; none after the last.
    ahead: Option<Batch>,
    /// Its number.
    next: u64,
}

struct Taken {
    batch: Batch,
    number: u64,
    ends: bool,
    /// The input could not be read further, so nobody knows whether this batch is the last.
    fault: Option<Fault>,
}

impl<R: Read> Source<R> {
    /// The next batch; `spare` is where the one after it is read into.
    fn take<D: Direction>(&mut self, direction: &D, mut spare: Batch) -> Option<Taken> {
        let batch = self.ahead.take()?;
        let number = self.next;
        self.next += 1;
        if direction.is_short(&batch) {
            return Some(Taken { batch, number, ends: true, fault: None });
        }
        match direction.read(&mut self.input, &mut spare) {
            Err(error) => {
                Some(Taken { batch, number, ends: true, fault: Some(Fault::Read(error)) })
            }
            Ok(()) => {
                let ends = spare.is_empty();
                if !ends {
                    self.ahead = Some(spare);
                }
                Some(Taken { batch, number, ends, fault: None })
            }
        }
    }
}

/// The output, and whose turn it is.
struct Sink<W> {
    state: Mutex<Turn<W>>,
    moved: Condvar,
}

struct Turn<W> {
    output: W,
    next: u64,
    bytes: u64,
    fault: Option<Fault>,
    stopped: bool,
}

impl<W: Write> Sink<W> {
    fn new(output: W) -> Self {
        let turn = Turn { output, next: 0, bytes: 0, fault: None, stopped: false };
        Self { state: Mutex::new(turn), moved: Condvar::new() }
    }

    /// Waits until all batches before this one are written, then writes. False when it is over.
    fn in_turn(&self, number: u64, write: impl FnOnce(&mut W) -> Result<u64, Fault>) -> bool {
        let mut turn = self.state.lock();
        while turn.next != number && !turn.stopped {
            self.moved.wait(&mut turn);
        }
        if turn.stopped {
            return false;
        }
        match write(&mut turn.output) {
            Ok(bytes) => {
                turn.bytes += bytes;
                turn.next += 1;
            }
            Err(fault) => {
                turn.fault = Some(fault);
                turn.stopped = true;
            }
        }
        self.moved.notify_all();
        !turn.stopped
    }

    fn stop(&self) {
        self.state.lock().stopped = true;
        self.moved.notify_all();
    }

    fn outcome(self) -> Result<u64, Fault> {
        let turn = self.state.into_inner();
        turn.fault.map_or(Ok(turn.bytes), Err)
    }
}

/// A reader or writer that panics must not leave the other workers waiting for their turn.
struct StopOnPanic<'a, W: Write>(&'a Sink<W>);

impl<W: Write> Drop for StopOnPanic<'_, W> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}
