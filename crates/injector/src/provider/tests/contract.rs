//! What Summon's documents and code say, with providers that behave.

use super::*;

#[test]
fn a_stream_provider_is_started_once_and_its_values_are_not_trimmed() {
    let scratch = Scratch::new();
    let provider = scratch.sh(&format!("echo started >> \"$HERE/log\"\n{STREAM}"));
    let (results, why) = fetch_and_why(&provider, &["a", " b ", "c/d e", "a"], &Options::default());
    assert_eq!(results, ["stream:a", "stream: b ", "stream:c/d e", "stream:a"]);
    assert_eq!(why, None);
    assert_eq!(fs::read_to_string(scratch.path("log")).unwrap(), "started\n");
}

#[test]
fn stream_providers_in_python_may_answer_any_bytes() {
    let scratch = Scratch::new();
    let provider = scratch.python(
        "import sys, base64
values = {'text': b'text', 'lines': b' two\\nlines\\n\\n', 'empty': b'', 'binary': bytes(range(256))}
for line in sys.stdin:
    print(base64.b64encode(values[line.rstrip('\\n')]).decode(), end='\\r\\n', flush=True)
",
    );
    let asked = paths(&["binary", "empty", "lines", "text"]);
    let results = fetch(&provider, &asked, &Options::default());
    let values: Vec<Vec<u8>> =
        results.into_iter().map(|one| one.unwrap().expose().to_vec()).collect();
    let binary: Vec<u8> = (0..=255).collect();
    assert_eq!(values, [binary, vec![], b" two\nlines\n\n".to_vec(), b"text".to_vec()]);
}

#[test]
fn only_binary_values_are_believed_of_a_provider_that_waits_for_more() {
    let scratch = Scratch::new();
    let provider = scratch.sh("while read -r path; do echo '/+8A'; done");
    let results = fetch(&provider, &paths(&["a"]), &Options::default());
    assert_eq!(results[0].as_ref().unwrap().expose(), [0xff, 0xef, 0]);
}

#[test]
fn more_questions_than_a_pipe_holds_are_answered() {
    let scratch = Scratch::new();
    let provider = scratch.python(
        "import sys, base64
for line in sys.stdin:
    print(base64.b64encode(line.strip().encode() * 20).decode(), flush=True)
",
    );
    let asked: Vec<String> = (0..3000).map(|n| format!("{n:0100}")).collect();
    let results = shown(fetch(&provider, &asked, &Options::default()));
    assert_eq!(results.len(), 3000);
    assert!(results.iter().zip(&asked).all(|(value, path)| *value == path.repeat(20)));
}

#[test]
fn a_stream_provider_that_does_not_mind_its_inputs_end_is_ended() {
    let scratch = Scratch::new();
    let provider = scratch.sh(&format!("{STREAM}sleep 1000 & echo $$ $! > \"$HERE/pids\"; wait"));
    let (results, why) = fetch_and_why(&provider, &["a", "b"], &Options::default());
    assert_eq!((results, why), (vec!["stream:a".to_owned(), "stream:b".to_owned()], None));
    assert!(scratch.pids("pids").end_soon());
}

#[test]
fn legacy_values_are_trimmed_as_summon_does() {
    let cases: [(&str, &[u8]); 8] = [
        ("value\\n", b"value"),
        ("value", b"value"),
        ("  two words \\r\\n\\n", b"two words"),
        ("first\\nsecond\\n", b"first\nsecond"),
        ("", b""),
        (" \\n", b""),
        ("\\302\\240\\377\\000x\\302\\205", b"\xff\0x"),
        ("-n", b"-n"),
    ];
    for (printed, value) in cases {
        let scratch = Scratch::new();
        let provider = scratch.sh(&format!("[ $# -eq 1 ] || exit 2\nprintf -- '{printed}'"));
        let results = fetch(&provider, &paths(&["a"]), &Options::default());
        assert_eq!(results[0].as_ref().unwrap().expose(), value, "{printed}");
    }
}

