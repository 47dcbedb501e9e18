//! How many durable P-256 certificates the library issues in a second, and whether that stays so.
//!
//! `cargo run --release -p sealock-authority --example issue_rate -- [PRIOR] [COUNT] [CALLERS] [FOLDER]`:
//! fills the inventory with PRIOR certificates (default 0), then issues COUNT (default 50,000) from
//! CALLERS threads (default 128), each waiting for its certificate to be durable before it asks for the
//! next. Prints one line of JSON. Every certificate has a name of its own, and the names come in no order;
//! lives are mixed as people order them.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement: it prints, and it may fail in any way"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealock_authority::{
    Authority, CreateOptions, KeySource, KeyType, ListFilter, Order, Reason, Usages,
};
use sealock_core::audit::Actor;
use sealock_core::{Clock, SubjectName, SystemClock};
use sealock_store::{Journal, Keyring, NewProtection, SqliteStore, Store};

/// An hour, a day, a week, thirty and ninety days.
const LIVES: [Duration; 5] = [
    Duration::from_secs(3600),
    Duration::from_secs(86_400),
    Duration::from_secs(7 * 86_400),
    Duration::from_secs(30 * 86_400),
    Duration::from_secs(90 * 86_400),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: u64| {
        arguments.get(index).map_or(default, |text| text.parse().unwrap())
    };
    let (prior, count, callers) = (number(0, 0), number(1, 50_000), number(2, 128));
    let folder = arguments.get(3).map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(folder).unwrap();

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let file = folder.path().join("state.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&file, Arc::clone(&clock)).unwrap());
    let journal = Journal::open(store, clock).unwrap();
    let keyring = Keyring::create(&folder.path().join("keys"), &NewProtection::File).unwrap();
    let options = CreateOptions::new("bench.example".parse().unwrap());
    let actor = Actor::daemon("bench");
    let authority = Authority::create(journal, Arc::new(keyring), &options, &actor).unwrap();

    issue(&authority, 0, prior, callers);
    eprintln!("filled");
    let before = written();
    let taken = issue(&authority, prior, count, callers);
    let disk = written().zip(before).map_or(0, |(after, before)| (after - before) / count.max(1));
    let per_second = count as f64 / taken.as_secs_f64();
    let listing = list(&authority);
    let revoking = revoke(&authority, prior);
    let bytes = std::fs::metadata(&file).unwrap().len();
    println!(
        "{{\"prior\":{prior},\"issued\":{count},\"callers\":{callers},\"per_second\":{per_second:.0},\
         \"disk_bytes_each\":{disk},\"list_expiring_ms\":{:.2},\"revoke_ms\":{:.2},\"store_bytes\":{bytes}}}",
        listing.as_secs_f64() * 1000.0,
        revoking.as_secs_f64() * 1000.0,
    );
}

/// How many bytes this process has had written to disks so far.
fn written() -> Option<u64> {
    let counts = std::fs::read_to_string("/proc/self/io").ok()?;
    let line = counts.lines().find_map(|line| line.strip_prefix("write_bytes: "))?;
    line.parse().ok()
}

/// Issues the certificates from `first` on and says how long that took.
fn issue(authority: &Authority, first: u64, count: u64, callers: u64) -> Duration {
    let next = AtomicU64::new(first);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                let actor = Actor::daemon("bench");
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= first + count {
                        return;
                    }
                    authority.issue(&order(number), &actor).unwrap();
                }
            });
        }
    });
    started.elapsed()
}

fn order(number: u64) -> Order {
    // An odd multiplier visits every value once: names come in no order.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let name = format!("service-{spread:016x}.bench.example");
    let identity = format!("spiffe://bench.example/service/service-{spread:016x}");
    Order {
        names: vec![SubjectName::dns(&name).unwrap()],
        name,
        identity: Some(identity.parse().unwrap()),
        usages: Usages::BOTH,
        profile: None,
        ttl: LIVES[(spread % 5) as usize],
        key: KeySource::Generate(KeyType::P256),
        issuer: None,
    }
}

/// The slowest of five lists of what expires within a day and an hour.
fn list(authority: &Authority) -> Duration {
    let within = Some(Duration::from_secs(25 * 3600));
    let filter = ListFilter { expiring_within: within, ..ListFilter::default() };
    let once = || {
        let started = Instant::now();
        let listed = authority.list(&filter).unwrap();
        assert!(listed.is_sorted_by_key(|certificate| certificate.not_after));
        started.elapsed()
    };
    (0..5).map(|_| once()).max().unwrap_or_default()
}

/// The mean of ten revocations, each with its new list.
fn revoke(authority: &Authority, first: u64) -> Duration {
    let actor = Actor::daemon("bench");
    let serials: Vec<_> = (first..first + 10)
        .map(|number| authority.show(&order(number).name).unwrap().summary.serial)
        .collect();
    let started = Instant::now();
    for serial in &serials {
        authority.revoke(*serial, Reason::Superseded, &actor).unwrap();
    }
    started.elapsed() / 10
}
