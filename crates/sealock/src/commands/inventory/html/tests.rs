use sealock_control::command::{
    CertificateReport, ImportedReport, ReportedCertificate, ToDo, Totals,
};
use sealock_core::{SubjectName, Timestamp};

use super::*;

const HOSTILE: &str = "</td><script src=//evil.example/x>alert(1)</script><img src=x onerror='a()'>\"&amp;\u{1b}[2J\u{202e}\0";

fn report() -> InventoryReport {
    let made = Timestamp::from_secs(1_800_000_000);
    let certificate = CertificateReport {
        serial: HOSTILE.into(),
        name: HOSTILE.into(),
        identity: None,
        names: vec![SubjectName::Email(HOSTILE.into()), SubjectName::Uri(HOSTILE.into())],
        common_name: Some(HOSTILE.into()),
        issuer: HOSTILE.into(),
        usages: Vec::new(),
        profile: "server".into(),
        key: HOSTILE.into(),
        issued: made,
        not_before: made,
        not_after: made,
        by: HOSTILE.into(),
        state: HOSTILE.into(),
        replaces: None,
        replaced_by: None,
        revoked_at: Some(made),
        reason: Some(HOSTILE.into()),
        fingerprint: None,
        pem: None,
        published: Vec::new(),
        imported: Some(ImportedReport {
            subject: HOSTILE.into(),
            issuer: HOSTILE.into(),
            root: Some(HOSTILE.into()),
            containers: vec![HOSTILE.into()],
            renewal_due: made,
        }),
    };
    InventoryReport {
        format: InventoryReport::FORMAT,
        made,
        version: HOSTILE.into(),
        trust_domain: HOSTILE.into(),
        totals: Totals::default(),
        keys: Vec::new(),
        issuers: Vec::new(),
        certificates: vec![ReportedCertificate {
            certificate,
            algorithm: HOSTILE.into(),
            bits: 1,
            seconds_left: -1,
            container: Some(HOSTILE.into()),
        }],
        left_out: 3,
        to_do: vec![ToDo {
            kind: HOSTILE.into(),
            subject: HOSTILE.into(),
            reason: HOSTILE.into(),
            hint: Some(HOSTILE.into()),
            until: None,
        }],
        notes: vec![HOSTILE.into()],
    }
}

#[test]
fn what_is_escaped_is_text_anywhere() {
    assert_eq!(escaped("<a b=\"c\" d='e'>&"), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
    assert_eq!(
        escaped("a\u{202e}b\u{200b}c\u{7f}d\ne\u{feff}"),
        "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}"
    );
    assert_eq!(escaped("Zürich 日本 ok"), "Zürich 日本 ok");
}

/// Tags of the page are those that this module writes, however hostile every single text is.
#[test]
fn no_text_becomes_a_tag() {
    let made = page(&report());
    let mut tags: Vec<&str> = made
        .split('<')
        .skip(1)
        .map(|rest| {
            rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '/' && c != '!').next().unwrap()
        })
        .collect();
    tags.sort_unstable();
    tags.dedup();
    for tag in &tags {
        let known = [
            "!DOCTYPE", "html", "head", "meta", "title", "style", "body", "h1", "h2", "p",
            "section", "div", "table", "thead", "tbody", "tr", "th", "td",
        ];
        assert!(known.contains(&tag.trim_start_matches('/')), "<{tag}>");
    }
    // Every text of the report is there, and as text.
    let shown = escaped(HOSTILE);
    assert_eq!(made.matches(shown.as_str()).count(), 4 + 10 + 4);
    assert!(!made.contains('\u{1b}') && !made.contains('\0') && !made.contains('\u{202e}'));
    assert!(made.contains("3 more certificates are left out."));
}

#[test]
fn the_page_loads_nothing() {
    let made = page(&report());
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
    let at = made.find(policy).unwrap();
    assert!(at < made.find("<style>").unwrap(), "the policy comes before what it is about");
    for reference in ["url(", "@import", "src=", "href="] {
        assert!(!STYLE.contains(reference), "{reference}");
    }
    assert!(!HEAD.contains("href=") && !HEAD.contains("src="));
    assert!(!STYLE.contains('<'));
}
