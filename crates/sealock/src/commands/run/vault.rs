//! The vault as one who has secrets: over the daemon's socket, over the workload socket in a container, or in this
//! process. What it takes to ask is made when the first secret is asked for.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use parking_lot::Mutex;
use sealock_control::command::{
    Command, Reply, SecretAnswer, SecretOutcome, SecretState, SecretWanted,
};
use sealock_control::config::Flags;
use sealock_control::{Client, ErrorCode, ServiceError};
use sealock_core::SecretBytes;
use sealock_injector::resolve::{Answers, Missing, Provider};

use super::super::session::{Session, opening, unexpected};
use crate::args::Global;
use crate::printer::Failure;

/// Divides a secret's name from the version that is wanted.
const VERSION: char = '#';
/// How many are asked for at a time.
const PAGE: usize = 1000;

/// The vault.
pub(crate) struct Vault<'a> {
    global: &'a Global,
    client: OnceLock<Client>,
    session: OnceLock<Mutex<Session>>,
}

impl<'a> Vault<'a> {
    pub(crate) fn new(global: &'a Global) -> Self {
        Self { global, client: OnceLock::new(), session: OnceLock::new() }
    }

    fn call(&self, command: Command) -> Result<Reply, Failure> {
        if self.session.get().is_none() {
            // Where a daemon runs, as it mostly does, there is no need of a runtime.
            let client = match self.client.get() {
                Some(client) => client,
                None => {
                    let opening = opening(self.global, &Flags::new())?;
                    self.client.get_or_init(|| Client::new(opening))
                }
            };
            if let Some(reply) = client.call_daemon(&command) {
                return reply.map_err(Failure::from);
            }
        }
        let session = match self.session.get() {
            Some(session) => session,
            None => {
                let opened = Session::open(self.global)?;
                self.session.get_or_init(|| Mutex::new(opened))
            }
        };
        session.lock().call(command)
    }

    /// What found no room in an answer is asked for again, as long as each answer has something.
    fn read(&self, command: Command) -> Result<Vec<SecretAnswer>, Missing> {
        let mut answers = self.read_once(command)?;
        loop {
            let open: Vec<usize> =
                (0..).zip(&answers).filter(|(_, one)| had_no_room(one)).map(|(at, _)| at).collect();
            if open.is_empty() {
                return Ok(answers);
            }
            let secrets: Vec<SecretWanted> = open
                .iter()
                .filter_map(|at| answers.get(*at))
                .map(|one| SecretWanted { name: one.name.clone(), version: one.version })
                .collect();
            let count = secrets.len();
            let again = self.read_once(Command::SecretRead { secrets })?;
            if again.len() != count || again.iter().all(had_no_room) {
                return Ok(answers);
            }
            for (at, answer) in open.into_iter().zip(again) {
                if let Some(place) = answers.get_mut(at) {
                    *place = answer;
                }
            }
        }
    }

    fn read_once(&self, command: Command) -> Result<Vec<SecretAnswer>, Missing> {
        match self.call(command) {
            Ok(Reply::Secrets(answers)) => Ok(answers),
            Ok(other) => Err(of_failure(&unexpected(&other))),
            Err(failure) => Err(of_failure(&failure)),
        }
    }

    /// The current versions of these paths; what has none has 0. A path with a version of its own never changes.
    pub(crate) fn versions(&self, paths: &[String]) -> Result<BTreeMap<String, u64>, Missing> {
        let names: Vec<String> =
            paths.iter().filter(|path| !path.contains(VERSION)).cloned().collect();
        let mut found = BTreeMap::new();
        for part in names.chunks(PAGE) {
            match self.call(Command::SecretVersions { secrets: part.to_vec() }) {
                Ok(Reply::SecretVersions(versions)) => {
                    found.extend(part.iter().cloned().zip(versions));
                }
                Ok(other) => return Err(of_failure(&unexpected(&other))),
                Err(failure) => return Err(of_failure(&failure)),
            }
        }
        Ok(found)
    }
}

