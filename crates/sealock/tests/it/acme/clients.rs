//! certbot, lego, dehydrated, uacme and Caddy, as Debian has them, and certbot as PyPI has it: each gets, renews and revokes a
//! certificate, and a server is started with it.

use std::fs;
use std::process::{Command, Stdio};

use sealock_testkit::clients::{skip_without, skip_without_root};
use sealock_testkit::wait::until;

use super::{Running, Scene, good, script};
use crate::support::PATIENCE;

#[test]
fn certbot_of_debian_gets_renews_and_revokes() {
    // Others may stand before it on the path.
    if !skip_without(&["certbot", "openssl", "curl"]) {
        certbot("/usr/bin/certbot", &[]);
    }
}

#[test]
fn certbot_of_pypi_gets_renews_and_revokes() {
    if !skip_without(&["python-with-certbot", "openssl", "curl"]) {
        let main = "import sys; from certbot.main import main; sys.exit(main())";
        certbot("python-with-certbot", &["-c", main]);
    }
}

fn certbot(program: &str, before: &[&str]) {
    let scene = Scene::start();
    let certbot = |arguments: &[&str]| {
        let mut command = scene.client(program);
        command.args(before).args(arguments).args(["--non-interactive", "--server", &scene.server]);
        for folder in ["config", "work", "logs"] {
            command.arg(format!("--{folder}-dir")).arg(scene.path(&format!("certbot/{folder}")));
        }
        command.env("REQUESTS_CA_BUNDLE", &scene.root);
        command.output().unwrap()
    };
    let port = scene.http.to_string();
    let by_http = ["--standalone", "--http-01-port", &port, "--http-01-address", "127.0.0.1"];
    let account = ["--agree-tos", "--email", "jo@corp.example"];
    let names = ["-d", "certbot.acme.test", "-d", "www.certbot.acme.test"];
    good(&certbot(&[&["certonly"], &by_http[..], &account, &names].concat()));
    let live = scene.path("certbot/config/live/certbot.acme.test/fullchain.pem");
    scene.verifies(&live, "www.certbot.acme.test");
    let first = scene.serial("certbot.acme.test");
    good(&certbot(&["renew", "--force-renewal", "--no-random-sleep-on-renew"]));
    let second = scene.serial("certbot.acme.test");
    assert_ne!(first, second);
    scene.serves(&live, &live.with_file_name("privkey.pem"), "www.certbot.acme.test");
    let path = live.to_str().unwrap();
    let how = ["--reason", "superseded", "--no-delete-after-revoke"];
    good(&certbot(&[&["revoke", "--cert-path", path], &how[..]].concat()));
    assert_eq!((scene.state(&second), scene.state(&first)), ("revoked".into(), "valid".into()));
    // A name that no rule gives, and one that leads to somebody else.
    let refused = certbot(&[&["certonly", "-d", "www.example.com"], &by_http[..]].concat());
    assert!(!refused.status.success());
    // Its own words for it are in its log.
    let said = fs::read_to_string(scene.path("certbot/logs/letsencrypt.log")).unwrap();
    assert!(said.contains("is denied") && said.contains("policy explain"), "{said}");
    good(&certbot(&["update_account", "--email", "other@corp.example"]));
    good(&certbot(&["unregister"]));
}

