//! How much one identity may ask for: requests in a second, requests and streams at once, connections.
//!
//! Each identity has a budget of its own, so whoever uses theirs up takes nothing from others. Time comes in
//! from outside. The rate is the generic cell rate algorithm: one instant for each identity, no timer, and a
//! pause earns back a burst.
//!
//! **What an attacker controls:** when they come, how often, and on how many connections. Budgets are kept for
//! identities with a certificate of ours only, and forgotten when there is nothing to remember.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

#[cfg(test)]
mod tests;

/// Between two records that an identity is over its limits.
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// So many identities are remembered before it is looked which can be forgotten.
const REMEMBERED: usize = 256;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Requests in a second.
    Rate,
    /// Requests at once, after a pause.
    Burst,
    /// Requests and streams that are under way.
    Concurrent,
    /// Connections.
    Connections,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rate, Self::Burst, Self::Concurrent, Self::Connections];

    /// As the settings have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Burst => "burst",
            Self::Concurrent => "concurrent",
            Self::Connections => "connections",
        }
    }
}

/// At most so many, or as many as they like. The stricter is the lesser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Most {
    /// So many.
    At(NonZeroU32),
    /// No limit.
    Off,
}

impl Most {
    const fn number(self) -> Option<NonZeroU32> {
        match self {
            Self::At(most) => Some(most),
            Self::Off => None,
        }
    }
}

impl FromStr for Most {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let number = text.parse().map(Self::At);
        number.map_err(|_| "must be a whole number from 1 on, or off".to_owned())
    }
}

/// The limits that one table of the settings names.
pub type Quota = BTreeMap<Limit, Most>;

/// All limits of the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotas {
    /// For whoever has none of their own.
    pub everybody: Quota,
    /// By `service/runner` or `group/ci`.
    pub named: BTreeMap<String, Quota>,
}

/// A limit as it is in force for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    most: Most,
    /// Which setting says so.
    setting: String,
}

/// What somebody may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    rate: Bound,
    burst: NonZeroU32,
    concurrent: Bound,
    connections: Bound,
}

/// How near to somebody a limit was set; the least is the nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    Own,
    Group,
    Everybody,
}

impl Quotas {
    /// What `member` (`service/runner`), who is in these groups, may ask for. Each limit is the one of their
    /// own table; else the strictest of their groups' tables; else everybody's.
    ///
    /// A burst counts only where it is set as near as the rate: a rate of 20 for somebody is not one with
    /// everybody's burst of 1000. Without it, it is twice the rate.
    pub fn of(&self, member: &str, groups: &[String]) -> Allowance {
        let bound = |limit| self.find(limit, member, groups).1;
        let (near, rate) = self.find(Limit::Rate, member, groups);
        let (burst_near, burst) = self.find(Limit::Burst, member, groups);
        let burst = burst.most.number().filter(|_| burst_near <= near).unwrap_or_else(|| {
            rate.most.number().map_or(NonZeroU32::MAX, |rate| rate.saturating_add(rate.get()))
        });
        Allowance {
            rate,
            burst,
            concurrent: bound(Limit::Concurrent),
            connections: bound(Limit::Connections),
        }
    }

    fn find(&self, limit: Limit, member: &str, groups: &[String]) -> (Nearness, Bound) {
        let named = |name: &str| {
            let most = *self.named.get(name)?.get(&limit)?;
            Some(Bound { most, setting: format!("limits.\"{name}\".{}", limit.as_str()) })
        };
        if let Some(bound) = named(member) {
            return (Nearness::Own, bound);
        }
        let of_groups = groups.iter().filter_map(|group| named(&format!("group/{group}")));
        if let Some(bound) = of_groups.min_by_key(|bound| bound.most) {
            return (Nearness::Group, bound);
        }
        let most = self.everybody.get(&limit).copied().unwrap_or(Most::Off);
        let setting = format!("gateway.{}", limit.as_str());
        (Nearness::Everybody, Bound { most, setting })
    }
}

/// Somebody asks for more than they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// Of what.
    pub limit: Limit,
    /// How much they may.
    pub most: NonZeroU32,
    /// Which setting says so.
    pub setting: String,
    /// When it is worth trying again.
    pub wait: Duration,
    /// Whether it is to be recorded: the first time, and then once in a minute.
    pub note: bool,
}

impl Over {
    /// Whole seconds, never none.
    pub fn retry_after(&self) -> u64 {
        let whole = self.wait.as_secs();
        if self.wait.subsec_nanos() > 0 { whole + 1 } else { whole.max(1) }
    }
}

/// What the client prints.
impl fmt::Display for Over {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, most, .. } = self;
        match self.limit {
            Limit::Rate | Limit::Burst => {
                let wait = self.retry_after();
                write!(formatter, "too many requests: {setting} allows {most} in a second")?;
                write!(formatter, "; try again in {wait} s")
            }
            Limit::Concurrent => {
                write!(formatter, "too many requests and streams at once: {setting} allows {most}")
            }
            Limit::Connections => {
                write!(formatter, "too many connections: {setting} allows {most}")
            }
        }
    }
}

