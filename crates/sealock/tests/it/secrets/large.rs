//! Many secrets.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use sealock_testkit::clients::skip_without;
use serde_json::json;

use super::{listed, up};
use crate::support::{Home, tool};

const MANY: usize = 10_000;
/// At the same time; they share their commits.
const WRITERS: usize = 20;

/// Commands over one connection to the daemon, as its client sends them.
struct Connection(BufReader<UnixStream>);

impl Connection {
    fn open(home: &Home) -> Self {
        Self(BufReader::new(UnixStream::connect(home.state().join("run/admin.sock")).unwrap()))
    }

    fn call(&mut self, command: &serde_json::Value) -> serde_json::Value {
        let body = command.to_string();
        let head = format!(
            "POST /v1/call HTTP/1.1\r\nHost: sealock\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.get_mut().write_all((head + &body).as_bytes()).unwrap();
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).unwrap();
        serde_json::from_slice(&answer).unwrap()
    }
}

#[test]
fn ten_thousand_secrets_are_listed_whole_and_leave_for_another_host() {
    if skip_without(&["age-keygen"]) {
        return;
    }
    let home = Home::initialised();
    let daemon = up(&home);
    let name = |number: usize| format!("many/{}/{number}", number % 7);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let home = &home;
            scope.spawn(move || {
                let mut connection = Connection::open(home);
                for number in (writer..MANY).step_by(WRITERS) {
                    let value = json!({ "generated": 8 });
                    let with = json!({ "name": name(number), "value": value });
                    let reply = connection.call(&json!({ "command": "secret-set", "with": with }));
                    assert_eq!(reply["reply"], "secret-written", "{reply}");
                }
            });
        }
    });
    let all: BTreeSet<String> = (0..MANY).map(name).collect();
    // One more than a page.
    super::set(&home, "zz/last", "value");
    let listed_names = |home: &Home, path: &[&str]| -> Vec<String> {
        listed(home, path).into_iter().map(|(name, _, _)| name).collect()
    };
    let names = listed_names(&home, &[]);
    assert_eq!(names.len(), MANY + 1);
    assert!(names.is_sorted() && names[..MANY].iter().eq(&all), "each once and in order");
    assert_eq!(
        listed_names(&home, &["many/3"]).len(),
        all.iter().filter(|name| name.starts_with("many/3/")).count()
    );
    assert_eq!(home.ok(&["secret", "list"]).lines().count(), MANY + 2, "with a heading");

    // Small pages are complete too.
    let mut connection = Connection::open(&home);
    let mut paged: Vec<String> = Vec::new();
    loop {
        let with = json!({ "path": "many", "after": paged.last(), "limit": 333 });
        let reply = connection.call(&json!({ "command": "secret-list", "with": with }));
        let page = reply["is"].as_array().unwrap();
        paged.extend(page.iter().map(|one| one["name"].as_str().unwrap().to_owned()));
        if page.len() < 333 {
            break;
        }
    }
    assert!(paged.iter().eq(&all));

    let key = home.path("key").display().to_string();
    tool("age-keygen", &["-o", &key]);
    let recipient = tool("age-keygen", &["-y", &key]);
    let backup = home.path("vault.age").display().to_string();
    home.ok(&["secret", "export", "--to", recipient.trim(), "-o", &backup]);
    assert_eq!(daemon.stop(), Some(0));
    let there = Home::initialised();
    there.ok(&["secret", "import", "-i", &key, &backup]);
    assert_eq!(listed_names(&there, &[]), names);
    let value = |home: &Home| home.ok(&["secret", "get", "many/0/7"]);
    assert_eq!(value(&home), value(&there));
}
