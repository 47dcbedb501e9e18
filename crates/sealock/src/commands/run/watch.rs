//! `--watch`: looks for new values while the program runs.
//!
//! The vault is asked for version numbers, which is no reading; other providers have nothing of the kind and are asked
//! for the values. What cannot be had leaves everything as it is, and is said once.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use parking_lot::Mutex;
use sealock_core::SecretBytes;
use sealock_injector::child::{Child, Watchman};
use sealock_injector::inject::{Injected, renew, values};
use sealock_injector::resolve::{FileValues, Missing, Resolved};
use sealock_injector::scratch::Scratch;

use super::options::{OnChange, Watch};
use super::{Came, Job, cannot};
use crate::printer::Failure;

/// How long a program has to end before it is killed and started anew.
const GRACE: Duration = Duration::from_secs(10);

/// The current versions by name.
type Versions = BTreeMap<String, u64>;

/// Knows what was seen last.
pub(super) struct Watcher<'a> {
    job: &'a Job<'a>,
    watch: Option<Watch>,
    seen: Versions,
    /// What the program has.
    values: Vec<SecretBytes>,
    said: Option<String>,
}

impl<'a> Watcher<'a> {
    /// Before the first values are fetched, so that no change in between is missed.
    pub(super) fn begin(job: &'a Job<'a>) -> Result<Self, Failure> {
        let watch = job.options.watch;
        let mut watcher =
            Self { job, watch, seen: Versions::new(), values: Vec::new(), said: None };
        if watch.is_some() {
            // What cannot be had now is told when it is fetched.
            watcher.seen = watcher.versions().unwrap_or_default();
        }
        Ok(watcher)
    }

    /// Waits for the program's end, and looks for new values meanwhile.
    pub(super) fn beside(
        &mut self,
        child: &Child,
        has: (&Resolved, &Injected),
        watchman: &Watchman,
        scratch: &mut Scratch,
    ) -> Result<Came, Failure> {
        let wait = || child.wait().map_err(|error| Failure::from_error(&error)).map(Came::Ended);
        let Some(watch) = self.watch else { return wait() };
        let (resolved, injected) = has;
        self.values = values(resolved);
        let next: Mutex<Option<Resolved>> = Mutex::new(None);
        let (ended, end) = channel::<()>();
        let cancel = self.job.cancel;
        let (watcher, changed) = (&mut *self, &next);
        let came = std::thread::scope(|scope| {
            let look = move || {
                while end.recv_timeout(watch.every) == Err(RecvTimeoutError::Timeout) {
                    let Some(resolved) = watcher.changed() else { continue };
                    match watch.on_change {
                        OnChange::Signal(signal) => {
                            if watcher.renewed(&resolved, injected, scratch) {
                                watchman.tell_child(signal);
                            }
                        }
                        OnChange::Restart => {
                            *changed.lock() = Some(resolved);
                            watchman.end_child();
                            if end.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
                                watchman.kill_child(child.pid());
                            }
                            return;
                        }
                    }
                }
            };
            scope.spawn(look);
            let came = wait();
            // Nobody waits for values that nobody will have.
            if next.lock().is_none() {
                cancel.cancel();
            }
            let _ = ended.send(());
            came
        });
        match next.into_inner() {
            Some(resolved) => came.map(|_| Came::Changed(resolved)),
            None => came,
        }
    }

    /// The new values, if there are any and all of them can be had.
    fn changed(&mut self) -> Option<Resolved> {
        let versions = match self.versions() {
            Ok(versions) => versions,
            Err(missing) => {
                self.say(missing.reason);
                return None;
            }
        };
        let external = self.job.sources.has_external();
        if versions == self.seen && !external {
            self.said = None;
            return None;
        }
        let resolved = self.job.resolved();
        if let Some(reason) = first_missing(&resolved, self.job) {
            self.say(reason);
            return None;
        }
        self.said = None;
        self.seen = versions;
        let new = values(&resolved);
        let same = new == self.values;
        self.values = new;
        (!same).then_some(resolved)
    }

    fn renewed(&mut self, resolved: &Resolved, injected: &Injected, scratch: &mut Scratch) -> bool {
        let done = self
            .job
            .with_rules(|rules| renew(self.job.manifest, resolved, rules, injected, scratch));
        if let Err(error) = &done {
            self.say(cannot(error).one_line());
        }
        done.is_ok()
    }

    fn versions(&self) -> Result<Versions, Missing> {
        let (named, below) = self.job.sources.of_vault();
        let vault = self.job.sources.vault();
        let mut all = vault.versions(&named)?;
        for prefix in below {
            all.extend(vault.listed(&prefix)?);
        }
        Ok(all)
    }

    /// Once for each reason; the number of the request is another each time.
    fn say(&mut self, reason: String) {
        let same = |said: &String| without_request(said) == without_request(&reason);
        if !self.said.as_ref().is_some_and(same) {
            self.job.printer.note(format!("warning: the values of before stay: {reason}"));
            self.said = Some(reason);
        }
    }
}

fn without_request(reason: &str) -> &str {
    reason.rsplit_once(": request ").map_or(reason, |(reason, _)| reason)
}

fn first_missing(resolved: &Resolved, job: &Job<'_>) -> Option<String> {
    let variables = job.manifest.variables.iter().zip(&resolved.variables);
    let of_variables = variables
        .filter(|(variable, _)| !job.options.ignores(&variable.name))
        .find_map(|(_, one)| one.as_ref().err());
    let of_files = resolved.files.iter().find_map(|file| match file {
        FileValues::Aliases(all) => all
            .iter()
            .filter(|(alias, _)| !job.options.ignores(alias))
            .find_map(|(_, one)| one.as_ref().err()),
        FileValues::Folder(all) => all.as_ref().err(),
    });
    of_variables.or(of_files).map(|missing| missing.reason.clone())
}