#[test]
fn lego_gets_renews_and_revokes_by_http_and_by_tls() {
    if skip_without(&["lego", "openssl", "curl"]) {
        return;
    }
    let scene = Scene::start();
    let (http, tls) = (format!("127.0.0.1:{}", scene.http), format!("127.0.0.1:{}", scene.tls));
    let by_http = ["--http", "--http.port", &http];
    let by_tls = ["--tls", "--tls.port", &tls];
    for (name, how) in [("lego.acme.test", &by_http), ("lego-tls.acme.test", &by_tls)] {
        let lego = |arguments: &[&str]| {
            let mut command = scene.client("lego");
            command.args(["--server", &scene.server, "--accept-tos", "--email", "jo@corp.example"]);
            command.arg("--path").arg(scene.path("lego")).args(["--domains", name]).args(how);
            command.args(arguments).env("LEGO_CA_CERTIFICATES", &scene.root);
            good(&command.output().unwrap())
        };
        lego(&["run"]);
        let chain = scene.path(&format!("lego/certificates/{name}.crt"));
        scene.verifies(&chain, name);
        let first = scene.serial(name);
        lego(&["renew", "--days", "1000", "--no-random-sleep"]);
        let second = scene.serial(name);
        assert_ne!(first, second);
        scene.serves(&chain, &chain.with_extension("key"), name);
        lego(&["revoke"]);
        assert_eq!(scene.state(&second), "revoked");
    }
}

#[test]
fn dehydrated_gets_renews_and_revokes_by_http_and_a_wildcard_by_dns() {
    if skip_without(&["dehydrated", "openssl", "curl", "busybox"]) {
        return;
    }
    let scene = Scene::start();
    let _web = scene.web();
    let base = scene.path("dehydrated");
    fs::create_dir_all(&base).unwrap();
    let records = scene.names.folder.display();
    let hook = script(
        &scene,
        "hook.sh",
        &format!(
            "#!/bin/sh\ncase $1 in\n\
             deploy_challenge) [ -z \"$4\" ] || echo \"$4\" >> \"{records}/_acme-challenge.$2\" ;;\n\
             clean_challenge) rm -f \"{records}/_acme-challenge.$2\" ;;\nesac\n"
        ),
    );
    let config = |challenge: &str| {
        let well_known = scene.path("web/.well-known/acme-challenge");
        let hook = if challenge == "dns-01" { hook.as_str() } else { "" };
        let (base, root, server) = (base.display(), &scene.root, &scene.server);
        scene.home.write(
            &format!("{challenge}.conf"),
            &format!(
                "CA={server}\nBASEDIR={base}\nWELLKNOWN={}\nCHALLENGETYPE={challenge}\nHOOK={hook}\n\
                 CURL_OPTS=\"--cacert {root}\"\nCONTACT_EMAIL=jo@corp.example\n",
                well_known.display()
            ),
        )
    };
    let (by_http, by_dns) = (config("http-01"), config("dns-01"));
    let dehydrated = |config: &str, arguments: &[&str]| {
        let mut command = scene.client("dehydrated");
        good(&command.args(["--config", config]).args(arguments).output().unwrap())
    };
    dehydrated(&by_http, &["--register", "--accept-terms"]);
    let name = "dehydrated.acme.test";
    dehydrated(&by_http, &["--cron", "--domain", name]);
    let chain = base.join("certs").join(name).join("fullchain.pem");
    scene.verifies(&chain, name);
    let first = scene.serial(name);
    dehydrated(&by_http, &["--cron", "--force", "--domain", name]);
    let second = scene.serial(name);
    assert_ne!(first, second);
    scene.serves(&chain, &chain.with_file_name("privkey.pem"), name);
    let own = base.join("certs").join(name).join("cert.pem");
    dehydrated(&by_http, &["--revoke", own.to_str().unwrap()]);
    assert_eq!(scene.state(&second), "revoked");

    let wildcard = "*.wild.acme.test";
    dehydrated(&by_dns, &["--cron", "--domain", wildcard, "--alias", "wild"]);
    scene.verifies(&base.join("certs/wild/fullchain.pem"), wildcard);
}

