use std::collections::BTreeMap;

use sealock_docker::gateway::{Limit, Most};

use super::*;

fn parts(text: &str, variables: &[(&str, &str)], flags: &Flags) -> Result<Config, ConfigError> {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let file = (PathBuf::from("/etc/sealock/sealock.toml"), text.to_owned());
    Config::from_parts(Some(&file), &Environment::from(variables), flags)
}

#[test]
fn file_then_environment_then_flags() {
    let text = "[api]\nlisten = \"127.0.0.1:1\"\n";
    let listen = |config: Config| config.settings.api.listen.to_string();
    let env = [("SEALOCK_API", "127.0.0.1:2")];
    let flags = vec![("api.listen", "off".to_owned())];
    assert_eq!(listen(parts(text, &[], &vec![]).unwrap()), "127.0.0.1:1");
    assert_eq!(listen(parts(text, &env, &vec![]).unwrap()), "127.0.0.1:2");
    let config = parts(text, &env, &flags).unwrap();
    assert_eq!(config.settings.api.listen, Listen::Off);
    let shown = config.in_force();
    let api = shown.iter().find(|setting| setting.key == "api.listen").unwrap();
    assert_eq!((api.value.as_str(), api.source.as_str()), ("off", "flag"));
    assert_eq!(shown.len(), KEYS.len());
}

#[test]
fn everything_can_be_set() {
    let text = r#"
        trust_domain = "corp.example"
        docker.url = "tcp://engine:2376"
        docker.tls = "tls"
        api.names = ["sealock.corp.example", "10.0.0.1"]
        api.metrics = false
        gateway.names = ["gateway", "172.17.0.1"]
        gateway.socket = "socket/docker.sock"
        gateway.rate = 100
        gateway.concurrent = "off"
        policy = { folder = "rules", delivery = "audit" }
        authority.crl_url = "http://crl.corp.example/ca.crl"
        authority.key_type = "ed25519"
        authority.longest_life = "90d"
        watch = { enabled = false, grace = "5s", scope = "blue" }
        audit.checkpoint = "10m"
        groups.admin = ["human/alice", "host/ops1"]
        limits."service/build.runner" = { rate = 20, connections = "5" }
        limits."group/ci".burst = 7
        services.orders = { addresses = ["10.0.0.5:8443"], hosts = ["orders.internal"], tls = "identity" }
    "#;
    let settings = parts(text, &[], &vec![]).unwrap().settings;
    assert_eq!(settings.trust_domain.unwrap().as_str(), "corp.example");
    assert_eq!(settings.policy.folder.as_deref(), Some(Path::new("/etc/sealock/rules")));
    assert_eq!(settings.engine.tls.as_deref(), Some(Path::new("/etc/sealock/tls")));
    assert_eq!(settings.gateway.names, ["gateway", "172.17.0.1"]);
    let socket = Path::new("/etc/sealock/socket/docker.sock").to_owned();
    assert_eq!(settings.gateway.socket, Workload::At(socket));
    assert_eq!(settings.watch.grace.as_secs(), 5);
    assert_eq!(settings.watch.scope.as_deref(), Some("blue"));
    assert_eq!(settings.groups["admin"].len(), 2);
    let most = |number: u32| Most::At(number.try_into().unwrap());
    let limits = settings.gateway.limits;
    assert_eq!(limits.everybody[&Limit::Rate], most(100));
    assert_eq!(limits.everybody[&Limit::Concurrent], Most::Off);
    assert_eq!(limits.everybody[&Limit::Connections], most(2000));
    let runner = &limits.named["service/build.runner"];
    assert_eq!((runner[&Limit::Rate], runner[&Limit::Connections]), (most(20), most(5)));
    assert_eq!(limits.named["group/ci"][&Limit::Burst], most(7));
    let orders = &settings.services["orders"];
    assert_eq!(
        (&orders.addresses[0][..], &orders.hosts[0][..]),
        ("10.0.0.5:8443", "orders.internal")
    );
}

