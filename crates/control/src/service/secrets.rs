//! Secrets of the vault, one by one: policy, then the vault, which records what it gives out.
//!
//! A denial comes before anything is looked up, so that nobody learns from it whether there is such a secret.
//! What is listed is what the caller may list; the rest is as if it were not there.

use std::collections::{HashMap, HashSet};

use sealock_core::SecretBytes;
use sealock_core::SecretName;
use sealock_core::policy::{Action, Mode, Question, Resource};
use sealock_secrets::{SecretInfo, VersionInfo, VersionState};
use serde_json::Value;

use super::Service;
use super::authorize::{Asking, Granted};
use super::convert::vault_error;
use super::secret_reader::Reader;
use crate::caller::{Caller, Door};
use crate::command::{
    NewValue, Reply, SecretAnswer, SecretBlob, SecretOutcome, SecretReport, SecretState,
    SecretWanted, VersionReport,
};
use crate::error::{ErrorCode, ServiceError};

/// How many may be read at once.
const MOST_AT_ONCE: usize = 10_000;
const MOST_AT_ONCE_ELSEWHERE: usize = 1000;
/// How many are read in one commit.
const BATCH: usize = 128;
/// How many bytes of values one answer has room for: for administrators on this host, and for others. What finds none is
/// to be asked for again.
const LONGEST_ANSWER: usize = 256 << 20;
const LONGEST_ANSWER_ELSEWHERE: usize = 4 << 20;
/// How long a page of the list is at most.
const LONGEST_PAGE: usize = 10_000;
/// Of a generated value.
const SHORTEST_GENERATED: u32 = 8;
const LONGEST_GENERATED: u32 = 4096;

impl Service {
    pub(super) fn secret_set(
        &self,
        caller: &Caller,
        request: &str,
        name: &str,
        value: NewValue,
        ttl: Option<u64>,
    ) -> Result<Reply, ServiceError> {
        let name = parsed(name)?;
        let generated = matches!(value, NewValue::Generated(_));
        let mut context: Vec<(&str, Value)> = vec![("generated", generated.into())];
        context.extend(ttl.map(|ttl| ("ttl", i64::try_from(ttl).unwrap_or(i64::MAX).into())));
        let granted = self.about(caller, request, Action::SecretWrite, &name, &context)?;
        if ttl == Some(0) {
            return Err(ServiceError::new(ErrorCode::Usage, "the time to live must not be 0"));
        }
        let value = match value {
            NewValue::Given(value) => value.into_bytes(),
            NewValue::Generated(length) => generate(length)?,
        };
        let ttl = ttl.map(std::time::Duration::from_secs);
        let written = self
            .vault()?
            .set(&name, &value, ttl, &granted.actor)
            .map_err(|error| vault_error(&error))?;
        Ok(Reply::SecretWritten { version: written.version })
    }

    pub(super) fn secret_read(
        &self,
        caller: &Caller,
        request: &str,
        secrets: Vec<SecretWanted>,
    ) -> Result<Reply, ServiceError> {
        let is_local = matches!(caller.door, Door::Socket | Door::Process);
        let most = if is_local { MOST_AT_ONCE } else { MOST_AT_ONCE_ELSEWHERE };
        if secrets.len() > most {
            let text = format!("at most {most} secrets can be read at once");
            return Err(ServiceError::new(ErrorCode::Usage, text));
        }
        let mut seen = HashSet::with_capacity(secrets.len());
        if let Some(twice) = secrets.iter().find(|one| !seen.insert((&one.name, one.version))) {
            let text = format!("{} is asked for twice", twice.name);
            return Err(ServiceError::new(ErrorCode::Usage, text));
        }
        let wanted = u32::try_from(secrets.len()).unwrap_or(u32::MAX);
        if !is_local && !self.readings.lock().take(&caller.who, wanted, self.journal.clock().now())
        {
            let text = "more secrets were read lately than one identity may read";
            return Err(ServiceError::new(ErrorCode::Busy, text).hint("wait a moment"));
        }
        let mut answers = Vec::with_capacity(secrets.len());
        let mut room = if is_local { LONGEST_ANSWER } else { LONGEST_ANSWER_ELSEWHERE };
        for batch in secrets.chunks(BATCH) {
            if room == 0 {
                answers.extend(batch.iter().map(|one| SecretAnswer {
                    name: one.name.clone(),
                    version: one.version,
                    outcome: SecretOutcome::Refused(no_room()),
                }));
                continue;
            }
            self.read_batch(caller, request, batch, &mut room, &mut answers)?;
        }
        Ok(Reply::Secrets(answers))
    }

