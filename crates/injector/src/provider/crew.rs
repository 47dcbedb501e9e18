//! Many calls at once, by few threads.
//!
//! Starting a process keeps a thread busy until the kernel has read the program in; all that comes after is waiting,
//! which costs nothing. So there are twice as many threads as processors, each starts one after the other, and looks
//! after all that it has started at the same time. A thread for each call would cost as much as a small provider does.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sealock_core::SecretBytes;
use zeroize::Zeroizing;

use super::call::{Call, Step};
use super::cancel::Cancel;
use super::error::FetchError;
use super::process::{Ready, Running, look_at};
use super::{Options, Question};

/// What a thread that watches providers needs, and more.
const STACK: usize = 256 * 1024;
/// Fewer calls are not worth a further thread.
const WORTH_A_THREAD: usize = 4;
/// How many are started before those that run are looked at again.
const STARTS: usize = 8;
/// How much is read at a time.
const READ: usize = 16 * 1024;

/// Asks every question, at most as many at a time as the options say; the answers are in their order. `begun` is told
/// of each that has its turn.
///
/// The calling thread works too, so a system that gives no more threads makes it slower and nothing else.
pub(super) fn ask_each(
    questions: &[Question<'_>],
    options: &Options<'_>,
    begun: &(dyn Fn(usize) + Sync),
) -> Vec<Result<SecretBytes, FetchError>> {
    let at_once = options.concurrency.get();
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = questions.len().div_ceil(WORTH_A_THREAD).min(2 * processors).min(at_once).max(1);
    let next = AtomicUsize::new(0);
    let worker = |number: usize| {
        // All rooms together are as large as is allowed.
        let room = at_once / threads + usize::from(number < at_once % threads);
        Worker::new(questions, &next, room, options.cancel, begun)
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .filter_map(|number| {
                let worker = worker(number);
                let builder = thread::Builder::new().stack_size(STACK).name("provider".to_owned());
                builder.spawn_scoped(scope, move || worker.work()).ok()
            })
            .collect();
        let mut done = worker(0).work();
        for other in others {
            done.extend(other.join().unwrap_or_default());
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    let mut done = done.into_iter().peekable();
    // One that is missing went down with its thread.
    let answer = |index| done.next_if(|(found, _)| *found == index).map(|(_, answer)| answer);
    (0..questions.len()).map(answer).map(|one| one.unwrap_or(Err(FetchError::Cancelled))).collect()
}

/// One thread's part.
struct Worker<'a> {
    questions: &'a [Question<'a>],
    /// The first question that nobody has taken yet.
    next: &'a AtomicUsize,
    /// How many processes it may have.
    room: usize,
    cancel: Option<&'a Cancel>,
    begun: &'a (dyn Fn(usize) + Sync),
    calls: Vec<(usize, Call<'a>)>,
    /// Those that were asked to end, and have not yet.
    leaving: Vec<Running>,
    scratch: Zeroizing<Vec<u8>>,
    done: Vec<(usize, Result<SecretBytes, FetchError>)>,
}

impl<'a> Worker<'a> {
    fn new(
        questions: &'a [Question<'a>],
        next: &'a AtomicUsize,
        room: usize,
        cancel: Option<&'a Cancel>,
        begun: &'a (dyn Fn(usize) + Sync),
    ) -> Self {
        let (calls, leaving, done) = (Vec::new(), Vec::new(), Vec::new());
        let scratch = Zeroizing::new(vec![0; READ]);
        Self { questions, next, room, cancel, begun, calls, leaving, scratch, done }
    }

    /// Until there is nothing left to ask and to wait for.
    fn work(mut self) -> Vec<(usize, Result<SecretBytes, FetchError>)> {
        loop {
            let more = self.start_some();
            if !more && self.calls.is_empty() {
                break;
            }
            if let Err(error) = self.attend(more) {
                self.fail_all(&error);
                break;
            }
        }
        // What is asked to end, together, ends within one span of patience.
        drop(self.leaving);
        self.done
    }

    fn has_room(&self) -> bool {
        self.calls.len() + self.leaving.len() < self.room
    }

    /// Starts what there is room for, but not too many at a time. Says whether there may be more to start.
    fn start_some(&mut self) -> bool {
        for _ in 0..STARTS {
            if !self.has_room() {
                break;
            }
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(question) = self.questions.get(index) else { return false };
            (self.begun)(index);
            match Call::start(*question) {
                Ok(call) => self.calls.push((index, call)),
                Err(error) => self.done.push((index, Err(error))),
            }
        }
        self.next.load(Ordering::Relaxed) < self.questions.len()
    }

    /// Does what there is to do; waits for it where nothing can be started meanwhile.
    fn attend(&mut self, more: bool) -> Result<(), FetchError> {
        let span = if more && self.has_room() { Duration::ZERO } else { self.patience() };
        let mut all: Vec<&mut Running> =
            self.calls.iter_mut().map(|(_, call)| call.running()).collect();
        all.extend(&mut self.leaving);
        let ready = look_at(&mut all, false, span, self.cancel)?.ok_or(FetchError::Cancelled)?;
        self.step(&ready);
        Ok(())
    }

    /// How long nothing has to happen.
    fn patience(&self) -> Duration {
        let calls = self.calls.iter().map(|(_, call)| call.until());
        let first = calls.chain(self.leaving.iter().filter_map(Running::patience)).min();
        let now = Instant::now();
        first.map_or(Duration::ZERO, |first| first.saturating_duration_since(now))
    }

    fn step(&mut self, ready: &[Ready]) {
        let (calls, leaving) = ready.split_at(self.calls.len());
        let now = Instant::now();
        let mut ended = leaving.iter().map(|one| one.ended);
        self.leaving.retain(|one| {
            let ended = ended.next().unwrap_or_default();
            !ended && one.patience().is_some_and(|until| now < until)
        });
        let before = std::mem::take(&mut self.calls);
        for ((index, mut call), ready) in before.into_iter().zip(calls) {
            match call.attend(*ready, &mut self.scratch) {
                Ok(Step::Open) => self.calls.push((index, call)),
                Ok(Step::Over { leftovers }) => self.done.push((index, call.finish(leftovers))),
                Err(error) => {
                    self.leaving.push(call.give_up());
                    self.done.push((index, Err(error)));
                }
            }
        }
    }

    /// Ends everything, and asks nothing more.
    fn fail_all(&mut self, error: &FetchError) {
        for (index, call) in std::mem::take(&mut self.calls) {
            self.leaving.push(call.give_up());
            self.done.push((index, Err(error.clone())));
        }
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.questions.len() {
                break;
            }
            self.done.push((index, Err(error.clone())));
        }
    }
}
