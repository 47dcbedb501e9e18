//! The JSON Schema of the settings, held against what the settings themselves take, by a validator that is not ours.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use sealock_control::config::{Config, Environment, Flags, KEYS, TABLES, schema};
use sealock_testkit::clients;

/// Validates each text (TOML) by the schema, which is held against its own schema first.
const VALIDATOR: &str = r"
import json, sys, tomllib
from jsonschema import Draft7Validator
given = json.load(sys.stdin)
Draft7Validator.check_schema(given['schema'])
validator = Draft7Validator(given['schema'])
def verdict(text):
    errors = [e.message for e in validator.iter_errors(tomllib.loads(text))]
    return errors[0] if errors else None
print(json.dumps([verdict(text) for text in given['texts']]))
";

/// Every setting there is, as a person would write it.
const ALL: &[&str] = &[
    r#"
trust_domain = "corp.example"
[docker]
url = "tcp://engine:2376"
tls = "engine"
[api]
listen = "[::1]:8443"
names = ["a.example", "10.0.0.1"]
metrics = false
[gateway]
listen = "off"
rate = 20
burst = 40
concurrent = "off"
connections = "7"
names = "a.example, b.example"
socket = "off"
[workload]
socket = "/run/w.sock"
[policy]
folder = "rules"
authority = "audit"
delivery = "learn"
docker = "enforce"
secrets = "enforce"
traffic = "enforce"
control = "enforce"
[authority]
crl_url = "http://pki.corp.example/crl"
key_type = "ed25519"
longest_life = "1y"
drop_folder = "/srv/drop"
issuers = ["own"]
keys = "store"
[revocation]
listen = "127.0.0.1:8480"
url = "http://pki.corp.example:8480"
ocsp = "on"
ocsp_life = " 1h30m "
nonce = true
presigned = 0
[acme]
enabled = true
listen = "127.0.0.1:0"
names = []
profiles = ["server"]
external_account_required = "off"
resolvers = ["10.0.0.53", "10.0.0.54:5353"]
networks = ["10.0.0.0/8"]
allow = ["127.0.0.0/8"]
http_port = 8080
tls_port = "443"
caa = ["corp.example"]
[traffic]
issuer = "https://broker.corp.example:8443"
algorithm = "EdDSA"
longest_life = "1m"
[watch]
enabled = true
grace = "45s"
scope = "prod"
[hsm]
module = "/usr/lib/softhsm/libsofthsm2.so"
token = "pkcs11:token=ca"
pin_file = "pin"
deadline = "2s"
environment = ["SOFTHSM2_CONF=/etc/softhsm/softhsm2.conf"]
[audit]
checkpoint = "2h"
[groups]
operators = ["human/alice", "host/build"]
"build.people" = "human/bob, human/carol"
"#,
    r#"
[limits."service/runner"]
rate = 1
burst = 2
concurrent = 3
connections = "off"
[services.orders]
addresses = ["10.0.0.5:8443"]
hosts = "orders.internal"
tls = "identity"
[services.build.runner]
addresses = ["10.0.0.6:8443"]
[profiles.server]
longest = "90d"
[profiles.vpn]
usages = ["client"]
life = "12h"
longest = "7d"
key_types = ["p384", "rsa3072"]
names = ["identity"]
[profiles.vpn-guest]
extends = "vpn"
[profiles.ocsp]
life = "45d"
key_types = ["p384"]
[profiles.intermediate]
life = "2y"
[acme.profiles.inside]
life = "1d"
usages = ["server", "client"]
issuer = "own"
[directory.corp]
url = "ldaps://ldap.corp.example"
dn = "cn={name},dc=corp"
bind_dn = "cn=sealock,dc=corp"
password_file = "/etc/pw"
ca_file = "ca.pem"
create = "device"
[directory.lab]
url = "ldap://lab"
dn = "cn={name},dc=lab"
start_tls = true
dangerous_plain = false
certificate = "tls"
[upstream.corp]
kind = "acme"
url = "https://acme.corp.example/directory"
ca_file = "ca.pem"
hosts = ["other.corp.example:8443"]
contact = ["mailto:pki@corp.example"]
terms_agreed = true
eab_kid = "k"
eab_key_file = "key"
profile = "server"
http01 = "0.0.0.0:80"
dns_hook = ["/usr/bin/hook", "--zone"]
[upstream.est]
kind = "est"
url = "https://est.corp.example"
terms_agreed = false
label = "web"
user = "u"
password_file = "p"
certificate = "tls"
"#,
];