    /// Reads some in one commit.
    fn read_batch(
        &self,
        caller: &Caller,
        request: &str,
        batch: &[SecretWanted],
        room: &mut usize,
        answers: &mut Vec<SecretAnswer>,
    ) -> Result<(), ServiceError> {
        let mut outcomes: Vec<Option<ServiceError>> = Vec::with_capacity(batch.len());
        let mut wanted = Vec::with_capacity(batch.len());
        let mut reader = Reader::new(self, Asking::of(caller, request));
        for one in batch {
            match reader.may(one) {
                Ok(one) => {
                    wanted.push(one);
                    outcomes.push(None);
                }
                Err(error) => outcomes.push(Some(error.in_request(request))),
            }
        }
        let mut read = if wanted.is_empty() {
            Vec::new().into_iter()
        } else {
            self.vault()?.read(&wanted).map_err(|error| vault_error(&error))?.into_iter()
        };
        for (one, refused) in batch.iter().zip(outcomes) {
            let outcome = match refused {
                Some(error) => SecretOutcome::Refused(error),
                None => match read.next() {
                    Some(Ok(found)) => match room.checked_sub(found.value.len()) {
                        Some(left) => {
                            *room = left;
                            let value = SecretBlob::from(found.value);
                            SecretOutcome::Read { version: found.version, value }
                        }
                        None => {
                            // Smaller ones do not take the place of one that was asked for before.
                            *room = 0;
                            SecretOutcome::Refused(no_room())
                        }
                    },
                    Some(Err(error)) => {
                        SecretOutcome::Refused(vault_error(&error).in_request(request))
                    }
                    None => {
                        let text = "the vault answered for fewer secrets than it was asked for";
                        SecretOutcome::Refused(ServiceError::new(ErrorCode::Fault, text))
                    }
                },
            };
            answers.push(SecretAnswer { name: one.name.clone(), version: one.version, outcome });
        }
        Ok(())
    }

    /// Everything below a path. Which secrets there are is for those to know who may list the path.
    pub(super) fn secret_read_below(
        &self,
        caller: &Caller,
        request: &str,
        path: &str,
    ) -> Result<Reply, ServiceError> {
        let path = parsed(path)?;
        self.about(caller, request, Action::SecretList, &path, &[])?;
        let found = self.listed(caller, Some(&path), None, MOST_AT_ONCE)?;
        let live = found.into_iter().filter(|one| one.state == VersionState::Live);
        let secrets: Vec<SecretWanted> = live
            .filter(|one| one.name != path)
            .map(|one| SecretWanted { name: one.name.to_string(), version: None })
            .collect();
        self.secret_read(caller, request, secrets)
    }

    pub(super) fn secret_versions(
        &self,
        caller: &Caller,
        request: &str,
        secrets: &[String],
    ) -> Result<Reply, ServiceError> {
        if secrets.len() > MOST_AT_ONCE_ELSEWHERE {
            let text = format!("at most {MOST_AT_ONCE_ELSEWHERE} secrets can be asked for at once");
            return Err(ServiceError::new(ErrorCode::Usage, text));
        }
        let vault = self.vault()?;
        let mut versions = Vec::with_capacity(secrets.len());
        for name in secrets {
            let name = parsed(name)?;
            self.about(caller, request, Action::SecretRead, &name, &[])?;
            let current = vault.version_of(&name).map_err(|error| vault_error(&error))?;
            let live = current.filter(|current| current.state == VersionState::Live);
            versions.push(live.map_or(0, |current| current.version));
        }
        Ok(Reply::SecretVersions(versions))
    }

