//! pebble at its worst: strict, late, forgetful of nonces, with long chains; and kills in the middle of that.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use sealock_testkit::wait::until;

use super::pebble::{self, HOSTILE, KIND, Mood, Pebble, Ports};
use super::{await_request, failed_with, home_with, in_use, request, start, verifies};
use crate::support::{Home, PATIENCE};

const ISSUED: &str = "Issued certificate serial";
const ORDERED: &str = "Added order ";
const INVALID: &str = " set INVALID by invalid authz ";

/// The orders for which the server says, from there in its log on, that it has issued, and those that it calls invalid.
fn orders_since(home: &Home, seen: usize) -> (BTreeSet<String>, BTreeSet<String>) {
    let log = Pebble::log(home);
    let log = log.get(seen..).unwrap_or_default();
    let issued = log.lines().filter(|line| line.contains(ISSUED));
    let issued = issued.filter_map(|line| line.split(" for order ").nth(1));
    let invalid = log.lines().filter_map(|line| line.split_once(INVALID));
    let invalid = invalid.filter_map(|(before, _)| before.rsplit(' ').next());
    (issued.map(|id| id.trim().to_owned()).collect(), invalid.map(str::to_owned).collect())
}

fn ask(home: &Home, name: &str, host: &str) {
    home.ok(&["cert", "request", name, "--dns", host, "--usage", "server", "--upstream", "corp"]);
}

