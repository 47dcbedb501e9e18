//! By ACME: pebble in good and in bad moods, kills, the DNS, another Sealock.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use sealock_testkit::wait::until;

use super::pebble::{self, KID, KIND, MAC, Mood, Pebble, Ports};
use super::{await_request, failed_with, home_with, in_use, recorded, request, start, verifies};
use crate::support::{Home, PATIENCE, signal};

fn ask(home: &Home, name: &str, host: &str) {
    home.ok(&["cert", "request", name, "--dns", host, "--usage", "server", "--upstream", "corp"]);
}

#[test]
fn a_certificate_comes_by_acme_and_so_does_its_successor() {
    if pebble::missing() {
        return;
    }
    let ports = Ports::free();
    let home = home_with(|home| pebble::by_http(home, &ports));
    let mood = Mood { life: 40, refused_nonces: 50, ..KIND };
    let pebble = Pebble::start(&home, &ports, mood);
    pebble.trust(&home);
    let _daemon = start(&home);
    let tried = home.json(&["upstream", "try", "corp"]);
    assert!(tried[0]["answer"]["terms"].as_str().is_some_and(|terms| !terms.is_empty()), "{tried}");
    assert!(tried[0]["account"].is_null(), "to ask makes no account: {tried}");
    ask(&home, "shop", "shop.corp.example");
    let first = await_request(&home, "shop", "in use", in_use);
    verifies(&home, "shop", "shop.corp.example");
    assert!(
        TcpStream::connect(("127.0.0.1", ports.http)).is_err(),
        "nothing is to be proved any more"
    );
    let listed = home.json(&["upstream", "list"]);
    assert!(listed[0]["account"].as_str().unwrap().starts_with("https://localhost:"), "{listed}");
    assert_eq!(listed[0]["certificates"][0], "shop");
    let second = await_request(&home, "shop", "renewed", |found| {
        in_use(found) && found["held"]["serial"] != first["held"]["serial"]
    });
    assert_ne!(second["held"]["fingerprint"], first["held"]["fingerprint"]);
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
    assert!(recorded(&home, "cert-imported") >= 2);
}

#[test]
fn an_account_needs_whoever_vouches_for_it_and_its_key_is_nowhere_to_be_read() {
    if pebble::missing() {
        return;
    }
    let ports = Ports::free();
    let home = home_with(|home| {
        let key = home.write_private("eab.key", &format!("{MAC}\n"));
        let more = format!(
            "http01 = \"127.0.0.1:{}\"\neab_kid = \"{KID}\"\neab_key_file = \"{key}\"",
            ports.http
        );
        pebble::settings(home, &ports, &more)
    });
    let pebble = Pebble::start(&home, &ports, Mood { bound: true, ..KIND });
    let key = home.path("eab.key");
    fs::write(&key, "d3Jvbmcga2V5IG9mIHRoZSBiaW5kaW5nLCBhcyBsb25n").unwrap();
    let _daemon = start(&home);
    ask(&home, "shop", "shop.corp.example");
    await_request(&home, "shop", "refused", |found| found["enrolment"]["tries"] == 1);
    let todo = home.ok(&["status"]);
    assert!(todo.contains("corp gives no certificate: the server refuses"), "{todo}");
    // It is mended; whoever does not want to wait asks again.
    fs::write(&key, MAC).unwrap();
    ask(&home, "shop", "shop.corp.example");
    // Its root is not known yet: the certificate is kept, and not asked for a second time.
    await_request(&home, "shop", "without a root", failed_with("was not taken"));
    let issued = || {
        fs::read_to_string(home.path("pebble.log"))
            .unwrap()
            .matches("Issued certificate serial")
            .count()
    };
    let before = issued();
    pebble.trust(&home);
    await_request(&home, "shop", "in use", in_use);
    assert_eq!(issued(), before, "no second certificate");
    let log = home.ok(&["--json", "audit", "export"])
        + &fs::read_to_string(home.path("daemon.log")).unwrap();
    assert!(!log.contains(MAC));
    // What is not in the database's file yet is in its log.
    let state: Vec<u8> = ["state.db", "state.db-wal"]
        .iter()
        .flat_map(|file| fs::read(home.state().join(file)).unwrap_or_default())
        .collect();
    let has = |text: &str| state.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(!has(MAC) && has("control/upstream/account/corp"));
}

#[test]
fn killed_at_any_point_the_next_start_finishes_the_order() {
    if pebble::missing() {
        return;
    }
    let ports = Ports::free();
    let home = home_with(|home| pebble::by_http(home, &ports));
    let pebble = Pebble::start(&home, &ports, KIND);
    pebble.trust(&home);
    drop(start(&home));
    for (number, pause) in [0_u64, 20, 40, 60, 90, 120, 160, 220].into_iter().enumerate() {
        let name = format!("shop{number}");
        ask(&home, &name, &format!("{name}.corp.example"));
        let begun = || {
            fs::read_to_string(home.path("pebble.log"))
                .unwrap_or_default()
                .matches("GET /dir")
                .count()
        };
        let before = begun();
        let daemon = home.spawn();
        until("the daemon to begin", PATIENCE, || (begun() > before).then_some(()));
        std::thread::sleep(Duration::from_millis(pause));
        daemon.kill();
        let daemon = start(&home);
        await_request(&home, &name, "in use", in_use);
        drop(daemon);
    }
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
    // One account, and for each name one certificate.
    let log = fs::read_to_string(home.path("pebble.log")).unwrap();
    assert_eq!(log.matches("Issued certificate serial").count(), 8, "{log}");
    assert_eq!(log.matches("There are now 1 accounts in memory").count(), 1, "{log}");
    assert!(!log.contains("There are now 2 accounts"), "{log}");
}

