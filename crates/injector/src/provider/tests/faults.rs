//! Providers that are not there, hang, flood, are killed, or leave something behind.

use super::*;

/// Fails without an argument, so that only legacy mode counts.
const ONLY_LEGACY: &str = "[ $# -gt 0 ] || exit 2\n";

#[test]
fn what_cannot_be_started_says_why_and_what_to_do() {
    let scratch = Scratch::new();
    let plain = scratch.path("plain");
    fs::write(&plain, "#!/bin/sh\necho value\n").unwrap();
    let folder = scratch.path("folder");
    fs::create_dir(&folder).unwrap();
    let lost = scratch.path("lost");
    fs::rename(scratch.script("#!/nonexistent/sh\n"), &lost).unwrap();
    let bare = scratch.path("bare");
    fs::rename(scratch.script("echo value\n"), &bare).unwrap();
    let cases = [
        (scratch.path("none"), "No such file or directory", None),
        (plain, "Permission denied", Some("chmod +x")),
        (folder, "Permission denied", Some("it is a folder")),
        (lost, "No such file or directory", Some("interpreter")),
        (bare, "Exec format error", Some("#!/bin/sh")),
    ];
    for (provider, cause, hint) in cases {
        let results = fetch(&provider, &paths(&["a", "b"]), &Options::default());
        assert_eq!(results.len(), 2);
        for result in results {
            let error = result.unwrap_err();
            assert_eq!(error.to_string(), format!("{} cannot be started", provider.display()));
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains(cause), "{provider:?}: {source}");
            match hint {
                Some(hint) => assert!(error.hint().unwrap().contains(hint), "{provider:?}"),
                None => assert_eq!(error.hint(), None, "{provider:?}"),
            }
        }
    }
}

/// `body` is run for a value; it writes down whom it has started.
fn hangs(body: &str, options: &Options<'_>) {
    let scratch = Scratch::new();
    let provider = scratch.sh(&format!("{ONLY_LEGACY}{body}"));
    let results = fetch(&provider, &paths(&["a"]), options);
    let error = results[0].as_ref().unwrap_err();
    assert!(matches!(error, FetchError::Deadline { .. }), "{body}: {error}");
    assert!(error.hint().is_some());
    assert!(scratch.pids("pids").end_soon(), "{body}");
}

#[test]
fn at_the_deadline_nothing_of_a_provider_is_left() {
    for body in [
        "echo $$ > \"$HERE/pids\"; exec sleep 1000",
        "sleep 1000 & echo $$ $! > \"$HERE/pids\"; wait",
        "trap '' TERM; (trap '' TERM; sleep 1000; sleep 1000) & echo $$ $! > \"$HERE/pids\"; \
         while :; do sleep 1000; done",
        // Its streams are closed, and it goes on.
        "echo $$ > \"$HERE/pids\"; exec sleep 1000 > /dev/null 2>&1",
        // A parent that has gone: the group is what holds them together.
        "(sleep 1000 & echo $! > \"$HERE/pids\"); exec sleep 1000",
        // Something is printed all the time.
        "echo $$ > \"$HERE/pids\"; while :; do echo; sleep 0.01; done",
    ] {
        hangs(body, &within(1000));
    }
}

#[test]
fn in_our_own_group_the_descendants_are_found_too() {
    let options = Options { at_terminal: true, ..within(1000) };
    for body in [
        "echo $$ > \"$HERE/pids\"; exec sleep 1000",
        "sleep 1000 & echo $$ $! > \"$HERE/pids\"; wait",
        "trap '' TERM; (trap '' TERM; sleep 1000; sleep 1000) & echo $$ $! > \"$HERE/pids\"; \
         while :; do sleep 1000; done",
    ] {
        hangs(body, &options);
    }
}

#[test]
fn the_message_at_the_deadline_holds_what_the_provider_complained_of() {
    let scratch = Scratch::new();
    let provider =
        scratch.sh(&format!("{ONLY_LEGACY}echo 'waiting for the server' >&2; exec sleep 1000"));
    let (results, _) = fetch_and_why(&provider, &["a"], &within(500));
    assert_eq!(results, ["error: no answer within 0.5 s: waiting for the server"]);
}

