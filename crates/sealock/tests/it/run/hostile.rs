//! A `secrets.yml` from a stranger's repository: one error with its place and a hint, and nothing is started.

use super::{World, one_error};
use crate::summon::hostile::{bomb, refused};
use crate::summon::stage::outcome;

#[test]
fn hostile_files_are_refused_with_one_error_and_a_hint() {
    let world = World::new();
    let mut texts = refused();
    let text = |text: &str| text.as_bytes().to_vec();
    texts.extend([
        ("aliases that multiply", bomb().into_bytes(), "anchors"),
        ("an anchor", text("A: &a 1\n"), "anchors"),
        ("an alias", text("A: &a 1\nB: *a\n"), "anchors"),
        ("a merge key", text("A: 1\n<<: {B: 2}\n"), "anchors"),
        (
            "a key twice",
            text("A: 1\nB: 2\nA: 3\n"),
            "line 3, column 1: mapping key \"A\" already defined at line 1",
        ),
        ("a section twice", text("a: {X: 1}\na: {X: 2}\n"), "already defined"),
        ("an endless tag", format!("A: !{} 1", "x".repeat(500_000)).into_bytes(), "unknown tag"),
        ("a second document", text("A: 1\n---\nA: 2\n"), "line 2"),
        ("UTF-16", "\u{feff}A: 1\n".encode_utf16().flat_map(u16::to_le_bytes).collect(), "UTF-8"),
        ("a tag of YAML's own", text("A: !!binary aGk=\n"), "unknown tag `binary`"),
        ("a tag of a programming language", text("A: !!python/object/apply:os.system [id]\n"), ""),
        (
            "many files",
            text(&format!("sealock.files:\n{}", "  - {path: x, secrets: {A: 1}}\n".repeat(20_000))),
            "",
        ),
    ]);
    let mut wrong = Vec::new();
    for (what, bytes, why) in texts {
        world.stage.write("secrets.yml", &bytes);
        let said = outcome(world.run(&["--", "touch", "started"]));
        let error = one_error(&said);
        let told = error.starts_with("error: cannot read secrets.yml\n")
            && error.contains(why)
            && error.len() < 1500;
        let hint = error.lines().last().is_some_and(|line| line.starts_with("hint: "));
        if said.code != Some(64) || !told || !hint {
            wrong.push(format!("{what}: {:?} {}", said.code, &error[..error.len().min(400)]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!world.stage.work("started").exists());
    assert!(!world.home.state().exists());
}

#[test]
fn errors_show_no_value() {
    let world = World::new();
    for yaml in [
        "A: S3CR3T\nB: [S3CR3T]\n",
        "A: !int S3CR3T\n",
        "A: !bool S3CR3T\n",
        "A: \"S3CR3T\n",
        "A: S3CR3T: x\n",
        "A: !var:default='S3CR3T\n",
        "A: !var:default=S3CR3T x\n",
        "A: !default-on-error='S3CR3T' x\n",
        "A: S3CR3T\nA: S3CR3T\n",
        "A: S3CR3T\x1b\n",
        "A: S3CR3T$x\n",
        "A: &a S3CR3T\n",
    ] {
        world.stage.write("secrets.yml", yaml);
        let said = outcome(world.run(&["--", "true"]));
        assert!(!one_error(&said).contains("S3CR3T"), "{yaml}: {said:?}");
        let said = outcome(world.stage.summon(&["-d", "true"]));
        assert!(!said.out.contains("S3CR3T") && !said.err.contains("S3CR3T"), "{yaml}: {said:?}");
    }
}

#[test]
fn odd_files_are_read() {
    let world = World::new();
    for (what, bytes) in [
        ("a byte order mark", b"\xef\xbb\xbfA: 1\n".to_vec()),
        ("CRLF", b"A: 1\r\nB: 2\r\n".to_vec()),
        ("a tab behind the colon", b"A:\t1\n".to_vec()),
        ("no end of the last line", b"B: 2\nA: 1".to_vec()),
        ("quotes and comments", b"# x\n'A': \"1\" # y\n".to_vec()),
        ("braces", b"{A: 1, \"B\": 2}".to_vec()),
    ] {
        world.stage.write("secrets.yml", &bytes);
        let said = outcome(world.run(&["--", "sh", "-c", "echo \"$A\""]));
        assert_eq!((said.code, said.out.as_str()), (Some(0), "1\n"), "{what}: {said:?}");
    }
    world.stage.write("secrets.yml", "");
    assert_eq!(outcome(world.run(&["--", "echo", "run"])).out, "run\n");
}