#[test]
fn a_legacy_provider_gets_the_path_as_its_only_argument_and_no_input() {
    let scratch = Scratch::new();
    let provider = scratch.sh("[ $# -gt 0 ] || exit 2\nprintf '%s|%s|%s' $# \"$1\" \"$(cat)\"");
    let asked = ["a", "", "two words", "$(id)", "--help", "é"];
    let (results, _) = fetch_and_why(&provider, &asked, &Options::default());
    assert_eq!(results, asked.map(|path| format!("1|{path}|")));
}

#[test]
fn what_a_provider_says_of_its_failure_is_passed_on() {
    let cases = [
        ("exit 3", "error: exit status 3"),
        ("echo 'no such secret' >&2; exit 1", "error: exit status 1: no such secret"),
        ("printf '\\n two\\r\\n lines\\n\\n' >&2; exit 255", "error: exit status 255: two\n lines"),
        ("printf '\\033[31mred\\007' >&2; exit 1", "error: exit status 1: \\u{1b}[31mred\\u{7}"),
        ("echo value; exit 1", "error: exit status 1"),
        ("kill -9 $$", "error: signal: killed"),
        ("echo bye >&2; kill -TERM $$", "error: signal: terminated: bye"),
        // A warning is no failure.
        ("echo warning >&2; echo value", "value"),
    ];
    for (body, message) in cases {
        let scratch = Scratch::new();
        let provider = scratch.sh(&format!("[ $# -gt 0 ] || exit 2\n{body}"));
        let (results, _) = fetch_and_why(&provider, &["a"], &Options::default());
        assert_eq!(results, [message], "{body}");
    }
}

#[test]
fn each_value_fails_by_itself() {
    let scratch = Scratch::new();
    let provider =
        scratch.sh("case $1 in good*) echo \"$1\";; *) echo \"no $1\" >&2; exit 4;; esac");
    let failed = Mutex::new(Vec::new());
    let observer = |event: Event<'_>| {
        if let Event::Failed { index, error } = event {
            failed.lock().unwrap().push((index, error.to_string()));
        }
    };
    let options = Options { observer: Some(&observer), ..Options::default() };
    let asked = paths(&["bad", "good1", "two\nlines", "good2", "zero\0byte"]);
    assert_eq!(
        shown(fetch(&provider, &asked, &options)),
        [
            "error: exit status 4: no bad",
            "good1",
            "error: a path with a line end in it cannot be asked of a provider",
            "good2",
            "error: a path with a zero byte in it cannot be asked of a provider",
        ]
    );
    let failed = failed.into_inner().unwrap();
    assert_eq!(failed.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 2, 4]);
    assert_eq!(failed[0].1, "exit status 4: no bad");
}