#[test]
fn uacme_gets_renews_and_revokes() {
    if skip_without(&["uacme", "openssl", "curl", "busybox", "unshare"]) || skip_without_root() {
        return;
    }
    let scene = Scene::start();
    let _web = scene.web();
    let answers = scene.path("web/.well-known/acme-challenge");
    let hook = script(
        &scene,
        "hook.sh",
        &format!(
            "#!/bin/sh\n[ \"$2\" = http-01 ] || exit 1\ncase $1 in\n\
             begin) printf %s \"$5\" > \"{0}/$4\" ;;\ndone|failed) rm -f \"{0}/$4\" ;;\nesac\n",
            answers.display()
        ),
    );
    // It trusts what the system trusts. In a mount namespace of its own that is our root.
    let inside =
        format!("mount --bind {} /etc/ssl/certs/ca-certificates.crt && exec \"$@\"", scene.root);
    let uacme = |arguments: &[&str]| {
        let mut command = scene.client("unshare");
        command.args(["--mount", "sh", "-c", &inside, "uacme", "uacme", "--yes"]);
        command.args(["--acme-url", &scene.server, "--confdir"]).arg(scene.path("uacme"));
        command.args(arguments);
        good(&command.output().unwrap())
    };
    uacme(&["new", "jo@corp.example"]);
    let name = "uacme.acme.test";
    uacme(&["--hook", &hook, "issue", name]);
    let chain = scene.path(&format!("uacme/{name}/cert.pem"));
    scene.verifies(&chain, name);
    let first = scene.serial(name);
    uacme(&["--hook", &hook, "--force", "issue", name]);
    let second = scene.serial(name);
    assert_ne!(first, second);
    scene.serves(&chain, &scene.path(&format!("uacme/private/{name}/key.pem")), name);
    uacme(&["revoke", chain.to_str().unwrap()]);
    assert_eq!(scene.state(&second), "revoked");
}

#[test]
fn caddy_serves_with_a_certificate_that_it_got_and_renews_it() {
    if skip_without(&["caddy", "curl"]) {
        return;
    }
    // Caddy renews when a third of a life is left.
    let scene = Scene::with("[acme.profiles.server]\nlife = \"90s\"\n");
    let name = "caddy.acme.test";
    let file = scene.home.write(
        "Caddyfile",
        &format!(
            "{{\n admin off\n http_port {}\n https_port {}\n acme_ca {}\n acme_ca_root {}\n email jo@corp.example\n \
             renew_interval 2s\n storage file_system {}\n}}\n{name} {{\n bind 127.0.0.1\n respond \"from caddy\"\n}}\n",
            scene.http,
            scene.tls,
            scene.server,
            scene.root,
            scene.path("caddy").display()
        ),
    );
    let log = fs::File::create(scene.path("caddy.log")).unwrap();
    let mut caddy = scene.client("caddy");
    caddy.args(["run", "--config", &file, "--adapter", "caddyfile"]);
    let _caddy = Running(caddy.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    let seen = scene.seen(name, scene.tls, "/");
    let log = || fs::read_to_string(scene.path("caddy.log")).unwrap();
    assert_eq!(seen, "from caddy", "{}", log());
    let first = scene.serial(name);
    assert_eq!(scene.state(&first), "valid");
    // It stays up, and serves another one by and by.
    let served = || {
        let connect = format!("127.0.0.1:{}", scene.tls);
        let arguments = ["s_client", "-connect", &connect, "-servername", name];
        let mut client = Command::new("openssl");
        let output = client.args(arguments).stdin(Stdio::null()).output().unwrap();
        let file = scene.home.write("served.pem", &crate::support::text(&output.stdout));
        let said =
            Command::new("openssl").args(["x509", "-noout", "-serial", "-in", &file]).output();
        let said = crate::support::text(&said.unwrap().stdout).to_ascii_lowercase();
        said.trim().strip_prefix("serial=").map(|it| it.trim_start_matches('0').to_owned())
    };
    assert_eq!(served().as_deref(), Some(first.trim_start_matches('0')));
    let second = until("Caddy to renew", 3 * PATIENCE, || {
        let now = served()?;
        (now != first.trim_start_matches('0')).then_some(now)
    });
    assert_eq!(scene.serial(name).trim_start_matches('0'), second, "{}", log());
    assert_eq!(scene.seen(name, scene.tls, "/"), "from caddy");
}
