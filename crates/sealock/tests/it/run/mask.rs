//! `--mask`.

use super::World;
use crate::summon::stage::{Running, outcome};

const SECRET: &str = "correct horse?/+~battery";

fn world() -> World {
    World::with(&[
        ("prod/db", SECRET),
        ("prod/key", "-----BEGIN-----\nlineoneofthekey\nlinetwoofthekey\n"),
    ])
}

#[test]
fn values_are_replaced_on_both_streams_and_codes_stay() {
    let world = world();
    let yaml = "A: !var prod/db\nF: !var:file prod/key\nL: literal-secret\n";
    // What stands in the file as it is, is no secret: it may be a word that the program prints all the time.
    let script = "echo \"out <$A>\"; echo \"err <$A>\" >&2; cat $F; sed -n 2p $F; echo $L; exit 9";
    let said = world.says(&["--mask"], yaml, script);
    assert_eq!(said.code, Some(9));
    assert_eq!(said.err, "err <********>\n");
    assert!(said.out.starts_with("out <********>\n"), "{said:?}");
    assert!(said.out.ends_with("literal-secret\n"), "{said:?}");
    for part in ["BEGIN", "lineone", "linetwo", "horse"] {
        assert!(!said.out.contains(part), "{part}: {}", said.out);
    }
}

#[test]
fn encoded_forms_are_replaced() {
    let world = world();
    let script = r#"
import base64, json, os, shlex, urllib.parse
a = os.environ["A"].encode()
for text in [
    base64.b64encode(a), base64.urlsafe_b64encode(a), base64.b64encode(a).rstrip(b"="),
    base64.b64encode(b"x:" + a), base64.b64encode(b"user:" + a + b"!"), base64.b64encode(b"yy" + a),
    urllib.parse.quote(a).encode(), urllib.parse.quote(a, safe="").encode(), urllib.parse.quote_plus(a).encode(),
    json.dumps(a.decode()).encode(), shlex.quote(a.decode()).encode(), repr(a.decode()).encode(),
]:
    print("<" + text.decode() + ">")
"#;
    let tool = world.stage.python("encode", script);
    let said = outcome(world.run(&["--mask", "--yaml", "A: !var prod/db", "--", &tool]));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.out.lines().count(), 12);
    for line in said.out.lines() {
        assert!(line.contains("********"), "{line}");
        // What is left around it belongs to what stood beside the value.
        assert!(line.replace("********", "").len() <= 14, "{line}");
    }
}

#[test]
fn values_that_are_split_over_writes_are_replaced() {
    let world = world();
    // One byte at a time, on both streams, with the other end seen to have read it.
    let script = "
import os, sys
for byte in ('a ' + os.environ['A'] + ' z').encode():
    for stream in (1, 2):
        os.write(stream, bytes([byte]))
    os.sched_yield()
os.write(1, b'\\nhalf: ' + os.environ['A'][:10].encode())
";
    let tool = world.stage.python("slowly", script);
    let said = outcome(world.run(&["--mask", "--yaml", "A: !var prod/db", "--", &tool]));
    assert_eq!(said.out, format!("a ******** z\nhalf: {}", &SECRET[..10]));
    assert_eq!(said.err, "a ******** z");
}

#[test]
fn what_is_no_value_is_handed_on_at_once() {
    // A prompt has no line end, and whoever answers it must see it.
    let world = world();
    let mut running = Running::start(world.sh(
        &["--mask"],
        "A: !var prod/db",
        "printf 'name: '; while [ ! -e answer ]; do sleep 0.01; done; echo done",
    ));
    running.prints("name: ");
    world.stage.write("answer", "");
    assert_eq!(running.wait().out, "name: done\n");
}

#[test]
fn what_goes_on_after_the_program_keeps_nobody_waiting() {
    let world = world();
    let script = "(while [ ! -e end ]; do sleep 0.01; done) & echo $! > pid; echo \"started $A\"";
    let said = world.says(&["--mask"], "A: !var prod/db", script);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "started ********\n"));
    world.stage.write("end", "");
}

#[test]
fn large_outputs_go_through_unchanged() {
    let world = world();
    let script = "seq 1 200000; echo \"$A\"; seq 1 200000 >&2";
    let said = world.says(&["--mask"], "A: !var prod/db", script);
    let numbers: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    assert!(said.out == format!("{numbers}********\n") && said.err == numbers);
}
