//! `cert publish` and the label that asks for it, with a real slapd.

use std::fs;
use std::path::Path;

use sealock_testkit::clients::{skip_without, skip_without_engine};
use sealock_testkit::docker::Image;
use sealock_testkit::slapd::{MANAGER, PASSWORD, SUFFIX, Slapd, SlapdTls};
use sealock_testkit::wait::until;

use crate::corporate::{Company, NAMES, request, trusting};
use crate::support::{Home, PATIENCE};

/// A slapd whose certificate is of this installation's CA; `None` when it is not installed.
pub(crate) fn slapd(home: &Home) -> Option<Slapd> {
    let absent = !Path::new("/usr/sbin/slapd").exists() && skip_without(&["slapd"]);
    if absent || skip_without(&["ldapsearch"]) {
        return None;
    }
    home.ok(&["cert", "issue", "directory", "--ip", "127.0.0.1"]);
    let file = |name: &str| home.path("directory").join(name);
    let tls =
        SlapdTls { certificate: file("tls.crt"), key: file("tls.key"), clients: file("ca.crt") };
    let folder = home.path("slapd");
    fs::create_dir_all(&folder).unwrap();
    Some(Slapd::start(&folder, &tls))
}

/// A settings file that names it `corp`.
fn settings(home: &Home, slapd: &Slapd) -> String {
    home.write_private("password", PASSWORD);
    home.write(
        "sealock.toml",
        &format!(
            "[directory.corp]\nurl = \"ldaps://127.0.0.1:{}\"\ndn = \"cn={{name}},ou=devices,{SUFFIX}\"\n\
             bind_dn = \"{MANAGER}\"\npassword_file = \"password\"\ncreate = \"device\"\n",
            slapd.tls
        ),
    )
}

#[test]
fn what_contradicts_itself_is_told_before_anybody_is_asked() {
    let home = Home::initialised();
    home.ok(&["cert", "issue", "web"]);
    let dn = "cn=web,dc=corp";
    let all: [&[&str]; 8] = [
        &[],
        &["--dn", dn],
        &["--ldap", "ldaps://dir.example"],
        &["--ldap", "ldaps://dir.example", "--dn", dn, "--directory", "corp"],
        &["--ldap", "ldaps://dir.example", "--dn", dn, "--bind-dn", dn],
        &["--directory", "corp", "--start-tls"],
        &["--ldap", "ldaps://dir.example", "--dn", "web"],
        &["--ldap", "ldap://dir.example", "--dn", dn],
    ];
    for arguments in all {
        home.fails(64, &[&["cert", "publish", "web"], arguments].concat());
    }
    let said = home.fails(1, &["cert", "publish", "web", "--directory", "corp"]);
    assert!(said.contains("no directory `corp`") && said.contains("hint:"), "{said}");
    let said =
        home.fails(1, &["cert", "publish", "web", "--ldap", "ldap://127.0.0.1:1", "--dn", dn]);
    assert!(said.contains("cannot connect to ldap://127.0.0.1:1"), "{said}");
    assert!(said.contains("hint: is the directory running"), "{said}");
}

#[test]
fn a_labelled_certificate_is_published_and_gone_when_it_is_revoked() {
    if skip_without_engine() {
        return;
    }
    let home = Home::initialised();
    let Some(slapd) = slapd(&home) else { return };
    let settings = settings(&home, &slapd);
    let image = Image::busybox();
    let daemon = home.up_with(&["--config", &settings]);
    let rule = "permit(principal, action == Sealock::Action::\"Directory::Publish\", resource) \
                when { context has directory && context.directory == \"corp\" };\n";
    fs::write(home.state().join("policy/publish.cedar"), rule).unwrap();
    home.ok(&["policy", "reload"]);
    let container = image.start(&[
        &home.scope_label(),
        "--tmpfs=/run",
        "--label=sealock.cert.tls.publish=corp",
    ]);
    let name = container.inspect("{{.Name}}").trim_start_matches('/').to_owned();
    let dn = format!("cn={name}/tls,ou=devices,{SUFFIX}");
    until("the entry", PATIENCE, || slapd.search(&dn, &[]));
    assert_eq!(slapd.certificates(&dn).len(), 1);
    let shown = home.json(&["cert", "show", &format!("{name}/tls")]);
    let said = home.ok(&["cert", "revoke", shown["serial"].as_str().unwrap()]);
    assert!(said.contains("published in the directory corp"), "{said}");
    until("its end in the directory", PATIENCE, || {
        slapd.certificates(&dn).is_empty().then_some(())
    });
    let log = home.ok(&["audit", "tail"]);
    assert!(log.contains("cert-published"), "{log}");
    assert_eq!(home.json(&["status"])["alarms"].as_array().map(Vec::len), Some(0));
    drop(container);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn what_the_company_has_signed_is_published_by_label_and_gone_when_it_is_forgotten() {
    if skip_without_engine() || skip_without(&["openssl"]) {
        return;
    }
    let home = trusting();
    let company = Company { home: &home };
    let Some(slapd) = slapd(&home) else { return };
    let settings = settings(&home, &slapd);
    let image = Image::busybox();
    let _daemon = home.up_with(&["--config", &settings]);
    let rules = "permit (principal, action == Sealock::Action::\"Cert::Use\", resource);\n\
                 permit (principal, action == Sealock::Action::\"Directory::PublishImported\", resource == Sealock::ImportedCertificate::\"shop\")\n\
                 when { context has directory && context.directory == \"corp\" };\n";
    fs::write(home.state().join("policy/publish.cedar"), rules).unwrap();
    home.ok(&["policy", "reload"]);
    let import = || {
        let csr = request(&home, "shop", &["--replace"]);
        let leaf = company.sign(&csr, NAMES);
        company.send_back("pem", "shop", &leaf);
        let der = fs::read(company.der("leaf")).unwrap();
        data_encoding::BASE64.encode(&der)
    };
    let first = import();
    let labels = ["imported=shop", "publish=corp"];
    let labels = labels.map(|label| format!("--label=sealock.cert.web.{label}"));
    let _container = image.start(&[&home.scope_label(), "--tmpfs=/run", &labels[0], &labels[1]]);
    let dn = format!("cn=shop,ou=devices,{SUFFIX}");
    let there = |wanted: &str| {
        until("the entry", PATIENCE, || {
            slapd.search(&dn, &[])?;
            (slapd.certificates(&dn) == [wanted.to_owned()]).then_some(())
        });
    };
    there(&first);
    let second = import();
    assert_ne!(second, first);
    there(&second);
    home.ok(&["cert", "request", "shop", "--forget"]);
    until("its end in the directory", PATIENCE, || {
        slapd.certificates(&dn).is_empty().then_some(())
    });
    let log = home.ok(&["--json", "audit", "export"]);
    assert_eq!(log.matches("\"cert-published\"").count(), 3, "{log}");
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
}
