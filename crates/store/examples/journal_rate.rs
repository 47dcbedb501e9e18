//! How many durable changes a second the journal commits, and whether that stays so in a full store.
//!
//! `cargo run --release -p sealock-store --example journal_rate -- [CERTIFICATES] [SECONDS] [FOLDER]`
//!
//! Each change is what issuing a certificate writes: 700 bytes under a random serial, three small index
//! entries under random keys, one audit event. 64 threads submit, each waiting for its own commit. The
//! rate is measured in an empty store, then again after CERTIFICATES (1,000,000) such were put in. A
//! FOLDER is kept, and the store in it measured again as it is by the next run.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails has nothing to say")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sealock_core::audit::{Event, Fact};
use sealock_core::{Clock, SystemClock};
use sealock_store::{Change, Journal, KeyRange, SqliteStore, Store, Transaction};

const SUBMITTERS: usize = 64;

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

fn key(table: &str, tail: &[u8]) -> Vec<u8> {
    [table.as_bytes(), tail].concat()
}

fn certificate(serial: &[u8; 16]) -> Transaction {
    Transaction::new()
        .create(key("cert/serial/", serial), random::<700>())
        .put(key("cert/name/", &[&random::<12>()[..], serial].concat()), [])
        .put(key("cert/expiry/", &[&random::<8>()[..], serial].concat()), [])
        .put(key("cert/identity/", &[&random::<12>()[..], serial].concat()), [])
}

fn issued(clock: &dyn Clock, serial: &[u8; 16]) -> Event {
    let serial = data_encoding::HEXLOWER.encode(serial);
    let fact = Fact::CertIssued {
        serial,
        name: "shop.example".into(),
        names: vec!["shop.example".into(), "www.shop.example".into()],
        not_after: "2030-01-01T00:00:00Z".into(),
        issuer: None,
    };
    let request = "0123456789abcdef".into();
    Event { at: clock.now(), who: "uid:0".into(), request, decision: None, fact }
}

fn fill(store: &dyn Store, count: usize) {
    let start = Instant::now();
    for batch in 0..count.div_ceil(10_000) {
        let some = 10_000.min(count - batch * 10_000);
        let certificates: Vec<_> = (0..some).map(|_| certificate(&random())).collect();
        store.commit_many(&certificates).unwrap();
    }
    println!("filled with {count} certificates in {:.1} s", start.elapsed().as_secs_f64());
}

fn measure(journal: &Arc<Journal>, span: Duration, what: &str) {
    let done = AtomicU64::new(0);
    let worst = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..SUBMITTERS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let serial = random();
                    let event = issued(journal.clock().as_ref(), &serial);
                    let began = Instant::now();
                    journal.commit_blocking(Change::new(certificate(&serial), event)).unwrap();
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
    println!("{what}: {rate:.0} changes/s ({done} in {seconds:.1} s; slowest {worst} ms)");
}

fn measure_reads(store: &dyn Store) {
    let start = Instant::now();
    let page = store.range(&KeyRange::prefix(b"cert/expiry/"), 1000).unwrap();
    println!("range of {} index entries: {:?}", page.len(), start.elapsed());
    let serials: Vec<_> = page
        .iter()
        .map(|(entry, _)| key("cert/serial/", entry.last_chunk::<16>().unwrap()))
        .collect();
    let start = Instant::now();
    for serial in &serials {
        store.get(serial).unwrap().unwrap();
    }
    println!("{} random reads: {:?}", serials.len(), start.elapsed());
}

fn measure_verify(journal: &Journal) {
    let start = Instant::now();
    let report = journal.verify(&|_: &str, _: &[u8], _: &[u8]| Ok(()), None).unwrap();
    println!("{} audit records verified: {:?}", report.records, start.elapsed());
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len() >> 20)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().map_or(1_000_000, |text| text.parse().unwrap());
    let span = Duration::from_secs(arguments.next().map_or(10, |text| text.parse().unwrap()));
    let kept = arguments.next().map(PathBuf::from);
    let folder = kept.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("journal-rate-{}", std::process::id()))
    });
    std::fs::create_dir_all(&folder).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let path = folder.join("state.db");
    let filled = path.exists();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path, Arc::clone(&clock)).unwrap());
    let journal = Journal::open(Arc::clone(&store), clock).unwrap();
    if !filled {
        measure(&journal, span, "empty store");
        fill(store.as_ref(), count);
    }
    measure(&journal, span, "full store");
    measure_reads(store.as_ref());
    measure_verify(&journal);
    let log = folder.join("state.db-wal");
    println!("file {} MiB, log {} MiB", size(&path), size(&log));
    drop(journal);
    drop(store);
    if kept.is_none() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
