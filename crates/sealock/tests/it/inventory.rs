//! `cert list` by its questions, and `cert report` as text, JSON and a page.

use std::fs;

use sealock_testkit::clients::skip_without;

use crate::support::{Home, mode, tool};

/// Reads a page as a browser would, in so far as it is strict about it: what is open and what is closed, which
/// attributes there are, and the cells of each row.
const READER: &str = r#"
import html.parser, json, sys
class Reader(html.parser.HTMLParser):
    void = {"meta"}
    def __init__(self):
        super().__init__()
        self.open, self.rows, self.attributes, self.tags = [], [], set(), set()
    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attributes)
        if tag not in self.void: self.open.append(tag)
        if tag == "tr": self.rows.append([])
        if tag in ("td", "th"): self.rows[-1].append("")
    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag
    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"): self.rows[-1][-1] += data
reader = Reader()
reader.feed(open(sys.argv[1], encoding="utf-8").read())
reader.close()
assert reader.open == [], reader.open
print(json.dumps({"rows": reader.rows, "tags": sorted(reader.tags), "attributes": sorted(reader.attributes)}))
"#;

const HOSTILE: &str = "<script>alert(1)</script>'\"&amp;/tls";

fn home() -> Home {
    let home = Home::initialised();
    home.ok(&["cert", "issue", "web", "--out", "web"]);
    home.ok(&["cert", "renew", "web", "--out", "web"]);
    let gone = home.json(&["cert", "issue", "gone", "--key-type", "rsa3072", "--out", "gone"]);
    let serial = gone["serial"].as_str().unwrap();
    home.ok(&["cert", "revoke", serial, "--reason", "key-compromise"]);
    home.ok(&["cert", "issue", "shop/tls", "--dns", "shop.test", "--out", "shop"]);
    home.ok(&["cert", "issue", HOSTILE, "--dns", "evil.test", "--out", "evil"]);
    home
}

fn listed(home: &Home, more: &[&str]) -> Vec<String> {
    let found = home.json(&[&["cert", "list"][..], more].concat());
    let all = found["certificates"].as_array().unwrap().iter();
    all.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn lists_answer_what_is_asked() {
    let home = home();
    assert_eq!(listed(&home, &["--container", "shop"]), ["shop/tls"]);
    assert_eq!(listed(&home, &["--only", "revoked"]), ["gone"]);
    assert_eq!(listed(&home, &["--only", "replaced"]), ["web"]);
    assert_eq!(listed(&home, &["--only", "replaced", "--name", "gone"]), [""; 0]);
    let shown = home.ok(&["ca", "show"]);
    let id = shown
        .lines()
        .filter_map(|line| line.trim().strip_prefix("id "))
        .next_back()
        .unwrap()
        .trim();
    let all = listed(&home, &["--all"]);
    assert_eq!(listed(&home, &["--all", "--issuer", id]), all);
    assert!(all.len() >= 5);
    home.fails(64, &["cert", "list", "--all", "--only", "valid"]);
    let said = home.fails(1, &["cert", "list", "--issuer", "0011223344556677"]);
    assert!(said.contains("ca show"), "{said}");
}

#[test]
fn a_report_is_text_json_and_a_page_of_the_same() {
    let home = home();
    let json: serde_json::Value =
        serde_json::from_str(&home.ok(&["cert", "report", "--format", "json"])).unwrap();
    assert_eq!(json["format"], 1);
    assert_eq!(json["totals"]["revoked"], 1);
    assert_eq!(json["totals"]["replaced"], 1);
    let certificates = json["certificates"].as_array().unwrap();
    assert_eq!(json["totals"]["all"], certificates.len());
    let gone = certificates.iter().find(|one| one["name"] == "gone").unwrap();
    assert_eq!((&gone["algorithm"], &gone["bits"]), (&"RSA".into(), &3072.into()));
    assert_eq!((&gone["state"], &gone["reason"]), (&"revoked".into(), &"key-compromise".into()));
    assert_eq!(home.json(&["cert", "report"])["totals"], json["totals"]);

    let text = home.ok(&["cert", "report"]);
    for expected in [
        "revoked (key-compromise)",
        "CONTAINER",
        "Issuers\n",
        "RSA ",
        "CN=shop.test",
        HOSTILE,
        "To do\n\nnothing\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let delivered = text.lines().find(|line| line.starts_with("shop/tls")).unwrap();
    assert!(delivered.split_whitespace().any(|word| word == "shop"), "its container: {delivered}");
    let short = home.ok(&["cert", "report", "--limit", "1"]);
    assert!(short.contains("more, which are left out"), "{short}");
    if skip_without(&["python3"]) {
        return;
    }
    home.ok(&["cert", "report", "--format", "html", "--out", "report.html"]);
    let path = home.path("report.html");
    assert_eq!(mode(&path), 0o600);
    let page = tool("python3", &["-c", READER, path.to_str().unwrap()]);
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    let rows = page["rows"].as_array().unwrap();
    let evil = rows.iter().find(|row| row[0] == HOSTILE).unwrap();
    assert_eq!((&evil[1], evil.as_array().unwrap().len()), (&"valid".into(), 11));
    for one in certificates {
        assert!(rows.iter().any(|row| row[10] == one["serial"]), "{one}");
    }
    let tags = page["tags"].as_array().unwrap();
    assert!(!tags.contains(&"script".into()), "{tags:?}");
    let attributes = page["attributes"].as_array().unwrap();
    for one in attributes {
        let known = ["charset", "class", "content", "http-equiv", "lang", "name", "scope"];
        assert!(known.contains(&one.as_str().unwrap()), "{one}");
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.contains("default-src 'none'"));
}
