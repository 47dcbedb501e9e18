//! What is no answer in stream mode, and what becomes of it.

use super::*;

struct Case {
    /// What the provider does without an argument.
    body: &'static str,
    asked: &'static [&'static str],
    /// Why it is not believed; more than one where it is open who is faster.
    why: &'static [Refusal],
}

const ONE: &[&str] = &["one"];
const TWO: &[&str] = &["one", "two"];
const ENDS_AT_ONCE: &[Refusal] = &[Refusal::NotTaken, Refusal::TooFew { lines: 0, asked: 1 }];
/// Its output is closed by that, which may be seen first.
const COMPLAINS_ONLY: &[Refusal] =
    &[Refusal::Complained, Refusal::TooFew { lines: 0, asked: 1 }, Refusal::NotTaken];

const CASES: &[Case] = &[
    // Printed without having been asked.
    Case { body: "echo fail", asked: ONE, why: &[Refusal::NotRead, Refusal::NotTaken] },
    Case { body: "echo null; sleep 1000", asked: ONE, why: &[Refusal::NotRead] },
    Case { body: "echo", asked: ONE, why: &[Refusal::NotRead, Refusal::NotTaken] },
    Case { body: "echo aHVudGVyMg==; exec sleep 1000", asked: ONE, why: &[Refusal::NotRead] },
    Case { body: "echo fail; echo null; sleep 1000", asked: TWO, why: &[Refusal::NotRead] },
    Case { body: "echo fail; sleep 0.2", asked: TWO, why: &[Refusal::NotRead] },
    Case { body: "yes fail", asked: TWO, why: &[Refusal::NotRead, Refusal::NotTaken] },
    // Only the first question was read.
    Case {
        body: "read -r path; echo b25l; echo dHdv; sleep 1000",
        asked: TWO,
        why: &[Refusal::NotRead],
    },
    // Read, and answered with something else.
    Case {
        body: "echo 'usage: provider PATH'",
        asked: ONE,
        why: &[Refusal::NotBase64 { line: 1 }, Refusal::NotTaken],
    },
    Case {
        body: "while read -r path; do echo \"value of $path\"; done",
        asked: TWO,
        why: &[Refusal::NotBase64 { line: 1 }],
    },
    Case {
        body: "while read -r path; do echo YQ; done",
        asked: ONE,
        why: &[Refusal::NotBase64 { line: 1 }],
    },
    Case { body: "exec cat", asked: &["prod"], why: &[Refusal::Echo { line: 1 }] },
    // It throws its input away and prints a word.
    Case { body: "read -r path; echo fail", asked: ONE, why: &[Refusal::LeftEarly] },
    Case { body: "read -r path; echo", asked: ONE, why: &[Refusal::LeftEarly] },
    // Not as many lines as questions.
    Case {
        body: "read -r path; answer \"$path\"; read -r path",
        asked: TWO,
        why: &[Refusal::TooFew { lines: 1, asked: 2 }],
    },
    Case {
        body: "while read -r path; do answer \"$path$(answer)\"; answer; answer; done",
        asked: TWO,
        why: &[Refusal::TooMany { asked: 2 }, Refusal::NotRead],
    },
    Case {
        body: "while read -r path; do answer \"$path\"; done; echo bye",
        asked: TWO,
        why: &[Refusal::TooMany { asked: 2 }],
    },
    Case { body: "read -r path; printf YQ==", asked: ONE, why: &[Refusal::Unterminated] },
    // Nothing at all.
    Case { body: "exit 0", asked: ONE, why: ENDS_AT_ONCE },
    Case { body: "exit 1", asked: ONE, why: ENDS_AT_ONCE },
    Case { body: "kill -9 $$", asked: ONE, why: ENDS_AT_ONCE },
    // Good answers, with something that speaks against them.
    Case {
        body: "echo warning >&2; while read -r path; do answer \"$path\"; done",
        asked: ONE,
        why: &[Refusal::Complained],
    },
    Case {
        body: "while read -r path; do answer \"$path\"; done; echo bye >&2",
        asked: ONE,
        why: &[Refusal::Complained],
    },
    Case {
        body: "while read -r path; do answer \"$path\"; done; exit 3",
        asked: TWO,
        why: &[Refusal::EndedBadly],
    },
    Case {
        body: "while read -r path; do answer \"$path\"; done; kill -9 $$",
        asked: TWO,
        why: &[Refusal::EndedBadly],
    },
    // Without end.
    Case { body: "exec cat /dev/zero", asked: ONE, why: &[Refusal::TooLong { line: 1 }] },
    Case { body: "exec yes", asked: ONE, why: &[Refusal::NotBase64 { line: 1 }] },
    Case { body: "exec yes fail >&2", asked: ONE, why: COMPLAINS_ONLY },
];

