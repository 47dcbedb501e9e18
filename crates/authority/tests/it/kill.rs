//! SIGKILL at any moment: nothing acknowledged is lost, no serial is doubled, there is one authority.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sealock_authority::{Authority, ListFilter};
use sealock_core::audit::Fact;

use crate::common::{Place, actor, options, order};

const FOLDER: &str = "SEALOCK_TEST_KILL_FOLDER";
const ROUNDS: u64 = 12;

/// Not a test of its own: the process that gets killed. Makes or opens the authority in the folder and
/// issues from four threads until it is killed, saying each certificate once it has it.
#[test]
#[ignore = "started by the test below"]
fn victim() {
    let place = Place::at(std::env::var_os(FOLDER).unwrap().into());
    let authority =
        Authority::create(place.journal(), place.keyring(), &options(), &actor()).unwrap();
    println!("\nready");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let authority = Arc::clone(&authority);
            scope.spawn(move || {
                for number in 0_u64.. {
                    let name = format!("{}-{thread}-{number}.example", std::process::id());
                    let issued = authority.issue(&order(&[&name]), &actor()).unwrap();
                    let line = format!("\nissued {} {name}\n", issued.serial);
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

fn start(place: &Place) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["kill::victim", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn nothing_acknowledged_is_lost_and_no_serial_doubled() {
    let place = Place::new();
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut victim = start(&place);
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        // Early rounds are killed while the authority comes to be, later ones in full flow.
        if round < 4 {
            std::thread::sleep(Duration::from_millis(5 + 25 * round));
            victim.kill().unwrap();
        }
        let mut heard = 0;
        for line in lines.map_while(Result::ok) {
            let mut words = line.split(' ');
            if words.next() == Some("issued") {
                let (Some(serial), Some(name)) = (words.next(), words.next()) else { continue };
                let doubled = acknowledged.insert(serial.to_owned(), name.to_owned());
                assert_eq!(doubled, None, "serial {serial} twice");
                heard += 1;
                if heard == 40 * round {
                    victim.kill().unwrap();
                }
            }
        }
        victim.wait().unwrap();
    }
    assert!(acknowledged.len() > 1000, "{}", acknowledged.len());
    check(&place, &acknowledged);
}

fn check(place: &Place, acknowledged: &BTreeMap<String, String>) {
    let journal = place.journal();
    let authority =
        Authority::create(journal.clone(), place.keyring(), &options(), &actor()).unwrap();
    for (serial, name) in acknowledged {
        let shown = authority.show(serial).unwrap_or_else(|error| panic!("{serial}: {error}"));
        assert_eq!(shown.summary.name, *name);
    }
    let good = |certificate: &str, message: &[u8], signature: &[u8]| {
        authority.check_checkpoint(certificate, message, signature)
    };
    let report = journal.verify(&good, None).unwrap();
    assert!(report.checkpoints > 0);
    let mut created = 0;
    let mut told = Vec::new();
    let mut after = 0;
    loop {
        let records = journal.tail(after, 1000).unwrap();
        let Some(last) = records.last() else { break };
        after = last.seq;
        for record in records {
            match record.event.fact {
                Fact::CaCreated { .. } => created += 1,
                Fact::CertIssued { serial, .. } => told.push(serial),
                _ => {}
            }
        }
    }
    assert_eq!(created, 1);
    // The inventory and the audit log tell of the same certificates.
    let filter = ListFilter { limit: usize::MAX, ..ListFilter::default() };
    let mut listed: Vec<String> =
        authority.list(&filter).unwrap().iter().map(|cert| cert.serial.to_string()).collect();
    listed.sort();
    told.sort();
    assert_eq!(listed, told);
    assert!(listed.windows(2).all(|pair| pair[0] != pair[1]));
}
