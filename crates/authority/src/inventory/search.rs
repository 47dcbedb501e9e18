//! Lists by any combination of questions, each answered from the index that has the fewest entries to
//! pass over.
//!
//! | asked for | read | order |
//! | --- | --- | --- |
//! | a name, a container | the name index | newest first; by name for a container |
//! | what expires soon | the expiry index from now on | soonest first |
//! | revoked | the index of what an issuer has revoked; all that a revoked one has signed | by issuer, last to expire first; newest first |
//! | valid, replaced, expired | the expiry index from now on, or back | soonest to expire first; last expired first |
//! | an issuer | what was issued while it signed | newest first |
//! | nothing | everything | newest first |
//!
//! What else is asked for is held against each entry. [`ListFilter::effort`] bounds how much may be passed
//! over so.

use std::time::Duration;

use sealock_core::Timestamp;
use sealock_store::{KeyRange, Versioned};

use super::IssuerId;
use super::entry::{Entry, Revocation};
use super::keys::{self, Expiring, Part, Place};
use super::list::{CertState, CertSummary, Inventory, PAGE, corrupt, corrupt_key, summarise};
use crate::error::AuthorityError;
use crate::state::{IssuerRecord, below_revoked};

/// What [`ListFilter::default`] lists at most.
const DEFAULT_LIMIT: usize = 1000;
/// How much is read at once where some of it may be passed over.
const LEAST: usize = 256;
/// What reading a certificate costs against reading a row of an index, roughly.
const CERTIFICATE: u64 = 16;
/// How far the clock may have been ahead while an issuer signed: what it issued then has a time after the
/// one at which it was retired.
const AHEAD: Duration = Duration::from_secs(3600);

/// Which certificates to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFilter {
    /// Only those in force that expire within this time, soonest first. Unless `state` says otherwise,
    /// without those that were replaced or revoked.
    pub expiring_within: Option<Duration>,
    /// Only those with this name in the inventory.
    pub name: Option<String>,
    /// Only those that are delivered to the container of this name: named `CONTAINER/LABEL`.
    pub container: Option<String>,
    /// Only those that this CA certificate has signed.
    pub issuer: Option<IssuerId>,
    /// Only those that stand like this.
    pub state: Option<CertState>,
    /// At most so many.
    pub limit: usize,
    /// How many rows of an index may be read in vain; a certificate counts as 16. Then the list
    /// ends, and says so ([`Listed::stopped`]).
    pub effort: u64,
}

impl Default for ListFilter {
    fn default() -> Self {
        Self {
            expiring_within: None,
            name: None,
            container: None,
            issuer: None,
            state: None,
            limit: DEFAULT_LIMIT,
            effort: u64::MAX,
        }
    }
}

/// What was found, and at what price.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// The certificates.
    pub certificates: Vec<CertSummary>,
    /// Whether the search ended because it had passed over too much: there may be more.
    pub stopped: bool,
    /// How many rows of indexes were looked at.
    pub rows: u64,
    /// How many certificates were read.
    pub read: u64,
}

/// What a search has to know of an intermediate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Issued {
    id: IssuerId,
    number: u16,
    from: Timestamp,
    until: Option<Timestamp>,
    last_leaf: Option<Timestamp>,
    revoked: Option<Revocation>,
}

impl Issued {
    pub(crate) fn by(record: &IssuerRecord) -> Self {
        Self {
            id: record.id,
            number: record.number,
            // A renewed certificate of a CA begins later than what was signed under the one before.
            from: record.under.as_ref().map_or(record.not_before, |under| under.since.minus(AHEAD)),
            until: record.retired,
            last_leaf: record.last_leaf,
            revoked: record.revoked,
        }
    }

    /// Its number in the inventory and its id, if it was revoked.
    pub(super) fn revoked(&self) -> Option<(u16, IssuerId)> {
        self.revoked.map(|_| (self.number, self.id))
    }
}

/// How the rows of an index lead to certificates.
#[derive(Debug, Clone, Copy)]
enum Index {
    Main,
    Name,
    Expiry,
    Revoked,
    /// All that a revoked intermediate has signed, in the order of [`Index::Main`].
    MainOf(IssuerId),
}

struct Search<'a> {
    filter: &'a ListFilter,
    /// The intermediate that is asked for.
    issuer: Option<&'a Issued>,
    issuers: &'a [Issued],
    now: Timestamp,
    /// How many to find; what is sorted afterwards has to be found whole.
    wanted: usize,
    effort: u64,
    listed: Listed,
}

