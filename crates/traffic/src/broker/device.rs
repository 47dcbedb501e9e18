//! People who wait to be let in: the device authorization grant (RFC 8628).
//!
//! A program on somebody's machine has a code for itself, and shows a short one that whoever may decide is told. What
//! waits is kept in memory only: anybody can begin it, so it must cost no disk, and after a restart it is begun again.
//!
//! **What an attacker controls:** how often it is begun and asked for, and every text in it. Both are bounded, for all
//! and for each origin; the code of the program has 256 random bits, and of that only the digest is kept. The short code
//! has 34 bits and is good for ten minutes: who guesses one is let guess ten times in that time.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use data_encoding::BASE64URL_NOPAD;
use sealock_core::{Identity, Timestamp};
use zeroize::Zeroizing;

use super::BrokerError;
use super::origin::{DeviceOrigin, Network};

/// What was begun is good for so long (RFC 8628 §3.2).
pub const DEVICE_LIFE: Duration = Duration::from_secs(600);
/// Between two questions of a program, at first.
pub const DEVICE_INTERVAL: Duration = Duration::from_secs(5);
/// Who asks more often is told to wait so much longer (§3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// What is over is told to be so for a while.
const REMEMBERED: Duration = Duration::from_secs(60);
/// All that wait at once.
const MOST: usize = 1024;
/// Of one origin.
const MOST_OF_ONE: usize = 8;
/// Of one network: who has a /48 has 65,536 origins.
const MOST_OF_NETWORK: usize = 32;
/// Wrong codes of somebody within [`DEVICE_LIFE`].
const GUESSES: u32 = 10;
/// Who guesses is remembered; so many at most.
const MOST_GUESSERS: usize = 1024;
/// No vowels, so that no words come of it, and nothing that looks like something else (RFC 8628 §6.1).
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Letters of the short code.
const LETTERS: usize = 8;
/// Random bytes of the long one.
const SECRET: usize = 32;
/// More is no code of ours.
const LONGEST: usize = 128;

/// The code that a person reads and another types: eight letters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserCode([u8; LETTERS]);

impl UserCode {
    fn new() -> Result<Self, BrokerError> {
        let mut code = [0; LETTERS];
        let mut filled = 0;
        while let Some(place) = code.get_mut(filled) {
            let mut byte = [0];
            rand::fill(&mut byte).map_err(|_| BrokerError::Random)?;
            let [byte] = byte;
            // The largest multiple of 20 below 256: every letter is as likely as another.
            if byte < 240
                && let Some(letter) = ALPHABET.get(usize::from(byte) % ALPHABET.len())
            {
                *place = *letter;
                filled += 1;
            }
        }
        Ok(Self(code))
    }
}

impl fmt::Display for UserCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, letter) in self.0.iter().enumerate() {
            if number == LETTERS / 2 {
                formatter.write_str("-")?;
            }
            write!(formatter, "{}", char::from(*letter))?;
        }
        Ok(())
    }
}

/// A text that is no code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a code has eight letters, such as BCDF-GHJK")]
pub struct UserCodeError;

impl FromStr for UserCode {
    type Err = UserCodeError;

    /// As people type it: in small letters too, with or without the hyphen or a space.
    fn from_str(text: &str) -> Result<Self, UserCodeError> {
        if text.len() > 2 * LETTERS {
            return Err(UserCodeError);
        }
        let letters = text.bytes().filter(|byte| !b"- ".contains(byte));
        let letters: Vec<u8> = letters.map(|byte| byte.to_ascii_uppercase()).collect();
        let code: [u8; LETTERS] = letters.try_into().map_err(|_| UserCodeError)?;
        if code.iter().all(|letter| ALPHABET.contains(letter)) {
            Ok(Self(code))
        } else {
            Err(UserCodeError)
        }
    }
}

/// What was begun, for the program.
pub struct Begun {
    /// The program's code.
    pub device_code: Zeroizing<String>,
    /// What the person reads.
    pub user_code: UserCode,
}

impl fmt::Debug for Begun {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Begun").finish_non_exhaustive()
    }
}

