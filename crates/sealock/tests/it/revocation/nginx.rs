//! nginx with what the guide says: clients' certificates held against the lists, and the OCSP answer brought along.

use sealock_testkit::clients::skip_without;

use super::*;

#[test]
fn nginx_staples_and_refuses_clients_that_are_revoked() {
    if skip_without(&["nginx"]) {
        return;
    }
    let scene = Scene::new();
    let home = &scene.home;
    let daemon = home.up();
    scene.issue(&[]);
    home.ok(&["cert", "issue", "alice", "--usage", "client"]);
    // As the guide has it.
    let guide = include_str!("../../../../../docs/guides/revocation.md");
    let made = guide.lines().find(|line| line.ends_with("> chain.pem")).unwrap();
    let made = made.trim_start_matches("$ ");
    let shell = Command::new("sh").args(["-c", made]).current_dir(home.path("")).status().unwrap();
    assert!(shell.success(), "{made}");
    let chain = std::fs::read_to_string(home.path("chain.pem")).unwrap();
    assert!(!chain.contains("PRIVATE"), "no key in what is handed to others");
    home.write("crls.pem", &home.ok(&["ca", "crl"]));
    let directives: Vec<&str> = guide.lines().filter(|line| line.starts_with("ssl_")).collect();
    assert!(directives.len() >= 5, "{directives:?}");
    let port = free();
    let config = home.write(
        "nginx.conf",
        &format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log nginx.log info;\nevents {{}}\nhttp {{\n\
             access_log off;\nclient_body_temp_path tmp;\nproxy_temp_path tmp;\nfastcgi_temp_path tmp;\n\
             uwsgi_temp_path tmp;\nscgi_temp_path tmp;\nserver {{\nlisten 127.0.0.1:{port} ssl;\n\
             ssl_certificate web/tls.crt;\nssl_certificate_key web/tls.key;\n{}\n\
             location / {{ return 200 fine; }}\n}}\n}}\n",
            directives.join("\n")
        ),
    );
    let folder = home.path("").display().to_string();
    let nginx = |more: &[&str]| {
        let mut command = Command::new("nginx");
        command.args(["-p", &folder, "-c", &config]).args(more);
        command
    };
    let checked = nginx(&["-t"]).output().unwrap();
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let mut server = nginx(&[]);
    server.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let running = Daemon::of(server.spawn().unwrap());
    let at = format!("127.0.0.1:{port}");
    // nginx asks at the first handshake, and has the answer for one of the next.
    until("a stapled answer", PATIENCE, || {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &at, "-servername", "web.test", "-status"])
            .args(["-CAfile", &scene.file("web/ca.crt")])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said = text(&output.stdout);
        (said.contains("OCSP Response Status: successful") && said.contains("Cert Status: good"))
            .then_some(())
    });
    let fetch = |name: &str| {
        let (file, url) =
            (|it: &str| scene.file(&format!("{name}/{it}")), format!("https://localhost:{port}/"));
        let usual =
            ["--silent", "--noproxy", "*", "--max-time", "30", "--write-out", "%{http_code}"];
        let with = ["--cert", &file("tls.crt"), "--key", &file("tls.key"), "--output", "/dev/null"];
        let roots = ["--cacert", &file("ca.crt"), &url];
        let output = Command::new("curl").args(usual).args(with).args(roots).output().unwrap();
        text(&output.stdout)
    };
    assert_eq!(fetch("alice"), "200");
    let serial = home.json(&["cert", "show", "alice"])["serial"].as_str().unwrap().to_owned();
    home.ok(&["cert", "revoke", &serial]);
    home.write("crls.pem", &home.ok(&["ca", "crl"]));
    drop(running);
    let mut server = nginx(&[]);
    server.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let _again = Daemon::of(server.spawn().unwrap());
    until("nginx to refuse her", PATIENCE, || (fetch("alice") == "400").then_some(()));
    assert_eq!(daemon.stop(), Some(0));
}