/// What neither takes.
const REFUSED: &[&str] = &[
    "trust = 1",
    "trust_domain = 'Corp Example'",
    "api = 'off'",
    "[api]\nlisten = 8443",
    "[api]\nlisten = '127.0.0.1'",
    "[api]\nmetrcs = true",
    "[api]\nmetrics = 1",
    "[api]\nmetrics = 'yes'",
    "[api]\nnames = [1]",
    "[gateway]\nrate = 0",
    "[gateway]\nrate = -1",
    "[gateway]\nrate = 1.5",
    "[gateway]\nburst = 'off'",
    "[gateway]\nsocket = ''",
    "[policy]\ndocker = 'permissive'",
    "[authority]\ncrl_url = 'ldap://x'",
    "[authority]\nkey_type = 'rsa2048'",
    "[authority]\nkeys = 'tpm'",
    "[authority]\nlongest_life = 90",
    "[authority]\nlongest_life = '90'",
    "[authority]\nlongest_life = '90 d'",
    "[authority]\nlongest_life = 'soon'",
    "[authority]\nlongest_life = ''",
    "[authority]\ndrop_folder = 'drop'",
    "[authority]\nissuers = []",
    "[authority]\nissuers = ' , '",
    "[revocation]\npresigned = -1",
    "[revocation]\nurl = 'pki.corp.example'",
    "[acme]\nprofiles = []",
    "[acme]\nhttp_port = 0",
    "[acme]\nhttp_port = 65536",
    "[acme.profiles.Web]\nlife = '1d'",
    "[acme.profiles.web]\nlives = '1d'",
    "[acme.profiles.web]\nusages = ['code']",
    "[acme.profiles.web]\nusages = []",
    "[traffic]\nissuer = 'http://broker'",
    "[traffic]\nalgorithm = 'RS256'",
    "[watch]\nscope = ''",
    "[hsm]\nmodule = 'lib.so'",
    "[hsm]\nenvironment = ['=1']",
    "[audit]\ncheckpoint = 2020-01-01",
    "[groups]\nops = ['alice']",
    "[groups]\nops = 3",
    "[limits.runner]\nrate = 1",
    "[limits.'service/runner']\nrates = 1",
    "[limits.'service/runner']\nburst = 'off'",
    "[services]\norders = ['10.0.0.5:8443']",
    "[services.orders]\naddress = ['10.0.0.5:8443']",
    "[services.orders]\ntls = true",
    "[profiles.vpn]\nlife = '1d'",
    "[profiles.vpn]\nusages = ['sever']",
    "[profiles.vpn]\nusages = []",
    "[profiles.vpn]\nusages = 'client server'",
    "[profiles.vpn]\nusages = ['client', 'client']",
    "[profiles.vpn]\nusages = ['client']\nkey_types = ['p256', 'p521']",
    "[profiles.vpn]\nusages = ['client']\nnames = 'dns, mail'",
    "[profiles.vpn]\nusages = ['client']\nlife = 3600",
    "[profiles.vpn]\nusages = ['client']\nlief = '1d'",
    "[profiles.Vpn]\nusages = ['client']",
    "[profiles.server]\nusages = ['client']",
    "[profiles.code]\nextends = 'server'",
    "[profiles.ocsp]\nusages = ['server']",
    "[profiles.ocsp]\nlongest = '90d'",
    "[profiles.intermediate]\nusages = ['server']",
    "[profiles]\nvpn = 'client'",
    "[directory.corp]\nurl = 'ldaps://x'",
    "[directory.corp]\ndn = 'cn={name}'",
    "[directory.Corp]\nurl = 'ldaps://x'\ndn = 'cn={name}'",
    "[directory.corp]\nurl = 'https://x'\ndn = 'cn={name}'",
    "[directory.corp]\nurl = 'ldaps://x'\ndn = 'cn={name}'\nbind_dn = 'cn=a'",
    "[directory.corp]\nurl = 'ldaps://x'\ndn = 'cn={name}'\ncreate = 'group'",
    "[directory.corp]\nurl = 'ldaps://x'\ndn = 'cn={name}'\npassword = 'hunter2'",
    "[upstream.corp]\nkind = 'acme'",
    "[upstream.corp]\nurl = 'https://x'",
    "[upstream.corp]\nkind = 'scep'\nurl = 'https://x'",
    "[upstream.corp]\nkind = 'acme'\nurl = 'http://x'",
    "[upstream.corp]\nkind = 'acme'\nurl = 'https://x'\neab_kid = 'k'",
    "[upstream.corp]\nkind = 'acme'\nurl = 'https://x'\ncontact = ['pki@corp']",
    "[upstream.corp]\nkind = 'acme'\nurl = 'https://x'\ncontact = []",
    "[upstream.corp]\nkind = 'acme'\nurl = 'https://x'\ndns_hook = []",
    "[upstream.corp]\nkind = 'acme'\nurl = 'https://x'\nhttp01 = '80'",
    "[upstream.corp]\nkind = 'acme'\nurl = 'https://x'\nuser = 'u'\npassword_file = 'p'",
    "[upstream.corp]\nkind = 'est'\nurl = 'https://x'\nhttp01 = '0.0.0.0:80'",
    "[upstream.corp]\nkind = 'est'\nurl = 'https://x'\nlabel = 'a/b'",
    "[upstream.corp]\nkind = 'est'\nurl = 'https://x'\nuser = 'u'",
];