#[test]
fn legacy_calls_run_at_once_but_not_all_of_them() {
    let scratch = Scratch::new();
    // Nobody gets on before four are there.
    let provider = scratch.sh("[ $# -gt 0 ] || exit 2
touch \"$HERE/here.$1\"
while [ \"$(ls \"$HERE\" | grep -c here)\" -lt 4 ]; do :; done
echo together");
    let options = Options { concurrency: NonZeroUsize::new(4).unwrap(), ..Options::default() };
    let (results, _) = fetch_and_why(&provider, &["1", "2", "3", "4"], &options);
    assert_eq!(results, ["together"; 4]);

    let provider = scratch.sh("[ $# -gt 0 ] || exit 2
mkdir \"$HERE/slot.$1\"
ls \"$HERE\" | grep -c slot
sleep 0.05
rmdir \"$HERE/slot.$1\"");
    let options = Options { concurrency: NonZeroUsize::new(2).unwrap(), ..Options::default() };
    let (results, _) = fetch_and_why(&provider, &["1", "2", "3", "4", "5", "6"], &options);
    assert!(results.iter().all(|count| ["1", "2"].contains(&count.as_str())), "{results:?}");
}

#[test]
fn many_legacy_values_come_in_order_however_many_run_at_once() {
    let scratch = Scratch::new();
    let provider =
        scratch.sh("[ $# -gt 0 ] || exit 2\necho \"$1\" >> \"$HERE/log\"\necho \"value of $1\"");
    let asked: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    for at_once in [1, 5, 64] {
        let concurrency = NonZeroUsize::new(at_once).unwrap();
        let results = fetch(&provider, &asked, &Options { concurrency, ..Options::default() });
        let values: Vec<String> = asked.iter().map(|path| format!("value of {path}")).collect();
        assert_eq!(shown(results), values);
        let log = fs::read_to_string(scratch.path("log")).unwrap();
        assert_eq!(log.lines().count(), 60, "each is asked for once");
        fs::remove_file(scratch.path("log")).unwrap();
    }
}

#[test]
fn as_many_wait_at_once_as_are_allowed() {
    let scratch = Scratch::new();
    // The first fifteen wait for the sixteenth.
    let provider = scratch.sh("[ $# -gt 0 ] || exit 2
[ \"$1\" != 15 ] || touch \"$HERE/here\"
until [ -e \"$HERE/here\" ]; do sleep 0.01; done
echo together");
    let asked: Vec<String> = (0..32).map(|number| number.to_string()).collect();
    let concurrency = NonZeroUsize::new(16).unwrap();
    let results = fetch(&provider, &asked, &Options { concurrency, ..Options::default() });
    assert_eq!(shown(results), vec!["together"; 32]);
}

#[test]
fn nothing_is_started_where_nothing_is_asked() {
    let missing = Path::new("/nonexistent/provider");
    assert!(fetch(missing, &[], &Options::default()).is_empty());
}

#[test]
fn the_deadline_is_read_as_summon_reads_it() {
    let seconds = |text: &str| deadline_from(Some(OsStr::new(text))).as_secs();
    let cases = [("", 60), ("30", 30), ("0", 60), ("-10", 60), ("abc", 60), ("1.5", 60), ("+5", 5)];
    for (text, expected) in cases {
        assert_eq!(seconds(text), expected, "{text}");
    }
    assert_eq!(deadline_from(None).as_secs(), 60);
    // No overflow of a clock.
    assert!(seconds("9223372036854775807") > 86_400);
}

#[test]
fn versions_are_listed_as_summon_lists_them() {
    let scratch = Scratch::new();
    let write = |name: &str, body: &str| {
        fs::rename(scratch.sh(body), scratch.path(name)).unwrap();
    };
    write("b-good", "[ \"$1\" = --version ] && printf '\\n 1.2.3 \\n'");
    write("a-old", "echo 'no such option' >&2; exit 1");
    write("c-escape", "printf '\\033]0;x\\007'");
    fs::write(scratch.path("d-data"), "no program").unwrap();
    let folder = scratch.0.path();
    let lookup = Lookup { folder: Some(folder.as_os_str()), ..Lookup::default() };
    let (folder, names) = lookup.all(&Disk).unwrap();
    let list = version_list(&folder, &versions(&folder, &names, &Options::default()));
    let expected = format!(
        "Provider versions in {}:\na-old: unknown version\nb-good version 1.2.3\n\
         c-escape version \\u{{1b}}]0;x\\u{{7}}\nd-data: unknown version\n",
        folder.display()
    );
    assert_eq!(list, expected);
}

#[test]
fn a_provider_is_found_on_the_real_disk() {
    let scratch = Scratch::new();
    let provider = scratch.sh("echo value");
    let lookup = Lookup { folder: Some(scratch.0.path().as_os_str()), ..Lookup::default() };
    assert_eq!(lookup.provider(&Disk).unwrap(), provider);
    fs::write(scratch.path("second"), "").unwrap();
    let error = lookup.provider(&Disk).unwrap_err().to_string();
    assert!(error.starts_with("More than one provider found in "), "{error}");
    let named = Lookup { named: Some(OsStr::new("third")), ..lookup };
    let error = named.provider(&Disk).unwrap_err();
    assert!(error.hint().is_some());
}
