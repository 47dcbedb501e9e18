//! The vault on the command line: in the command's own process, and through a daemon.

mod backup;
mod large;
mod policy;
mod residue;

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use sealock_testkit::clients::skip_without;
use sealock_testkit::wait::until;
use serde_json::Value;

use crate::support::{Daemon, Home, PATIENCE, mode, text, tool};
use crate::terminal::Terminal;

/// Does the same in the commands' own processes, and through a daemon.
fn both(test: impl Fn(&Home)) {
    test(&Home::initialised());
    let home = Home::initialised();
    let daemon = up(&home);
    test(&home);
    assert_eq!(daemon.stop(), Some(0));
}

/// A daemon that tells everything it knows. It needs no engine.
fn up(home: &Home) -> Daemon {
    let log = fs::OpenOptions::new().create(true).append(true).open(home.path("daemon.log"));
    let log = log.unwrap();
    let mut command = home.command();
    command.args(["-vv", "up", "--api", "127.0.0.1:0", "--gateway", "off"]);
    let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let daemon = Daemon::of(child);
    until("the daemon to answer", PATIENCE, || {
        let status = home.run(&["--json", "status"]);
        let status: Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["daemon"] == true).then_some(())
    });
    daemon
}

/// A command with something on its standard input.
pub(crate) fn fed(home: &Home, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = home.command();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // What is refused is not read to its end.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Gives a secret a value.
pub(crate) fn set(home: &Home, name: &str, value: impl AsRef<[u8]>) {
    let output = fed(home, &["secret", "set", "--keep-newline", name], value.as_ref());
    assert!(output.status.success(), "{name}: {}", text(&output.stderr));
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
}

fn get(home: &Home, arguments: &[&str]) -> Vec<u8> {
    let output = home.run(&[&["secret", "get"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    output.stdout
}

/// Why a value is not taken.
fn refused(home: &Home, arguments: &[&str], input: &[u8]) -> String {
    let output = fed(home, &[&["secret", "set"], arguments].concat(), input);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{arguments:?}: {said}");
    said
}

/// Name, version and state of each that is listed.
fn listed(home: &Home, arguments: &[&str]) -> Vec<(String, u64, String)> {
    let list = home.json(&[&["secret", "list"], arguments].concat());
    let one = |one: &Value| {
        let word = |name: &str| one[name].as_str().unwrap().to_owned();
        (word("name"), one["version"].as_u64().unwrap(), word("state"))
    };
    list.as_array().unwrap().iter().map(one).collect()
}

fn states(home: &Home, name: &str) -> Vec<(u64, String)> {
    let history = home.json(&["secret", "history", name]);
    let one =
        |one: &Value| (one["version"].as_u64().unwrap(), one["state"].as_str().unwrap().to_owned());
    history.as_array().unwrap().iter().map(one).collect()
}

#[test]
fn any_bytes_come_back_as_they_were_given() {
    both(|home| {
        let every: Vec<u8> = (0..=255).chain([b'\n']).collect();
        fs::write(home.path("bytes"), &every).unwrap();
        home.ok(&["secret", "set", "prod/bytes", "--file", "bytes", "--keep-newline"]);
        assert_eq!(get(home, &["prod/bytes"]), every);
        home.ok(&["secret", "set", "prod/bytes", "--file", "bytes"]);
        assert_eq!(get(home, &["prod/bytes"]), every[..256], "without the line end");
        assert_eq!(get(home, &["prod/bytes", "--version", "1"]), every);

        for (input, kept) in
            [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), (" a ", " a ")]
        {
            for from in [&["prod/line"][..], &["prod/line", "--file", "-"]] {
                let output = fed(home, &[&["secret", "set"], from].concat(), input.as_bytes());
                assert!(output.status.success(), "{}", text(&output.stderr));
                assert_eq!(text(&get(home, &["prod/line"])), kept, "{input:?}");
            }
        }

        // Into a file that only its owner may read, whatever was there before.
        let out = home.write("out", "of everybody, and longer than the value");
        fs::set_permissions(&out, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        assert!(get(home, &["prod/line", "-o", &out]).is_empty());
        assert_eq!((fs::read(&out).unwrap(), mode(out.as_ref())), (b" a ".to_vec(), 0o600));
        assert!(home.fails(1, &["secret", "get", "prod/line", "-o", "no/out"]).contains("folder"));
        let json = home.json(&["secret", "get", "prod/bytes", "--version", "2"]);
        assert_eq!(json["version"], 2);
        let value = data_encoding::BASE64.decode(json["value"].as_str().unwrap().as_bytes());
        assert_eq!(value.unwrap(), every[..256]);
    });
}

#[test]
fn generated_values_are_shown_to_nobody() {
    both(|home| {
        for (length, flag) in [(32, "--generate"), (8, "--generate=8"), (4096, "--generate=4096")] {
            let output = home.run(&["secret", "set", "made", flag]);
            let value = get(home, &["made"]);
            assert!(value.iter().all(u8::is_ascii_alphanumeric) && value.len() == length);
            let said = text(&output.stdout) + &text(&output.stderr);
            assert!(!said.contains(&text(&value)) && said.contains("has version"), "{said}");
        }
        let json = home.json(&["secret", "set", "made", "--generate"]);
        assert_eq!(json, serde_json::json!({ "name": "made", "version": 4 }));
        assert_ne!(get(home, &["made"]), get(home, &["made", "--version", "1"]));
        for length in ["7", "0", "4097"] {
            let flag = format!("--generate={length}");
            assert!(home.fails(64, &["secret", "set", "made", &flag]).contains("8 to 4096"));
        }
        home.fails(64, &["secret", "set", "made", "--generate", "--file", "x"]);
        assert_eq!(states(home, "made").len(), 4);
    });
}

#[test]
fn a_value_has_one_byte_at_least_and_a_mebibyte_at_most() {
    both(|home| {
        for (input, arguments) in
            [("", &["x"][..]), ("\n", &["x"]), ("\r\n", &["x"]), ("", &["x", "--keep-newline"])]
        {
            let said = refused(home, arguments, input.as_bytes());
            assert!(said.contains("stdin is empty") && said.contains("hint: give "), "{said}");
        }
        let mut value = vec![b'v'; 1 << 20];
        set(home, "large", &value);
        assert!(get(home, &["large"]) == value);
        value.push(b'\n');
        assert!(fed(home, &["secret", "set", "large"], &value).status.success());
        assert_eq!(get(home, &["large"]).len(), 1 << 20);
        for arguments in [&["large", "--keep-newline"][..], &["large", "--file", "one-more"]] {
            fs::write(home.path("one-more"), [&value[..], b"v"].concat()).unwrap();
            let said = refused(home, arguments, &value);
            assert!(said.contains("longer than 1 MiB") && said.contains("hint: keep"), "{said}");
        }
        assert_eq!(states(home, "large"), [(2, "live".into()), (1, "live".into())]);
        assert!(home.fails(1, &["secret", "get", "x"]).contains("there is no secret x"));
    });
}

#[test]
fn names_are_paths_and_nothing_else() {
    both(|home| {
        let (longest, longer) = ("x".repeat(512), "x".repeat(513));
        for name in [&longest, "a", "A.b_c-d+e=f@g:h/0", "a/b/c/d/e/f/g"] {
            set(home, name, name);
            assert_eq!(text(&get(home, &[name])), *name);
        }
        for name in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a b", "a\tb", "a\nb", "ä",
            "a*", "a?", "a#1", "a\\b", "'", "\"", "~", &longer,
        ] {
            let said = refused(home, &["--", name], b"value");
            assert!(said.contains("hint: such as prod/db/password"), "{name:?}: {said}");
            let hidden = home.run(&["secret", "get", "--", name]);
            assert_eq!(hidden.status.code(), Some(64), "{name:?}: {}", text(&hidden.stderr));
        }
        assert_eq!(listed(home, &[]).len(), 4);
    });
}

#[test]
fn a_list_is_of_paths_and_a_history_of_versions() {
    both(|home| {
        for name in ["prod/db/password", "prod/db", "prod/db2", "prod", "production", "dev/db"] {
            set(home, name, "1");
        }
        set(home, "prod/db", "22");
        let names = |arguments: &[&str]| -> Vec<String> {
            listed(home, arguments).into_iter().map(|(name, _, _)| name).collect()
        };
        assert_eq!(
            names(&[]),
            ["dev/db", "prod", "prod/db", "prod/db/password", "prod/db2", "production"]
        );
        assert_eq!(names(&["prod/db"]), ["prod/db", "prod/db/password"]);
        assert_eq!(names(&["prod"]), ["prod", "prod/db", "prod/db/password", "prod/db2"]);
        assert_eq!(names(&["prod/d"]), [""; 0]);
        assert!(home.ok(&["secret", "list", "prod/d"]).contains("no secret"));
        let table = home.ok(&["secret", "list", "prod/db"]);
        assert!(table.lines().any(|line| line.starts_with("prod/db ") && line.contains(" live ")));

        let history = home.json(&["secret", "history", "prod/db"]);
        let bytes = |place: usize| (&history[place]["version"], &history[place]["bytes"]);
        assert_eq!((bytes(0), bytes(1)), ((&2.into(), &2.into()), (&1.into(), &1.into())));
        assert_eq!(history[0]["by"], format!("uid:{}", rustix::process::geteuid().as_raw()));
        let said = home.fails(1, &["secret", "history", "prod/none"]);
        assert!(said.contains("there is no secret prod/none") && said.contains("hint"), "{said}");
        let said = home.fails(1, &["secret", "get", "prod/db", "--version", "3"]);
        assert!(said.contains("no version 3; its newest is 2"), "{said}");
    });
}

#[test]
fn what_is_deleted_comes_back_and_what_is_purged_does_not() {
    both(|home| {
        for value in ["one", "two", "three"] {
            set(home, "a/b", value);
        }
        home.ok(&["secret", "delete", "a/b"]);
        let said = home.fails(1, &["secret", "get", "a/b"]);
        assert!(said.contains("version 3 of the secret a/b is deleted"), "{said}");
        assert!(said.contains("hint: take that back with `sealock secret undelete a/b`"), "{said}");
        assert_eq!(text(&get(home, &["a/b", "--version", "2"])), "two", "no other is deleted");
        assert_eq!(listed(home, &[]), [("a/b".into(), 3, "deleted".into())]);
        home.ok(&["secret", "undelete", "a/b"]);
        assert_eq!(text(&get(home, &["a/b"])), "three");
        home.ok(&["secret", "delete", "a/b", "--version", "1"]);
        let said = home.fails(1, &["secret", "get", "a/b", "--version", "1"]);
        assert!(said.contains("undelete a/b --version 1"), "{said}");

        let said = home.fails(64, &["secret", "purge", "a/b", "--version", "2"]);
        assert!(said.contains("version 2 of a/b would be destroyed for good"), "{said}");
        assert!(said.contains("hint: say --yes"), "{said}");
        assert_eq!(text(&get(home, &["a/b", "--version", "2"])), "two");
        home.ok(&["secret", "purge", "a/b", "--version", "2", "--yes"]);
        home.fails(1, &["secret", "get", "a/b", "--version", "2"]);
        home.fails(1, &["secret", "undelete", "a/b", "--version", "2"]);
        let state = |version: u64, state: &str| (version, state.to_owned());
        assert_eq!(
            states(home, "a/b"),
            [state(3, "live"), state(2, "purged"), state(1, "deleted")]
        );

        home.ok(&["secret", "purge", "a/b", "--yes"]);
        let said = home.fails(1, &["secret", "get", "a/b"]);
        assert!(said.contains("there is no secret a/b"), "{said}");
        assert_eq!(listed(home, &[]), []);
        // No number is used again, so that nobody takes a new value for an old one.
        let json = home.json(&["secret", "set", "a/b", "--generate"]);
        assert_eq!(json["version"], 4);
        for verb in ["delete", "undelete", "purge"] {
            let yes = if verb == "purge" { &["--yes"][..] } else { &[] };
            let said = home.fails(1, &[&["secret", verb, "a/none"], yes].concat());
            assert!(said.contains("there is no secret a/none"), "{said}");
        }
    });
}

#[test]
fn a_value_ends_with_its_time() {
    both(|home| {
        home.ok(&["secret", "set", "short", "--generate", "--ttl", "1s"]);
        home.ok(&["secret", "set", "long", "--generate", "--ttl", "30d"]);
        until("the value to expire", PATIENCE, || {
            let output = home.run(&["secret", "get", "short"]);
            (!output.status.success()).then_some(())
        });
        let said = home.fails(1, &["secret", "get", "short"]);
        assert!(said.contains("version 1 of the secret short expired at 2"), "{said}");
        assert!(said.contains("hint: give it a new value"), "{said}");
        assert_eq!(states(home, "short"), [(1, "expired".to_owned())]);
        let expected = [("long".into(), 1, "live".into()), ("short".into(), 1, "expired".into())];
        assert_eq!(listed(home, &[]), expected);
        assert_eq!(get(home, &["long"]).len(), 32);
        set(home, "short", "again");
        assert_eq!(text(&get(home, &["short"])), "again");
        home.fails(1, &["secret", "get", "short", "--version", "1"]);
        for span in ["0s", "-1s", "soon", "1"] {
            home.fails(64, &["secret", "set", "short", "--generate", &format!("--ttl={span}")]);
        }
    });
}

/// The command at a terminal that is its own.
fn at_terminal(home: &Home, arguments: &[&str]) -> Terminal {
    let plain = home.command();
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).arg(plain.get_program()).args(plain.get_args());
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(home.path("")).args(arguments);
    Terminal::start(command)
}

#[test]
fn a_value_is_typed_twice_and_shown_never() {
    if skip_without(&["setsid", "age-keygen"]) {
        return;
    }
    both(|home| {
        let mut terminal = at_terminal(home, &["secret", "set", "typed"]);
        terminal.shows("Value of typed: ");
        terminal.type_in("hunter2 with bl\u{8}lanks\r");
        let shown = terminal.shown_until("The same again: ");
        assert!(!shown.contains("hunter") && !shown.contains('*'), "{shown:?}");
        terminal.type_in("hunter2 with blanks\r");
        let shown = terminal.shown_until("typed has version 1.");
        assert!(!shown.contains("hunter"), "{shown:?}");
        assert_eq!(terminal.ends(), Some(0));
        assert_eq!(text(&get(home, &["typed"])), "hunter2 with blanks");

        for (first, second, code, said) in [
            ("one\r", "two\r", 64, "the two values differ; nothing was set"),
            ("\r", "", 64, "no value was typed"),
            ("half\u{3}", "", 1, "cancelled"),
            (&*("x".repeat(5000) + "\r"), "", 64, "longer than the 4 KiB"),
        ] {
            let mut terminal = at_terminal(home, &["secret", "set", "typed"]);
            terminal.shows("Value of typed: ");
            terminal.type_in(first);
            if !second.is_empty() {
                terminal.shows("The same again: ");
                terminal.type_in(second);
            }
            terminal.shows(said);
            assert_eq!(terminal.ends(), Some(code), "{said}");
        }
        assert_eq!(states(home, "typed").len(), 1);

        // At a terminal the value ends with a line end, which is not a part of it.
        let terminal = at_terminal(home, &["secret", "get", "typed"]);
        terminal.shows("hunter2 with blanks\r\n");
        assert_eq!(terminal.ends(), Some(0));
        for (answer, code, said) in
            [("no\r", 1, "nothing was destroyed"), ("yes\r", 0, "Destroyed")]
        {
            let mut terminal = at_terminal(home, &["secret", "purge", "typed"]);
            terminal.shows("Destroy typed with all its versions for good? Type yes:");
            terminal.type_in(answer);
            terminal.shows(said);
            assert_eq!(terminal.ends(), Some(code));
        }
        home.fails(1, &["secret", "get", "typed"]);
        let (_, key) = backup::key(home, "key");
        let terminal = at_terminal(home, &["secret", "export", "--to", &key]);
        terminal.shows("the backup is binary and would go to the terminal");
        assert_eq!(terminal.ends(), Some(64));
        fs::remove_file(home.path("key")).unwrap();
    });
}

#[test]
fn without_the_passphrase_nothing_is_read_or_written() {
    let home = Home::new();
    let right = home.write("right", "correct horse\n");
    let wrong = home.write("wrong", "battery staple\n");
    home.ok(&["--passphrase-file", &right, "init", "--key-protection", "passphrase"]);
    let with = |file: &'static str| ["--passphrase-file", file, "secret"];
    let set = |file: &'static str, value: &str| {
        fed(&home, &[&with(file)[..], &["set", "locked"]].concat(), value.as_bytes())
    };
    assert!(set("right", "the value").status.success());
    for file in ["wrong", "missing"] {
        let said = home.fails(1, &[&with(file)[..], &["get", "locked"]].concat());
        assert!(said.contains("passphrase") && !said.contains("battery"), "{said}");
        assert!(!set(file, "another").status.success());
    }
    for arguments in [&["secret", "get", "locked"][..], &["secret", "rotate-key"]] {
        let said = home.fails(1, arguments);
        assert!(said.contains("--passphrase-file"), "{said}");
    }
    assert_eq!(home.ok(&["--passphrase-file", &right, "secret", "get", "locked"]), "the value");
    assert!(!wrong.is_empty());
}

#[test]
fn rows_that_are_swapped_in_the_store_are_found() {
    if skip_without(&["python3"]) {
        return;
    }
    let home = Home::initialised();
    let long = "z".repeat(8000);
    for (name, value) in [("a/short", "one"), ("b/short", "two"), ("a/long", &long), ("c", "three")]
    {
        set(&home, name, value);
    }
    set(&home, "b/long", "y".repeat(8000));
    set(&home, "c", "four");
    let swap = |first: &str, second: &str| {
        let script = "import sqlite3,sys\n\
            db=sqlite3.connect(sys.argv[1])\n\
            key=lambda text: text.encode().replace(b'#1',bytes(8)+b'\\1').replace(b'#2',bytes(8)+b'\\2')\n\
            keys=[key(text) for text in sys.argv[2:]]\n\
            rows=[db.execute('select value,large from entry where key=?',(k,)).fetchone() for k in keys]\n\
            assert all(rows), rows\n\
            for k,(value,large) in zip(keys,reversed(rows)):\n\
            \x20db.execute('update entry set value=?,large=? where key=?',(value,large,k))\n\
            db.commit()\n";
        let database = home.state().join("state.db").display().to_string();
        tool("python3", &["-c", script, &database, first, second]);
    };
    let swaps = [
        ("vault/version/a/short#1", "vault/version/b/short#1", &["a/short", "b/short"][..]),
        ("vault/secret/a/short", "vault/secret/b/short", &["a/short", "b/short"]),
        ("vault/value/a/long#1", "vault/value/b/long#1", &["a/long", "b/long"]),
        ("vault/version/c#1", "vault/version/c#2", &["c"]),
    ];
    for (first, second, changed) in swaps {
        let daemon = first.contains("long").then(|| up(&home));
        swap(first, second);
        for name in changed {
            let said = home.fails(1, &["secret", "get", name]);
            assert!(said.contains(&format!("{name} was changed in the store")), "{said}");
            assert!(said.contains("hint: restore the state folder from a backup"), "{said}");
        }
        assert_eq!(home.run(&["secret", "get", "c"]).status.success(), changed != ["c"], "{first}");
        swap(first, second);
        drop(daemon);
    }
    for (name, value) in [("a/short", "one"), ("b/short", "two"), ("a/long", &long), ("c", "four")]
    {
        assert_eq!(text(&get(&home, &[name])), value);
    }
}