/// The budgets of everybody who is here, or was a moment ago.
#[derive(Debug, Default)]
pub(super) struct Limiter(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    budgets: HashMap<String, Arc<Mutex<Budget>>>,
    /// How many there were when it was last looked which can go.
    kept: usize,
}

#[derive(Debug)]
struct Budget {
    allowance: Allowance,
    connections: u32,
    running: u32,
    /// When the requests so far would all have come, had they come at the rate.
    due: Option<Instant>,
    noted: Option<Instant>,
}

impl Limiter {
    /// One more connection of somebody. What they may from now on, on all of them, is `allowance`.
    pub(super) fn enter(
        &self,
        who: &str,
        allowance: Allowance,
        now: Instant,
    ) -> Result<Entered, Over> {
        let mut known = self.0.lock();
        known.forget(now);
        let budget = match known.budgets.get(who) {
            Some(budget) => Arc::clone(budget),
            None => {
                let budget = Arc::new(Mutex::new(Budget::new(allowance.clone())));
                known.budgets.insert(who.to_owned(), Arc::clone(&budget));
                budget
            }
        };
        let mut own = budget.lock();
        own.allowance = allowance;
        let connections = own.connections;
        own.room(Limit::Connections, connections, now)?;
        own.connections = connections.saturating_add(1);
        drop(own);
        Ok(Entered(budget))
    }
}

impl Known {
    /// Now and then forgets who is not here and has earned all back: they would be let in as anew.
    fn forget(&mut self, now: Instant) {
        if self.budgets.len() < REMEMBERED.max(self.kept.saturating_mul(2)) {
            return;
        }
        self.budgets.retain(|_, budget| !budget.lock().is_fresh(now));
        self.kept = self.budgets.len();
    }
}

impl Budget {
    const fn new(allowance: Allowance) -> Self {
        Self { allowance, connections: 0, running: 0, due: None, noted: None }
    }

    fn is_fresh(&self, now: Instant) -> bool {
        let past = |instant: Option<Instant>| instant.is_none_or(|instant| instant <= now);
        let noted = self.noted.and_then(|noted| noted.checked_add(NOTE_EVERY));
        self.connections == 0 && self.running == 0 && past(self.due) && past(noted)
    }

    /// Whether there may be one more, besides those that there are.
    fn room(&mut self, limit: Limit, there: u32, now: Instant) -> Result<(), Over> {
        let bound = match limit {
            Limit::Connections => &self.allowance.connections,
            _ => &self.allowance.concurrent,
        };
        match bound.most {
            Most::At(most) if there >= most.get() => {
                let setting = bound.setting.clone();
                let wait = Duration::from_secs(1);
                Err(Over { limit, most, setting, wait, note: self.note(now) })
            }
            _ => Ok(()),
        }
    }

    /// Takes one request from the rate.
    fn pace(&mut self, now: Instant) -> Result<(), Over> {
        let Most::At(most) = self.allowance.rate.most else { return Ok(()) };
        let each = Duration::from_secs(1).checked_div(most.get()).unwrap_or_default();
        let ahead = each.saturating_mul(self.allowance.burst.get().saturating_sub(1));
        let due = self.due.map_or(now, |due| due.max(now));
        let wait = due.saturating_duration_since(now).saturating_sub(ahead);
        if wait.is_zero() {
            self.due = due.checked_add(each);
            return Ok(());
        }
        let setting = self.allowance.rate.setting.clone();
        Err(Over { limit: Limit::Rate, most, setting, wait, note: self.note(now) })
    }

    fn note(&mut self, now: Instant) -> bool {
        let silent = |noted: Instant| now.saturating_duration_since(noted) < NOTE_EVERY;
        let note = !self.noted.is_some_and(silent);
        if note {
            self.noted = Some(now);
        }
        note
    }
}

/// A connection that is counted as long as this is held.
#[derive(Debug)]
pub(super) struct Entered(Arc<Mutex<Budget>>);

impl Entered {
    /// One more request on it.
    pub(super) fn begin(&self, now: Instant) -> Result<Slot, Over> {
        let mut budget = self.0.lock();
        let running = budget.running;
        budget.room(Limit::Concurrent, running, now)?;
        budget.pace(now)?;
        budget.running = running.saturating_add(1);
        drop(budget);
        Ok(Slot(Arc::clone(&self.0)))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut budget = self.0.lock();
        budget.connections = budget.connections.saturating_sub(1);
    }
}

/// A request that is counted as long as this is held: until its answer, or its tunnel, has ended.
#[derive(Debug)]
pub(super) struct Slot(Arc<Mutex<Budget>>);

impl Drop for Slot {
    fn drop(&mut self) {
        let mut budget = self.0.lock();
        budget.running = budget.running.saturating_sub(1);
    }
}