impl Inventory {
    pub(crate) fn search(
        &self,
        filter: &ListFilter,
        issuers: &[Issued],
        now: Timestamp,
    ) -> Result<Listed, AuthorityError> {
        let issuer = filter.issuer.map(|id| issuers.iter().find(|one| one.id == id));
        // A root signs no leaves.
        if issuer.is_some_and(|found| found.is_none()) {
            return Ok(Listed::default());
        }
        let issuer = issuer.flatten();
        let by_name = filter.name.is_some() || filter.container.is_some();
        let sorted = by_name && filter.expiring_within.is_some();
        let wanted = if sorted { usize::MAX } else { filter.limit };
        let listed = Listed::default();
        let effort = filter.effort;
        let mut search = Search { filter, issuer, issuers, now, wanted, effort, listed };
        for (index, range) in ranges(filter, issuer, issuers, now) {
            self.walk(index, range, &mut search)?;
        }
        let mut listed = search.listed;
        let found = &mut listed.certificates;
        if sorted {
            found.sort_by_key(|one| (one.not_after, one.serial));
            found.truncate(filter.limit);
        } else if filter.container.is_some() {
            // Stable: the newest of each name stays first.
            found.sort_by(|one, other| one.name.cmp(&other.name));
        }
        Ok(listed)
    }

    /// Reads a range until enough was found or too much passed over.
    fn walk(
        &self,
        index: Index,
        mut range: KeyRange,
        search: &mut Search<'_>,
    ) -> Result<(), AuthorityError> {
        while !search.is_over() {
            let missing = search.wanted - search.listed.certificates.len();
            let least = if search.is_plain() { 1 } else { LEAST };
            let wanted = missing.clamp(least, PAGE);
            let page = self.0.range(&range, wanted)?;
            for (key, stored) in &page {
                if search.is_over() {
                    return Ok(());
                }
                search.listed.rows += 1;
                if !search.may_fit(index, key, stored)? {
                    search.pass(1);
                    continue;
                }
                search.listed.read += 1;
                let entry = match self.entry(index, key, stored) {
                    // It was removed, or another part's, after the page had been read.
                    Err(AuthorityError::Corrupt { .. }) if self.0.get(key)?.is_none() => continue,
                    read => read?,
                };
                let summary = search.judged(summarise(entry, search.now));
                let of_another = matches!(index, Index::MainOf(issuer) if issuer != summary.issuer);
                if !of_another && search.fits(&summary) {
                    search.listed.certificates.push(summary);
                } else {
                    search.pass(CERTIFICATE);
                }
            }
            match page.last() {
                Some((key, _)) if page.len() == wanted => range = range.after(key),
                _ => break,
            }
        }
        Ok(())
    }

    fn entry(&self, index: Index, key: &[u8], stored: &Versioned) -> Result<Entry, AuthorityError> {
        let (moment, serial) = keys::tail(key).ok_or_else(|| corrupt_key(key))?;
        let found = match index {
            Index::Main | Index::MainOf(_) => {
                let place = Place { issued: moment, serial };
                let entry = Entry::read(place, &stored.value).map(|(entry, _)| entry);
                return entry.ok_or_else(|| corrupt(serial));
            }
            Index::Name => self.at(Place { issued: moment, serial })?,
            Index::Expiry => {
                let row = Expiring::from_bytes(&stored.value).ok_or_else(|| corrupt(serial))?;
                self.at(Place { issued: row.issued, serial })?
            }
            Index::Revoked => self.by_serial(serial)?.ok_or_else(|| corrupt(serial))?,
        };
        Ok(found.entry)
    }
}