#[test]
fn a_stream_provider_that_stops_in_the_middle_gives_nothing() {
    let scratch = Scratch::new();
    // One line late enough that the deadline comes before the patience ends.
    let provider = scratch.sh("[ $# -eq 0 ] || exit 9
echo $$ > \"$HERE/pids\"; read -r path; sleep 0.6; echo b25l; exec sleep 1000");
    let (results, why) = fetch_and_why(&provider, &["a", "b"], &within(1500));
    let late = Some(Refusal::Silent);
    assert!(results.iter().all(|one| one.starts_with("error: ")), "{results:?}");
    assert!(why.is_none() || why == late, "{why:?}");
    assert!(scratch.pids("pids").end_soon());
}

#[test]
fn whoever_holds_the_pipes_after_the_end_is_not_waited_for() {
    let scratch = Scratch::new();
    let provider =
        scratch.sh(&format!("{ONLY_LEGACY}sleep 1000 & echo $! > \"$HERE/pids\"; echo value"));
    let (results, _) = fetch_and_why(&provider, &["a"], &Options::default());
    assert_eq!(results, ["value"]);
    assert!(scratch.pids("pids").end_soon());

    // One that has made itself independent keeps living, and is not waited for either.
    let scratch = Scratch::new();
    let provider = scratch
        .sh(&format!("{ONLY_LEGACY}setsid sleep 1000 & echo $! > \"$HERE/pids\"; echo value"));
    let (results, _) = fetch_and_why(&provider, &["a"], &Options::default());
    assert_eq!(results, ["value"]);
    drop(scratch.pids("pids"));
}

#[test]
fn an_agent_that_has_let_go_of_the_pipes_stays() {
    let scratch = Scratch::new();
    let agent = "sleep 1000 > /dev/null 2>&1 & echo $! > \"$HERE/pids\"; echo value";
    let provider = scratch.sh(&format!("{ONLY_LEGACY}{agent}"));
    let (results, _) = fetch_and_why(&provider, &["a"], &Options::default());
    assert_eq!(results, ["value"]);
    let agent = scratch.pids("pids");
    assert!(agent.are_running());
    drop(agent);
}

#[test]
fn the_pipes_of_a_stream_provider_may_be_held_too() {
    let scratch = Scratch::new();
    let provider =
        scratch.sh(&format!("sleep 1000 < /dev/null & echo $! > \"$HERE/pids\"\n{STREAM}"));
    let (results, why) = fetch_and_why(&provider, &["a", "b"], &Options::default());
    assert_eq!((results, why), (vec!["stream:a".to_owned(), "stream:b".to_owned()], None));
    assert!(scratch.pids("pids").end_soon());
}

#[test]
fn a_flood_is_ended_at_the_limit() {
    let cases = [
        (
            "exec cat /dev/zero",
            "error: the provider printed more than 1048576 bytes to its standard output",
        ),
        (
            "exec cat /dev/zero >&2",
            "error: the provider printed more than 16777216 bytes to its standard error",
        ),
        // Just too much, and an exit code of 0.
        (
            "head -c 1048577 /dev/zero",
            "error: the provider printed more than 1048576 bytes to its standard output",
        ),
    ];
    for (body, message) in cases {
        let scratch = Scratch::new();
        let provider = scratch.sh(&format!("{ONLY_LEGACY}echo $$ > \"$HERE/pids\"\n{body}"));
        let (results, _) = fetch_and_why(&provider, &["a"], &Options::default());
        assert_eq!(results, [message], "{body}");
        assert!(scratch.pids("pids").end_soon(), "{body}");
    }
    let scratch = Scratch::new();
    let provider = scratch.sh(&format!("{ONLY_LEGACY}head -c 1048576 /dev/zero; echo"));
    let results = fetch(&provider, &paths(&["a"]), &Options::default());
    assert_eq!(results[0].as_ref().unwrap().len(), MAXIMUM_VALUE);
}

