//! `sealock config schema`, as editors use it: taplo, the linter of TOML, checks settings by it.

use std::path::Path;
use std::process::Command;

use sealock_testkit::clients;

use crate::support::{Home, text};

/// Whether taplo takes the file, and what it says.
fn linted(home: &Home, schema: &str, file: &str) -> (bool, String) {
    let output = Command::new("taplo")
        .args(["check", "--no-auto-config", "--schema", &format!("file://{schema}"), file])
        .current_dir(home.path("."))
        .output()
        .unwrap();
    (output.status.success(), text(&output.stderr) + &text(&output.stdout))
}

#[test]
fn taplo_checks_settings_by_the_schema() {
    if clients::skip_without(&["taplo"]) {
        return;
    }
    let home = Home::new();
    // It needs neither state nor settings that are good.
    let bad = home.write("bad.toml", "[profiles.vpn]\nusages = [\"client\"]\nlief = \"12h\"\n");
    let schema = home.ok(&["--config", &bad, "config", "schema"]);
    let schema = home.write("schema.json", &schema);
    assert!(!home.state().exists());
    let good = home.write("good.toml", "[profiles.vpn]\nusages = [\"client\"]\nlife = \"12h\"\n");
    let (taken, said) = linted(&home, &schema, &good);
    assert!(taken, "{said}");
    home.ok(&["--config", &good, "config", "check"]);
    for (settings, word) in [
        ("[profiles.vpn]\nusages = [\"client\"]\nlief = \"12h\"\n", "lief"),
        ("[profiles.vpn]\nusages = [\"sever\"]\n", "sever"),
        ("[profiles.vpn]\nlife = \"12h\"\n", ""),
        ("[profiles.server]\nusages = [\"client\"]\n", "usages"),
        ("[api]\nlisten = 8443\n", "8443"),
    ] {
        let file = home.write("bad.toml", settings);
        let (taken, said) = linted(&home, &schema, &file);
        assert!(!taken && said.contains(word), "{settings}: {said}");
        home.fails(64, &["--config", &file, "config", "check"]);
    }
    // A file may name its schema itself.
    let file = home.write(
        "sealock.toml",
        &format!(
            "#:schema file://{schema}\n[profiles.vpn]\nusages = [\"client\"]\nlief = \"12h\"\n"
        ),
    );
    let output = Command::new("taplo").args(["check", "--no-auto-config", &file]).output().unwrap();
    assert!(!output.status.success() && text(&output.stderr).contains("lief"), "{output:?}");
}

#[test]
fn settings_in_the_guides_are_good_by_the_schema() {
    if clients::skip_without(&["taplo"]) {
        return;
    }
    let home = Home::new();
    let schema = home.ok(&["config", "schema"]);
    let sections: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let sections = sections["properties"].as_object().unwrap();
    let schema = home.write("schema.json", &schema);
    let guides = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides");
    let mut tried = 0;
    for guide in guides.read_dir().unwrap() {
        let page = std::fs::read_to_string(guide.unwrap().path()).unwrap();
        // Every second part is within the fences.
        for block in page.split("\n```").skip(1).step_by(2) {
            let (kind, block) = block.split_once('\n').unwrap();
            // What is run as written is checked there.
            if kind == "console" {
                continue;
            }
            let first = block.lines().find(|line| line.starts_with('['));
            let section = first.and_then(|line| line[1..].split(['.', ']']).next());
            if !section.is_some_and(|section| sections.contains_key(section)) {
                continue;
            }
            let file = home.write("block.toml", block);
            let (taken, said) = linted(&home, &schema, &file);
            assert!(taken, "{block}\n{said}");
            tried += 1;
        }
    }
    assert!(tried >= 8, "only {tried} blocks of settings were found");
}
