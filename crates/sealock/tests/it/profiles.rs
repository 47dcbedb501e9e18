//! Certificate profiles and trust labels, by the program.

use sealock_testkit::clients::{skip_without, skip_without_engine, skip_without_root};
use sealock_testkit::docker::Image;
use sealock_testkit::wait;

use crate::support::{Home, text, tool};

const SETTINGS: &str =
    "[profiles.vpn]\nusages = [\"client\"]\nlife = \"2h\"\nkey_types = [\"p384\"]\n";

#[test]
fn certificates_are_ordered_by_profile_and_say_so() {
    if skip_without(&["openssl"]) {
        return;
    }
    let home = Home::initialised();
    home.ok(&["cert", "issue", "release", "--profile", "code", "--out", "release"]);
    let address = ["--email", "jo@corp.example"];
    home.ok(&[&["cert", "issue", "jo", "--profile", "email", "--out", "jo"], &address[..]].concat());
    let shown = home.ok(&["cert", "show", "release"]);
    assert!(
        shown.contains("Usage        code\n") && shown.contains("Profile      code\n"),
        "{shown}"
    );
    let listed = home.ok(&["cert", "list"]);
    let row = listed.lines().find(|line| line.starts_with("jo ")).unwrap();
    assert_eq!(row.split_whitespace().nth(3), Some("email"), "{listed}");
    let report = home.json(&["cert", "report"]);
    let all = report["certificates"].as_array().unwrap();
    let jo = all.iter().find(|one| one["name"] == "jo").unwrap();
    assert_eq!((&jo["profile"], &jo["usages"]), (&"email".into(), &serde_json::json!(["email"])));

    let file = |name: &str| home.path(name).display().to_string();
    let (leaf, key, root) =
        (file("release/tls.crt"), file("release/tls.key"), file("release/ca.crt"));
    let (program, signature) = (home.write("app.tar", "a program"), file("app.p7s"));
    let sign = ["cms", "-sign", "-binary", "-md", "sha256", "-outform", "DER", "-in", &program];
    // What is above it goes along; the signer itself does already.
    let chain = std::fs::read_to_string(&leaf).unwrap();
    let above = chain.split_inclusive("-----END CERTIFICATE-----\n").skip(1).collect::<String>();
    let above = home.write("above.pem", &above);
    let with = ["-signer", &leaf, "-inkey", &key, "-certfile", &above, "-out", &signature];
    tool("openssl", &[&sign[..], &with].concat());
    let verify = ["cms", "-verify", "-binary", "-inform", "DER", "-in", &signature, "-content"];
    let against = [&program, "-CAfile", &root, "-purpose", "any", "-out", "/dev/null"];
    tool("openssl", &[&verify[..], &against].concat());

    for (wrong, part) in [
        (&["--profile", "code", "--usage", "server"][..], "cannot be used with"),
        (&["--profile", "ocsp"], "the authority's own"),
        (&["--profile", "cdoe"], "did you mean `code`"),
        (&["--profile", "email"], "with dns names"),
    ] {
        let output = home.run(&[&["cert", "issue", "x", "--out", "x"], wrong].concat());
        let said = text(&output.stderr);
        assert!(said.contains(part), "{wrong:?}: {said}");
        assert_eq!(output.status.code(), Some(64), "{wrong:?}: {said}");
    }
    assert!(!home.path("x/tls.key").exists());
}

#[test]
fn profiles_of_the_settings_are_checked_before_anything_starts() {
    let home = Home::initialised();
    let settings = home.write("sealock.toml", SETTINGS);
    let by = |settings: &str, more: &[&str]| home.run(&[&["--config", settings], more].concat());
    assert!(by(&settings, &["config", "check"]).status.success());
    let issue = ["cert", "issue", "laptop", "--profile", "vpn", "--out", "laptop"];
    let refused = text(&by(&settings, &issue).stderr);
    assert!(refused.contains("p384"), "{refused}");
    let made = by(&settings, &[&issue[..], &["--key-type", "p384"]].concat());
    assert!(made.status.success(), "{}", text(&made.stderr));
    for (wrong, part) in [
        ("[profiles.vpn]\nusage = [\"client\"]\n", "did you mean `usages`"),
        ("[profiles.vpn]\nextends = \"clinet\"\n", "did you mean `client`"),
        ("[acme]\nprofiles = [\"code\"]\n", "nothing about code"),
    ] {
        let settings = home.write("wrong.toml", wrong);
        let output = by(&settings, &["config", "check"]);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(part), "{wrong}: {said}");
    }
}

#[test]
fn a_container_trusts_what_is_added_without_a_restart() {
    if skip_without_engine() || skip_without_root() || skip_without(&["openssl"]) {
        return;
    }
    let home = Home::new();
    let _daemon = home.up();
    let path = "/etc/ssl/certs/company.pem";
    let label = format!("sealock.trust.company.path={path}");
    let container = Image::busybox().start(&[&home.scope_label(), "--label", &label]);
    let roots = || {
        let read = container.exec(&["cat", path]);
        text(&read.stdout).matches("BEGIN CERTIFICATE").count()
    };
    let until = |count: usize| {
        wait::until("the bundle", std::time::Duration::from_secs(60), || {
            (roots() == count).then_some(())
        });
    };
    until(1);
    let started = container.inspect("{{.State.StartedAt}}");
    assert_eq!(text(&container.exec(&["cat", path]).stdout), home.ok(&["ca", "bundle"]));

    let root = home.path("corp.pem").display().to_string();
    let key = home.path("corp.key").display().to_string();
    let make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let subject = ["-subj", "/CN=Corp Root", "-keyout", &key, "-out", &root, "-days", "30"];
    let is_ca = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"];
    tool("openssl", &[&make[..], &subject, &is_ca].concat());
    home.ok(&["trust", "add", &root, "--name", "corp"]);
    until(2);
    let status = home.ok(&["status"]);
    let row = status.lines().find(|line| line.contains(path)).unwrap();
    assert!(row.contains("company") && row.contains("delivered"), "{status}");
    home.ok(&["trust", "remove", "corp"]);
    until(1);
    assert_eq!(container.inspect("{{.State.StartedAt}}"), started, "it was not restarted");
}