/// A program that waits, or asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What it calls itself.
    pub name: String,
    /// Whether it has proved that it is the client of this name. One that has not may call itself so all the same, and
    /// is another program.
    pub proved: bool,
}

impl fmt::Display for Program {
    /// For who decides. No name can look as if it were proved: a client's has no spaces.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proved = if self.proved { " (proved)" } else { "" };
        write!(formatter, "{}{proved}", self.name)
    }
}

/// Somebody who waits, for who decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What the person reads.
    pub user_code: UserCode,
    /// The program.
    pub client: Program,
    /// Who it says the person is.
    pub wanted: Option<String>,
    /// Where it comes from, as the listener saw it.
    pub origin: String,
    /// When it was begun.
    pub begun: Timestamp,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// Who the person is.
    pub user: Identity,
    /// How long their certificate lives.
    pub life: Duration,
}

/// The answer to a program that asks (RFC 8628 §3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// There is no such code, or it is another program's, or it was used.
    Unknown,
    /// Nobody has decided yet.
    Pending,
    /// It asks too often.
    SlowDown,
    /// Somebody has said no.
    Denied,
    /// Nobody has decided in time.
    Expired,
    /// Somebody has said yes. It is told once.
    Approved(Approved),
}

/// Why somebody does not wait, or nothing is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeviceFault {
    /// Too many wait, of this origin or at all.
    #[error("too many logins wait to be confirmed")]
    TooMany,
    /// Nobody waits with this code, or no longer.
    #[error("no login waits with this code")]
    NoCode,
    /// Too many wrong codes.
    #[error("too many wrong codes; wait ten minutes")]
    Guessed,
}

enum State {
    Waiting,
    Denied,
    Approved(Approved),
}

struct Entry {
    waiting: Waiting,
    network: Option<Network>,
    interval: Duration,
    asked: Option<Timestamp>,
    state: State,
}

/// All that wait.
#[derive(Default)]
pub struct Devices {
    /// By the digest of the program's code.
    entries: HashMap<[u8; 32], Entry>,
    /// Who has typed how many wrong codes, since when.
    guesses: HashMap<String, (u32, Timestamp)>,
}

impl fmt::Debug for Devices {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Devices").field("entries", &self.entries.len()).finish()
    }
}

impl Devices {
    /// Begins.
    ///
    /// # Errors
    /// [`DeviceFault::TooMany`], inside; or there are no random numbers.
    pub fn begin(
        &mut self,
        client: &Program,
        wanted: Option<String>,
        origin: &DeviceOrigin,
        now: Timestamp,
    ) -> Result<Result<Begun, DeviceFault>, BrokerError> {
        self.forget(now);
        if self.is_full_for(origin) {
            return Ok(Err(DeviceFault::TooMany));
        }
        let mut user_code = UserCode::new()?;
        while self.entries.values().any(|entry| entry.waiting.user_code == user_code) {
            user_code = UserCode::new()?;
        }
        let mut bytes = Zeroizing::new([0; SECRET]);
        rand::fill(bytes.as_mut()).map_err(|_| BrokerError::Random)?;
        let device_code = Zeroizing::new(BASE64URL_NOPAD.encode(bytes.as_ref()));
        let waiting = Waiting {
            user_code: user_code.clone(),
            client: client.clone(),
            wanted,
            origin: origin.to_string(),
            begun: now,
        };
        let network = origin.network;
        let (interval, state) = (DEVICE_INTERVAL, State::Waiting);
        let entry = Entry { waiting, network, interval, asked: None, state };
        self.entries.insert(key(&device_code), entry);
        Ok(Ok(Begun { device_code, user_code }))
    }

    fn is_full_for(&self, origin: &DeviceOrigin) -> bool {
        let shown = origin.to_string();
        let count = |is: &dyn Fn(&Entry) -> bool| self.entries.values().filter(|it| is(it)).count();
        let around = origin.network.is_some();
        self.entries.len() >= MOST
            || count(&|entry| entry.waiting.origin == shown) >= MOST_OF_ONE
            || (around && count(&|entry| entry.network == origin.network) >= MOST_OF_NETWORK)
    }