#[test]
fn the_defaults_that_are_shown_are_the_defaults() {
    for key in KEYS.iter().filter(|key| !key.default.contains(char::is_uppercase)) {
        let mut settings = Settings::default();
        if !key.default.is_empty() {
            (key.apply)(&mut settings, &Value::Text(key.default.to_owned())).unwrap();
        }
        let Settings { policy, .. } = &settings;
        assert_eq!(
            policy.modes.of(sealock_core::policy::Plane::Control).clone(),
            Default::default()
        );
        settings.policy.modes = Default::default();
        assert_eq!(settings, Settings::default(), "{}", key.name);
    }
}

#[test]
fn unknown_keys_are_errors_with_a_suggestion() {
    let error = parts("[api]\n\nlisten_on = \"x\"\n", &[], &vec![]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/etc/sealock/sealock.toml:3: there is no setting `api.listen_on`"
    );
    let error = parts("[polcy]\nfolder = \"x\"\n", &[], &vec![]).unwrap_err();
    assert_eq!(error.hint(), "did you mean `policy.folder`?");
    let error = parts("crl_url = \"x\"", &[], &vec![]).unwrap_err();
    assert_eq!(error.hint(), "did you mean `authority.crl_url`?");
}

#[test]
fn bad_values_name_their_place() {
    for (text, expected) in [
        ("api.listen = \"here\"", "sealock.toml:1: `api.listen` must be ADDRESS:PORT"),
        ("watch.scope = \"a b\"", "must be 1 to 64 letters"),
        ("\nwatch.grace = 5", "sealock.toml:2: `watch.grace` must be text"),
        ("watch.grace = 1.5", "`watch.grace` must be text, a whole number"),
        ("policy.authority = \"maybe\"", "must be enforce, audit or learn"),
        ("api.names = [\"a b\"]", "no DNS name"),
        ("gateway.names = [\"a b\"]", "no DNS name"),
        ("gateway.socket = \"\"", "a path or off"),
        ("groups.admin = [\"alice\"]", "which is not human/NAME"),
        ("gateway.rate = 0", "must be a whole number from 1 on, or off"),
        ("gateway.burst = \"off\"", "must be a whole number from 1 on"),
        ("limits.\"service/x\".speed = 1", "there are rate, burst, concurrent and connections"),
        ("limits.runner.rate = 1", "does not begin with human/NAME"),
        ("limits.rate = 1", "does not begin with human/NAME"),
        ("services.orders.addresses = [\"127.1\"]", "`services.orders.addresses` has `127.1`"),
        (
            "services.a.hosts = [\"x\"]\nservices.b.hosts = [\"x\"]",
            "`services` cannot be used: `x:80` is",
        ),
        ("a = ", "sealock.toml:1:"),
        ("\"\\u001b\" = 1", "there is no setting `\\u{1b}`"),
    ] {
        let error = parts(text, &[], &vec![]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
    }
    let error = parts("", &[("SEALOCK_WATCH_GRACE", "soon")], &vec![]).unwrap_err();
    assert!(error.to_string().starts_with("SEALOCK_WATCH_GRACE: "), "{error}");
}

#[test]
fn tokens_are_signed_as_the_settings_say() {
    use sealock_traffic::token::Algorithm;
    let algorithm = |text: &str, env: &[(&str, &str)]| {
        parts(text, env, &vec![]).map(|config| config.settings.traffic.algorithm)
    };
    assert_eq!(algorithm("", &[]).unwrap(), Algorithm::Es256);
    assert_eq!(algorithm("traffic.algorithm = \"EdDSA\"", &[]).unwrap(), Algorithm::EdDsa);
    let environment = [("SEALOCK_TRAFFIC_ALGORITHM", "EdDSA")];
    assert_eq!(algorithm("traffic.algorithm = \"ES256\"", &environment).unwrap(), Algorithm::EdDsa);
    for other in ["eddsa", "Ed25519", "RS256", "HS256", "none", ""] {
        let error = algorithm(&format!("traffic.algorithm = \"{other}\""), &[]).unwrap_err();
        assert!(error.to_string().contains("must be ES256 or EdDSA"), "{error}");
    }
}

#[test]
fn a_named_file_must_exist() {
    let missing = Path::new("/nonexistent/sealock.toml");
    let error = Config::load(Some(missing), &Environment::default(), &vec![]).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }));
}

