//! `--mask`: what the program prints passes through here, and values are replaced.
//!
//! Standard output and standard error have a pipe and a thread each. When the program has ended, what is in the pipes
//! is passed on and then they are closed: a process that it has left behind has nobody to print to any more.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use sealock_core::SecretBytes;
use sealock_injector::child::Streams;
use sealock_injector::mask::Masker;
use zeroize::Zeroizing;

use crate::printer::Failure;

/// How much is read at a time.
const PIECE: usize = 64 * 1024;

/// Both streams.
pub(super) struct Masked {
    streams: [Stream; 2],
    ended: Arc<OwnedFd>,
}

struct Stream {
    to: PipeWriter,
    pump: JoinHandle<()>,
}

/// The same once the program has the other ends.
pub(super) struct Pumping {
    pumps: [JoinHandle<()>; 2],
    ended: Arc<OwnedFd>,
}

impl Masked {
    /// Two pipes and two threads.
    pub(super) fn begin(values: &[SecretBytes]) -> Result<Self, Failure> {
        let failed = |error: &dyn std::error::Error| {
            Failure::fault(format!("cannot mask the program's output: {error}"))
        };
        let masker = || Masker::new(values).map_err(|error| failed(&error));
        let ended = eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| failed(&error))?;
        let ended = Arc::new(ended);
        let stream = |masker: Masker, output: Box<dyn Write + Send>| {
            let (from, to) = pipe().map_err(|error| failed(&error))?;
            let ended = Arc::clone(&ended);
            let work = move || Pump { from, output, masker }.run(&ended);
            let pump = std::thread::Builder::new().spawn(work).map_err(|error| failed(&error))?;
            Ok::<_, Failure>(Stream { to, pump })
        };
        let streams = [
            stream(masker()?, Box::new(std::io::stdout()))?,
            stream(masker()?, Box::new(std::io::stderr()))?,
        ];
        Ok(Self { streams, ended })
    }

    /// For the program.
    pub(super) fn streams(&self) -> Streams<'_> {
        let [output, error] = &self.streams;
        Streams { input: None, output: Some(output.to.as_fd()), error: Some(error.to.as_fd()) }
    }

    /// The program has them: they are closed here, so that their end is seen.
    pub(super) fn started(self) -> Pumping {
        Pumping { pumps: self.streams.map(|stream| stream.pump), ended: self.ended }
    }
}

impl Pumping {
    /// The program has ended: what it has printed is passed on.
    pub(super) fn finish(self) {
        let _ = rustix::io::write(&*self.ended, &1_u64.to_ne_bytes());
        for pump in self.pumps {
            let _ = pump.join();
        }
    }
}

struct Pump {
    from: PipeReader,
    output: Box<dyn Write + Send>,
    masker: Masker,
}

impl Pump {
    fn run(mut self, ended: &OwnedFd) {
        let mut piece = Zeroizing::new(vec![0; PIECE]);
        let mut masked = Vec::with_capacity(PIECE);
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            let mut ready =
                [PollFd::new(&self.from, PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
            if poll(&mut ready, None).is_err_and(|error| error != rustix::io::Errno::INTR) {
                break;
            }
            // After the program's end only what is there already counts.
            let mut now = [PollFd::new(&self.from, PollFlags::IN)];
            if !matches!(poll(&mut now, Some(&none)), Ok(1)) {
                let [_, end] = &ready;
                if end.revents().is_empty() {
                    continue;
                }
                break;
            }
            let read = match self.from.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            masked.clear();
            self.masker.push(piece.get(..read).unwrap_or_default(), &mut masked);
            // Who reads no more: the program is told when it writes next.
            if self.output.write_all(&masked).and_then(|()| self.output.flush()).is_err() {
                return;
            }
        }
        masked.clear();
        self.masker.finish(&mut masked);
        let _ = self.output.write_all(&masked).and_then(|()| self.output.flush());
    }
}