    /// What a program is told that asks with its code.
    pub fn poll(&mut self, client: &Program, device_code: &str, now: Timestamp) -> Polled {
        self.forget(now);
        if device_code.len() > LONGEST {
            return Polled::Unknown;
        }
        let key = key(device_code);
        let Some(entry) = self.entries.get_mut(&key) else { return Polled::Unknown };
        if entry.waiting.client != *client {
            return Polled::Unknown;
        }
        let last = entry.asked.replace(now);
        let answer = match &entry.state {
            _ if is_over(entry, now) => Polled::Expired,
            _ if last.is_some_and(|last| now.since(last) < entry.interval) => {
                entry.interval += SLOWER;
                return Polled::SlowDown;
            }
            State::Waiting => return Polled::Pending,
            State::Denied => Polled::Denied,
            State::Approved(approved) => Polled::Approved(approved.clone()),
        };
        self.entries.remove(&key);
        answer
    }

    /// Who waits, the first to come first.
    pub fn waiting(&mut self, now: Timestamp) -> Vec<Waiting> {
        self.forget(now);
        let open = |entry: &&Entry| matches!(entry.state, State::Waiting) && !is_over(entry, now);
        let mut all: Vec<Waiting> =
            self.entries.values().filter(open).map(|entry| entry.waiting.clone()).collect();
        all.sort_by(|one, two| {
            let order = one.begun.cmp(&two.begun);
            order.then_with(|| one.user_code.0.cmp(&two.user_code.0))
        });
        all
    }

    /// Who waits with this code. Wrong ones of somebody are counted.
    ///
    /// # Errors
    /// Nobody does, or there were too many wrong ones.
    pub fn find(
        &mut self,
        code: &UserCode,
        by: &str,
        now: Timestamp,
    ) -> Result<Waiting, DeviceFault> {
        self.forget(now);
        let guessed = |(count, _): &(u32, Timestamp)| *count >= GUESSES;
        if self.guesses.get(by).is_some_and(guessed) {
            return Err(DeviceFault::Guessed);
        }
        let found = self.open(code, now).map(|entry| entry.waiting.clone());
        found.ok_or_else(|| {
            if self.guesses.len() >= MOST_GUESSERS && !self.guesses.contains_key(by) {
                // So many who may decide, and guess, are none.
                return DeviceFault::Guessed;
            }
            self.guesses.entry(by.to_owned()).or_insert((0, now)).0 += 1;
            DeviceFault::NoCode
        })
    }

    /// Decides: who the person is, or no.
    ///
    /// # Errors
    /// Nobody waits with this code any more.
    pub fn decide(
        &mut self,
        code: &UserCode,
        approved: Option<Approved>,
        now: Timestamp,
    ) -> Result<(), DeviceFault> {
        let entry = self.open(code, now).ok_or(DeviceFault::NoCode)?;
        entry.state = approved.map_or(State::Denied, State::Approved);
        Ok(())
    }

    /// Takes back what was said yes to of somebody.
    pub fn revoke(&mut self, user: &Identity) {
        for entry in self.entries.values_mut() {
            if matches!(&entry.state, State::Approved(approved) if approved.user == *user) {
                entry.state = State::Denied;
            }
        }
    }

    fn open(&mut self, code: &UserCode, now: Timestamp) -> Option<&mut Entry> {
        let found = self.entries.values_mut().find(|entry| entry.waiting.user_code == *code);
        found.filter(|entry| matches!(entry.state, State::Waiting) && !is_over(entry, now))
    }

    fn forget(&mut self, now: Timestamp) {
        let longest = DEVICE_LIFE + REMEMBERED;
        self.entries.retain(|_, entry| now.since(entry.waiting.begun) < longest);
        self.guesses.retain(|_, (_, since)| now.since(*since) < DEVICE_LIFE);
    }
}

fn is_over(entry: &Entry, now: Timestamp) -> bool {
    now.since(entry.waiting.begun) >= DEVICE_LIFE
}

fn key(device_code: &str) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, device_code.as_bytes()).as_ref());
    key
}

#[cfg(test)]
mod tests;