/// What a schema cannot know: it has the right shape, and yet is refused.
const DEEPER: &[&str] = &[
    "[profiles.vpn]\nusages = ['server', 'code']",
    "[profiles.vpn]\nextends = 'sever'",
    "[profiles.ocsp]\nlife = '1d'",
    "[profiles.intermediate]\nkey_types = ['p256', 'p384']",
    "[profiles.vpn]\nextends = 'vpn'",
    "[profiles.vpn]\nusages = ['client']\nlife = '2d'\nlongest = '1d'",
    "[profiles.vpn]\nusages = ['client']\nlife = '1s'",
    "[authority]\nlongest_life = '0s'",
    "[revocation]\nocsp_life = '1s'",
    "[api]\nlisten = 'localhost:8443'",
    "[acme]\nnetworks = ['10.0.0.0']",
    "[acme]\nprofiles = ['serve']",
    "[hsm]\nenvironment = ['LD_PRELOAD=/tmp/x.so']",
    "[services.orders]\naddresses = ['169.254.169.254:80']",
    "[directory.corp]\nurl = 'ldap://x'\ndn = 'cn={name}'",
    "[upstream.corp]\nkind = 'acme'\nurl = 'https://x'\ndns_hook = ['hook']",
];

/// What is odd, and taken by both.
const ODD: &[&str] = &[
    "",
    "[profiles.vpn]\nusages = ' client ,, server, '",
    "[profiles.vpn]\nextends = 'server'\nusages = ['client']",
    "[gateway]\nrate = '+5'",
    "[api]\nnames = ''",
    "[acme]\nprofiles = 'server,short'",
    "[groups]\nnobody = []",
    "[services]",
    "[limits.'group/a/b']\nrate = 'off'",
];

fn taken(text: &str) -> Result<(), String> {
    let file = Some((PathBuf::from("sealock.toml"), text.to_owned()));
    let read = Config::from_parts(file.as_ref(), &Environment::default(), &Flags::new());
    read.map(drop).map_err(|error| error.to_string())
}

#[test]
fn the_schema_says_what_the_settings_take() {
    if clients::skip_without(&["python-with-jsonschema"]) {
        return;
    }
    let groups =
        [(ALL, true, true), (ODD, true, true), (REFUSED, false, false), (DEEPER, false, true)];
    let texts: Vec<&str> = groups.iter().flat_map(|(texts, ..)| *texts).copied().collect();
    let given = serde_json::json!({ "schema": schema(), "texts": texts });
    let mut child = Command::new("python-with-jsonschema")
        .args(["-c", VALIDATOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    serde_json::to_writer(child.stdin.take().unwrap(), &given).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let verdicts: Vec<Option<String>> = serde_json::from_slice(&output.stdout).unwrap();
    let mut verdicts = verdicts.into_iter();
    let mut wrong = Vec::new();
    for (texts, by_settings, by_schema) in groups {
        for text in texts {
            let verdict = verdicts.next().unwrap();
            let settings = taken(text);
            if settings.is_ok() != by_settings || verdict.is_none() != by_schema {
                wrong.push(format!("{text}\n  settings: {settings:?}\n  schema: {verdict:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_setting_is_among_those_that_are_tried() {
    let mut written: Vec<String> = Vec::new();
    for text in ALL {
        let file = Some((PathBuf::from("sealock.toml"), (*text).to_owned()));
        let config = Config::from_parts(file.as_ref(), &Environment::default(), &Flags::new());
        let set = config.unwrap().in_force().into_iter().filter(|one| one.source != "default");
        written.extend(set.map(|one| one.key));
    }
    for key in KEYS {
        assert!(written.iter().any(|one| one == key.name), "{}", key.name);
    }
    for table in TABLES {
        let (before, _) = table.name.split_once(['N', '"']).unwrap();
        for field in table.fields.iter().flat_map(|(_, fields)| *fields) {
            let end = format!(".{}", field.name);
            let tried = written.iter().any(|one| one.starts_with(before) && one.ends_with(&end));
            assert!(tried, "{before}…{end}");
        }
    }
}
