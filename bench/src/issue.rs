//! Durable P-256 certificates per second, from an empty inventory and on top of a million; what a
//! lists cost there, each by another question.
//!
//! Callers each wait for their certificate to be durable, inventory and audit written, before they
//! ask for the next. Every certificate has a name of its own, and the names come in no order; lives are
//! mixed as people order them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use sealock_authority::{
    Authority, AuthorityError, CertState, CreateOptions, KeySource, KeyType, ListFilter, Order,
    Reason, Usages,
};
use sealock_core::audit::Actor;
use sealock_core::{Clock, SubjectName, SystemClock};
use sealock_store::{Journal, Keyring, NewProtection, SqliteStore, Store};

use crate::Settings;
use crate::measure::median;
use crate::table::{Figure, Table};

const CALLERS: u64 = 128;
/// What the service layer lets a list read in vain.
const EFFORT: u64 = 80_000;
/// An hour, a day, a week, thirty and ninety days.
const LIVES: [Duration; 5] = [
    Duration::from_secs(3600),
    Duration::from_secs(86_400),
    Duration::from_secs(7 * 86_400),
    Duration::from_secs(30 * 86_400),
    Duration::from_secs(90 * 86_400),
];

pub(crate) fn run(settings: &Settings, table: &mut Table) -> Result<()> {
    let (count, many) = if settings.quick { (500, 1000) } else { (50_000, 1_000_000) };
    // On the disk: durable is the point.
    let folder = tempfile::tempdir()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let database = folder.path().join("state.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&database, Arc::clone(&clock))?);
    let journal = Journal::open(store, clock)?;
    let keyring = Keyring::create(&folder.path().join("keys"), &NewProtection::File)?;
    let options = CreateOptions::new("bench.example".parse()?);
    let authority =
        Authority::create(journal, Arc::new(keyring), &options, &Actor::daemon("bench"))?;

    let few = revoke(&authority, 10, u64::MAX / 2)?;
    let budget = Figure::PerSecond(5000.0);
    let empty = issue(&authority, 0, count)?;
    table.budget("issue P-256, empty inventory", Figure::rate(count, empty), budget);
    issue(&authority, count, many - count)?;
    let full = issue(&authority, many, count)?;
    table.budget(format!("issue P-256, {many} certificates"), Figure::rate(count, full), budget);
    let full = revoke(&authority, 100, u64::MAX / 2 + 10)?;
    // What it costs with ten; the disk's own time differs by a third from one to the next.
    let with_ten = ("with ten", Figure::time(few));
    table.against(format!("revoke, {many} certificates"), Figure::time(full), with_ten, 0.67);
    lists(&authority, many, table)
}

/// Issues so many certificates more and revokes them: how long one revocation took, in the middle.
fn revoke(authority: &Authority, count: u64, first: u64) -> Result<Duration> {
    let actor = Actor::daemon("bench");
    let mut times = Vec::new();
    for number in first..first + count {
        let serial = authority.issue(&order(number), &actor)?.serial;
        let began = Instant::now();
        authority.revoke(serial, Reason::Superseded, &actor)?;
        times.push(began.elapsed());
    }
    Ok(median(times))
}

/// What lists of few cost among many: each by another index.
fn lists(authority: &Authority, many: u64, table: &mut Table) -> Result<()> {
    // What is delivered to one container, and what is revoked, among all those services.
    let actor = Actor::daemon("bench");
    for label in 0..3 {
        let name = format!("shop/{label}");
        authority.issue(&Order { name, ..order(u64::MAX - label) }, &actor)?;
    }
    let revoked = authority.issue(&order(u64::MAX - 3), &actor)?;
    authority.revoke(revoked.serial, Reason::Superseded, &actor)?;
    let issuer = Some(revoked.issuer);
    let any = ListFilter { effort: EFFORT, ..ListFilter::default() };
    let within = Some(Duration::from_secs(25 * 3600));
    let state = |state| ListFilter { state: Some(state), ..any.clone() };
    let budget = Figure::Milliseconds(100.0);
    for (title, filter) in [
        ("list --expiring", ListFilter { expiring_within: within, ..any.clone() }),
        ("list NAME", ListFilter { name: Some(order(many / 2).name), ..any.clone() }),
        ("list --container", ListFilter { container: Some("shop".into()), ..any.clone() }),
        ("list --issuer", ListFilter { issuer, ..state(CertState::Valid) }),
        ("list --only valid", state(CertState::Valid)),
        ("list --only replaced", state(CertState::Replaced)),
        ("list --only revoked", state(CertState::Revoked)),
        ("list --only expired", state(CertState::Expired)),
        ("list --all --issuer", ListFilter { issuer, ..any.clone() }),
        ("list --issuer --expiring", ListFilter { issuer, expiring_within: within, ..any.clone() }),
        (
            "list --container --only revoked",
            ListFilter { container: Some("shop".into()), ..state(CertState::Revoked) },
        ),
    ] {
        let listing = list(authority, &filter)?;
        table.budget(format!("{title} of {many}"), Figure::time(listing), budget);
    }
    let started = Instant::now();
    authority.tally()?;
    // Not a question of a list: each certificate is counted.
    table
        .alone(format!("totals of `cert report`, {many} counted"), Figure::time(started.elapsed()));
    Ok(())
}

/// Issues the certificates from `first` on and says how long that took.
fn issue(authority: &Authority, first: u64, count: u64) -> Result<Duration> {
    let next = AtomicU64::new(first);
    let started = Instant::now();
    let work = || -> Result<(), AuthorityError> {
        let actor = Actor::daemon("bench");
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= first + count {
                return Ok(());
            }
            authority.issue(&order(number), &actor)?;
        }
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(work)).collect();
        for caller in callers {
            match caller.join() {
                Ok(done) => done?,
                Err(_) => bail!("a caller panicked"),
            }
        }
        Ok(())
    })?;
    Ok(started.elapsed())
}

#[expect(clippy::expect_used, reason = "the names are made here, and are names")]
fn order(number: u64) -> Order {
    // An odd multiplier visits every value once.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let name = format!("service-{spread:016x}.bench.example");
    let identity = format!("spiffe://bench.example/service/service-{spread:016x}");
    Order {
        names: vec![SubjectName::dns(&name).expect("a DNS name")],
        name,
        identity: Some(identity.parse().expect("an identity")),
        usages: Usages::BOTH,
        profile: None,
        issuer: None,
        ttl: LIVES.iter().copied().nth((spread % 5) as usize).unwrap_or_default(),
        key: KeySource::Generate(KeyType::P256),
    }
}

/// One list, the median of five.
fn list(authority: &Authority, filter: &ListFilter) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        let listed = authority.search(filter)?;
        times.push(started.elapsed());
        let by_expiry = filter.expiring_within.is_some();
        if by_expiry && !listed.certificates.is_sorted_by_key(|one| one.not_after) {
            bail!("the list is not sorted");
        }
        if listed.stopped {
            bail!("the list is not whole");
        }
    }
    Ok(median(times))
}