impl Search<'_> {
    fn is_over(&self) -> bool {
        self.listed.stopped || self.listed.certificates.len() >= self.wanted
    }

    /// Whether all that is read is an answer.
    fn is_plain(&self) -> bool {
        let filter = self.filter;
        let asked = [
            filter.expiring_within.is_some(),
            filter.name.is_some() || filter.container.is_some(),
            filter.issuer.is_some(),
            filter.state.is_some(),
        ];
        asked.iter().filter(|asked| **asked).count() < 2
            && filter.state != Some(CertState::Replaced)
    }

    fn pass(&mut self, cost: u64) {
        match self.effort.checked_sub(cost) {
            Some(left) => self.effort = left,
            None => self.listed.stopped = true,
        }
    }

    /// What the row alone says.
    fn may_fit(
        &self,
        index: Index,
        key: &[u8],
        stored: &Versioned,
    ) -> Result<bool, AuthorityError> {
        let Index::Expiry = index else { return Ok(true) };
        // Below a revoked intermediate nothing is good, however many there are.
        let good = matches!(self.filter.state, Some(CertState::Valid | CertState::Replaced));
        let revoked = || self.issuers.iter().any(|issuer| issuer.revoked.is_some());
        if self.issuer.is_none() && !(good && revoked()) {
            return Ok(true);
        }
        let row = Expiring::from_bytes(&stored.value).ok_or_else(|| corrupt_key(key))?;
        let asked = self.issuer.is_none_or(|issuer| row.issuer == issuer.number);
        let is_revoked = |issuer: &Issued| issuer.number == row.issuer && issuer.revoked.is_some();
        Ok(asked && !(good && self.issuers.iter().any(is_revoked)))
    }

    fn judged(&self, one: CertSummary) -> CertSummary {
        let issuer = self.issuers.iter().find(|issuer| issuer.id == one.issuer);
        match issuer.and_then(|issuer| issuer.revoked) {
            Some(revoked) => below_revoked(one, revoked),
            None => one,
        }
    }

    fn fits(&self, one: &CertSummary) -> bool {
        let filter = self.filter;
        let soon = filter.expiring_within.is_none_or(|within| {
            let current = filter.state.is_some() || one.state == CertState::Valid;
            current && one.not_after >= self.now && one.not_after <= self.now.plus(within)
        });
        let inside = |container: &String| {
            one.name.strip_prefix(container.as_str()).is_some_and(|rest| rest.starts_with('/'))
        };
        soon && filter.state.is_none_or(|state| state == one.state)
            && filter.issuer.is_none_or(|issuer| issuer == one.issuer)
            && filter.name.as_ref().is_none_or(|name| *name == one.name)
            && filter.container.as_ref().is_none_or(inside)
    }
}

/// What to read, in this order.
fn ranges(
    filter: &ListFilter,
    issuer: Option<&Issued>,
    issuers: &[Issued],
    now: Timestamp,
) -> Vec<(Index, KeyRange)> {
    if let Some(name) = &filter.name {
        return vec![(Index::Name, KeyRange::prefix(&keys::names(name)).descending())];
    }
    if let Some(container) = &filter.container {
        return vec![(Index::Name, KeyRange::prefix(&keys::names_in(container)).descending())];
    }
    if let Some(within) = filter.expiring_within {
        let below_revoked = issuers.iter().any(|issuer| issuer.revoked.is_some());
        let parts: &[Part] = match filter.state {
            None | Some(CertState::Valid) => &[Part::Current],
            Some(CertState::Revoked) if below_revoked => &Part::BOTH,
            Some(CertState::Replaced | CertState::Revoked) => &[Part::Superseded],
            Some(CertState::Expired) => return Vec::new(),
        };
        let soon = |part: &Part| (Index::Expiry, in_force(*part, now, Some(now.plus(within))));
        return parts.iter().map(soon).collect();
    }
    let last = issuer.and_then(|issuer| issuer.last_leaf);
    match (filter.state, issuer) {
        (Some(CertState::Revoked), issuer) => {
            let signed = issuer.map_or(issuers, std::slice::from_ref).iter();
            let range = |issuer: &Issued| match issuer.revoked {
                Some(_) => (Index::MainOf(issuer.id), while_it_signed(issuer).descending()),
                None => {
                    (Index::Revoked, KeyRange::prefix(&keys::revoked_by(issuer.id)).descending())
                }
            };
            signed.map(range).collect()
        }
        (Some(CertState::Valid), _) => {
            vec![(Index::Expiry, in_force(Part::Current, now, last))]
        }
        (Some(CertState::Replaced), _) => {
            vec![(Index::Expiry, in_force(Part::Superseded, now, last))]
        }
        (Some(CertState::Expired), _) => {
            let before =
                |part: Part| KeyRange::between(&part.prefix(), &keys::expiry_from(part, now));
            Part::BOTH.map(|part| (Index::Expiry, before(part).descending())).into()
        }
        (None, Some(issuer)) => vec![(Index::Main, while_it_signed(issuer).descending())],
        (None, None) => vec![(Index::Main, KeyRange::prefix(keys::MAIN).descending())],
    }
}

/// What of this part expires from `now` on, up to `last`.
fn in_force(part: Part, now: Timestamp, last: Option<Timestamp>) -> KeyRange {
    let mut range = KeyRange::prefix(&part.prefix());
    range.start = keys::expiry_from(part, now);
    if let Some(last) = last {
        range.end = Some(keys::expiry_from(part, just_after(last)));
    }
    range
}

/// Nothing is issued before its issuer begins, whatever the clock says.
fn while_it_signed(issuer: &Issued) -> KeyRange {
    let mut range = KeyRange::prefix(keys::MAIN);
    range.start = keys::main_from(issuer.from);
    if let Some(until) = issuer.until {
        range.end = Some(keys::main_from(just_after(until.plus(AHEAD))));
    }
    range
}

fn just_after(moment: Timestamp) -> Timestamp {
    Timestamp::from_millis(moment.as_millis().saturating_add(1))
}