#[test]
fn those_that_flood_and_do_not_want_to_end_hold_up_nobody() {
    let scratch = Scratch::new();
    let provider = scratch.sh(&format!(
        "{ONLY_LEGACY}case $1 in
good*) echo \"$1\";;
*) trap '' TERM PIPE; echo $$ >> \"$HERE/pids\"; head -c 2000000 /dev/zero; while :; do sleep 1000; done;;
esac"
    ));
    let asked: Vec<String> = (0..24)
        .map(|number| format!("{}{number}", if number % 3 == 0 { "good" } else { "bad" }))
        .collect();
    let results = fetch(&provider, &asked, &Options::default());
    for (path, result) in asked.iter().zip(shown(results)) {
        match path.starts_with("good") {
            true => assert_eq!(result, *path),
            false => assert!(result.contains("printed more than"), "{result}"),
        }
    }
    assert!(scratch.pids("pids").end_soon());
}

#[test]
fn of_a_long_complaint_the_beginning_is_kept() {
    let scratch = Scratch::new();
    let provider = scratch.sh(&format!(
        "{ONLY_LEGACY}echo beginning >&2; head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1"
    ));
    let (results, _) = fetch_and_why(&provider, &["a"], &Options::default());
    assert!(results[0].starts_with("error: exit status 1: beginning\nxxx"));
    assert!(results[0].len() < 70_000, "{}", results[0].len());
}

#[test]
fn closing_the_input_early_kills_nobody_else() {
    let scratch = Scratch::new();
    let provider = scratch.sh(&format!("{LEGACY}exec sleep 1000 < /dev/null"));
    // More than the pipe holds, so that something is still to be written.
    let asked: Vec<String> = (0..20).map(|n| format!("{n:010000}")).collect();
    let options = Options { concurrency: NonZeroUsize::new(2).unwrap(), ..Options::default() };
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    let (results, why) = fetch_and_why(&provider, &asked, &options);
    assert_eq!(why, Some(Refusal::NotTaken));
    assert!(results.iter().zip(&asked).all(|(value, path)| *value == format!("legacy:{path}")));
}

/// Ends a fetch as soon as the provider has opened the pipe `ready`.
fn cancelled_while(body: &str, asked: &[&str]) {
    let scratch = Scratch::new();
    let made = Command::new("mkfifo").arg(scratch.path("ready")).status().unwrap();
    assert!(made.success());
    let provider = scratch.sh(body);
    let cancel = Cancel::new().unwrap();
    let results = thread::scope(|scope| {
        scope.spawn(|| {
            fs::read(scratch.path("ready")).unwrap();
            cancel.cancel();
        });
        let options = Options {
            cancel: Some(&cancel),
            concurrency: NonZeroUsize::new(2).unwrap(),
            ..Options::default()
        };
        fetch(&provider, &paths(asked), &options)
    });
    for result in results {
        assert!(matches!(result, Err(FetchError::Cancelled)), "{result:?}");
    }
    assert!(scratch.pids("pids").end_soon());
}

#[test]
fn the_caller_can_end_what_runs_and_nothing_is_started_after_that() {
    let hang = "sleep 1000 & echo $$ $! >> \"$HERE/pids\"; echo > \"$HERE/ready\"; wait";
    cancelled_while(hang, &["a"]);
    // The first of many; the others are waited for by nobody.
    let first = format!("{ONLY_LEGACY}mkdir \"$HERE/first\" || exec sleep 1000\n{hang}");
    cancelled_while(&first, &["a", "b", "c", "d"]);

    let cancel = Cancel::new().unwrap();
    cancel.clone().cancel();
    assert!(cancel.is_cancelled());
    let scratch = Scratch::new();
    let provider = scratch.sh("touch \"$HERE/started\"; echo value");
    let options = Options { cancel: Some(&cancel), ..Options::default() };
    let results = fetch(&provider, &paths(&["a"]), &options);
    assert!(matches!(results[0], Err(FetchError::Cancelled)));
    assert!(!scratch.path("started").exists());
}

#[test]
fn no_error_shows_a_value() {
    let scratch = Scratch::new();
    let provider = scratch.sh("printf '%s' hunter2hunter2; [ $# -eq 0 ]; exit 5");
    let results = fetch(&provider, &paths(&["a"]), &Options::default());
    let error = results[0].as_ref().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}
