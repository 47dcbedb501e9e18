//! Rules, refusals and what explains them.

use std::fs;

use crate::support::{Home, tool};

#[test]
fn a_broken_rule_is_shown_with_line_and_caret() {
    let home = Home::new();
    let file = home.write(
        "bad.cedar",
        "permit (principal,\n  action == Sealock::Action::\"Cert::Isue\",\n  resource);\n",
    );
    let said = home.fails(1, &["policy", "check", &file]);
    assert!(said.contains("bad.cedar:"), "{said}");
    let good = home.write("good.cedar", "permit (principal, action, resource);\n");
    assert!(home.ok(&["policy", "check", &good]).contains("1 rules"));
}

#[test]
fn a_forbidden_name_is_refused_and_explained() {
    let home = Home::initialised();
    let rule = "@id(\"no-secrets\")\nforbid (principal, action == Sealock::Action::\"Cert::Issue\", resource in Sealock::Domain::\"secret.test\");\n";
    fs::write(home.state().join("policy/mine.cedar"), rule).unwrap();
    home.ok(&["cert", "issue", "a", "--dns", "a.open.test"]);
    let output = home.run(&["--json", "cert", "issue", "b", "--dns", "b.secret.test"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!home.path("b").exists());
    let log = home.ok(&["--json", "audit", "tail", "-n", "5"]);
    let denied = log.lines().rfind(|line| line.contains("\"denied\"")).unwrap();
    let denied: serde_json::Value = serde_json::from_str(denied).unwrap();
    let explained = home.ok(&["policy", "explain", denied["request"].as_str().unwrap()]);
    assert!(explained.contains("no-secrets") && explained.contains("b.secret.test"), "{explained}");
}

#[test]
fn a_changed_audit_log_is_found() {
    if sealock_testkit::clients::skip_without(&["python3"]) {
        return;
    }
    let home = Home::initialised();
    home.ok(&["cert", "issue", "a"]);
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
    let exported = home.ok(&["audit", "export"]);
    let mut previous = "0".repeat(64);
    for line in exported.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["previous"], previous.as_str());
        let path = home.write("line", line);
        previous = tool("sha256sum", &[&path]).split(' ').next().unwrap().to_owned();
    }
    let script = "import sqlite3,sys\n\
        db=sqlite3.connect(sys.argv[1]); n=0\n\
        for (t,) in db.execute(\"select name from sqlite_master where type='table'\").fetchall():\n\
        \x20columns=[c[1] for c in db.execute(f'pragma table_info({t})')]\n\
        \x20if 'value' not in columns: continue\n\
        \x20n+=db.execute(f\"update {t} set value=cast(replace(cast(value as text),'cert-issued','cert-issueD') as blob) where instr(value,cast('cert-issued' as blob))\").rowcount\n\
        db.commit(); assert n\n";
    let database = home.state().join("state.db");
    tool("python3", &["-c", script, database.to_str().unwrap()]);
    let said = home.fails(1, &["audit", "verify"]);
    assert!(said.contains("audit"), "{said}");
}