    pub(super) fn secret_list(
        &self,
        caller: &Caller,
        request: &str,
        path: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Reply, ServiceError> {
        let path = path.map(parsed).transpose()?;
        let after = after.map(parsed).transpose()?;
        let limit = limit.clamp(1, LONGEST_PAGE);
        let found = self.listed(caller, path.as_ref(), after.as_ref(), limit)?;
        if let (true, Some(path)) = (found.is_empty(), &path) {
            // Nothing there and nothing to be seen are told apart only for those who may know.
            self.about(caller, request, Action::SecretList, path, &[])?;
        }
        Ok(Reply::SecretList(found.into_iter().map(report).collect()))
    }

    /// What this caller may list. All secrets that rules cannot tell apart have one decision.
    fn listed(
        &self,
        caller: &Caller,
        path: Option<&SecretName>,
        after: Option<&SecretName>,
        limit: usize,
    ) -> Result<Vec<SecretInfo>, ServiceError> {
        let policy = self.policy.current();
        // Who may list nothing is told nothing, and costs nothing.
        if !policy.permits_any(&caller.principal, Action::SecretList)
            && policy.modes().of(Action::SecretList.plane()) == Mode::Enforce
        {
            return Ok(Vec::new());
        }
        let vault = self.vault()?;
        let mut decided: HashMap<(String, bool), bool> = HashMap::new();
        let mut found: Vec<SecretInfo> = Vec::new();
        let mut after = after.cloned();
        loop {
            let page = vault
                .list(path, after.as_ref(), LONGEST_PAGE)
                .map_err(|error| vault_error(&error))?;
            for one in page.secrets {
                let (last, itself) = policy.secret_class(&one.name);
                let class = (last.to_owned(), itself);
                let may = match decided.get(&class) {
                    Some(may) => *may,
                    None => {
                        let resource = Resource::Secret(one.name.clone());
                        let principal = caller.principal.clone();
                        let question = Question::new(principal, Action::SecretList, resource)
                            .with("via", caller.door.as_str());
                        let may = policy.decide(&question).permits();
                        decided.insert(class, may);
                        may
                    }
                };
                if may && found.len() < limit {
                    found.push(one);
                }
            }
            match page.next {
                Some(next) if found.len() < limit => after = Some(next),
                _ => return Ok(found),
            }
        }
    }

    pub(super) fn secret_history(
        &self,
        caller: &Caller,
        request: &str,
        name: &str,
    ) -> Result<Reply, ServiceError> {
        let name = parsed(name)?;
        self.about(caller, request, Action::SecretList, &name, &[])?;
        let mut versions = self.vault()?.history(&name).map_err(|error| vault_error(&error))?;
        versions.reverse();
        Ok(Reply::SecretHistory(versions.into_iter().map(version_report).collect()))
    }

    pub(super) fn secret_delete(
        &self,
        caller: &Caller,
        request: &str,
        name: &str,
        version: Option<u64>,
    ) -> Result<Reply, ServiceError> {
        let (name, granted) =
            self.about_version(caller, request, Action::SecretDelete, name, version)?;
        let done = self.vault()?.delete(&name, version, &granted.actor);
        Self::done(done.map(|_| ()))
    }

    pub(super) fn secret_undelete(
        &self,
        caller: &Caller,
        request: &str,
        name: &str,
        version: Option<u64>,
    ) -> Result<Reply, ServiceError> {
        let (name, granted) =
            self.about_version(caller, request, Action::SecretDelete, name, version)?;
        let done = self.vault()?.undelete(&name, version, &granted.actor);
        Self::done(done.map(|_| ()))
    }

    pub(super) fn secret_purge(
        &self,
        caller: &Caller,
        request: &str,
        name: &str,
        version: Option<u64>,
    ) -> Result<Reply, ServiceError> {
        let (name, granted) =
            self.about_version(caller, request, Action::SecretPurge, name, version)?;
        let done = self.vault()?.purge(&name, version, &granted.actor);
        Self::done(done)
    }

    fn done(done: Result<(), sealock_secrets::VaultError>) -> Result<Reply, ServiceError> {
        done.map_err(|error| vault_error(&error)).map(|()| Reply::Done)
    }

    fn about(
        &self,
        caller: &Caller,
        request: &str,
        action: Action,
        name: &SecretName,
        context: &[(&str, Value)],
    ) -> Result<Granted, ServiceError> {
        self.authorize(caller, request, action, Resource::Secret(name.clone()), context)
    }

    fn about_version(
        &self,
        caller: &Caller,
        request: &str,
        action: Action,
        name: &str,
        version: Option<u64>,
    ) -> Result<(SecretName, Granted), ServiceError> {
        let name = parsed(name)?;
        let version = version.and_then(|version| i64::try_from(version).ok());
        let context: Vec<_> =
            version.map(|version| ("version", Value::from(version))).into_iter().collect();
        let granted = self.about(caller, request, action, &name, &context)?;
        Ok((name, granted))
    }
}

pub(super) fn parsed(name: &str) -> Result<SecretName, ServiceError> {
    name.parse().map_err(|error| {
        ServiceError::of(ErrorCode::Usage, &error).hint("such as prod/db/password")
    })
}

fn no_room() -> ServiceError {
    ServiceError::new(ErrorCode::Busy, "the answer has no more room").hint("ask for it again")
}

/// Letters and digits, each as likely as any other: almost six bits of chance in each.
fn generate(length: u32) -> Result<SecretBytes, ServiceError> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    if !(SHORTEST_GENERATED..=LONGEST_GENERATED).contains(&length) {
        let text =
            format!("a generated value has {SHORTEST_GENERATED} to {LONGEST_GENERATED} characters");
        return Err(ServiceError::new(ErrorCode::Usage, text));
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let mut value = Vec::with_capacity(length);
    let mut random = zeroize::Zeroizing::new([0; 256]);
    while value.len() < length {
        aws_lc_rs::rand::fill(random.as_mut_slice())
            .map_err(|_| ServiceError::new(ErrorCode::Fault, "the random generator failed"))?;
        // Those from 248 on would make the first letters likelier.
        let even = random.iter().filter(|byte| **byte < 248);
        let letters = even.filter_map(|byte| LETTERS.get(usize::from(byte % 62)));
        value.extend(letters.take(length - value.len()));
    }
    Ok(SecretBytes::new(value))
}

const fn state(state: VersionState) -> SecretState {
    match state {
        VersionState::Live => SecretState::Live,
        VersionState::Expired => SecretState::Expired,
        VersionState::Deleted => SecretState::Deleted,
        VersionState::Purged => SecretState::Purged,
        VersionState::Changed => SecretState::Changed,
    }
}

fn report(info: SecretInfo) -> SecretReport {
    SecretReport {
        name: info.name.to_string(),
        version: info.version,
        state: state(info.state),
        created: info.created,
        expires: info.expires,
        versions: info.versions,
    }
}

fn version_report(info: VersionInfo) -> VersionReport {
    VersionReport {
        version: info.version,
        state: state(info.state),
        created: info.created,
        by: info.by,
        bytes: info.bytes,
        expires: info.expires,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_values_are_letters_and_digits_of_the_length() {
        let one = generate(32).unwrap();
        assert_eq!(one.len(), 32);
        assert!(one.expose().iter().all(u8::is_ascii_alphanumeric));
        assert_ne!(one, generate(32).unwrap());
        assert_eq!(generate(4096).unwrap().len(), 4096);
        assert!(generate(7).is_err() && generate(4097).is_err());
    }
}