#[test]
fn a_server_that_is_away_is_asked_less_and_less_often_and_one_that_has_forgotten_us_anew() {
    if pebble::missing() {
        return;
    }
    let ports = Ports::free();
    let home = home_with(|home| pebble::by_http(home, &ports));
    let mut pebble = Pebble::start(&home, &ports, KIND);
    pebble.trust(&home);
    let daemon = start(&home);
    ask(&home, "shop", "shop.corp.example");
    await_request(&home, "shop", "in use", in_use);
    pebble.end();
    ask(&home, "other", "other.corp.example");
    let away = await_request(&home, "other", "waiting", failed_with("cannot connect to localhost"));
    let tries = away["enrolment"]["tries"].as_u64().unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        assert_eq!(request(&home, "other")["enrolment"]["tries"], tries, "not asked again at once");
        std::thread::sleep(Duration::from_millis(500));
    }
    // Another server at the same place, that knows neither account nor order.
    let again = Pebble::start(&home, &ports, KIND);
    home.ok(&["trust", "remove", "pebble", "--force"]);
    again.trust(&home);
    ask(&home, "other", "other.corp.example");
    await_request(&home, "other", "told so", failed_with("does not know our account"));
    ask(&home, "other", "other.corp.example");
    await_request(&home, "other", "in use", in_use);
    assert!(recorded(&home, "failed") >= 2, "the first failures are recorded");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_wildcard_is_proved_by_a_program_that_changes_the_dns() {
    if pebble::missing() {
        return;
    }
    let ports = Ports::free();
    let home = home_with(|home| {
        use std::os::unix::fs::PermissionsExt as _;
        let hook = home.write(
            "hook",
            "#!/bin/sh\necho \"$@\" >> \"$1.log\"\nport=$(cat \"$1.port\")\ncase $2 in\n\
             present) body=\"{\\\"host\\\":\\\"$3.\\\",\\\"value\\\":\\\"$4\\\"}\"; verb=set-txt ;;\n\
             *) body=\"{\\\"host\\\":\\\"$3.\\\"}\"; verb=clear-txt ;;\nesac\n\
             exec curl -sS --noproxy '*' --max-time 20 -d \"$body\" \"http://127.0.0.1:$port/$verb\"\n",
        );
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        let first = home.path("dns").display().to_string();
        pebble::settings(home, &ports, &format!("dns_hook = [\"{hook}\", \"{first}\"]"))
    });
    let pebble = Pebble::start(&home, &ports, KIND);
    home.write("dns.port", &pebble.dns.to_string());
    pebble.trust(&home);
    let daemon = start(&home);
    home.ok(&[
        "cert",
        "request",
        "any",
        "--dns",
        "*.corp.example,corp.example",
        "--usage",
        "server",
        "--upstream",
        "corp",
    ]);
    await_request(&home, "any", "in use", in_use);
    verifies(&home, "any", "www.corp.example");
    let log = fs::read_to_string(home.path("dns.log")).unwrap();
    assert_eq!(
        (log.matches(" present ").count(), log.matches(" cleanup ").count()),
        (2, 2),
        "{log}"
    );
    assert!(log.lines().all(|line| line.contains(" _acme-challenge.corp.example ")), "{log}");
    signal(daemon.id(), "TERM");
}

#[test]
fn what_cannot_be_asked_for_is_told_at_once() {
    let ports = Ports::free();
    let home = home_with(|home| pebble::by_http(home, &ports));
    let ask = |more: &[&str]| home.fails(64, &[&["cert", "request", "x"], more].concat());
    let said = ask(&["--email", "jo@corp.example", "--upstream", "corp"]);
    assert!(said.contains("ACME has no other names"), "{said}");
    let said =
        home.fails(1, &["cert", "request", "x", "--dns", "a.test", "--upstream", "elsewhere"]);
    assert!(
        said.contains("no upstream `elsewhere`") && said.contains("the settings have corp"),
        "{said}"
    );
    assert_eq!(home.ok(&["cert", "requests"]).trim(), "No requests.");
    // Without a daemon the request is made, and says who asks.
    home.ok(&["cert", "request", "x", "--dns", "a.test", "--upstream", "corp"]);
    assert!(home.ok(&["cert", "requests"]).contains("`sealock up` asks corp"));
    // With other wishes it is another one.
    home.fails(1, &["cert", "request", "x", "--dns", "a.test"]);
    let bad = home.write("bad.toml", "[upstream.corp]\nkind = \"acme\"\nurl = \"http://acme\"\n");
    let said = home.fails(64, &["--config", &bad, "status"]);
    assert!(said.contains("upstream.corp.url") && said.contains("https://"), "{said}");
}