/// Waits for a certificate, and asks again where a try was in vain: here the server may look for a proof while nobody is
/// there to show it.
fn insist(home: &Home, name: &str) {
    let host = format!("{name}.corp.example");
    let end = Instant::now() + PATIENCE;
    let mut tries = 0;
    loop {
        let found = request(home, name);
        if in_use(&found) {
            return;
        }
        assert!(Instant::now() < end, "{found}\n{}", home.log());
        let now = found["enrolment"]["tries"].as_u64().unwrap_or(0);
        if now > tries {
            tries = now;
            ask(home, name, &host);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_strict_and_late_server_that_refuses_most_nonces_and_has_long_chains_is_no_trouble() {
    if pebble::missing() {
        return;
    }
    let ports = Ports::free();
    let home = home_with(|home| pebble::by_http(home, &ports));
    let pebble = Pebble::start(&home, &ports, HOSTILE);
    pebble.trust(&home);
    let _daemon = start(&home);
    let names = "shop.corp.example,www.corp.example,api.corp.example";
    ask(&home, "shop", names);
    let held = await_request(&home, "shop", "in use", in_use)["held"].clone();
    for name in names.split(',') {
        verifies(&home, "shop", name);
    }
    let chain = std::fs::read_to_string(home.path("files-shop/tls.crt")).unwrap();
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 1 + 3, "{held}");
    assert_eq!((Pebble::said(&home, ISSUED), Pebble::said(&home, ORDERED)), (1, 1));
    assert_eq!(Pebble::said(&home, "There are now 2 accounts"), 0);
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
}

#[test]
fn a_server_that_remembers_what_was_proved_is_shown_no_second_proof() {
    if pebble::missing() {
        return;
    }
    let ports = Ports::free();
    let home = home_with(|home| pebble::by_http(home, &ports));
    let pebble = Pebble::start(&home, &ports, Mood { remembered: 100, strict: true, ..KIND });
    pebble.trust(&home);
    let _daemon = start(&home);
    ask(&home, "shop", "shop.corp.example");
    await_request(&home, "shop", "in use", in_use);
    let proved = Pebble::said(&home, "set VALID by completed challenge");
    assert_eq!(proved, 1);
    // Whoever has the port by now is nobody's trouble.
    let _taken = TcpListener::bind(("127.0.0.1", ports.http)).unwrap();
    ask(&home, "again", "shop.corp.example");
    await_request(&home, "again", "in use", in_use);
    assert_eq!(Pebble::said(&home, "set VALID by completed challenge"), proved);
}

#[test]
fn killed_at_any_moment_beside_a_hostile_server_each_name_has_one_certificate() {
    if pebble::missing() {
        return;
    }
    let ports = Ports::free();
    let home = home_with(|home| pebble::by_http(home, &ports));
    let mood = Mood { late: 2, refused_nonces: 40, ..HOSTILE };
    let pebble = Pebble::start(&home, &ports, mood);
    pebble.trust(&home);
    drop(start(&home));
    let pauses = [0_u64, 30, 80, 150, 300, 700, 1500, 2500];
    for (number, pause) in pauses.into_iter().enumerate() {
        let name = format!("shop{number}");
        ask(&home, &name, &format!("{name}.corp.example"));
        let before = Pebble::said(&home, "GET /dir");
        let seen = Pebble::log(&home).len();
        let daemon = home.spawn();
        until("the daemon to begin", PATIENCE, || {
            (Pebble::said(&home, "GET /dir") > before).then_some(())
        });
        // Which moment this is of the enrolment is chance, and different each time.
        std::thread::sleep(Duration::from_millis(pause));
        daemon.kill();
        let daemon = start(&home);
        insist(&home, &name);
        drop(daemon);
        // pebble looks for a proof each time that it is told that there is one. Where the older look fails after the newer
        // one has succeeded, it calls the order invalid though it has issued for it; what is invalid is ordered again. A
        // second certificate beside one whose order is good would be of our doing.
        let (issued, _) = orders_since(&home, seen);
        assert!(!issued.is_empty(), "{name} has come from nowhere");
        until("all but one to be called invalid", PATIENCE, || {
            let (issued, invalid) = orders_since(&home, seen);
            (issued.difference(&invalid).count() <= 1).then_some(())
        });
        // A second one where the server looked for a proof while nobody was there.
        let orders = Pebble::said(&home, ORDERED);
        assert!(orders <= 2 * (number + 1), "{orders} orders for {} names", number + 1);
    }
    assert_eq!(Pebble::said(&home, "There are now 1 accounts in memory"), 1);
    assert_eq!(Pebble::said(&home, "There are now 2 accounts"), 0);
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
}

#[test]
fn a_name_that_the_server_cannot_reach_is_told_and_not_tried_again_and_again() {
    if pebble::missing() {
        return;
    }
    let (ports, elsewhere) = (Ports::free(), Ports::free());
    let home = home_with(|home| {
        // The server looks at another port, where nobody listens.
        pebble::settings(home, &ports, &format!("http01 = \"127.0.0.1:{}\"", elsewhere.http))
    });
    let pebble = Pebble::start(&home, &ports, Mood { late: 1, ..HOSTILE });
    pebble.trust(&home);
    let _daemon = start(&home);
    ask(&home, "shop", "shop.corp.example");
    let told = await_request(
        &home,
        "shop",
        "told",
        failed_with("does not take it that `shop.corp.example` is ours"),
    );
    assert!(told["enrolment"]["error"].as_str().unwrap().contains("refused"), "{told}");
    assert!(told["enrolment"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{told}");
    let shown = home.ok(&["cert", "requests"]);
    assert!(shown.contains("shop.corp.example") && shown.contains("asked again at"), "{shown}");
    assert!(home.ok(&["status"]).contains("corp gives no certificate"));
    assert!(
        std::net::TcpStream::connect(("127.0.0.1", elsewhere.http)).is_err(),
        "nothing listens"
    );
    let tries = told["enrolment"]["tries"].as_u64().unwrap();
    let orders = Pebble::said(&home, ORDERED);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        assert_eq!(request(&home, "shop")["enrolment"]["tries"], tries, "backed off");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(Pebble::said(&home, ORDERED), orders);
    assert_eq!(Pebble::said(&home, ISSUED), 0);
    // Where somebody else has our port, that is what is told.
    let _taken = TcpListener::bind(("127.0.0.1", elsewhere.http)).unwrap();
    ask(&home, "other", "other.corp.example");
    let port = elsewhere.http.to_string();
    let told = await_request(&home, "other", "told", |found| {
        found["enrolment"]["error"].as_str().is_some_and(|error| error.contains(&port))
    });
    assert!(told["enrolment"]["error"].as_str().unwrap().contains("in use"), "{told}");
}