#[test]
fn profiles_of_acme_are_changed_and_added() {
    let text =
        "[acme.profiles.server]\nlife = \"30d\"\n[acme.profiles.vpn]\nusages = [\"client\"]\n";
    let acme = parts(text, &[], &vec![]).unwrap().settings.acme;
    let (profiles, days) =
        (&acme.profiles, |days: u64| std::time::Duration::from_secs(days * 86_400));
    assert_eq!(acme.usual, "server");
    let server = &profiles["server"];
    assert_eq!(server.life, days(30));
    assert!(server.usages.server && !server.usages.client);
    assert!(profiles["vpn"].usages.client && !profiles["vpn"].usages.server);
    assert_eq!((profiles["short"].life, profiles["mutual"].life), (days(6), days(90)));
    for (text, part) in [
        ("[acme.profiles.server]\nlife = \"1s\"\n", "a minute"),
        ("[acme.profiles.server]\nlives = \"1d\"\n", "life, usages and issuer"),
        ("[acme.profiles.server]\nusages = [\"code\"]\n", "server, client or both"),
        ("[acme.profiles.\"A b\"]\nlife = \"1d\"\n", "is no profile"),
    ] {
        let error = parts(text, &[], &vec![]).unwrap_err();
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}

#[test]
fn acme_offers_profiles_by_name() {
    let text = "acme.profiles = [\"vpn\", \"short\"]\n[profiles.vpn]\nusages = [\"client\"]\nlife = \"9d\"\nlongest = \"10d\"\n";
    let acme = parts(text, &[], &vec![]).unwrap().settings.acme;
    let names: Vec<&str> = acme.profiles.keys().map(String::as_str).collect();
    assert_eq!((names, acme.usual.as_str()), (vec!["short", "vpn"], "vpn"));
    assert_eq!(acme.profiles["vpn"].life, std::time::Duration::from_secs(9 * 86_400));
    for (text, part) in [
        ("acme.profiles = []\n", "one profile or more"),
        ("acme.profiles = [\"sever\"]\n", "did you mean `server`"),
        ("acme.profiles = [\"server\", \"code\"]\n", "nothing about code or e-mail"),
        ("acme.profiles = [\"email\"]\n", "nothing about code or e-mail"),
        ("acme.profiles = [\"ocsp\"]\n", "which there is not"),
    ] {
        let error = parts(text, &[], &vec![]).unwrap_err();
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
    // What was written for ACME alone goes on, and nothing of it is a profile for all.
    let old = "[acme.profiles.vpn]\nusages = [\"client\"]\n";
    assert!(parts(old, &[], &vec![]).unwrap().settings.profiles.get("vpn").is_none());
    let both = "[profiles.vpn]\nextends = \"client\"\n[acme.profiles.vpn]\nlife = \"2h\"\n";
    let both = parts(both, &[], &vec![]).unwrap().settings;
    assert_eq!(both.acme.profiles["vpn"].life, std::time::Duration::from_secs(7200));
    assert_eq!(both.profiles.get("vpn").unwrap().life, None);
    let typo = parts("[profiles.vpn]\nusage = [\"client\"]\n", &[], &vec![]).unwrap_err();
    assert!(typo.to_string().contains("did you mean `usages`"), "{typo}");
}

#[test]
fn what_bounds_a_built_in_profile_bounds_its_twin() {
    let text = "[profiles.server]\nlongest = \"3d\"\nkey_types = [\"p384\"]\n";
    let settings = parts(text, &[], &vec![]).unwrap().settings;
    let (server, short) =
        (settings.profiles.get("server").unwrap(), settings.profiles.get("short").unwrap());
    assert_eq!((short.longest, &short.key_types), (server.longest, &server.key_types));
    assert!(short.life <= short.longest && short.life.is_some());
    assert!(settings.acme.profiles["short"].life <= std::time::Duration::from_secs(3 * 86_400));
}