#[test]
fn whatever_is_no_answer_is_asked_for_again_in_legacy_mode() {
    for case in CASES {
        let scratch = Scratch::new();
        let answer = "answer() { printf 'stream:%s' \"$1\" | base64 -w0; echo; }\n";
        let body = format!("{LEGACY}{answer}echo $$ > \"$HERE/pids\"\n{}", case.body);
        let provider = scratch.sh(&body);
        let (results, why) = fetch_and_why(&provider, case.asked, &Options::default());
        let legacy: Vec<String> = case.asked.iter().map(|path| format!("legacy:{path}")).collect();
        assert_eq!(results, legacy, "{}", case.body);
        let why = why.unwrap();
        assert!(case.why.contains(&why), "{}: {why:?}", case.body);
        assert!(scratch.pids("pids").end_soon(), "{}", case.body);
    }
}

/// A provider that is silent in stream mode.
fn is_silent(provider: &Path) {
    let (results, why) = fetch_and_why(provider, TWO, &within(4000));
    assert_eq!(results, ["legacy:one", "legacy:two"]);
    assert_eq!(why, Some(Refusal::Silent));
}

#[test]
fn a_provider_that_keeps_its_answers_gets_half_of_the_time() {
    let scratch = Scratch::new();
    let unflushed = "import sys, base64
output = open(1, 'w', buffering=65536)
for line in sys.stdin:
    print(base64.b64encode(b'stream').decode(), file=output)";
    is_silent(&scratch.sh(&format!("{LEGACY}exec python3 -c \"{unflushed}\"")));
}

#[test]
fn a_provider_that_waits_for_its_inputs_end_gets_half_of_the_time() {
    let scratch = Scratch::new();
    is_silent(&scratch.sh(&format!("{LEGACY}all=$(cat)")));
}

#[test]
fn a_provider_that_skips_what_it_does_not_know_gets_half_of_the_time() {
    let scratch = Scratch::new();
    let skips = "while read -r path; do [ \"$path\" = two ] || echo b25l; done";
    is_silent(&scratch.sh(&format!("{LEGACY}{skips}")));
}

#[test]
fn half_answers_are_errors_where_one_is_strict() {
    let strict = Options { safety: Safety::Strict, ..Options::default() };
    let half = "error: the provider's answer does not fit what it was asked";
    let answer = "answer() { printf 'stream:%s' \"$1\" | base64 -w0; echo; }\n";
    let cases = [
        // It speaks stream mode.
        ("read -r path; answer \"$path\"; read -r path", half),
        ("while read -r path; do answer \"$path\"; done; echo bye", half),
        // It does not, or says itself that it failed.
        ("echo fail", "legacy"),
        ("echo fail; echo fail; echo fail; sleep 1000", "legacy"),
        ("exit 0", "legacy"),
        ("while read -r path; do echo 'not found' >&2; done", "legacy"),
        ("while read -r path; do answer \"$path\"; done; exit 1", "legacy"),
        // And this is as it should be.
        ("while read -r path; do answer \"$path\"; done", "stream"),
    ];
    for (body, expected) in cases {
        let scratch = Scratch::new();
        let provider = scratch.sh(&format!("{LEGACY}{answer}{body}"));
        let (results, _) = fetch_and_why(&provider, TWO, &strict);
        let expected = match expected {
            "legacy" | "stream" => TWO.iter().map(|path| format!("{expected}:{path}")).collect(),
            error => vec![error.to_owned(); 2],
        };
        assert_eq!(results, expected, "{body}");
    }
}

#[test]
fn a_path_of_two_lines_shifts_nothing() {
    let scratch = Scratch::new();
    let provider = scratch.sh(STREAM);
    let (results, why) = fetch_and_why(&provider, &["a", "b\nc", "d"], &Options::default());
    let refused = "error: a path with a line end in it cannot be asked of a provider";
    assert_eq!(results, ["stream:a", refused, "stream:d"]);
    assert_eq!(why, None);
}
