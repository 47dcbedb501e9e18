//! How many secrets a second can be read, each reading told of on disk before its value is given out; and
//! how long a list and one reading of many take.
//!
//! `nice -n 19 cargo run --release -p sealock-secrets --example read_rate -- [SECRETS] [SECONDS] [THREADS]`
//!
//! SECRETS (10,000) are set, with two versions each. Then THREADS (64) read single secrets at random, each
//! waiting for its own commit, as the requests of a daemon do.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails has nothing to say")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sealock_core::audit::{Actor, DecisionNote, Fact};
use sealock_core::{Clock, SecretBytes, SecretName, SystemClock};
use sealock_secrets::{Vault, Wanted};
use sealock_store::{Change, Journal, Keyring, NewProtection, SqliteStore, Store, Transaction};

fn named(n: usize) -> SecretName {
    format!("prod/service-{}/secret-{n}", n % 100).parse().unwrap()
}

/// An actor as a decision leaves it.
fn actor(n: usize) -> Actor {
    Actor {
        who: "spiffe://corp.example/service/web".into(),
        request: "0123456789abcdef".into(),
        decision: Some(DecisionNote {
            allowed: true,
            action: "Secret::Read".into(),
            resource: format!("secret {}", named(n)),
            rules: vec!["web-reads-its-own".into()],
            epoch: 1,
            question: None,
            further: Vec::new(),
        }),
    }
}

fn wanted(n: usize) -> Wanted {
    Wanted { name: named(n), version: None, actor: actor(n) }
}

fn fact(n: usize) -> Fact {
    Fact::SecretRead { secret: named(n).to_string(), version: 2 }
}

fn random(below: usize) -> usize {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    usize::try_from(u64::from_le_bytes(bytes) % below as u64).unwrap()
}

fn fill(vault: &Vault, count: usize) {
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..32 {
            scope.spawn(move || {
                for n in (thread..count).step_by(32) {
                    for value in ["the first value", "a longer value, 32 bytes of it.."] {
                        let value = SecretBytes::new(value.into());
                        vault.set(&named(n), &value, None, &actor(n)).unwrap();
                    }
                }
            });
        }
    });
    println!("{} versions set in {:.1} s", 2 * count, start.elapsed().as_secs_f64());
}

fn measure(vault: &Vault, count: usize, span: Duration, threads: usize) {
    let (done, worst) = (AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let read = vault.read(&[wanted(random(count))]).unwrap();
                    assert!(read.iter().all(Result::is_ok), "all are there");
                    let took = u64::try_from(began.elapsed().as_micros()).unwrap();
                    worst.fetch_max(took, Ordering::Relaxed);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(span);
        stop.store(true, Ordering::Relaxed);
    });
    let (done, seconds) = (done.into_inner(), start.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let rate = done as f64 / seconds;
    let worst = worst.into_inner() / 1000;
    println!("{threads} threads: {rate:.0} reads/s ({done} in {seconds:.1} s; slowest {worst} ms)");
}

/// The median of some runs.
fn median(what: &str, mut run: impl FnMut()) {
    let mut took: Vec<_> = (0..51)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    took.sort();
    println!("{what}: {:.1?}", took.get(took.len() / 2).unwrap());
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |usual| arguments.next().map_or(usual, |text| text.parse().unwrap());
    let (count, seconds, threads) = (number(10_000), number(10), number(64));
    let folder = std::env::temp_dir().join(format!("read-rate-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = SqliteStore::open(&folder.join("state.db"), Arc::clone(&clock)).unwrap();
    let journal = Journal::open(Arc::new(store) as Arc<dyn Store>, clock).unwrap();
    let keyring = Keyring::create(&folder.join("keys"), &NewProtection::File).unwrap();
    let vault = Vault::open(Arc::clone(&journal), Arc::new(keyring)).unwrap();
    fill(&vault, count);
    for threads in [1, 8, threads] {
        measure(&vault, count, Duration::from_secs(seconds as u64), threads);
    }
    median(&format!("list of {count} names"), || {
        assert_eq!(vault.list(None, None, count).unwrap().secrets.len(), count.min(10_000));
    });
    median("one reading of 100 names", || {
        let all: Vec<_> = (0..100).map(|_| wanted(random(count))).collect();
        assert!(vault.read(&all).unwrap().iter().all(Result::is_ok), "all are there");
    });
    median("  of that, the commit of 100 events", || {
        let event = |n| actor(n).event(journal.clock().now(), fact(n));
        let events = (0..100).map(|_| event(random(count))).collect();
        journal.commit_blocking(Change { transaction: Transaction::new(), events }).unwrap();
    });
    median("one reading of 1 name", || {
        assert!(
            vault.read(&[wanted(random(count))]).unwrap().iter().all(Result::is_ok),
            "it is there"
        );
    });
    let start = Instant::now();
    let rotated = vault.rotate_key(&actor(0)).unwrap();
    println!("rotation of {} values: {:?}", rotated.values, start.elapsed());
    drop((vault, journal));
    std::fs::remove_dir_all(&folder).unwrap();
}