impl Vault<'_> {
    /// The secrets below a path and their versions, without a reading.
    pub(crate) fn listed(&self, path: &str) -> Result<BTreeMap<String, u64>, Missing> {
        let mut all = BTreeMap::new();
        loop {
            let after = all.last_key_value().map(|(name, _): (&String, _)| name.clone());
            let path = Some(path.to_owned());
            match self.call(Command::SecretList { path, after, limit: PAGE }) {
                Ok(Reply::SecretList(page)) => {
                    let full = page.len() == PAGE;
                    let live = page.into_iter().filter(|one| one.state == SecretState::Live);
                    all.extend(live.map(|one| (one.name, one.version)));
                    if !full {
                        return Ok(all);
                    }
                }
                Ok(other) => return Err(of_failure(&unexpected(&other))),
                Err(failure) => return Err(of_failure(&failure)),
            }
        }
    }
}

impl Vault<'_> {
    /// One for each that is wanted, in their order; no more than a page at a time.
    fn answers(&self, wanted: &[SecretWanted]) -> Vec<Result<SecretBytes, Missing>> {
        let count = wanted.len();
        match self.read(Command::SecretRead { secrets: wanted.to_vec() }) {
            Ok(answers) if answers.len() == count => answers.into_iter().map(value).collect(),
            Ok(_) => {
                let short =
                    Missing::new("the vault answered for other secrets than were asked for");
                vec![Err(short); count]
            }
            Err(missing) => vec![Err(missing); count],
        }
    }
}

impl Provider for Vault<'_> {
    fn fetch(&self, paths: &[String]) -> Answers {
        let mut values: Vec<Option<Result<SecretBytes, Missing>>> = vec![None; paths.len()];
        let (mut wanted, mut places) = (Vec::new(), Vec::new());
        for (place, path) in values.iter_mut().zip(paths) {
            match wanted_of(path) {
                Ok(one) => {
                    wanted.push(one);
                    places.push(place);
                }
                Err(missing) => *place = Some(Err(missing)),
            }
        }
        let answers = wanted.chunks(PAGE).flat_map(|part| self.answers(part));
        for (place, answer) in places.into_iter().zip(answers) {
            *place = Some(answer);
        }
        let none = || Err(Missing::new("the vault did not answer for it"));
        let values = values.into_iter().map(|one| one.unwrap_or_else(none)).collect();
        Answers { values, all_at_once: true }
    }

    fn below(&self, prefix: &str) -> Result<Vec<(String, SecretBytes)>, Missing> {
        let answers = self.read(Command::SecretReadBelow { path: prefix.to_owned() })?;
        let mut all = Vec::with_capacity(answers.len());
        for answer in answers {
            let name = answer.name.strip_prefix(prefix).and_then(|name| name.strip_prefix('/'));
            let name = name.unwrap_or(&answer.name).to_owned();
            all.push((name, value(answer)?));
        }
        if all.is_empty() {
            return Err(Missing::new(format!("there is no secret below {prefix}")));
        }
        Ok(all)
    }
}

/// `prod/db/password`, or `prod/db/password#3` for a version of its own.
fn wanted_of(path: &str) -> Result<SecretWanted, Missing> {
    let Some((name, version)) = path.split_once(VERSION) else {
        return Ok(SecretWanted { name: path.to_owned(), version: None });
    };
    match version.parse() {
        Ok(version) if version > 0 => {
            Ok(SecretWanted { name: name.to_owned(), version: Some(version) })
        }
        _ => Err(Missing::new("what comes after `#` must be the number of a version")),
    }
}

fn had_no_room(answer: &SecretAnswer) -> bool {
    matches!(&answer.outcome, SecretOutcome::Refused(error) if error.code == ErrorCode::Busy)
}

fn value(answer: SecretAnswer) -> Result<SecretBytes, Missing> {
    match answer.outcome {
        SecretOutcome::Read { value, .. } => Ok(value.into_bytes()),
        SecretOutcome::Refused(error) => Err(of_error(&error)),
    }
}

fn of_error(error: &ServiceError) -> Missing {
    of_failure(&Failure::from(error.clone()))
}

fn of_failure(failure: &Failure) -> Missing {
    Missing { reason: failure.one_line(), hint: failure.hint_text().map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_may_follow_the_name() {
        let version = |path: &str| wanted_of(path).map(|wanted| wanted.version).ok();
        assert_eq!(version("prod/db"), Some(None));
        assert_eq!(version("prod/db#3"), Some(Some(3)));
        for bad in ["prod/db#", "prod/db#0", "prod/db#x", "prod/db#1#2"] {
            assert_eq!(version(bad), None, "{bad}");
        }
    }
}
